//! Every setting once: its flag, its variable, its meaning, its unit and its bounds.

use std::ops::RangeInclusive;

use super::Settings;

/// One setting. Its flag is the name with dashes, its variable the name in capitals after `CAUSET_`;
/// the three that the contract names have no prefix.
#[derive(Debug)]
pub struct Setting {
    /// The flag without its dashes.
    pub flag: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// One sentence for the help, without unit and default.
    pub about: &'static str,
    /// What its text means.
    pub kind: Kind,
}

/// What the text of a setting means, and where the value goes.
#[derive(Debug)]
pub enum Kind {
    /// This replica's address.
    Address,
    /// Addresses, comma-separated.
    View,
    /// How many shards.
    ShardCount,
    /// The interface to listen on.
    Listen,
    /// A log filter.
    Log,
    /// A whole number.
    Number(Number),
}

/// A whole number within bounds.
#[derive(Debug)]
pub struct Number {
    /// What is counted.
    pub unit: Unit,
    /// Smallest and largest value allowed.
    pub range: RangeInclusive<u64>,
    /// The field of [`Settings`] it goes to.
    pub(super) field: Field,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Millis,
    /// Bytes.
    Bytes,
    /// Things; the text says which.
    Count(&'static str),
}

impl Unit {
    /// Its name in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Millis => "milliseconds",
            Self::Bytes => "bytes",
            Self::Count(things) => things,
        }
    }
}

/// A number's place in [`Settings`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Wide(fn(&mut Settings) -> &mut u64),
    Size(fn(&mut Settings) -> &mut usize),
}

impl Number {
    /// The value in `settings`.
    pub fn get(&self, settings: &Settings) -> u64 {
        // The accessors lend mutably only; a copy is cheap beside writing each of them twice.
        let settings = &mut settings.clone();
        match self.field {
            Field::Wide(field) => *field(settings),
            Field::Size(field) => u64::try_from(*field(settings)).unwrap_or(u64::MAX),
        }
    }

    /// Puts `value`, which is within the range, into `settings`.
    pub(super) fn set(&self, settings: &mut Settings, value: u64) {
        debug_assert!(self.range.contains(&value), "{value} is out of range");
        match self.field {
            Field::Wide(field) => *field(settings) = value,
            // Ranges end below 2^40: this saturates on 32-bit machines alone.
            Field::Size(field) => *field(settings) = usize::try_from(value).unwrap_or(usize::MAX),
        }
    }
}

impl Setting {
    /// The default as its help shows it.
    pub fn default_text(&self) -> String {
        match &self.kind {
            Kind::Address => "none, required".to_owned(),
            Kind::View => "this replica alone".to_owned(),
            Kind::ShardCount => "not sharded".to_owned(),
            Kind::Listen => defaults().listen.to_string(),
            Kind::Log => format!("RUST_LOG if set, else {}", defaults().log),
            Kind::Number(number) => number.get(&defaults()).to_string(),
        }
    }
}

