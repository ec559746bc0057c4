//! Runs a plan and judges what came of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::asking::Asking;
use super::clients::{Clients, Named, key_name};
use super::cluster::Cluster;
use super::network::{Network, Tally, Weather};
use super::plan::{Fault, Kind, Plan, Request, Timed};
use super::rest;
use super::samples::{counted, family, samples};
use super::watch::{self, Watch};
use crate::checker::{self, Absence, FinalState, Held, History};
use crate::core::coverage::Coverage;
use crate::core::id::{Dot, Key, Origin};
use crate::core::metadata::Metadata;
use crate::core::write::Content;
use crate::messages::causality::{DigestReport, Operation, Outcome};

/// After the last fault has ended, everything must be as one within this (contract §3: 5 s for a replica that
/// was cut off; a replica that starts then has half a second more until it looks for a source).
const QUIET_AT_MOST: Duration = Duration::from_secs(6);

/// By then every link has been probed since the last fault: whoever has not noticed that one was cut off, has.
const UNNOTICED: Duration = Duration::from_secs(1);

/// How often some node is looked into, one after the other.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// Bytes of metadata as JSON that is no entry: its stamp, and the name of the one domain.
const METADATA_BYTES: usize = 64;
/// And of an entry, at most: a name such as `10.10.0.2:8090@1a2b3c4d5e6f7`, and a counter.
const METADATA_ENTRY_BYTES: usize = 56;

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
    /// Writes that only a node held which has lost its memory, and when.
    lost: BTreeMap<Dot, u64>,
    /// Lives that ended with the memory of their node.
    crashed: BTreeSet<Origin>,
    violations: Vec<Violation>,
}

