//! Runs a plan and judges what came of it.

mod agreement;
mod holdings;
mod judge;
mod latest;
mod losses;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::asking::Asking;
use super::clients::Clients;
use super::cluster::Cluster;
use super::network::{Network, Tally, Weather};
use super::plan::{Fault, Plan, Request, Timed};
use super::recall;
use super::rest;
use super::watch::{self, Watch};
use crate::core::id::{Dot, MapId, Origin, ShardId};
use crate::core::metadata::{Metadata, clocks_to_json};
use crate::core::sharding::map::ShardMap;
use crate::messages::causality::DigestReport;
use crate::messages::view::MapOutcome;

/// After the last fault has ended, everything must be as one within this (contract §3: 5 s for a replica that
/// was cut off; a replica that starts then has half a second more until it looks for a source).
const QUIET_AT_MOST: Duration = Duration::from_secs(6);

/// Tombstones are waited for until the slowest wall clock has passed their stamps, if it does so within this.
const WAITED_FOR_CLOCKS: Duration = Duration::from_secs(90);

/// The session in which nodes are asked for all that they have at quiet.
const QUIET: u64 = 1 << 42;

/// By then every link has been probed since the last fault: whoever has not noticed that one was cut off, has.
const UNNOTICED: Duration = Duration::from_secs(1);

/// Within this every node has told every other one how it is.
const A_HEARTBEAT: Duration = Duration::from_millis(300);

/// Versions that a replica has set aside, which it may write again.
const ASIDE: &str = "causet_writes_set_aside";

/// How often some node is looked into, one after the other.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// What came of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// What was wrong; empty if all held.
    pub violations: Vec<Violation>,
    /// How often what happened, summed over all nodes.
    pub counts: BTreeMap<String, u64>,
    /// What happened on the network.
    pub network: Tally,
    /// How many events there were, and the hash of them all.
    pub events: (u64, u64),
    /// Simulated milliseconds.
    pub simulated_ms: u64,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which one, in a word or two.
    pub name: String,
    /// How, for a human.
    pub text: String,
}

/// Runs a plan on this thread, in a runtime that `paused` makes: single-threaded, its clock paused. The caller makes
/// it, since only builds for tests and examples can.
pub fn run(plan: &Plan, paused: fn() -> tokio::runtime::Runtime) -> Verdict {
    let plan = plan.clone();
    let system = actix_rt::System::with_tokio_rt(paused);
    system.block_on(async move { Run::new(plan).finish().await })
}

struct Run {
    plan: Plan,
    began: Instant,
    cluster: Cluster,
    network: Network,
    clients: Rc<RefCell<Clients>>,
    watch: Rc<RefCell<Watch>>,
    /// Lives that ended with the memory of their node, and how many writes each had made when it was last asked.
    crashed: BTreeMap<Origin, u64>,
    /// How many nodes were looked into at their crash.
    crashes: u64,
    /// Writes that only a node held which has lost its memory, and when.
    lost: BTreeMap<Dot, u64>,
    /// Writes that only such a node held, and others that are forgotten: they are missing until those return.
    missing: BTreeSet<Dot>,
    /// How often the shard map was changed on request.
    map_changes: Rc<RefCell<BTreeMap<&'static str, u64>>>,
    /// The latest map that a node knew which has crashed.
    latest_map: Option<MapId>,
    violations: Vec<Violation>,
}

enum Step {
    Start(usize),
    Fault(Fault),
    Request(Request),
}

