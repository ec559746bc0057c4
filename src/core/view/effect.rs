//! What comes of the membership: things to do, things to log.

use bytes::Bytes;

use super::{ForgetMark, Member, Removal};
use crate::core::id::{Address, Incarnation, MapId, Origin, ShardId};
use crate::core::sharding::map::ShardMap;

/// What an operator wants to read in the log. One for each change, however many reports of it arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Up for the first time.
    Joined(Address),
    /// Up again after it was lost.
    Back(Address),
    /// In a new life, before the old one was missed.
    Restarted(Address),
    /// No longer up.
    Lost(Address),
    /// Not seen up within its grace, or reported down by a peer.
    Unanswered(Address),
    /// Named by an operator and now awaited.
    Added(Address),
    /// Removed by an operator.
    Removed(Address),
    /// Taken back by an operator, or free of its mark by a new life.
    Readmitted(Address),
    /// Forgotten by this very node.
    Forgets(ForgetMark, ForgetReason),
    /// Forgotten by another node; it may be this node that is.
    Forgotten {
        /// Who.
        address: Address,
        /// Up to which life.
        life: Incarnation,
        /// By whom.
        maker: Origin,
    },
    /// Forgotten by somebody who turns out to have been forgotten before: its mark is void.
    Remembered(Address),
    /// There are too many tombstones, and nobody may be forgotten for them. Derived anew whenever room is asked for.
    NoRoom(NoRoom),
    /// Another shard map holds from now on.
    MapAdopted {
        /// Its name.
        id: MapId,
        /// How many shards it has.
        shards: u32,
        /// Which of them this node keeps.
        own: Option<ShardId>,
        /// Both were derived from settings, so these differ between nodes.
        contradicts: bool,
    },
}

/// Why nobody is forgotten though too many deletes wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// No member that was ever met is down.
    NobodyDown,
    /// Of the members not more than half are up, nor half with the smallest address; or this node is itself out.
    SmallerSide,
}

/// Why this node forgets a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgetReason {
    /// An operator said so.
    Operator,
    /// It has been down for as long as the settings say.
    Age,
    /// Too many deletes wait for it.
    Room,
}

impl ForgetReason {
    /// Its name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Age => "age",
            Self::Room => "room",
        }
    }
}

/// What the owner has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this datagram; its loss is no error.
    Send {
        /// To whom.
        to: Address,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Log this.
    Log(Event),
    /// The configured members, the marks or the shard map have changed.
    MembersChanged {
        /// All configured members but this node, sorted by address.
        members: Vec<Member>,
        /// All removal marks, sorted by address.
        removals: Vec<Removal>,
        /// All forget marks, sorted by address.
        forgotten: Vec<ForgetMark>,
        /// The shard map.
        map: ShardMap,
    },
    /// The view, this node's own removal, the members, a known incarnation, who is forgotten or the shard map has changed.
    ViewChanged {
        /// Those believed up, this node included unless removed, sorted by address.
        view: Vec<Address>,
        /// This node stands removed.
        removed: bool,
        /// The configured members, this node included, sorted: those of `VIEW`, here or elsewhere, and those ever met.
        /// The forgotten are among them only while they are up.
        members: Vec<Address>,
        /// The latest life known of each that was ever met, this node's included, sorted by address.
        incarnations: Vec<(Address, Incarnation)>,
        /// Who is forgotten, up to which life, sorted by address.
        forgotten: Vec<(Address, Incarnation)>,
        /// How often lives that were forgotten turned out not to be.
        voids: u64,
        /// The shard map.
        map: ShardMap,
    },
}
