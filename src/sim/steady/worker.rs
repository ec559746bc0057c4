//! Clients that work steadily: put, delete and read in turns, at whichever node answers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::broken::Broken;
use super::super::cluster::Cluster;
use super::super::network::Network;
use super::super::run::Violation;
use super::Course;
use crate::core::ended::Lost;
use crate::core::id::{Address, Key};
use crate::core::metadata::Metadata;
use crate::core::write::{Content, Value};
use crate::messages::causality::{Operation, Outcome};

/// Keys that all clients write and nobody deletes.
const SHARED_KEYS: u32 = 20;

/// How long a request may be parked.
const WAIT_MS: u64 = 1_000;

/// After all nodes have refused, the first is asked again after this.
const AGAIN: Duration = Duration::from_millis(200);

/// What all clients share.
#[derive(Debug)]
pub(super) struct Shift {
    network: Network,
    addresses: Vec<Address>,
    paused: Cell<bool>,
    /// By client: its newest metadata, entries and bytes.
    metadata: RefCell<BTreeMap<usize, (usize, usize)>>,
    counts: RefCell<BTreeMap<&'static str, u64>>,
    broken: RefCell<Broken>,
}

impl Shift {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self {
            network: cluster.network.clone(),
            addresses: cluster.addresses.clone(),
            paused: Cell::new(false),
            metadata: RefCell::default(),
            counts: RefCell::default(),
            broken: RefCell::default(),
        }
    }

    /// From now on no client begins a round, or they go on.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.set(paused);
    }

    fn note(&self, name: &'static str) {
        *self.counts.borrow_mut().entry(name).or_default() += 1;
    }

    /// The sizes of what clients carry; of all of them the largest.
    pub(super) fn count(&self, sizes: &mut BTreeMap<String, u64>) {
        let metadata = self.metadata.borrow();
        let entries = metadata.values().map(|(entries, _)| *entries).max();
        let bytes = metadata.values().map(|(_, bytes)| *bytes).max();
        let mut note = |name: &str, size: Option<usize>| {
            sizes.insert(name.to_owned(), size.unwrap_or(0) as u64);
        };
        note("entries of a client's metadata", entries);
        note("bytes of a client's metadata", bytes);
    }

    /// Adds how often what happened to clients.
    pub(super) fn tally(&self, counts: &mut BTreeMap<String, u64>) {
        for (name, count) in self.counts.borrow().iter() {
            counts.insert((*name).to_owned(), *count);
        }
    }

    pub(super) fn violations(&self) -> Vec<Violation> {
        self.broken.borrow().violations().collect()
    }
}

/// One client.
#[derive(Debug)]
pub(super) struct Worker {
    number: usize,
    keys: u32,
    every: Duration,
    first: Duration,
    rng: ChaCha8Rng,
    metadata: Metadata,
    /// Of its own keys, what it has put last; `None` if it has deleted it since.
    own: BTreeMap<u32, Option<String>>,
    shift: Rc<Shift>,
}

impl Worker {
    pub(super) fn new(number: usize, course: &Course, shift: Rc<Shift>) -> Self {
        let every = Duration::from_millis(course.request_every_ms);
        let clients = u32::try_from(course.clients).unwrap_or(u32::MAX);
        Self {
            number,
            keys: course.keys_each.max(2),
            every,
            first: every * u32::try_from(number).unwrap_or(0) / clients.max(1),
            rng: ChaCha8Rng::seed_from_u64(course.seed.wrapping_add(number as u64)),
            metadata: Metadata::default(),
            own: BTreeMap::new(),
            shift,
        }
    }

    /// Works until it is aborted. Each round puts the next of its own keys, deletes the one that was put half of them ago, puts a shared
    /// one, and reads one of its own.
    pub(super) async fn work(mut self) {
        tokio::time::sleep(self.first).await;
        for round in 0_u64.. {
            let place = u32::try_from(round % u64::from(self.keys)).unwrap_or(0);
            let value = format!("\"{:0>98}\"", format!("{}.{round}", self.number));
            self.turn().await;
            while self.shift.paused.get() {
                self.turn().await;
            }
            self.put_own(place, value.clone()).await;
            self.turn().await;
            self.delete_own((place + self.keys / 2) % self.keys).await;
            self.turn().await;
            let shared = self.rng.random_range(0..SHARED_KEYS);
            self.put(format!("shared {shared}"), &value).await;
            self.turn().await;
            let read = self.rng.random_range(0..self.keys);
            self.read_own(read).await;
        }
    }

    async fn turn(&self) {
        tokio::time::sleep(self.every).await;
    }

    fn own_key(&self, place: u32) -> String {
        format!("client {} key {place}", self.number)
    }

    async fn put_own(&mut self, place: u32, value: String) {
        self.put(self.own_key(place), &value).await;
        self.own.insert(place, Some(value));
        self.shift.note("puts of clients' own keys");
    }

    async fn put(&mut self, key: String, value: &str) {
        let value = Value::new(value).expect("a string is not nested");
        let put = |key| Operation::Put {
            key,
            value: value.clone(),
        };
        self.perform(&key, put).await;
    }

    async fn delete_own(&mut self, place: u32) {
        let delete = |key| Operation::Delete { key };
        self.perform(&self.own_key(place), delete).await;
        self.own.insert(place, None);
        self.shift.note("deletes");
    }

    async fn read_own(&mut self, place: u32) {
        let key = self.own_key(place);
        let outcome = self.perform(&key, |key| Operation::Get { key }).await;
        let found = match &outcome {
            Outcome::Found(seen) => match &seen.version.content {
                Content::Value(value) => Some(value.json().to_owned()),
                Content::Tombstone | Content::Ended(_) => None,
            },
            _ => None,
        };
        self.shift.note("reads");
        // What it does not know, because some of what it had written was lost, it learns.
        let known = self.own.entry(place).or_insert_with(|| found.clone());
        if *known != found {
            let text = || format!("{key} is {found:?}, and its only client had left {known:?}");
            self.shift
                .broken
                .borrow_mut()
                .note("not what was left", text);
        }
    }

    /// Asks one node after the other until one performs it.
    async fn perform(&mut self, key: &str, operation: impl Fn(Key) -> Operation) -> Outcome {
        let first = self.rng.random_range(0..self.shift.addresses.len());
        for at in first.. {
            let address = self.shift.addresses[at % self.shift.addresses.len()];
            let key = Key::new(key).expect("a short name is a key");
            if let Some(outcome) = self.ask(address, operation(key)).await {
                return outcome;
            }
            self.shift.note("refusals that clients have met");
            if at % self.shift.addresses.len() == 0 {
                tokio::time::sleep(AGAIN).await;
            }
        }
        unreachable!("some node answers in the end")
    }

    async fn ask(&mut self, address: Address, operation: Operation) -> Option<Outcome> {
        let node = self.shift.network.node(address)?;
        let (gateway, sent) = (node.gateway(), self.metadata.clone());
        let answer = gateway.request(operation, sent.clone(), Some(WAIT_MS));
        let answer = answer.await?;
        if matches!(answer.outcome, Outcome::Refused(_)) {
            return None;
        }
        let (metadata, lost) = answer.metadata(sent);
        self.observe(metadata, &lost);
        Some(answer.outcome)
    }

    fn observe(&mut self, metadata: Metadata, lost: &Lost) {
        if !lost.is_empty() {
            // Which of its keys that was about, it does not know.
            self.own.clear();
            self.shift.note("answers that something was lost");
        }
        let size = (metadata.clocks.entries(), metadata.to_json().len());
        self.shift.metadata.borrow_mut().insert(self.number, size);
        self.metadata = metadata;
    }
}
