//! Many seeds: what they came to together, and whether they were worth running.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::plan::{Kind, Plan};
use super::run::{Verdict, Violation};

/// What must have happened somewhere in a batch for its silence to mean anything: a name in
/// [`Verdict::counts`], or the beginning of one.
const MUST_HAPPEN: [&str; 18] = [
    "requests_refused reason=\"unmet\"",
    "requests_refused reason=\"starting\"",
    "requests_refused reason=\"removed\"",
    "requests_refused reason=\"overloaded\"",
    "requests_refused reason=\"clock_skew\"",
    "requests_parked",
    "requests parked and done",
    "requests after reads in another shard",
    "parked_overflows",
    "writes_parked",
    "writes_released",
    "writes_early",
    "writes_dropped",
    "outbox_overflows",
    "repairs result=\"ok\"",
    "relayed_keys",
    "pushes result=\"unsteady\"",
    "joins_refused",
];

/// The same for a batch with faults about the life and end of origins.
const ENDS_MUST_HAPPEN: [&str; 10] = [
    "lives_retired",
    "answers that told of lost writes",
    "answers clamped",
    "tombstones_collected",
    "incarnations_renewed",
    "writes_reissued",
    "members_forgotten reason=\"age\"",
    "members_forgotten reason=\"room\"",
    "members_forgotten reason=\"operator\"",
    "pushes result=\"superseded\"",
];

/// The same for a batch of clusters with shards.
const SHARDS_MUST_HAPPEN: [&str; 9] = [
    "forwards outcome=\"answered\"",
    "forwards outcome=\"unanswered\"",
    "forwards outcome=\"unreachable\"",
    "forwards outcome=\"not_serving\"",
    "forwards outcome=\"other_map\"",
    "forwards answered by another member",
    "forwards refused for unmet metadata",
    "requests done by a node without a shard",
    "members added",
];

/// The same for a batch in which keys are dealt anew.
const DEALS_MUST_HAPPEN: [&str; 9] = [
    "shards dealt anew",
    "hand_overs result=\"ok\"",
    "keys_taken_over",
    "key_hand_overs result=\"ok\"",
    "requests_refused reason=\"moved\"",
    "requests that waited for a hand-over",
    "maps superseded by a larger one",
    "late hand-overs",
    "answers without groups of closed maps",
];

/// The sum of many runs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Batch {
    /// Seeds run.
    pub seeds: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// How often what happened.
    pub counts: BTreeMap<String, u64>,
    /// In how many plans each kind of fault was.
    pub kinds: BTreeMap<String, u64>,
    /// The seeds that broke a promise, and which.
    pub failures: BTreeMap<u64, Vec<Violation>>,
}

impl Batch {
    /// Adds one run.
    pub fn add(&mut self, plan: &Plan, verdict: Verdict) {
        self.seeds += 1;
        self.simulated_ms += verdict.simulated_ms;
        for (name, value) in verdict.counts {
            *self.counts.entry(name).or_default() += value;
        }
        for kind in &plan.kinds {
            *self.kinds.entry(format!("{kind:?}")).or_default() += 1;
        }
        if !verdict.violations.is_empty() {
            self.failures.insert(plan.seed, verdict.violations);
        }
    }

    /// Adds another batch.
    pub fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.simulated_ms += other.simulated_ms;
        for (name, value) in other.counts {
            *self.counts.entry(name).or_default() += value;
        }
        for (name, value) in other.kinds {
            *self.kinds.entry(name).or_default() += value;
        }
        self.failures.extend(other.failures);
    }

    /// What never happened in the whole batch, though it must: then it has proved less than it seems to.
    pub fn never_happened(&self) -> Vec<String> {
        let count = |name: &str| self.counts.get(name).copied().unwrap_or(0);
        let had = |kind: &Kind| self.kinds.contains_key(&format!("{kind:?}"));
        let (ends, shards) = (
            Kind::OF_ENDS.iter().any(had),
            Kind::OF_SHARDS.iter().any(had),
        );
        let of_ends = Kind::OF_ENDS.iter().filter(|_| ends);
        let of_shards = Kind::OF_SHARDS.iter().filter(|_| shards);
        let kinds = Kind::ALL.iter().chain(of_ends).chain(of_shards);
        let kinds: BTreeSet<String> = kinds.map(|kind| format!("{kind:?}")).collect();
        let ends = ENDS_MUST_HAPPEN.into_iter().filter(|_| ends);
        let shards = SHARDS_MUST_HAPPEN.into_iter().filter(|_| shards);
        let deals = DEALS_MUST_HAPPEN
            .into_iter()
            .filter(|_| had(&Kind::Reshard));
        let events = MUST_HAPPEN
            .into_iter()
            .chain(ends)
            .chain(shards)
            .chain(deals);
        let events = events.filter(|name| count(name) == 0);
        let kinds = kinds
            .into_iter()
            .filter(|kind| !self.kinds.contains_key(kind));
        events.map(str::to_owned).chain(kinds).collect()
    }
}
