//! §2: clients that roam between replicas, while replicas crash and wires break, never miss what they depend on.
//!
//! Every value says who wrote it, as which of its writes, and what its writer knew: for each key and
//! each writer the latest write seen. Who reads a value knows all that its writer knew. A read that
//! returns an earlier write of some writer than the reader knows of, or none at all, is a violation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::replica::{get, put};
use crate::support::waiting::{PATIENCE, now};
use crate::support::{Answer, Cluster, Replica, Request, V, always};

const KEYS: u64 = 5;
const CLIENTS: usize = 4;

/// Key → writer → the latest of its writes to that key that is known.
type Knowledge = BTreeMap<String, BTreeMap<String, u64>>;

/// Pseudo-random numbers: the same every time (Knuth's MMIX generator, upper bits).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// One client with the only two things that it remembers.
struct Client<'a> {
    name: String,
    ports: &'a [std::net::SocketAddr],
    dice: Dice,
    writes: u64,
    v: V,
    known: Knowledge,
    reads: u64,
    refused_in_a_row: u32,
}

impl<'a> Client<'a> {
    fn new(number: usize, ports: &'a [std::net::SocketAddr]) -> Self {
        Self {
            name: format!("c{number}"),
            ports,
            dice: Dice(u64::try_from(number).unwrap() + 1),
            writes: 0,
            v: V::none(),
            known: Knowledge::new(),
            reads: 0,
            refused_in_a_row: 0,
        }
    }

    /// Reads or writes a key at a replica; who is refused ten times over starts a new session, since
    /// what it depends on may have died with a replica.
    fn step(&mut self) {
        let key = format!("k{}", self.dice.below(KEYS));
        let served = if self.dice.below(2) == 0 {
            self.write(&key)
        } else {
            self.read(&key)
        };
        self.refused_in_a_row = if served { 0 } else { self.refused_in_a_row + 1 };
        if self.refused_in_a_row > 10 {
            (self.v, self.known) = (V::none(), Knowledge::new());
        }
    }

    /// `None` where nobody serves: down, starting, or without what this client depends on.
    fn ask(&mut self, request: Request) -> Option<Answer> {
        let replicas = u64::try_from(self.ports.len()).unwrap();
        let chosen = usize::try_from(self.dice.below(replicas)).unwrap();
        let mut connection = crate::support::Connection::open(self.ports[chosen]).ok()?;
        let answer = connection.ask(&request.header("Prefer", "wait=1")).ok()?;
        (answer.status != 503).then_some(answer)
    }

    fn write(&mut self, key: &str) -> bool {
        // A write whose answer is lost may have been made: its number is never used again.
        self.writes += 1;
        let value = json!({"by": self.name, "number": self.writes, "known": self.known});
        let Some(answer) = self.ask(put(key, &value.to_string(), &self.v)) else {
            return false;
        };
        assert!([200, 201].contains(&answer.status), "{answer:?}");
        self.v = answer.v();
        let writers = self.known.entry(key.to_owned()).or_default();
        // What it knew of the key is overwritten: of others' writes it can be shown later ones only.
        writers.insert(self.name.clone(), self.writes);
        true
    }

    fn read(&mut self, key: &str) -> bool {
        let Some(answer) = self.ask(get(key, &self.v)) else {
            return false;
        };
        let known = self.known.get(key).cloned().unwrap_or_default();
        if answer.status == 404 {
            assert!(known.is_empty(), "{key} is not there, known: {known:?}");
            return true;
        }
        let json = answer.expect(200).json();
        self.learn(key, &json["value"], &known);
        self.v = V::raw(json["causal-metadata"].to_string());
        self.reads += 1;
        true
    }

    fn learn(&mut self, key: &str, value: &Value, known: &BTreeMap<String, u64>) {
        let by = value["by"].as_str().unwrap().to_owned();
        let number = value["number"].as_u64().unwrap();
        let before = known.get(&by).copied().unwrap_or(0);
        let client = &self.name;
        assert!(
            number >= before,
            "{client} read {key} = {value}, knowing {known:?}"
        );
        let theirs: Knowledge = serde_json::from_value(value["known"].clone()).unwrap();
        for (key, writers) in theirs {
            for (writer, number) in writers {
                self.know(&key, &writer, number);
            }
        }
        self.know(key, &by, number);
    }

    fn know(&mut self, key: &str, writer: &str, number: u64) {
        let writers = self.known.entry(key.to_owned()).or_default();
        let known = writers.entry(writer.to_owned()).or_default();
        *known = number.max(*known);
    }
}

/// Lets clients roam while `disturb` does what it does; the number of reads that were checked.
fn roam(cluster: &mut Cluster, disturb: impl FnOnce(&mut Cluster)) -> u64 {
    let ports: Vec<_> = cluster.iter().map(Replica::client_address).collect();
    let over = AtomicBool::new(false);
    let (ports, over) = (&ports[..], &over);
    thread::scope(|scope| {
        let run = |number| {
            move || {
                let mut client = Client::new(number, ports);
                while !over.load(Ordering::SeqCst) {
                    client.step();
                }
                client.reads
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(run(n))).collect();
        disturb(cluster);
        over.store(true, Ordering::SeqCst);
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    })
}

fn let_them_roam(ms: u64) {
    always(now(), Duration::from_millis(ms), || {});
}

#[test]
fn roaming_clients_never_miss_what_they_depend_on() {
    let mut cluster = Cluster::of(3);
    let reads = roam(&mut cluster, |_| let_them_roam(2_000));
    assert!(reads > 100, "only {reads} reads");
    cluster.await_agreement(PATIENCE);
}

#[test]
fn roaming_clients_never_miss_what_they_depend_on_while_replicas_crash() {
    let mut cluster = Cluster::of(3);
    let reads = roam(&mut cluster, |cluster| {
        for crashed in [2, 1, 0, 2, 1] {
            let_them_roam(300);
            cluster[crashed].kill();
            let_them_roam(300);
            cluster[crashed].restart();
            cluster[crashed].await_ready();
        }
        let_them_roam(500);
    });
    assert!(reads > 100, "only {reads} reads");
    cluster.await_whole();
    cluster.await_agreement(PATIENCE);
}

#[test]
fn roaming_clients_never_miss_what_they_depend_on_while_replicas_freeze() {
    let mut cluster = Cluster::of(3);
    let reads = roam(&mut cluster, |cluster| {
        for (frozen, ms) in [(0, 300), (1, 900), (2, 1_500), (0, 3_000)] {
            let_them_roam(300);
            cluster[frozen].freeze();
            let_them_roam(ms);
            cluster[frozen].thaw();
        }
        let_them_roam(500);
    });
    assert!(reads > 100, "only {reads} reads");
    cluster.await_agreement(PATIENCE);
}

#[test]
fn roaming_clients_never_miss_what_they_depend_on_while_the_wire_is_cut() {
    let (mut cluster, wire) = Cluster::on_a_wire(3);
    let reads = roam(&mut cluster, |_| {
        for ms in [200, 700, 1_200, 100] {
            let_them_roam(300);
            wire.cut();
            let_them_roam(ms);
            wire.mend();
        }
        let_them_roam(3_000);
    });
    assert!(reads > 100, "only {reads} reads");
    cluster.await_agreement(PATIENCE);
}
