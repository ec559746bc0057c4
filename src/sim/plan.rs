//! What one seed means: the cluster's shape, its weather, its faults, its clients.
//!
//! A plan is plain data. Every choice that a run makes is in it or follows from its seed, so leaving out
//! an event leaves the others what they were.

mod draft;
mod prelude;
mod sharded;

use std::collections::BTreeSet;

use serde::Serialize;

use super::network::Weather;
use crate::config::Settings;
use crate::core::id::Address;
use crate::core::sharding::map::ShardMap;

/// Everything that happens in one simulation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Where it came from; also seeds the network and the nodes.
    pub seed: u64,
    /// The kinds of faults that it was made of.
    pub kinds: BTreeSet<Kind>,
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
    /// After how many milliseconds a member that is not up is forgotten; `None` if not within a simulation.
    pub forget_after_ms: Option<u64>,
    /// From how many tombstones members that are down are forgotten; `None` if there are never as many.
    pub tombstones_max: Option<u64>,
    /// Who keeps what; `None` for a cluster without shards.
    pub shards: Option<Shards>,
}

/// How a sharded cluster begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shards {
    /// How many there are.
    pub count: u8,
    /// What each node is told of that: `SHARD_COUNT`, which one of them may have wrong; `None` for a node that keeps no shard, and
    /// that the others are not told of.
    pub told: Vec<Option<u8>>,
}

impl Shards {
    /// The nodes that keep a shard, by place.
    pub fn keepers(&self) -> impl Iterator<Item = usize> + '_ {
        let told = self.told.iter().enumerate();
        told.filter(|(_, told)| told.is_some()).map(|(at, _)| at)
    }

    /// Those that keep this one: nodes are dealt in turn.
    pub fn members(&self, shard: u8) -> impl Iterator<Item = usize> + '_ {
        let skipped = usize::from(shard);
        self.keepers()
            .skip(skipped)
            .step_by(usize::from(self.count))
    }

    fn first_map(&self, addresses: &[Address], count: u8) -> Option<ShardMap> {
        let keepers: Vec<Address> = self.keepers().map(|at| addresses[at]).collect();
        ShardMap::first(&keepers, usize::from(count)).ok()
    }

    /// Another `SHARD_COUNT`, by which a node would find another map than the others, which gives way to theirs. Not 1: by that one it
    /// would pass nothing on.
    pub(super) fn wrong_count(&self) -> Option<u8> {
        let places = u8::try_from(self.told.len()).ok()?;
        let addresses: Vec<Address> = (0..places).map(address).collect();
        let id = |count| Some(self.first_map(&addresses, count)?.id());
        let gives_way = |count: &u8| id(*count).is_some_and(|other| Some(other) < id(self.count));
        (2..=places / 2).find(gives_way)
    }
}

/// The address of a node, by its place.
///
/// # Panics
/// Never: what it makes up is an address.
pub(super) fn address(place: u8) -> Address {
    let ip = std::net::Ipv4Addr::new(10, 10, 0, place + 2);
    let address = Address::try_from(std::net::SocketAddr::from((ip, 8090)));
    address.expect("10.10.0.x:8090 is an address")
}

impl Shape {
    /// The map that a sharded cluster begins with.
    pub(super) fn first_map(&self, addresses: &[Address]) -> Option<ShardMap> {
        let shards = self.shards.as_ref()?;
        shards.first_map(addresses, shards.count)
    }

    /// The settings of a node.
    pub(super) fn settings(&self, addresses: &[Address], at: usize) -> Settings {
        let mut settings = Settings::new(addresses[at], addresses.to_vec());
        if let Some((shards, told)) = self.shards.as_ref().zip(self.told(at)) {
            settings.view = shards.keepers().map(|at| addresses[at]).collect();
            settings.shard_count = Some(usize::from(told));
        }
        if self.shards.is_some() {
            // So that what is handed over comes in pages and is applied in slices, few as the keys are.
            settings.replication.batch_max_bytes = 2_000;
        }
        if self.tight {
            settings.replication.outbox_max_writes = 4;
            settings.replication.batch_max_writes = 2;
            settings.replication.batch_max_bytes = 1_000;
            settings.replication.buffer_max_writes = 2;
            settings.replication.join_sessions_max = 1;
            settings.limits.parked_max = 2;
            settings.limits.mailbox_max = 12;
        }
        if let Some(ms) = self.forget_after_ms {
            settings.membership.forget_after_ms = ms;
        }
        if let Some(most) = self.tombstones_max {
            settings.limits.tombstones_max = most;
        }
        settings
    }

