//! What a replica counts, in Prometheus text. One registry per node, so that many nodes in one process
//! do not share counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
    core::{Collector, MetricVec, MetricVecBuilder},
};

use crate::core::store::Summary;
use crate::messages::mailbox::Depth;

/// Every counter and gauge of one replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Families>);

impl std::ops::Deref for Metrics {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.0
    }
}

macro_rules! families {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident($name:literal $(, $labels:expr)?);)*) => {
        /// The families; each field's help text is its documentation.
        #[derive(Debug)]
        pub struct Families {
            registry: Registry,
            mailboxes: Mutex<Vec<(&'static str, Depth)>>,
            mailbox_depth: IntGaugeVec,
            $($(#[doc = $help])+ pub $field: $kind,)*
        }

        impl Families {
            fn new(registry: Registry) -> Result<Self, prometheus::Error> {
                let depth = Opts::new("causet_mailbox_depth", "Messages that wait in an actor's mailbox.");
                let families = Self {
                    mailboxes: Mutex::default(),
                    mailbox_depth: IntGaugeVec::new(depth, &["actor"])?,
                    $($field: families!(@new $kind, $name, concat!($($help),+).trim() $(, $labels)?),)*
                    registry,
                };
                let registry = &families.registry;
                registry.register(Box::new(families.mailbox_depth.clone()))?;
                $(registry.register(Box::new(families.$field.clone()))?;)*
                Ok(families)
            }
        }
    };
    (@new HistogramVec, $name:literal, $help:expr, $labels:expr) => {
        HistogramVec::new(HistogramOpts::new($name, $help).buckets(latency_buckets()), $labels)?
    };
    (@new $kind:ident, $name:literal, $help:expr, $labels:expr) => {
        $kind::new(Opts::new($name, $help), $labels)?
    };
    (@new $kind:ident, $name:literal, $help:expr) => { $kind::new($name, $help)? };
}

families! {
    /// Requests answered, by route, method and status.
    requests: IntCounterVec("causet_http_requests_total", &["route", "method", "status"]);
    /// Seconds from the request's head to its answer, parked time included, by route.
    latency: HistogramVec("causet_http_request_seconds", &["route"]);
    /// Bytes of request bodies held now, parked requests included, by whose they are.
    body_bytes: IntGaugeVec("causet_request_body_bytes", &["from"]);
    /// Attempts to have a request answered by a member of its key's shard, by outcome.
    forwards: IntCounterVec("causet_forwards_total", &["outcome"]);
    /// Epoch of the shard map: 0 if nodes were told of no shards, one more with each deal.
    map_epoch: IntGauge("causet_shard_map_epoch");
    /// Shards that there are.
    shards: IntGauge("causet_shards");
    /// Hand-overs of what nodes had under older shard maps, by result.
    hand_overs: IntCounterVec("causet_hand_overs_total", &["result"]);
    /// Keys that were asked for by themselves, since requests waited for them, by result.
    key_hand_overs: IntCounterVec("causet_key_hand_overs_total", &["result"]);
    /// Keys that hand-overs have brought.
    keys_taken_over: IntCounter("causet_keys_taken_over_total");
    /// Bytes of the answers by which this replica has handed over to others.
    hand_over_bytes: IntCounter("causet_hand_over_bytes_total");
    /// Nodes that have not handed over yet what they may have under older shard maps.
    hand_overs_due: IntGauge("causet_hand_overs_due");
    /// Keys and tombstones that are held for the keepers of newer shard maps.
    keys_frozen: IntGauge("causet_keys_frozen");
    /// Writes accepted from clients.
    writes_accepted: IntCounter("causet_writes_accepted_total");
    /// Peers' writes applied after a push.
    writes_delivered: IntCounter("causet_writes_delivered_total");
    /// Peers' writes parked until what they depend on arrives.
    writes_parked: IntCounter("causet_writes_parked_total");
    /// Of these, writes that came before an earlier one of their own origin.
    writes_early: IntCounter("causet_writes_early_total");
    /// Parked writes that were released when what they depend on had arrived.
    writes_released: IntCounter("causet_writes_released_total");
    /// Peers' writes that were known already.
    writes_duplicate: IntCounter("causet_writes_duplicate_total");
    /// Peers' writes dropped because the causal buffer was full; a join brings them.
    writes_dropped: IntCounter("causet_writes_dropped_total");
    /// Requests refused, by reason.
    refused: IntCounterVec("causet_requests_refused_total", &["reason"]);
    /// Requests that asked to be parked and were refused because too many are.
    parked_overflows: IntCounter("causet_parked_overflows_total");
    /// Requests that were parked until their dependencies arrive.
    requests_parked: IntCounter("causet_requests_parked_total");
    /// Requests parked now.
    parked_requests: IntGauge("causet_parked_requests");
    /// Writes in the causal buffer now.
    buffer_writes: IntGauge("causet_causal_buffer_writes");
    /// Bytes in the causal buffer now.
    buffer_bytes: IntGauge("causet_causal_buffer_bytes");
    /// Writes waiting for a peer or on their way to it now.
    outbox_writes: IntGaugeVec("causet_outbox_writes", &["peer"]);
    /// Outboxes emptied because they were full; the peer is repaired by a join.
    outbox_overflows: IntCounterVec("causet_outbox_overflows_total", &["peer"]);
    /// Batches pushed to a peer, by result.
    pushes: IntCounterVec("causet_pushes_total", &["peer", "result"]);
    /// Link to a peer: 0 broken, 1 settling, 2 steady.
    link_state: IntGaugeVec("causet_link_state", &["peer"]);
    /// Joins fetched from peers, by result.
    repairs: IntCounterVec("causet_repairs_total", &["result"]);
    /// Keys that joins have brought.
    repaired_keys: IntCounter("causet_repaired_keys_total");
    /// Of these, keys whose write was made by another than the one who sent it.
    relayed_keys: IntCounter("causet_relayed_keys_total");
    /// Joins refused because as many are being read as may be.
    joins_refused: IntCounter("causet_joins_refused_total");
    /// State differences being read by peers now.
    join_sessions: IntGauge("causet_join_sessions");
    /// Replicas in the view, this one included.
    members_up: IntGauge("causet_members_up");
    /// Members that this replica has decided to forget, by reason.
    members_forgotten: IntCounterVec("causet_members_forgotten_total", &["reason"]);
    /// Keys that exist.
    keys: IntGauge("causet_keys");
    /// Keys whose latest write is a delete.
    tombstones: IntGauge("causet_tombstones");
    /// Tombstones collected: all members had everything up to their stamps.
    tombstones_collected: IntCounter("causet_tombstones_collected_total");
    /// Seconds by which the stamp up to which all members have everything is behind the wall clock; -1 while tombstones wait for a member.
    stable_age: IntGauge("causet_stable_age_seconds");
    /// 1 while there are as many tombstones as are kept for members that are down, and some member holds them back.
    tombstones_crowded: IntGauge("causet_tombstones_crowded");
    /// 1 for the member that holds tombstones back.
    held_back_by: IntGaugeVec("causet_tombstones_held_back_by", &["member"]);
    /// Ended lives whose last counters all members have agreed on, as this replica found out itself.
    lives_retired: IntCounter("causet_lives_retired_total");
    /// Final counters of ended lives remembered now.
    lives_remembered: IntGauge("causet_lives_remembered");
    /// Answers to metadata that named writes which are lost for ever.
    lost_named: IntCounter("causet_answers_with_lost_writes_total");
    /// Writes of this replica's earlier life that nobody else had, written again.
    writes_reissued: IntCounter("causet_writes_reissued_total");
    /// Of these, writes that were given up instead.
    writes_lost: IntCounter("causet_writes_given_up_total");
    /// Versions set aside since this replica was born again, until it is known what becomes of them.
    writes_aside: IntGauge("causet_writes_set_aside");
    /// The largest amount by which a peer's hybrid time was seen ahead of the wall clock here, in milliseconds.
    clock_ahead: IntGaugeVec("causet_peer_clock_ahead_ms", &["peer"]);
    /// Bytes of keys, values and their metadata.
    store_bytes: IntGauge("causet_store_bytes");
    /// Messages from peers that could not be understood, by kind.
    peer_messages_malformed: IntCounterVec("causet_peer_messages_malformed_total", &["kind"]);
    /// Times this node had to take a new incarnation because a later one of its address was known.
    incarnations_renewed: IntCounter("causet_incarnations_renewed_total");
}

/// 50 µs to 26 s.
fn latency_buckets() -> Vec<f64> {
    (0..20).map(|power| 50e-6 * f64::from(1 << power)).collect()
}

/// A size as a gauge takes it.
pub fn as_gauge(size: impl TryInto<i64>) -> i64 {
    size.try_into().unwrap_or(i64::MAX)
}

impl Metrics {
    /// All at zero.
    ///
    /// # Panics
    /// Never: the names of the families are valid and distinct, as a test shows.
    pub fn new() -> Self {
        let families = Families::new(Registry::new());
        Self(Arc::new(
            families.expect("the names are valid and distinct"),
        ))
    }

    fn mailboxes(&self) -> MutexGuard<'_, Vec<(&'static str, Depth)>> {
        // A list that is only appended to is whole even if its holder panicked.
        let lock = self.mailboxes.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// A mailbox to report the depth of.
    pub fn watch_mailbox(&self, actor: &'static str, depth: &Depth) {
        self.mailboxes().push((actor, depth.clone()));
    }

    /// Takes over the store's sizes.
    pub fn set_store(&self, summary: Summary) {
        self.keys.set(as_gauge(summary.keys));
        self.tombstones.set(as_gauge(summary.tombstones));
        self.store_bytes.set(as_gauge(summary.bytes));
    }

    /// Drops the series of a peer that is no member any more; else they would grow with every address ever met.
    pub fn drop_peer(&self, peer: &str) {
        drop_series(&self.outbox_writes, peer);
        drop_series(&self.outbox_overflows, peer);
        drop_series(&self.pushes, peer);
        drop_series(&self.link_state, peer);
        drop_series(&self.clock_ahead, peer);
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    pub fn to_text(&self) -> String {
        for (actor, depth) in self.mailboxes().iter() {
            let gauge = self.mailbox_depth.with_label_values(&[actor]);
            gauge.set(as_gauge(depth.waiting()));
        }
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        debug_assert!(encoded.is_ok(), "a vector takes every write");
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Drops the series of a family whose label `peer` is this.
fn drop_series<B: MetricVecBuilder>(family: &MetricVec<B>, peer: &str) {
    for gathered in family.collect() {
        for series in gathered.get_metric() {
            let labels = series.get_label().iter();
            let labels: HashMap<&str, &str> = labels.map(|l| (l.name(), l.value())).collect();
            if labels.get("peer") == Some(&peer) {
                // Only another thread could have dropped it meanwhile.
                let _ = family.remove(&labels);
            }
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_dropped_leaves_no_series_and_the_others_keep_theirs() {
        let metrics = Metrics::new();
        let (gone, stays) = ("10.10.0.3:8090", "10.10.0.4:8090");
        for peer in [gone, stays] {
            metrics.link_state.with_label_values(&[peer]).set(1);
            metrics.clock_ahead.with_label_values(&[peer]).set(1);
            metrics.outbox_writes.with_label_values(&[peer]).set(1);
            metrics.outbox_overflows.with_label_values(&[peer]).inc();
            for result in ["admitted", "failed"] {
                metrics.pushes.with_label_values(&[peer, result]).inc();
            }
        }
        let series = |peer: &str| metrics.to_text().matches(peer).count();
        assert_eq!((series(gone), series(stays)), (6, 6));
        metrics.drop_peer(gone);
        assert_eq!((series(gone), series(stays)), (0, 6));
    }

    #[test]
    fn every_family_registers_and_prints() {
        let metrics = Metrics::new();
        metrics.watch_mailbox("store", &Depth::with_limit(1));
        metrics.keys.set(3);
        let text = metrics.to_text();
        assert!(text.contains("\ncauset_keys 3\n"), "{text}");
        assert!(text.contains("causet_mailbox_depth{actor=\"store\"} 0"));
    }
}
