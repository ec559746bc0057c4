//! What single nodes have when keys are dealt anew gets to its keepers, whatever happens to those nodes meanwhile.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causet::config::Settings;
use causet::core::id::{Address, Key, ShardId};
use causet::core::wire::{KvsMethod, KvsRequest};
use causet::node::{Node, World};
use causet::sim::clock::SkewedClock;
use causet::sim::network::Network;
use tokio::time::{Instant, sleep, timeout};

use crate::simulation::run;

/// Five nodes, all of one shard.
struct Five {
    network: Network,
    addresses: Vec<Address>,
    nodes: Vec<Rc<Node>>,
}

impl Five {
    fn start() -> Self {
        let network = Network::new(7);
        let began = Instant::now();
        let address = |n: u8| format!("10.10.0.{}:8090", n + 2).parse().unwrap();
        let addresses: Vec<Address> = (0..5).map(address).collect();
        let start = |(n, address): (u64, &Address)| {
            let mut settings = Settings::new(*address, addresses.clone());
            settings.shard_count = Some(1);
            let world = World {
                transport: network.transport(*address),
                wall: Arc::new(SkewedClock::new(began, 0)),
                seed: n,
            };
            let node = Rc::new(Node::start(&settings, world));
            network.attach(*address, node.clone());
            node
        };
        let nodes = (0..).zip(&addresses).map(start).collect();
        Self {
            network,
            addresses,
            nodes,
        }
    }

    async fn ask(&self, at: usize, method: KvsMethod) -> u16 {
        let body = match method {
            KvsMethod::Put => r#"{"value":1,"causal-metadata":null}"#,
            KvsMethod::Get | KvsMethod::Delete => r#"{"causal-metadata":null}"#,
        };
        let request = KvsRequest {
            method,
            key: Key::new("k").unwrap(),
            body: Bytes::from(body),
            metadata: Vec::new(),
            wait_ms: None,
        };
        self.nodes[at].forwarder().kvs(request).await.status
    }

    /// All are in the view of this node, or all but the last one.
    async fn view_of_first(&self, size: usize) {
        while self.nodes[0].gateway().read_view().await.unwrap().len() != size {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Cuts the last one off from these of the others.
    fn cut_last(&self, from: impl Fn(usize) -> bool) {
        for at in (0..4).filter(|at| from(*at)) {
            let (one, other) = (self.addresses[at], self.addresses[4]);
            self.network.cut(one, other);
            self.network.cut(other, one);
        }
    }
}

#[test]
fn a_node_that_is_added_to_a_shard_hands_over_what_it_alone_had_before() {
    run(async {
        let five = Five::start();
        five.view_of_first(5).await;
        sleep(Duration::from_secs(5)).await;
        five.cut_last(|_| true);
        five.view_of_first(4).await;
        assert_eq!(five.ask(4, KvsMethod::Put).await, 201);
        five.nodes[0].gateway().reshard(2).await.unwrap();
        // It hears of the map from one that does not keep the key.
        let keeps = |at: &usize| {
            let map = five.nodes[0].gateway().topology().map.clone();
            map.keeps(five.addresses[*at], map.shard_of(&Key::new("k").unwrap()))
        };
        let other = (0..4).find(|at| !keeps(at)).unwrap();
        five.network.heal();
        five.cut_last(|at| at != other);
        let map = |at: usize| five.nodes[at].gateway().topology().map.id();
        while map(4) != map(other) {
            sleep(Duration::from_millis(10)).await;
        }
        let (dealt, gateway) = (map(4), five.nodes[4].gateway());
        let add = gateway.add_member(five.addresses[4], ShardId(0));
        let _ = timeout(Duration::from_secs(3), add).await;
        assert!(map(4) > dealt, "it is added");
        five.network.heal();
        sleep(Duration::from_secs(20)).await;
        for at in 0..5 {
            assert_eq!(five.ask(at, KvsMethod::Get).await, 200, "node {at}");
        }
    });
}