/// Settings of nobody, read for their defaults alone.
fn defaults() -> Settings {
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let nobody = nobody
        .try_into()
        .expect("a loopback address with a port is an address");
    Settings::new(nobody, Vec::new())
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const TEBIBYTE: u64 = 1 << 40;
const MILLION: u64 = 1_000_000;

macro_rules! text {
    ($flag:literal, $variable:literal, $kind:ident, $about:literal) => {
        Setting {
            flag: $flag,
            variable: $variable,
            about: $about,
            kind: Kind::$kind,
        }
    };
}

macro_rules! number {
    ($flag:literal, $variable:literal, $unit:expr, $range:expr, $width:ident $group:ident . $field:ident, $about:literal) => {
        Setting {
            flag: $flag,
            variable: concat!("CAUSET_", $variable),
            about: $about,
            kind: Kind::Number(Number {
                unit: $unit,
                range: $range,
                field: Field::$width(|settings| &mut settings.$group.$field),
            }),
        }
    };
}

use Unit::{Bytes, Count, Millis};

/// All settings of a replica, in the order of the help.
#[rustfmt::skip] // One row each, so that it reads as the table it is.
pub static SETTINGS: &[Setting] = &[
    text!("socket-address", "SOCKET_ADDRESS", Address, "IP:PORT by which peers reach this replica; it listens on that port"),
    text!("view", "VIEW", View, "Addresses of all replicas at the start, comma-separated; this one is added if missing"),
    text!("shard-count", "SHARD_COUNT", ShardCount, "Number of shards of a new sharded cluster, at least two nodes of VIEW for each; not for nodes that join one"),
    text!("listen", "CAUSET_LISTEN", Listen, "IP address of the interface to listen on, TCP and UDP"),
    text!("log", "CAUSET_LOG", Log, "What to log: LEVEL or MODULE=LEVEL, comma-separated; levels off, error, warn, info, debug, trace"),

    number!("heartbeat-ms", "HEARTBEAT_MS", Millis, 10..=DAY_MS, Wide replication.heartbeat_ms, "Time between heartbeats, which compare replicas and probe the link"),
    number!("link-break-ms", "LINK_BREAK_MS", Millis, 20..=DAY_MS, Wide replication.link_break_ms, "Silence after which a link counts as broken; at least two heartbeats"),
    number!("outage-long-ms", "OUTAGE_LONG_MS", Millis, 1..=DAY_MS, Wide replication.outage_long_ms, "An outage this long is followed by the whole settle time, a shorter one by twice its length"),
    number!("settle-ms", "SETTLE_MS", Millis, 0..=DAY_MS, Wide replication.settle_ms, "How long a link must answer after a long outage before data flows again"),
    number!("settle-at-most-ms", "SETTLE_AT_MOST_MS", Millis, 0..=DAY_MS, Wide replication.settle_at_most_ms, "A link that keeps flapping is repaired all the same, this long after its first answer"),
    number!("bootstrap-ms", "BOOTSTRAP_MS", Millis, 0..=DAY_MS, Wide replication.bootstrap_ms, "How long a starting replica waits for a live peer before it serves what it has"),
    number!("call-timeout-ms", "CALL_TIMEOUT_MS", Millis, 10..=DAY_MS, Wide replication.call_timeout_ms, "Longest wait for a peer's answer to a batch of writes or to a page of a join"),
    number!("outbox-max-writes", "OUTBOX_MAX_WRITES", Count("writes"), 1..=1_000 * MILLION, Size replication.outbox_max_writes, "Writes that wait for one peer; beyond, all are dropped and a join repairs the peer"),
    number!("outbox-max-bytes", "OUTBOX_MAX_BYTES", Bytes, 1..=TEBIBYTE, Size replication.outbox_max_bytes, "Bytes of the writes that wait for one peer; beyond, as above"),
    number!("batch-max-writes", "BATCH_MAX_WRITES", Count("writes"), 1..=MILLION, Size replication.batch_max_writes, "Writes in one batch"),
    number!("batch-max-bytes", "BATCH_MAX_BYTES", Bytes, 1..=1 << 30, Size replication.batch_max_bytes, "Bytes in one batch and in one page of a join; a larger write travels alone"),
    number!("buffer-max-writes", "BUFFER_MAX_WRITES", Count("writes"), 1..=1_000 * MILLION, Size replication.buffer_max_writes, "Writes that wait for what they depend on; beyond, they are dropped and a join asked for"),
    number!("buffer-max-bytes", "BUFFER_MAX_BYTES", Bytes, 1..=TEBIBYTE, Size replication.buffer_max_bytes, "Bytes of the writes that wait for what they depend on; beyond, as above"),
    number!("join-sessions-max", "JOIN_SESSIONS_MAX", Count("peers"), 1..=10_000, Size replication.join_sessions_max, "Peers that read a state difference at once; one more is refused and asks again"),
    number!("join-session-ms", "JOIN_SESSION_MS", Millis, 10..=DAY_MS, Wide replication.join_session_ms, "How long a state difference is kept for a peer that does not ask for its next page; it gives up after the call timeout"),
    number!("flush-ms", "FLUSH_MS", Millis, 0..=DAY_MS, Wide replication.flush_ms, "How long a stopping replica tries to hand its last writes to its peers"),

    number!("probe-period-ms", "PROBE_PERIOD_MS", Millis, 10..=DAY_MS, Wide membership.probe_period_ms, "Every such period one member is probed"),
    number!("probe-rtt-ms", "PROBE_RTT_MS", Millis, 1..=DAY_MS, Wide membership.probe_rtt_ms, "Wait for a direct answer before other members are asked to probe; below the period"),
    number!("suspicion-ms", "SUSPICION_MS", Millis, 10..=DAY_MS, Wide membership.suspicion_ms, "How long a suspect has to answer before it counts as down"),
    number!("startup-grace-ms", "STARTUP_GRACE_MS", Millis, 0..=DAY_MS, Wide membership.startup_grace_ms, "How long members never seen yet stay in the view"),
    number!("forget-after-ms", "FORGET_AFTER_MS", Millis, 0..=1_000 * DAY_MS, Wide membership.forget_after_ms, "How long a member is down until nobody waits for it any longer; 0: for ever"),
    number!("members-max", "MEMBERS_MAX", Count("members"), 1..=10_000, Size membership.members_max, "Members and removal marks kept; adding one more is refused"),

    number!("connections-max", "CONNECTIONS_MAX", Count("connections"), 1..=MILLION, Size limits.connections_max, "Open connections of clients and peers; beyond, new ones wait to be accepted"),
    number!("body-max-bytes", "BODY_MAX_BYTES", Bytes, 1..=1 << 30, Size limits.body_max_bytes, "Largest body of a request; beyond: 413"),
    number!("bodies-max-bytes", "BODIES_MAX_BYTES", Bytes, 1..=1 << 40, Size limits.bodies_max_bytes, "Bytes of clients' bodies held at once, and as much for peers'; beyond: 503"),
    number!("client-timeout-ms", "CLIENT_TIMEOUT_MS", Millis, 10..=DAY_MS, Wide limits.client_timeout_ms, "How long a client may take over the head of a request, and again over its body"),
    number!("store-max-bytes", "STORE_MAX_BYTES", Bytes, 1..=1_024 * TEBIBYTE, Wide limits.store_max_bytes, "Bytes of keys, values and their metadata; beyond: 507 for PUT"),
    number!("tombstones-max", "TOMBSTONES_MAX", Count("deletes"), 1..=1_000 * MILLION, Wide limits.tombstones_max, "Deletes kept for members that lack them; beyond, the one that has been down for longest is forgotten, if more than half are up"),
    number!("parked-max", "PARKED_MAX", Count("requests"), 0..=1_000 * MILLION, Size limits.parked_max, "Requests that wait for their dependencies; beyond: 503 at once"),
    number!("wait-max-ms", "WAIT_MAX_MS", Millis, 0..=DAY_MS, Wide limits.wait_max_ms, "Longest wait that a client may ask for with `Prefer: wait=`; more is cut to this"),
    number!("wait-default-ms", "WAIT_DEFAULT_MS", Millis, 0..=DAY_MS, Wide limits.wait_default_ms, "Wait for dependencies of a request that asks for none; 0 answers at once"),
    number!("max-drift-ms", "MAX_DRIFT_MS", Millis, 1..=DAY_MS, Wide limits.max_drift_ms, "How far ahead of this machine's clock a client's stamp may be; beyond: 503"),
    number!("mailbox-max", "MAILBOX_MAX", Count("messages"), 1..=100 * MILLION, Size limits.mailbox_max, "Messages that wait for one actor; beyond: 503"),
];
