//! Whole clusters of [`Membership`] over a network in memory that delays, loses and cuts, in
//! virtual time: the bounds of contract §3, over many seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::tests::{PARAMETERS, address};
use bytes::Bytes;

use super::*;

/// All nodes of a cluster start within this time (contract §3: 1 to 2 s).
const START_SPREAD_MS: u64 = 1_500;

struct Network {
    rng: ChaCha8Rng,
    now: Millis,
    /// By address; a killed node is not here.
    nodes: BTreeMap<Address, Membership>,
    /// By arrival, then in the order of sending.
    flying: BTreeMap<(Millis, u64), (Address, Address, Bytes)>,
    sent: u64,
    /// Of 100 datagrams.
    loss: u32,
    /// Nodes on the other side of the cut.
    cut: BTreeSet<Address>,
    /// What was logged: (when, by whom, what).
    log: Vec<(Millis, Address, Event)>,
    history: String,
}

impl Network {
    fn with_seed(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: 0,
            nodes: BTreeMap::new(),
            flying: BTreeMap::new(),
            sent: 0,
            loss: 0,
            cut: BTreeSet::new(),
            log: Vec::new(),
            history: String::new(),
        }
    }

    /// A cluster of `size` that has started, its views full.
    fn of(size: u8, seed: u64) -> Self {
        let mut network = Self::with_seed(seed);
        let view: Vec<Address> = (1..=size).map(address).collect();
        let mut starts: Vec<(Millis, Address)> = view
            .iter()
            .map(|a| (network.rng.random_range(0..START_SPREAD_MS), *a))
            .collect();
        starts.sort_unstable();
        for (at, address) in starts {
            network.run_until(at);
            network.start(address, &view);
        }
        let within = network.time_until(3_000, |n| n.all_up() && n.views_are(&view));
        assert!(within.is_some(), "seed {seed}: views full within 3 s");
        let pause = network.rng.random_range(0..2_000);
        // So that faults strike at any phase of the probing.
        network.run_for(pause);
        network
    }

    fn start(&mut self, address: Address, view: &[Address]) {
        let life = Incarnation::starting(1_000_000 + self.now, self.rng.random());
        let identity = Identity::new(address, life);
        let rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        let node = Membership::new(
            PARAMETERS,
            identity,
            view,
            ShardMap::implicit(),
            rng,
            self.now,
        );
        self.nodes.insert(address, node);
        self.step(address, Membership::tick);
    }

    /// Lets `address` act and performs what comes of it.
    fn step(&mut self, address: Address, act: impl FnOnce(&mut Membership, Millis) -> Vec<Effect>) {
        let Some(node) = self.nodes.get_mut(&address) else {
            return;
        };
        for effect in act(node, self.now) {
            match effect {
                Effect::Send { to, bytes } => self.send(address, to, bytes),
                Effect::Log(event) => {
                    writeln!(self.history, "{} {address} {event:?}", self.now).unwrap();
                    self.log.push((self.now, address, event));
                }
                Effect::MembersChanged { .. } | Effect::ViewChanged { .. } => {}
            }
        }
    }

    fn send(&mut self, from: Address, to: Address, bytes: Bytes) {
        assert!(bytes.len() <= super::super::swim::DATAGRAM_MAX);
        self.sent += 1;
        if self.rng.random_range(0..100) >= self.loss {
            let arrival = self.now + self.rng.random_range(0..4);
            self.flying.insert((arrival, self.sent), (from, to, bytes));
        }
    }

    fn next_due(&self) -> Option<(Millis, Option<Address>)> {
        let wakes = self.nodes.iter().filter_map(|(address, node)| {
            let due = node.next_due()?;
            Some((due, Some(*address)))
        });
        let arrival = self
            .flying
            .first_key_value()
            .map(|((at, _), _)| (*at, None));
        wakes.chain(arrival).min()
    }

    /// Does the next thing, if it is due by `end`.
    fn advance(&mut self, end: Millis) -> bool {
        let Some((due, who)) = self.next_due().filter(|(due, _)| *due <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(due);
        match who {
            Some(address) => self.step(address, Membership::tick),
            None => self.deliver(),
        }
        true
    }

    fn deliver(&mut self) {
        let Some((_, (from, to, bytes))) = self.flying.pop_first() else {
            return;
        };
        if self.cut.contains(&from) == self.cut.contains(&to) {
            self.step(to, |node, now| {
                node.receive(&bytes, now).expect("peers send no nonsense")
            });
        }
    }

    fn run_until(&mut self, end: Millis) {
        while self.advance(end) {}
    }

    fn run_for(&mut self, ms: Millis) {
        self.run_until(self.now + ms);
    }

    /// How long it takes until `holds`; `None` if longer than `limit`.
    fn time_until(&mut self, limit: Millis, holds: impl Fn(&Self) -> bool) -> Option<Millis> {
        let start = self.now;
        while !holds(self) {
            if !self.advance(start + limit) {
                return holds(self).then_some(limit);
            }
        }
        Some(self.now - start)
    }

    /// Runs for `limit` and says from when on `held` was true; `None` if it is not true at the end.
    fn time_until_steady(
        &mut self,
        limit: Millis,
        holds: impl Fn(&Self) -> bool,
    ) -> Option<Millis> {
        let (start, mut since) = (self.now, None);
        loop {
            since = holds(self).then(|| since.unwrap_or(self.now - start));
            if !self.advance(start + limit) {
                return since;
            }
        }
    }

    /// Whether the views of all nodes that live are these.
    fn views_are(&self, view: &[Address]) -> bool {
        self.nodes.values().all(|node| node.view() == view)
    }

    fn view_of(&self, address: Address) -> Vec<Address> {
        self.nodes[&address].view()
    }

    /// Whether all nodes see each other up, not only by grace.
    fn all_up(&self) -> bool {
        self.nodes
            .values()
            .all(|node| node.peers.values().all(|peer| peer.up))
    }
}

