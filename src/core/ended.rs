//! What is remembered of lives that are over: their final counters, and the markers that stand in for them.
//!
//! A *marker* is the keyless write by which a replica made it known that the lives of an address below some life have ended;
//! it depends on all their final counters. In metadata it takes the place of every entry of such a life, so that a replica that has
//! lost its memory does not pass for one that has those writes (design §5, ADR 11).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::coverage::Coverage;
use super::given_up::GivenUp;
use super::id::{Address, Domain, Dot, Origin, ShardId};
use super::inheritance::Closed;
use super::metadata::Metadata;

/// The last counter that all members agreed on for a life that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Final {
    /// The counter, from 1.
    pub counter: u64,
    /// Hybrid time of the agreement, in milliseconds.
    pub at_ms: u64,
    /// Whether what goes beyond it is lost for certain: nobody who might have more was forgotten.
    pub gone: bool,
}

/// Writes that are lost for ever, or of which nobody can tell any more: by origin, from and to which counter.
pub type Lost = BTreeMap<Origin, (u64, u64)>;

/// The memory of ended lives of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ended {
    finals: BTreeMap<Origin, Final>,
    /// By address: the latest marker.
    markers: BTreeMap<Address, Dot>,
    /// What all have given up.
    given_up: GivenUp,
}

/// How much is remembered, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedLimits {
    /// Final counters; beyond, those agreed on first go.
    pub finals: usize,
    /// Milliseconds of hybrid time for which a final counter is kept.
    pub keep_ms: u64,
}

impl Ended {
    /// Nothing has ended.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of an agreement of this moment: these were the last counters, and this write says so; and whether there can be no
    /// more of those lives anywhere.
    pub fn note(&mut self, address: Address, finals: &Clock, marker: Dot, at_ms: u64, gone: bool) {
        let finals = finals
            .iter()
            .filter(|(origin, _)| origin.address == address);
        for (origin, counter) in finals {
            let last = Final {
                counter,
                at_ms,
                gone,
            };
            self.finals.insert(origin, last);
        }
        self.markers.insert(address, marker);
    }

    /// Takes note that nobody had agreed on anything of this life.
    pub fn note_none(&mut self, life: Origin, at_ms: u64) {
        let none = Final {
            counter: 0,
            at_ms,
            gone: false,
        };
        self.finals.entry(life).or_insert(none);
    }

    /// All members have given these up.
    pub fn give_up(&mut self, given_up: &GivenUp) {
        self.given_up.merge(given_up);
    }

    /// Whether a write of an ended life was not agreed on, and somebody may still write it again.
    pub fn is_open(&self, origin: &Origin, counter: u64) -> bool {
        let dot = Dot {
            origin: *origin,
            counter,
        };
        let last = self.finals.get(origin);
        // Of a life that nothing is known of, nobody can say that it has ended: a clock may have been set back across a restart.
        let gone = last.is_some_and(|last| last.gone);
        counter > last.map_or(0, |last| last.counter) && !gone && !self.given_up.covers(&dot)
    }

    /// Takes over what another replica remembers: its marker of an address where this one has none, or where the
    /// other's floor is `higher`.
    pub fn merge(&mut self, other: &Self, higher: impl Fn(&Address) -> bool) {
        for (origin, theirs) in &other.finals {
            self.finals.entry(*origin).or_insert(*theirs);
        }
        for (address, theirs) in &other.markers {
            let ours = self.markers.entry(*address).or_insert(*theirs);
            if higher(address) {
                *ours = *theirs;
            }
        }
        self.given_up.merge(&other.given_up);
    }

    /// Lets go what is too old or too much.
    pub fn expire(&mut self, now_ms: u64, limits: EndedLimits) {
        self.finals
            .retain(|_, f| now_ms.saturating_sub(f.at_ms) < limits.keep_ms);
        while self.finals.len() > limits.finals {
            let first = self
                .finals
                .iter()
                .min_by_key(|(origin, f)| (f.at_ms, **origin));
            let Some((&origin, _)) = first else { return };
            self.finals.remove(&origin);
        }
    }

    /// The final counter of a life, if it is remembered.
    pub fn counter(&self, origin: &Origin) -> Option<u64> {
        self.finals.get(origin).map(|f| f.counter)
    }

