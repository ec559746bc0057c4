//! Nodes under virtual time, and the clients that talk to them.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use causet::config::Settings;
use causet::core::id::{Address, Key};
use causet::core::metadata::Metadata;
use causet::core::write::{Content, Value};
use causet::messages::causality::{DigestReport, Operation, Outcome};
use causet::node::{Node, World};
use causet::sim::clock::SkewedClock;
use causet::sim::network::Network;
use tokio::time::Instant;

/// A single-threaded runtime whose clock moves when nothing else can.
pub(crate) fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// Runs `story` in one thread under a paused clock that moves when nothing else can.
pub(crate) fn run<T: 'static>(story: impl Future<Output = T> + 'static) -> T {
    actix_rt::System::with_tokio_rt(paused).block_on(story)
}

/// A cluster on a network of its own.
pub(crate) struct Cluster {
    pub(crate) network: Network,
    pub(crate) addresses: Vec<Address>,
    nodes: Vec<Rc<Node>>,
    seed: u64,
    lives: u64,
    began: Instant,
}

impl Cluster {
    /// Starts `size` nodes at once.
    pub(crate) fn start(size: u8, seed: u64) -> Self {
        let address = |n: u8| format!("10.10.0.{}:8090", n + 2).parse().unwrap();
        let mut cluster = Self {
            network: Network::new(seed),
            addresses: (0..size).map(address).collect(),
            nodes: Vec::new(),
            seed,
            lives: 0,
            began: Instant::now(),
        };
        for at in 0..usize::from(size) {
            let node = cluster.start_node(at);
            cluster.nodes.push(node);
        }
        cluster
    }

    fn start_node(&mut self, at: usize) -> Rc<Node> {
        self.lives += 1;
        let address = self.addresses[at];
        let settings = Settings::new(address, self.addresses.clone());
        let node = Rc::new(Node::start(
            &settings,
            World {
                transport: self.network.transport(address),
                wall: Arc::new(SkewedClock::new(self.began, 37)),
                seed: self.seed.wrapping_mul(1_000).wrapping_add(self.lives),
            },
        ));
        self.network.attach(address, node.clone());
        node
    }

    /// From now on nothing passes between this node and the others, in both directions.
    pub(crate) fn cut_off(&self, at: usize) {
        let one = self.addresses[at];
        for &other in self.addresses.iter().filter(|other| **other != one) {
            self.network.cut(one, other);
            self.network.cut(other, one);
        }
    }

    /// Ends a node with its memory.
    pub(crate) fn crash(&mut self, at: usize) {
        if let Some(node) = self.network.detach(self.addresses[at]) {
            node.halt();
        }
    }

    /// Starts a node that has crashed, with nothing in its memory.
    pub(crate) fn restart(&mut self, at: usize) {
        self.nodes[at] = self.start_node(at);
    }

    async fn ask(&self, at: usize, operation: Operation, seen: &Metadata) -> Outcome {
        let gateway = self.nodes[at].gateway().clone();
        let answer = gateway.request(operation, seen.clone(), None).await;
        answer.expect("the node runs").outcome
    }

    /// Writes, as soon as the node takes it, and notes it in `seen`.
    pub(crate) async fn put(&self, at: usize, key: &str, value: &str, seen: &mut Metadata) {
        let operation = Operation::Put {
            key: Key::new(key).unwrap(),
            value: Value::new(&format!("{value:?}")).unwrap(),
        };
        loop {
            match self.ask(at, operation.clone(), seen).await {
                Outcome::Created(made) | Outcome::Replaced(made) => {
                    return seen.observe(made.domain, &made.version);
                }
                Outcome::Refused(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// What a GET gives: the value, `None` if absent, or the refusal.
    pub(crate) async fn get(
        &self,
        at: usize,
        key: &str,
        seen: &mut Metadata,
    ) -> Result<Option<String>, causet::messages::causality::Refusal> {
        let key = Key::new(key).unwrap();
        match self.ask(at, Operation::Get { key }, seen).await {
            Outcome::Found(found) => {
                seen.observe(found.domain, &found.version);
                match &found.version.content {
                    Content::Value(value) => Ok(Some(serde_json::from_str(value.json()).unwrap())),
                    other => panic!("{other:?} was found"),
                }
            }
            Outcome::Absent(_) => Ok(None),
            Outcome::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn view(&self, at: usize) -> Vec<Address> {
        self.nodes[at].gateway().read_view().await.unwrap()
    }

    pub(crate) async fn digest(&self, at: usize) -> DigestReport {
        self.nodes[at].gateway().read_digest().await.unwrap()
    }

    /// Whether all nodes have the same winners and the same clock.
    pub(crate) async fn agrees(&self) -> bool {
        let first = self.digest(0).await;
        for at in 1..self.nodes.len() {
            let other = self.digest(at).await;
            if (&other.covered, other.summary) != (&first.covered, first.summary) {
                return false;
            }
        }
        true
    }

    /// Whether every node sees every node.
    pub(crate) async fn views_are_full(&self) -> bool {
        for at in 0..self.nodes.len() {
            if self.view(at).await != self.addresses {
                return false;
            }
        }
        true
    }
}

/// Milliseconds of virtual time until `holds`.
///
/// # Panics
/// After `at_most` of them.
pub(crate) async fn until(at_most: u64, what: &str, mut holds: impl AsyncFnMut() -> bool) -> u64 {
    let began = Instant::now();
    loop {
        let took = u64::try_from(began.elapsed().as_millis()).unwrap();
        if holds().await {
            return took;
        }
        assert!(took < at_most, "{what}: not within {at_most} ms");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
