//! What one seed means: the cluster's shape, its weather, its faults, its clients.
//!
//! A plan is plain data. Every choice that a run makes is in it or follows from its seed, so leaving out
//! an event leaves the others what they were.

use std::collections::BTreeSet;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::network::Weather;
use crate::config::Settings;
use crate::core::id::Address;

/// Everything that happens in one simulation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Where it came from; also seeds the network and the nodes.
    pub seed: u64,
    /// The cluster.
    pub shape: Shape,
    /// What the network does to every message until the quiet.
    pub weather: Weather,
    /// When the quiet begins: all faults end, everybody runs. In milliseconds from the start.
    pub quiet_ms: u64,
    /// Faults, by time.
    pub faults: Vec<Timed<Fault>>,
    /// What clients do, by time.
    pub operations: Vec<Timed<Request>>,
}

/// Something at a time, in milliseconds from the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timed<T> {
    /// When.
    pub at_ms: u64,
    /// What.
    pub what: T,
}

/// The cluster before anything happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// How many nodes.
    pub nodes: u8,
    /// When each node starts.
    pub starts_ms: Vec<u64>,
    /// By how much each node's wall clock is off.
    pub skews_ms: Vec<i64>,
    /// Whether queues, buffers and pages are so small that they overflow.
    pub tight: bool,
}

impl Shape {
    /// The settings of every node but for its address.
    pub(super) fn settings(&self, addresses: &[Address]) -> Settings {
        let mut settings = Settings::new(addresses[0], addresses.to_vec());
        if self.tight {
            settings.replication.outbox_max_writes = 4;
            settings.replication.batch_max_writes = 2;
            settings.replication.batch_max_bytes = 1_000;
            settings.replication.buffer_max_writes = 2;
            settings.replication.join_sessions_max = 1;
            settings.limits.parked_max = 2;
            settings.limits.mailbox_max = 12;
        }
        settings
    }
}

/// What kind of fault; the names in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// Messages are lost.
    Loss,
    /// Messages arrive twice.
    Duplication,
    /// Messages take long, and are overtaken.
    Reordering,
    /// Nothing passes one way between two nodes.
    OneWayCut,
    /// Nothing passes between two or three groups of nodes.
    Partition,
    /// A link is cut and mended again and again.
    Flapping,
    /// A node loses its memory and starts again, at once or late.
    Crash,
    /// Several nodes are down at the same time.
    OverlappingCrashes,
    /// Nothing moves at a node for seconds.
    Pause,
    /// A node answers slowly.
    SlowNode,
    /// Wall clocks are off.
    Skew,
    /// A wall clock jumps, forward or back.
    ClockJump,
    /// Many requests at once at one node, whose queues are small.
    Burst,
    /// An operator takes nodes out of the view and back in.
    Operator,
    /// A node is stopped in order and starts again.
    GracefulStop,
    /// Some nodes start late.
    LateStart,
    /// A join is cut in the middle.
    JoinCut,
    /// A third replica holds the only copy of a write whose maker is gone.
    LastCopy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Loss,
        Self::Duplication,
        Self::Reordering,
        Self::OneWayCut,
        Self::Partition,
        Self::Flapping,
        Self::Crash,
        Self::OverlappingCrashes,
        Self::Pause,
        Self::SlowNode,
        Self::Skew,
        Self::ClockJump,
        Self::Burst,
        Self::Operator,
        Self::GracefulStop,
        Self::LateStart,
        Self::JoinCut,
        Self::LastCopy,
    ];
}

/// One thing that goes wrong, or is put right. Nodes are named by their places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Fault {
    /// Nothing passes from the first to the second.
    Cut(usize, usize),
    /// It passes again.
    Mend(usize, usize),
    /// Nothing passes between nodes of different groups; each node's group by its place.
    Split(Vec<u8>),
    /// Every cut is mended, nobody is slow.
    Heal,
    /// The node ends with its memory.
    Crash(usize),
    /// It starts, if it does not run.
    Start(usize),
    /// It is stopped in order.
    Stop(usize),
    /// Nothing moves at the node for this many milliseconds.
    Pause(usize, u64),
    /// The node's ways take this many milliseconds longer.
    SlowDown(usize, u64),
    /// The node's wall clock jumps by this many milliseconds.
    ClockJump(usize, i64),
    /// The first node is asked to take the second out of the view.
    Remove(usize, usize),
    /// The first node is asked to take the second in.
    Add(usize, usize),
    /// The next join is cut in the middle.
    CutNextJoin,
}

/// What one client does at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Which client.
    pub client: usize,
    /// Whom it asks.
    pub node: usize,
    /// Which key, by number.
    pub key: u32,
    /// What for.
    pub action: Action,
    /// With which metadata.
    pub lineage: Lineage,
    /// How long it is willing to wait, in seconds; `None` if it does not say.
    pub wait_s: Option<u64>,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Action {
    /// Write a value that nobody else writes.
    Put,
    /// Read.
    Get,
    /// Delete.
    Delete,
}

