//! Up to which stamp this replica has everything: promises of origins that none of their later writes is stamped lower, adopted
//! once all is covered that they had when they gave them. That is more than what they had written: what some life has written that
//! was over before this replica heard of it, others have, or nobody.

use std::collections::{BTreeMap, VecDeque};

use super::Millis;
use super::coverage::Coverage;
use super::id::{Address, Incarnation, Origin};
use super::roster::RosterEntry;
use super::stamp::HlcTime;

/// Promises of one domain's origins.
#[derive(Debug, Clone, Default)]
pub struct Promises {
    /// What all is covered below.
    adopted: BTreeMap<Origin, HlcTime>,
    /// The oldest promise that is not adopted yet, and what its maker covered. Later ones are not kept meanwhile.
    given: BTreeMap<Origin, (Coverage, HlcTime)>,
}

impl Promises {
    /// None was given.
    pub fn new() -> Self {
        Self::default()
    }

    /// An origin that covers `theirs` promises to stamp all writes that it is yet to make above `time`.
    pub fn give(&mut self, origin: Origin, theirs: &Coverage, time: HlcTime, covered: &Coverage) {
        self.adopt(covered);
        let given = self.given.entry(origin);
        given.or_insert_with(|| (theirs.clone(), time));
        self.adopt(covered);
    }

    /// Adopts what is covered by now.
    pub fn adopt(&mut self, covered: &Coverage) {
        let adopted = &mut self.adopted;
        self.given.retain(|origin, (theirs, time)| {
            let reached = !covered.is_behind(theirs);
            if reached {
                let known = adopted.entry(*origin).or_default();
                *known = (*known).max(*time);
            }
            !reached
        });
    }

    /// Takes over what a replica has adopted whose coverage was just merged.
    pub fn merge(&mut self, adopted: &[(Origin, HlcTime)]) {
        for (origin, time) in adopted {
            let known = self.adopted.entry(*origin).or_default();
            *known = (*known).max(*time);
        }
    }

    /// Forgets the origins that have ended.
    pub fn prune(&mut self, covered: &Coverage) {
        self.adopted.retain(|origin, _| !covered.has_ended(origin));
        self.given.retain(|origin, _| !covered.has_ended(origin));
    }

    /// Forgets the lives of an address below one: they are over, and nobody has anything of them.
    pub fn drop_before(&mut self, address: Address, below: Incarnation) {
        let goes_on = |origin: &Origin| origin.address != address || origin.incarnation >= below;
        self.adopted.retain(|origin, _| goes_on(origin));
        self.given.retain(|origin, _| goes_on(origin));
    }

    /// All that was adopted, sorted by origin.
    pub fn adopted(&self) -> Vec<(Origin, HlcTime)> {
        self.adopted.iter().map(|(o, t)| (*o, *t)).collect()
    }

    /// The least promise over the present lives of all members that are not forgotten, and over all lives that are covered in
    /// part, or have promised anything, and are not over yet. This replica, `own`, knows what it has written itself.
    pub fn frontier(
        &self,
        own: Origin,
        roster: &[RosterEntry],
        covered: &Coverage,
    ) -> Option<HlcTime> {
        let present = roster.iter().filter(|entry| entry.is_waited_for());
        let present = present.map(|entry| Origin {
            address: entry.address,
            incarnation: entry.life,
        });
        let met = self.adopted.keys().chain(self.given.keys()).copied();
        let met = met.filter(|origin| !covered.has_ended(origin));
        let others = present.chain(met);
        let others = others.chain(covered.clock().iter().map(|(origin, _)| origin));
        let others = others.filter(|origin| *origin != own);
        let promise = |origin: Origin| self.adopted.get(&origin).copied().unwrap_or_default();
        others.map(promise).min()
    }
}

/// A frontier that is said some time after it was reached: its maker has gone on by at least as much since.
#[derive(Debug, Clone, Default)]
pub struct Held {
    said: HlcTime,
    /// Reached since, and when: ascending, the moments at least [`Held::STEP_MS`] apart.
    reached: VecDeque<(Millis, HlcTime)>,
}

impl Held {
    /// Moments nearer than this, in milliseconds, are not told apart; the later frontier waits for the next one.
    pub const STEP_MS: Millis = 100;

