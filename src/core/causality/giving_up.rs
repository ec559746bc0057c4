//! Who may be told that a write is lost, and who may write it again (ADR 11, "Told or written again").

use std::sync::Arc;

use super::CausalState;
use crate::core::agreement::Accord;
use crate::core::aside::Settled;
use crate::core::clock::{Clock, Clocks};
use crate::core::given_up::GivenUp;
use crate::core::id::{Address, Dot, Origin};
use crate::core::metadata::Metadata;
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
                self.wishes.raise(origin, self.agreed(&origin), counter);
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
        if !self.has_aside() && accord.first_aside.is_none() {
            let wishes = std::mem::take(&mut self.wishes);
            self.given_up.lost.merge(&wishes);
        }
    }

    /// Whether this replica has versions set aside: from its rebirth on, until they were decided about.
    pub fn has_aside(&self) -> bool {
        self.aside.is_some()
    }

    /// Whether this replica has versions set aside and may decide about them now: everything that its earlier lives had covered is here or is
    /// of a life that has ended, and it is its turn.
    pub fn may_write_again(&self) -> bool {
        let aside = self.aside.as_ref();
        aside.is_some_and(|had| !self.covered.lacks_any(had)) && self.is_its_turn()
    }

    /// All members know its life, and what all have given up; it has everything that they have written; and of all that have versions set
    /// aside it is the first.
    fn is_its_turn(&self) -> bool {
        let before =
            |first: Option<Address>| first.is_some_and(|first| first < self.origin.address);
        self.accord()
            .is_some_and(|accord| !before(accord.first_aside))
    }

    /// Writes again what nobody else has, under new names, and takes over all else that this replica's earlier lives had covered and that was
    /// never agreed on: it was overwritten by what is written again, or by what is here, or is lost. Nobody else may write that again.
    /// The new writes depend on all that is here, in which the causes of the old ones are.
    ///
    /// Returns the new writes, to be applied and pushed in this order. Nothing is set aside any more. `decided_with` is what this replica
    /// had given up when that was found out.
    ///
    /// # Errors
    /// `settled`, unchanged, if it may not be true any more; it is to be set aside again.
    pub fn write_again(
        &mut self,
        settled: Settled,
        decided_with: &GivenUp,
        wall_ms: u64,
    ) -> Result<Vec<Write>, Settled> {
        // Meanwhile somebody may have been told that one of them is lost.
        if *decided_with != self.given_up || !self.may_write_again() {
            return Err(settled);
        }
        let had = self.aside.take().unwrap_or_default();
        for (origin, counter) in had.iter() {
            if self.covered.has_ended(&origin) {
                let agreed = self.agreed(&origin);
                self.given_up.taken_over.raise(origin, agreed, counter);
            }
        }
        for Dot { origin, counter } in settled.lost.iter().map(Write::dot) {
            self.given_up
                .lost
                .raise(origin, counter.saturating_sub(1), counter);
        }
        let here = self.covered.clock().clone();
        let again = |Write { key, version }: Write| {
            let mut clocks = Clocks::clone(&version.deps);
            clocks.set(self.domain, here.clone());
            let metadata = Metadata {
                time: version.time,
                clocks: Arc::new(clocks),
            };
            let first = Some(version.first_stamp());
            self.make(key, version.content.clone(), metadata, wall_ms, first)
        };
        Ok(settled.reissue.into_iter().map(again).collect())
    }

    /// The last counter of an ended life that was agreed on; 0 if none is known.
    fn agreed(&self, origin: &Origin) -> u64 {
        self.ended.counter(origin).unwrap_or(0)
    }

    /// What this replica has given up.
    pub fn given_up(&self) -> &GivenUp {
        &self.given_up
    }

    fn accord(&self) -> Option<Accord> {
        if self.inherited.unheard().is_some() {
            return None;
        }
        let roster = self.lives.roster();
        self.reports
            .accord(self.origin.address, &roster, &self.given_up, &self.covered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::causal_buffer::BufferLimits;
    use crate::core::id::{Domain, Key};
    use crate::core::testing::{dot, origin, say, write};
    use crate::core::wire::{Batch, Digest};
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

    /// Each hears the other, and does what a heartbeat does.
    fn exchange(one: &mut CausalState, other: &mut CausalState, aside: [bool; 2]) {
        let digest = |state: &mut CausalState, aside| Digest {
            aside,
            ..say(state, 0)
        };
        let said = [digest(one, aside[0]), digest(other, aside[1])];
        one.heed(&said[1]);
        other.heed(&said[0]);
        for (state, aside) in [one, other].into_iter().zip(aside) {
            state.aside = aside.then(Clock::new);
            state.end_lives(0);
            state.give_up();
        }
    }

    fn batch(writes: &[Write]) -> Batch {
        Batch {
            from: writes[0].dot().origin,
            domain: Domain::UNSHARDED,
            writes: writes.to_vec(),
        }
    }

    fn named(origin: Origin, counter: u64) -> Metadata {
        let mut metadata = Metadata::default();
        let clocks = std::sync::Arc::make_mut(&mut metadata.clocks);
        clocks.cover(Domain::UNSHARDED, Dot { origin, counter });
        metadata
    }

    fn ask(state: &mut CausalState, metadata: &Metadata) -> bool {
        let unmet = state.unmet(None, metadata);
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
        assert!(one.given_up().lost.is_empty());
        for _ in 0..3 {
            exchange(&mut one, &mut two, [false; 2]);
        }
        assert!(ask(&mut one, &need));
    }

    #[test]
    fn of_two_that_have_versions_aside_the_first_by_address_writes_them_first() {
        let (mut one, mut two) = (member(1), member(2));
        one.aside = Some(Clock::new());
        assert!(!one.may_write_again(), "it has heard nobody");
        exchange(&mut one, &mut two, [true; 2]);
        assert!(one.may_write_again() && !two.may_write_again());
        exchange(&mut one, &mut two, [false, true]);
        assert!(!one.may_write_again() && two.may_write_again());
    }

    #[test]
    fn what_an_earlier_life_had_and_may_still_come_is_waited_for() {
        let (mut one, mut two) = (member(1), member(2));
        exchange(&mut one, &mut two, [true, false]);
        one.aside = Some([(origin(2), 1), (origin(3), 9)].into_iter().collect());
        assert!(!one.may_write_again(), "node 2 lives and has it");
        one.aside = Some([(origin(3), 9)].into_iter().collect());
        assert!(one.may_write_again(), "node 3 is forgotten");
    }

    #[test]
    fn what_is_written_again_depends_on_all_that_is_here() {
        let (mut one, mut two) = (member(1), member(2));
        exchange(&mut one, &mut two, [false; 2]);
        let key = Key::new("k").unwrap();
        let seen = two.write(key, Content::Tombstone, Metadata::default(), 0);
        one.deliver(batch(&[seen])).unwrap();
        exchange(&mut one, &mut two, [true, false]);
        let settled = Settled {
            reissue: vec![write(3, 4)],
            lost: vec![],
        };
        let given_up = one.given_up().clone();
        let again = one.write_again(settled, &given_up, 0).unwrap();
        let deps = again[0].version.deps.get(&Domain::UNSHARDED).unwrap();
        assert!(deps.covers(&dot(2, 1)));
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
    fn what_is_written_again_is_taken_over_with_all_that_its_replica_had() {
        let (mut one, mut two) = (member(1), member(2));
        exchange(&mut one, &mut two, [true, false]);
        let given_up = one.given_up().clone();
        // The third write had been overwritten before.
        one.aside = Some([(origin(3), 4)].into_iter().collect());
        let settled = |counter| Settled {
            reissue: vec![write(3, counter)],
            lost: vec![],
        };
        let again = one.write_again(settled(4), &given_up, 0).unwrap();
        assert_eq!(again[0].dot(), dot(1, 1));
        let (version, before) = (&again[0].version, write(3, 4).version);
        assert!(version.stamp() > before.stamp());
        assert_eq!(version.first_stamp(), before.stamp());
        assert!(one.given_up().taken_over.covers(&dot(3, 3)));
        assert!(one.given_up().taken_over.covers(&dot(3, 4)));
        assert!(!one.given_up().covers(&dot(3, 5)));
        assert!(!one.has_aside());
        exchange(&mut one, &mut two, [false; 2]);
        assert_eq!(one.given_up(), two.given_up());
        one.aside = Some(Clock::new());
        let stale = one.write_again(settled(5), &given_up, 0);
        assert_eq!(stale, Err(settled(5)), "something was given up since");
    }
}
