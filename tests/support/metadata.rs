//! The client's side of metadata: a text that goes back as it came.
//!
//! The functions that look inside are for tests that must forge a dependency; the shape they rely
//! on is `{"stamp":[ms,count],"clocks":{"MAP/SHARD":{"IP:PORT@INCARNATION":counter}}}`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The domain of a cluster that was never sharded.
pub(crate) const UNSHARDED: &str = "0/s0";

/// Clocks by domain: origin → counter.
pub(crate) type Clocks = BTreeMap<String, BTreeMap<String, u64>>;

/// Metadata as a client keeps it: JSON text, opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct V(String);

impl V {
    /// What a client sends at first.
    pub(crate) fn none() -> Self {
        Self::raw("null")
    }

    /// Any text in the place of metadata.
    pub(crate) fn raw(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Metadata that depends on these writes of the unsharded domain.
    pub(crate) fn needing(entries: &[(&str, u64)]) -> Self {
        Self::in_domain(UNSHARDED, entries)
    }

    /// Metadata with entries in one domain, seen long ago.
    pub(crate) fn in_domain(domain: &str, entries: &[(&str, u64)]) -> Self {
        let clock: BTreeMap<_, _> = entries.iter().copied().collect();
        Self::raw(json!({"stamp": [1, 0], "clocks": {domain: clock}}).to_string())
    }

    /// Metadata without dependencies that has seen this wall-clock time.
    pub(crate) fn stamped(ms: u64) -> Self {
        Self::raw(json!({"stamp": [ms, 0], "clocks": {}}).to_string())
    }

    /// This, and the entries of `other` besides.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut clocks = self.clocks();
        for (domain, entries) in other.clocks() {
            clocks.entry(domain).or_default().extend(entries);
        }
        let stamp = self.stamp().max(other.stamp());
        Self::raw(json!({"stamp": stamp, "clocks": clocks}).to_string())
    }

    /// Its text.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Its clocks.
    #[track_caller]
    pub(crate) fn clocks(&self) -> Clocks {
        let json: Value = serde_json::from_str(&self.0).expect("metadata is JSON");
        serde_json::from_value(json["clocks"].clone()).expect("metadata has clocks")
    }

    /// Its stamp.
    #[track_caller]
    pub(crate) fn stamp(&self) -> (u64, u64) {
        let json: Value = serde_json::from_str(&self.0).expect("metadata is JSON");
        serde_json::from_value(json["stamp"].clone()).expect("metadata has a stamp")
    }

    /// The origin of the only entry of its only domain: who made the first write of all.
    #[track_caller]
    pub(crate) fn only_entry(&self) -> (String, u64) {
        let clocks = self.clocks();
        assert_eq!(clocks.len(), 1, "{self:?}");
        let clock = clocks.get(UNSHARDED).expect("the unsharded domain");
        assert_eq!(clock.len(), 1, "{self:?}");
        clock.clone().pop_first().expect("one entry")
    }

    /// Metadata that depends on the write after the one that `self` names, which is not made yet.
    #[track_caller]
    pub(crate) fn of_the_next_write(&self) -> Self {
        let (origin, counter) = self.only_entry();
        Self::needing(&[(&origin, counter + 1)])
    }

    /// Whether all that `other` depends on is here too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let here = self.clocks();
        let has = |domain: &String, origin: &String, counter: u64| {
            let clock = here.get(domain);
            clock
                .and_then(|c| c.get(origin))
                .is_some_and(|&c| c >= counter)
        };
        let all = |(domain, clock): (&String, &BTreeMap<String, u64>)| {
            clock.iter().all(|(origin, &n)| has(domain, origin, n))
        };
        self.stamp() >= other.stamp() && other.clocks().iter().all(all)
    }
}
