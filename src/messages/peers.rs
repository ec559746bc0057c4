//! To `Broadcaster`, and from it on to its `PeerLink` children, which take the same messages.

use std::sync::Arc;

use super::mailbox::Reply;
use crate::core::id::{Address, Domain};
use crate::core::sharding::map::ShardMap;
use crate::core::view::{ForgetMark, Removal};
use crate::core::wire::{Batch, Digest, Heartbeat, HeartbeatAnswer, JoinRequest, PushAnswer};
use crate::core::write::Write;

/// `Causality` → `Broadcaster` → the `PeerLink` of every member of this node's shard: a write was made here; push it.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Its domain.
    pub domain: Domain,
    /// The write.
    pub write: Write,
}

/// `Causality` → `Broadcaster`: time for a heartbeat to every peer.
#[derive(Debug, Clone)]
pub struct Beat {
    /// This node's digest; `pushing` and `admits` are each link's to fill in.
    pub digest: Arc<Digest>,
}

/// `Broadcaster` → `PeerLink`: send a heartbeat.
#[derive(Debug, Clone)]
pub struct SendHeartbeat {
    /// This node's digest.
    pub digest: Arc<Digest>,
    /// The removal marks it knows.
    pub removals: Arc<[Removal]>,
    /// The forget marks it knows.
    pub forgotten: Arc<[ForgetMark]>,
    /// The shard map it knows; `None` for the implicit one.
    pub map: Option<Arc<ShardMap>>,
}

/// `Causality` → `Broadcaster` → one `PeerLink`: ask this peer for what is lacking here. Answered by
/// a `JoinEnded`, whatever happens.
#[derive(Debug, Clone)]
pub struct FetchJoin {
    /// Whom.
    pub from: Address,
    /// What to ask, for page 0.
    pub request: JoinRequest,
}

/// http → `Broadcaster` → `PeerLink`: a peer's heartbeat came in.
#[derive(Debug)]
pub struct TakeHeartbeat {
    /// It.
    pub heartbeat: Heartbeat,
    /// Gets the answer for the peer.
    pub reply: Reply<HeartbeatAnswer>,
}

/// http → `Broadcaster` → `PeerLink`: a peer's batch came in.
#[derive(Debug)]
pub struct TakeBatch {
    /// It, checked to be the sender's own.
    pub batch: Batch,
    /// Gets the answer for the peer.
    pub reply: Reply<PushAnswer>,
}

/// `Broadcaster` → `PeerLink`: whether the peer stands removed, and so gets no writes.
#[derive(Debug, Clone, Copy)]
pub struct MarkRemoved {
    /// Whether it does.
    pub removed: bool,
}

/// node → `Broadcaster` → every `PeerLink`: tell when the outbox is empty, or cannot be emptied.
#[derive(Debug)]
pub struct Flush {
    /// Answered then.
    pub reply: Reply<()>,
}