fn addresses(size: u8) -> Vec<Address> {
    (1..=size).map(address).collect()
}

/// Runs `scenario` for each size and seed, and says the longest time it took.
fn worst(sizes: &[u8], seeds: u64, scenario: impl Fn(u8, u64) -> Option<Millis>) {
    for size in sizes {
        let mut longest = 0;
        for seed in 0..seeds {
            let took = scenario(*size, seed);
            let took = took.unwrap_or_else(|| panic!("{size} nodes, seed {seed}: too late"));
            longest = longest.max(took);
        }
        println!("{size} nodes: at most {longest} ms over {seeds} seeds");
    }
}

#[test]
fn a_killed_node_is_gone_from_all_views_within_5_s() {
    worst(&[3, 7, 12], 40, |size, seed| {
        let mut network = Network::of(size, seed);
        let rest = addresses(size - 1);
        network.nodes.remove(&address(size));
        let took = network.time_until(5_000, |n| n.views_are(&rest));
        network.run_for(10_000);
        assert!(network.views_are(&rest), "it stays out");
        let lost = Event::Lost(address(size));
        let told = network.log.iter().filter(|(_, _, event)| *event == lost);
        assert_eq!(told.count(), rest.len(), "each reports it once");
        took
    });
}

#[test]
fn a_node_cut_off_has_an_empty_view_within_5_s_and_the_others_lose_it() {
    worst(&[3, 7, 12], 40, |size, seed| {
        let mut network = Network::of(size, seed);
        let lone = address(size);
        network.cut.insert(lone);
        network.time_until(5_000, |n| {
            let others = addresses(size - 1);
            n.view_of(lone) == [lone] && others.iter().all(|a| n.view_of(*a) == others)
        })
    });
}

#[test]
fn several_cut_off_together_are_gone_within_5_s_and_the_others_from_their_views() {
    worst(&[5, 7], 40, |size, seed| {
        let mut network = Network::of(size, seed);
        let here = network.rng.random_range(2..size);
        let (here, there) = (addresses(here), addresses(size).split_off(here.into()));
        network.cut = there.iter().copied().collect();
        network.time_until(5_000, |n| {
            let sees = |side: &[Address]| side.iter().all(|a| n.view_of(*a) == side);
            sees(&here) && sees(&there)
        })
    });
}

#[test]
fn after_a_heal_all_views_are_full_within_3_s() {
    worst(&[3, 7, 12], 40, |size, seed| {
        let mut network = Network::of(size, seed);
        let far = network.rng.random_range(1..size);
        network.cut = addresses(far).into_iter().collect();
        let cut_for = network.rng.random_range(500..12_000);
        network.run_for(cut_for);
        network.cut.clear();
        let full = addresses(size);
        let took = network.time_until_steady(3_000, |n| n.views_are(&full) && n.all_up());
        network.log.clear();
        network.run_for(10_000);
        assert_eq!(network.log, [], "seed {seed}: it stays so");
        took
    });
}

