//! Going on under another map, and taking over what was written under older ones (design §7, ADR 13).

use std::sync::Arc;

use super::CausalState;
use crate::core::ended::Settlement;
use crate::core::frozen::Share;
use crate::core::id::{Domain, Incarnation, Key, Origin, ShardId};
use crate::core::inheritance::{Claim, Inheritance, Inherited, Nodes, OlderWrites};
use crate::core::join::Cut;
use crate::core::sharding::map::Deal;
use crate::core::wire::{Digest, JoinRefusal, JoinRequest};
use crate::core::write::Content;

impl CausalState {
    /// How keys are dealt by the map of its domain, and were by the one before.
    pub fn set_deal(&mut self, deal: Deal, before: Option<Deal>) {
        self.inherited.set_deal(deal, before);
    }

    /// What becomes of what this replica has, when it goes on in another domain. `serves` says whether it has caught up in this one; `mark`,
    /// up to which life it was forgotten.
    pub fn leaving(&self, domain: Domain, serves: bool, mark: Option<Incarnation>) -> Leaving {
        let forgotten = mark.is_some_and(|mark| self.origin.incarnation <= mark);
        let is_over = forgotten || self.is_outlived();
        if !serves {
            Leaving::GiveUp
        } else if is_over {
            Leaving::GiveUpAll
        } else if domain.map != self.domain.map {
            Leaving::HandOver
        } else {
            Leaving::GiveUp
        }
    }

    /// Whether this replica keeps the key.
    pub fn keeps(&self, key: &Key) -> bool {
        self.inherited.deal().domain_of(key) == self.domain
    }

    /// What this replica keeps, and claims of older maps; `None` if it keeps no shard.
    pub fn share(&self) -> Option<Share> {
        (self.domain.shard != ShardId::NONE).then(|| Share {
            domain: self.domain,
            shards: self.inherited.deal().shards,
            claims: self.inherited.claims(),
        })
    }

    /// What of the data that is held here the asker of a hand-over keeps.
    ///
    /// # Errors
    /// If it goes by another deal; or if there is no `room` for its question.
    pub fn share_of(&self, asked: &JoinRequest, room: bool) -> Result<Share, JoinRefusal> {
        let deal = self.inherited.deal();
        if asked.domain.map != deal.since {
            Err(JoinRefusal::OtherDomain)
        } else if room {
            Ok(Share {
                domain: asked.domain,
                shards: deal.shards,
                claims: asked.claims.clone(),
            })
        } else {
            Err(JoinRefusal::Busy)
        }
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

    /// Takes note of which older domains this node holds something of for others.
    pub fn set_holds(&mut self, holds: Vec<Domain>) {
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
    pub fn take_over(&mut self, cut: Cut) -> Result<Vec<OlderWrites>, DonorOutlived> {
        self.check_donor(&cut)?;
        if self.inherited.has_from(cut.from) {
            return Ok(Vec::new());
        }
        let inherited = self.inherited.of_donor(&cut.rest.inherited);
        let older = self.take_older(cut.older, &inherited);
        self.inherited.has_handed_over(cut.from);
        Ok(older)
    }

    /// Takes over what a donor had of older maps of these keys alone. Returns what is to be applied, and how many of the keys are more than
    /// can be remembered: requests for those wait for all that the donor has.
    ///
    /// # Errors
    /// As [`take_over`](Self::take_over).
    pub fn take_keys(
        &mut self,
        cut: Cut,
        keys: &[Key],
    ) -> Result<(Vec<OlderWrites>, usize), DonorOutlived> {
        self.check_donor(&cut)?;
        if self.inherited.has_from(cut.from) {
            // They are here with all else, and may have been deleted since.
            return Ok((Vec::new(), 0));
        }
        let mut older = self.lacking_of(cut.older);
        for older in &mut older {
            older.writes.retain(|write| keys.contains(&write.key));
        }
        self.observe_older(&older);
        let Inherited { deals, claims, .. } = &cut.rest.inherited;
        let said = (deals.as_slice(), claims.as_slice());
        let too_many = self.inherited.claim_keys(self.origin, keys, said);
        Ok((older, too_many))
    }

    fn check_donor(&mut self, cut: &Cut) -> Result<(), DonorOutlived> {
        if !self.inherited.is_valid(cut.from) {
            return Err(DonorOutlived);
        }
        if self.inherited.is_any_forgotten(&cut.rest.inherited.handed) {
            // It does not know yet that the others have gone on without it.
            self.inherited.has_handed_over(cut.from);
            return Err(DonorOutlived);
        }
        Ok(())
    }

    /// Takes what is not here yet, by the claims of this moment: an answer may have been long on its way.
    pub(super) fn take_older(
        &mut self,
        older: Vec<OlderWrites>,
        inherited: &Inherited,
    ) -> Vec<OlderWrites> {
        let older = self.lacking_of(older);
        self.observe_older(&older);
        self.inherited.merge(inherited);
        self.resettle();
        older
    }

    fn lacking_of(&self, mut older: Vec<OlderWrites>) -> Vec<OlderWrites> {
        for OlderWrites { domain, writes } in &mut older {
            writes.retain(|write| !self.inherited.covers(domain, &write.dot()));
        }
        older
    }

    /// What is taken over is not stamped above what is written here next.
    fn observe_older(&mut self, older: &[OlderWrites]) {
        for write in older.iter().flat_map(|older| &older.writes) {
            let time = write.version.time;
            self.time = self.time.max(time);
            if write.version.content == Content::Tombstone {
                self.newest_tombstone = self.newest_tombstone.max(time);
            }
        }
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

/// What becomes of what a node had when it goes on in another domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// Keys are dealt anew: what it had is frozen for those who keep them now. It goes on serving, with what it keeps of it.
    HandOver,
    /// It is given up: others of its shard have gone on with it, or it had nothing but what it had set aside, and what of that the others
    /// lack nobody can tell in another domain. There it starts as after a restart. What it holds of older maps stays.
    GiveUp,
    /// The same, and what it holds of older maps is given up, too: its life was over, and the others have gone on without it.
    GiveUpAll,
}

/// A donor's life is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the donor's life is over")]
pub struct DonorOutlived;

#[cfg(test)]
mod tests;
