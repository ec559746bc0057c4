//! Which nodes keep which shard.
//!
//! A [`ShardMap`] is a value that travels whole: it names every member of every shard. Of two maps the one with the larger
//! [`MapId`] holds, so that all nodes end with the same one, whatever reaches them in which order. Its id is given to one map
//! only: that of the first map of a cluster, which every node derives from its own settings, holds a hash of what it says.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::placement;
use crate::core::id::{Address, Domain, Key, MapId, ShardId};

/// Nodes without which a shard would not survive the loss of one.
pub const NODES_MIN: usize = 2;

/// An assignment of nodes to shards, and by the number of shards that of keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct ShardMap {
    id: MapId,
    /// The map that last changed which keys a shard has.
    since: MapId,
    /// The deal before that one; `None` for a map that nodes derive from their settings.
    before: Option<Deal>,
    /// Of each shard its members, sorted. None: one shard, in which every member of the view is.
    shards: Vec<Vec<Address>>,
}

/// What an assignment says about keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Deal {
    /// The map that made it.
    pub since: MapId,
    /// To how many shards it deals them.
    pub shards: u32,
}

impl Deal {
    /// The domain in which the writes of a key were numbered under it.
    pub fn domain_of(&self, key: &Key) -> Domain {
        Domain {
            map: self.since,
            shard: placement::shard_of(key, self.shards),
        }
    }
}

type Parts = (MapId, MapId, Option<Deal>, Vec<Vec<Address>>);

/// Nodes that cannot be dealt to so many shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{shards} shards need {NODES_MIN} nodes each, and there are {nodes} nodes")]
pub struct TooFewNodes {
    /// How many shards were asked for.
    pub shards: usize,
    /// How many nodes there are.
    pub nodes: usize,
}

/// A map on the wire that nobody can have made; what it came with changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a shard map that contradicts itself")]
pub struct NoMap;

impl ShardMap {
    /// That of a cluster whose nodes were told of no shards: one shard, in which all are.
    pub const fn implicit() -> Self {
        Self {
            id: MapId::IMPLICIT,
            since: MapId::IMPLICIT,
            before: None,
            shards: Vec::new(),
        }
    }

    /// The first map of a sharded cluster: `nodes`, sorted, are dealt to the shards one by one.
    ///
    /// # Errors
    /// [`TooFewNodes`] unless every shard gets [`NODES_MIN`]. At least one shard must be asked for.
    pub fn first(nodes: &[Address], shards: usize) -> Result<Self, TooFewNodes> {
        let nodes = enough(nodes, shards)?;
        let mut dealt = vec![Vec::new(); shards];
        for (place, node) in nodes.into_iter().enumerate() {
            dealt[place % shards].push(node);
        }
        let id = first_id(&dealt);
        Ok(Self {
            id,
            since: id,
            before: None,
            shards: dealt,
        })
    }

    /// The next map, by which `nodes` keep so many shards, evenly, and as many of them as that allows the one that they keep now. All who
    /// know this map and the nodes deal alike.
    ///
    /// # Errors
    /// [`TooFewNodes`] as in [`first`](Self::first).
    pub fn dealt_anew(
        &self,
        nodes: &[Address],
        shards: usize,
        made: Made,
    ) -> Result<Self, TooFewNodes> {
        let nodes = enough(nodes, shards)?;
        let mut dealt: Vec<Vec<Address>> = vec![Vec::new(); shards];
        let mut free = Vec::new();
        for node in &nodes {
            let kept = self.shard_of_node(*node).map(|shard| shard.0 as usize);
            match kept
                .filter(|_| self.is_sharded())
                .and_then(|shard| dealt.get_mut(shard))
            {
                Some(members) => members.push(*node),
                None => free.push(*node),
            }
        }
        // The larger shares go to those who keep the most.
        let mut order: Vec<usize> = (0..shards).collect();
        order.sort_by_key(|shard| (std::cmp::Reverse(dealt[*shard].len()), *shard));
        let mut sizes = vec![nodes.len() / shards; shards];
        for shard in order.into_iter().take(nodes.len() % shards) {
            sizes[shard] += 1;
        }
        for (members, share) in dealt.iter_mut().zip(&sizes) {
            free.extend(members.drain(members.len().min(*share)..));
        }
        free.sort_unstable();
        let mut free = free.into_iter();
        for (members, share) in dealt.iter_mut().zip(sizes) {
            let missing = share - members.len();
            members.extend(free.by_ref().take(missing));
            members.sort_unstable();
        }
        let id = MapId {
            epoch: self.id.epoch.max(MapId::FIRST_EPOCH) + 1,
            stamp: made.wall_ms,
            maker: Some(made.by),
        };
        Ok(Self {
            id,
            since: id,
            before: Some(self.deal()),
            shards: dealt,
        })
    }

    /// The next map, by which one more node keeps a shard, and keys stay where they are; `None` if there is no such shard, if all nodes keep
    /// it, or if the node keeps one already.
    #[must_use]
    pub fn with_member(&self, node: Address, shard: ShardId, made: Made) -> Option<Self> {
        if !self.is_sharded() || self.shard_of_node(node).is_some() {
            return None;
        }
        let mut next = self.clone();
        let members = next.shards.get_mut(usize::try_from(shard.0).ok()?)?;
        members.push(node);
        members.sort_unstable();
        // In the same epoch: a map that deals keys anew at the same time holds before it, or that would be undone.
        next.id = MapId {
            epoch: self.id.epoch,
            stamp: made.wall_ms.max(self.id.stamp + 1),
            maker: Some(made.by),
        };
        Some(next)
    }

