//! When a keeper is complete, and when older maps are closed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Claim, Closed, Inheritance, is_among};
use crate::core::id::{Address, Incarnation, Origin};
use crate::core::wire::Digest;

impl Inheritance {
    /// Whether all nodes have handed over: the configured ones, in the latest life known of each. Under a first map, which nobody was asked
    /// to give anything up for, only those count that say that they hold something. The other keepers of the shard must say so, too, and
    /// have nothing of older maps that is not here: a donor that was restarted may have handed over to one of them before, and nobody else has that.
    pub fn is_complete(&self) -> bool {
        self.waited_for().is_empty() && self.peers.iter().all(|peer| self.agrees(peer))
    }

    fn agrees(&self, peer: &Address) -> bool {
        let Some(life) = self.nodes.get(peer) else {
            // It is forgotten.
            return true;
        };
        let heard = self.heard.get(peer);
        let heard = heard.filter(|heard| heard.map == self.deal.since && heard.life == *life);
        let has_all = |handed: &[(Address, Incarnation)]| {
            let mut nodes = self.nodes.iter();
            nodes.all(|(node, life)| is_among(handed, node, *life))
        };
        heard.map_or(!self.follows(), |heard| {
            let said = &heard.said;
            // It had closed the older maps before it was ever heard of: what it has of them is known once it has given a join.
            let known = heard.shown || !self.follows() || self.closed().is_some();
            let lacks = self.lacks_any(&said.claims) || self.lacks_any_key(&said.of_keys);
            known && (!self.follows() || has_all(&said.handed)) && !lacks
        })
    }

    /// Whether the sender of a digest, another keeper of the shard, has something of older maps that is not here, or may have: it has closed them
    /// and was never heard of before.
    pub fn lacks_from(&self, digest: &Digest) -> bool {
        let heard = self.heard.get(&digest.from.address);
        let unknown = heard.is_some_and(|heard| !heard.shown);
        let unknown = unknown && self.follows() && self.closed().is_none();
        let said = &digest.hand_overs;
        // Whoever has handed over single keys brings them with all else, unless it is gone.
        let lacks_keys = || self.lacks_any_key(&said.of_keys) && self.waited_for().is_empty();
        unknown || self.lacks_any(&said.claims) || lacks_keys()
    }

    /// Whether another keeper of the shard has something of older maps that is not here.
    pub fn lacks_any(&self, claims: &[Claim]) -> bool {
        let lacks = |claim: &Claim| {
            let covered = self.covered(&claim.domain);
            covered.is_none_or(|covered| covered.is_behind(&claim.covered))
        };
        claims.iter().any(lacks)
    }

    /// Whether all keepers are up, say in their present lives that all have handed over to them, and name this one: then nobody needs what
    /// it holds any more.
    pub fn may_let_go(&self, own: Origin) -> bool {
        let mut others = self.present_keepers();
        let has_it = |keeper: &Address| {
            let handed = self.complete_keeper(keeper);
            handed.is_some_and(|handed| is_among(handed, &own.address, own.incarnation))
        };
        let complete = !self.keepers.contains(&self.own) || self.is_complete();
        !self.holds.is_empty() && complete && others.all(has_it) && self.is_each_shard_kept()
    }

    /// Whether each shard has a keeper that is not forgotten. Else nobody has taken over the keys of one, who will by the next map.
    fn is_each_shard_kept(&self) -> bool {
        let is_kept = |keepers: &Vec<Address>| keepers.iter().any(|it| self.nodes.contains_key(it));
        self.shards.iter().all(is_kept)
    }

    /// The other keepers, but for those that are forgotten.
    fn present_keepers(&self) -> impl Iterator<Item = &Address> {
        let others = self.keepers.iter().filter(|keeper| **keeper != self.own);
        others.filter(|keeper| self.nodes.contains_key(*keeper))
    }

    /// Closes the older maps, if all keepers are up, and say in their present lives that all have handed over to them. True if that is news.
    pub fn close_if_complete(&mut self) -> bool {
        let is_keeper = self.keepers.contains(&self.own);
        let complete = !is_keeper || self.is_complete();
        let over = self.closed().is_some() || !complete;
        if !self.follows() || over || !self.is_each_shard_kept() {
            return false;
        }
        let mut lives = if is_keeper {
            self.handed.clone()
        } else {
            BTreeMap::new()
        };
        for keeper in self.present_keepers() {
            let Some(theirs) = self.complete_keeper(keeper) else {
                return false;
            };
            if !is_keeper && lives.is_empty() {
                lives = theirs.iter().copied().collect();
            }
            for (address, life) in &mut lives {
                let handed = theirs.binary_search_by_key(address, |(a, _)| *a);
                *life = handed
                    .map_or(Incarnation::UNKNOWN, |at| theirs[at].1)
                    .min(*life);
            }
        }
        for (address, mark) in &self.forgotten {
            let life = lives.entry(*address).or_default();
            *life = (*life).max(*mark);
        }
        let enough = |(address, life): (&Address, &Incarnation)| {
            lives.get(address).is_some_and(|handed| handed >= life)
        };
        if !self.nodes.iter().all(enough) {
            return false;
        }
        let map = self.deal.since;
        let lives = lives.into_iter().collect();
        self.closed = Some(Arc::new(Closed { map, lives }));
        true
    }

    /// Who has handed over to this keeper, if all have, it says so in its present life, and it is up.
    fn complete_keeper(&self, keeper: &Address) -> Option<&Vec<(Address, Incarnation)>> {
        let heard = self.heard.get(keeper)?;
        let present = self.nodes.get(keeper) == Some(&heard.life) && self.up.contains(keeper);
        let complete = heard.map == self.deal.since && heard.said.complete;
        (present && complete).then_some(&heard.said.handed)
    }
}