/// A replica that is born again writes its deletes again, under names that no client was told: those become absence by whatever
/// cause.
fn rename_deletes(operations: &mut [checker::Operation], states: &mut [FinalState]) {
    let named = |outcome: &checker::Outcome| match outcome {
        checker::Outcome::Acknowledged { identity } => identity.clone(),
        _ => None,
    };
    let told: BTreeSet<String> = operations.iter().filter_map(|o| named(&o.outcome)).collect();
    let unnamed = |absence: &mut Absence| {
        if matches!(absence, Absence::By(name) if !told.contains(name)) {
            *absence = Absence::Unnamed;
        }
    };
    for operation in operations {
        if let checker::Outcome::Absent(absence) = &mut operation.outcome {
            unnamed(absence);
        }
    }
    for held in states.iter_mut().flat_map(|state| state.held.values_mut()) {
        if let Held::Absent(absence) = held {
            unnamed(absence);
        }
    }
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
        if plan.kinds.contains(&Kind::Forget) || plan.kinds.contains(&Kind::LongAbsence) {
            network.expect_strangers();
        }
        Self {
            plan,
            began: Instant::now(),
            cluster,
            network,
            clients: Rc::default(),
            watch: Rc::default(),
            lost: BTreeMap::new(),
            crashed: BTreeSet::new(),
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
                if let Some(cut) = watch::cut(&network, address, session).await {
                    watch.borrow_mut().look(&cut);
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

    async fn crash(&mut self, node: usize) {
        self.note_last_copies(node).await;
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

    /// Takes note of the writes that no running node has but this one.
    async fn note_last_copies(&mut self, node: usize) {
        let digests = self.digests().await;
        let Some(Some(mine)) = digests.get(node) else {
            return;
        };
        let others = digests.iter().enumerate();
        let others = others.filter(|(other, _)| *other != node);
        let others: Vec<_> = others.filter_map(|(_, digest)| digest.as_ref()).collect();
        let entries = mine.covered.clock().iter();
        let counted =
            entries.flat_map(|(origin, last)| (1..=last).map(move |n| Dot { origin, counter: n }));
        let acknowledged: Vec<_> = self.clients.borrow().acknowledged().collect();
        let known = counted.chain(acknowledged.into_iter().map(|(_, dot)| dot));
        let only_here = |dot: &Dot| mine.has(dot) && !others.iter().any(|other| other.has(dot));
        let now_ms = self.now_ms();
        let lost: Vec<Dot> = known.filter(only_here).collect();
        self.crashed.insert(mine.origin);
        for dot in lost {
            self.lost.insert(dot, now_ms);
        }
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
                let wrong = rest::judge(&self.cluster).await;
                return self.violations.extend(wrong);
            };
            if quiet.elapsed() > QUIET_AT_MOST {
                return self.violation("no convergence", why);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is not yet as it must be at quiet.
    async fn disagreement(&self) -> Option<String> {
        let mut digests = Vec::new();
        for (node, digest) in self.digests().await.into_iter().enumerate() {
            let Some(digest) = digest else {
                return Some(format!("n{node} does not answer"));
            };
            digests.push(digest);
        }
        let first = &digests[0];
        // Of a clock that is too far behind no notice is taken, and it takes none: tombstones wait there for the next write.
        let wait = self.cluster.clocks_drift();
        let tombstones = |d: &DigestReport| if wait { 0 } else { d.summary.tombstones };
        let values = |d: &DigestReport| (d.summary.keys, d.summary.hash, tombstones(d));
        let same = |d: &DigestReport| d.covered == first.covered && values(d) == values(first);
        if let Some(other) = digests.iter().position(|digest| !same(digest)) {
            let (one, other_one) = (values(first), values(&digests[other]));
            let (covered, theirs) = (&first.covered, &digests[other].covered);
            return Some(if covered == theirs {
                format!("n0 has keys, hash, tombstones {one:?}, n{other} {other_one:?}")
            } else {
                format!("n0 covers {covered:?}, n{other} {theirs:?}")
            });
        }
        if tombstones(first) > 0 {
            return Some(format!("{} tombstones are left", first.summary.tombstones));
        }
        for node in 0..self.cluster.addresses.len() {
            let view = self.cluster.gateway(node)?.read_view().await;
            if view.as_ref() != Some(&self.cluster.addresses) {
                return Some(format!("n{node} has the view {view:?}"));
            }
        }
        self.busy_gauge()
    }

    /// A gauge of a node that runs, which is not what it is at rest: nothing waits, and every link is steady.
    fn busy_gauge(&self) -> Option<String> {
        let at_rest = [
            ("causet_parked_requests", 0),
            ("causet_causal_buffer_writes", 0),
            ("causet_outbox_writes", 0),
            ("causet_link_state", 2),
        ];
        let texts = self.cluster.metrics();
        let running = texts.iter().take(self.cluster.addresses.len());
        for (node, text) in running.enumerate() {
            for (gauge, rest) in at_rest {
                let is_busy = |(name, value): &(&str, u64)| family(name) == gauge && *value != rest;
                if let Some((name, value)) = samples(text).find(is_busy) {
                    return Some(format!("n{node} has {name} at {value}"));
                }
            }
        }
        None
    }

    // --- the judgement ---

    async fn judge(mut self) -> Verdict {
        let mut final_states = self.final_states().await;
        let digest = self.cluster.digest(0).await;
        let watched = self.watch.borrow().violations();
        self.violations.extend(watched);
        self.violations.extend(self.network.violations());
        let answers = self.clients.borrow().violations();
        self.violations.extend(answers);
        let mut forgiven = BTreeSet::new();
        if let Some(had) = digest {
            forgiven = self.judge_losses(&had);
            self.judge_metadata(&had.covered);
        }
        self.judge_metadata_size();
        let mut operations = self.clients.borrow().operations().to_vec();
        rename_deletes(&mut operations, &mut final_states);
        let history = History {
            operations,
            final_states,
            forgiven,
        };
        let report = checker::check(&history);
        for violation in &report.violations {
            self.violation(violation.kind.name(), violation.to_string());
        }
        Verdict {
            counts: self.counts(),
            network: self.network.tally(),
            events: self.network.history(),
            simulated_ms: self.now_ms(),
            violations: self.violations,
        }
    }

    async fn final_states(&self) -> Vec<FinalState> {
        let keys: BTreeSet<u32> = self.plan.operations.iter().map(|o| o.what.key).collect();
        let mut states = Vec::new();
        for node in 0..self.cluster.addresses.len() {
            let mut state = FinalState {
                replica: format!("n{node}"),
                held: BTreeMap::new(),
            };
            for key in &keys {
                let name = key_name(*key);
                if let Some(held) = self.held(node, &name).await {
                    state.held.insert(name, held);
                }
            }
            states.push(state);
        }
        states
    }

    async fn held(&self, node: usize, key: &str) -> Option<Held> {
        let key = Key::new(key)?;
        let gateway = self.cluster.gateway(node)?;
        let read = gateway.request(Operation::Get { key }, Metadata::default(), None);
        match read.await?.outcome {
            Outcome::Found(seen) => match &seen.version.content {
                Content::Value(value) => Some(Held::Value(value.json().to_owned())),
                Content::Tombstone | Content::Ended { .. } => None,
            },
            Outcome::Absent(None) => Some(Held::Absent(Absence::Unnamed)),
            Outcome::Absent(Some(seen)) => {
                let by = seen.version.dot.to_string();
                Some(Held::Absent(Absence::By(by)))
            }
            _ => None,
        }
    }

    /// Every acknowledged write is had by all, or was lost with the memory of all that had it; those are returned, and those
    /// that a client was told to be lost. What a replica held that was born again it writes again under another name,
    /// unless it was overwritten: that is for the checkers to judge, by values.
    fn judge_losses(&mut self, had: &DigestReport) -> BTreeSet<checker::OperationId> {
        let mut forgiven = BTreeSet::new();
        let acknowledged: Vec<_> = self.clients.borrow().acknowledged().collect();
        let told: Vec<Named> = self.clients.borrow().named().to_vec();
        for (operation, dot) in acknowledged {
            let told = told.iter().find(|named| named.told_lost(&dot));
            if had.has(&dot) {
                if let Some(told) = told {
                    let told = told.operation;
                    let text = format!("{told} was told that {dot} is lost, and all have it");
                    self.violation("false alarm", text);
                }
                continue;
            }
            if told.is_some() || self.lost.contains_key(&dot) {
                forgiven.insert(operation);
            }
            let ended_here = dot.origin == had.origin || self.crashed.contains(&dot.origin);
            if ended_here && !self.lost.contains_key(&dot) {
                let text = format!("{operation} was acknowledged as {dot}, and nobody has it");
                self.violation("lost write", text);
            }
        }
        self.judge_silence(had, &told);
        forgiven
    }

    /// Whoever names a write that is lost for ever is told so.
    fn judge_silence(&mut self, had: &DigestReport, performed: &[Named]) {
        let lost = self.lost.iter().filter(|(dot, _)| !had.has(dot));
        let in_silence = lost.flat_map(|(dot, lost_ms)| {
            let names = |n: &&Named| n.last.origin == dot.origin && n.last.counter >= dot.counter;
            let later = performed.iter().filter(|named| named.at_ms > *lost_ms);
            let untold = later.filter(names).find(|named| !named.told_lost(dot));
            untold.map(|named| (named.operation, *dot))
        });
        let first = in_silence.into_iter().next();
        if let Some((operation, dot)) = first {
            let text = format!("{operation} named {dot}, which is lost, and was not told");
            self.violation("lost in silence", text);
        }
    }

    /// Every metadata ever given out can be met again, unless it names a lost write.
    fn judge_metadata(&mut self, covered: &Coverage) {
        let lacking: BTreeSet<(Origin, u64)> = {
            let clients = self.clients.borrow();
            let groups = clients.handed_out().flat_map(|m| {
                let groups = m.clocks.iter().map(|(_, need)| covered.lacking(need));
                groups.collect::<Vec<_>>()
            });
            groups
                .flat_map(|lacking| lacking.iter().collect::<Vec<_>>())
                .collect()
        };
        for (origin, counter) in lacking {
            let dot = Dot { origin, counter };
            if !self.lost.contains_key(&dot) {
                let text = format!("metadata names {dot}, which nobody has and nobody has lost");
                self.violation("unmeetable metadata", text);
            }
        }
    }

    /// Metadata has one entry for each life that has written, and no more (design §3).
    fn judge_metadata_size(&mut self) {
        let renewed = self.counts().get("incarnations_renewed").copied();
        let lives = self.cluster.lives() + renewed.unwrap_or_default();
        let too_large = self.clients.borrow().handed_out().find_map(|metadata| {
            let entries: usize = metadata.clocks.iter().map(|(_, c)| c.iter().count()).sum();
            let bytes = metadata.to_json().len();
            let most = METADATA_BYTES + METADATA_ENTRY_BYTES * entries;
            let fits = entries as u64 <= lives && bytes <= most;
            (!fits).then(|| format!("{lives} lives, {entries} entries, {bytes} bytes"))
        });
        if let Some(text) = too_large {
            self.violation("metadata too large", text);
        }
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for text in self.cluster.metrics() {
            for (name, value) in samples(&text) {
                if let Some(name) = counted(name) {
                    *counts.entry(name).or_default() += value;
                }
            }
        }
        let clients = self.clients.borrow();
        let mut note = |name: &str, value: u64| counts.insert(name.to_owned(), value);
        note("operations", clients.operations().len() as u64);
        note("looks into nodes", self.watch.borrow().looked());
        note("requests parked and done", clients.waited());
        note(
            "requests after reads in another shard",
            clients.from_elsewhere(),
        );
        note(
            "writes lost with their replicas' memory",
            self.lost.len() as u64,
        );
        counts
    }
}
