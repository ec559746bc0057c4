//! `View` alone: its peers are SWIM cores that the test plays, the broadcaster and causality are probes.

mod forgetting;
mod maps;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use prometheus::{IntCounter, IntCounterVec};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::oneshot;
use tokio::sync::watch;

use causet::actors::view::{View, ViewParts};
use causet::config;
use causet::core::Millis;
use causet::core::id::{Address, Incarnation, Origin};
use causet::core::sharding::map::ShardMap;
use causet::core::sharding::routing::Topology;
use causet::core::stamp::HlcTime;
use causet::core::swim::{Datagram, Identity, Swim, Timing};
use causet::core::view::{Heard, Member, Removal};
use causet::messages::mailbox::{Depth, Edge, Reply};
use causet::messages::view::{
    AddOutcome, AddReplica, IncarnationRenewed, Leave, LinkTurned, MapLearned, MembersChanged,
    PeerHeard, ReadView, RemoveOutcome, RemoveReplica, SwimDatagram, TopologyReader, ViewChanged,
};
use causet::metrics::Metrics;
use causet::time::{Uptime, WallClock};
use causet::transport::{Call, CallError, PeerTransport};

use crate::support::{Told, in_virtual_time, probe};

fn address(number: u8) -> Address {
    format!("10.10.0.{number}:8090").parse().unwrap()
}

fn view(numbers: &[u8]) -> Vec<Address> {
    numbers.iter().map(|number| address(*number)).collect()
}

fn life(number: u8) -> Incarnation {
    Incarnation::starting(1_000, u64::from(number))
}

#[derive(Debug)]
struct FixedClock;

impl WallClock for FixedClock {
    fn now_ms(&self) -> u64 {
        1_000_000
    }
}

/// Notes the datagrams; calls are none of this actor's business.
#[derive(Debug, Clone, Default)]
struct Outgoing(Rc<RefCell<Vec<(Address, Bytes)>>>);

impl PeerTransport for Outgoing {
    fn call(
        &self,
        _: Address,
        _: Call,
        _: Bytes,
        _: Duration,
    ) -> LocalBoxFuture<'static, Result<Bytes, CallError>> {
        async { Err(CallError::Unreachable("a test".into())) }.boxed_local()
    }

    fn datagram(&self, to: Address, bytes: Bytes) {
        self.0.borrow_mut().push((to, bytes));
    }

    fn disconnect(&self, _: Address) {}
}

/// The actor, node 1, among peers from 2 on.
struct Stage {
    actor: Addr<View>,
    depth: Depth,
    uptime: Uptime,
    outgoing: Outgoing,
    /// Those that live.
    peers: BTreeMap<Address, Swim>,
    members: Told<MembersChanged>,
    views: Told<ViewChanged>,
    routes: TopologyReader,
    refused: IntCounter,
    forgotten: IntCounterVec,
}

impl Stage {
    fn of(size: u8) -> Self {
        Self::with(size, config::Membership::default())
    }

    fn with(size: u8, settings: config::Membership) -> Self {
        Self::under(ShardMap::implicit(), size, settings)
    }

    fn under(map: ShardMap, size: u8, settings: config::Membership) -> Self {
        let (topology, routes) = watch::channel(Arc::new(Topology {
            own: address(1),
            map: map.clone(),
            view: Vec::new(),
            silent: Vec::new(),
        }));
        let uptime = Uptime::starting();
        let outgoing = Outgoing::default();
        let refused = IntCounter::new("refused", "of this test").unwrap();
        let forgotten = Metrics::new().members_forgotten.clone();
        let (to_broadcaster, members) = probe();
        let (to_causality, views) = probe();
        let parts = ViewParts {
            address: address(1),
            incarnation: life(1),
            view: (1..=size).map(address).collect(),
            map,
            topology,
            settings,
            rng: ChaCha8Rng::seed_from_u64(1),
            uptime,
            wall_clock: Arc::new(FixedClock),
            transport: Rc::new(outgoing.clone()),
            to_broadcaster,
            to_causality,
            datagrams_refused: refused.clone(),
            members_forgotten: forgotten.clone(),
        };
        Self {
            actor: View::new(parts).start(),
            depth: Depth::with_limit(1_000),
            uptime,
            outgoing,
            peers: (2..=size).map(|n| (address(n), swim(n))).collect(),
            members,
            views,
            routes,
            refused,
            forgotten,
        }
    }

