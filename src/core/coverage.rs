//! What a replica has of one domain: a clock for the lives that go on, and floors for those that are over.
//!
//! The *floor* of an address: every life of it below this one has ended, all configured members have agreed on
//! its last counter, and whoever has the floor has all its writes up to there (design §5). So below a floor
//! everything is covered, and the clock needs no entries for it: it has as many as there are lives that go on.
//!
//! Coverages form a join semilattice under [`Coverage::merge`], as clocks do.

use serde::{Deserialize, Serialize};

use super::clock::{Clock, NotCanonical, Relation};
use super::id::{Address, Dot, Incarnation, Origin};

/// Covered writes of one domain. No entry of its clock is below a floor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "(Clock, Vec<(Address, Incarnation)>)")]
pub struct Coverage {
    clock: Clock,
    /// Sorted by address, none of them [`Incarnation::UNKNOWN`].
    floors: Vec<(Address, Incarnation)>,
}

impl TryFrom<(Clock, Vec<(Address, Incarnation)>)> for Coverage {
    type Error = NotCanonical;

    fn try_from(parts: (Clock, Vec<(Address, Incarnation)>)) -> Result<Self, NotCanonical> {
        let (clock, floors) = parts;
        let sorted = floors.is_sorted_by(|a, b| a.0 < b.0);
        let known = floors.iter().all(|(_, life)| *life > Incarnation::UNKNOWN);
        let coverage = Self { clock, floors };
        let apart = coverage.clock.iter().all(|(o, _)| !coverage.has_ended(&o));
        (sorted && known && apart)
            .then_some(coverage)
            .ok_or(NotCanonical)
    }
}

impl From<Clock> for Coverage {
    fn from(clock: Clock) -> Self {
        let floors = Vec::new();
        Self { clock, floors }
    }
}

impl FromIterator<(Origin, u64)> for Coverage {
    fn from_iter<I: IntoIterator<Item = (Origin, u64)>>(entries: I) -> Self {
        Clock::from_iter(entries).into()
    }
}

impl Coverage {
    /// Covers nothing.
    pub const fn new() -> Self {
        Self {
            clock: Clock::new(),
            floors: Vec::new(),
        }
    }

    /// The lives that go on: up to which counter each is covered.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The floors, sorted by address.
    pub fn floors(&self) -> &[(Address, Incarnation)] {
        &self.floors
    }

    /// All lives of `address` below this one have ended; [`Incarnation::UNKNOWN`] if none has.
    pub fn floor(&self, address: &Address) -> Incarnation {
        floor_of(&self.floors, address)
    }

    /// The floors, without the clock.
    #[must_use]
    pub fn floors_alone(&self) -> Self {
        Self {
            clock: Clock::new(),
            floors: self.floors.clone(),
        }
    }

    /// Whether this life is below the floor of its address.
    pub fn has_ended(&self, origin: &Origin) -> bool {
        origin.incarnation < self.floor(&origin.address)
    }

    /// Whether the write is covered.
    pub fn covers(&self, dot: &Dot) -> bool {
        self.clock.covers(dot) || self.has_ended(&dot.origin)
    }

    /// The counter up to which a life that goes on is covered. One that has ended is covered whatever the counter, and
    /// has none here.
    pub fn get(&self, origin: &Origin) -> u64 {
        self.clock.get(origin)
    }

    /// Covers `origin` up to `counter`, unless more is covered already.
    pub fn raise(&mut self, origin: Origin, counter: u64) {
        if !self.has_ended(&origin) {
            self.clock.raise(origin, counter);
        }
    }

    /// Covers all lives of `address` below this one; their entries leave the clock.
    pub fn end(&mut self, address: Address, below: Incarnation) {
        if below <= self.floor(&address) {
            return;
        }
        match position_of(&self.floors, &address) {
            Ok(at) => self.floors[at].1 = below,
            Err(at) => self.floors.insert(at, (address, below)),
        }
        self.prune();
    }

    /// Covers what either covers.
    pub fn merge(&mut self, other: &Self) {
        for (address, below) in &other.floors {
            self.end(*address, *below);
        }
        self.clock.merge(&other.clock);
        self.prune();
    }

    /// The first entry of `need` that is not covered.
    pub fn first_lacking(&self, need: &Clock) -> Option<(Origin, u64)> {
        let lacking = |(origin, counter): &(Origin, u64)| {
            self.clock.get(origin) < *counter && !self.has_ended(origin)
        };
        need.iter().find(lacking)
    }

