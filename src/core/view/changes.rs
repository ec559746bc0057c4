//! Changes of the shard map that somebody asks for, and how far they have got.
//!
//! Any node makes the next map, of the one that it goes by and the nodes in its view. Nobody else is asked first: of two maps made at
//! the same time the one with the larger id holds, and what the other one was to change has to be asked for again.

use super::{Effect, Membership};
use crate::core::Millis;
use crate::core::id::{Address, MapId, ShardId};
use crate::core::sharding::map::{Made, ShardMap};

/// A change of the shard map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapChange {
    /// One more node keeps a shard; keys stay where they are.
    AddMember {
        /// Who.
        node: Address,
        /// Which.
        shard: ShardId,
    },
    /// The nodes in the view keep so many shards, evenly.
    Deal {
        /// How many.
        shards: usize,
    },
}

/// What became of a request to change the shard map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapOutcome {
    /// This node goes by this new map from now on, and so do the others as it spreads.
    Made(MapId),
    /// By this map, which this node goes by, it is so already; nothing was changed.
    AlreadyThere(MapId),
    /// There is no such shard; nothing was changed.
    NoSuchShard,
    /// The node to be added is not in the view; nothing was changed.
    NotInView,
    /// The node to be added keeps another shard; nothing was changed.
    InAnotherShard,
    /// There are not two nodes in the view for each shard; nothing was changed.
    TooFewNodes,
    /// This node is itself out of the view, so its word does not count; nothing was changed.
    NoSay,
}

impl Membership {
    /// Makes the next map, as asked, and goes by it.
    pub fn change_map(
        &mut self,
        change: MapChange,
        now: Millis,
        wall_ms: u64,
    ) -> (MapOutcome, Vec<Effect>) {
        let by = self.own;
        match self.next_map(change, Made { by, wall_ms }) {
            Ok(map) => {
                self.heed_map(&map, now);
                debug_assert_eq!(self.map.id(), map.id(), "it supersedes the one before");
                (MapOutcome::Made(map.id()), self.settle(now))
            }
            Err(outcome) => (outcome, Vec::new()),
        }
    }

    fn next_map(&self, change: MapChange, made: Made) -> Result<ShardMap, MapOutcome> {
        if self.left || self.is_removed() {
            return Err(MapOutcome::NoSay);
        }
        match change {
            MapChange::AddMember { node, shard } => self.with_member(node, shard, made),
            MapChange::Deal { shards } => {
                let dealt = self.map.dealt_anew(&self.view(), shards, made);
                dealt.map_err(|_| MapOutcome::TooFewNodes)
            }
        }
    }

    fn with_member(
        &self,
        node: Address,
        shard: ShardId,
        made: Made,
    ) -> Result<ShardMap, MapOutcome> {
        if !self.map.has(shard) {
            Err(MapOutcome::NoSuchShard)
        } else if !self.is_in_view(node) {
            Err(MapOutcome::NotInView)
        } else if self.map.keeps(node, shard) {
            Err(MapOutcome::AlreadyThere(self.map.id()))
        } else {
            let next = self.map.with_member(node, shard, made);
            next.ok_or(MapOutcome::InAnotherShard)
        }
    }

