//! The replicated set of decisions to forget: whose writes nobody waits for any longer.
//!
//! Two sides of a cut can forget each other, and each may by then have collected what the other still needs. So
//! only one side may go on as it is, and all must agree on which. That is why a mark does not always take effect:
//! marks do so in one order (see [`ForgetMarks::effective`]), and one whose maker was forgotten by then is
//! void. Some maker is left whom nobody else has forgotten: the one of the last mark that takes effect.
//!
//! Marks are never replaced by marks on later lives: the earlier mark may be what makes others void.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::removals::PLAUSIBLE_MS;
use crate::core::id::{Address, Incarnation, Origin};
use crate::core::stamp::HlcTime;
use crate::core::swim::is_plausible;

/// Marks kept; beyond, those of the earliest time are dropped. Every heartbeat carries them all, at about 40 bytes each.
pub const FORGET_MARKS_MAX: usize = 256;

/// A decision to forget lives of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetMark {
    /// Whose.
    pub address: Address,
    /// The lives up to this one are meant. Of one that was never met, those begun before the decision.
    pub incarnation: Incarnation,
    /// When it was decided.
    pub time: HlcTime,
    /// Who decided.
    pub maker: Origin,
    /// How many members the maker saw up, itself included.
    pub up: u16,
}

/// What tells marks apart.
type Name = (Address, Incarnation, Origin);

impl ForgetMark {
    fn name(&self) -> Name {
        (self.address, self.incarnation, self.maker)
    }

    /// Whether some replica can have made it: nothing could supersede a later time, and no node could outlive a
    /// later life.
    fn is_plausible(&self) -> bool {
        let life = self.incarnation;
        self.time.ms < PLAUSIBLE_MS
            && (life == Incarnation::UNKNOWN || is_plausible(life))
            && is_plausible(self.maker.incarnation)
    }
}

/// All marks known. Merging is commutative, associative and idempotent, at the bound, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForgetMarks(BTreeMap<Name, ForgetMark>);

impl ForgetMarks {
    /// The time of a decision made here and now: later than all that are known.
    pub fn next_time(&self, wall_ms: u64) -> HlcTime {
        let latest = self.0.values().map(|mark| mark.time).max();
        latest.unwrap_or_default().tick(HlcTime::ZERO, wall_ms)
    }

    /// Takes a mark in, unless it is implausible, and says whether it brought anything. Of two with the same address,
    /// life and maker the later stays.
    pub fn merge(&mut self, mark: ForgetMark) -> bool {
        let rank = |mark: &ForgetMark| (mark.time, mark.up);
        let known = self.0.get(&mark.name());
        if !mark.is_plausible() || known.is_some_and(|known| rank(known) >= rank(&mark)) {
            return false;
        }
        self.0.insert(mark.name(), mark);
        if self.0.len() > FORGET_MARKS_MAX {
            let oldest = self.0.values().min_by_key(|mark| (mark.time, mark.name()));
            if let Some(name) = oldest.map(ForgetMark::name) {
                self.0.remove(&name);
            }
        }
        self.0.contains_key(&mark.name())
    }

    /// Whether some mark means this life, in effect or not.
    pub fn mean(&self, address: Address, life: Incarnation) -> bool {
        let means = |mark: &ForgetMark| mark.address == address && mark.incarnation >= life;
        self.0.values().any(means)
    }

    /// Who is forgotten. Marks take effect with more members up before those with fewer, then earlier before later,
    /// then by maker and address; one whose maker's life is forgotten by then is void. So the larger side of a
    /// cut goes on, and every replica that knows the same marks finds the same.
    pub fn effective(&self) -> Forgotten {
        let mut marks: Vec<&ForgetMark> = self.0.values().collect();
        marks.sort_unstable_by_key(|mark| {
            let more_up = std::cmp::Reverse(mark.up);
            (more_up, mark.time, mark.maker, mark.address)
        });
        let mut forgotten = Forgotten::default();
        for mark in marks {
            if !forgotten.covers(mark.maker.address, mark.maker.incarnation) {
                forgotten.take(mark);
            }
        }
        forgotten
    }

    /// All of them, sorted by address.
    pub fn to_vec(&self) -> Vec<ForgetMark> {
        self.0.values().copied().collect()
    }
}

/// Who is forgotten: by address up to which life, and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten(BTreeMap<Address, (Incarnation, Origin)>);

impl Forgotten {
    fn take(&mut self, mark: &ForgetMark) {
        let by = (mark.incarnation, mark.maker);
        let known = self.0.entry(mark.address).or_insert(by);
        if known.0 < mark.incarnation {
            *known = by;
        }
    }

    /// Whether this life of `address` is forgotten.
    pub fn covers(&self, address: Address, life: Incarnation) -> bool {
        self.life(address).is_some_and(|up_to| life <= up_to)
    }

    /// Up to which life `address` is forgotten; `None` if it is not.
    pub fn life(&self, address: Address) -> Option<Incarnation> {
        self.0.get(&address).map(|(life, _)| *life)
    }

