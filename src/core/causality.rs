//! The one ordering point of a replica: what it covers, what it may apply, what it must refuse.
//!
//! Invariants:
//! - the clock covers a write only if all that the write depends on (in this domain) is covered;
//! - counters of this node's own origin run 1, 2, 3 … and no dot is ever given to two writes;
//! - hybrid time is above that of every write applied here, so a new write is stamped above all that
//!   it depends on.
//!
//! The rules are those of causally consistent stores with explicit dependencies (Lloyd et al.,
//! COPS, 2011; Bailis et al., "Bolt-on Causal Consistency", 2013). What is absent on purpose: values, which
//! are the store's, and any notion of who is up, which is the view's.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::causal_buffer::{BufferLimits, CausalBuffer, is_deliverable};
use super::clock::{Clock, Clocks};
use super::coverage::Coverage;
use super::id::{Address, Domain, Dot, Incarnation, Key, Origin};
use super::join::Cut;
use super::metadata::Metadata;
use super::stamp::HlcTime;
use super::wire::{Batch, Digest};
use super::write::{Content, Version, Write};

/// Clock, hybrid time and causal buffer of one replica in one domain.
#[derive(Debug)]
pub struct CausalState {
    origin: Origin,
    domain: Domain,
    covered: Coverage,
    time: HlcTime,
    buffer: CausalBuffer,
    lives: BTreeMap<Address, Incarnation>,
}

/// What a batch has led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// To be applied, in this order; the clock covers them already.
    pub ready: Vec<Write>,
    /// How many of these had been parked.
    pub released: usize,
    /// How many were parked.
    pub parked: usize,
    /// How many of these for want of an earlier write of their own origin.
    pub gaps: usize,
    /// How many were covered before.
    pub duplicates: usize,
    /// How many were dropped because the buffer is full; only a join brings them back.
    pub dropped: usize,
}

/// A later life of the batch's sender is known; nothing of it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded(pub Incarnation);

impl CausalState {
    /// An empty state that numbers its writes as `origin`.
    pub fn new(origin: Origin, domain: Domain, limits: BufferLimits) -> Self {
        Self {
            origin,
            domain,
            covered: Coverage::new(),
            time: HlcTime::ZERO,
            buffer: CausalBuffer::new(limits),
            lives: BTreeMap::from([(origin.address, origin.incarnation)]),
        }
    }

    /// What of `metadata` this replica has not seen, `None` if it has seen all. Groups of other
    /// shards under the same map are not its to check; groups of a map that it does not know cannot be met.
    pub fn unmet(&self, metadata: &Metadata) -> Option<Clocks> {
        let missing = |(domain, need): (&Domain, &Clock)| {
            let missing = if *domain == self.domain {
                self.covered.lacking(need)
            } else if domain.map == self.domain.map {
                Clock::new()
            } else {
                need.clone()
            };
            (*domain, missing)
        };
        let unmet: Clocks = metadata.clocks.iter().map(missing).collect();
        (!unmet.is_empty()).then_some(unmet)
    }

    /// By how many milliseconds the stamp in `metadata` would push hybrid time ahead of the wall clock; 0 for a
    /// stamp that hybrid time has reached already, since it pushes nothing.
    pub fn skew(&self, metadata: &Metadata, wall_ms: u64) -> u64 {
        if metadata.time <= self.time {
            0
        } else {
            metadata.time.ms.saturating_sub(wall_ms)
        }
    }

    /// Makes the next write of this replica. The caller has checked that `metadata` is met.
    pub fn write(
        &mut self,
        key: Key,
        content: Content,
        metadata: &Metadata,
        wall_ms: u64,
    ) -> Write {
        debug_assert!(self.unmet(metadata).is_none(), "checked before");
        let dot = Dot {
            origin: self.origin,
            counter: self.covered.get(&self.origin) + 1,
        };
        self.time = self.time.tick(metadata.time, wall_ms);
        self.covered.raise(dot.origin, dot.counter);
        let version = Version {
            dot,
            time: self.time,
            deps: self.existing(&metadata.clocks),
            content,
        };
        debug_assert!(version.time > metadata.time, "stamps extend happens-before");
        Write {
            key,
            version: Arc::new(version),
        }
    }

    /// The groups that can name a write: while there is one shard, its own. A group of a shard that does not exist
    /// comes from no replica; kept with the version it would be handed on to every reader, for ever.
    fn existing(&self, clocks: &Arc<Clocks>) -> Arc<Clocks> {
        let exists = |domain: &Domain| *domain == self.domain;
        if clocks.iter().all(|(domain, _)| exists(domain)) {
            return clocks.clone();
        }
        let groups = clocks.iter().filter(|(domain, _)| exists(domain));
        let groups = groups.map(|(domain, clock)| (*domain, clock.clone()));
        Arc::new(groups.collect())
    }

