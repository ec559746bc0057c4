//! Makes a plan from a seed: some kinds of faults, each at random times, and requests in waves.

use std::collections::BTreeSet;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::prelude;
use super::{Action, CLIENTS, FAR_MS, Fault, Kind, Lineage, Plan, Request, Shape, Timed};
use crate::sim::network::Weather;

/// Length of the part with faults, in milliseconds.
const FAULTY_MS: u64 = 60_000;
/// Operations in it.
const OPERATIONS: usize = 500;
/// Kinds of faults in one plan.
const KINDS: std::ops::RangeInclusive<usize> = 4..=7;

/// The plan of a seed.
pub(super) fn plan(seed: u64) -> Plan {
    draft(seed).plan
}

/// The same with faults about the life and end of origins on top.
pub(super) fn plan_with_ends(seed: u64) -> Plan {
    let mut draft = draft(seed);
    draft.add_ends();
    draft.sort();
    prelude::add_story(&mut draft.plan);
    draft.sort();
    draft.plan
}

fn draft(seed: u64) -> Draft {
    let mut draft = Draft::new(seed);
    draft.add_some();
    draft.fill();
    draft
}

/// A plan in the making.
pub(super) struct Draft {
    pub(super) rng: ChaCha8Rng,
    pub(super) plan: Plan,
    bursts: Vec<(u64, usize)>,
}