    /// All final counters that are remembered.
    pub fn counters(&self) -> impl Iterator<Item = (Origin, u64)> + '_ {
        self.finals.iter().map(|(origin, f)| (*origin, f.counter))
    }

    /// The marker of an address.
    pub fn marker(&self, address: &Address) -> Option<Dot> {
        self.markers.get(address).copied()
    }

    /// Final counters remembered.
    pub fn len(&self) -> usize {
        self.finals.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.finals.is_empty()
    }

    /// The first origin that `have` counts further than was agreed on, of those that `ends` are over: whoever has such writes took no
    /// part in the agreement.
    pub fn first_exceeded(&self, have: &Clock, ends: &Coverage) -> Option<Origin> {
        let exceeded = |(origin, counter): &(Origin, u64)| {
            ends.has_ended(origin) && *counter > self.counter(origin).unwrap_or(0)
        };
        have.iter().find(exceeded).map(|(origin, _)| origin)
    }
}

/// Floors and the memory of what is below them, as they were at one moment: what answers are settled by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settlement {
    of: Option<(Origin, Domain)>,
    covered: Coverage,
    ended: Ended,
    closed: Option<Arc<Closed>>,
}

impl Settlement {
    /// That of a replica of `domain` that lives as `origin` and covers this.
    pub fn new(origin: Origin, domain: Domain, covered: &Coverage, ended: &Ended) -> Self {
        Self {
            of: Some((origin, domain)),
            covered: covered.floors_alone(),
            ended: ended.clone(),
            closed: None,
        }
    }

    /// That of a replica that knows that older maps are closed.
    #[must_use]
    pub fn with_closed(self, closed: Option<Arc<Closed>>) -> Self {
        Self { closed, ..self }
    }

    /// Which older maps are closed.
    pub fn closed(&self) -> Option<&Arc<Closed>> {
        self.closed.as_ref()
    }

    /// The floors.
    pub fn floors(&self) -> &Coverage {
        &self.covered
    }

    /// What is remembered of the lives below them.
    pub fn ended(&self) -> &Ended {
        &self.ended
    }

    /// Whether it was made with the floors that this coverage has.
    pub fn has_floors_of(&self, covered: &Coverage) -> bool {
        self.covered.floors() == covered.floors()
    }

    /// In which life of which replica it was made; `None` for that of nobody.
    pub fn origin(&self) -> Option<Origin> {
        self.of.map(|(origin, _)| origin)
    }

    /// In which domain that was.
    pub fn domain(&self) -> Option<Domain> {
        self.of.map(|(_, domain)| domain)
    }

    /// What this metadata names beyond the final counters.
    pub fn lost(&self, metadata: &Metadata) -> Lost {
        let group = self.of.and_then(|(_, domain)| metadata.clocks.get(&domain));
        let entries = group.into_iter().flat_map(Clock::iter);
        let ended = entries.filter(|(origin, _)| self.covered.has_ended(origin));
        let beyond = ended.filter_map(|(origin, named)| {
            let last = self.ended.counter(&origin).unwrap_or(0);
            (named > last).then_some((origin, (last + 1, named)))
        });
        beyond.collect()
    }

    /// Replaces the entries of ended lives by their addresses' markers, and the groups of closed maps by one that names the map which has
    /// followed them, unless another group does.
    pub fn settle(&self, metadata: &mut Metadata) {
        if metadata.clocks.is_empty() {
            return;
        }
        self.settle_own(metadata);
        if let Some(closed) = &self.closed {
            leave_out(closed, metadata);
        }
    }

    fn settle_own(&self, metadata: &mut Metadata) {
        let Some((_, domain)) = self.of else { return };
        let Some(group) = metadata.clocks.get(&domain) else {
            return;
        };
        if !group
            .iter()
            .any(|(origin, _)| self.covered.has_ended(&origin))
        {
            return;
        }
        let settled = self.settled(group);
        Arc::make_mut(&mut metadata.clocks).set(domain, settled);
    }

    fn settled(&self, group: &Clock) -> Clock {
        let mut clock = group.clone();
        let mut done = BTreeSet::new();
        loop {
            let ended = clock.iter().map(|(origin, _)| origin);
            let ended: Vec<Origin> = ended.filter(|o| self.covered.has_ended(o)).collect();
            if ended.is_empty() {
                return clock;
            }
            clock.retain(|origin| !self.covered.has_ended(origin));
            // A marker's own maker may have ended since; then that one's marker covers it.
            for address in ended.into_iter().map(|origin| origin.address) {
                if let (true, Some(marker)) = (done.insert(address), self.ended.marker(&address)) {
                    clock.raise(marker.origin, marker.counter);
                }
            }
        }
    }
}

