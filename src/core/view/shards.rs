//! The shard map as this node knows it.

use super::removals::PLAUSIBLE_MS;
use super::{Effect, Event, Heard, Membership};
use crate::core::Millis;
use crate::core::id::{Address, Incarnation, MapId};
use crate::core::roster::RosterEntry;
use crate::core::sharding::map::{Made, ShardMap};

impl Membership {
    /// The map that holds, as far as this node knows.
    pub fn map(&self) -> &ShardMap {
        &self.map
    }

    /// Takes in a map that was learned otherwise than by a heartbeat.
    pub fn learn_map(&mut self, map: &ShardMap, now: Millis) -> Vec<Effect> {
        if self.left {
            return Vec::new();
        }
        self.heed_map(map, now);
        self.settle(now)
    }

    /// Takes over a map if it holds before the one known. The nodes that it names are members, up or not: one of them may have
    /// what nobody else has.
    pub(super) fn heed_map(&mut self, map: &ShardMap, now: Millis) {
        if map.id() <= self.map.id() || !is_plausible(map.id()) {
            return;
        }
        self.map = self.keeping_place(map);
        let own = self.own;
        for address in map.nodes().filter(|node| *node != own) {
            let entry = RosterEntry {
                address,
                life: Incarnation::UNKNOWN,
                forgotten: false,
                outside: false,
            };
            self.heed_roster(&entry, now);
        }
    }

    /// The map to go by when another one has superseded that by which this node was added to a shard, and was made without knowledge of
    /// it: the next one, by which it still is. Left out, and added again later, it would number its writes anew in the same domain, and
    /// those that only it has would be missing meanwhile. A map that deals keys anew is taken as it is.
    fn keeping_place(&self, map: &ShardMap) -> ShardMap {
        let place = self.map.shard_of_node(self.own);
        let place = place.filter(|_| map.deal() == self.map.deal());
        let made = Made {
            by: self.own,
            wall_ms: map.id().stamp,
        };
        let kept = place.and_then(|shard| map.with_member(self.own, shard, made));
        kept.unwrap_or_else(|| map.clone())
    }

    /// Takes note of the map that a peer goes by.
    pub(super) fn note_map(&mut self, heard: &Heard) {
        let map = heard.map.as_ref().map_or(MapId::IMPLICIT, ShardMap::id);
        if let Some(peer) = self.peers.get_mut(&heard.from.address)
            && is_plausible(map)
        {
            peer.goes_by(map);
        }
    }

    /// Whether this member keeps the shard of this node.
    pub(super) fn is_shard_peer(&self, address: Address) -> bool {
        self.map.share(self.own, address)
    }

    /// What is to be told about the map since this was last asked.
    pub(super) fn map_news(&mut self) -> Option<Event> {
        let id = self.map.id();
        let before = std::mem::replace(&mut self.told_map, id);
        (before < id).then(|| Event::MapAdopted {
            id,
            shards: self.map.count(),
            own: self.map.shard_of_node(self.own),
            contradicts: before.is_first() && id.is_first(),
        })
    }
}

/// Whether some node can have made it: nothing could supersede a later one.
fn is_plausible(id: MapId) -> bool {
    u32::try_from(id.epoch).is_ok() && id.stamp < PLAUSIBLE_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::ShardId;
    use crate::core::view::Member;
    use crate::core::view::tests::{address, heard, node};

    fn map(nodes: &[u8], shards: usize) -> ShardMap {
        let nodes: Vec<Address> = nodes.iter().map(|n| address(*n)).collect();
        ShardMap::first(&nodes, shards).unwrap()
    }

    fn hear_map(node: &mut Membership, map: &ShardMap) -> Vec<Effect> {
        let heard = Heard {
            map: Some(map.clone()),
            ..heard(2, 1_000)
        };
        node.hear(&heard, 10)
    }

    fn adopted(effects: &[Effect]) -> Vec<bool> {
        let adopted = effects.iter().filter_map(|effect| match effect {
            Effect::Log(Event::MapAdopted { contradicts, .. }) => Some(*contradicts),
            _ => None,
        });
        adopted.collect()
    }

    #[test]
    fn a_node_that_was_told_of_no_shards_takes_over_the_map_that_it_hears_of() {
        let mut node = node(2);
        let map = map(&[2, 3, 4, 5], 2);
        let effects = hear_map(&mut node, &map);
        assert_eq!(adopted(&effects), [false]);
        assert_eq!(node.map(), &map);
        let members = effects.iter().find_map(|effect| match effect {
            Effect::MembersChanged { members, map, .. } => Some((members.clone(), map.clone())),
            _ => None,
        });
        let member = |n| Member {
            address: address(n),
            removed: false,
            shard_peer: false,
        };
        let told = (
            vec![member(2), member(3), member(4), member(5)],
            map.clone(),
        );
        assert_eq!(members, Some(told), "those whom it names are members");
        assert!(adopted(&hear_map(&mut node, &map)).is_empty());
    }

    #[test]
    fn of_two_first_maps_all_take_the_same_and_it_is_said_that_they_contradict() {
        let (one, other) = (map(&[1, 2, 3, 4], 2), map(&[1, 2, 3, 4, 5], 2));
        let (less, more) = if one.id() < other.id() {
            (one, other)
        } else {
            (other, one)
        };
        let mut node = node(2);
        hear_map(&mut node, &less);
        assert_eq!(adopted(&hear_map(&mut node, &more)), [true]);
        assert!(adopted(&hear_map(&mut node, &less)).is_empty());
        assert_eq!(node.map(), &more);
    }

    #[test]
    fn who_was_added_by_a_map_that_is_superseded_by_one_made_without_it_keeps_its_place() {
        let first = map(&[2, 3, 4, 5], 2);
        let (s0, s1) = (ShardId(0), ShardId(1));
        let made = |by, wall_ms| Made {
            by: address(by),
            wall_ms,
        };
        let one = first.with_member(address(1), s1, made(2, 10)).unwrap();
        let other = first.with_member(address(6), s0, made(3, 20)).unwrap();
        let mut node = node(2);
        hear_map(&mut node, &one);
        assert_eq!(adopted(&hear_map(&mut node, &other)), [false]);
        assert!(node.map().id() > other.id());
        assert!(node.map().keeps(address(1), s1) && node.map().keeps(address(6), s0));
        assert_eq!(node.map().deal(), first.deal());
        let nodes: Vec<Address> = (2..=6).map(address).collect();
        let dealt = node.map().dealt_anew(&nodes, 1, made(3, 30)).unwrap();
        hear_map(&mut node, &dealt);
        assert_eq!(node.map(), &dealt, "one that deals anew is taken as it is");
    }

    #[test]
    fn only_members_of_the_same_shard_are_shard_peers() {
        let mut node = node(5);
        hear_map(&mut node, &map(&[1, 2, 3, 4], 2));
        let peers = [2, 3, 4, 5].map(|n| node.is_shard_peer(address(n)));
        assert_eq!(peers, [false, true, false, false]);
    }
}
