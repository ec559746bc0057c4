//! The writes of ended lives that were never agreed on: given up, so that whoever is told that they are lost can rely on it.
//!
//! A replica that was forgotten or outlived may still hold such writes and write them again when it is back. A client that depends on one
//! and is told that it is lost goes on without it; what it writes then must not be overturned by the old value. So the two exclude each
//! other: a *tail* is given up by all members before anybody is told, and what is given up nobody writes again (ADR 11).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::{Address, Dot, Incarnation};

/// Of one address: its writes up to this one, as far as they were not agreed on when their lives ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Tail {
    /// All of the lives below this one.
    pub life: Incarnation,
    /// And of this one up to this counter.
    pub counter: u64,
}

impl From<Dot> for Tail {
    fn from(dot: Dot) -> Self {
        Self {
            life: dot.origin.incarnation,
            counter: dot.counter,
        }
    }
}

impl Tail {
    /// All of the lives below this one.
    pub const fn below(life: Incarnation) -> Self {
        Self { life, counter: 0 }
    }
}

/// Tails by address, one each: they only ever grow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tails(BTreeMap<Address, Tail>);

impl Tails {
    /// None.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds this one.
    pub fn raise(&mut self, address: Address, tail: Tail) {
        let known = self.0.entry(address).or_default();
        *known = (*known).max(tail);
    }

    /// Adds all of the other's.
    pub fn merge(&mut self, other: &Self) {
        for (address, tail) in &other.0 {
            self.raise(*address, *tail);
        }
    }

    /// Whether the write belongs to one of them, if it was not agreed on.
    pub fn covers(&self, dot: &Dot) -> bool {
        self.0
            .get(&dot.origin.address)
            .is_some_and(|tail| Tail::from(*dot) <= *tail)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{dot, origin};

    #[test]
    fn a_tail_has_all_of_earlier_lives_and_its_own_up_to_a_counter() {
        let mut tails = Tails::new();
        tails.raise(origin(1).address, dot(1, 5).into());
        let mut later = dot(1, 1);
        later.origin.incarnation = later.origin.incarnation.next();
        assert!(tails.covers(&dot(1, 5)));
        assert!(!tails.covers(&dot(1, 6)));
        assert!(!tails.covers(&later));
        tails.raise(origin(1).address, Tail::below(later.origin.incarnation));
        assert!(tails.covers(&dot(1, 6)));
        assert!(!tails.covers(&later));
        assert!(!tails.covers(&dot(2, 1)));
    }

    #[test]
    fn merging_only_adds() {
        let (mut one, mut other) = (Tails::new(), Tails::new());
        one.raise(origin(1).address, dot(1, 5).into());
        other.raise(origin(1).address, dot(1, 4).into());
        let before = one.clone();
        one.merge(&other);
        assert_eq!(one, before);
        other.merge(&one);
        assert_eq!(other, one);
    }
}