    /// The frontier that was reached `margin_ms` ago, or what there is `now` if that is lower: then there is somebody new to wait for.
    pub fn hold(&mut self, now: Millis, frontier: HlcTime, margin_ms: Millis) -> HlcTime {
        if margin_ms == 0 || frontier < self.said {
            self.reached.clear();
            self.said = frontier;
        }
        let apart = |(at, last): &(Millis, HlcTime)| *at + Self::STEP_MS <= now && *last < frontier;
        if self.reached.back().is_none_or(apart) && self.said < frontier {
            self.reached.push_back((now, frontier));
        }
        while let Some((at, frontier)) = self.reached.front()
            && *at + margin_ms <= now
        {
            self.said = *frontier;
            self.reached.pop_front();
        }
        self.said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::origin;

    fn at(ms: u64) -> HlcTime {
        HlcTime { ms, count: 0 }
    }

    fn roster(members: &[u16]) -> Vec<RosterEntry> {
        let entry = |n: &u16| RosterEntry {
            address: origin(*n).address,
            life: origin(*n).incarnation,
            forgotten: false,
            outside: false,
        };
        members.iter().map(entry).collect()
    }

    #[test]
    fn a_promise_counts_once_what_came_before_it_is_covered() {
        let mut promises = Promises::new();
        let (mut covered, members) = (Coverage::new(), roster(&[1, 2]));
        let theirs = |written, relayed| {
            let entries = [(origin(2), written), (origin(3), relayed)];
            entries.into_iter().collect::<Coverage>()
        };
        promises.give(origin(2), &theirs(3, 1), at(50), &covered);
        let frontier = |p: &Promises, c: &Coverage| p.frontier(origin(1), &members, c);
        assert_eq!(frontier(&promises, &covered), Some(HlcTime::ZERO));
        promises.give(origin(2), &theirs(4, 1), at(60), &covered);
        covered.raise(origin(2), 3);
        promises.adopt(&covered);
        let lacking = "a write that origin 2 had of an origin never heard of";
        assert_eq!(
            frontier(&promises, &covered),
            Some(HlcTime::ZERO),
            "{lacking}"
        );
        covered.end(origin(3).address, origin(3).incarnation.next());
        promises.adopt(&covered);
        assert_eq!(frontier(&promises, &covered), Some(at(50)));
    }

    #[test]
    fn a_life_that_is_not_over_holds_the_frontier_back_though_it_has_a_successor() {
        let mut promises = Promises::new();
        let covered: Coverage = [(origin(2), 1), (origin(3), 1)].into_iter().collect();
        promises.give(origin(2), &covered, at(50), &covered);
        let frontier = |p: &Promises, c: &Coverage| p.frontier(origin(1), &roster(&[1, 2]), c);
        assert_eq!(frontier(&promises, &covered), Some(HlcTime::ZERO));
        let mut ended = covered.clone();
        ended.end(origin(3).address, origin(3).incarnation.next());
        assert_eq!(frontier(&promises, &ended), Some(at(50)));
    }

    #[test]
    fn a_life_that_has_promised_something_holds_the_frontier_back_until_it_is_over() {
        let mut promises = Promises::new();
        let mut covered = Coverage::new();
        promises.give(origin(2), &covered, at(50), &covered);
        promises.give(origin(3), &covered, at(20), &covered);
        let frontier = |p: &Promises, c: &Coverage| p.frontier(origin(1), &roster(&[1, 2]), c);
        assert_eq!(frontier(&promises, &covered), Some(at(20)));
        covered.end(origin(3).address, origin(3).incarnation.next());
        assert_eq!(frontier(&promises, &covered), Some(at(50)));
    }

    #[test]
    fn who_is_alone_is_held_back_by_nobody() {
        let frontier = Promises::new().frontier(origin(1), &roster(&[1]), &Coverage::new());
        assert_eq!(frontier, None);
    }

    #[test]
    fn a_frontier_is_said_after_the_margin_and_falls_at_once() {
        let mut held = Held::default();
        assert_eq!(held.hold(1_000, at(50), 300), HlcTime::ZERO);
        assert_eq!(held.hold(1_200, at(60), 300), HlcTime::ZERO);
        assert_eq!(held.hold(1_300, at(70), 300), at(50));
        assert_eq!(held.hold(1_500, at(90), 300), at(60));
        assert_eq!(held.hold(1_501, at(40), 300), at(40), "somebody new");
        assert_eq!(held.hold(1_700, at(90), 300), at(40));
        assert_eq!(held.hold(2_000, at(90), 300), at(90));
    }

    #[test]
    fn what_is_held_does_not_grow_with_how_often_it_is_asked_for() {
        let mut held = Held::default();
        for now in 0..10_000 {
            held.hold(now, at(now + 1), 2_000);
        }
        assert!(held.reached.len() <= 21, "{}", held.reached.len());
    }
}
