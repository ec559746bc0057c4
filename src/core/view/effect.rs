//! What comes of the membership: things to do, things to log.

use bytes::Bytes;

use super::{Member, Removal};
use crate::core::id::{Address, Incarnation};

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
    /// The configured members or the marks have changed.
    MembersChanged {
        /// All configured members but this node, sorted by address.
        members: Vec<Member>,
        /// All marks, sorted by address.
        removals: Vec<Removal>,
    },
    /// The view, this node's own removal, or a known incarnation has changed.
    ViewChanged {
        /// Those believed up, this node included unless removed, sorted by address.
        view: Vec<Address>,
        /// This node stands removed.
        removed: bool,
        /// All configured members, down or not, this node included, sorted.
        members: Vec<Address>,
        /// The forgotten addresses and up to which life each is forgotten, sorted.
        forgotten: Vec<(Address, Incarnation)>,
        /// The latest life known of each that was ever met, this node's included, sorted by address.
        incarnations: Vec<(Address, Incarnation)>,
    },
}