impl Run {
    fn new(plan: Plan) -> Self {
        let cluster = Cluster::new(&plan.shape, plan.seed);
        let network = cluster.network.clone();
        network.set_weather(plan.weather);
        if plan.forgets() {
            network.expect_strangers();
        }
        Self {
            plan,
            began: Instant::now(),
            cluster,
            network,
            clients: Rc::default(),
            watch: Rc::default(),
            crashed: BTreeMap::new(),
            crashes: 0,
            lost: BTreeMap::new(),
            missing: BTreeSet::new(),
            map_changes: Rc::default(),
            latest_map: None,
            violations: Vec::new(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn violation(&mut self, name: &str, text: String) {
        let name = name.to_owned();
        self.violations.push(Violation { name, text });
    }

    fn steps(&self) -> Vec<(u64, Step)> {
        let starts = self.plan.shape.starts_ms.iter().enumerate();
        let starts = starts.map(|(node, at_ms)| (*at_ms, Step::Start(node)));
        let fault = |timed: &Timed<Fault>| (timed.at_ms, Step::Fault(timed.what.clone()));
        let request = |timed: &Timed<Request>| (timed.at_ms, Step::Request(timed.what.clone()));
        let faults = self.plan.faults.iter().map(fault);
        let requests = self.plan.operations.iter().map(request);
        let mut steps: Vec<_> = starts.chain(faults).chain(requests).collect();
        steps.sort_by_key(|(at_ms, _)| *at_ms);
        steps
    }

    async fn finish(mut self) -> Verdict {
        let watching = self.watch();
        let mut requests = Vec::new();
        for (at_ms, step) in self.steps() {
            tokio::time::sleep_until(self.began + Duration::from_millis(at_ms)).await;
            match step {
                Step::Start(node) => self.cluster.start(node),
                Step::Fault(fault) => self.cause(fault).await,
                Step::Request(request) => requests.push(self.request(request)),
            }
        }
        let quiet = self.began + Duration::from_millis(self.plan.quiet_ms);
        tokio::time::sleep_until(quiet).await;
        self.put_all_right().await;
        self.wait_for_agreement(quiet).await;
        for request in requests {
            if request.await.is_err() {
                self.violation("panic", "a client's request panicked".to_owned());
            }
        }
        watching.abort();
        self.judge().await
    }

    /// Looks into one node after the other, until it is aborted.
    fn watch(&self) -> actix_rt::task::JoinHandle<()> {
        let (network, watch) = (self.network.clone(), self.watch.clone());
        let addresses = self.cluster.addresses.clone();
        actix_rt::spawn(async move {
            for (session, address) in (0..).zip(addresses.into_iter().cycle()) {
                tokio::time::sleep(LOOK_EVERY).await;
                let domain = watch::domain_of(&network, address);
                if let Some(node) = network.node(address) {
                    let deal = node.gateway().topology().map.deal();
                    watch.borrow_mut().learn_deal(deal);
                }
                if let Some(cut) = watch::cut(&network, address, session).await {
                    watch.borrow_mut().look(domain, &cut);
                }
            }
        })
    }

    // --- what happens ---

    fn request(&self, request: Request) -> actix_rt::task::JoinHandle<()> {
        let asking = Asking {
            began: self.began,
            network: self.network.clone(),
            clients: self.clients.clone(),
            watch: self.watch.clone(),
            nobody_left_out: !self.plan.forgets() && !self.plan.sets_clocks_back(),
            first_map: self.cluster.first_map().map(|map| map.id()),
        };
        let address = self.cluster.addresses[request.node];
        actix_rt::spawn(asking.ask(address, request))
    }

    async fn cause(&mut self, fault: Fault) {
        let address = |node: usize| self.cluster.addresses[node];
        match fault {
            Fault::Cut(from, to) => self.network.cut(address(from), address(to)),
            Fault::Mend(from, to) => self.network.mend(address(from), address(to)),
            Fault::Split(group_of) => self.split(&group_of),
            Fault::Heal => self.network.heal(),
            Fault::Crash(node) => self.crash(node).await,
            Fault::Start(node) => self.cluster.start(node),
            Fault::Stop(node) => self.stop(node).await,
            Fault::Pause(node, ms) => {
                self.network.pause(address(node), Duration::from_millis(ms));
            }
            Fault::SlowDown(node, ms) => {
                let by = Duration::from_millis(ms);
                self.network.slow_down(address(node), by);
            }
            Fault::ClockJump(node, by_ms) => self.cluster.jump_clock(node, by_ms),
            Fault::Remove(asked, target) => self.operator(asked, target, false).await,
            Fault::Add(asked, target) => self.operator(asked, target, true).await,
            Fault::Forget(asked, target) => self.forget(asked, target).await,
            Fault::CutNextJoin => self.network.cut_next_join(),
            Fault::AddMember(asked, node, shard) => self.add_member(asked, node, shard),
            Fault::Reshard(asked, shards) => self.reshard(asked, shards),
        }
    }

    fn split(&self, group_of: &[u8]) {
        let nodes = || self.cluster.addresses.iter().zip(group_of);
        for (one, its_group) in nodes() {
            for (other, other_group) in nodes() {
                if its_group != other_group {
                    self.network.cut(*one, *other);
                }
            }
        }
    }

    async fn operator(&self, asked: usize, target: usize, add: bool) {
        let target = self.cluster.addresses[target];
        let Some(gateway) = self.cluster.gateway(asked) else {
            return;
        };
        // An operator who meets a stopping node has to try elsewhere; the quiet puts all right.
        if add {
            let _ = gateway.add(target).await;
        } else {
            let _ = gateway.remove(target).await;
        }
    }

    async fn forget(&self, asked: usize, target: usize) {
        if let Some(gateway) = self.cluster.gateway(asked) {
            let _ = gateway.forget(self.cluster.addresses[target]).await;
        }
    }

    /// Whoever asks waits until it is so everywhere; nobody waits for them.
    fn add_member(&self, asked: usize, node: usize, shard: usize) {
        let shard = ShardId(u32::try_from(shard).unwrap_or(u32::MAX));
        let node = self.cluster.addresses[node];
        let made = self.map_changes.clone();
        if let Some(gateway) = self.cluster.gateway(asked) {
            actix_rt::spawn(async move {
                let added = gateway.add_member(node, shard).await;
                if matches!(added, Some(MapOutcome::AlreadyThere(_))) {
                    *made.borrow_mut().entry("members added").or_default() += 1;
                }
            });
        }
    }

    fn reshard(&self, asked: usize, shards: usize) {
        let made = self.map_changes.clone();
        if let Some(gateway) = self.cluster.gateway(asked) {
            actix_rt::spawn(async move {
                let dealt = gateway.reshard(shards).await;
                if matches!(dealt, Some(MapOutcome::Made(_))) {
                    *made.borrow_mut().entry("shards dealt anew").or_default() += 1;
                }
            });
        }
    }

    /// Whether all that knew the latest map have lost their memory.
    fn forgot_a_map(&self) -> bool {
        let known = self.cluster.maps().iter().map(ShardMap::id).max();
        known < self.latest_map
    }

    async fn crash(&mut self, node: usize) {
        self.note_last_copies(node).await;
        let gateway = self.cluster.gateway(node);
        let map = gateway.map(|gateway| gateway.topology().map.id());
        self.latest_map = self.latest_map.max(map);
        self.cluster.crash(node);
    }

    async fn stop(&mut self, node: usize) {
        if let Some(running) = self.cluster.node(node) {
            let stopped = tokio::time::timeout(Duration::from_secs(5), running.stop()).await;
            if stopped.is_err() {
                self.violation("slow stop", format!("n{node} did not stop within 5 s"));
            }
            self.crash(node).await;
        }
    }

    async fn digests(&self) -> Vec<Option<DigestReport>> {
        let mut digests = Vec::new();
        for node in 0..self.cluster.addresses.len() {
            digests.push(self.cluster.digest(node).await);
        }
        digests
    }

    // --- the quiet ---

    async fn put_all_right(&mut self) {
        self.network.heal();
        self.network.set_weather(Weather::FAIR);
        for node in 0..self.cluster.addresses.len() {
            self.cluster.start(node);
        }
        for asked in 0..self.cluster.addresses.len() {
            for target in 0..self.cluster.addresses.len() {
                self.operator(asked, target, true).await;
            }
        }
    }

    async fn wait_for_agreement(&mut self, quiet: Instant) {
        tokio::time::sleep(UNNOTICED).await;
        loop {
            let Some(why) = self.disagreement().await else {
                self.wait_for_collection().await;
                tokio::time::sleep(A_HEARTBEAT).await;
                let recalled = self.recall().await;
                self.violations.extend(recalled);
                let wrong = rest::judge(&self.cluster).await;
                return self.violations.extend(wrong);
            };
            if quiet.elapsed() > QUIET_AT_MOST {
                return self.violation("no convergence", why);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Tombstones go once the slowest wall clock has passed their stamps, and all have said so.
    async fn wait_for_collection(&mut self) {
        let behind = Duration::from_millis(self.slowest_clock_behind_ms().await);
        if behind > WAITED_FOR_CLOCKS {
            return;
        }
        let began = Instant::now();
        loop {
            let digests = self.digests().await;
            let left = |digest: &Option<DigestReport>| {
                digest
                    .as_ref()
                    .map_or(0, |digest| digest.summary.tombstones)
            };
            let left: u64 = digests.iter().map(left).sum();
            if left == 0 {
                return;
            }
            if began.elapsed() > behind + QUIET_AT_MOST {
                let metrics = self.cluster.metrics();
                let lines = metrics.iter().flat_map(|text| text.lines());
                let held: Vec<&str> = lines
                    .filter(|line| line.contains("held_back_by{"))
                    .collect();
                let text = format!("{left} tombstones are left: {held:?}");
                return self.violation("tombstones stay", text);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// By how much the slowest wall clock is behind the hybrid time of some node.
    async fn slowest_clock_behind_ms(&self) -> u64 {
        let mut time_ms = 0;
        for address in &self.cluster.addresses {
            let cut = watch::cut(&self.network, *address, QUIET).await;
            time_ms = cut.map_or(0, |cut| cut.time.ms).max(time_ms);
        }
        time_ms.saturating_sub(self.cluster.slowest_clock_ms())
    }

    async fn recall(&self) -> Vec<Violation> {
        let handed_out: Vec<Metadata> = self.clients.borrow().handed_out().cloned().collect();
        let distinct: BTreeMap<String, Metadata> = handed_out
            .into_iter()
            .map(|metadata| (clocks_to_json(&metadata.clocks), metadata))
            .collect();
        let keys: BTreeSet<u32> = self.plan.operations.iter().map(|o| o.what.key).collect();
        let is_lost = |dot: &Dot| self.is_lost(dot);
        let is_plain = !self.plan.forgets() && !self.was_reborn();
        let known = recall::Known {
            cluster: &self.cluster,
            held: distinct.into_values().collect(),
            keys: keys.into_iter().collect(),
            is_lost: (is_plain && !self.forgot_a_map()).then_some(&is_lost),
            forgot_a_map: self.forgot_a_map(),
        };
        recall::judge(&known).await
    }
}
