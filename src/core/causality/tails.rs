//! Who may be told that a write is lost, and who may write it again (ADR 11, "Told or written again").

use super::CausalState;
use crate::core::clock::{Clock, Clocks};
use crate::core::id::{Address, Dot};
use crate::core::metadata::Metadata;
use crate::core::tail::{Tail, Tails};
use crate::core::write::Write;

impl CausalState {
    /// The entries of `need` that name what was not agreed on when a life ended, where it is not certain yet that nobody
    /// will write it again.
    pub(super) fn undecided(&self, need: &Clock) -> Clock {
        let beyond = self.covered.clock().lacking(need);
        let undecided = beyond.iter().filter(|(origin, counter)| {
            self.covered.has_ended(origin) && self.ended.is_open(origin, *counter)
        });
        undecided.collect()
    }

    /// A client depends on these and would like to be told that they are lost.
    pub fn wish_given_up(&mut self, missing: &Clocks) {
        let Some(group) = missing.get(&self.domain) else {
            return;
        };
        for (origin, counter) in group.iter() {
            if self.covered.has_ended(&origin) {
                let tail = Dot { origin, counter }.into();
                self.wishes.raise(origin.address, tail);
            }
        }
    }

    /// Gives up what clients have asked about, and learns what all have given up. As long as anybody has versions set aside,
    /// nothing more is given up, since it may be written again.
    pub fn give_up(&mut self) {
        let Some(accord) = self.accord() else {
            return;
        };
        self.ended.give_up(&self.given_up);
        if !self.has_aside && accord.first_aside.is_none() {
            let wishes = std::mem::take(&mut self.wishes);
            self.given_up.merge(&wishes);
        }
    }

    /// Takes note whether this replica has versions set aside. After a rebirth it is taken to have some.
    pub fn note_aside(&mut self, has_aside: bool) {
        self.has_aside = has_aside;
    }

    /// Whether this replica has versions set aside.
    pub fn has_aside(&self) -> bool {
        self.has_aside
    }

    /// Whether this replica has versions set aside and it is its turn to write them again.
    pub fn may_write_again(&self) -> bool {
        self.has_aside && self.is_its_turn()
    }

    /// All members know its life, and what all have given up; it has everything that they have written; and of all that have versions set
    /// aside it is the first.
    fn is_its_turn(&self) -> bool {
        let before =
            |first: Option<Address>| first.is_some_and(|first| first < self.origin.address);
        self.accord()
            .is_some_and(|accord| !before(accord.first_aside))
    }

    /// Writes these again, under new names, with their own dependencies: whoever else holds them, or what they followed, must not do
    /// so any more. Returns the new writes, to be applied and pushed in this order. `given_up` is what this replica had given up when
    /// it was found that nobody else has them.
    ///
    /// # Errors
    /// The writes, unchanged, if that may not be true any more; they are to be set aside again.
    pub fn write_again(
        &mut self,
        writes: Vec<Write>,
        given_up: &Tails,
        wall_ms: u64,
    ) -> Result<Vec<Write>, Vec<Write>> {
        let has_deps = |write: &Write| {
            let deps = write.version.deps.get(&self.domain);
            deps.is_none_or(|deps| !self.covered.lacks_any(deps))
        };
        // Meanwhile somebody may have been told that one of them is lost.
        let undecided = *given_up == self.given_up && self.is_its_turn();
        if !undecided || !writes.iter().all(has_deps) {
            return Err(writes);
        }
        self.take_over(&writes);
        let again = |Write { key, version }: Write| {
            let metadata = Metadata {
                time: version.time,
                clocks: version.deps.clone(),
            };
            let first = Some(version.first_stamp());
            self.make(key, version.content.clone(), metadata, wall_ms, first)
        };
        Ok(writes.into_iter().map(again).collect())
    }

    fn take_over(&mut self, writes: &[Write]) {
        for write in writes {
            let deps = write.version.deps.get(&self.domain);
            let deps = deps.into_iter().flat_map(Clock::iter);
            let deps = deps.map(|(origin, counter)| Dot { origin, counter });
            for dot in deps.chain([write.dot()]) {
                if self.covered.has_ended(&dot.origin)
                    && self.ended.counter(&dot.origin) < Some(dot.counter)
                {
                    self.given_up.raise(dot.origin.address, Tail::from(dot));
                }
            }
        }
    }

    /// What this replica has given up.
    pub fn given_up(&self) -> &Tails {
        &self.given_up
    }

