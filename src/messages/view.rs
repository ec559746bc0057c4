//! To and from `View`, the actor that owns the membership.

use bytes::Bytes;

use super::mailbox::Reply;
use crate::core::id::{Address, Incarnation};
pub use crate::core::view::{AddOutcome, RemoveOutcome};
use crate::core::view::{Member, Removal};

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
    /// What came of it.
    pub reply: Reply<RemoveOutcome>,
}

/// transport → `View`: a SWIM datagram arrived.
#[derive(Debug)]
pub struct SwimDatagram {
    /// Its bytes, undecoded.
    pub bytes: Bytes,
}

/// `Broadcaster` → `View`: a peer's heartbeat arrived, with what it knows about removals.
#[derive(Debug)]
pub struct PeerHeard {
    /// Who sent it.
    pub address: Address,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// The removal marks it knows.
    pub removals: Vec<Removal>,
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

/// `View` → `Broadcaster`: the configured members or the removal marks have changed. Sent once at
/// the start and then only on a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersChanged {
    /// All configured members but this node, down or not, sorted by address.
    pub members: Vec<Member>,
    /// All removal marks, to be gossiped with the heartbeats, sorted by address.
    pub removals: Vec<Removal>,
}

/// `View` → `Causality`: the view has changed. Sent once at the start and then only on a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewChanged {
    /// The replicas believed up, as [`ReadView`] answers them.
    pub view: Vec<Address>,
    /// Whether this very node stands removed, and so answers no client.
    pub removed: bool,
    /// All configured members, down or not, this node included, sorted.
    pub members: Vec<Address>,
    /// The forgotten addresses and up to which life each is forgotten, sorted.
    pub forgotten: Vec<(Address, Incarnation)>,
    /// The latest incarnation known of every member that was ever met, this node's included (which may be
    /// larger than its own: then it takes a new one), sorted by address.
    pub incarnations: Vec<(Address, Incarnation)>,
}
