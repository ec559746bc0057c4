//! What a replica held before it was born again, until it is known what becomes of it (ADR 11).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::coverage::Coverage;
use super::ended::Ended;
use super::id::{Domain, Key};
use super::stamp::HlcTime;
use super::store::Store;
use super::tail::Tails;
use super::write::{Version, Write};

/// Versions set aside, the winner of each key.
#[derive(Debug, Default)]
pub struct Aside(BTreeMap<Key, Arc<Version>>);

/// What a replica knows when it looks at what it has set aside.
#[derive(Debug, Clone)]
pub struct Present {
    /// Its domain.
    pub domain: Domain,
    /// What it covers.
    pub covered: Coverage,
    /// What it knows of ended lives.
    pub ended: Ended,
    /// Up to where tombstones are gone.
    pub collected: HlcTime,
    /// What others may go on without.
    pub given_up: Tails,
}

/// What has become of versions set aside; they are not aside any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// To be issued again, as new writes, in this order.
    pub reissue: Vec<Write>,
    /// These were given up: others have gone on without them, or nobody can tell them from what was deleted since.
    pub lost: Vec<Write>,
}

#[derive(PartialEq, Eq)]
enum Fate {
    Keep,
    Drop,
    Lose,
    Reissue,
}

impl Aside {
    /// Nothing is set aside.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets these aside; of two versions of a key the one that clients wrote later.
    pub fn put(&mut self, writes: impl IntoIterator<Item = Write>) {
        for Write { key, version } in writes {
            let known = self.0.get(&key);
            if known.is_none_or(|known| known.first_stamp() < version.first_stamp()) {
                self.0.insert(key, version);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops what is not needed, and decides about the rest once all of it can be decided about: what is written again is given
    /// up by its old names, up to the last of them.
    pub fn settle(&mut self, now: &Present, winners: &Store) -> Settled {
        let mut settled = Settled::default();
        let winner = |key: &Key| winners.get(key).map(Arc::as_ref);
        let fate = |key: &Key, version: &Version| now.fate(version, winner(key));
        self.0
            .retain(|key, version| fate(key, version) != Fate::Drop);
        if self
            .0
            .iter()
            .any(|(key, version)| fate(key, version) == Fate::Keep)
        {
            return settled;
        }
        for (key, version) in std::mem::take(&mut self.0) {
            let write = Write { key, version };
            match fate(&write.key, &write.version) {
                Fate::Reissue => settled.reissue.push(write),
                _ => settled.lost.push(write),
            }
        }
        settled
            .reissue
            .sort_by_key(|write| write.version.first_stamp());
        settled
    }
}

impl Present {
    fn fate(&self, version: &Version, winner: Option<&Version>) -> Fate {
        let dot = version.dot;
        let agreed = self.ended.counter(&dot.origin);
        let replicated = self.covered.clock().covers(&dot) || agreed >= Some(dot.counter);
        // One that was itself written again, under a new stamp, is as old as it was at first.
        let superseded = winner.is_some_and(|winner| winner.first_stamp() >= version.first_stamp());
        let deps = version.deps.get(&self.domain);
        let early = deps.is_some_and(|deps| self.covered.lacks_any(deps));
        if replicated || superseded {
            Fate::Drop
        } else if !self.covered.has_ended(&dot.origin) || early {
            // It may come by itself, or what it depends on may.
            Fate::Keep
        } else if self.given_up.covers(&dot) || agreed.is_none() && version.time <= self.collected {
            Fate::Lose
        } else {
            Fate::Reissue
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::clock::Clock;
    use crate::core::id::Dot;
    use crate::core::stamp::Stamp;
    use crate::core::testing::{dot, origin, write, write_after};

    /// Origin 1 is over, with three writes agreed on; 2 is over, nobody knows how; 3 goes on.
    fn present(collected: u64) -> Present {
        let mut covered: Coverage = [(origin(3), 1)].into_iter().collect();
        let mut ended = Ended::new();
        let finals: Clock = [(origin(1), 3)].into_iter().collect();
        ended.note(origin(1).address, &finals, dot(3, 1), 0, true);
        for n in [1, 2] {
            covered.end(origin(n).address, origin(n).incarnation.next());
        }
        let collected = HlcTime {
            ms: collected,
            count: 0,
        };
        Present {
            domain: Domain::UNSHARDED,
            covered,
            ended,
            collected,
            given_up: Tails::new(),
        }
    }

    /// Dots issued again, given up, and how many were kept.
    fn settle(writes: Vec<Write>, now: &Present) -> (Vec<Dot>, Vec<Dot>, usize) {
        let mut aside = Aside::new();
        aside.put(writes);
        let settled = aside.settle(now, &Store::new());
        let dots = |writes: Vec<Write>| writes.iter().map(Write::dot).collect();
        (dots(settled.reissue), dots(settled.lost), aside.len())
    }

    #[test]
    fn what_all_agreed_on_is_dropped_and_what_goes_beyond_is_issued_again_in_the_order_of_stamps() {
        let writes = vec![write(1, 5), write(1, 3), write(1, 4)];
        let (reissued, lost, kept) = settle(writes, &present(99));
        assert_eq!(
            (reissued, lost, kept),
            (vec![dot(1, 4), dot(1, 5)], vec![], 0)
        );
    }

    #[test]
    fn what_cannot_be_told_from_a_deleted_value_is_given_up() {
        assert_eq!(
            settle(vec![write(2, 4)], &present(5)),
            (vec![], vec![dot(2, 4)], 0)
        );
        assert_eq!(
            settle(vec![write(2, 4)], &present(4)),
            (vec![dot(2, 4)], vec![], 0)
        );
    }

    #[test]
    fn what_may_come_by_itself_is_waited_for() {
        assert_eq!(settle(vec![write(3, 2)], &present(0)), (vec![], vec![], 1));
        let early = write_after(2, 4, &[dot(3, 9)]);
        assert_eq!(settle(vec![early], &present(0)), (vec![], vec![], 1));
    }

    #[test]
    fn what_was_overwritten_meanwhile_is_dropped() {
        let mut aside = Aside::new();
        aside.put([write(1, 5)]);
        let mut winners = Store::new();
        winners.apply(put_at(9, None));
        let settled = aside.settle(&present(0), &winners);
        assert_eq!((settled, aside.len()), (Settled::default(), 0));
    }

    #[test]
    fn what_an_older_one_that_was_written_again_outranks_is_issued_again_all_the_same() {
        let mut aside = Aside::new();
        aside.put([write(1, 5)]);
        let mut winners = Store::new();
        winners.apply(put_at(9, Some(4)));
        let settled = aside.settle(&present(0), &winners);
        let dots: Vec<Dot> = settled.reissue.iter().map(Write::dot).collect();
        assert_eq!((dots, aside.len()), (vec![dot(1, 5)], 0));
    }

    /// A write of the key of `write(_, 5)` by origin 3, first written at another time.
    fn put_at(ms: u64, first_ms: Option<u64>) -> Write {
        let mut put = write(3, 5);
        let version = Arc::make_mut(&mut put.version);
        let time = |ms| HlcTime { ms, count: 0 };
        version.time = time(ms);
        version.first = first_ms.map(|ms| {
            Box::new(Stamp {
                time: time(ms),
                origin: origin(2),
            })
        });
        put
    }
}