    /// Whether every node in the view, this one included, goes by this map or a later one, as far as they were heard.
    pub fn all_go_by(&self, map: MapId) -> bool {
        let mut in_view = self.peers.iter().filter(|(a, _)| self.is_in_view(**a));
        self.map.id() >= map && in_view.all(|(_, peer)| peer.map() >= map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::view::tests::{address, heard, node};
    use crate::core::view::{Event, Heard};

    const S0: ShardId = ShardId(0);
    const S1: ShardId = ShardId(1);

    fn addresses(names: &[u8]) -> Vec<Address> {
        names.iter().map(|n| address(*n)).collect()
    }

    /// Node 1 of six in the view, of whom 1, 3 keep `s0` and 2, 4 keep `s1`.
    fn sharded() -> Membership {
        let mut node = node(6);
        let map = ShardMap::first(&addresses(&[1, 2, 3, 4]), 2).unwrap();
        node.learn_map(&map, 5);
        node
    }

    fn add(node: &mut Membership, n: u8, shard: ShardId) -> MapOutcome {
        let node_added = address(n);
        let change = MapChange::AddMember {
            node: node_added,
            shard,
        };
        node.change_map(change, 10, 1_000).0
    }

    fn deal(node: &mut Membership, shards: usize) -> MapOutcome {
        node.change_map(MapChange::Deal { shards }, 10, 1_000).0
    }

    #[test]
    fn a_node_in_the_view_is_added_to_a_shard_by_a_map_that_supersedes_the_one_before() {
        let mut node = sharded();
        let before = node.map().clone();
        let added = MapChange::AddMember {
            node: address(5),
            shard: S1,
        };
        let (outcome, effects) = node.change_map(added, 10, 1_000);
        assert_eq!(outcome, MapOutcome::Made(node.map().id()));
        assert!(node.map().id() > before.id());
        assert_eq!(node.map().deal(), before.deal());
        assert!(node.map().keeps(address(5), S1));
        let told = |effect: &Effect| matches!(effect, Effect::Log(Event::MapAdopted { .. }));
        assert!(effects.iter().any(told));
        let published = |effect: &Effect| match effect {
            Effect::MembersChanged { map, .. } => map == node.map(),
            _ => false,
        };
        assert!(effects.iter().any(published), "it goes with the heartbeats");
    }

    #[test]
    fn what_cannot_be_added_changes_nothing_and_it_is_said_why() {
        let mut node = sharded();
        let map = node.map().id();
        assert_eq!(add(&mut node, 5, ShardId(2)), MapOutcome::NoSuchShard);
        assert_eq!(add(&mut node, 9, S1), MapOutcome::NotInView);
        assert_eq!(add(&mut node, 3, S1), MapOutcome::InAnotherShard);
        assert_eq!(add(&mut node, 3, S0), MapOutcome::AlreadyThere(map));
        node.remove(address(5), 10, 1_000);
        assert_eq!(add(&mut node, 5, S1), MapOutcome::NotInView);
        node.remove(address(1), 10, 1_000);
        assert_eq!(add(&mut node, 6, S1), MapOutcome::NoSay);
        assert_eq!(node.map().id(), map);
    }

    #[test]
    fn where_there_are_no_shards_everybody_in_the_view_is_in_the_one() {
        let mut node = node(3);
        let there = MapOutcome::AlreadyThere(MapId::IMPLICIT);
        assert_eq!(add(&mut node, 2, S0), there);
        assert_eq!(add(&mut node, 4, S0), MapOutcome::NotInView);
        assert_eq!(add(&mut node, 2, S1), MapOutcome::NoSuchShard);
    }

    #[test]
    fn shards_are_dealt_to_those_in_the_view_if_there_are_two_for_each() {
        let mut node = sharded();
        node.remove(address(2), 10, 1_000);
        assert_eq!(deal(&mut node, 3), MapOutcome::TooFewNodes);
        assert_eq!(deal(&mut node, 0), MapOutcome::TooFewNodes);
        assert_eq!(deal(&mut node, usize::MAX), MapOutcome::TooFewNodes);
        assert_eq!(deal(&mut node, 2), MapOutcome::Made(node.map().id()));
        let keepers: Vec<Address> = node.map().nodes().collect();
        assert_eq!(keepers.len(), 5);
        assert!(!keepers.contains(&address(2)));
    }

    #[test]
    fn a_map_is_everywhere_once_all_in_the_view_were_heard_to_go_by_it_or_a_later_one() {
        let mut one = sharded();
        let first = one.map().clone();
        let hears = |one: &mut Membership, from: u8, map: &ShardMap| {
            let heard = Heard {
                map: Some(map.clone()),
                ..heard(from, 1_000)
            };
            one.hear(&heard, 20);
        };
        let MapOutcome::Made(made) = add(&mut one, 5, S1) else {
            panic!("it is made");
        };
        let map = one.map().clone();
        for from in 2..=5 {
            hears(&mut one, from, &map);
        }
        hears(&mut one, 6, &first);
        assert!(!one.all_go_by(made), "one goes by the map before");
        assert!(one.all_go_by(first.id()));
        one.remove(address(6), 30, 1_000);
        assert!(
            one.all_go_by(made),
            "who is out of the view is not waited for"
        );
        one.add(address(6), 40, 1_001);
        assert!(!one.all_go_by(made));
        let mut other = sharded();
        other.learn_map(&map, 10);
        add(&mut other, 6, S0);
        let later = other.map().clone();
        hears(&mut one, 6, &later);
        assert!(one.all_go_by(made), "a later one counts as well");
        assert_eq!(one.map(), &later);
        assert!(!one.all_go_by(later.id()));
    }
}
