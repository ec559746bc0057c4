//! The one ordering point of a replica: what it covers, what it may apply, what it must refuse.
//!
//! Invariants:
//! - a write is covered only if all that it depends on (in this domain) is covered;
//! - counters of this node's own origin run 1, 2, 3 … and no dot is ever given to two writes;
//! - hybrid time is above that of every write applied here, so a new write is stamped above all that
//!   it depends on.
//!
//! The rules are those of causally consistent stores with explicit dependencies (Lloyd et al.,
//! COPS, 2011; Bailis et al., "Bolt-on Causal Consistency", 2013). How lives end, and what may be dropped when, is in
//! `causality/ends.rs`; whose pushes and joins are taken in `causality/admission.rs`; who is told of losses in `causality/giving_up.rs`. What is absent on purpose: values, which are the store's, and any notion of who is up, which is the view's.

mod admission;
mod ends;
mod giving_up;
mod inheriting;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::agreement::Reports;
use super::causal_buffer::{BufferLimits, CausalBuffer, is_deliverable};
use super::clock::{Clock, Clocks};
use super::coverage::Coverage;
use super::ended::{Ended, Settlement};
use super::frontier::{Held, Promises};
use super::given_up::{GivenUp, Tails};
use super::id::{Domain, Dot, Incarnation, Key, Origin};
use super::inheritance::{Inheritance, OlderWrites};
use super::join::Cut;
use super::metadata::Metadata;
use super::roster::Lives;
use super::sharding::map::Deal;
use super::sharing::Sharing;
use super::stamp::{HlcTime, Stamp};
use super::wire::{Batch, Collected};
use super::write::{Content, Version, Write};

pub use self::admission::{Untaken, Unusable};
pub use self::ends::EndRules;
pub use self::inheriting::Leaving;

/// Coverage, hybrid time and causal buffer of one replica in one domain, and what it knows of the lives in it.
#[derive(Debug)]
pub struct CausalState {
    origin: Origin,
    domain: Domain,
    /// What is here of older maps.
    inherited: Inheritance,
    covered: Coverage,
    time: HlcTime,
    buffer: CausalBuffer,
    lives: Lives,
    /// Somebody has said that this replica's life is over; the next one must be later than this.
    outlived: Incarnation,
    reports: Reports,
    promises: Promises,
    ended: Ended,
    /// Of `covered` and `ended`, for answers.
    settlement: Arc<Settlement>,
    /// What this replica will not write again, and nobody else who has heard of it.
    given_up: GivenUp,
    /// What clients have asked about, to be given up.
    wishes: Tails,
    /// What earlier lives of this replica had covered, as long as their winners are set aside.
    aside: Option<Clock>,
    /// Tombstones up to here are gone.
    collected: Option<Collected>,
    /// What this replica says of its frontier.
    frontier: Held,
    /// Up to where it has ever had everything.
    whole: HlcTime,
    /// The newest tombstone that was applied here.
    newest_tombstone: HlcTime,
    /// Of every life that goes on: none of its winners here is stamped lower.
    lowest_times: BTreeMap<Origin, HlcTime>,
    sharing: Sharing,
}

/// What a batch has led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// To be applied, in this order; they are covered already.
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

/// What a join has brought, to be applied.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Writes of this domain, in this order.
    pub writes: Vec<Write>,
    /// Winners of older domains.
    pub older: Vec<OlderWrites>,
}

impl CausalState {
    /// An empty state that numbers its writes as `origin`. That the map of the domain has more than one shard it is told later.
    pub fn new(origin: Origin, domain: Domain, limits: BufferLimits) -> Self {
        let deal = Deal {
            since: domain.map,
            shards: 1,
        };
        Self {
            origin,
            domain,
            inherited: Inheritance::new(origin.address, deal, None),
            covered: Coverage::new(),
            time: HlcTime::ZERO,
            buffer: CausalBuffer::new(limits),
            lives: Lives::new(origin),
            outlived: Incarnation::UNKNOWN,
            reports: Reports::new(),
            promises: Promises::new(),
            ended: Ended::new(),
            settlement: Arc::new(Settlement::new(
                origin,
                domain,
                &Coverage::new(),
                &Ended::new(),
            )),
            given_up: GivenUp::new(),
            wishes: Tails::new(),
            aside: None,
            collected: None,
            frontier: Held::default(),
            whole: HlcTime::ZERO,
            newest_tombstone: HlcTime::ZERO,
            lowest_times: BTreeMap::new(),
            sharing: Sharing::new(),
        }
    }

