//! Settings: every default with its unit and reason.
//!
//! What an operator wrote arrives as texts ([`Given`]), each with the flag or variable that it came
//! from, and leaves as [`Settings`] that hold together, or as one [`SettingsError`]. [`SETTINGS`] lists
//! every setting once; flags, variables, help and validation are all read from it. Pure: nothing here
//! looks at the environment.

mod error;
mod table;
#[cfg(test)]
mod tests;
mod validate;

pub use error::{SettingsError, Source};
pub use table::{Kind, Number, SETTINGS, Setting, Unit};
pub use validate::Given;

use std::net::{IpAddr, Ipv4Addr};

use crate::core::id::Address;
use crate::core::sharding::map::{ShardMap, TooFewNodes};

/// Everything that one replica is told at its start; validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `SOCKET_ADDRESS`: by which peers reach this replica.
    pub address: Address,
    /// Interface to listen on, TCP and UDP alike, at the port of `address`.
    pub listen: IpAddr,
    /// `VIEW`: all replicas at the start, this one included, sorted.
    pub view: Vec<Address>,
    /// `SHARD_COUNT`: how many shards the nodes of `view` are dealt to; `None` joins what it finds.
    pub shard_count: Option<usize>,
    /// Links, batches, buffers, joins.
    pub replication: Replication,
    /// Failure detection.
    pub membership: Membership,
    /// What clients may use up.
    pub limits: Limits,
    /// What is logged, in the filter syntax of `env_logger`: our own events, and what libraries warn of.
    pub log: String,
}

impl Settings {
    /// The defaults for a replica at `address` among `view`.
    pub fn new(address: Address, mut view: Vec<Address>) -> Self {
        view.push(address);
        view.sort_unstable();
        view.dedup();
        Self {
            address,
            listen: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            view,
            shard_count: None,
            replication: Replication::default(),
            membership: Membership::default(),
            limits: Limits::default(),
            log: "warn,actix_http=off,causet=info".to_owned(),
        }
    }

    /// The shard map that these settings describe; the cluster may have a later one.
    ///
    /// # Errors
    /// [`TooFewNodes`] if some shard would have fewer than it must; validated settings never fail.
    pub fn shard_map(&self) -> Result<ShardMap, TooFewNodes> {
        match self.shard_count {
            None => Ok(ShardMap::implicit()),
            Some(shards) => ShardMap::first(&self.view, shards),
        }
    }
}

/// How writes travel between replicas, and how gaps are repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replication {
    /// Time between heartbeats (digest and link probe in one). Half of `link_break_ms`.
    pub heartbeat_ms: u64,
    /// Silence after which a link counts as broken: two heartbeats.
    pub link_break_ms: u64,
    /// An outage of at least this long is followed by the whole `settle_ms`; a shorter one by twice its length.
    pub outage_long_ms: u64,
    /// How long a link must answer after a long outage before data flows again (contract §3: 2.5 s).
    pub settle_ms: u64,
    /// A link that keeps flapping is joined over all the same, this long after its first answer.
    pub settle_at_most_ms: u64,
    /// How long a starting replica waits for a live peer before it serves what it has (contract §3: 500 ms).
    pub bootstrap_ms: u64,
    /// Longest wait for the answer to a push or a page of a join.
    pub call_timeout_ms: u64,
    /// Writes that wait for one peer; beyond, all are dropped and the peer is repaired by a join.
    pub outbox_max_writes: usize,
    /// Their bytes; beyond, as above.
    pub outbox_max_bytes: usize,
    /// Writes in one batch.
    pub batch_max_writes: usize,
    /// Bytes in one batch (one write may be larger and travels alone) and in one page of a join.
    pub batch_max_bytes: usize,
    /// Writes parked until what they depend on arrives; beyond, they are dropped and a join asked for.
    pub buffer_max_writes: usize,
    /// Their bytes; beyond, as above.
    pub buffer_max_bytes: usize,
    /// State differences being read by peers at once; one more is refused and asked again.
    pub join_sessions_max: usize,
    /// How long a state difference is kept for a peer that does not ask for its next page.
    pub join_session_ms: u64,
    /// How long a stopping replica tries to hand its outboxes to its peers.
    pub flush_ms: u64,
}

impl Default for Replication {
    fn default() -> Self {
        Self {
            heartbeat_ms: 250,
            link_break_ms: 500,
            outage_long_ms: 1_000,
            settle_ms: 2_500,
            settle_at_most_ms: 5_000,
            bootstrap_ms: 500,
            call_timeout_ms: 2_000,
            outbox_max_writes: 10_000,
            outbox_max_bytes: 64 << 20,
            batch_max_writes: 1_000,
            batch_max_bytes: 1 << 20,
            buffer_max_writes: 10_000,
            buffer_max_bytes: 64 << 20,
            join_sessions_max: 4,
            join_session_ms: 3_000,
            flush_ms: 1_000,
        }
    }
}

/// Failure detection by SWIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Every such period one member is probed.
    pub probe_period_ms: u64,
    /// Wait for a direct answer before others are asked to probe. Smaller than the period.
    pub probe_rtt_ms: u64,
    /// How long a suspect has to refute before it counts as down.
    pub suspicion_ms: u64,
    /// How long members never seen yet stay in the view (contract §3: 10 s).
    pub startup_grace_ms: u64,
    /// How long a member is down until it is forgotten, 0 for never: what only it holds may be missing for as
    /// long, and deletes are kept for it.
    pub forget_after_ms: u64,
    /// Members and removal marks kept; a PUT of one more is refused.
    pub members_max: usize,
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            probe_period_ms: 250,
            probe_rtt_ms: 80,
            suspicion_ms: 1_000,
            startup_grace_ms: 10_000,
            forget_after_ms: 24 * 60 * 60 * 1_000,
            members_max: 128,
        }
    }
}

/// What clients may use up; each with an answer beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open client and peer connections; beyond, new ones wait to be accepted.
    pub connections_max: usize,
    /// Longest body of a client's request in bytes; beyond: 413.
    pub body_max_bytes: usize,
    /// Bytes of clients' bodies held at once, parked requests included, and as much again for peers';
    /// beyond: 503. A PUT's value is held twice while it is parked.
    pub bodies_max_bytes: usize,
    /// How long a client may take over its head, and again over its body; beyond: the connection ends (408).
    pub client_timeout_ms: u64,
    /// Bytes of keys, values and their metadata; beyond: 507 for PUT alone.
    pub store_max_bytes: u64,
    /// Tombstones from which members that are down are forgotten, the one first that has been down for longest: some 400 bytes each by
    /// the store's estimate, so a tenth of it.
    pub tombstones_max: u64,
    /// Requests parked until their dependencies arrive; beyond: 503 at once.
    pub parked_max: usize,
    /// Longest wait that a client may ask for (`Prefer: wait=`); more is cut to this.
    pub wait_max_ms: u64,
    /// Wait of requests that ask for none; 0 answers at once.
    pub wait_default_ms: u64,
    /// How far ahead of the wall clock a stamp may be that a client brings; beyond: 503, clock skew.
    pub max_drift_ms: u64,
    /// Messages waiting in one actor's mailbox; beyond: 503, overloaded.
    pub mailbox_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            body_max_bytes: 8 << 20,
            bodies_max_bytes: 512 << 20,
            client_timeout_ms: 10_000,
            store_max_bytes: 4 << 30,
            tombstones_max: 1_000_000,
            parked_max: 10_000,
            wait_max_ms: 20_000,
            wait_default_ms: 0,
            max_drift_ms: 60_000,
            mailbox_max: 10_000,
        }
    }
}