    /// Takes a peer's batch: what is next is delivered, what is early is parked, what is covered is
    /// ignored, and what has thereby become deliverable is released.
    ///
    /// # Errors
    /// [`Superseded`] when a later life of the sender is known; nothing was taken.
    pub fn deliver(&mut self, batch: Batch) -> Result<Delivery, Superseded> {
        self.learn_life(batch.from);
        let life = self.life_of(batch.from.address);
        if life > batch.from.incarnation {
            return Err(Superseded(life));
        }
        let mut delivery = Delivery::default();
        for write in batch.writes {
            self.deliver_one(write, &mut delivery);
        }
        let direct = delivery.ready.len();
        if direct > 0 {
            self.release_into(&mut delivery.ready);
        }
        delivery.released = delivery.ready.len() - direct;
        Ok(delivery)
    }

    fn deliver_one(&mut self, write: Write, delivery: &mut Delivery) {
        let dot = write.dot();
        let gap = dot.counter > self.covered.get(&dot.origin) + 1;
        if self.covered.covers(&dot) {
            delivery.duplicates += 1;
        } else if is_deliverable(&write, &self.domain, &self.covered) {
            self.covered.raise(dot.origin, dot.counter);
            self.time = self.time.max(write.version.time);
            delivery.ready.push(write);
        } else if self.buffer.park(write).is_ok() {
            delivery.parked += 1;
            delivery.gaps += usize::from(gap);
        } else {
            delivery.dropped += 1;
        }
    }

    fn release_into(&mut self, ready: &mut Vec<Write>) {
        let released = self.buffer.release(&self.domain, &mut self.covered);
        for write in released {
            self.time = self.time.max(write.version.time);
            ready.push(write);
        }
    }

    /// Takes a state difference in one step. Returns what is to be applied, in this order: the
    /// winners that are not covered meanwhile, then what was parked for them.
    pub fn join(&mut self, cut: Cut) -> Vec<Write> {
        let Cut {
            covered,
            time,
            mut writes,
            ..
        } = cut;
        writes.retain(|write| !self.covered.covers(&write.dot()));
        let latest = writes.iter().map(|write| write.version.time).max();
        self.time = self.time.max(time).max(latest.unwrap_or_default());
        self.covered.merge(&covered);
        for (origin, _) in covered.clock().iter() {
            self.learn_life(origin);
        }
        self.release_into(&mut writes);
        writes
    }

    /// Takes note that a node lives, or has lived, in this incarnation. What earlier ones have
    /// pushed is sealed off: only joins bring it from now on, or the last counter of an ended life
    /// could never be agreed on.
    pub fn learn_life(&mut self, seen: Origin) {
        if seen.incarnation > self.life_of(seen.address) {
            self.lives.insert(seen.address, seen.incarnation);
            self.buffer.seal(seen.address, seen.incarnation);
        }
    }

    /// Whether `seen` is an earlier life of its node than the latest known.
    pub fn is_outlived(&self, seen: Origin) -> bool {
        self.successor(seen).is_some()
    }

    /// Whether a peer's digest is to be heeded: it is of this domain, and of no earlier life of the peer.
    pub fn heeds(&self, digest: &Digest) -> bool {
        digest.domain == self.domain && !self.is_outlived(digest.from)
    }

    /// The later life that is known of `seen`'s node, if there is one.
    pub fn successor(&self, seen: Origin) -> Option<Incarnation> {
        Some(self.life_of(seen.address)).filter(|life| *life > seen.incarnation)
    }

    /// Takes a new life, later than any known of this node: counters begin at 1 again, under a new
    /// origin. Everything covered stays covered.
    pub fn renew(&mut self, wall_ms: u64, random: u64) -> Origin {
        let known = self.life_of(self.origin.address);
        self.origin.incarnation = known.succeeding(wall_ms, random);
        self.lives
            .insert(self.origin.address, self.origin.incarnation);
        debug_assert_eq!(self.covered.get(&self.origin), 0, "a new origin is unused");
        self.origin
    }

    fn life_of(&self, address: Address) -> Incarnation {
        self.lives.get(&address).copied().unwrap_or_default()
    }

    /// A reading of hybrid time: every later write of this replica is stamped above it.
    pub fn promise(&mut self, wall_ms: u64) -> HlcTime {
        self.time = self.time.max(HlcTime {
            ms: wall_ms,
            count: 0,
        });
        self.time
    }

    /// As whom it numbers its writes.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Its domain.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// What it covers.
    pub fn covered(&self) -> &Coverage {
        &self.covered
    }

    /// Its hybrid time.
    pub fn time(&self) -> HlcTime {
        self.time
    }