    /// A stage on which all peers have been seen up.
    async fn with_all_up(size: u8) -> Self {
        Self::of(size).once_all_are_up(size).await
    }

    async fn once_all_are_up(self, size: u8) -> Self {
        let mut stage = self;
        let all: Vec<Address> = (1..=size).map(address).collect();
        stage
            .run_until(3_000, |stage| {
                stage.views_told().last() == Some(&all)
                    && stage.views.borrow().last().unwrap().incarnations.len() == all.len()
            })
            .await;
        stage
    }

    fn tell<M: Send + Unpin + 'static>(&self, message: M)
    where
        View: actix::Handler<causet::messages::mailbox::Mail<M>>,
    {
        let edge = Edge::new(&self.actor, &self.depth);
        assert!(edge.offer(message).is_ok(), "there is room");
    }

    async fn ask<M, T>(&self, message: impl FnOnce(Reply<T>) -> M) -> T
    where
        M: Send + Unpin + 'static,
        View: actix::Handler<causet::messages::mailbox::Mail<M>>,
    {
        let (reply, answer) = oneshot::channel();
        self.tell(message(reply));
        answer.await.expect("the actor answers")
    }

    async fn read_view(&self) -> Vec<Address> {
        self.ask(|reply| ReadView { reply }).await
    }

    async fn add(&self, number: u8) -> AddOutcome {
        let address = address(number);
        self.ask(|reply| AddReplica { address, reply }).await
    }

    async fn remove(&self, number: u8) -> RemoveOutcome {
        let address = address(number);
        let remove = |reply| RemoveReplica {
            address,
            forget: false,
            reply,
        };
        self.ask(remove).await
    }

    /// One millisecond: the peers get what was sent to them, act, and are heard.
    async fn step(&mut self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = self.uptime.now();
        let sent = self.outgoing.0.take();
        for (to, bytes) in sent {
            self.deliver(to, &bytes, now);
        }
        let due: Vec<Address> = self.peers.keys().copied().collect();
        for peer in due {
            self.peers.get_mut(&peer).unwrap().advance(now);
            self.pass_on(peer, now);
        }
    }

    /// To a peer, or to the actor; to the dead, nowhere.
    fn deliver(&mut self, to: Address, bytes: &Bytes, now: Millis) {
        if to == address(1) {
            let bytes = bytes.clone();
            self.tell(SwimDatagram { bytes });
        } else if let Some(peer) = self.peers.get_mut(&to) {
            let datagram = Datagram::parse(bytes).unwrap();
            peer.receive(&datagram, now).unwrap();
            self.pass_on(to, now);
        }
    }

    fn pass_on(&mut self, from: Address, now: Millis) {
        let datagrams = self.peers.get_mut(&from).unwrap().take_datagrams();
        for (to, bytes) in datagrams {
            self.deliver(to, &bytes, now);
        }
    }

    async fn run_for(&mut self, ms: Millis) {
        let end = self.uptime.now() + ms;
        while self.uptime.now() < end {
            self.step().await;
        }
    }

    async fn run_until(&mut self, limit: Millis, holds: impl Fn(&Self) -> bool) {
        let end = self.uptime.now() + limit;
        while !holds(self) {
            assert!(self.uptime.now() < end, "not within {limit} ms");
            self.step().await;
        }
    }

    fn views_told(&self) -> Vec<Vec<Address>> {
        let views = self.views.borrow();
        views.iter().map(|told| told.view.clone()).collect()
    }
}

fn origin(number: u8) -> Origin {
    Origin {
        address: address(number),
        incarnation: life(number),
    }
}

/// A heartbeat of this peer that knows nothing else.
fn heard(number: u8) -> Heard {
    Heard {
        from: origin(number),
        removals: Vec::new(),
        forgotten: Vec::new(),
        roster: Vec::new(),
        map: None,
    }
}

