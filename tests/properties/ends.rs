//! Lives end, deletes are collected, replicas are born again: a few replicas without actors or network that do
//! all this in any order, under clients that roam, with messages that are late, doubled or lost.
//!
//! Checked after every step: what a replica has is what it holds, or what outranks that; what a client depends on
//! is had where it is served, or it is told that it is lost, and then nobody has it. And in the end, when all hear
//! each other again: they hold the same, the newest of what is not lost; nothing that has ended is left in any clock,
//! no tombstone, and nothing is set aside.

use std::collections::{BTreeMap, BTreeSet};

use causet::core::aside::Aside;
use causet::core::causal_buffer::BufferLimits;
use causet::core::causality::{CausalState, EndRules, Untaken, Unusable};
use causet::core::ended::{EndedLimits, Lost};
use causet::core::id::{Address, Dot, Incarnation, Key, Origin};
use causet::core::inheritance::HandOvers;
use causet::core::join::Cut;
use causet::core::metadata::Metadata;
use causet::core::store::Store;
use causet::core::wire::{Batch, Digest, Status};
use causet::core::write::{Content, Value, Version, Write};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::cluster::DOMAIN;
use crate::names::address;

const NODES: usize = 3;
const CLIENTS: usize = 3;
const KEYS: u8 = 3;

const BUFFER: BufferLimits = BufferLimits {
    writes: 10_000,
    bytes: 1 << 30,
};

const ENDS: EndRules = EndRules {
    ended: EndedLimits {
        finals: 10_000,
        keep_ms: u64::MAX,
    },
    margin_ms: 2_000,
};

/// Wall time at the start.
const BEGAN_MS: u64 = 100_000;

/// Something happens. Indices pick among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// A client writes, or deletes, a key at a replica.
    Write {
        client: usize,
        at: usize,
        key: u8,
        delete: bool,
    },
    /// A client reads a key at a replica.
    Read { client: usize, at: usize, key: u8 },
    /// A replica gets some of the writes of one life, perhaps one that is over.
    Push {
        of: Index,
        to: usize,
        first: usize,
        count: usize,
    },
    /// A replica says how it is; that may be heard, late and by several.
    Say { at: usize },
    /// A replica hears one of the last things said.
    Hear { at: usize, what: Index },
    /// A replica asks another for what it lacks; the answer is under way.
    Fetch { from: usize, to: usize },
    /// One of the answers under way arrives.
    Land { which: Index },
    /// A replica's heartbeat: lives end, tombstones go, what is aside is looked at.
    Tick { at: usize },
    /// Time passes.
    Pass { ms: u64 },
    /// A replica loses its memory and starts again, its wall clock ahead or behind by this.
    Restart { at: usize, offset_ms: i64 },
    /// A replica that starts has found nobody, and serves.
    FindNobody { at: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    let (node, client, key) = (|| 0..NODES, || 0..CLIENTS, || 0..KEYS);
    prop_oneof![
        8 => (client(), node(), key(), any::<bool>())
            .prop_map(|(client, at, key, delete)| Step::Write { client, at, key, delete }),
        6 => (client(), node(), key()).prop_map(|(client, at, key)| Step::Read { client, at, key }),
        8 => (any::<Index>(), node(), 0_usize..6, 1_usize..6)
            .prop_map(|(of, to, first, count)| Step::Push { of, to, first, count }),
        6 => node().prop_map(|at| Step::Say { at }),
        12 => (node(), any::<Index>()).prop_map(|(at, what)| Step::Hear { at, what }),
        5 => (node(), node()).prop_map(|(from, to)| Step::Fetch { from, to }),
        5 => any::<Index>().prop_map(|which| Step::Land { which }),
        8 => node().prop_map(|at| Step::Tick { at }),
        4 => (0_u64..4_000).prop_map(|ms| Step::Pass { ms }),
        2 => (node(), -8_000_i64..8_000)
            .prop_map(|(at, offset_ms)| Step::Restart { at, offset_ms }),
        1 => node().prop_map(|at| Step::FindNobody { at }),
    ]
}

/// One replica.
struct Node {
    state: CausalState,
    store: Store,
    aside: Aside,
    bootstrapped: bool,
    offset_ms: i64,
}

