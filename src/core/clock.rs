//! Vector clocks: which writes of one domain are covered, and how two such sets compare.
//!
//! A [`Clock`] holds for each origin the highest counter up to which **all** its writes are covered;
//! an origin it does not name is covered up to 0. Clocks form a join semilattice under
//! [`Clock::merge`] (commutative, associative, idempotent, never going back). [`Clocks`] keeps one
//! clock for each domain apart, since counters of different domains say nothing about each other.
//! Schwarz & Mattern, "Detecting causal relationships in distributed computations" (1994).
//!
//! Both are sorted vectors: a handful of entries, merged and compared in one linear pass.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::id::{Domain, Dot, Origin};

/// How two clocks compare. A partial order has four outcomes, so there is no `<` on clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Both cover the same writes.
    Equal,
    /// The first covers all of the second and more.
    After,
    /// The second covers all of the first and more.
    Before,
    /// Each covers something that the other does not.
    Concurrent,
}

/// Covered writes of one domain: origin → counter, no entry at 0, sorted by origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<(Origin, u64)>")]
pub struct Clock(Vec<(Origin, u64)>);

/// A clock on the wire that is not in its one canonical form (sorted, no doubles, no zeros, no counter
/// that nobody can have reached).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a clock is not sorted by origin with counters from 1 to {}",
    Clock::COUNTER_MAX
)]
pub struct NotCanonical;

impl TryFrom<Vec<(Origin, u64)>> for Clock {
    type Error = NotCanonical;

    fn try_from(entries: Vec<(Origin, u64)>) -> Result<Self, NotCanonical> {
        let sorted = entries.is_sorted_by(|a, b| a.0 < b.0);
        let counted = |(_, counter): &(Origin, u64)| (1..=Self::COUNTER_MAX).contains(counter);
        (sorted && entries.iter().all(counted))
            .then_some(Self(entries))
            .ok_or(NotCanonical)
    }
}

impl Clock {
    /// A clock that arrives with more than this is refused: nobody has written so often, and there
    /// must be a next counter after every one that is covered.
    pub const COUNTER_MAX: u64 = 1 << 60;

    /// Covers nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The counter up to which `origin` is covered; 0 if it is not named.
    pub fn get(&self, origin: &Origin) -> u64 {
        self.position(origin).map_or(0, |at| self.0[at].1)
    }

    /// Whether the write is covered.
    pub fn covers(&self, dot: &Dot) -> bool {
        self.get(&dot.origin) >= dot.counter
    }

    /// Covers `origin` up to `counter`, unless more is covered already.
    pub fn raise(&mut self, origin: Origin, counter: u64) {
        if counter == 0 {
            return;
        }
        match self.position(&origin) {
            Ok(at) => self.0[at].1 = self.0[at].1.max(counter),
            Err(at) => self.0.insert(at, (origin, counter)),
        }
    }

    /// Covers what either covers.
    pub fn merge(&mut self, other: &Self) {
        if !self.lacks_any(other) {
            return;
        }
        let mut merged = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(&&(a, m)), Some(&&(b, n))) = (ours.peek(), theirs.peek()) {
            let counter = match a.cmp(&b) {
                Ordering::Less => m,
                Ordering::Equal => m.max(n),
                Ordering::Greater => n,
            };
            merged.push((a.min(b), counter));
            ours.next_if(|_| a <= b);
            theirs.next_if(|_| b <= a);
        }
        merged.extend(ours.chain(theirs));
        self.0 = merged;
    }

    /// How the two compare.
    pub fn relation(&self, other: &Self) -> Relation {
        match (self.lacks_any(other), other.lacks_any(self)) {
            (false, false) => Relation::Equal,
            (false, true) => Relation::After,
            (true, false) => Relation::Before,
            (true, true) => Relation::Concurrent,
        }
    }

    /// Whether `need` covers something that this clock does not.
    pub fn lacks_any(&self, need: &Self) -> bool {
        self.first_lacking(need).is_some()
    }

    /// The first entry of `need` that this clock does not cover.
    pub fn first_lacking(&self, need: &Self) -> Option<(Origin, u64)> {
        let lacking = |(origin, counter): &&(Origin, u64)| self.get(origin) < *counter;
        need.0.iter().find(lacking).copied()
    }

    /// The entries of `need` that this clock does not cover, as they stand there.
    #[must_use]
    pub fn lacking(&self, need: &Self) -> Self {
        let lacking = |(origin, counter): &&(Origin, u64)| self.get(origin) < *counter;
        Self(need.0.iter().filter(lacking).copied().collect())
    }

    /// Keeps the entries of these origins alone.
    pub fn retain(&mut self, mut keep: impl FnMut(&Origin) -> bool) {
        self.0.retain(|(origin, _)| keep(origin));
    }

    /// The entries, sorted by origin.
    pub fn iter(&self) -> impl Iterator<Item = (Origin, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Number of origins.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is covered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn position(&self, origin: &Origin) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(origin))
    }
}

impl FromIterator<(Origin, u64)> for Clock {
    fn from_iter<I: IntoIterator<Item = (Origin, u64)>>(entries: I) -> Self {
        let mut clock = Self::new();
        for (origin, counter) in entries {
            clock.raise(origin, counter);
        }
        clock
    }
}

