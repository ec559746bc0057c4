//! To and from `View`, the actor that owns the membership.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::mailbox::Reply;
use crate::core::Millis;
use crate::core::id::{Address, Incarnation, MapId};
use crate::core::sharding::map::ShardMap;
use crate::core::sharding::routing::Topology;
pub use crate::core::view::{AddOutcome, MapChange, MapOutcome, RemoveOutcome};
use crate::core::view::{ForgetMark, Heard, Member, Removal};

/// http → `View`: the replicas believed up, this one included (unless removed), sorted numerically.
#[derive(Debug)]
pub struct ReadView {
    /// Gets the view.
    pub reply: Reply<Vec<Address>>,
}

/// http → `View`: take this replica into the view (contract §3, PUT).
#[derive(Debug)]
pub struct AddReplica {
    /// Who.
    pub address: Address,
    /// What came of it.
    pub reply: Reply<AddOutcome>,
}

/// http → `View`: take this replica out of all views (contract §3, DELETE).
#[derive(Debug)]
pub struct RemoveReplica {
    /// Who.
    pub address: Address,
    /// Whether nobody is to wait for it any longer either; it may then be down, or this very node.
    pub forget: bool,
    /// What came of it.
    pub reply: Reply<RemoveOutcome>,
}

/// transport → `View`: a SWIM datagram arrived.
#[derive(Debug)]
pub struct SwimDatagram {
    /// Its bytes, undecoded.
    pub bytes: Bytes,
}

/// `Broadcaster` → `View`: a peer's heartbeat arrived.
#[derive(Debug)]
pub struct PeerHeard {
    /// What it says about members.
    pub heard: Heard,
}

/// `Causality` → `View`: there are too many tombstones, which some member holds back; forget the one that has been down for
/// longest, if any is. Said once in a heartbeat, as long as it is so.
#[derive(Debug, Clone, Copy)]
pub struct ForgetLongestDown {
    /// For how long it has been so.
    pub crowded_ms: Millis,
}

/// `Causality` → `View`: this node has taken a new incarnation.
#[derive(Debug)]
pub struct IncarnationRenewed {
    /// The new one.
    pub incarnation: Incarnation,
}

/// node → `View`: say goodbye, so that peers drop this node from their views at once. Afterwards
/// datagrams are ignored and nothing more is sent.
#[derive(Debug)]
pub struct Leave {
    /// Answered when the goodbye was sent.
    pub reply: Reply<()>,
}

/// `View` → `Broadcaster`: the configured members or the marks have changed. Sent once at
/// the start and then only on a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersChanged {
    /// All configured members but this node, down or not, sorted by address.
    pub members: Vec<Member>,
    /// All removal marks, to be gossiped with the heartbeats, sorted by address.
    pub removals: Vec<Removal>,
    /// All forget marks, to be gossiped likewise, sorted by address.
    pub forgotten: Vec<ForgetMark>,
    /// The shard map, to be gossiped likewise.
    pub map: ShardMap,
}

/// `View` → `Causality`: the view, the members or who is forgotten has changed. Sent once at the start and then only on a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewChanged {
    /// The replicas believed up, as [`ReadView`] answers them.
    pub view: Vec<Address>,
    /// Whether this very node stands removed, and so answers no client.
    pub removed: bool,
    /// The configured members, this node included, down or not, sorted by address: those of `VIEW`, here or at a
    /// peer, and those ever met. The forgotten are among them only while they are up.
    pub members: Vec<Address>,
    /// The latest incarnation known of every member that was ever met, this node's included (which may be
    /// larger than its own: then it takes a new one), sorted by address.
    pub incarnations: Vec<(Address, Incarnation)>,
    /// Whose lives are forgotten, up to which one, sorted by address; this node may be among them. The marks of the earliest may have been
    /// dropped.
    pub forgotten: Vec<(Address, Incarnation)>,
    /// How often lives that were forgotten turned out not to be: what was done without them must be undone.
    pub voids: u64,
    /// The shard map. Members of other shards than this node's are no concern of `Causality`.
    pub map: ShardMap,
}

/// `PeerLink` → `View`: a peer has fallen silent, or answers again.
#[derive(Debug, Clone, Copy)]
pub struct LinkTurned {
    /// Who.
    pub peer: Address,
    /// Whether it answers.
    pub answers: bool,
}

/// http → `View`: a peer knows a map that holds before the one it was asked under.
#[derive(Debug)]
pub struct MapLearned {
    /// It.
    pub map: ShardMap,
}

/// http → `View`: make the next shard map (contract §4).
#[derive(Debug)]
pub struct ChangeMap {
    /// What is to be different.
    pub change: MapChange,
    /// What came of it, at once: other nodes hear of the new map later.
    pub reply: Reply<MapOutcome>,
}

/// http → `View`: say when every node in the view goes by this map or a later one. Who leaves the view is not waited for. Dropped
/// unanswered when this node leaves.
#[derive(Debug)]
pub struct AwaitMap {
    /// It.
    pub id: MapId,
    /// Answered then.
    pub reply: Reply<Awaited>,
}

/// The answer to [`AwaitMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Every node in the view goes by it.
    Everywhere,
    /// As many wait as may: this one does not.
    Overloaded,
}

/// What `View` shows to whoever routes requests: always the latest, read without asking. Sent by `View` alone.
pub type TopologySender = watch::Sender<Arc<Topology>>;

/// The reading end of it, in any thread.
pub type TopologyReader = watch::Receiver<Arc<Topology>>;
