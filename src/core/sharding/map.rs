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
#[serde(try_from = "(MapId, MapId, Vec<Vec<Address>>)")]
#[serde(into = "(MapId, MapId, Vec<Vec<Address>>)")]
pub struct ShardMap {
    id: MapId,
    /// The map that last changed which keys a shard has.
    since: MapId,
    /// Of each shard its members, sorted. None: one shard, in which every member of the view is.
    shards: Vec<Vec<Address>>,
}

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
            shards: Vec::new(),
        }
    }

    /// The first map of a sharded cluster: `nodes`, sorted, are dealt to the shards one by one.
    ///
    /// # Errors
    /// [`TooFewNodes`] unless every shard gets [`NODES_MIN`]. At least one shard must be asked for.
    pub fn first(nodes: &[Address], shards: usize) -> Result<Self, TooFewNodes> {
        let nodes: BTreeSet<Address> = nodes.iter().copied().collect();
        if shards == 0 || nodes.len() / NODES_MIN < shards {
            let nodes = nodes.len();
            return Err(TooFewNodes { shards, nodes });
        }
        let mut dealt = vec![Vec::new(); shards];
        for (place, node) in nodes.into_iter().enumerate() {
            dealt[place % shards].push(node);
        }
        let id = first_id(&dealt);
        Ok(Self {
            id,
            since: id,
            shards: dealt,
        })
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

impl TryFrom<(MapId, MapId, Vec<Vec<Address>>)> for ShardMap {
    type Error = NoMap;

    fn try_from(parts: (MapId, MapId, Vec<Vec<Address>>)) -> Result<Self, NoMap> {
        let (id, since, shards) = parts;
        let sorted = shards
            .iter()
            .all(|members| members.is_sorted_by(|a, b| a < b));
        let filled = shards.iter().all(|members| members.len() >= NODES_MIN);
        let all: Vec<&Address> = shards.iter().flatten().collect();
        let once = all.iter().collect::<BTreeSet<_>>().len() == all.len();
        let named = if id.maker.is_some() {
            since <= id && id.epoch > MapId::FIRST_EPOCH && !shards.is_empty()
        } else if shards.is_empty() {
            id == MapId::IMPLICIT && since == id
        } else {
            id == first_id(&shards) && since == id
        };
        let map = Self { id, since, shards };
        (sorted && filled && once && named)
            .then_some(map)
            .ok_or(NoMap)
    }
}

impl From<ShardMap> for (MapId, MapId, Vec<Vec<Address>>) {
    fn from(map: ShardMap) -> Self {
        (map.id, map.since, map.shards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::origin;

    fn nodes(names: &[u16]) -> Vec<Address> {
        names.iter().map(|n| origin(*n).address).collect()
    }

    fn first(names: &[u16], shards: usize) -> ShardMap {
        ShardMap::first(&nodes(names), shards).unwrap()
    }

    #[test]
    fn nodes_are_dealt_in_turn_by_address_whatever_the_order_they_are_named_in() {
        let map = first(&[10, 2, 5, 9, 3], 2);
        let shard = |n| map.shard_of_node(origin(n).address);
        let (s0, s1) = (Some(ShardId(0)), Some(ShardId(1)));
        assert_eq!([2, 3, 5, 9, 10].map(shard), [s0, s1, s0, s1, s0]);
        assert_eq!(map, first(&[2, 3, 5, 9, 10], 2));
        assert_eq!(shard(7), None);
        assert_eq!(map.domain_of(origin(7).address).shard, ShardId::NONE);
        let peers = |one, other| map.share(origin(one).address, origin(other).address);
        assert!(peers(2, 10) && !peers(2, 3) && !peers(7, 8));
    }

    #[test]
    fn every_shard_has_two_nodes_or_there_is_no_map() {
        let refused = |names: &[u16], shards| ShardMap::first(&nodes(names), shards).is_err();
        assert!(refused(&[1], 1) && refused(&[1, 2, 3], 2) && refused(&[1, 2], 0));
        assert!(refused(&[1, 1, 2], 2) && !refused(&[1, 2, 3], 1));
        let error = ShardMap::first(&nodes(&[1, 2, 3]), 2).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 shards need 2 nodes each, and there are 3 nodes"
        );
    }

    #[test]
    fn different_first_maps_have_different_ids_and_all_supersede_the_implicit_one() {
        let maps = [
            first(&[1, 2, 3, 4], 2),
            first(&[1, 2, 3, 4], 1),
            first(&[1, 2, 3, 5], 2),
        ];
        for map in &maps {
            assert!(map.id() > ShardMap::implicit().id());
        }
        assert_ne!(maps[0].id(), maps[1].id());
        assert_ne!(maps[0].id(), maps[2].id());
    }

    #[test]
    fn everybody_keeps_the_one_shard_of_a_cluster_that_was_told_of_none() {
        let map = ShardMap::implicit();
        assert_eq!(map.shard_of_node(origin(9).address), Some(ShardId(0)));
        assert_eq!(map.shards().collect::<Vec<_>>(), [ShardId(0)]);
        assert_eq!(map.domain_of(origin(9).address), Domain::UNSHARDED);
        assert!(!map.keeps(origin(9).address, ShardId(1)));
    }

    #[test]
    fn a_map_survives_the_round_trip_and_one_that_contradicts_itself_is_refused() {
        let decode =
            |map: &ShardMap| postcard::from_bytes::<ShardMap>(&postcard::to_stdvec(map).unwrap());
        let map = first(&[1, 2, 3, 4], 2);
        assert_eq!(decode(&map), Ok(map.clone()));
        assert_eq!(decode(&ShardMap::implicit()), Ok(ShardMap::implicit()));
        let mut other_id = map.clone();
        other_id.id.stamp += 1;
        let mut unsorted = map.clone();
        unsorted.shards[0].reverse();
        let mut twice = map.clone();
        twice.shards[1] = twice.shards[0].clone();
        let mut thin = map.clone();
        thin.shards[0].pop();
        let mut made = map;
        made.id.maker = Some(origin(1).address);
        for bad in [other_id, unsorted, twice, thin, made] {
            assert!(decode(&bad).is_err(), "{bad:?}");
        }
    }
}