/// One clock for each domain, sorted by domain, none of them empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<(Domain, Clock)>")]
pub struct Clocks(Vec<(Domain, Clock)>);

impl TryFrom<Vec<(Domain, Clock)>> for Clocks {
    type Error = NotCanonical;

    fn try_from(groups: Vec<(Domain, Clock)>) -> Result<Self, NotCanonical> {
        let sorted = groups.is_sorted_by(|a, b| a.0 < b.0);
        let filled = groups.iter().all(|(_, clock)| !clock.is_empty());
        (sorted && filled)
            .then_some(Self(groups))
            .ok_or(NotCanonical)
    }
}

impl FromIterator<(Domain, Clock)> for Clocks {
    fn from_iter<I: IntoIterator<Item = (Domain, Clock)>>(groups: I) -> Self {
        let mut clocks = Self::new();
        for (domain, clock) in groups.into_iter().filter(|(_, clock)| !clock.is_empty()) {
            clocks.entry(domain).merge(&clock);
        }
        clocks
    }
}

impl Clocks {
    /// Covers nothing anywhere.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The clock of `domain`, if anything of it is covered.
    pub fn get(&self, domain: &Domain) -> Option<&Clock> {
        let at = self.position(domain).ok()?;
        Some(&self.0[at].1)
    }

    /// Covers the write, within its domain.
    pub fn cover(&mut self, domain: Domain, dot: Dot) {
        self.entry(domain).raise(dot.origin, dot.counter);
    }

    /// Covers what either covers, domain by domain.
    pub fn merge(&mut self, other: &Self) {
        for (domain, clock) in &other.0 {
            self.entry(*domain).merge(clock);
        }
    }

    /// Puts `clock` in the place of the domain's.
    pub fn set(&mut self, domain: Domain, clock: Clock) {
        match self.position(&domain) {
            Ok(at) if clock.is_empty() => drop(self.0.remove(at)),
            Ok(at) => self.0[at].1 = clock,
            Err(_) if clock.is_empty() => {}
            Err(at) => self.0.insert(at, (domain, clock)),
        }
    }

    /// The groups, sorted by domain.
    pub fn iter(&self) -> impl Iterator<Item = (&Domain, &Clock)> {
        self.0.iter().map(|(domain, clock)| (domain, clock))
    }

    /// Number of entries over all domains.
    pub fn entries(&self) -> usize {
        self.0.iter().map(|(_, clock)| clock.len()).sum()
    }

    /// Whether nothing is covered anywhere.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The clock of `domain`, to be filled at once if it is new.
    fn entry(&mut self, domain: Domain) -> &mut Clock {
        let at = self.position(&domain).unwrap_or_else(|at| {
            self.0.insert(at, (domain, Clock::new()));
            at
        });
        &mut self.0[at].1
    }

    fn position(&self, domain: &Domain) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::origin;

    fn clock(entries: &[(u16, u64)]) -> Clock {
        entries.iter().map(|&(n, c)| (origin(n), c)).collect()
    }

    #[test]
    fn comparing_two_clocks_has_four_outcomes() {
        let base = clock(&[(1, 3), (2, 1)]);
        assert_eq!(base.relation(&base.clone()), Relation::Equal);
        assert_eq!(base.relation(&clock(&[(1, 3)])), Relation::After);
        assert_eq!(clock(&[(1, 2)]).relation(&base), Relation::Before);
        assert_eq!(clock(&[(3, 1)]).relation(&base), Relation::Concurrent);
    }

    #[test]
    fn merging_takes_the_larger_counter_of_each_entry_and_keeps_the_order() {
        let (a, b) = (
            clock(&[(1, 3), (4, 1), (6, 2)]),
            clock(&[(2, 5), (4, 7), (6, 1), (9, 1)]),
        );
        let both = clock(&[(1, 3), (2, 5), (4, 7), (6, 2), (9, 1)]);
        for (one, other) in [(&a, &b), (&b, &a), (&both, &a), (&b, &both)] {
            let mut merged = one.clone();
            merged.merge(other);
            assert_eq!(merged, both, "{one:?} and {other:?}");
        }
        let mut grown = Clock::new();
        grown.merge(&a);
        grown.merge(&Clock::new());
        assert_eq!(grown, a);
    }

    #[test]
    fn what_is_lacking_is_named_as_it_was_asked_for() {
        let have = clock(&[(1, 3), (2, 1)]);
        let need = clock(&[(1, 2), (2, 4), (5, 1)]);
        assert_eq!(have.lacking(&need), clock(&[(2, 4), (5, 1)]));
        assert_eq!(have.first_lacking(&need), Some((origin(2), 4)));
    }

    #[test]
    fn clocks_that_are_not_canonical_are_refused() {
        let (a, b) = (origin(1), origin(2));
        for entries in [vec![(b, 1), (a, 1)], vec![(a, 1), (a, 2)], vec![(a, 0)]] {
            assert_eq!(Clock::try_from(entries), Err(NotCanonical));
        }
        assert!(Clocks::try_from(vec![(Domain::UNSHARDED, Clock::new())]).is_err());
    }
}
