//! A tiny causal store in memory, with the bugs that stores have, and clients that roam over it.

use std::collections::{BTreeMap, BTreeSet};

use causet::checker::{Absence, Action, FinalState, Held, History, Operation, Outcome};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What is wrong with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Nothing.
    None,
    /// Reads are served whatever they depend on.
    ReadsUnchecked,
    /// What a read returns does not cover what it read.
    ReadForgotten,
    /// What a write returns does not cover it.
    WriteForgotten,
    /// Writes are applied before what they depend on. Clients cannot tell: what a read returns names all that
    /// it depends on, so the next one is refused until that is there.
    DeliveryUnchecked,
    /// Reads now and then return an older version.
    OlderVersion,
    /// Some writes are acknowledged and dropped.
    WriteLost,
    /// The winner is not above what it depends on.
    TimeIgnoresPast,
    /// The last to arrive wins.
    ArrivalWins,
    /// Replicas forget deletes when they apply them.
    TombstoneDropped,
    /// Replicas now and then skip a delete that reaches them.
    DeleteSkipped,
}

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) operations: u64,
    pub(crate) keys: usize,
    /// How likely a write that may be applied at a replica is, between two operations.
    pub(crate) delivery: f64,
    pub(crate) bug: Bug,
    /// Whether answers name the deletes that they report.
    pub(crate) named: bool,
}

#[derive(Debug, Clone)]
struct Write {
    key: usize,
    value: Option<String>,
    time: (u64, usize),
    deps: BTreeSet<usize>,
}

#[derive(Debug, Clone, Default)]
struct Metadata {
    parents: Vec<u64>,
    seen: BTreeSet<usize>,
    time: u64,
}

#[derive(Debug, Default)]
struct Replica {
    applied: BTreeSet<usize>,
    winners: BTreeMap<usize, usize>,
    time: u64,
}

struct Run {
    plan: Plan,
    random: ChaCha8Rng,
    writes: Vec<Write>,
    replicas: Vec<Replica>,
    clients: Vec<Metadata>,
    /// All metadata ever handed out.
    old: Vec<Metadata>,
    history: History,
}

const REPLICAS: usize = 3;
const CLIENTS: usize = 4;

/// One run of the store and its clients, the final state included.
pub(crate) fn run(plan: Plan) -> History {
    let mut run = Run {
        plan,
        random: ChaCha8Rng::seed_from_u64(plan.seed),
        writes: Vec::new(),
        replicas: (0..REPLICAS).map(|_| Replica::default()).collect(),
        clients: vec![Metadata::default(); CLIENTS],
        old: vec![Metadata::default()],
        history: History::default(),
    };
    for id in 0..plan.operations {
        run.deliver(plan.delivery);
        run.operate(id);
    }
    run.finish();
    run.history
}

impl Run {
    fn deliver(&mut self, probability: f64) -> bool {
        let mut moved = false;
        for replica in 0..REPLICAS {
            for write in 0..self.writes.len() {
                let applied = &self.replicas[replica].applied;
                if applied.contains(&write) || !self.random.random_bool(probability) {
                    continue;
                }
                let unchecked = self.plan.bug == Bug::DeliveryUnchecked;
                if unchecked || self.writes[write].deps.is_subset(applied) {
                    self.apply(replica, write);
                    moved = true;
                }
            }
        }
        moved
    }

    fn apply(&mut self, at: usize, write: usize) {
        let version = &self.writes[write];
        let replica = &mut self.replicas[at];
        replica.applied.insert(write);
        replica.time = replica.time.max(version.time.0);
        let holder = replica
            .winners
            .get(&version.key)
            .map(|w| self.writes[*w].time);
        let wins = holder.is_none_or(|time| version.time > time);
        let skips = self.plan.bug == Bug::DeleteSkipped && version.value.is_none();
        if skips && self.random.random_bool(0.3) {
            return;
        }
        if wins || self.plan.bug == Bug::ArrivalWins {
            replica.winners.insert(version.key, write);
            if version.value.is_none() && self.plan.bug == Bug::TombstoneDropped {
                replica.winners.remove(&version.key);
            }
        }
    }

    fn metadata(&mut self, client: usize) -> Metadata {
        let any = |run: &mut Self| run.old[run.random.random_range(0..run.old.len())].clone();
        match self.random.random_range(0..10) {
            0 => Metadata::default(),
            1 => any(self),
            2 => {
                let (mut one, other) = (self.clients[client].clone(), any(self));
                one.parents.extend(other.parents);
                one.seen.extend(other.seen);
                one.time = one.time.max(other.time);
                one
            }
            _ => self.clients[client].clone(),
        }
    }

