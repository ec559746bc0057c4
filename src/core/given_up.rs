//! The writes of ended lives that were never agreed on, as far as somebody has decided about them.
//!
//! A replica that was forgotten or outlived may still hold such writes and write them again when it is back. Each is decided about once: it is
//! *lost*, or one of those who hold it has *taken it over*. A client that depends on one and is told that it is lost goes on without
//! it; what it writes then must not be overturned by the old value. And of two who hold one only the first may write it again, since
//! what it wrote may have been overwritten by then. So what is decided about is given up by all others, for ever (ADR 11). What had been agreed on
//! is not: if all are born again, nobody knows any more that it was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::id::{Address, Dot, Incarnation, Origin};

/// Writes of one life: those after the first counter, up to the second.
type Range = (u64, u64);

/// Writes of one address: of each of its last lives a range, of the earlier ones all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "(Incarnation, BTreeMap<Incarnation, Range>)")]
struct Tail {
    /// All of the lives below this one.
    below: Incarnation,
    lives: BTreeMap<Incarnation, Range>,
}

/// A tail that nobody has made; what it came with changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tail has lives below its bound, or counters that are not from 1 to {}",
    Clock::COUNTER_MAX
)]
pub struct NoTail;

impl TryFrom<(Incarnation, BTreeMap<Incarnation, Range>)> for Tail {
    type Error = NoTail;

    fn try_from(parts: (Incarnation, BTreeMap<Incarnation, Range>)) -> Result<Self, NoTail> {
        let (below, lives) = parts;
        let possible = |(life, (after, upto)): (&Incarnation, &Range)| {
            *life >= below && after < upto && *upto <= Clock::COUNTER_MAX
        };
        if lives.len() <= Self::LIVES_MAX && lives.iter().all(possible) {
            Ok(Self { below, lives })
        } else {
            Err(NoTail)
        }
    }
}

impl Tail {
    /// Lives told apart; of those before these all is meant.
    const LIVES_MAX: usize = 8;

    fn raise(&mut self, life: Incarnation, (after, upto): Range) {
        if life < self.below {
            return;
        }
        let known = self.lives.entry(life).or_insert((after, upto));
        *known = (known.0.min(after), known.1.max(upto));
        while self.lives.len() > Self::LIVES_MAX
            && let Some((first, _)) = self.lives.pop_first()
        {
            self.below = first.next();
        }
    }

    fn merge(&mut self, other: &Self) {
        self.below = self.below.max(other.below);
        self.lives = self.lives.split_off(&self.below);
        for (life, range) in &other.lives {
            self.raise(*life, *range);
        }
    }

    fn meets(&self, life: Incarnation, (after, upto): Range) -> bool {
        let known = self.lives.get(&life);
        life < self.below || known.is_some_and(|known| after < known.1 && known.0 < upto)
    }
}

/// Tails by address, one each: they only ever grow, and are a join semilattice under [`Tails::merge`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tails(BTreeMap<Address, Tail>);

impl Tails {
    /// None.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds the writes of this life after the first counter, which was agreed on, up to the second.
    pub fn raise(&mut self, life: Origin, after: u64, upto: u64) {
        if after < upto {
            let tail = self.0.entry(life.address).or_default();
            tail.raise(life.incarnation, (after, upto));
        }
    }

    /// Adds all of the other's.
    pub fn merge(&mut self, other: &Self) {
        for (address, tail) in &other.0 {
            self.0.entry(*address).or_default().merge(tail);
        }
    }

    /// Whether the write belongs to one of them.
    pub fn covers(&self, dot: &Dot) -> bool {
        self.meet(&dot.origin, dot.counter.saturating_sub(1), dot.counter)
    }