    /// Whether `need` names something that is not covered.
    pub fn lacks_any(&self, need: &Clock) -> bool {
        self.first_lacking(need).is_some()
    }

    /// The entries of `need` that are not covered, as they stand there.
    #[must_use]
    pub fn lacking(&self, need: &Clock) -> Clock {
        let mut lacking = self.clock.lacking(need);
        lacking.retain(|origin| !self.has_ended(origin));
        lacking
    }

    /// Whether `other` covers something that is not covered here.
    pub fn is_behind(&self, other: &Self) -> bool {
        let lower = |(address, below): &(Address, Incarnation)| self.floor(address) < *below;
        other.floors.iter().any(lower) || self.lacks_any(&other.clock)
    }

    /// How the two compare.
    pub fn relation(&self, other: &Self) -> Relation {
        match (self.is_behind(other), other.is_behind(self)) {
            (false, false) => Relation::Equal,
            (false, true) => Relation::After,
            (true, false) => Relation::Before,
            (true, true) => Relation::Concurrent,
        }
    }

    /// What is below a floor leaves the clock.
    fn prune(&mut self) {
        let Self { clock, floors } = self;
        clock.retain(|origin| origin.incarnation >= floor_of(floors, &origin.address));
    }
}

fn position_of(floors: &[(Address, Incarnation)], address: &Address) -> Result<usize, usize> {
    floors.binary_search_by(|(known, _)| known.cmp(address))
}

fn floor_of(floors: &[(Address, Incarnation)], address: &Address) -> Incarnation {
    position_of(floors, address).map_or(Incarnation::UNKNOWN, |at| floors[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{dot, origin};

    fn coverage(entries: &[(u16, u64)], ended: &[u16]) -> Coverage {
        let mut coverage: Coverage = entries.iter().map(|&(n, c)| (origin(n), c)).collect();
        for &n in ended {
            coverage.end(origin(n).address, after(n));
        }
        coverage
    }

    /// The life that follows that of the `n`-th test origin.
    fn after(n: u16) -> Incarnation {
        origin(n).incarnation.succeeding(0, 0)
    }

    #[test]
    fn below_a_floor_everything_is_covered_and_nothing_is_counted() {
        let mut covered = coverage(&[(1, 3), (2, 1)], &[1]);
        assert!(covered.covers(&dot(1, 99)) && !covered.covers(&dot(2, 2)));
        assert_eq!(covered.clock().len(), 1);
        covered.raise(origin(1), 7);
        assert_eq!(
            covered.clock().len(),
            1,
            "an ended life is not counted again"
        );
        let need: Clock = [(origin(1), 9), (origin(2), 2)].into_iter().collect();
        assert_eq!(covered.first_lacking(&need), Some((origin(2), 2)));
        assert_eq!(
            covered.lacking(&need),
            [(origin(2), 2)].into_iter().collect()
        );
    }

    #[test]
    fn merging_is_the_least_that_covers_both() {
        let (a, b) = (
            coverage(&[(1, 3), (2, 1)], &[]),
            coverage(&[(2, 2), (3, 1)], &[1]),
        );
        let both = coverage(&[(2, 2), (3, 1)], &[1]);
        for (one, other) in [(&a, &b), (&b, &a), (&both, &a), (&b, &both)] {
            let mut merged = one.clone();
            merged.merge(other);
            assert_eq!(merged, both);
        }
        assert_eq!(a.relation(&b), Relation::Before);
        assert_eq!(b.relation(&a), Relation::After);
    }

    #[test]
    fn a_floor_that_is_lacking_is_a_lack() {
        let (with, without) = (coverage(&[], &[1]), coverage(&[(1, 3)], &[]));
        assert!(without.is_behind(&with) && !with.is_behind(&without));
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        let clock: Clock = [(origin(1), 1)].into_iter().collect();
        let floor = |n: u16, life| (origin(n).address, life);
        let refused = |clock: &Clock, floors| Coverage::try_from((clock.clone(), floors)).is_err();
        assert!(
            refused(&clock, vec![floor(1, after(1))]),
            "an entry below its floor"
        );
        assert!(refused(&clock, vec![floor(2, Incarnation::UNKNOWN)]));
        assert!(refused(
            &clock,
            vec![floor(3, after(3)), floor(2, after(2))]
        ));
        assert!(!refused(&clock, vec![floor(1, origin(1).incarnation)]));
    }
}
