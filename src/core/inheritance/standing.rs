//! How far hand-overs are, as one node knows it.

use super::{Inheritance, Progress, is_among};
use crate::core::id::{Address, Domain, Incarnation, MapId};

/// How far the cluster is with what was written under older maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The map since which keys are dealt as they are.
    pub since: MapId,
    /// Into how many shards.
    pub shards: u32,
    /// See [`Inheritance::is_settled`].
    pub settled: bool,
    /// Whether all older maps are closed, or there is none.
    pub closed: bool,
    /// All configured nodes, sorted by address.
    pub nodes: Vec<NodeStanding>,
}

/// How far one node is, as it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStanding {
    /// Which one.
    pub node: Address,
    /// Whether it is believed up.
    pub up: bool,
    /// Whether it keeps a shard.
    pub keeps: bool,
    /// Since which map keys are dealt as it knows; `None` if it was never heard of.
    pub since: Option<MapId>,
    /// Whether it holds something of older maps for others.
    pub holds: bool,
    /// Who has not handed over to it yet, if it keeps a shard.
    pub waits_for: Vec<Address>,
}

impl Inheritance {
    /// Whether, of the nodes that are up, all go by the present map, all keepers have what the others had, and nobody holds anything but for
    /// nodes that are not up.
    pub fn is_settled(&self) -> bool {
        let all_up = self.nodes.keys().all(|node| self.up.contains(node));
        let held = |holds: &[Domain]| !holds.is_empty() && all_up;
        let settled = |node: &Address| {
            if *node == self.own {
                let has = !self.keepers.contains(node) || self.has_all_of(&self.handed_list());
                return !held(&self.holds) && has;
            }
            self.heard.get(node).is_some_and(|heard| {
                heard.map == self.deal.since
                    && !held(&heard.said.holds)
                    && (!self.keepers.contains(node) || self.has_all_of(&heard.said.handed))
            })
        };
        self.up.iter().all(settled)
    }

    /// Whether the nodes that are up are all among these.
    fn has_all_of(&self, handed: &[(Address, Incarnation)]) -> bool {
        !self.follows()
            || self.up.iter().all(|node| {
                let life = self.nodes.get(node);
                life.is_none_or(|life| is_among(handed, node, *life))
            })
    }

    /// How far the cluster is.
    pub fn standing(&self) -> Standing {
        Standing {
            since: self.deal.since,
            shards: self.deal.shards,
            settled: self.is_settled(),
            closed: self.is_whole(),
            nodes: self
                .nodes
                .keys()
                .map(|node| self.standing_of(node))
                .collect(),
        }
    }

    fn standing_of(&self, node: &Address) -> NodeStanding {
        let (own, keeps) = (*node == self.own, self.keepers.contains(node));
        let heard = self.heard.get(node).filter(|_| !own);
        let since = if own {
            Some(self.deal.since)
        } else {
            heard.map(|heard| heard.map)
        };
        let waits_for = match heard {
            _ if !keeps || !self.follows() => Vec::new(),
            _ if own => self.waited_for(),
            Some(heard) if heard.map == self.deal.since => self.missing_from(heard),
            _ => self.nodes.keys().copied().collect(),
        };
        NodeStanding {
            node: *node,
            up: self.up.contains(node),
            keeps,
            since,
            holds: match heard {
                Some(heard) => !heard.said.holds.is_empty(),
                None => own && !self.holds.is_empty(),
            },
            waits_for,
        }
    }

    fn missing_from(&self, heard: &Progress) -> Vec<Address> {
        let missing = self.nodes.iter().filter(|(address, life)| {
            let handed = heard.said.handed.iter().find(|(a, _)| a == *address);
            **life == Incarnation::UNKNOWN || handed.is_none_or(|(_, handed)| handed < *life)
        });
        missing.map(|(address, _)| *address).collect()
    }
}
