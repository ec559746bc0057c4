//! What the simulated network knows, and what becomes of one message on it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use super::deals::Deals;
use super::{Tally, Weather};
use crate::core::id::{Address, Domain};
use crate::http::forward::Forwarder;
use crate::node::Node;
use crate::sim::forwards::Forwards;
use crate::sim::traffic::Traffic;

pub(super) struct State {
    pub(super) rng: ChaCha8Rng,
    pub(super) nodes: BTreeMap<Address, Rc<Node>>,
    /// One entrance for each life, so that its requests take turns.
    pub(super) forwarders: BTreeMap<Address, Rc<Forwarder>>,
    pub(super) weather: Weather,
    /// Ordered pairs between which nothing passes.
    pub(super) cut: BTreeSet<(Address, Address)>,
    /// Until when nothing moves at a node.
    pub(super) paused: BTreeMap<Address, Instant>,
    /// What every way from or to a node takes in addition.
    pub(super) slow: BTreeMap<Address, Duration>,
    /// Cut the next two nodes between which a join runs.
    pub(super) cut_next_join: bool,
    pub(super) began: Instant,
    pub(super) events: Xxh3,
    pub(super) count: u64,
    pub(super) tally: Tally,
    pub(super) traffic: Traffic,
    /// Whether what passes is judged, which takes as long as everything else about a message.
    pub(super) judged: bool,
    /// How many lives of each node have begun.
    pub(super) lives: BTreeMap<Address, u64>,
    /// What each node that runs was when it was last looked at.
    pub(super) looks: BTreeMap<Address, Look>,
    /// What each node has said in its last heartbeat.
    pub(super) heartbeats: BTreeMap<Address, Bytes>,
    pub(super) forwards: Forwards,
    pub(super) deals: Deals,
    /// Told of each end of a life.
    pub(super) ended: Rc<Notify>,
}

/// A look at a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// How often it was born again.
    pub(super) renewals: u64,
    /// What it keeps.
    pub(super) domain: Domain,
    /// When that was.
    pub(super) at_ms: u64,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            nodes: BTreeMap::new(),
            forwarders: BTreeMap::new(),
            weather: Weather::FAIR,
            cut: BTreeSet::new(),
            paused: BTreeMap::new(),
            slow: BTreeMap::new(),
            cut_next_join: false,
            began: Instant::now(),
            events: Xxh3::new(),
            count: 0,
            tally: Tally::default(),
            traffic: Traffic::default(),
            judged: true,
            lives: BTreeMap::new(),
            looks: BTreeMap::new(),
            heartbeats: BTreeMap::new(),
            forwards: Forwards::default(),
            deals: Deals::default(),
            ended: Rc::default(),
        }
    }

    /// Takes note of a message and says how long it takes; `None` if it does not arrive.
    pub(super) fn pass(
        &mut self,
        from: Address,
        to: Address,
        what: &str,
        bytes: &[u8],
    ) -> Option<Duration> {
        let is_cut = self.cut.contains(&(from, to));
        let is_lost = self.rng.random_range(0..1_000) < self.weather.loss;
        let delay = self.delay(from, to);
        self.tally.sent += 1;
        self.tally.cut += u64::from(is_cut);
        self.tally.lost += u64::from(is_lost && !is_cut);
        let passes = !is_cut && !is_lost;
        self.note(from, to, what, bytes, passes);
        passes.then_some(delay)
    }

    fn delay(&mut self, from: Address, to: Address) -> Duration {
        let Weather {
            delay_min_us,
            delay_max_us,
            stragglers,
            ..
        } = self.weather;
        let mut delay = self.rng.random_range(delay_min_us..=delay_max_us);
        if self.rng.random_range(0..1_000) < stragglers {
            delay *= self.rng.random_range(2..100);
        }
        let slow = |node| self.slow.get(&node).copied().unwrap_or_default();
        Duration::from_micros(delay) + slow(from) + slow(to)
    }

    fn note(&mut self, from: Address, to: Address, what: &str, bytes: &[u8], passes: bool) {
        let at = self.began.elapsed().as_micros();
        (at, from, to, what, passes, bytes).hash(&mut self.events);
        self.count += 1;
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn cut_join(&mut self, from: Address, to: Address) {
        if std::mem::take(&mut self.cut_next_join) {
            self.tally.joins_cut += 1;
            self.cut.insert((from, to));
            self.cut.insert((to, from));
        }
    }
}