/// Where a request's metadata comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Lineage {
    /// The client's own newest.
    Own,
    /// None: a fresh start.
    Fresh,
    /// Another client's newest, instead of its own.
    HandedOver(usize),
    /// Another client's newest and its own.
    Merged(usize),
    /// One that was handed out long ago: the n-th, counted modulo how many there were.
    Repeated(usize),
}

/// Length of the part with faults, in milliseconds.
const FAULTY_MS: u64 = 60_000;
/// Operations in it.
const OPERATIONS: usize = 500;
/// Kinds of faults in one plan.
const KINDS: std::ops::RangeInclusive<usize> = 4..=7;

impl Plan {
    /// The plan of a seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut draft = Draft::new(seed);
        let mut kinds = Kind::ALL.to_vec();
        kinds.shuffle(&mut draft.rng);
        kinds.truncate(draft.rng.random_range(KINDS));
        for kind in kinds {
            draft.add(kind);
        }
        draft.finish()
    }

    /// The kinds of faults in it, by what is in it.
    pub fn kinds(&self) -> BTreeSet<Kind> {
        Kind::ALL.into_iter().filter(|k| self.has(*k)).collect()
    }

    fn has(&self, kind: Kind) -> bool {
        let any = |is: fn(&Fault) -> bool| self.faults.iter().any(|f| is(&f.what));
        match kind {
            Kind::Loss => self.weather.loss > 0,
            Kind::Duplication => self.weather.doubles > 0,
            Kind::Reordering => self.weather.stragglers > 0,
            Kind::OneWayCut => any(|f| matches!(f, Fault::Cut(..))),
            Kind::Partition | Kind::LastCopy => any(|f| matches!(f, Fault::Split(..))),
            Kind::Flapping => any(|f| matches!(f, Fault::Mend(..))),
            Kind::Crash | Kind::OverlappingCrashes => any(|f| matches!(f, Fault::Crash(..))),
            Kind::Pause => any(|f| matches!(f, Fault::Pause(..))),
            Kind::SlowNode => any(|f| matches!(f, Fault::SlowDown(..))),
            Kind::Skew => self.shape.skews_ms.iter().any(|skew| skew.abs() > 100),
            Kind::ClockJump => any(|f| matches!(f, Fault::ClockJump(..))),
            Kind::Burst => self.shape.tight,
            Kind::Operator => any(|f| matches!(f, Fault::Remove(..))),
            Kind::GracefulStop => any(|f| matches!(f, Fault::Stop(..))),
            Kind::LateStart => self.shape.starts_ms.iter().any(|start| *start > 100),
            Kind::JoinCut => any(|f| matches!(f, Fault::CutNextJoin)),
        }
    }
}

/// A plan in the making.
struct Draft {
    rng: ChaCha8Rng,
    plan: Plan,
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
        };
        Self {
            rng,
            plan: Plan {
                seed,
                shape,
                weather: Weather::FAIR,
                quiet_ms: FAULTY_MS,
                faults: Vec::new(),
                operations: Vec::new(),
            },
            bursts: Vec::new(),
        }
    }

    fn node(&mut self) -> usize {
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
    fn time(&mut self, ms: u64) -> u64 {
        self.rng.random_range(1_000..FAULTY_MS - ms)
    }

    fn fault(&mut self, at_ms: u64, what: Fault) {
        self.plan.faults.push(Timed { at_ms, what });
    }

    fn add(&mut self, kind: Kind) {
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
            | Kind::Burst => {}
        }
    }

    fn split(&mut self, at_ms: u64) {
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

    fn crash_at(&mut self, node: usize, at: u64) {
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

    fn request_at(&mut self, at_ms: u64, node: usize) {
        let what = Request {
            client: self.rng.random_range(0..CLIENTS),
            node,
            key: self.key(),
            action: self.action(),
            lineage: self.lineage(),
            wait_s: self.wait(),
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

    /// Clients come in waves, so that many of their requests meet what was just written elsewhere.
    fn finish(mut self) -> Plan {
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
        self.plan.faults.sort_by_key(|timed| timed.at_ms);
        self.plan.operations.sort_by_key(|timed| timed.at_ms);
        self.plan
    }
}

/// How many clients there are.
pub const CLIENTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_means_the_same_and_another_seed_something_else() {
        assert_eq!(Plan::from_seed(7), Plan::from_seed(7));
        assert_ne!(Plan::from_seed(7), Plan::from_seed(8));
    }

    #[test]
    fn every_plan_has_enough_in_it_and_all_kinds_of_faults_come_up() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let plan = Plan::from_seed(seed);
            assert!((3..=7).contains(&plan.shape.nodes));
            assert!(plan.quiet_ms >= 60_000 && plan.operations.len() >= 500);
            assert!(plan.kinds().len() >= 3, "{:?}", plan.kinds());
            assert!(plan.faults.iter().all(|f| f.at_ms < plan.quiet_ms));
            seen.extend(plan.kinds());
        }
        assert_eq!(seen.len(), Kind::ALL.len());
    }
}