#[test]
fn a_restarted_node_is_back_everywhere_within_3_s_whether_it_was_missed_or_not() {
    worst(&[3, 7, 12], 40, |size, seed| {
        let mut network = Network::of(size, seed);
        let full = addresses(size);
        let restarted = address(1);
        network.nodes.remove(&restarted);
        let down_for = network.rng.random_range(1..6_000);
        network.run_for(down_for);
        network.start(restarted, &full);
        let life = network.nodes[&restarted].incarnation(restarted);
        network.time_until(3_000, |n| {
            let known = n
                .nodes
                .values()
                .all(|node| node.incarnation(restarted) == life);
            known && n.views_are(&full) && n.all_up()
        })
    });
}

#[test]
fn one_datagram_in_ten_lost_removes_nobody_in_two_minutes() {
    for size in [3, 7, 12] {
        for seed in 0..4 {
            let mut network = Network::of(size, seed);
            network.log.clear();
            network.loss = 10;
            network.run_for(120_000);
            assert_eq!(network.log, [], "{size} nodes, seed {seed}");
            assert!(network.views_are(&addresses(size)));
        }
    }
}

#[test]
fn with_one_datagram_in_ten_lost_the_killed_are_still_gone_within_5_s() {
    worst(&[3, 7, 12], 30, |size, seed| {
        let mut network = Network::of(size, seed);
        network.loss = 10;
        network.nodes.remove(&address(size));
        network.time_until(5_000, |n| n.views_are(&addresses(size - 1)))
    });
}

#[test]
fn a_link_that_flaps_ends_in_full_views() {
    worst(&[3, 7], 30, |size, seed| {
        let mut network = Network::of(size, seed);
        for _ in 0..10 {
            network.cut = [address(1)].into();
            let closed = network.rng.random_range(50..3_000);
            network.run_for(closed);
            network.cut.clear();
            let open = network.rng.random_range(1..600);
            network.run_for(open);
        }
        let full = addresses(size);
        network.time_until(3_000, |n| n.views_are(&full) && n.all_up())
    });
}

#[test]
fn flapping_that_ends_in_a_cut_ends_in_an_empty_view() {
    worst(&[3, 7], 40, |size, seed| {
        let mut network = Network::of(size, seed);
        let lone = address(1);
        for _ in 0..5 {
            network.cut = [lone].into();
            let closed = network.rng.random_range(1_500..4_000);
            network.run_for(closed);
            network.cut.clear();
            let open = network.rng.random_range(1..300);
            network.run_for(open);
        }
        network.cut = [lone].into();
        network.time_until(5_000, |n| n.view_of(lone) == [lone])
    });
}

#[test]
fn who_says_goodbye_is_gone_from_all_views_at_once() {
    worst(&[3, 7, 12], 20, |size, seed| {
        let mut network = Network::of(size, seed);
        let leaver = address(size);
        network.step(leaver, Membership::leave);
        network.nodes.remove(&leaver);
        network.time_until(10, |n| n.views_are(&addresses(size - 1)))
    });
}

#[test]
fn a_newcomer_learns_from_the_first_it_reaches_who_is_down() {
    let mut network = Network::of(4, 1);
    network.nodes.remove(&address(4));
    network.run_for(5_000);
    network.nodes.remove(&address(1));
    network.run_for(5_000);
    network.start(address(1), &addresses(4));
    assert_eq!(network.view_of(address(1)), addresses(4), "awaited");
    let took = network.time_until(100, |n| n.views_are(&addresses(3)));
    assert!(took.is_some(), "long before its grace ends");
}

#[test]
fn one_seed_makes_one_history() {
    let history = |seed| {
        let mut network = Network::of(5, seed);
        network.loss = 20;
        network.cut = [address(1), address(2)].into();
        network.run_for(6_000);
        network.cut.clear();
        network.run_for(6_000);
        (network.history, network.sent)
    };
    assert_eq!(history(7), history(7));
    assert_ne!(history(7).0, history(8).0);
}
