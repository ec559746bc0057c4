//! What a node had before keys were dealt anew, kept for those who keep them now (design §7, ADR 13).

use super::coverage::Coverage;
use super::id::{Domain, Incarnation, Key};
use super::inheritance::{Claim, OlderWrites};
use super::sharding::map::Deal;
use super::store::Store;
use super::write::Write;

/// A domain in which this node writes no more: its winners as they were when it went on in another.
#[derive(Debug)]
pub struct Frozen {
    /// How keys were dealt then.
    pub deal: Deal,
    /// In which life of this node it was frozen.
    pub life: Incarnation,
    /// What there is of the domain.
    pub claim: Claim,
    /// The winners, those of still older domains among them.
    pub winners: Store,
}

/// Who asks for something frozen: the keys of a shard, but for what is claimed already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The domain for which it is taken over.
    pub domain: Domain,
    /// Into how many shards keys are dealt under its map.
    pub shards: u32,
    /// What its keeper has of older domains.
    pub claims: Vec<Claim>,
}

impl Share {
    fn has(&self, key: &Key) -> bool {
        let deal = Deal {
            since: self.domain.map,
            shards: self.shards,
        };
        deal.domain_of(key) == self.domain
    }

    fn claim(&self, domain: &Domain) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.domain == *domain)
    }

    fn covered(&self, domain: &Domain) -> Option<&Coverage> {
        self.claim(domain).map(|claim| &claim.covered)
    }
}

impl Frozen {
    /// How many winners there are.
    pub fn len(&self) -> u64 {
        let summary = self.winners.summary();
        summary.keys + summary.tombstones
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a keeper lacks of it. To be added to what it claims: [`Frozen::claim`].
    pub fn difference(&self, share: &Share) -> Vec<OlderWrites> {
        let domain = self.claim.domain;
        let known = share.claim(&domain);
        let nothing = Coverage::new();
        let covered = known.map_or(&nothing, |claim| &claim.covered);
        let mut difference = vec![OlderWrites {
            domain,
            writes: self.winners.difference(covered),
        }];
        // Two donors that had everything of still older maps have the same of them, or have overwritten it since.
        if !(self.claim.whole && known.is_some_and(|known| known.whole)) {
            let older = self
                .winners
                .older_difference(|domain| share.covered(domain));
            difference.extend(older);
        }
        for older in &mut difference {
            older.writes.retain(|write: &Write| share.has(&write.key));
        }
        difference.retain(|older| !older.writes.is_empty());
        difference
    }
}
