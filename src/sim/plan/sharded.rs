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

/// The same with shards that are dealt anew, drawn from a source of its own: all the rest of a seed's plan is what it is without that.
pub(super) fn plan_with_reshards(seed: u64) -> Plan {
    let rng = ChaCha8Rng::seed_from_u64(seed ^ 0x0DEA1);
    let mut draft = Draft::on(rng, plan(seed));
    draft.add(Kind::Reshard);
    draft.sort();
    draft.plan
}

/// Four to nine nodes, of which up to two keep no shard, as far as the others are enough.
fn shape(rng: &mut ChaCha8Rng) -> Shape {
    let nodes: u8 = rng.random_range(4..=9);
    let others = *[0, 1, 1, 2].choose(rng).unwrap_or(&0);
    let others = others.min(nodes - 4);
    let count = rng.random_range(2..=((nodes - others) / 2).min(4));
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
            Kind::AddMember => self.add_newcomer(&shards, at),
            Kind::Reshard => self.add_reshard(at, end),
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

    /// One that keeps no shard, or a second one at the same time, perhaps while some cannot reach each other, or it is about to restart.
    fn add_newcomer(&mut self, shards: &Shards, at: u64) {
        let keeps_none = |at: &usize| shards.told[*at].is_none();
        let mut newcomers: Vec<usize> = (0..shards.told.len()).filter(keeps_none).collect();
        newcomers.shuffle(&mut self.rng);
        newcomers.truncate(self.rng.random_range(1..=2));
        self.make_it_hard(at);
        for newcomer in newcomers {
            let asked = self.node();
            // Each has one shard that it is for: what it takes as a member of one is not handed over yet if a map holds in the end by which it
            // keeps another one.
            let shard = newcomer % usize::from(shards.count);
            let later = at + self.rng.random_range(0..100);
            self.fault(later, Fault::AddMember(asked, newcomer, shard));
            if self.rng.random_bool(0.3) {
                let later = later + self.rng.random_range(0..1_000);
                self.crash_at(newcomer, later);
            }
        }
    }

    /// Once or twice at the same time, to any number of shards that there are nodes for.
    fn add_reshard(&mut self, at: u64, end: u64) {
        self.make_it_hard(at);
        let most = usize::from(self.plan.shape.nodes / 2);
        for _ in 0..self.rng.random_range(1..=2) {
            let asked = self.node();
            let shards = self.rng.random_range(1..=most);
            let later = at + self.rng.random_range(0..300);
            self.fault(later, Fault::Reshard(asked, shards));
        }
        if self.rng.random_bool(0.3) {
            // Who was away comes back when all is over.
            let away = self.node();
            self.fault(at.saturating_sub(500), Fault::Crash(away));
            self.fault(end, Fault::Start(away));
        }
    }

    /// What may go on while shards change: some cannot reach others, or somebody loses his memory.
    fn make_it_hard(&mut self, at: u64) {
        if self.rng.random_bool(0.3) {
            self.split(at.saturating_sub(300));
            let end = at + self.rng.random_range(500..10_000);
            self.fault(end, Fault::Heal);
        }
        if self.rng.random_bool(0.3) {
            let (node, later) = (self.node(), at + self.rng.random_range(0..1_000));
            self.crash_at(node, later);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Timed;
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
        assert!(without > 30 && wrong > 5, "{without}, {wrong}");
    }

    #[test]
    fn reshards_come_on_top_of_a_plan_that_is_what_it_is_without_them() {
        for seed in 0..20 {
            let (plain, with) = (Plan::with_shards(seed), Plan::with_reshards(seed));
            assert_eq!(
                (&with.shape, &with.operations),
                (&plain.shape, &plain.operations)
            );
            assert!(plain.faults.iter().all(|fault| with.faults.contains(fault)));
            let deals = |f: &Timed<Fault>| matches!(f.what, Fault::Reshard(..));
            assert!(with.faults.iter().any(deals) && !plain.faults.iter().any(deals));
        }
    }
}