    /// Whether some write of this life after the first counter, up to the second, belongs to one of them.
    pub fn meet(&self, life: &Origin, after: u64, upto: u64) -> bool {
        let tail = self.0.get(&life.address);
        tail.is_some_and(|tail| tail.meets(life.incarnation, (after, upto)))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What nobody writes again who has heard of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GivenUp {
    /// A client has asked for it while nobody was known to have it; or whoever had it could not tell it from what was deleted since.
    pub lost: Tails,
    /// A replica that had it has written it again, or knew what has taken its place.
    pub taken_over: Tails,
}

impl GivenUp {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            lost: Tails::new(),
            taken_over: Tails::new(),
        }
    }

    /// Adds all of the other's.
    pub fn merge(&mut self, other: &Self) {
        self.lost.merge(&other.lost);
        self.taken_over.merge(&other.taken_over);
    }

    /// Whether the write is given up.
    pub fn covers(&self, dot: &Dot) -> bool {
        self.lost.covers(dot) || self.taken_over.covers(dot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{dot, origin};

    /// The `counter`-th write of the `life`-th life of node 1.
    fn of_life(life: u64, counter: u64) -> Dot {
        let mut dot = dot(1, counter);
        dot.origin.incarnation = Incarnation::starting(2_000 + life, 0);
        dot
    }

    fn tails(dots: &[Dot]) -> Tails {
        let mut tails = Tails::new();
        for dot in dots {
            tails.raise(dot.origin, 0, dot.counter);
        }
        tails
    }

    #[test]
    fn a_tail_has_the_writes_of_a_life_between_two_counters_and_of_no_other_one() {
        let mut tails = tails(&[]);
        tails.raise(of_life(2, 0).origin, 3, 5);
        assert!(tails.covers(&of_life(2, 4)) && !tails.covers(&of_life(2, 3)));
        let meet = |after, upto| tails.meet(&of_life(2, 0).origin, after, upto);
        assert!(meet(0, 4) && meet(4, 9) && !meet(0, 3) && !meet(5, 9));
        assert!(tails.covers(&of_life(2, 5)));
        assert!(!tails.covers(&of_life(2, 6)));
        assert!(!tails.covers(&of_life(1, 1)));
        assert!(!tails.covers(&of_life(3, 1)));
        assert!(!tails.covers(&dot(2, 1)));
        assert_eq!(Tails::new(), self::tails(&[of_life(1, 0)]));
    }

    #[test]
    fn of_more_lives_than_are_told_apart_the_earliest_are_given_up_whole() {
        let many: Vec<Dot> = (1..=9).map(|life| of_life(life, 5)).collect();
        let tails = tails(&many);
        assert!(tails.covers(&of_life(1, 99)) && tails.covers(&of_life(0, 1)));
        assert!(tails.covers(&of_life(2, 5)) && !tails.covers(&of_life(2, 6)));
    }

    #[test]
    fn merging_is_the_same_in_any_order_and_only_adds() {
        let many: Vec<Dot> = (1..=12).map(|life| of_life(life, 20 - life)).collect();
        let (one, other) = (tails(&many[..7]), tails(&many[5..]));
        let (mut first, mut second) = (one.clone(), other.clone());
        first.merge(&other);
        second.merge(&one);
        assert_eq!(first, second);
        assert_eq!(first, tails(&many));
        let before = first.clone();
        first.merge(&one);
        assert_eq!(first, before);
        assert!(many.iter().all(|dot| first.covers(dot)));
    }

    #[test]
    fn tails_survive_the_wire_and_such_as_nobody_makes_are_refused() {
        let made = tails(&[of_life(1, 5), of_life(2, 7), dot(2, 1)]);
        let bytes = postcard::to_stdvec(&made).unwrap();
        assert_eq!(postcard::from_bytes::<Tails>(&bytes), Ok(made));
        let life = origin(1).incarnation;
        let wrong = [
            (life.next(), BTreeMap::from([(life, (0_u64, 1_u64))])),
            (life, BTreeMap::from([(life, (1, 1))])),
        ];
        for parts in wrong {
            let bytes = postcard::to_stdvec(&parts).unwrap();
            assert!(postcard::from_bytes::<Tail>(&bytes).is_err(), "{parts:?}");
        }
    }
}
