//! Keys are dealt anew under faults, in clusters that lose nothing: no node restarts before others have what it has. Clients roam over all
//! nodes, and what they see is judged as one history.
//!
//! Requests go in as HTTP brings them, so they pass through forwarding; one seed, one run.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causet::checker::{self, Absence, Action, FinalState, Held, History, OperationId, Outcome};
use causet::config::Settings;
use causet::core::id::{Address, Key, ShardId};
use causet::core::wire::{KvsAnswer, KvsMethod, KvsRequest};
use causet::node::{Node, World};
use causet::sim::clock::SkewedClock;
use causet::sim::network::{Network, Weather};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tokio::time::Instant;

use crate::simulation::run;

const CLIENTS: usize = 6;
const KEYS: u32 = 14;
const OPERATIONS: u64 = 300;
const NONE: &str = "null";

/// What a client hands back, and the operations that it is made of.
#[derive(Debug, Clone)]
struct Seen {
    metadata: String,
    by: Vec<u64>,
}

struct Story {
    rng: ChaCha8Rng,
    network: Network,
    addresses: Vec<Address>,
    nodes: Vec<Option<Rc<Node>>>,
    shards: usize,
    seed: u64,
    lives: u64,
    began: Instant,
    clients: Vec<Seen>,
    operations: Vec<checker::Operation>,
    /// Answers by status, and what else happened.
    counts: BTreeMap<&'static str, u64>,
}

impl Story {
    fn begin(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shards = rng.random_range(2..=3_u8);
        let size = rng.random_range(2 * shards..=9);
        let network = Network::new(seed);
        network.set_weather(Weather {
            delay_min_us: 100,
            delay_max_us: rng.random_range(500..10_000),
            stragglers: rng.random_range(0..20),
            loss: *[0, 0, 20].choose(&mut rng).unwrap(),
            doubles: rng.random_range(0..50),
        });
        let address = |n: u8| format!("10.10.0.{}:8090", n + 2).parse().unwrap();
        let none = Seen {
            metadata: NONE.to_owned(),
            by: Vec::new(),
        };
        let mut story = Self {
            rng,
            network,
            addresses: (0..size).map(address).collect(),
            nodes: (0..size).map(|_| None).collect(),
            shards: usize::from(shards),
            seed,
            lives: 0,
            began: Instant::now(),
            clients: vec![none; CLIENTS],
            operations: Vec::new(),
            counts: BTreeMap::new(),
        };
        for at in 0..story.nodes.len() {
            story.start(at);
        }
        story
    }