    /// The parked writes.
    pub fn buffer(&self) -> &CausalBuffer {
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{dot, origin, write, write_after};

    const LIMITS: BufferLimits = BufferLimits {
        writes: 10,
        bytes: 1 << 20,
    };

    fn state(n: u16) -> CausalState {
        CausalState::new(origin(n), Domain::UNSHARDED, LIMITS)
    }

    fn batch(writes: Vec<Write>) -> Batch {
        Batch {
            from: writes[0].dot().origin,
            domain: Domain::UNSHARDED,
            writes,
        }
    }

    fn put(state: &mut CausalState, metadata: &mut Metadata, wall_ms: u64) -> Write {
        let key = Key::new("k").unwrap();
        let write = state.write(key, Content::Tombstone, metadata, wall_ms);
        metadata.observe(state.domain(), &write.version);
        write
    }

    #[test]
    fn a_write_is_stamped_above_what_its_client_saw_whatever_the_wall_clock_says() {
        let (mut ahead, mut behind) = (state(1), state(2));
        let mut metadata = Metadata::default();
        let first = put(&mut ahead, &mut metadata, 9_000);
        behind.deliver(batch(vec![first.clone()])).unwrap();
        let second = put(&mut behind, &mut metadata, 10);
        assert!(second.version.stamp() > first.version.stamp());
        assert_eq!(behind.unmet(&metadata), None);
        assert!(ahead.unmet(&metadata).is_some());
    }

    #[test]
    fn an_early_write_waits_and_is_delivered_after_what_it_depends_on() {
        let mut state = state(9);
        let early = state.deliver(batch(vec![write_after(2, 1, &[dot(1, 1)])]));
        assert_eq!((early.unwrap().parked, state.buffer().writes()), (1, 1));
        let delivery = state.deliver(batch(vec![write(1, 1)])).unwrap();
        let dots: Vec<Dot> = delivery.ready.iter().map(Write::dot).collect();
        assert_eq!(dots, [dot(1, 1), dot(2, 1)]);
        let again = state.deliver(batch(vec![write(1, 1)])).unwrap();
        assert_eq!((again.duplicates, again.ready.len()), (1, 0));
    }

    #[test]
    fn a_gap_of_one_origin_holds_back_its_later_writes() {
        let mut state = state(9);
        let delivery = state.deliver(batch(vec![write(1, 2), write(1, 3)]));
        assert_eq!(delivery.unwrap().parked, 2);
        assert_eq!(state.covered().get(&origin(1)), 0);
    }

    #[test]
    fn a_join_covers_and_releases_what_waited_for_it() {
        let mut state = state(9);
        state.deliver(batch(vec![write(1, 3)])).unwrap();
        let cut = Cut {
            from: origin(2),
            covered: Coverage::from_iter([(origin(1), 2)]),
            time: HlcTime { ms: 77, count: 0 },
            writes: vec![write(1, 2)],
        };
        let dots: Vec<Dot> = state.join(cut).iter().map(Write::dot).collect();
        assert_eq!(dots, [dot(1, 2), dot(1, 3)]);
        assert_eq!(state.covered().get(&origin(1)), 3);
        assert!(state.time().ms >= 77);
    }

    #[test]
    fn an_origin_never_heard_of_is_unmet_and_another_shards_is_not_checked() {
        let state = state(9);
        let mut metadata = Metadata::default();
        let other_shard = Domain {
            shard: crate::core::id::ShardId(3),
            ..Domain::UNSHARDED
        };
        Arc::make_mut(&mut metadata.clocks).cover(other_shard, dot(1, 5));
        assert_eq!(state.unmet(&metadata), None);
        Arc::make_mut(&mut metadata.clocks).cover(Domain::UNSHARDED, dot(1, 1));
        let unmet = state.unmet(&metadata).unwrap();
        assert_eq!(unmet.iter().count(), 1);
        assert_eq!(unmet.get(&Domain::UNSHARDED).unwrap().get(&origin(1)), 1);
    }

    #[test]
    fn a_group_of_a_shard_that_does_not_exist_is_not_handed_on_to_readers() {
        let mut state = state(9);
        let mut metadata = Metadata::default();
        put(&mut state, &mut metadata, 5);
        let nowhere = Domain {
            shard: crate::core::id::ShardId(7),
            ..Domain::UNSHARDED
        };
        Arc::make_mut(&mut metadata.clocks).cover(nowhere, dot(1, 5));
        let write = put(&mut state, &mut metadata, 6);
        assert_eq!(write.version.deps.get(&nowhere), None);
        let own = write.version.deps.get(&Domain::UNSHARDED);
        assert_eq!(own.map(|clock| clock.get(&origin(9))), Some(1));
    }

    #[test]
    fn a_superseded_life_is_refused_and_its_parked_writes_are_dropped() {
        let mut state = state(9);
        state.deliver(batch(vec![write(1, 2)])).unwrap();
        let later = origin(1).incarnation.succeeding(0, 0);
        state.learn_life(Origin {
            incarnation: later,
            ..origin(1)
        });
        assert_eq!(state.buffer().writes(), 0);
        let refused = state.deliver(batch(vec![write(1, 1)]));
        assert_eq!(refused, Err(Superseded(later)));
    }

    #[test]
    fn a_node_whose_own_later_life_is_known_takes_a_new_one_and_reuses_no_dot() {
        let mut state = state(1);
        let mut metadata = Metadata::default();
        put(&mut state, &mut metadata, 5);
        let later = origin(1).incarnation.succeeding(0, 0);
        state.learn_life(Origin {
            incarnation: later,
            ..origin(1)
        });
        assert!(state.is_outlived(origin(1)));
        let renewed = state.renew(5, 3);
        assert!(renewed.incarnation > later);
        assert_eq!(put(&mut state, &mut metadata, 5).dot().counter, 1);
        assert_eq!(state.unmet(&metadata), None, "the old writes stay covered");
    }
}
