//! The clients: they fill the cluster, and then keep it busy at an even rate.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use causet::core::clock::Clocks;
use causet::core::id::{Address, Dot, Key};
use causet::core::metadata::Metadata;
use causet::core::sharding::placement::shard_of;
use causet::core::wire;
use causet::core::write::{Content, Value, Version, Write};
use futures::future::join_all;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::Failure;
use crate::http::{Answer, Connection};

/// Connections by which the cluster is filled.
const FILLERS: usize = 96;
/// Between two lines about the progress.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// A request that is not answered by then counts as status 0.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// One that was refused is tried again after so long, until it is not.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// The actors of each replica are asked so often whether they answer.
const PROBE_EVERY: Duration = Duration::from_millis(10);

/// The keys, and how large the latest write of each is as replicas send it to each other.
#[derive(Debug)]
pub(crate) struct Keys {
    value: String,
    bytes: RefCell<Vec<u32>>,
    /// Whether what is written from now on counts.
    pub(crate) counting: Cell<bool>,
}

impl Keys {
    /// So many, with JSON values of so many bytes.
    pub(crate) fn new(count: usize, value_bytes: usize) -> Self {
        Self {
            value: format!("\"{}\"", "v".repeat(value_bytes.saturating_sub(2))),
            bytes: RefCell::new(vec![0; count]),
            counting: Cell::new(true),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.borrow().len()
    }

    pub(crate) fn name(n: usize) -> String {
        format!("key-{n:08}")
    }

    /// The shard of the `n`th.
    pub(crate) fn shard(n: usize, shards: u32) -> u32 {
        let key = Key::new(&Self::name(n)).expect("it is short");
        shard_of(&key, shards).0
    }

    fn put(&self) -> String {
        let value = &self.value;
        format!(r#"{{"value":{value},"causal-metadata":null}}"#)
    }

    /// Takes the size from the answer: its metadata names the write, which depends on nothing.
    fn written(&self, n: usize, answer: &str) {
        if !self.counting.get() {
            return;
        }
        let size = self.encoded(n, answer).unwrap_or_default();
        self.bytes.borrow_mut()[n] = size;
    }

    fn encoded(&self, n: usize, answer: &str) -> Option<u32> {
        let (_, metadata) = answer.split_once(r#""causal-metadata":"#)?;
        let metadata = Metadata::from_json(metadata.strip_suffix('}')?).ok()?;
        let (_, clock) = metadata.clocks.iter().next()?;
        let (origin, counter) = clock.iter().next()?;
        let version = Version {
            dot: Dot { origin, counter },
            time: metadata.time,
            first: None,
            deps: Arc::new(Clocks::new()),
            content: Content::Value(Value::new(&self.value)?),
        };
        let write = Write {
            key: Key::new(&Self::name(n))?,
            version: Arc::new(version),
        };
        // But for the byte that names the protocol.
        u32::try_from(wire::encode(&write).len() - 1).ok()
    }

    /// Keys, and bytes of their writes, that `keeps` says of.
    pub(crate) fn sum(&self, keeps: impl Fn(usize) -> bool) -> (u64, u64) {
        let bytes = self.bytes.borrow();
        let kept = bytes.iter().enumerate().filter(|(n, _)| keeps(*n));
        kept.fold((0, 0), |(keys, sum), (_, bytes)| {
            (keys + 1, sum + u64::from(*bytes))
        })
    }
}

/// Writes every key once, at nodes that keep it.
pub(crate) async fn fill(keys: &Keys, by_shard: &[Vec<Address>]) -> Result<(), Failure> {
    let shards = u32::try_from(by_shard.len()).unwrap_or(1);
    let (next, done) = (Cell::new(0), Cell::new(0_u64));
    let fillers = (0..FILLERS).map(|filler| {
        let (next, done) = (&next, &done);
        async move {
            let mut open: BTreeMap<Address, Connection> = BTreeMap::new();
            loop {
                let n = next.replace(next.get() + 1);
                if n >= keys.len() {
                    return Ok::<_, Failure>(());
                }
                let members = &by_shard[Keys::shard(n, shards) as usize];
                let node = members[filler % members.len()];
                let connection = match open.entry(node) {
                    Entry::Occupied(open) => open.into_mut(),
                    Entry::Vacant(place) => place.insert(Connection::open(node).await?),
                };
                loop {
                    let path = format!("/kvs/{}", Keys::name(n));
                    let answer = connection.ask("PUT", &path, &keys.put()).await?;
                    match answer.status {
                        200 | 201 => break keys.written(n, &answer.body),
                        503 => sleep(TRY_AGAIN).await,
                        status => return Err(Failure(format!("{status} {}", answer.body))),
                    }
                }
                done.set(done.get() + 1);
            }
        }
    });
    let progress = async {
        loop {
            let before = done.get();
            sleep(SAY_EVERY).await;
            let rate = (done.get() - before) / SAY_EVERY.as_secs();
            println!("  {} keys ({rate}/s)", done.get());
        }
    };
    tokio::select! {
        filled = join_all(fillers) => filled.into_iter().collect(),
        () = progress => Ok(()),
    }
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// When it was due.
    pub(crate) at: Instant,
    /// From then until it was answered.
    pub(crate) took: Duration,
    /// 0 without an answer.
    pub(crate) status: u16,
    /// Whose.
    pub(crate) key: usize,
    /// Whether it was refused before.
    pub(crate) again: bool,
}

/// Clients without metadata, who ask any node for any key.
#[derive(Debug)]
pub(crate) struct Load {
    keys: Rc<Keys>,
    nodes: Vec<Address>,
    idle: Vec<RefCell<Vec<Connection>>>,
    /// All requests.
    pub(crate) samples: RefCell<Vec<Sample>>,
    /// Of each node and question: when its actors were asked, and how long they took.
    pub(crate) probes: RefCell<Vec<(usize, Instant, Duration)>>,
    /// For how long keys were refused: from the first request that was, until one was not.
    pub(crate) refusals: RefCell<Vec<Duration>>,
    under_way: Cell<usize>,
    stop: Cell<bool>,
}

impl Load {
    /// To these nodes.
    pub(crate) fn new(keys: Rc<Keys>, nodes: Vec<Address>) -> Self {
        Self {
            keys,
            idle: nodes.iter().map(|_| RefCell::default()).collect(),
            nodes,
            samples: RefCell::default(),
            probes: RefCell::default(),
            refusals: RefCell::default(),
            under_way: Cell::new(0),
            stop: Cell::new(false),
        }
    }

    /// Begins with so many requests a second; the answers to those before are not waited for.
    pub(crate) fn start(self: &Rc<Self>, rate: u32) {
        for node in 0..self.nodes.len() {
            tokio::task::spawn_local(self.clone().probe(node));
        }
        let load = self.clone();
        tokio::task::spawn_local(async move {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let (every, mut due) = (Duration::from_secs(1) / rate, Instant::now());
            while !load.stop.get() {
                sleep_until(due).await;
                let n = rng.random_range(0..load.keys.len());
                let node = rng.random_range(0..load.nodes.len());
                let writes = rng.random_range(0..5) == 0;
                load.under_way.set(load.under_way.get() + 1);
                tokio::task::spawn_local(load.clone().client(due, n, node, writes));
                due += every;
            }
        });
    }

    /// Ends it; returns when all that was asked is answered.
    pub(crate) async fn end(&self) {
        self.stop.set(true);
        while self.under_way.get() > 0 {
            sleep(TRY_AGAIN).await;
        }
    }

    async fn client(self: Rc<Self>, due: Instant, n: usize, node: usize, writes: bool) {
        let (mut at, mut again, mut tries) = (due, false, 0);
        loop {
            let answer = timeout(
                ANSWER_WITHIN,
                self.request(n, (node + tries) % self.nodes.len(), writes),
            )
            .await;
            let status = match answer {
                Ok(Ok(answer)) => {
                    if writes && matches!(answer.status, 200 | 201) {
                        self.keys.written(n, &answer.body);
                    }
                    answer.status
                }
                Ok(Err(_)) | Err(_) => 0,
            };
            let took = at.elapsed();
            self.samples.borrow_mut().push(Sample {
                at,
                took,
                status,
                key: n,
                again,
            });
            if status != 503 || self.stop.get() {
                break;
            }
            (again, tries) = (true, tries + 1);
            sleep(TRY_AGAIN).await;
            at = Instant::now();
        }
        if again {
            self.refusals.borrow_mut().push(due.elapsed());
        }
        self.under_way.set(self.under_way.get() - 1);
    }

    async fn request(&self, n: usize, node: usize, writes: bool) -> Result<Answer, Failure> {
        let path = format!("/kvs/{}", Keys::name(n));
        let idle = self.idle[node].borrow_mut().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.nodes[node]).await?,
        };
        let answer = if writes {
            connection.ask("PUT", &path, &self.keys.put()).await?
        } else {
            let body = r#"{"causal-metadata":null}"#;
            connection.ask("GET", &path, body).await?
        };
        self.idle[node].borrow_mut().push(connection);
        Ok(answer)
    }

    /// All actors of a replica share a thread, so whoever asks one of them sees when another one holds it up.
    async fn probe(self: Rc<Self>, node: usize) {
        let Ok(mut connection) = Connection::open(self.nodes[node]).await else {
            return;
        };
        while !self.stop.get() {
            let at = Instant::now();
            if connection.ask("GET", "/view", "").await.is_err() {
                return;
            }
            self.probes.borrow_mut().push((node, at, at.elapsed()));
            sleep(PROBE_EVERY).await;
        }
    }
}