    fn start(&mut self, at: usize) {
        self.lives += 1;
        let address = self.addresses[at];
        let mut settings = Settings::new(address, self.addresses.clone());
        settings.shard_count = Some(self.shards);
        let skew = self.rng.random_range(-40..40);
        let node = Rc::new(Node::start(
            &settings,
            World {
                transport: self.network.transport(address),
                wall: Arc::new(SkewedClock::new(self.began, skew)),
                seed: self.seed.wrapping_mul(1_000).wrapping_add(self.lives),
            },
        ));
        self.network.attach(address, node.clone());
        self.nodes[at] = Some(node);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    // --- clients ---

    async fn ask(&self, at: usize, request: KvsRequest) -> Option<KvsAnswer> {
        let forwarder = self.nodes[at].as_ref()?.forwarder();
        let answer = tokio::time::timeout(Duration::from_secs(10), forwarder.kvs(request));
        answer.await.ok()
    }

    fn request(method: KvsMethod, key: &str, value: Option<&str>, metadata: &str) -> KvsRequest {
        let value = value.map_or_else(String::new, |value| format!(r#""value":{value},"#));
        let body = format!(r#"{{{value}"causal-metadata":{metadata}}}"#);
        KvsRequest {
            method,
            key: Key::new(key).unwrap(),
            body: Bytes::from(body),
            metadata: Vec::new(),
            wait_ms: None,
        }
    }

    async fn operate(&mut self) {
        let id = self.operations.len() as u64;
        let client = self.rng.random_range(0..CLIENTS);
        // Some take over what another one has seen.
        let seen = match self.rng.random_range(0..10) {
            0 => self.clients[self.rng.random_range(0..CLIENTS)].clone(),
            _ => self.clients[client].clone(),
        };
        let at = self.rng.random_range(0..self.nodes.len());
        let key = format!("k{}", self.rng.random_range(0..KEYS));
        let value = format!("\"v{id}\"");
        let (method, action) = match self.rng.random_range(0..10) {
            0..=3 => (
                KvsMethod::Put,
                Action::Put {
                    value: value.clone(),
                },
            ),
            4 => (KvsMethod::Delete, Action::Delete),
            _ => (KvsMethod::Get, Action::Get),
        };
        let value = (method == KvsMethod::Put).then_some(value.as_str());
        let request = Self::request(method, &key, value, &seen.metadata);
        let start_ms = self.now_ms();
        let answer = self.ask(at, request).await;
        let mut operation = checker::Operation::new(id, &key, action, Outcome::Unknown);
        operation.client = format!("c{client}");
        operation.replica = format!("n{at}");
        operation.start_ms = start_ms;
        operation.end_ms = Some(self.now_ms());
        operation.metadata.clone_from(&seen.metadata);
        operation.parents = seen.by.iter().copied().map(OperationId).collect();
        if let Some(answer) = answer {
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            operation.outcome = outcome(method, &answer, &body);
            self.count(match answer.status {
                503 if operation.outcome == Outcome::Unknown => "unknown",
                503 => "refused",
                _ => "done",
            });
            if operation.outcome.gives_metadata() {
                let shard = body["shard-id"].as_str();
                assert!(shard.is_some(), "{body}");
                assert!(body["lost"].is_null(), "nothing is lost here: {body}");
                self.clients[client] = Seen {
                    metadata: body["causal-metadata"].to_string(),
                    by: vec![id],
                };
            }
        }
        self.operations.push(operation);
    }

    // --- faults ---

    async fn cause_something(&mut self) {
        let size = self.nodes.len();
        match self.rng.random_range(0..8) {
            0 | 1 => self.network.heal(),
            2 => {
                let apart: Vec<bool> = (0..size).map(|_| self.rng.random_bool(0.5)).collect();
                let pairs = (0..size).flat_map(|a| (0..size).map(move |b| (a, b)));
                for (a, b) in pairs.filter(|(a, b)| apart[*a] != apart[*b]) {
                    self.network.cut(self.addresses[a], self.addresses[b]);
                }
                self.count("splits");
            }
            3 => {
                let (a, b) = (
                    self.rng.random_range(0..size),
                    self.rng.random_range(0..size),
                );
                self.network.cut(self.addresses[a], self.addresses[b]);
                self.count("one-way cuts");
            }
            4 => {
                let at = self.rng.random_range(0..size);
                let time = Duration::from_millis(self.rng.random_range(100..2_000));
                self.network.pause(self.addresses[at], time);
                self.count("pauses");
            }
            5 => self.restart_one().await,
            _ => self.deal(),
        }
    }

    /// Ends one node whose shard has all that it has, and starts it again with nothing.
    async fn restart_one(&mut self) {
        self.network.heal();
        if !self.agree_within(Duration::from_secs(20)).await {
            return;
        }
        let at = self.rng.random_range(0..self.nodes.len());
        if let Some(node) = self.network.detach(self.addresses[at]) {
            node.halt();
        }
        self.nodes[at] = None;
        for _ in 0..self.rng.random_range(0..20) {
            self.operate().await;
        }
        self.start(at);
        self.count("restarts");
    }

    /// Has keys dealt anew by any node, while all else goes on.
    fn deal(&mut self) {
        let shards = self.rng.random_range(1..=self.nodes.len() / 2);
        for _ in 0..self.rng.random_range(1..=2) {
            let asked = self.rng.random_range(0..self.nodes.len());
            let gateway = self.nodes[asked].as_ref().map(|n| n.gateway().clone());
            let dealt = async move { gateway?.reshard(shards).await };
            actix_rt::spawn(dealt);
        }
        self.count("deals");
    }

    // --- the end ---

    /// Whether the members of each shard have the same before the time is over.
    async fn agree_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if self.agree().await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    async fn agree(&self) -> bool {
        let mut of_shards = BTreeMap::new();
        for node in self.nodes.iter().flatten() {
            let Some(digest) = node.gateway().read_digest().await else {
                return false;
            };
            let view = node.gateway().read_view().await;
            if digest.domain.shard == ShardId::NONE {
                continue;
            }
            let state = (digest.covered, digest.summary.hash);
            let known = of_shards.entry(digest.domain).or_insert(state.clone());
            if *known != state || view.as_ref() != Some(&self.addresses) {
                return false;
            }
        }
        let nodes = self.nodes.iter().flatten();
        let topologies: Vec<_> = nodes
            .clone()
            .map(|node| node.gateway().topology())
            .collect();
        let map = &topologies[0].map;
        let mut frozen = nodes.map(|node| gauge(node, "causet_keys_frozen"));
        frozen.all(|keys| keys == 0)
            && topologies.iter().all(|topology| topology.map == *map)
            && of_shards
                .keys()
                .all(|domain| domain.map == map.deal().since)
            && of_shards.len() == map.count() as usize
    }

    /// What each node has, for whoever looks into a seed that fails.
    async fn standing(&self) -> String {
        let mut lines = vec![format!("seed {}", self.seed)];
        for node in self.nodes.iter().flatten() {
            let digest = node.gateway().read_digest().await;
            let Some(digest) = digest else { continue };
            let covered = digest.covered.clock().iter();
            let covered: Vec<String> = covered.map(|(o, n)| format!("{o}:{n}")).collect();
            lines.push(format!(
                "{} in {} of {} has {covered:?}, hash {:x}, {} frozen, {} due, view {}",
                digest.origin,
                digest.domain,
                node.gateway().topology().map.id(),
                digest.summary.hash,
                gauge(node, "causet_keys_frozen"),
                gauge(node, "causet_hand_overs_due"),
                node.gateway()
                    .read_view()
                    .await
                    .map_or(0, |view| view.len()),
            ));
        }
        lines.join("\n")
    }

    async fn final_states(&mut self) -> Vec<FinalState> {
        let mut states = Vec::new();
        for at in 0..self.nodes.len() {
            let mut state = FinalState {
                replica: format!("n{at}"),
                ..FinalState::default()
            };
            for key in (0..KEYS).map(|key| format!("k{key}")) {
                // Every client's metadata is met everywhere by now.
                for seen in self.clients.clone() {
                    let request = Self::request(KvsMethod::Get, &key, None, &seen.metadata);
                    let answer = self.ask(at, request).await.unwrap();
                    let body: Value = serde_json::from_slice(&answer.body).unwrap();
                    let held = match outcome(KvsMethod::Get, &answer, &body) {
                        Outcome::Found { value } => Held::Value(value),
                        Outcome::Absent(absence) => Held::Absent(absence),
                        other => panic!("n{at}, {key}: {other:?}, {body}"),
                    };
                    state.held.insert(key.clone(), held);
                }
            }
            states.push(state);
        }
        states
    }

    async fn tell(mut self) -> BTreeMap<&'static str, u64> {
        assert!(
            self.agree_within(Duration::from_secs(20)).await,
            "seed {}",
            self.seed
        );
        while (self.operations.len() as u64) < OPERATIONS {
            self.operate().await;
            let pause = self.rng.random_range(0..100);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if self.rng.random_range(0..12) == 0 {
                self.cause_something().await;
            }
        }
        self.network.heal();
        self.network.set_weather(Weather::FAIR);
        // Links to who was cut off or paused have to answer again.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let agree = self.agree_within(Duration::from_secs(60)).await;
        assert!(agree, "{}", self.standing().await);
        let final_states = self.final_states().await;
        let nodes = self.nodes.iter().flatten();
        let forwarded = nodes.map(|node| forwarded(node)).sum();
        self.counts.insert("forwarded", forwarded);
        let history = History {
            operations: self.operations,
            final_states,
            ..History::default()
        };
        let report = checker::check(&history);
        let violations: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
        assert!(
            violations.is_empty(),
            "seed {}: {}",
            self.seed,
            violations.join("\n")
        );
        self.counts
    }
}

fn outcome(method: KvsMethod, answer: &KvsAnswer, body: &Value) -> Outcome {
    match (answer.status, method) {
        (200, KvsMethod::Get) => Outcome::Found {
            value: body["value"].to_string(),
        },
        (200 | 201, _) => Outcome::Acknowledged { identity: None },
        (404, _) => Outcome::Absent(Absence::Unnamed),
        (503, _) if body["detail"].is_string() => Outcome::Unknown,
        (503, _) => Outcome::Refused,
        _ => panic!("{method:?}: {} {body}", answer.status),
    }
}

/// Requests that others have answered for this node.
fn forwarded(node: &Node) -> u64 {
    gauge(node, "causet_forwards_total{outcome=\"answered\"}")
}

fn gauge(node: &Node, name: &str) -> u64 {
    let metrics = node.gateway().metrics_text();
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn causality_holds_while_keys_are_dealt_anew_under_faults() {
    let mut total: BTreeMap<&str, u64> = BTreeMap::new();
    let seeds = std::env::var("SEEDS").map_or(201..=224, |n| {
        let (a, b) = n.split_once('-').unwrap();
        a.parse().unwrap()..=b.parse().unwrap()
    });
    for seed in seeds {
        let counts = run(async move { Story::begin(seed).tell().await });
        for (what, count) in counts {
            *total.entry(what).or_default() += count;
        }
    }
    println!("{total:?}");
    assert_all_happened(&total, &["done", "deals", "splits", "restarts"]);
}

fn assert_all_happened(total: &BTreeMap<&str, u64>, kinds: &[&str]) {
    for what in kinds {
        assert!(total.contains_key(what), "no {what}: {total:?}");
    }
}
