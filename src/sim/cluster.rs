//! The nodes of a simulation: started, crashed, stopped, set back.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::clock::SkewedClock;
use super::network::Network;
use super::plan::{self, Shape};
use crate::core::id::{Address, Domain};
use crate::core::sharding::map::ShardMap;
use crate::http::gateway::Gateway;
use crate::messages::causality::DigestReport;
use crate::node::{Node, World};
use crate::time::WallClock;

/// A cluster on a network of its own.
#[derive(Debug)]
pub struct Cluster {
    /// Its network.
    pub network: Network,
    /// Its nodes' addresses, in ascending order. A node is named by its place here.
    pub addresses: Vec<Address>,
    nodes: Vec<Option<Rc<Node>>>,
    ended: Vec<Rc<Node>>,
    clocks: Vec<SkewedClock>,
    shape: Shape,
    seed: u64,
    lives: u64,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.network.clear();
    }
}

impl Cluster {
    /// A cluster of which no node runs yet.
    pub fn new(shape: &Shape, seed: u64) -> Self {
        let addresses: Vec<Address> = (0..shape.nodes).map(plan::address).collect();
        let began = Instant::now();
        let clock = |skew: &i64| SkewedClock::new(began, *skew);
        Self {
            network: Network::new(seed),
            nodes: addresses.iter().map(|_| None).collect(),
            ended: Vec::new(),
            clocks: shape.skews_ms.iter().map(clock).collect(),
            shape: shape.clone(),
            addresses,
            seed,
            lives: 0,
        }
    }

    /// Starts a node with nothing in its memory, unless it runs.
    pub fn start(&mut self, at: usize) {
        if self.nodes[at].is_some() {
            return;
        }
        self.lives += 1;
        let address = self.addresses[at];
        let settings = self.shape.settings(&self.addresses, at);
        let node = Rc::new(Node::start(
            &settings,
            World {
                transport: self.network.transport(address),
                wall: Arc::new(self.clocks[at].clone()),
                seed: self.seed.wrapping_mul(1_000).wrapping_add(self.lives),
            },
        ));
        self.network.attach(address, node.clone());
        self.nodes[at] = Some(node);
    }

    /// Ends a node at once, with its memory. False if it does not run.
    pub fn crash(&mut self, at: usize) -> bool {
        let Some(node) = self.nodes[at].take() else {
            return false;
        };
        self.network.detach(self.addresses[at]);
        node.halt();
        self.ended.push(node);
        true
    }

    /// Lets go of the nodes that have ended, and returns them with what they have counted.
    pub fn bury(&mut self) -> Vec<Rc<Node>> {
        std::mem::take(&mut self.ended)
    }

    /// The node, to be stopped in order by its own `stop`; [`Cluster::crash`] it afterwards.
    pub fn node(&self, at: usize) -> Option<Rc<Node>> {
        self.nodes[at].clone()
    }

    /// The entrance of a node that runs.
    pub fn gateway(&self, at: usize) -> Option<Gateway> {
        self.nodes[at].as_ref().map(|node| node.gateway().clone())
    }

    /// The map that a sharded cluster begins with.
    pub(super) fn first_map(&self) -> Option<ShardMap> {
        self.shape.first_map(&self.addresses)
    }

    /// By which map each node goes that runs.
    pub(super) fn maps(&self) -> Vec<ShardMap> {
        let running = self.nodes.iter().flatten();
        let map = |node: &Rc<Node>| node.gateway().topology().map.clone();
        running.map(map).collect()
    }

    /// The members of each shard by the latest map, by place: all nodes, where there are no shards.
    pub(super) fn shards(&self) -> Vec<(Domain, Vec<usize>)> {
        let maps = self.maps();
        let latest = maps.iter().max_by_key(|map| map.id());
        let map = latest.cloned().unwrap_or(ShardMap::implicit());
        let nodes = || self.addresses.iter().enumerate();
        let members = |shard| {
            let its = nodes().filter(|(_, node)| map.keeps(**node, shard));
            let its: Vec<usize> = its.map(|(at, _)| at).collect();
            let first = its.first().map(|at| map.domain_of(self.addresses[*at]));
            first.map(|domain| (domain, its))
        };
        map.shards().filter_map(members).collect()
    }

    /// How often a node was started.
    pub fn lives(&self) -> u64 {
        self.lives
    }

    /// What the slowest wall clock shows.
    pub fn slowest_clock_ms(&self) -> u64 {
        let shown = self.clocks.iter().map(WallClock::now_ms);
        shown.min().unwrap_or(0)
    }

    /// Sets a node's wall clock.
    pub fn jump_clock(&self, at: usize, by_ms: i64) {
        self.clocks[at].jump(by_ms);
    }

    /// What a node that runs has.
    pub async fn digest(&self, at: usize) -> Option<DigestReport> {
        self.gateway(at)?.read_digest().await
    }

    /// What every life of every node has counted, in Prometheus text.
    pub fn metrics(&self) -> Vec<String> {
        let running = self.nodes.iter().flatten();
        let all = running.chain(&self.ended);
        all.map(|node| node.gateway().metrics_text()).collect()
    }
}
