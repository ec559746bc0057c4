//! To `Causality`, the ordering point.

use std::sync::Arc;

use super::mailbox::Reply;
use crate::core::Millis;
use crate::core::aside::Settled;
use crate::core::clock::Clocks;
use crate::core::coverage::Coverage;
use crate::core::ended::{Ended, Lost, Settlement};
use crate::core::given_up::GivenUp;
use crate::core::id::{Address, Domain, Dot, Incarnation, Key, MapId, Origin};
use crate::core::inheritance::Standing;
use crate::core::join::{Cut, Progress};
use crate::core::metadata::Metadata;
use crate::core::stamp::HlcTime;
use crate::core::store::Summary;
use crate::core::wire::{
    Batch, Digest, HeartbeatAnswer, JoinAnswer, JoinRequest, PushAnswer, Status, Wants,
};
use crate::core::write::{Value, Version};

/// http → `Causality`: a client's request. Answered exactly once, by whichever actor decides it.
#[derive(Debug)]
pub struct ClientRequest {
    /// What is asked for.
    pub operation: Operation,
    /// What the client has observed.
    pub metadata: Metadata,
    /// How long the request may be parked when that is not met here, in milliseconds; `None` takes
    /// the server's default, 0 refuses at once.
    pub wait_ms: Option<u64>,
    /// Gets the outcome.
    pub reply: ClientReply,
}

/// Where a client's outcome goes.
#[derive(Debug)]
pub struct ClientReply {
    to: Reply<Answer>,
    settlement: Arc<Settlement>,
    at: HlcTime,
}

/// What a client is answered by.
#[derive(Debug)]
pub struct Answer {
    /// What became of its request.
    pub outcome: Outcome,
    /// What the replica knew of ended lives when it admitted the request.
    pub settlement: Arc<Settlement>,
    /// Hybrid time then: if anything is lost, all that was written in its place.
    pub at: HlcTime,
}

impl ClientReply {
    /// A reply to whoever has the other end.
    pub fn new(to: Reply<Answer>) -> Self {
        Self {
            to,
            settlement: Arc::default(),
            at: HlcTime::ZERO,
        }
    }

    /// The request was admitted by a replica that knows this of ended lives, at this hybrid time.
    pub fn settle_by(&mut self, settlement: Arc<Settlement>, at: HlcTime) {
        self.settlement = settlement;
        self.at = at;
    }

    /// Answers. A client that has gone misses its answer, not its write.
    pub fn send(self, outcome: Outcome) {
        let _ = self.to.send(Answer {
            outcome,
            settlement: self.settlement,
            at: self.at,
        });
    }

    /// Whether the client has gone.
    pub fn is_closed(&self) -> bool {
        self.to.is_closed()
    }
}

impl Answer {
    /// That of nobody who knows of ended lives.
    pub fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            settlement: Arc::default(),
            at: HlcTime::ZERO,
        }
    }

    /// The metadata that the client gets for the one that it `sent`, and what that names and is lost for ever. Who is told so
    /// writes above all that was written again of what the lost writes belong to.
    #[must_use]
    pub fn metadata(&self, sent: Metadata) -> (Metadata, Lost) {
        let mut metadata = self.outcome.metadata(sent);
        let lost = self.settlement.lost(&metadata);
        self.settlement.settle(&mut metadata);
        if !lost.is_empty() {
            metadata.time = metadata.time.max(self.at);
        }
        (metadata, lost)
    }
}

/// What a client asks for.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Write this value.
    Put {
        /// Where.
        key: Key,
        /// What.
        value: Value,
    },
    /// Read.
    Get {
        /// Where.
        key: Key,
    },
    /// Make the key absent.
    Delete {
        /// Where.
        key: Key,
    },
    /// Nothing but the check of the metadata: for a request that will be refused for another reason,
    /// which the contract reports only after this one.
    Check,
}

/// A version that a client has read or made, and so depends on from now on.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The domain of the version's dot.
    pub domain: Domain,
    /// The version.
    pub version: Arc<Version>,
}

impl Operation {
    /// The key that it is about.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Put { key, .. } | Self::Get { key } | Self::Delete { key } => Some(key),
            Self::Check => None,
        }
    }
}