impl Draft {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let nodes = rng.random_range(3..=7);
        let shape = Shape {
            nodes,
            starts_ms: (0..nodes).map(|_| rng.random_range(0..100)).collect(),
            skews_ms: (0..nodes).map(|_| rng.random_range(-50..50)).collect(),
            tight: false,
            forget_after_ms: None,
            tombstones_max: None,
            shards: None,
        };
        Self::of(rng, seed, shape)
    }

    pub(super) fn of(rng: ChaCha8Rng, seed: u64, shape: Shape) -> Self {
        let plan = Plan {
            seed,
            kinds: BTreeSet::new(),
            shape,
            weather: Weather::FAIR,
            quiet_ms: FAULTY_MS,
            faults: Vec::new(),
            operations: Vec::new(),
        };
        Self::on(rng, plan)
    }

    /// More on top of a plan.
    pub(super) fn on(rng: ChaCha8Rng, plan: Plan) -> Self {
        let bursts = Vec::new();
        Self { rng, plan, bursts }
    }

    pub(super) fn node(&mut self) -> usize {
        let nodes = usize::from(self.plan.shape.nodes);
        self.rng.random_range(0..nodes)
    }

    fn pair(&mut self) -> (usize, usize) {
        let nodes = usize::from(self.plan.shape.nodes);
        let one = self.node();
        let other = (one + self.rng.random_range(1..nodes)) % nodes;
        (one, other)
    }

    /// Some time at which there is still `ms` to go.
    pub(super) fn time(&mut self, ms: u64) -> u64 {
        self.rng.random_range(1_000..FAULTY_MS - ms)
    }

    pub(super) fn fault(&mut self, at_ms: u64, what: Fault) {
        self.plan.faults.push(Timed { at_ms, what });
    }

    /// Some of the kinds that every plan is made of.
    pub(super) fn add_some(&mut self) {
        let mut kinds = Kind::ALL.to_vec();
        kinds.shuffle(&mut self.rng);
        kinds.truncate(self.rng.random_range(KINDS));
        for kind in kinds {
            self.add(kind);
        }
    }

    pub(super) fn add(&mut self, kind: Kind) {
        self.plan.kinds.insert(kind);
        let times = self.rng.random_range(1..=4);
        match kind {
            Kind::Loss => self.plan.weather.loss = self.rng.random_range(5..100),
            Kind::Duplication => self.plan.weather.doubles = self.rng.random_range(5..200),
            Kind::Reordering => {
                self.plan.weather.stragglers = self.rng.random_range(5..200);
                self.plan.weather.delay_max_us = self.rng.random_range(2_000..20_000);
            }
            Kind::Skew => {
                for skew in &mut self.plan.shape.skews_ms {
                    *skew = self.rng.random_range(-20_000..20_000);
                }
            }
            Kind::LateStart => {
                for start in self.plan.shape.starts_ms.iter_mut().skip(1) {
                    *start = self.rng.random_range(0..15_000);
                }
            }
            Kind::Burst => self.add_bursts(),
            Kind::LongAbsence => {
                self.plan.shape.forget_after_ms = Some(self.rng.random_range(3_000..9_000));
                self.add_long_absence();
            }
            Kind::TombstonesMax => {
                self.plan.shape.tombstones_max = Some(self.rng.random_range(2..8));
                self.add_crowd();
            }
            _ => (0..times).for_each(|_| self.add_once(kind)),
        }
    }

    fn add_bursts(&mut self) {
        self.plan.shape.tight = true;
        for _ in 0..self.rng.random_range(2..6) {
            let (at_ms, node) = (self.time(2_000), self.node());
            self.bursts.push((at_ms, node));
        }
    }

    fn add_once(&mut self, kind: Kind) {
        match kind {
            Kind::OneWayCut => {
                let ((from, to), at) = (self.pair(), self.time(12_000));
                self.fault(at, Fault::Cut(from, to));
                let end = at + self.rng.random_range(200..12_000);
                self.fault(end, Fault::Mend(from, to));
            }
            Kind::Partition => {
                let at = self.time(15_000);
                self.split(at);
                let end = at + self.rng.random_range(300..15_000);
                self.fault(end, Fault::Heal);
            }
            Kind::Flapping => self.add_flapping(),
            Kind::Crash => {
                let node = self.node();
                self.add_crash(node);
            }
            Kind::OverlappingCrashes => {
                let (one, other) = self.pair();
                let at = self.time(16_000);
                self.crash_at(one, at);
                let later = at + self.rng.random_range(0..2_000);
                self.crash_at(other, later);
            }
            Kind::Pause => {
                let (node, at) = (self.node(), self.time(8_000));
                let ms = self.rng.random_range(200..8_000);
                self.fault(at, Fault::Pause(node, ms));
            }
            Kind::SlowNode => {
                let (node, at) = (self.node(), self.time(15_000));
                let ms = self.rng.random_range(20..400);
                self.fault(at, Fault::SlowDown(node, ms));
            }
            Kind::ClockJump => {
                let (node, at) = (self.node(), self.time(0));
                let by = self.rng.random_range(-60_000..40_000);
                self.fault(at, Fault::ClockJump(node, by));
            }
            Kind::Operator => self.add_removal(),
            Kind::GracefulStop => {
                let (node, at) = (self.node(), self.time(14_000));
                self.fault(at, Fault::Stop(node));
                let back = at + self.rng.random_range(2_000..14_000);
                self.fault(back, Fault::Start(node));
            }
            Kind::JoinCut => self.add_join_cut(),
            Kind::LastCopy => self.add_last_copy(),
            Kind::Loss
            | Kind::Duplication
            | Kind::Reordering
            | Kind::Skew
            | Kind::LateStart
            | Kind::LongAbsence
            | Kind::TombstonesMax
            | Kind::Burst => {}
            Kind::Forget => self.add_forgetting(),
            Kind::IsolatedRestart => self.add_isolated_restart(),
            Kind::ManyRestarts => self.add_many_restarts(),
            Kind::Deletes => self.add_deletes(),
            Kind::CutWithinShard
            | Kind::CutBetweenShards
            | Kind::ShardAway
            | Kind::WrongCount
            | Kind::AddMember
            | Kind::Reshard => {
                self.add_of_shards(kind);
            }
        }
    }

    /// One or two kinds of faults about the life and end of origins, drawn from a source of its own: all the rest of a seed's
    /// plan is what it is without them.
    fn add_ends(&mut self) {
        self.rng = ChaCha8Rng::seed_from_u64(self.plan.seed ^ 0x11FE);
        let crowded = Kind::TombstonesMax;
        let mut kinds = Kind::OF_ENDS.to_vec();
        kinds.retain(|kind| *kind != crowded);
        kinds.shuffle(&mut self.rng);
        kinds.truncate(self.rng.random_range(1..=2));
        for kind in kinds {
            self.add(kind);
        }
        // Drawn apart as well, for the same reason: this kind came later.
        self.rng = ChaCha8Rng::seed_from_u64(self.plan.seed ^ 0x700F);
        if self.rng.random_bool(0.2) {
            self.add(crowded);
        }
    }

    fn add_long_absence(&mut self) {
        let (node, at) = (self.node(), self.time(30_000));
        let end = at + self.rng.random_range(4_000..30_000);
        self.be_away(node, at, end);
    }

    /// Down, or cut off and asked for something.
    fn be_away(&mut self, node: usize, at: u64, end: u64) {
        if self.rng.random_bool(0.5) {
            self.fault(at, Fault::Crash(node));
            self.fault(end, Fault::Start(node));
        } else {
            self.cut_off(node, at);
            self.requests_at(node, at, end);
            self.fault(end, Fault::Heal);
        }
    }

    fn add_forgetting(&mut self) {
        let ((asked, target), at) = (self.pair(), self.time(15_000));
        match self.rng.random_range(0..3) {
            0 => {}
            1 => self.cut_off(target, at - 500),
            _ => self.crash_at(target, at - 300),
        }
        self.requests_at(target, at - 500, at);
        self.fault(at, Fault::Forget(asked, target));
        let back = at + self.rng.random_range(500..14_000);
        self.fault(back, Fault::Heal);
        let asked = self.node();
        self.fault(back, Fault::Add(asked, target));
    }

    fn add_isolated_restart(&mut self) {
        let (node, at) = (self.node(), self.time(20_000));
        let by = self.rng.random_range(-30_000..2_000);
        self.cut_off(node, at);
        self.fault(at + 100, Fault::Crash(node));
        self.fault(at + 100, Fault::ClockJump(node, by));
        self.fault(at + 200, Fault::Start(node));
        let end = at + self.rng.random_range(2_000..20_000);
        self.requests_at(node, at + 800, end);
        self.fault(end, Fault::Heal);
    }

    fn add_many_restarts(&mut self) {
        let (node, mut at) = (self.node(), self.time(30_000));
        for _ in 0..self.rng.random_range(5..20) {
            self.requests_at(node, at, at + 200);
            at += self.rng.random_range(100..1_500);
            self.fault(at, Fault::Crash(node));
            self.fault(at + 20, Fault::Start(node));
        }
    }

    /// A node is away for so long, and so much is deleted meanwhile, that the others may forget it for room.
    fn add_crowd(&mut self) {
        let (node, at) = (self.node(), self.time(40_000));
        let end = at + self.rng.random_range(12_000..38_000);
        self.be_away(node, at, end);
        self.deletes(at + 1_000, end);
    }

    fn add_deletes(&mut self) {
        let at = self.time(6_000);
        self.deletes(at, at + 4_000);
    }

    fn deletes(&mut self, from_ms: u64, to_ms: u64) {
        for _ in 0..80 {
            let (node, at) = (self.node(), self.rng.random_range(from_ms..to_ms));
            self.request_at(at, node);
            if let Some(last) = self.plan.operations.last_mut() {
                last.what.key = self.rng.random_range(0..20);
                let delete = self.rng.random_bool(0.6);
                last.what.action = if delete { Action::Delete } else { Action::Put };
            }
        }
    }

    fn cut_off(&mut self, node: usize, at_ms: u64) {
        let group_of = |n| u8::from(usize::from(n) == node);
        let nodes = self.plan.shape.nodes;
        self.fault(at_ms, Fault::Split((0..nodes).map(group_of).collect()));
    }

    /// Some requests at one node.
    pub(super) fn requests_at(&mut self, node: usize, from_ms: u64, to_ms: u64) {
        for _ in 0..self.rng.random_range(3..12) {
            let at_ms = self.rng.random_range(from_ms..to_ms);
            self.request_at(at_ms, node);
        }
    }

    pub(super) fn split(&mut self, at_ms: u64) {
        let groups = self.rng.random_range(2..=3);
        let nodes = self.plan.shape.nodes;
        let group_of = (0..nodes).map(|_| self.rng.random_range(0..groups));
        let group_of = group_of.collect();
        self.fault(at_ms, Fault::Split(group_of));
    }

    fn add_crash(&mut self, node: usize) {
        let at = self.time(16_000);
        self.crash_at(node, at);
    }

    pub(super) fn crash_at(&mut self, node: usize, at: u64) {
        self.fault(at, Fault::Crash(node));
        let soon = self.rng.random_bool(0.4);
        let down = if soon { 1..300 } else { 300..14_000 };
        let back = at + self.rng.random_range(down);
        self.fault(back, Fault::Start(node));
    }

    fn add_flapping(&mut self) {
        let ((one, other), mut at) = (self.pair(), self.time(15_000));
        for _ in 0..self.rng.random_range(4..12) {
            self.fault(at, Fault::Cut(one, other));
            self.fault(at, Fault::Cut(other, one));
            at += self.rng.random_range(100..900);
            self.fault(at, Fault::Mend(one, other));
            self.fault(at, Fault::Mend(other, one));
            at += self.rng.random_range(50..400);
        }
    }

    fn add_removal(&mut self) {
        let ((asked, target), at) = (self.pair(), self.time(14_000));
        self.fault(at, Fault::Remove(asked, target));
        let back = at + self.rng.random_range(500..14_000);
        let asked = self.node();
        self.fault(back, Fault::Add(asked, target));
    }

    fn add_join_cut(&mut self) {
        let (node, at) = (self.node(), self.time(16_000));
        self.crash_at(node, at);
        self.fault(at, Fault::CutNextJoin);
        let end = at + self.rng.random_range(1_000..16_000);
        self.fault(end, Fault::Heal);
    }

    /// One node is cut off, another one writes what only the rest gets, and crashes before the heal.
    fn add_last_copy(&mut self) {
        let ((cut_off, maker), at) = (self.pair(), self.time(16_000));
        let nodes = self.plan.shape.nodes;
        let group_of = |n| u8::from(usize::from(n) == cut_off);
        self.fault(at, Fault::Split((0..nodes).map(group_of).collect()));
        for n in 0..5 {
            self.request_at(at + 1_500 + 10 * n, maker);
        }
        let end = at + 3_000 + self.rng.random_range(0..3_000);
        self.fault(end, Fault::Crash(maker));
        self.fault(end, Fault::Heal);
        let back = end + self.rng.random_range(500..9_000);
        self.fault(back, Fault::Start(maker));
    }

    pub(super) fn request_at(&mut self, at_ms: u64, node: usize) {
        let what = Request {
            client: self.rng.random_range(0..CLIENTS),
            node,
            key: self.key(),
            action: self.action(),
            lineage: self.lineage(),
            wait_s: self.wait(),
            elsewhere_ms: None,
        };
        self.plan.operations.push(Timed { at_ms, what });
    }

    /// Half of all requests go to one hot key.
    fn key(&mut self) -> u32 {
        match self.rng.random_range(0..10) {
            0..5 => 0,
            5..8 => self.rng.random_range(1..5),
            _ => self.rng.random_range(5..200),
        }
    }

    fn action(&mut self) -> Action {
        let actions = [(Action::Put, 5), (Action::Get, 4), (Action::Delete, 1)];
        let chosen = actions.choose_weighted(&mut self.rng, |(_, weight)| *weight);
        chosen.map_or(Action::Get, |(action, _)| *action)
    }

    fn lineage(&mut self) -> Lineage {
        let other = self.rng.random_range(0..CLIENTS);
        match self.rng.random_range(0..100) {
            0..70 => Lineage::Own,
            70..75 => Lineage::Fresh,
            75..83 => Lineage::HandedOver(other),
            83..93 => Lineage::Merged(other),
            _ => Lineage::Repeated(self.rng.random_range(0..1_000)),
        }
    }

    fn wait(&mut self) -> Option<u64> {
        let waits = self.rng.random_bool(0.15);
        waits.then(|| self.rng.random_range(1..8))
    }

    /// In some plans, some clients come from another shard. Drawn from a source of its own: all the rest of a seed's
    /// plan is what it was before there were any.
    fn add_travellers(&mut self) {
        let mut rng = ChaCha8Rng::seed_from_u64(!self.plan.seed);
        if rng.random_bool(0.3) {
            for request in &mut self.plan.operations {
                if rng.random_bool(0.05) {
                    let far = request.what.action == Action::Put && rng.random_bool(0.1);
                    let ahead = if far { FAR_MS..2 * FAR_MS } else { 0..20_000 };
                    request.what.elsewhere_ms = Some(rng.random_range(ahead));
                }
            }
        }
    }

    /// Clients come in waves, so that many of their requests meet what was just written elsewhere.
    pub(super) fn fill(&mut self) {
        for (at_ms, node) in std::mem::take(&mut self.bursts) {
            for n in 0..40 {
                self.request_at(at_ms + n / 20, node);
            }
        }
        while self.plan.operations.len() < OPERATIONS {
            let mut at_ms = self.time(2_000) - 900;
            for _ in 0..self.rng.random_range(5..30) {
                let node = self.node();
                self.request_at(at_ms, node);
                at_ms += self.rng.random_range(0..40);
            }
        }
        self.sort();
        self.add_travellers();
    }

    pub(super) fn sort(&mut self) {
        let quiet_ms = self.plan.quiet_ms;
        self.plan.faults.retain(|timed| timed.at_ms < quiet_ms);
        self.plan.faults.sort_by_key(|timed| timed.at_ms);
        self.plan.operations.sort_by_key(|timed| timed.at_ms);
    }
}