    fn operate(&mut self, id: u64) {
        let client = self.random.random_range(0..CLIENTS);
        let replica = self.random.random_range(0..REPLICAS);
        let key = self.random.random_range(0..self.plan.keys);
        let sent = self.metadata(client);
        let action = match self.random.random_range(0..20) {
            0..9 => Action::Get,
            9..17 => Action::Put {
                value: format!("v{id}"),
            },
            _ => Action::Delete,
        };
        let lost = self.random.random_bool(0.05);
        let met = sent.seen.is_subset(&self.replicas[replica].applied);
        let unchecked = self.plan.bug == Bug::ReadsUnchecked && action == Action::Get;
        let mut answer = sent.clone();
        let outcome = if met || unchecked {
            self.serve(replica, key, &action, &mut answer)
        } else {
            Outcome::Refused
        };
        let outcome = if lost { Outcome::Unknown } else { outcome };
        let mut operation =
            Operation::new(id, &format!("k{key}"), action, outcome).after(&sent.parents);
        operation.client = format!("c{client}");
        operation.replica = format!("r{replica}");
        operation.metadata = format!("{:?}", sent.seen);
        if operation.outcome.gives_metadata() {
            answer.parents = vec![id];
            self.old.push(answer.clone());
            self.clients[client] = answer;
        }
        self.history.operations.push(operation);
    }

    fn serve(
        &mut self,
        replica: usize,
        key: usize,
        action: &Action,
        answer: &mut Metadata,
    ) -> Outcome {
        let found = self.version(replica, key);
        let live = found.is_some_and(|w| self.writes[w].value.is_some());
        match action {
            Action::Put { value } => self.write(replica, key, Some(value.clone()), answer),
            Action::Delete if live => self.write(replica, key, None, answer),
            Action::Delete if self.is_overtaken(found, answer) => {
                let acknowledged = self.write(replica, key, None, answer);
                if self.plan.named {
                    acknowledged
                } else {
                    Outcome::Absent(Absence::Unnamed)
                }
            }
            _ => self.read(found, answer),
        }
    }

    /// Whether a DELETE writes though its key is gone: it was there a moment ago, and another DELETE, which the
    /// client has not seen, came first.
    fn is_overtaken(&mut self, found: Option<usize>, answer: &Metadata) -> bool {
        found.is_some_and(|w| !answer.seen.contains(&w)) && self.random.random_bool(0.5)
    }

    fn version(&mut self, replica: usize, key: usize) -> Option<usize> {
        if self.plan.bug == Bug::OlderVersion && self.random.random_bool(0.2) {
            let of_key = |w: &&usize| self.writes[**w].key == key;
            return self.replicas[replica].applied.iter().find(of_key).copied();
        }
        self.replicas[replica].winners.get(&key).copied()
    }

    fn write(
        &mut self,
        replica: usize,
        key: usize,
        value: Option<String>,
        answer: &mut Metadata,
    ) -> Outcome {
        let number = self.writes.len();
        let past = self.replicas[replica].time.max(answer.time) + 1;
        let skewed = self.random.random_range(0..100);
        let ignores = self.plan.bug == Bug::TimeIgnoresPast;
        let time = if ignores { skewed } else { past + skewed / 20 };
        let mut deps = answer.seen.clone();
        deps.remove(&number);
        self.writes.push(Write {
            key,
            value,
            time: (time, replica),
            deps,
        });
        if self.plan.bug == Bug::WriteLost && self.random.random_bool(0.1) {
            self.writes[number].deps.insert(usize::MAX);
        } else {
            self.apply(replica, number);
        }
        if self.plan.bug != Bug::WriteForgotten && self.replicas[replica].applied.contains(&number)
        {
            answer.seen.insert(number);
            answer.time = time;
        }
        Outcome::Acknowledged {
            identity: Some(dot(number)),
        }
    }

    fn read(&mut self, found: Option<usize>, answer: &mut Metadata) -> Outcome {
        let Some(write) = found else {
            return Outcome::Absent(self.named(Absence::Initial));
        };
        if self.plan.bug != Bug::ReadForgotten {
            answer.seen.insert(write);
            answer.seen.extend(&self.writes[write].deps);
            answer.time = answer.time.max(self.writes[write].time.0);
        }
        match &self.writes[write].value {
            Some(value) => Outcome::Found {
                value: value.clone(),
            },
            None => Outcome::Absent(self.named(Absence::By(dot(write)))),
        }
    }

    fn named(&self, absence: Absence) -> Absence {
        if self.plan.named {
            absence
        } else {
            Absence::Unnamed
        }
    }

    fn finish(&mut self) {
        while self.deliver(1.0) {}
        for (number, replica) in self.replicas.iter().enumerate() {
            let held = replica.winners.iter().map(|(key, write)| {
                let held = match &self.writes[*write].value {
                    Some(value) => Held::Value(value.clone()),
                    None => Held::Absent(self.named(Absence::By(dot(*write)))),
                };
                (format!("k{key}"), held)
            });
            let state = FinalState {
                replica: format!("r{number}"),
                held: held.collect(),
            };
            self.history.final_states.push(state);
        }
    }
}

fn dot(write: usize) -> String {
    format!("w#{write}")
}
