//! Placeholder of the membership rules; see `docs/architecture.md`.

use serde::{Deserialize, Serialize};

use super::id::{Address, Incarnation};
use super::stamp::HlcTime;

/// A configured member, as the broadcaster needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub address: Address,
    /// Stands removed: it gets heartbeats, so that it learns of it, and no writes.
    pub removed: bool,
}

/// An operator's decision about one address; the largest `time` wins, so that all replicas agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// About whom.
    pub address: Address,
    /// The lives up to this one are meant; a later one is free of the mark.
    pub incarnation: Incarnation,
    /// When it was decided.
    pub time: HlcTime,
    /// Removed (DELETE), or taken back (PUT).
    pub removed: bool,
}