    /// What of `metadata` this replica has not seen, `None` if it has seen all. What was lost with an ended life counts as not seen
    /// until all have given it up. Groups of other
    /// shards under the same map are not its to check; groups of older maps only as far as they can concern `key`, if one is given.
    pub fn unmet(&self, key: Option<&Key>, metadata: &Metadata) -> Option<Clocks> {
        let missing = |(domain, need): (&Domain, &Clock)| {
            let missing = if *domain == self.domain {
                let mut missing = self.covered.lacking(need);
                for (origin, counter) in self.undecided(need).iter() {
                    missing.raise(origin, counter);
                }
                missing
            } else if domain.map == self.domain.map {
                Clock::new()
            } else {
                self.inherited.lacking(key, domain, need)
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

    /// Makes the next write of this replica. The caller has checked that `metadata` is met. What it names of ended
    /// lives is no dependency any more: their addresses' markers are.
    pub fn write(&mut self, key: Key, content: Content, metadata: Metadata, wall_ms: u64) -> Write {
        self.make(key, content, metadata, wall_ms, None)
    }

    fn make(
        &mut self,
        key: Key,
        content: Content,
        mut metadata: Metadata,
        wall_ms: u64,
        first: Option<Stamp>,
    ) -> Write {
        debug_assert!(
            metadata
                .clocks
                .get(&self.domain)
                .is_none_or(|need| !self.covered.lacks_any(need)),
            "checked before"
        );
        self.settlement.settle(&mut metadata);
        let time = self.time.tick(metadata.time, wall_ms);
        let deps = self.existing(&metadata.clocks);
        let version = Version {
            dot: self.next_dot(),
            time,
            first: first.map(Box::new),
            deps,
            content,
        };
        debug_assert!(version.time > metadata.time, "stamps extend happens-before");
        let write = Write {
            key,
            version: Arc::new(version),
        };
        self.cover(&write);
        write
    }

    fn next_dot(&self) -> Dot {
        Dot {
            origin: self.origin,
            counter: self.covered.get(&self.origin) + 1,
        }
    }

    /// Takes note that this write is applied now, the next of its origin.
    fn cover(&mut self, write: &Write) {
        let (dot, time) = (write.dot(), write.version.time);
        self.covered.raise(dot.origin, dot.counter);
        self.observe(write);
        debug_assert!(self.time >= time);
    }

    /// Takes note of the stamp of a write that is applied.
    fn observe(&mut self, write: &Write) {
        let (origin, time) = (write.dot().origin, write.version.time);
        self.time = self.time.max(time);
        let first = self.lowest_times.entry(origin).or_insert(time);
        *first = (*first).min(time);
        if write.version.content == Content::Tombstone {
            self.newest_tombstone = self.newest_tombstone.max(time);
        }
    }

    /// The groups that can name a write: of the shards that there are, or were. A group of a shard that never existed
    /// comes from no replica; kept with the version it would be handed on to every reader, for ever.
    fn existing(&mut self, clocks: &Arc<Clocks>) -> Arc<Clocks> {
        let exists = |(domain, _): &(&Domain, &Clock)| self.inherited.exists(domain);
        if clocks.iter().all(|group| exists(&group)) {
            return self.sharing.share(clocks.clone());
        }
        let groups = clocks.iter().filter(exists);
        let groups = groups.map(|(domain, clock)| (*domain, clock.clone()));
        self.sharing.share(Arc::new(groups.collect()))
    }

    /// Takes a peer's batch: what is next is delivered, what is early is parked, what is covered is
    /// ignored, and what has thereby become deliverable is released.
    ///
    /// # Errors
    /// [`Untaken`] says why nothing was taken.
    pub fn deliver(&mut self, batch: Batch) -> Result<Delivery, Untaken> {
        self.learn_life(batch.from);
        self.check_batch(&batch)?;
        let mut delivery = Delivery::default();
        for write in batch.writes {
            self.deliver_one(write, &mut delivery);
        }
        let direct = delivery.ready.len();
        if direct > 0 {
            delivery.released = self.release_into(&mut delivery.ready);
        }
        Ok(delivery)
    }

    fn deliver_one(&mut self, write: Write, delivery: &mut Delivery) {
        let dot = write.dot();
        let gap = dot.counter > self.covered.get(&dot.origin) + 1;
        if self.covered.covers(&dot) {
            delivery.duplicates += 1;
        } else if is_deliverable(&write, &self.domain, &self.covered) {
            self.cover(&write);
            delivery.ready.push(write);
        } else if self.buffer.park(write).is_ok() {
            delivery.parked += 1;
            delivery.gaps += usize::from(gap);
        } else {
            delivery.dropped += 1;
        }
    }

    /// Appends what has become deliverable, and heeds the markers among all that is ready, which are not for the store.
    /// Returns how many writes had been parked.
    fn release_into(&mut self, ready: &mut Vec<Write>) -> usize {
        let mut released = 0;
        loop {
            let writes = self.buffer.release(&self.domain, &mut self.covered);
            released += writes.len();
            for write in writes {
                self.observe(&write);
                ready.push(write);
            }
            if !self.heed_markers(ready) {
                return released;
            }
        }
    }

    /// Takes a state difference in one step. Returns what is to be applied, in this order: the
    /// winners that are not covered meanwhile, then what was parked for them.
    ///
    /// # Errors
    /// [`Unusable`] says why nothing of it was taken.
    pub fn join(&mut self, mut cut: Cut) -> Result<Joined, Unusable> {
        self.check_cut(&cut)?;
        let older = std::mem::take(&mut cut.older);
        let older = self.take_older(older, &cut.rest.inherited);
        let Cut {
            from,
            covered,
            time,
            mut writes,
            rest,
            ..
        } = cut;
        writes.retain(|write| !self.covered.covers(&write.dot()));
        self.time = self.time.max(time);
        for write in &writes {
            self.observe(write);
        }
        let promised: Vec<Origin> = rest.promises.iter().map(|(origin, _)| *origin).collect();
        self.merge_ends(&covered, rest);
        let named = covered.clock().iter().map(|(origin, _)| origin);
        // A life of which nothing is known but its promise would hold the frontier back for ever.
        for life in named.chain(promised).chain([from]) {
            self.learn_life(life);
        }
        self.release_into(&mut writes);
        Ok(Joined { writes, older })
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
mod tests;