    fn accord(&self) -> Option<crate::core::agreement::Accord> {
        let roster = self.lives.roster();
        self.reports
            .accord(self.origin.address, &roster, &self.given_up, &self.covered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::causal_buffer::BufferLimits;
    use crate::core::id::{Domain, Key, Origin};
    use crate::core::stamp::HlcTime;
    use crate::core::testing::{dot, origin, write};
    use crate::core::wire::{Digest, Status};
    use crate::core::write::Content;

    const LIMITS: BufferLimits = BufferLimits {
        writes: 10,
        bytes: 1 << 20,
    };

    /// One of the members 1 and 2. Node 3 is forgotten, and nobody had anything of its life.
    fn member(n: u16) -> CausalState {
        let mut state = CausalState::new(origin(n), Domain::UNSHARDED, LIMITS);
        let members = [1, 2].map(|n| origin(n).address);
        state.set_members(&members, &[(origin(3).address, origin(3).incarnation)]);
        for n in [1, 2] {
            state.learn_life(origin(n));
        }
        state
    }

    fn say(state: &mut CausalState, aside: bool) -> Digest {
        Digest {
            from: state.origin(),
            domain: state.domain(),
            covered: state.covered().clone(),
            promise: state.promise(0),
            status: Status::Serving,
            pushing: false,
            admits: true,
            bootstrapped: true,
            roster: state.lives().roster(),
            frontier: HlcTime::ZERO,
            aside,
            given_up: state.given_up().clone(),
        }
    }

    /// Each hears the other, and does what a heartbeat does.
    fn exchange(one: &mut CausalState, other: &mut CausalState, aside: [bool; 2]) {
        let said = [say(one, aside[0]), say(other, aside[1])];
        one.heed(&said[1], u64::MAX);
        other.heed(&said[0], u64::MAX);
        for (state, aside) in [one, other].into_iter().zip(aside) {
            state.note_aside(aside);
            state.end_lives(0);
            state.give_up();
        }
    }

    fn named(origin: Origin, counter: u64) -> Metadata {
        let mut metadata = Metadata::default();
        let clocks = std::sync::Arc::make_mut(&mut metadata.clocks);
        clocks.cover(Domain::UNSHARDED, Dot { origin, counter });
        metadata
    }

    fn ask(state: &mut CausalState, metadata: &Metadata) -> bool {
        let unmet = state.unmet(metadata);
        if let Some(missing) = &unmet {
            state.wish_given_up(missing);
        }
        unmet.is_none()
    }

    fn has_ended(state: &CausalState) -> bool {
        state.covered().has_ended(&origin(3))
    }

    #[test]
    fn a_client_is_told_that_a_write_is_lost_only_when_all_have_given_it_up() {
        let (mut one, mut two) = (member(1), member(2));
        exchange(&mut one, &mut two, [false; 2]);
        assert!(has_ended(&one) && has_ended(&two));
        let need = named(origin(3), 5);
        assert!(!ask(&mut one, &need), "node 3 may be back with it");
        exchange(&mut one, &mut two, [false; 2]);
        assert!(!ask(&mut one, &need), "node 2 has not heard of it");
        exchange(&mut one, &mut two, [false; 2]);
        exchange(&mut one, &mut two, [false; 2]);
        assert!(ask(&mut one, &need) && ask(&mut two, &need));
        assert!(!ask(&mut one, &named(origin(3), 6)), "that is another one");
    }

    #[test]
    fn nothing_is_given_up_while_somebody_has_versions_aside() {
        let (mut one, mut two) = (member(1), member(2));
        exchange(&mut one, &mut two, [false; 2]);
        let need = named(origin(3), 5);
        for _ in 0..3 {
            assert!(!ask(&mut one, &need));
            exchange(&mut one, &mut two, [false, true]);
        }
        assert!(one.given_up().is_empty());
        for _ in 0..3 {
            exchange(&mut one, &mut two, [false; 2]);
        }
        assert!(ask(&mut one, &need));
    }

    #[test]
    fn of_two_that_have_versions_aside_the_first_by_address_writes_them_first() {
        let (mut one, mut two) = (member(1), member(2));
        one.note_aside(true);
        assert!(!one.may_write_again(), "it has heard nobody");
        exchange(&mut one, &mut two, [true; 2]);
        assert!(one.may_write_again() && !two.may_write_again());
        exchange(&mut one, &mut two, [false, true]);
        assert!(!one.may_write_again() && two.may_write_again());
    }

    #[test]
    fn who_lacks_a_write_of_another_one_writes_nothing_again() {
        let (mut one, mut two) = (member(1), member(2));
        exchange(&mut one, &mut two, [true, false]);
        assert!(one.may_write_again());
        let key = Key::new("k").unwrap();
        two.write(key, Content::Tombstone, Metadata::default(), 0);
        exchange(&mut one, &mut two, [true, false]);
        assert!(!one.may_write_again());
    }

    #[test]
    fn what_is_written_again_is_given_up_by_its_old_name_and_so_is_what_it_followed() {
        let (mut one, mut two) = (member(1), member(2));
        exchange(&mut one, &mut two, [true, false]);
        let given_up = one.given_up().clone();
        let again = one.write_again(vec![write(3, 4)], &given_up, 0).unwrap();
        assert_eq!(again[0].dot(), dot(1, 1));
        let (version, before) = (&again[0].version, write(3, 4).version);
        assert!(version.stamp() > before.stamp());
        assert_eq!(version.first_stamp(), before.stamp());
        assert!(one.given_up().covers(&dot(3, 4)));
        assert!(!one.given_up().covers(&dot(3, 5)));
        exchange(&mut one, &mut two, [false; 2]);
        assert_eq!(one.given_up(), two.given_up());
        let stale = one.write_again(vec![write(3, 5)], &given_up, 0);
        assert_eq!(
            stale,
            Err(vec![write(3, 5)]),
            "something was given up since"
        );
    }
}
