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

    fn made(wall_ms: u64) -> Made {
        let by = origin(2).address;
        Made { by, wall_ms }
    }

    fn dealt(map: &ShardMap) -> Vec<Vec<Address>> {
        map.shards.clone()
    }

    #[test]
    fn a_node_keeps_its_shard_wherever_even_shares_allow_it() {
        let all: Vec<u16> = (1..=7).collect();
        let two = first(&all, 2);
        let three = two.dealt_anew(&nodes(&all), 3, made(9)).unwrap();
        let expected = [nodes(&[1, 3, 5]), nodes(&[2, 4]), nodes(&[6, 7])];
        assert_eq!(dealt(&three), expected);
        assert!(three.id() > two.id());
        assert_eq!(three.before(), Some(two.deal()));
        assert_eq!(three.deal().since, three.id());
        let back = three.dealt_anew(&nodes(&all), 2, made(10)).unwrap();
        assert_eq!(dealt(&back), [nodes(&[1, 3, 5, 6]), nodes(&[2, 4, 7])]);
        let without = back.dealt_anew(&nodes(&[1, 2, 4, 5, 7]), 2, made(11));
        let expected = [nodes(&[1, 5]), nodes(&[2, 4, 7])];
        assert_eq!(dealt(&without.unwrap()), expected, "who is away keeps none");
        assert!(two.dealt_anew(&nodes(&all), 4, made(9)).is_err());
    }

    #[test]
    fn a_cluster_that_was_told_of_no_shards_can_be_dealt_out() {
        let implicit = ShardMap::implicit();
        let map = implicit.dealt_anew(&nodes(&[1, 2, 3, 4, 5]), 2, made(9));
        let map = map.unwrap();
        assert_eq!(dealt(&map), [nodes(&[1, 2, 3]), nodes(&[4, 5])]);
        let before = map.before().unwrap();
        let key = Key::new("k").unwrap();
        assert_eq!(before.domain_of(&key), Domain::UNSHARDED);
        let later = map.id() > first(&[1, 2, 3, 4], 2).id();
        assert!(later, "a map that somebody asked for holds before settings");
    }

    #[test]
    fn a_member_is_added_without_any_key_moving() {
        let map = first(&[1, 2, 3, 4], 2);
        let (node, s1) = (origin(9).address, ShardId(1));
        let next = map.with_member(node, s1, made(9)).unwrap();
        assert_eq!(dealt(&next), [nodes(&[1, 3]), nodes(&[2, 4, 9])]);
        assert!(next.id() > map.id());
        let dealt = map.dealt_anew(&nodes(&[1, 2, 3, 4]), 1, made(3)).unwrap();
        assert!(dealt.id() > next.id(), "whenever it is made");
        assert_eq!(next.deal(), map.deal());
        assert_eq!(
            next.domain_of(node).map,
            map.domain_of(origin(2).address).map
        );
        assert_eq!(next.with_member(node, ShardId(0), made(10)), None);
        assert_eq!(map.with_member(node, ShardId(2), made(9)), None);
        let implicit = ShardMap::implicit();
        assert_eq!(implicit.with_member(node, ShardId(0), made(9)), None);
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
        let next = map
            .dealt_anew(&nodes(&[1, 2, 3, 4]), 1, made(9))
            .unwrap()
            .with_member(origin(5).address, ShardId(0), made(10))
            .unwrap();
        assert_eq!(decode(&next), Ok(next.clone()));
        let mut from_nowhere = next.clone();
        from_nowhere.before = None;
        let mut from_itself = next;
        from_itself.before = Some(from_itself.deal());
        let mut claimed = map;
        claimed.id.maker = Some(origin(1).address);
        for bad in [
            other_id,
            unsorted,
            twice,
            thin,
            claimed,
            from_nowhere,
            from_itself,
        ] {
            assert!(decode(&bad).is_err(), "{bad:?}");
        }
    }
}
