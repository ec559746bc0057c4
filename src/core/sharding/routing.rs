//! Whom to ask for a key.

use crate::core::id::{Address, ShardId};

use super::map::ShardMap;

/// What one node knows of the cluster that matters for finding a key. A value: whoever has it may use it for as long as it likes,
/// it only grows old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// This node.
    pub own: Address,
    /// Who keeps what.
    pub map: ShardMap,
    /// The replicas believed up, this one included unless removed, sorted.
    pub view: Vec<Address>,
    /// Those of them that do not answer now, sorted: they are not asked.
    pub silent: Vec<Address>,
}

impl Topology {
    /// The members of a shard that are in the view, sorted; `None` if there is no such shard.
    pub fn members(&self, shard: ShardId) -> Option<Vec<Address>> {
        let members = self.view.iter().copied();
        let members = members.filter(|node| self.map.keeps(*node, shard));
        self.map.has(shard).then(|| members.collect())
    }

    /// Whether this node keeps the shard itself.
    pub fn is_own(&self, shard: ShardId) -> bool {
        self.map.keeps(self.own, shard)
    }

    /// Whom to ask about a shard that others keep, in this order, which begins with a different one for each `turn`, so that askers
    /// spread. Who does not answer is not asked.
    pub fn candidates(&self, shard: ShardId, turn: usize) -> Vec<Address> {
        let members = self.members(shard).unwrap_or_default().into_iter();
        let others = members.filter(|node| *node != self.own && self.answers(*node));
        let mut candidates: Vec<Address> = others.collect();
        if !candidates.is_empty() {
            let first = turn % candidates.len();
            candidates.rotate_left(first);
        }
        candidates
    }

    /// Whether a node may be asked now with hope for an answer.
    pub fn answers(&self, node: Address) -> bool {
        self.view.binary_search(&node).is_ok() && self.silent.binary_search(&node).is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::origin;

    fn addresses(names: &[u16]) -> Vec<Address> {
        names.iter().map(|n| origin(*n).address).collect()
    }

    /// Nodes 1, 3, 5 and 7 keep `s0`, nodes 2, 4, 6 `s1`; this one is node 1.
    fn topology(view: &[u16], silent: &[u16]) -> Topology {
        Topology {
            own: origin(1).address,
            map: ShardMap::first(&addresses(&[1, 2, 3, 4, 5, 6, 7]), 2).unwrap(),
            view: addresses(view),
            silent: addresses(silent),
        }
    }

    const S0: ShardId = ShardId(0);
    const S1: ShardId = ShardId(1);

    #[test]
    fn members_are_those_in_the_view() {
        let topology = topology(&[1, 2, 3, 6], &[]);
        assert_eq!(topology.members(S0), Some(addresses(&[1, 3])));
        assert_eq!(topology.members(S1), Some(addresses(&[2, 6])));
        assert_eq!(topology.members(ShardId(2)), None);
        assert!(topology.is_own(S0) && !topology.is_own(S1));
    }

    #[test]
    fn askers_take_turns_and_never_ask_the_silent_or_themselves() {
        let topology = topology(&[1, 2, 3, 4, 5, 6, 7], &[4]);
        let asked = |turn| topology.candidates(S1, turn);
        assert_eq!(asked(0), addresses(&[2, 6]));
        assert_eq!(asked(1), addresses(&[6, 2]));
        assert_eq!(asked(2), asked(0));
        assert_eq!(topology.candidates(S0, 0), addresses(&[3, 5, 7]));
        assert!(topology.answers(origin(2).address) && !topology.answers(origin(4).address));
    }

    #[test]
    fn a_shard_that_nobody_in_the_view_keeps_has_nobody_to_ask() {
        let topology = topology(&[1, 3], &[]);
        assert!(topology.candidates(S1, 7).is_empty());
        assert!(!topology.answers(origin(2).address));
    }
}