/// What became of a [`ClientRequest`].
#[derive(Debug)]
pub enum Outcome {
    /// PUT of a key that did not exist.
    Created(Seen),
    /// PUT of a key that existed.
    Replaced(Seen),
    /// DELETE of a key that existed.
    Deleted(Seen),
    /// GET of a key that exists.
    Found(Seen),
    /// GET or DELETE of a key that does not exist; with its tombstone, if there is one.
    Absent(Option<Seen>),
    /// DELETE of a key that existed when it was looked up, and was deleted by another request before this one's
    /// write was applied. That write stands, with nothing left to delete; the client is told "absent".
    Overtaken(Seen),
    /// The answer to [`Operation::Check`].
    Met,
    /// Nothing was done.
    Refused(Refusal),
}

impl Outcome {
    /// The metadata that the client gets: what it sent, and what it has read or made by this. A refused client
    /// keeps the one that it sent.
    #[must_use]
    pub fn metadata(&self, mut sent: Metadata) -> Metadata {
        if let Some(seen) = self.seen() {
            sent.observe(seen.domain, &seen.version);
        }
        sent
    }

    /// The version that the client has read or made.
    pub fn seen(&self) -> Option<&Seen> {
        match self {
            Self::Created(seen)
            | Self::Replaced(seen)
            | Self::Deleted(seen)
            | Self::Overtaken(seen)
            | Self::Found(seen)
            | Self::Absent(Some(seen)) => Some(seen),
            Self::Absent(None) | Self::Met | Self::Refused(_) => None,
        }
    }
}

/// Why a request was refused. In every case nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// This replica has not seen these writes, of which the client has.
    Unmet {
        /// The entries that it lacks.
        missing: Clocks,
    },
    /// Not caught up yet.
    Starting,
    /// An operator took this replica out of the view.
    Removed,
    /// On its way out.
    Stopping,
    /// The key is not of this replica's shard by the map that it goes by; whoever routed the request goes by another one.
    Moved,
    /// What was written of the key under the map before is not here yet.
    HandingOver,
    /// The stamp in a write's metadata is further ahead of the wall clock than allowed.
    ClockSkew {
        /// By how much it is ahead, in milliseconds.
        ahead_ms: u64,
    },
    /// The store is over its byte limit (PUT alone).
    StoreFull,
    /// Too much waits.
    Overloaded,
}

/// `PeerLink` → `Causality`: a batch came in over a steady link. After the answer its writes are
/// applied, parked, known or dropped ([`PushAnswer::Admitted`]), or none was taken.
#[derive(Debug)]
pub struct Deliver {
    /// The writes, checked to be the sender's own.
    pub batch: Batch,
    /// As in [`ExchangeDigest`].
    pub removed: bool,
    /// Gets the answer for the peer.
    pub reply: Reply<PushAnswer>,
}

/// `PeerLink` → `Causality`: a peer's heartbeat came in and wants this node's digest.
#[derive(Debug)]
pub struct ExchangeDigest {
    /// The peer's.
    pub digest: Digest,
    /// Whether the link may be used for a join now.
    pub may_join: bool,
    /// Whether the link is steady, so that batches are taken over it.
    pub steady: bool,
    /// Whether the peer stands removed, as this node sees it. Then it is not told that its life is over: it learns from the heartbeats
    /// that it was removed, and begins a new life when it is taken back, not before, or it would pass for one that was restarted.
    pub removed: bool,
    /// Gets this node's digest, for the peer.
    pub reply: Reply<HeartbeatAnswer>,
}

/// `PeerLink` → `Causality`: a peer has answered a heartbeat.
#[derive(Debug)]
pub struct DigestReceived {
    /// The peer's.
    pub digest: Digest,
    /// Whether the link may be used for a join now.
    pub may_join: bool,
}

/// `PeerLink` → `Causality`: a page of the join that was asked for has come, and is not the last one.
#[derive(Debug)]
pub struct JoinAdvanced {
    /// From whom.
    pub from: Address,
    /// In which life it was asked for.
    pub asker: Origin,
    /// Of what.
    pub wants: Wants,
    /// How far it is.
    pub progress: Progress,
}

/// `PeerLink` → `Causality`: the join that was asked for has ended.
#[derive(Debug)]
pub struct JoinEnded {
    /// From whom.
    pub from: Address,
    /// In which life it was asked for.
    pub asker: Origin,
    /// Of what.
    pub wants: Wants,
    /// The whole difference, or in words why there is none.
    pub result: Result<Cut, String>,
}

/// `PeerLink` → `Causality`: a peer refused a batch or a heartbeat because it knows a later life of
/// this node.
#[derive(Debug, Clone, Copy)]
pub struct OwnLifeSuperseded {
    /// The later life.
    pub incarnation: Incarnation,
}