fn leave_out(closed: &Closed, metadata: &mut Metadata) {
    let names_no_shard =
        |domain: &Domain| domain.map == closed.map && domain.shard == ShardId::NONE;
    let goes = |(domain, group): (&Domain, &Clock)| {
        names_no_shard(domain) || closed.satisfies(domain, group)
    };
    let names_it = |(domain, _): (&Domain, _)| domain.map >= closed.map && !names_no_shard(domain);
    let is_named = metadata.clocks.iter().any(names_it);
    if is_named && !metadata.clocks.iter().any(goes) {
        return;
    }
    let stays = metadata.clocks.iter().filter(|group| !goes(*group));
    let stays = stays.map(|(domain, group)| (*domain, group.clone()));
    let named = closed.stand_in().filter(|_| !is_named);
    metadata.clocks = Arc::new(stays.chain(named).collect());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{dot, origin};

    fn clock(entries: &[(u16, u64)]) -> Clock {
        entries.iter().map(|&(n, c)| (origin(n), c)).collect()
    }

    fn metadata(entries: &[(u16, u64)]) -> Metadata {
        let mut metadata = Metadata::default();
        Arc::make_mut(&mut metadata.clocks).set(Domain::UNSHARDED, clock(entries));
        metadata
    }

    /// Of origin 1, which ended at counter 5, and perhaps 2, which ended at 9 and had made the marker of 1.
    fn settlement(ended: &[u16]) -> Settlement {
        let (mut covered, mut memory) = (Coverage::new(), Ended::new());
        for &n in ended {
            let (finals, marker) = match n {
                1 => (clock(&[(1, 5)]), dot(2, 9)),
                _ => (clock(&[(2, 9)]), dot(3, 4)),
            };
            covered.end(origin(n).address, origin(n).incarnation.next());
            memory.note(origin(n).address, &finals, marker, 0, true);
        }
        Settlement::new(origin(9), Domain::UNSHARDED, &covered, &memory)
    }

    #[test]
    fn a_marker_stands_in_for_what_has_ended() {
        let mut given = metadata(&[(1, 3), (4, 1)]);
        settlement(&[1]).settle(&mut given);
        assert_eq!(given.clocks, metadata(&[(2, 9), (4, 1)]).clocks);
        settlement(&[1, 2]).settle(&mut given);
        assert_eq!(given.clocks, metadata(&[(3, 4), (4, 1)]).clocks);
    }

    #[test]
    fn what_is_named_beyond_the_final_counter_is_lost_and_nothing_else() {
        assert!(
            settlement(&[1])
                .lost(&metadata(&[(1, 5), (2, 77)]))
                .is_empty()
        );
        let lost = settlement(&[1]).lost(&metadata(&[(1, 7)]));
        assert_eq!(lost, Lost::from([(origin(1), (6, 7))]));
    }

    #[test]
    fn without_a_final_counter_all_that_is_named_may_be_lost() {
        let mut covered = Coverage::new();
        covered.end(origin(1).address, origin(1).incarnation.next());
        let settlement = Settlement::new(origin(9), Domain::UNSHARDED, &covered, &Ended::new());
        let lost = settlement.lost(&metadata(&[(1, 7)]));
        assert_eq!(lost, Lost::from([(origin(1), (1, 7))]));
        let mut given = metadata(&[(1, 7)]);
        settlement.settle(&mut given);
        assert!(given.clocks.is_empty());
    }

    #[test]
    fn who_has_more_than_was_agreed_on_took_no_part_in_it() {
        let (mut ends, mut memory) = (Coverage::new(), Ended::new());
        ends.end(origin(1).address, origin(1).incarnation.next());
        memory.note(origin(1).address, &clock(&[(1, 5)]), dot(2, 9), 0, true);
        assert_eq!(
            memory.first_exceeded(&clock(&[(1, 5), (3, 9)]), &ends),
            None
        );
        assert_eq!(
            memory.first_exceeded(&clock(&[(1, 6)]), &ends),
            Some(origin(1))
        );
    }

    #[test]
    fn final_counters_are_kept_for_a_time_and_up_to_a_number() {
        let mut memory = Ended::new();
        for n in 1..=3 {
            let at_ms = u64::from(n) * 100;
            memory.note(origin(n).address, &clock(&[(n, 1)]), dot(9, 1), at_ms, true);
        }
        let limits = EndedLimits {
            finals: 1,
            keep_ms: 200,
        };
        memory.expire(350, limits);
        assert_eq!((memory.len(), memory.counter(&origin(3))), (1, Some(1)));
        memory.expire(500, limits);
        assert!(memory.is_empty());
    }
}
