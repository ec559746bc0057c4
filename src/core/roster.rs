//! The roster: who belongs, and in which life, as a digest carries it.
//!
//! Rosters make digests comparable, and they spread what is known of members that are down, who cannot
//! speak for themselves.

use serde::{Deserialize, Serialize};

use super::id::{Address, Incarnation};

/// One configured member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterEntry {
    /// Who.
    pub address: Address,
    /// Its latest life known; [`Incarnation::UNKNOWN`] of one that was never met.
    pub life: Incarnation,
    /// Whether that life is forgotten.
    pub forgotten: bool,
}