/// http → `Causality` → `Store`: a peer asks for a page of what it lacks.
#[derive(Debug)]
pub struct ReadJoin {
    /// The peer's request.
    pub request: JoinRequest,
    /// Gets the answer for the peer.
    pub reply: Reply<JoinAnswer>,
}

/// http → `Causality` → `Store`: what this replica has, for tests and tools.
#[derive(Debug)]
pub struct ReadDigest {
    /// Gets the report, of one consistent cut.
    pub reply: Reply<DigestReport>,
}

/// Answer to [`ReadDigest`].
#[derive(Debug, Clone)]
pub struct DigestReport {
    /// As whom it numbers its writes.
    pub origin: Origin,
    /// The domain.
    pub domain: Domain,
    /// What is covered.
    pub covered: Coverage,
    /// What is remembered of ended lives.
    pub ended: Ended,
    /// Sizes and fingerprint of the winners.
    pub summary: Summary,
}

impl DigestReport {
    /// Whether the replica has this write, or a later one in its place. What was named beyond the counter agreed on at the end of its life
    /// it does not have, though it covers it.
    pub fn has(&self, dot: &Dot) -> bool {
        dot.counter <= self.last(&dot.origin)
    }

    /// The last write of a life that the replica has, in this sense; 0 if none.
    pub fn last(&self, origin: &Origin) -> u64 {
        let agreed = self.ended.counter(origin).unwrap_or(0);
        self.covered.get(origin).max(agreed)
    }
}

/// http → `Causality`: what this replica does for clients.
#[derive(Debug)]
pub struct ReadStatus {
    /// Gets the status.
    pub reply: Reply<Status>,
}

/// `Store` → `Causality`: the key that a client wants deleted exists, so the delete becomes a write.
#[derive(Debug)]
pub struct DeleteConfirmed {
    /// The key.
    pub key: Key,
    /// What the client has observed; was found to be met.
    pub metadata: Metadata,
    /// The client's.
    pub reply: ClientReply,
}

/// `Store` → `Causality`: what a replica held before it was born again, and what is to become of that.
#[derive(Debug)]
pub struct Reissue {
    /// Who had asked.
    pub by: Origin,
    /// What is to become of it.
    pub settled: Settled,
    /// What had been given up when that was found out.
    pub given_up: GivenUp,
}

/// `Store` → `Causality`: the store has gone over its byte limit, or is below it again.
#[derive(Debug, Clone, Copy)]
pub struct StoreFilled {
    /// Whether it is over.
    pub full: bool,
}

/// `Store` → `Causality`: there are as many tombstones as are kept for members that are down, or fewer again.
#[derive(Debug, Clone, Copy)]
pub struct TombstonesFilled {
    /// Whether there are as many.
    pub full: bool,
}

/// http → `Causality`: wait until the cluster has settled under a map: of the nodes that are up, all go by it, and have handed over
/// to each other what they had.
#[derive(Debug)]
pub struct AwaitDeal {
    /// The map since which keys are dealt so.
    pub since: MapId,
    /// Told once it is so. Dropped where too many wait already.
    pub reply: Reply<Dealt>,
}

/// Answer to [`AwaitDeal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dealt {
    /// It is so.
    Done,
    /// Another map holds by now.
    Superseded,
    /// Too many wait already.
    Overloaded,
}

/// http → `Causality`: how far hand-overs are.
#[derive(Debug)]
pub struct ReadHandOvers {
    /// Gets the report.
    pub reply: Reply<HandOverReport>,
}

/// Answer to [`ReadHandOvers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOverReport {
    /// The cluster, as this node knows it.
    pub standing: Standing,
    /// Milliseconds since this node has gone by the map.
    pub age_ms: Millis,
    /// How many keys each node has handed over to this one since, sorted by address.
    pub taken: Vec<(Address, u64)>,
    /// From whom it is taking over now.
    pub taking_over: Option<TakingOver>,
    /// When this was.
    pub now: Millis,
}

/// A hand-over that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakingOver {
    /// From whom.
    pub from: Address,
    /// Since when.
    pub began: Millis,
    /// How many keys have come, and how many are to come.
    pub progress: Progress,
    /// When that was logged last.
    pub told: Millis,
}

/// node → `Causality`: answer no more clients. After the answer all parked requests are answered
/// and no write will be made.
#[derive(Debug)]
pub struct Drain {
    /// Answered when that holds.
    pub reply: Reply<()>,
}
