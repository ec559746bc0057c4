//! The replicated set of operators' decisions: who was removed, who was taken back.
//!
//! One mark per address; the latest wins, so replicas agree whatever the order in which marks
//! reach them. A mark means lives, not addresses: who restarts is free of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::id::{Address, Incarnation};
use crate::core::stamp::HlcTime;

/// Marks with a later time are not believed: no clock reads so, and nothing could supersede them.
pub(super) const PLAUSIBLE_MS: u64 = 1 << 51;

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

/// All marks known, by address.
#[derive(Debug, Clone, Default)]
pub(super) struct Removals(BTreeMap<Address, Removal>);

impl Removals {
    /// Whether this life of `address` stands removed.
    pub(super) fn cover(&self, address: Address, incarnation: Incarnation) -> bool {
        self.0
            .get(&address)
            .is_some_and(|mark| mark.removed && incarnation <= mark.incarnation)
    }

    /// Has a removal that was decided in one of these lives of `address` mean the last of them as well. Of two marks of one
    /// time the one on the later life is taken, so this one spreads.
    pub(super) fn prolong(&mut self, address: Address, lives: &[Incarnation]) {
        if let Some(mark) = self.0.get_mut(&address)
            && let Some(present) = lives.last()
            && mark.removed
            && lives.contains(&mark.incarnation)
        {
            mark.incarnation = *present;
        }
    }

    /// Records a decision made here and now, later than all that are known.
    pub(super) fn decide(&mut self, address: Address, life: Incarnation, removed: bool, wall: u64) {
        let latest = self.0.values().map(|mark| mark.time).max();
        let mark = Removal {
            address,
            incarnation: life,
            time: latest.unwrap_or(HlcTime::ZERO).tick(HlcTime::ZERO, wall),
            removed,
        };
        self.0.insert(address, mark);
    }

    /// Takes over a decision made elsewhere, if it is later than the one known and plausible. A mark on an
    /// address without one is taken only if `has_room`.
    pub(super) fn merge(&mut self, mark: Removal, has_room: impl FnOnce(usize) -> bool) {
        if mark.time.ms >= PLAUSIBLE_MS {
            return;
        }
        // The time decides; the rest only keeps replicas agreed should two times be equal.
        let rank = |mark: &Removal| (mark.time, mark.removed, mark.incarnation);
        match self.0.get(&mark.address) {
            Some(known) if rank(known) >= rank(&mark) => {}
            None if !has_room(self.0.len()) => {}
            Some(_) | None => {
                self.0.insert(mark.address, mark);
            }
        }
    }

    /// Drops the earliest marks on strangers, so that at most `max` are kept of these.
    pub(super) fn limit(&mut self, max: usize, is_configured: impl Fn(Address) -> bool) {
        let strange = |mark: &&Removal| !is_configured(mark.address);
        let mut strangers: Vec<(HlcTime, Address)> = self
            .0
            .values()
            .filter(strange)
            .map(|mark| (mark.time, mark.address))
            .collect();
        strangers.sort_unstable();
        let excess = strangers.len().saturating_sub(max);
        for (_, address) in strangers.into_iter().take(excess) {
            self.0.remove(&address);
        }
    }

    /// All of them, sorted by address.
    pub(super) fn to_vec(&self) -> Vec<Removal> {
        self.0.values().copied().collect()
    }
}