    fn told(&self, at: usize) -> Option<u8> {
        self.shards.as_ref().and_then(|shards| shards.told[at])
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
    /// An operator has a node forgotten, which may be up, down or cut off.
    Forget,
    /// Nodes that are down or cut off for some seconds are forgotten by the others.
    LongAbsence,
    /// A node that is cut off restarts with its wall clock set back, and serves alone.
    IsolatedRestart,
    /// A node restarts again and again.
    ManyRestarts,
    /// Many deletes.
    Deletes,
    /// So many deletes while a node is down or cut off that it is forgotten for room.
    TombstonesMax,
    /// Nothing passes between the members of a shard, or between some of them.
    CutWithinShard,
    /// Nothing passes between two shards.
    CutBetweenShards,
    /// All members of a shard are down, with their memory lost, or cut off from all others.
    ShardAway,
    /// A node is told another number of shards than the others, and restarts with it.
    WrongCount,
    /// Nodes that keep no shard are added to some while all else goes on, several at once.
    AddMember,
    /// Shards are dealt anew, to more, fewer or as many, twice at once or on two sides of a cut.
    Reshard,
}

impl Kind {
    /// All that every plan is made of.
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

    /// Those about the life and end of origins; where they are asked for, they come on top of the others.
    pub const OF_ENDS: [Self; 6] = [
        Self::Forget,
        Self::LongAbsence,
        Self::IsolatedRestart,
        Self::ManyRestarts,
        Self::Deletes,
        Self::TombstonesMax,
    ];

    /// Those about shards; every plan with shards has some of them on top of the others.
    pub const OF_SHARDS: [Self; 5] = [
        Self::CutWithinShard,
        Self::CutBetweenShards,
        Self::ShardAway,
        Self::WrongCount,
        Self::AddMember,
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
    /// The first node is asked to have the second forgotten.
    Forget(usize, usize),
    /// The next join is cut in the middle.
    CutNextJoin,
    /// The first node is asked to add the second to this shard.
    AddMember(usize, usize, usize),
    /// The node is asked to deal the nodes to so many shards.
    Reshard(usize, usize),
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
    /// The client has just read in another shard, where hybrid time is ahead of virtual time by this many
    /// milliseconds; `None` if it has not. There is no such shard: its metadata's stamp is all that comes of it.
    pub elsewhere_ms: Option<u64>,
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

impl Plan {
    /// Whether members are forgotten in it.
    pub fn forgets(&self) -> bool {
        let kinds = [Kind::Forget, Kind::LongAbsence, Kind::TombstonesMax];
        let asked = |fault: &Timed<Fault>| matches!(fault.what, Fault::Forget(..));
        kinds.iter().any(|kind| self.kinds.contains(kind)) || self.faults.iter().any(asked)
    }

    /// Whether keys may be dealt anew under way.
    pub fn reshards(&self) -> bool {
        let deals = |fault: &Timed<Fault>| matches!(fault.what, Fault::Reshard(..));
        self.faults.iter().any(deals)
    }

    /// Whether a node may restart with its clock set back behind an earlier life of its own: what it writes then counts for
    /// ended until it hears of that life.
    pub fn sets_clocks_back(&self) -> bool {
        self.kinds.contains(&Kind::ClockJump) || self.kinds.contains(&Kind::IsolatedRestart)
    }

    /// The plan of a seed.
    pub fn from_seed(seed: u64) -> Self {
        draft::plan(seed)
    }

    /// The same with faults about the life and end of origins on top.
    pub fn with_ends(seed: u64) -> Self {
        draft::plan_with_ends(seed)
    }

    /// The plan of a seed for a cluster with shards.
    pub fn with_shards(seed: u64) -> Self {
        sharded::plan(seed)
    }

    /// The same with shards that are dealt anew on top.
    pub fn with_reshards(seed: u64) -> Self {
        sharded::plan_with_reshards(seed)
    }
}

/// A stamp that is as many milliseconds ahead of virtual time is further ahead of every node's wall clock than may
/// be (design §3).
pub const FAR_MS: u64 = 600_000;

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
            assert!(plan.kinds.len() >= 4);
            assert!(plan.faults.iter().all(|f| f.at_ms < plan.quiet_ms));
            seen.extend(plan.kinds);
        }
        assert_eq!(seen.len(), Kind::ALL.len());
    }
}