fn swim(number: u8) -> Swim {
    let timing = Timing {
        probe_period_ms: 250,
        probe_rtt_ms: 80,
        suspicion_ms: 1_000,
    };
    let identity = Identity::new(address(number), life(number));
    let rng = ChaCha8Rng::seed_from_u64(u64::from(number));
    Swim::new(identity, timing, rng)
}

#[test]
fn at_the_start_it_tells_its_state_once_and_announces_itself_to_all_of_view() {
    in_virtual_time(async {
        let mut stage = Stage::of(3);
        stage.peers.clear();
        assert_eq!(stage.read_view().await, view(&[1, 2, 3]));
        let to: Vec<Address> = stage.outgoing.0.borrow().iter().map(|d| d.0).collect();
        assert_eq!(to, view(&[2, 3]));
        stage.run_for(5_000).await;
        let member = |number| Member {
            address: address(number),
            removed: false,
            shard_peer: true,
        };
        let members = MembersChanged {
            members: vec![member(2), member(3)],
            removals: Vec::new(),
            forgotten: Vec::new(),
            map: ShardMap::implicit(),
        };
        assert_eq!(*stage.members.borrow(), [members]);
        let views = ViewChanged {
            view: view(&[1, 2, 3]),
            removed: false,
            members: view(&[1, 2, 3]),
            incarnations: vec![(address(1), life(1))],
            forgotten: Vec::new(),
            voids: 0,
            map: ShardMap::implicit(),
        };
        assert_eq!(*stage.views.borrow(), [views]);
    });
}

#[test]
fn a_lost_peer_is_reported_once_within_5_s() {
    in_virtual_time(async {
        let mut stage = Stage::with_all_up(3).await;
        stage.run_for(1_000).await;
        stage.views.borrow_mut().clear();
        stage.members.borrow_mut().clear();
        stage.peers.remove(&address(3));
        let told = |stage: &Stage| !stage.views.borrow().is_empty();
        stage.run_until(5_000, told).await;
        stage.run_for(20_000).await;
        assert_eq!(stage.views_told(), [view(&[1, 2])]);
        assert_eq!(*stage.members.borrow(), [], "it stays configured");
        assert_eq!(stage.read_view().await, view(&[1, 2]));
    });
}

#[test]
fn a_removed_peer_is_out_though_alive_until_a_put_names_it() {
    in_virtual_time(async {
        let mut stage = Stage::with_all_up(3).await;
        assert_eq!(stage.remove(3).await, RemoveOutcome::Removed);
        assert_eq!(stage.remove(3).await, RemoveOutcome::NotInView);
        stage.run_for(20_000).await;
        assert_eq!(stage.read_view().await, view(&[1, 2]));
        assert_eq!(stage.views_told().last(), Some(&view(&[1, 2])));
        let removal = Removal {
            address: address(3),
            incarnation: life(3),
            time: HlcTime {
                ms: 1_000_000,
                count: 0,
            },
            removed: true,
        };
        let told = stage.members.borrow().last().cloned().unwrap();
        assert_eq!(told.removals, [removal]);
        assert!(told.members[1].removed);
        assert_eq!(stage.add(3).await, AddOutcome::Added);
        assert_eq!(stage.add(3).await, AddOutcome::AlreadyPresent);
        assert_eq!(stage.read_view().await, view(&[1, 2, 3]));
    });
}

#[test]
fn a_mark_that_a_peer_knows_removes_this_node_itself() {
    in_virtual_time(async {
        let mut stage = Stage::with_all_up(2).await;
        let removal = Removal {
            address: address(1),
            incarnation: life(1),
            time: HlcTime { ms: 5, count: 0 },
            removed: true,
        };
        stage.tell(PeerHeard {
            heard: Heard {
                removals: vec![removal],
                ..heard(2)
            },
        });
        assert_eq!(stage.read_view().await, view(&[2]));
        let told = |stage: &Stage| stage.views.borrow().last().is_some_and(|v| v.removed);
        stage.run_until(10, told).await;
    });
}