    /// Address, life up to which, and by whom, sorted by address.
    pub fn iter(&self) -> impl Iterator<Item = (Address, Incarnation, Origin)> {
        let entries = self.0.iter();
        entries.map(|(address, (life, maker))| (*address, *life, *maker))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{address, life, mark, origin};
    use super::*;

    fn forgotten(marks: &[ForgetMark]) -> Vec<Address> {
        let mut all = ForgetMarks::default();
        for mark in marks {
            all.merge(*mark);
        }
        all.effective()
            .iter()
            .map(|(address, ..)| address)
            .collect()
    }

    #[test]
    fn a_mark_means_the_lives_up_to_one() {
        let mut marks = ForgetMarks::default();
        marks.merge(mark(1, 2, 1, 5));
        let forgotten = marks.effective();
        assert!(forgotten.covers(address(2), life(1_000)));
        assert!(forgotten.covers(address(2), Incarnation::UNKNOWN));
        assert!(!forgotten.covers(address(2), life(1_001)));
        assert!(!forgotten.covers(address(1), Incarnation::UNKNOWN));
        assert_eq!(forgotten.life(address(2)), Some(life(1_000)));
    }

    #[test]
    fn of_two_that_forget_each_other_the_side_with_more_members_goes_on_else_the_earlier() {
        let smaller_first = [mark(1, 2, 1, 5), mark(2, 1, 2, 9)];
        assert_eq!(forgotten(&smaller_first), [address(1)]);
        let alike = [mark(1, 2, 2, 9), mark(2, 1, 2, 5)];
        assert_eq!(forgotten(&alike), [address(1)]);
        let at_once = [mark(2, 1, 2, 5), mark(1, 2, 2, 5)];
        assert_eq!(forgotten(&at_once), [address(2)], "the smaller maker");
    }

    #[test]
    fn what_a_forgotten_maker_decided_before_it_was_forgotten_stays() {
        let decided_before = [mark(1, 3, 3, 1), mark(2, 1, 2, 5)];
        assert_eq!(forgotten(&decided_before), [address(1), address(3)]);
        let decided_after = [mark(1, 3, 1, 9), mark(2, 1, 2, 5)];
        assert_eq!(forgotten(&decided_after), [address(1)]);
    }

    #[test]
    fn a_later_life_of_a_forgotten_maker_decides_again() {
        let mut reborn = mark(1, 3, 1, 9);
        reborn.maker = origin(1, 2_000);
        let marks = [mark(2, 1, 2, 5), reborn];
        assert_eq!(forgotten(&marks), [address(1), address(3)]);
    }

    /// Were the mark on the first life replaced by the one on the second, the first life's own mark would take
    /// effect in the end: the maker, who has collected, would be reborn, and the deletes that it collected undone.
    #[test]
    fn a_mark_on_a_later_life_leaves_the_one_before_it() {
        let mut again = mark(1, 2, 1, 100);
        again.incarnation = life(2_000);
        let marks = [mark(1, 2, 1, 1), mark(2, 1, 1, 2), again];
        assert_eq!(forgotten(&marks), [address(2)]);
    }

    #[test]
    fn a_node_that_forgets_itself_is_forgotten_and_decides_no_more() {
        let marks = [mark(1, 1, 2, 5), mark(1, 2, 2, 9)];
        assert_eq!(forgotten(&marks), [address(1)]);
    }

    #[test]
    fn marks_that_nobody_can_have_made_are_refused() {
        let good = mark(1, 2, 1, 5);
        let late = ForgetMark {
            time: HlcTime {
                ms: PLAUSIBLE_MS,
                count: 0,
            },
            ..good
        };
        let last_life = Incarnation::starting((1 << 51) - 1, 0xfff);
        let everlasting = ForgetMark {
            incarnation: last_life,
            ..good
        };
        let mut by_nobody = good;
        by_nobody.maker.incarnation = last_life;
        for bad in [late, everlasting, by_nobody] {
            let mut marks = ForgetMarks::default();
            marks.merge(bad);
            assert_eq!(marks.to_vec(), []);
            marks.merge(good);
            assert_eq!(marks.to_vec(), [good]);
        }
    }

    #[test]
    fn a_decision_is_later_than_all_that_are_known_even_where_the_wall_clock_is_behind() {
        let mut marks = ForgetMarks::default();
        assert_eq!(marks.next_time(7), HlcTime { ms: 7, count: 0 });
        marks.merge(mark(1, 2, 1, 5_000));
        let next = HlcTime {
            ms: 5_000,
            count: 1,
        };
        assert_eq!(marks.next_time(4_000), next);
        assert_eq!(marks.next_time(6_000).ms, 6_000);
    }

    #[test]
    fn beyond_the_bound_the_earliest_are_dropped_and_stay_so() {
        let max = u64::try_from(FORGET_MARKS_MAX).unwrap();
        let numbered = |n: u64| {
            let mut mark = mark(1, 2, 1, n);
            mark.incarnation = life(n);
            mark
        };
        let kept: Vec<ForgetMark> = (3..max + 3).map(numbered).collect();
        let mut marks = ForgetMarks::default();
        for n in (1..max + 3).rev().chain([2, 1]) {
            marks.merge(numbered(n));
        }
        assert_eq!(marks.to_vec(), kept);
    }
}
