//! Judges whether a node keeps to one batch in flight to each peer: the next one, of all that has gathered meanwhile,
//! leaves when that one was answered (design §8).
//!
//! A batch that was given up leaves no trace on the network, and others may follow it: after an outage, when the peer
//! or the node itself has taken a new life, or the peer is removed. An outage takes longer than what is looked at here; the others are seen.
//! Each life of a node has its own flights: what it sent in the one before, it sends no more.

use std::collections::BTreeMap;

use crate::core::id::{Address, Incarnation, Origin};

/// A batch that left longer ago, in milliseconds, may have been given up.
const YOUNG_MS: u64 = 200;

/// The batches that are on their way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    next: u64,
    /// By number: from whom, in which life, to whom, since when.
    under_way: BTreeMap<u64, (Origin, Address, u64)>,
    /// The latest life of the second that the first has heard from.
    known: BTreeMap<(Address, Address), Incarnation>,
}

impl Flights {
    /// A node starts: it has heard from nobody.
    pub(super) fn begins(&mut self, node: Address) {
        self.known.retain(|(who, _), _| *who != node);
    }

    /// `who` hears from `whom` in this life.
    pub(super) fn hears(&mut self, who: Address, whom: Address, life: Incarnation) {
        let known = self.known.entry((who, whom)).or_insert(life);
        if life > *known {
            *known = life;
            self.gives_up(|from, to| (from, to) == (who, whom));
        }
    }

    /// `who` hears of peers that were removed.
    pub(super) fn hears_of_removals(&mut self, who: Address) {
        self.gives_up(|from, _| from == who);
    }

    fn gives_up(&mut self, which: impl Fn(Address, Address) -> bool) {
        self.under_way
            .retain(|_, (from, to, _)| !which(from.address, *to));
    }

    /// A batch leaves: its number, and what is wrong with that, if anything.
    pub(super) fn leaves(
        &mut self,
        from: Origin,
        to: Address,
        now_ms: u64,
    ) -> (u64, Option<String>) {
        let young = |(_, (its_from, its_to, at)): &(&u64, &(Origin, Address, u64))| {
            (*its_from, *its_to) == (from, to) && now_ms - at < YOUNG_MS
        };
        let other = self.under_way.iter().find(young);
        let wrong = other.map(|(_, (_, _, at))| {
            format!("{from} sent {to} a batch at {now_ms} ms, and that of {at} ms was not answered")
        });
        self.next += 1;
        self.under_way.insert(self.next, (from, to, now_ms));
        (self.next, wrong)
    }

    /// It was answered, or will not be.
    pub(super) fn ends(&mut self, number: u64) {
        self.under_way.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_batch_leaves_when_the_one_before_is_answered_or_given_up() {
        let node = |n: u8| format!("10.10.0.{n}:8090").parse::<Address>().unwrap();
        let lives = |n: u8, life: u64| Origin {
            address: node(n),
            incarnation: Incarnation::starting(life, 0),
        };
        let (a, b, c) = (lives(2, 1), node(3), node(4));
        let mut flights = Flights::default();
        let (first, wrong) = flights.leaves(a, b, 0);
        assert_eq!(wrong, None);
        assert_eq!(flights.leaves(a, c, 1).1, None, "another peer");
        assert!(flights.leaves(a, b, 2).1.is_some());
        flights.ends(first);
        flights.ends(3);
        assert_eq!(flights.leaves(a, b, 3).1, None);
        flights.hears(a.address, b, Incarnation::starting(1, 0));
        assert!(flights.leaves(a, b, 4).1.is_some(), "the same life");
        flights.hears(a.address, b, Incarnation::starting(2, 0));
        assert_eq!(flights.leaves(a, b, 5).1, None, "a new life");
        flights.hears_of_removals(a.address);
        assert_eq!(flights.leaves(a, b, 6).1, None, "was removed meanwhile");
        let later = lives(2, 2);
        assert_eq!(flights.leaves(later, b, 7).1, None, "its own new life");
        assert!(flights.leaves(later, b, 8).1.is_some(), "twice in that");
        assert_eq!(flights.leaves(a, b, 900).1, None, "long ago");
    }
}
