//! What a replica held before it was born again, until it is known what becomes of it (ADR 11).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clock::Clock;
use super::coverage::Coverage;
use super::ended::Ended;
use super::given_up::{GivenUp, Tails};
use super::id::{Domain, Dot, Key};
use super::stamp::HlcTime;
use super::store::Store;
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
    /// What was decided about elsewhere.
    pub given_up: GivenUp,
}

/// What has become of versions set aside; they are not aside any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// To be issued again, as new writes, in this order.
    pub reissue: Vec<Write>,
    /// Nobody has these any more: others may have gone on without them, or without what they depend on; or they cannot be told from
    /// what was deleted since.
    pub lost: Vec<Write>,
}

#[derive(PartialEq, Eq)]
enum Fate {
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
        let rank = |version: &Version| (version.first_stamp(), version.stamp());
        for Write { key, version } in writes {
            let known = self.0.get(&key);
            if known.is_none_or(|known| rank(known) < rank(&version)) {
                self.0.insert(key, version);
            }
        }
    }

    /// Lets go of all; how many those were.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.0).len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Decides about all of it, in the order in which clients wrote it. To be called when all that the earlier lives had covered is
    /// either covered or of a life that has ended.
    pub fn settle(&mut self, now: &Present, winners: &Store) -> Settled {
        let versions = std::mem::take(&mut self.0).into_iter();
        let mut writes: Vec<Write> = versions
            .map(|(key, version)| Write { key, version })
            .collect();
        writes.sort_by_key(|write| write.version.first_stamp());
        let (mut settled, mut lost) = (Settled::default(), now.given_up.lost.clone());
        for write in writes {
            let winner = winners.get(&write.key).map(Arc::as_ref);
            match now.fate(&write.version, winner, &lost) {
                Fate::Drop => {}
                Fate::Reissue => settled.reissue.push(write),
                Fate::Lose => {
                    let Dot { origin, counter } = write.dot();
                    lost.raise(origin, counter.saturating_sub(1), counter);
                    settled.lost.push(write);
                }
            }
        }
        settled
    }
}

impl Present {
    fn fate(&self, version: &Version, winner: Option<&Version>, lost: &Tails) -> Fate {
        let dot = version.dot;
        let agreed = self.ended.counter(&dot.origin);
        let replicated = self.covered.clock().covers(&dot) || agreed >= Some(dot.counter);
        // One that was itself written again, under a new stamp, is as old as it was at first.
        let superseded = winner.is_some_and(|winner| winner.first_stamp() >= version.first_stamp());
        let ambiguous = agreed.is_none() && version.time <= self.collected;
        if replicated || superseded {
            Fate::Drop
        } else if lost.covers(&dot) || ambiguous {
            Fate::Lose
        } else if self.given_up.taken_over.covers(&dot) {
            Fate::Drop
        } else if self.follows(version, lost) {
            Fate::Lose
        } else {
            Fate::Reissue
        }
    }

    /// Whether the version may depend on something that is lost: nobody is ever shown an effect without its cause.
    fn follows(&self, version: &Version, lost: &Tails) -> bool {
        let deps = version.deps.get(&self.domain);
        let mut deps = deps.into_iter().flat_map(Clock::iter);
        deps.any(|(origin, counter)| {
            let agreed = self.ended.counter(&origin).unwrap_or(0);
            self.covered.has_ended(&origin) && lost.meet(&origin, agreed, counter)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            given_up: GivenUp::new(),
        }
    }

    /// Dots issued again, and given up.
    fn settle(writes: Vec<Write>, now: &Present) -> (Vec<Dot>, Vec<Dot>) {
        let mut aside = Aside::new();
        aside.put(writes);
        let settled = aside.settle(now, &Store::new());
        let dots = |writes: Vec<Write>| writes.iter().map(Write::dot).collect();
        assert!(aside.is_empty());
        (dots(settled.reissue), dots(settled.lost))
    }

    #[test]
    fn what_all_agreed_on_is_dropped_and_what_goes_beyond_is_issued_again_in_the_order_of_stamps() {
        let writes = vec![write(1, 5), write(1, 3), write(1, 4)];
        let (reissued, lost) = settle(writes, &present(99));
        assert_eq!((reissued, lost), (vec![dot(1, 4), dot(1, 5)], vec![]));
    }

    #[test]
    fn what_cannot_be_told_from_a_deleted_value_is_given_up() {
        assert_eq!(
            settle(vec![write(2, 4)], &present(5)),
            (vec![], vec![dot(2, 4)])
        );
        assert_eq!(
            settle(vec![write(2, 4)], &present(4)),
            (vec![dot(2, 4)], vec![])
        );
    }

    #[test]
    fn what_follows_something_that_is_lost_is_lost_with_it() {
        let mut now = present(0);
        now.given_up.lost.raise(origin(2), 3, 4);
        let follows = write_after(2, 6, &[dot(2, 4)]);
        let indirectly = write_after(1, 7, &[dot(2, 6)]);
        let apart = write_after(1, 8, &[dot(1, 3)]);
        let (reissued, lost) = settle(vec![write(2, 4), follows, indirectly, apart], &now);
        assert_eq!(reissued, vec![dot(1, 8)]);
        assert_eq!(lost, vec![dot(2, 4), dot(2, 6), dot(1, 7)]);
    }

    #[test]
    fn what_follows_something_that_was_taken_over_is_issued_again() {
        let mut now = present(0);
        now.given_up.taken_over.raise(origin(2), 3, 4);
        let writes = vec![write(2, 4), write_after(2, 6, &[dot(2, 4)])];
        assert_eq!(settle(writes, &now), (vec![dot(2, 6)], vec![]));
    }

    #[test]
    fn of_two_copies_the_one_that_was_written_again_stays_aside() {
        let (old, mut again) = (write(2, 5), put_at(9, None));
        Arc::make_mut(&mut again.version).first = Some(Box::new(old.version.stamp()));
        for both in [[&old, &again], [&again, &old]] {
            let mut aside = Aside::new();
            aside.put(both.map(Write::clone));
            let kept: Vec<Dot> = aside.0.values().map(|version| version.dot).collect();
            assert_eq!(kept, [again.dot()]);
        }
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