    /// What it says about keys.
    pub fn deal(&self) -> Deal {
        Deal {
            since: self.since,
            shards: self.count(),
        }
    }

    /// The deal before: where keys were whose writes were numbered under it.
    pub fn before(&self) -> Option<Deal> {
        self.before
    }

    /// Its name; of two maps the one with the larger one holds.
    pub fn id(&self) -> MapId {
        self.id
    }

    /// Whether nodes were told of shards.
    pub fn is_sharded(&self) -> bool {
        !self.shards.is_empty()
    }

    /// How many shards there are, at least 1.
    pub fn count(&self) -> u32 {
        u32::try_from(self.shards.len().max(1)).unwrap_or(u32::MAX)
    }

    /// All shards.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.count()).map(ShardId)
    }

    /// Whether there is such a shard.
    pub fn has(&self, shard: ShardId) -> bool {
        shard.0 < self.count()
    }

    /// The shard of a key.
    pub fn shard_of(&self, key: &Key) -> ShardId {
        placement::shard_of(key, self.count())
    }

    /// The shard that a node keeps; `None` if it keeps none.
    pub fn shard_of_node(&self, node: Address) -> Option<ShardId> {
        self.shards().find(|shard| self.keeps(node, *shard))
    }

    /// Whether this node keeps this shard.
    pub fn keeps(&self, node: Address, shard: ShardId) -> bool {
        match self.members(shard) {
            Some(members) => members.binary_search(&node).is_ok(),
            None => self.has(shard),
        }
    }

    /// Whether these two keep one shard: they have the same keys, clocks and lives to agree on. A node that keeps none shares with nobody.
    pub fn share(&self, one: Address, other: Address) -> bool {
        let shard = self.shard_of_node(one);
        shard.is_some_and(|shard| self.keeps(other, shard))
    }

    /// The members of a shard as the map names them, sorted; `None` if it names none, since there is no such shard or all
    /// nodes are in it.
    fn members(&self, shard: ShardId) -> Option<&[Address]> {
        if self.is_sharded() {
            let members = self.shards.get(usize::try_from(shard.0).ok()?);
            Some(members.map_or(&[], Vec::as_slice))
        } else {
            None
        }
    }

    /// The nodes that keep each shard. None if nodes were told of no shards: then all keep the only one.
    pub fn keepers(&self) -> impl Iterator<Item = Vec<Address>> {
        self.shards.iter().cloned()
    }

    /// All nodes that it names.
    pub fn nodes(&self) -> impl Iterator<Item = Address> {
        self.shards.iter().flatten().copied()
    }

    /// The domain in which a node numbers its writes: that of its shard, or one of its own if it keeps none.
    pub fn domain_of(&self, node: Address) -> Domain {
        Domain {
            map: self.since,
            shard: self.shard_of_node(node).unwrap_or(ShardId::NONE),
        }
    }
}

/// By whom and when a map is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// By whom.
    pub by: Address,
    /// Wall-clock milliseconds.
    pub wall_ms: u64,
}

fn enough(nodes: &[Address], shards: usize) -> Result<BTreeSet<Address>, TooFewNodes> {
    let nodes: BTreeSet<Address> = nodes.iter().copied().collect();
    if shards == 0 || nodes.len() / NODES_MIN < shards {
        let nodes = nodes.len();
        return Err(TooFewNodes { shards, nodes });
    }
    Ok(nodes)
}

/// So that different maps, derived from different settings, have different ids.
fn first_id(shards: &[Vec<Address>]) -> MapId {
    let mut hash = Xxh3::new();
    for members in shards {
        for member in members {
            hash.update(member.to_string().as_bytes());
            hash.update(b",");
        }
        hash.update(b";");
    }
    MapId {
        epoch: MapId::FIRST_EPOCH,
        // Half of it: the id stands in every client's metadata.
        stamp: (hash.digest() >> 32).max(1),
        maker: None,
    }
}

impl TryFrom<Parts> for ShardMap {
    type Error = NoMap;

    fn try_from(parts: Parts) -> Result<Self, NoMap> {
        let (id, since, before, shards) = parts;
        let sorted = shards
            .iter()
            .all(|members| members.is_sorted_by(|a, b| a < b));
        let filled = shards.iter().all(|members| members.len() >= NODES_MIN);
        let all: Vec<&Address> = shards.iter().flatten().collect();
        let once = all.iter().collect::<BTreeSet<_>>().len() == all.len();
        let named = if id.maker.is_some() {
            let deals = since == id && id.epoch > MapId::FIRST_EPOCH;
            let adds = since.epoch == id.epoch && since.stamp < id.stamp;
            (deals || adds) && !shards.is_empty()
        } else if shards.is_empty() {
            id == MapId::IMPLICIT && since == id
        } else {
            id == first_id(&shards) && since == id
        };
        let follows = match before {
            Some(deal) => deal.since < since && since.maker.is_some() && deal.shards > 0,
            None => since.maker.is_none(),
        };
        let map = Self {
            id,
            since,
            before,
            shards,
        };
        (sorted && filled && once && named && follows)
            .then_some(map)
            .ok_or(NoMap)
    }
}

impl From<ShardMap> for Parts {
    fn from(map: ShardMap) -> Self {
        (map.id, map.since, map.before, map.shards)
    }
}

#[cfg(test)]
mod tests;