#[test]
fn an_added_address_that_never_answers_is_dropped_after_the_grace() {
    in_virtual_time(async {
        let mut stage = Stage::with_all_up(2).await;
        assert_eq!(stage.add(9).await, AddOutcome::Added);
        stage.run_for(9_900).await;
        assert_eq!(stage.read_view().await, view(&[1, 2, 9]));
        let dropped = |stage: &Stage| stage.views_told().last() == Some(&view(&[1, 2]));
        stage.run_until(200, dropped).await;
        let told = stage.members.borrow().last().cloned().unwrap();
        assert_eq!(told.members.len(), 1);
    });
}

#[test]
fn leave_says_goodbye_to_all_and_then_nothing_more_whatever_comes() {
    in_virtual_time(async {
        let mut stage = Stage::with_all_up(12).await;
        stage.outgoing.0.borrow_mut().clear();
        stage.ask(|reply| Leave { reply }).await;
        let goodbyes = stage.outgoing.0.take();
        let told: std::collections::BTreeSet<Address> = goodbyes.iter().map(|d| d.0).collect();
        assert_eq!(told, stage.peers.keys().copied().collect());
        let now = stage.uptime.now();
        for (to, bytes) in goodbyes {
            stage.deliver(to, &bytes, now);
            let gone = |(identity, up): (Identity, bool)| identity.address == address(1) && !up;
            assert!(stage.peers[&to].members().any(gone), "{to} dropped it");
        }
        // They answer it that it counts as down, announce themselves, and probe each other.
        for peer in stage.peers.values_mut() {
            peer.announce(Identity::new(address(1), life(1)), now);
        }
        stage.run_for(20_000).await;
        assert_eq!(*stage.outgoing.0.borrow(), []);
    });
}

#[test]
fn a_renewed_incarnation_reaches_the_peers() {
    in_virtual_time(async {
        let mut stage = Stage::with_all_up(3).await;
        let incarnation = Incarnation::starting(9_000, 0);
        stage.tell(IncarnationRenewed { incarnation });
        let renewed = Identity::new(address(1), incarnation);
        let known = |stage: &Stage| {
            let mut peers = stage.peers.values();
            peers.all(|peer| peer.members().any(|member| member == (renewed, true)))
        };
        stage.run_until(3_000, known).await;
        assert_eq!(stage.read_view().await, view(&[1, 2, 3]));
    });
}

#[test]
fn what_is_no_swim_message_is_counted_and_changes_nothing() {
    in_virtual_time(async {
        let mut stage = Stage::with_all_up(2).await;
        let told = stage.views.borrow().len();
        for bytes in [&b""[..], b"GET / HTTP/1.1", &[0xff; 2_000]] {
            let bytes = Bytes::from_static(bytes);
            stage.tell(SwimDatagram { bytes });
        }
        assert_eq!(stage.read_view().await, view(&[1, 2]));
        assert_eq!(stage.refused.get(), 3);
        stage.run_for(2_000).await;
        assert_eq!(stage.views.borrow().len(), told);
    });
}

#[test]
fn what_requests_are_routed_by_is_shown_as_it_changes() {
    in_virtual_time(async {
        let stage = Stage::with_all_up(3).await;
        let shown = || Topology::clone(&stage.routes.borrow());
        assert_eq!(shown().view, view(&[1, 2, 3]));
        assert_eq!(shown().silent, []);
        let turned = |answers| LinkTurned {
            peer: address(2),
            answers,
        };
        stage.tell(turned(false));
        stage.read_view().await;
        assert_eq!(shown().silent, view(&[2]));
        stage.tell(turned(true));
        let map = ShardMap::first(&view(&[1, 2, 3, 4]), 2).unwrap();
        stage.tell(MapLearned { map: map.clone() });
        stage.read_view().await;
        assert_eq!(shown().silent, []);
        assert_eq!(shown().map, map);
        let told = stage.views.borrow().last().cloned().unwrap();
        assert_eq!(told.map, map);
        assert_eq!(told.members, view(&[1, 2, 3, 4]), "those it names belong");
    });
}
