//! Plans for clusters with shards: the faults of all plans, and some that are about shards.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::draft::Draft;
use super::{Fault, Kind, Plan, Shape, Shards};

/// The plan of a seed.
pub(super) fn plan(seed: u64) -> Plan {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5AAD);
    let shape = shape(&mut rng);
    let mut draft = Draft::of(rng, seed, shape);
    draft.add_some();
    let mut kinds = Kind::OF_SHARDS.to_vec();
    kinds.shuffle(&mut draft.rng);
    kinds.truncate(draft.rng.random_range(1..=3));
    for kind in kinds {
        draft.add(kind);
    }
    draft.fill();
    draft.plan
}

/// Four to nine nodes, of which up to two keep no shard, as far as the others are enough.
fn shape(rng: &mut ChaCha8Rng) -> Shape {
    let nodes: u8 = rng.random_range(4..=9);
    let count = rng.random_range(2..=(nodes / 2).min(4));
    let others = *[0, 0, 1, 2].choose(rng).unwrap_or(&0);
    let others = others.min(nodes - 2 * count);
    let mut told = vec![Some(count); usize::from(nodes - others)];
    told.extend((0..others).map(|_| None));
    told.shuffle(rng);
    Shape {
        nodes,
        starts_ms: (0..nodes).map(|_| rng.random_range(0..100)).collect(),
        skews_ms: (0..nodes).map(|_| rng.random_range(-50..50)).collect(),
        tight: false,
        forget_after_ms: None,
        tombstones_max: None,
        shards: Some(Shards { count, told }),
    }
}

impl Draft {
    /// Adds one of [`Kind::OF_SHARDS`], once; nothing where there are no shards.
    pub(super) fn add_of_shards(&mut self, kind: Kind) {
        let Some(shards) = self.plan.shape.shards.clone() else {
            return;
        };
        let mut numbers: Vec<u8> = (0..shards.count).collect();
        numbers.shuffle(&mut self.rng);
        let members = |shard: usize| -> Vec<usize> { shards.members(numbers[shard]).collect() };
        let at = self.time(16_000);
        let end = at + self.rng.random_range(300..15_000);
        match kind {
            Kind::CutWithinShard => {
                let mut members = members(0);
                members.shuffle(&mut self.rng);
                let some = self.rng.random_range(1..members.len());
                let (some, others) = members.split_at(some);
                self.part(some, others, at, end);
            }
            Kind::CutBetweenShards => {
                let (some, others) = (members(0), members(1));
                self.part(&some, &others, at, end);
            }
            Kind::ShardAway => self.add_shard_away(&members(0), at, end),
            _ => self.add_wrong_count(&shards),
        }
    }

    /// Nothing passes between these and those, or in one direction alone.
    fn part(&mut self, some: &[usize], others: &[usize], at: u64, end: u64) {
        let back = self.rng.random_bool(0.7);
        for one in some {
            for other in others {
                self.fault(at, Fault::Cut(*one, *other));
                self.fault(end, Fault::Mend(*one, *other));
                if back {
                    self.fault(at, Fault::Cut(*other, *one));
                    self.fault(end, Fault::Mend(*other, *one));
                }
            }
        }
    }

    fn add_shard_away(&mut self, members: &[usize], at: u64, end: u64) {
        if self.rng.random_bool(0.5) {
            let group_of = |n| u8::from(members.contains(&usize::from(n)));
            let groups = (0..self.plan.shape.nodes).map(group_of).collect();
            self.fault(at, Fault::Split(groups));
            self.fault(end, Fault::Heal);
            return;
        }
        for member in members {
            let later = self.rng.random_range(0..500);
            self.fault(at + later, Fault::Crash(*member));
            self.fault(end + later, Fault::Start(*member));
        }
    }

    /// One node is told a wrong number; two of them would be a cluster of their own. It restarts with it, and is asked for something before
    /// it can have heard of the others' map.
    fn add_wrong_count(&mut self, shards: &Shards) {
        let keepers: Vec<usize> = shards.keepers().collect();
        let is_wrong = |at: &&usize| shards.told[**at] != Some(shards.count);
        let known = keepers.iter().find(is_wrong);
        let node = known.or_else(|| keepers.choose(&mut self.rng)).copied();
        let (Some(node), Some(wrong)) = (node, shards.wrong_count()) else {
            return;
        };
        if let Some(shards) = &mut self.plan.shape.shards {
            shards.told[node] = Some(wrong);
        }
        let at = self.time(5_000);
        self.fault(at, Fault::Crash(node));
        self.fault(at + 500, Fault::Start(node));
        for n in 0..30 {
            self.request_at(at + 500 + n / 6, node);
            if let Some(last) = self.plan.operations.last_mut() {
                last.what.key = self.rng.random_range(0..20);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn shards(plan: &Plan) -> &Shards {
        plan.shape.shards.as_ref().unwrap()
    }

    #[test]
    fn a_seed_always_means_the_same_and_another_seed_something_else() {
        assert_eq!(Plan::with_shards(7), Plan::with_shards(7));
        assert_ne!(Plan::with_shards(7), Plan::with_shards(8));
    }

    #[test]
    fn every_shard_has_two_nodes_at_least_and_all_there_is_about_shards_comes_up() {
        let (mut kinds, mut without, mut wrong) = (BTreeSet::new(), 0, 0);
        for seed in 0..100 {
            let plan = Plan::with_shards(seed);
            let shards = shards(&plan);
            assert!((4..=9).contains(&plan.shape.nodes) && (2..=4).contains(&shards.count));
            assert!((0..shards.count).all(|shard| shards.members(shard).count() >= 2));
            without += usize::from(shards.told.contains(&None));
            let misled = |told: &Option<u8>| told.is_some_and(|told| told != shards.count);
            wrong += usize::from(shards.told.iter().any(misled));
            kinds.extend(plan.kinds.clone());
        }
        assert!(Kind::OF_SHARDS.iter().all(|kind| kinds.contains(kind)));
        assert!(without > 10 && wrong > 5, "{without}, {wrong}");
    }
}