impl Node {
    fn apply(&mut self, writes: Vec<Write>) {
        for write in writes {
            self.store.apply(write);
        }
    }

    /// Whether it has the write, or has had it: not only a floor above it.
    fn has(&self, dot: &Dot) -> bool {
        self.state.covered().clock().covers(dot)
            || self.state.ended().counter(&dot.origin) >= Some(dot.counter)
    }

    fn digest(&mut self, wall_ms: u64, now_ms: u64) -> Digest {
        let frontier = self.state.frontier(now_ms, wall_ms, &ENDS);
        Digest {
            hand_overs: HandOvers::default(),
            from: self.state.origin(),
            domain: DOMAIN,
            promise: self.state.promise(wall_ms),
            covered: self.state.covered().clone(),
            status: Status::Serving,
            pushing: false,
            admits: true,
            bootstrapped: self.bootstrapped,
            roster: self.state.lives().roster(),
            frontier,
            aside: self.state.has_aside(),
            given_up: self.state.given_up().clone(),
        }
    }
}

/// What a client holds: its metadata, and every write that it depends on and was not told to be lost.
#[derive(Default)]
struct Client {
    metadata: Metadata,
    past: BTreeSet<Dot>,
}

struct World {
    nodes: Vec<Node>,
    clients: Vec<Client>,
    now_ms: u64,
    /// Every write that was ever made, markers too.
    writes: BTreeMap<Dot, Write>,
    /// What each write's maker had, by what its client had: all that it depends on.
    pasts: BTreeMap<Dot, BTreeSet<Dot>>,
    /// By life: what it has pushed.
    logs: BTreeMap<Origin, Vec<Write>>,
    said: Vec<Digest>,
    under_way: Vec<(usize, Origin, Cut)>,
    told_lost: BTreeSet<Dot>,
    /// Every life that was ever begun.
    lived: BTreeSet<Origin>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            nodes: Vec::new(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            now_ms: 0,
            writes: BTreeMap::new(),
            pasts: BTreeMap::new(),
            logs: BTreeMap::new(),
            said: Vec::new(),
            under_way: Vec::new(),
            told_lost: BTreeSet::new(),
            lived: BTreeSet::new(),
        };
        for at in 0..NODES {
            let node = world.started(at, 0);
            world.nodes.push(node);
            world.nodes[at].bootstrapped = true;
        }
        world
    }

    /// A process that starts with nothing.
    fn started(&mut self, at: usize, offset_ms: i64) -> Node {
        let wall_ms = (BEGAN_MS + self.now_ms).saturating_add_signed(offset_ms);
        let address = address(u8::try_from(at).unwrap());
        let random = self.writes.len() as u64 + self.now_ms;
        let mut life = Incarnation::starting(wall_ms, random);
        // Twelve random bits keep lives apart.
        let mut origin = Origin {
            address,
            incarnation: life,
        };
        while !self.lived.insert(origin) {
            life = life.next();
            origin.incarnation = life;
        }
        let mut state = CausalState::new(origin, DOMAIN, BUFFER);
        state.set_members(&members(), &[]);
        Node {
            state,
            store: Store::new(),
            aside: Aside::new(),
            bootstrapped: false,
            offset_ms,
        }
    }

    fn wall_ms(&self, at: usize) -> u64 {
        (BEGAN_MS + self.now_ms).saturating_add_signed(self.nodes[at].offset_ms)
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Write {
                client,
                at,
                key,
                delete,
            } => self.write(client, at, key, delete),
            Step::Read { client, at, key } => self.read(client, at, key),
            Step::Push {
                of,
                to,
                first,
                count,
            } => {
                let logs: Vec<_> = self.logs.values().collect();
                if !logs.is_empty() {
                    let log = of.get(&logs).iter().skip(first).take(count);
                    self.push(to, log.cloned().collect());
                }
            }
            Step::Say { at } => {
                let digest = self.say(at);
                self.said.push(digest);
                let old = self.said.len().saturating_sub(12);
                self.said.drain(..old);
            }
            Step::Hear { at, what } => {
                if !self.said.is_empty() {
                    let digest = what.get(&self.said).clone();
                    self.hear(at, &digest);
                }
            }
            Step::Fetch { from, to } => {
                if let Some(cut) = self.cut(from, to) {
                    let asker = self.nodes[to].state.origin();
                    self.under_way.push((to, asker, cut));
                }
            }
            Step::Land { which } => {
                if !self.under_way.is_empty() {
                    let which = which.index(self.under_way.len());
                    let (to, asker, cut) = self.under_way.remove(which);
                    self.land(to, asker, cut);
                }
            }
            Step::Tick { at } => self.tick(at),
            Step::Pass { ms } => self.now_ms += ms,
            Step::Restart { at, offset_ms } => self.nodes[at] = self.started(at, offset_ms),
            Step::FindNobody { at } => self.nodes[at].bootstrapped = true,
        }
        for at in 0..NODES {
            self.mind_own_life(at);
        }
    }

    // --- what replicas do ---

    fn push(&mut self, to: usize, writes: Vec<Write>) {
        let Some(first) = writes.first() else { return };
        let from = first.dot().origin;
        if !self.nodes[to].bootstrapped || from == self.nodes[to].state.origin() {
            return;
        }
        let batch = Batch {
            from,
            domain: DOMAIN,
            writes,
        };
        match self.nodes[to].state.deliver(batch.check().unwrap()) {
            Ok(delivery) => self.nodes[to].apply(delivery.ready),
            Err(Untaken::LeftOut) => self.be_reborn(to),
            Err(Untaken::Superseded(_) | Untaken::Late | Untaken::Unagreed) => {}
        }
    }

    fn say(&mut self, at: usize) -> Digest {
        let wall_ms = self.wall_ms(at);
        self.nodes[at].digest(wall_ms, self.now_ms)
    }

    fn hear(&mut self, at: usize, digest: &Digest) {
        if digest.from != self.nodes[at].state.origin() {
            self.nodes[at].state.heed(digest);
        }
    }

    /// What the one lacks that the other has.
    fn cut(&self, from: usize, to: usize) -> Option<Cut> {
        let (source, asker) = (&self.nodes[from], &self.nodes[to]);
        let over = source.state.successor(asker.state.origin()).is_some();
        (from != to && source.bootstrapped && !over).then(|| Cut {
            older: Vec::new(),
            from: source.state.origin(),
            covered: source.state.covered().clone(),
            time: source.state.time(),
            writes: source.store.difference(asker.state.covered()),
            rest: source.state.rest(),
        })
    }

    fn land(&mut self, to: usize, asker: Origin, cut: Cut) {
        if self.nodes[to].state.origin() != asker {
            return;
        }
        match self.nodes[to].state.join(cut) {
            Ok(joined) => {
                self.nodes[to].apply(joined.writes);
                self.nodes[to].bootstrapped = true;
            }
            Err(Unusable::LeftOut) => self.be_reborn(to),
            Err(Unusable::Outlived(incarnation)) => {
                let own = Origin {
                    incarnation,
                    ..asker
                };
                self.nodes[to].state.learn_life(own);
            }
            Err(Unusable::Ended | Unusable::Late | Unusable::Unagreed) => {}
        }
    }

    fn tick(&mut self, at: usize) {
        let (wall_ms, now_ms) = (self.wall_ms(at), self.now_ms);
        let node = &mut self.nodes[at];
        if !node.bootstrapped {
            return;
        }
        for marker in node.state.end_lives(wall_ms) {
            let deps = marker
                .version
                .deps
                .get(&DOMAIN)
                .cloned()
                .unwrap_or_default();
            let named = self.writes.keys().filter(|dot| deps.covers(dot));
            let past = self.closure(named.copied().collect());
            self.note(marker, past);
        }
        let node = &mut self.nodes[at];
        node.state.give_up();
        let frontier = node.state.frontier(now_ms, wall_ms, &ENDS);
        let _ = node.state.collect(frontier, &ENDS);
        node.store.collect(node.state.collected());
        if !node.state.may_write_again() {
            return;
        }
        let present = node.state.present();
        let settled = node.aside.settle(&present, &node.store);
        let old: Vec<Dot> = settled.reissue.iter().map(Write::dot).collect();
        let issued = (node.state).write_again(settled, &present.given_up, wall_ms);
        let issued = issued.expect("nothing has happened since");
        node.apply(issued.clone());
        for (old, write) in old.into_iter().zip(issued) {
            let past = self.pasts[&old].clone();
            let past = past.into_iter().filter(|dot| self.nodes[at].has(dot));
            self.note(write, past.collect());
        }
    }

    fn mind_own_life(&mut self, at: usize) {
        let state = &self.nodes[at].state;
        if state.successor(state.origin()).is_some() {
            self.be_reborn(at);
        }
    }

    fn be_reborn(&mut self, at: usize) {
        let wall_ms = self.wall_ms(at);
        let node = &mut self.nodes[at];
        // Its random bits keep a life apart from those of earlier processes.
        while !self.lived.insert(node.state.be_reborn(wall_ms, 7)) {}
        node.aside.put(node.store.drain());
        node.bootstrapped = false;
    }

    fn note(&mut self, write: Write, past: BTreeSet<Dot>) {
        let dot = write.dot();
        self.pasts.insert(dot, past);
        self.logs.entry(dot.origin).or_default().push(write.clone());
        let reused = self.writes.insert(dot, write);
        assert!(reused.is_none(), "{dot} names two writes");
    }

    /// These, and all that they depend on.
    fn closure(&self, dots: BTreeSet<Dot>) -> BTreeSet<Dot> {
        let pasts = dots.iter().filter_map(|dot| self.pasts.get(dot));
        let pasts: BTreeSet<Dot> = pasts.flatten().copied().collect();
        dots.into_iter().chain(pasts).collect()
    }

    // --- what clients do ---

    /// Whether the client is served there; then it is told what is lost.
    fn is_served(&mut self, client: usize, at: usize) -> bool {
        let node = &mut self.nodes[at];
        let client = &mut self.clients[client];
        if !node.bootstrapped {
            return false;
        }
        if let Some(missing) = node.state.unmet(None, &client.metadata) {
            node.state.wish_given_up(&missing);
            return false;
        }
        let node = &self.nodes[at];
        let settlement = node.state.settlement().clone();
        let lost = settlement.lost(&client.metadata);
        let named = client.metadata.clocks.get(&DOMAIN).cloned();
        settlement.settle(&mut client.metadata);
        let is_lost = |dot: &Dot| is_among(&lost, dot);
        for dot in client.past.iter().filter(|dot| is_lost(dot)) {
            // Whoever still has it would have been asked before this was agreed on.
            let has = self.nodes.iter().position(|node| node.has(dot));
            assert_eq!(has, None, "{dot} was told to be lost at n{at}");
            self.told_lost.insert(*dot);
        }
        client.past.retain(|dot| !is_lost(dot));
        for dot in &client.past {
            assert!(
                node.has(dot),
                "n{at} lacks {dot}, and serves a client that has seen it"
            );
        }
        let node = &self.nodes[at];
        assert_eq!(
            node.state.unmet(None, &client.metadata),
            None,
            "the marker is met here"
        );
        let agreed = |(origin, _): (Origin, u64)| node.state.ended().counter(&origin).is_some();
        if named.is_some_and(|named| named.iter().any(agreed)) {
            let empty = CausalState::new(node.state.origin(), DOMAIN, BUFFER);
            let unmet = empty.unmet(None, &client.metadata);
            assert!(unmet.is_some(), "nobody who has lost its memory meets that");
        }
        true
    }

    fn write(&mut self, client: usize, at: usize, key: u8, delete: bool) {
        if !self.is_served(client, at) {
            return;
        }
        let wall_ms = self.wall_ms(at);
        let content = if delete {
            Content::Tombstone
        } else {
            Content::Value(Value::new(&self.writes.len().to_string()).unwrap())
        };
        let metadata = self.clients[client].metadata.clone();
        let node = &mut self.nodes[at];
        let write = node.state.write(key_of(key), content, metadata, wall_ms);
        node.apply(vec![write.clone()]);
        let past = self.clients[client].past.clone();
        self.note(write.clone(), past);
        self.observe(client, &write.version);
    }

    fn read(&mut self, client: usize, at: usize, key: u8) {
        if !self.is_served(client, at) {
            return;
        }
        let version = self.nodes[at].store.get(&key_of(key)).cloned();
        if let Some(version) = version {
            self.observe(client, &version);
        }
    }

    fn observe(&mut self, client: usize, version: &Version) {
        let past = self.closure(BTreeSet::from([version.dot]));
        let client = &mut self.clients[client];
        client.metadata.observe(DOMAIN, version);
        client.past.extend(past);
    }

    // --- what must hold ---

    fn check(&self) {
        for (at, node) in self.nodes.iter().enumerate() {
            let collected = node.state.collected();
            for write in self.writes.values().filter(|write| node.has(&write.dot())) {
                if matches!(write.version.content, Content::Ended(_)) {
                    continue;
                }
                let stamp = write.version.stamp();
                let holds = match node.store.get(&write.key) {
                    Some(version) => version.stamp() >= stamp,
                    None => write.version.time <= collected,
                };
                assert!(holds, "n{at} has {}, and holds less", write.dot());
            }
            assert!(node.state.lives().roster().len() == NODES);
        }
        for dot in &self.told_lost {
            let has = self.nodes.iter().position(|node| node.has(dot));
            assert_eq!(has, None, "{dot} was told to be lost");
        }
    }

    /// All hear each other, and more time passes than their clocks differ by.
    fn come_to_rest(&mut self) {
        self.said.clear();
        self.under_way.clear();
        for _ in 0..40 {
            self.now_ms += 1_000;
            if !self.nodes.iter().any(|node| node.bootstrapped) {
                self.nodes[0].bootstrapped = true;
            }
            for at in 0..NODES {
                let digest = self.say(at);
                for to in 0..NODES {
                    self.hear(to, &digest);
                    self.mind_own_life(to);
                }
            }
            for (from, to) in (0..NODES).flat_map(|a| (0..NODES).map(move |b| (a, b))) {
                let asker = self.nodes[to].state.origin();
                if let Some(cut) = self.cut(from, to) {
                    self.land(to, asker, cut);
                    self.mind_own_life(to);
                }
            }
            for at in 0..NODES {
                self.tick(at);
            }
            self.check();
        }
    }

    fn check_rest(&self) {
        let first = &self.nodes[0];
        for (at, node) in self.nodes.iter().enumerate() {
            assert!(node.bootstrapped, "n{at} serves");
            assert_eq!(node.state.covered(), first.state.covered(), "n{at}");
            assert_eq!(node.aside.len(), 0, "n{at} keeps nothing aside");
            assert_eq!(node.state.buffer().writes(), 0, "n{at}");
            assert_eq!(node.store.summary(), first.store.summary(), "n{at}");
            assert_eq!(node.store.summary().tombstones, 0, "n{at}");
            let origin = node.state.origin();
            let floor = first.state.covered().floor(&origin.address);
            assert_eq!(
                floor, origin.incarnation,
                "all earlier lives of n{at} are over"
            );
        }
        for key in (0..KEYS).map(key_of) {
            let had = self.writes.values().filter(|write| first.has(&write.dot()));
            let newest = had.filter(|write| write.key == key);
            let newest = newest.max_by_key(|write| write.version.stamp());
            let newest = newest.filter(|write| write.version.content.is_live());
            let held = first.store.get(&key);
            assert_eq!(held, newest.map(|write| &write.version), "{}", key.as_str());
        }
    }
}

fn members() -> Vec<Address> {
    (0..NODES)
        .map(|n| address(u8::try_from(n).unwrap()))
        .collect()
}

fn key_of(key: u8) -> Key {
    Key::new(&format!("k{key}")).unwrap()
}

fn is_among(lost: &Lost, dot: &Dot) -> bool {
    let range = lost.get(&dot.origin);
    range.is_some_and(|(from, to)| (*from..=*to).contains(&dot.counter))
}

proptest! {
    #[test]
    fn what_is_lost_is_told_what_is_deleted_stays_so_and_nothing_that_has_ended_is_left(
        steps in vec(any_step(), 1..200),
    ) {
        let mut world = World::new();
        for step in steps {
            world.take(&step);
            world.check();
        }
        world.come_to_rest();
        world.check_rest();
    }
}
