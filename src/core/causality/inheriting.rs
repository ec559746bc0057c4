//! Going on under another map, and taking over what was written under older ones (design §7, ADR 13).

use std::sync::Arc;

use super::{CausalState, Joined};
use crate::core::ended::Settlement;
use crate::core::id::{Domain, Origin};
use crate::core::inheritance::{Claim, Inheritance, Nodes, OlderWrites};
use crate::core::join::Cut;
use crate::core::sharding::map::Deal;
use crate::core::wire::Digest;
use crate::core::write::Content;

impl CausalState {
    /// How keys are dealt by the map of its domain, and were by the one before.
    pub fn set_deal(&mut self, deal: Deal, before: Option<Deal>) {
        self.inherited.set_deal(deal, before);
    }

    /// Goes on in a domain with nothing, in a new life: so a dot belongs to one domain, and its origin tells which. Only hybrid time, and what
    /// is known of nodes, goes on.
    pub fn enter(
        &mut self,
        domain: Domain,
        (deal, before): (Deal, Option<Deal>),
        wall_ms: u64,
        random: u64,
    ) -> Origin {
        self.origin = self.next_life(wall_ms, random);
        self.lives.learn(self.origin);
        let mut inherited = self.inherited.clone();
        inherited.deal_anew(deal, before);
        let entered = Self {
            time: self.time,
            lives: self.lives.clone(),
            inherited,
            // What it takes over from itself may be as new.
            newest_tombstone: self.time,
            ..Self::new(self.origin, domain, self.buffer.limits())
        };
        *self = entered;
        self.origin
    }

    /// What is here of older maps.
    pub fn inherited(&self) -> &Inheritance {
        &self.inherited
    }

    /// Takes over from the view who there is in the whole cluster.
    pub fn set_nodes(&mut self, nodes: &Nodes) {
        self.inherited.set_nodes(nodes);
    }

    /// Takes note of what any node says of its hand-overs, of whichever shard.
    pub fn note_hand_overs(&mut self, digest: &Digest) {
        self.inherited.note(digest);
    }

    /// Takes note of whether this node holds something of older maps for others.
    pub fn set_holds(&mut self, holds: bool) {
        self.inherited.set_holds(holds);
    }

    /// What can be said of this domain to those who keep its keys later: what was covered by counters. A floor says that members agreed on
    /// an end, who may have been restarted without each other's knowledge, not that what the life had written is here.
    pub fn claim(&self) -> Claim {
        let mut covered = self.covered.clock().clone();
        covered.merge(&self.ended.counters().collect());
        Claim {
            domain: self.domain,
            covered: covered.into(),
            whole: self.inherited.is_whole(),
            before: self.inherited.before(),
        }
    }

    /// What this replica had itself under older maps is here now, as far as it keeps it; to be called when the store was told so.
    pub fn take_over_own(&mut self, claims: impl IntoIterator<Item = Claim>) {
        for claim in claims {
            self.inherited.claim(&claim);
        }
        self.inherited.has_handed_over(self.origin);
    }

    /// Takes over what a donor had of older maps. Returns what is to be applied.
    ///
    /// # Errors
    /// If the donor is forgotten, or a later life of it is known; nothing was taken.
    pub fn take_over(&mut self, mut cut: Cut) -> Result<Joined, DonorOutlived> {
        if !self.inherited.is_valid(cut.from) {
            return Err(DonorOutlived);
        }
        if self.inherited.is_any_forgotten(&cut.rest.inherited.handed) {
            // It does not know yet that the others have gone on without it.
            self.inherited.has_handed_over(cut.from);
            return Err(DonorOutlived);
        }
        let older = self.take_older(&mut cut);
        self.inherited.has_handed_over(cut.from);
        let writes = Vec::new();
        Ok(Joined { writes, older })
    }

    /// Takes what is not here yet, by the claims of this moment: an answer may have been long on its way.
    pub(super) fn take_older(&mut self, cut: &mut Cut) -> Vec<OlderWrites> {
        let mut older = std::mem::take(&mut cut.older);
        for OlderWrites { domain, writes } in &mut older {
            writes.retain(|write| !self.inherited.covers(domain, &write.dot()));
        }
        for write in older.iter().flat_map(|older| &older.writes) {
            let time = write.version.time;
            self.time = self.time.max(time);
            if write.version.content == Content::Tombstone {
                self.newest_tombstone = self.newest_tombstone.max(time);
            }
        }
        self.inherited.merge(&cut.rest.inherited);
        self.resettle();
        older
    }

    /// Closes the older maps if all that any keeper needs of them is with all. True if
    /// that is news.
    pub fn close_older_maps(&mut self) -> bool {
        let closed = self.inherited.close_if_complete();
        if closed {
            self.resettle();
        }
        closed
    }

    pub(super) fn settle_anew(&mut self) {
        let settlement = Settlement::new(self.origin, self.domain, &self.covered, &self.ended);
        let closed = self.inherited.closed().cloned();
        self.settlement = Arc::new(settlement.with_closed(closed));
    }
}

/// A donor's life is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the donor's life is over")]
pub struct DonorOutlived;

#[cfg(test)]
mod tests;
