//! A few replicas without actors or network: states and stores that exchange batches and joins in
//! any order, under clients that roam.

use std::collections::BTreeMap;
use std::sync::Arc;

use causet::core::causal_buffer::BufferLimits;
use causet::core::causality::CausalState;
use causet::core::clock::Relation;
use causet::core::coverage::Coverage;
use causet::core::id::{Domain, Dot, Key, ShardId};
use causet::core::join::{Cut, JoinLimits, JoinSessions, Staged, Staging, paged};
use causet::core::metadata::Metadata;
use causet::core::stamp::HlcTime;
use causet::core::store::{Store, Summary};
use causet::core::wire::{Batch, JoinAnswer, JoinRequest, Wants};
use causet::core::write::{Content, Value, Version, Write};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::names::origin;

pub(crate) const DOMAIN: Domain = Domain::UNSHARDED;
/// Another shard under the same map.
const ELSEWHERE: Domain = Domain {
    shard: ShardId(1),
    ..DOMAIN
};
pub(crate) const REPLICAS: usize = 4;
const CLIENTS: usize = 3;

const LIMITS: BufferLimits = BufferLimits {
    writes: 10_000,
    bytes: 1 << 30,
};

/// One replica's state and values.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) state: CausalState,
    pub(crate) store: Store,
    /// Its own writes of its present life.
    pub(crate) log: Vec<Write>,
}

impl Replica {
    pub(crate) fn new(n: usize) -> Self {
        let origin = origin(u8::try_from(n).unwrap());
        Self {
            state: CausalState::new(origin, DOMAIN, LIMITS),
            store: Store::new(),
            log: Vec::new(),
        }
    }

    fn apply(&mut self, writes: Vec<Write>) {
        for write in writes {
            self.store.apply(write);
        }
    }

    /// Takes a batch of one origin, unless a later life of its maker is known.
    pub(crate) fn deliver(&mut self, writes: Vec<Write>) {
        let batch = Batch {
            from: writes[0].dot().origin,
            domain: DOMAIN,
            writes,
        };
        let batch = batch.check().expect("of one origin, in order");
        if let Ok(delivery) = self.state.deliver(batch) {
            assert_eq!(delivery.dropped, 0, "the buffer is large");
            self.apply(delivery.ready);
        }
    }

    /// What an asker that covers `clock` lacks, through pages as the actors send them.
    pub(crate) fn cut(&self, asker: &CausalState) -> Cut {
        let mut sessions = JoinSessions::new(JoinLimits {
            page_bytes: 700,
            sessions: 1,
            session_ms: 1,
        });
        let mut request = JoinRequest {
            wants: Wants::State,
            claims: Vec::new(),
            from: asker.origin(),
            domain: DOMAIN,
            covered: asker.covered().clone(),
            session: 0,
            page: 0,
        };
        let mut staging = Staging::new();
        loop {
            let cut = || Cut {
                older: Vec::new(),
                from: self.state.origin(),
                covered: self.state.covered().clone(),
                time: self.state.time(),
                writes: self.store.difference(&request.covered),
                rest: self.state.rest(),
            };
            let JoinAnswer::Page(page) =
                sessions.answer(&request, 0, |limits| paged(cut(), limits.page_bytes))
            else {
                panic!("refused");
            };
            match staging.stage(page) {
                Staged::AskFor(page) => request.page = page,
                Staged::Complete(cut) => return cut,
                Staged::Inconsistent => panic!("one cut"),
            }
        }
    }

    pub(crate) fn join(&mut self, cut: Cut) {
        let joined = self.state.join(cut).expect("nothing has ended");
        self.apply(joined.writes);
    }

    pub(crate) fn summary(&self) -> (Summary, Coverage) {
        (self.store.summary(), self.state.covered().clone())
    }
}

/// Something happens. Numbers are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// A client writes, or deletes, a key at a replica whose wall clock shows this.
    Write {
        client: usize,
        at: usize,
        key: u8,
        delete: bool,
        wall_ms: u64,
    },
    /// A client reads a key at a replica.
    Read { client: usize, at: usize, key: u8 },
    /// A client reads, from another shard, the latest of so many writes of a node.
    ReadElsewhere {
        client: usize,
        counter: u64,
        wall_ms: u64,
    },
    /// A replica gets some of another's own writes.
    Push {
        from: usize,
        to: usize,
        first: usize,
        count: usize,
    },
    /// A replica joins what another has.
    Join { from: usize, to: usize },
    /// A replica is born again, with nothing.
    BeReborn { at: usize, wall_ms: u64 },
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    let (replica, client, key) = (|| 0..REPLICAS, || 0..CLIENTS, || 0_u8..5);
    prop_oneof![
        6 => (client(), replica(), key(), any::<bool>(), 0_u64..100_000).prop_map(
            |(client, at, key, delete, wall_ms)| Step::Write { client, at, key, delete, wall_ms }
        ),
        3 => (client(), replica(), key()).prop_map(|(client, at, key)| Step::Read { client, at, key }),
        1 => (client(), 1_u64..9, 0_u64..200_000).prop_map(
            |(client, counter, wall_ms)| Step::ReadElsewhere { client, counter, wall_ms }
        ),
        6 => (replica(), replica(), 0_usize..8, 1_usize..4).prop_map(
            |(from, to, first, count)| Step::Push { from, to, first, count }
        ),
        2 => (replica(), replica()).prop_map(|(from, to)| Step::Join { from, to }),
        1 => (replica(), 0_u64..100_000).prop_map(|(at, wall_ms)| Step::BeReborn { at, wall_ms }),
    ]
}

pub(crate) fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    vec(any_step(), 1..80)
}

/// As above, but nobody is born again, so pushes alone can bring everything.
pub(crate) fn any_steps_of_one_life() -> impl Strategy<Value = Vec<Step>> {
    let one_life =
        any_step().prop_filter("of one life", |step| !matches!(step, Step::BeReborn { .. }));
    vec(one_life, 1..80)
}

/// The replicas, their clients, and every write that was ever made.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) writes: BTreeMap<Dot, Write>,
    clients: Vec<Metadata>,
    /// What each replica has covered in its present life at the last check.
    covered: Vec<Coverage>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            replicas: (0..REPLICAS).map(Replica::new).collect(),
            writes: BTreeMap::new(),
            clients: vec![Metadata::default(); CLIENTS],
            covered: vec![Coverage::new(); REPLICAS],
        }
    }

    /// The cluster after these steps, checked after each.
    pub(crate) fn after(steps: Vec<Step>) -> Self {
        let mut cluster = Self::new();
        for step in steps {
            cluster.take(step);
            cluster.check();
        }
        cluster
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Write {
                client,
                at,
                key,
                delete,
                wall_ms,
            } => self.write(client, at, key, (delete, wall_ms)),
            Step::Read { client, at, key } => self.read(client, at, key),
            Step::ReadElsewhere {
                client,
                counter,
                wall_ms,
            } => {
                let version = Version {
                    dot: Dot {
                        origin: origin(0),
                        counter,
                    },
                    time: HlcTime {
                        ms: wall_ms,
                        count: 0,
                    },
                    first: None,
                    deps: Arc::default(),
                    content: Content::Tombstone,
                };
                self.clients[client].observe(ELSEWHERE, &version);
            }
            Step::Push {
                from,
                to,
                first,
                count,
            } => {
                let log = &self.replicas[from].log;
                let writes: Vec<Write> = log.iter().skip(first).take(count).cloned().collect();
                if from != to && !writes.is_empty() {
                    self.replicas[to].deliver(writes);
                }
            }
            Step::Join { from, to } => self.join(from, to),
            Step::BeReborn { at, wall_ms } => {
                let replica = &mut self.replicas[at];
                replica.state.be_reborn(wall_ms, 7);
                replica.store = Store::new();
                replica.log.clear();
                self.covered[at] = Coverage::new();
            }
        }
    }

    fn write(&mut self, client: usize, at: usize, key: u8, (delete, wall_ms): (bool, u64)) {
        let (replica, metadata) = (&mut self.replicas[at], &mut self.clients[client]);
        if replica.state.unmet(None, metadata).is_some() {
            return;
        }
        let content = if delete {
            Content::Tombstone
        } else {
            Content::Value(Value::new(&wall_ms.to_string()).unwrap())
        };
        let key = Key::new(&format!("k{key}")).unwrap();
        let clock = replica.state.covered().clone();
        let write = replica.state.write(key, content, metadata.clone(), wall_ms);
        let time = write.version.time;
        assert!(time > metadata.time, "above all that its client saw");
        let mut applied = self.writes.values().filter(|w| clock.covers(&w.dot()));
        assert!(
            applied.all(|earlier| earlier.version.time < time),
            "above all that was applied here"
        );
        metadata.observe(DOMAIN, &write.version);
        replica.store.apply(write.clone());
        replica.log.push(write.clone());
        let reused = self.writes.insert(write.dot(), write);
        assert!(reused.is_none(), "no dot is used twice");
    }

    fn read(&mut self, client: usize, at: usize, key: u8) {
        let (replica, metadata) = (&self.replicas[at], &mut self.clients[client]);
        let key = Key::new(&format!("k{key}")).unwrap();
        if replica.state.unmet(None, metadata).is_none()
            && let Some(version) = replica.store.get(&key)
        {
            metadata.observe(DOMAIN, version);
        }
    }

    pub(crate) fn join(&mut self, from: usize, to: usize) {
        let cut = self.replicas[from].cut(&self.replicas[to].state);
        self.replicas[to].join(cut);
    }

    /// Everybody hears of everybody: what ended lives have pushed and is parked is gone.
    pub(crate) fn hear_all(&mut self) {
        let lives: Vec<_> = self.replicas.iter().map(|r| r.state.origin()).collect();
        for replica in &mut self.replicas {
            for life in &lives {
                replica.state.learn_life(*life);
            }
        }
    }

    /// Everybody hears of everybody, and joins, until all have seen all.
    pub(crate) fn join_all(&mut self) {
        self.hear_all();
        for from in 0..REPLICAS {
            self.join(from, 0);
        }
        for to in 1..REPLICAS {
            self.join(0, to);
        }
        self.check();
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        for (replica, before) in self.replicas.iter().zip(&mut self.covered) {
            let clock = replica.state.covered();
            let relation = clock.relation(before);
            assert!(
                matches!(relation, Relation::Equal | Relation::After),
                "a clock never goes back"
            );
            before.clone_from(clock);
            let covered = || self.writes.values().filter(|w| clock.covers(&w.dot()));
            for write in covered() {
                let deps = write.version.deps.get(&DOMAIN);
                assert!(
                    deps.is_none_or(|deps| !clock.lacks_any(deps)),
                    "{clock:?} covers {write:?}, but not what it depends on"
                );
            }
            assert_eq!(winners_of(covered()).summary(), replica.store.summary());
        }
    }

    /// Every write of a version's past, as far as its metadata names it.
    pub(crate) fn past_of<'a>(&'a self, version: &'a Version) -> impl Iterator<Item = &'a Write> {
        let deps = version.deps.get(&DOMAIN);
        let named = move |write: &&Write| deps.is_some_and(|deps| deps.covers(&write.dot()));
        self.writes.values().filter(named)
    }
}

/// The store that holds, of these writes, for each key the one with the largest stamp.
pub(crate) fn winners_of<'a>(writes: impl Iterator<Item = &'a Write>) -> Store {
    let mut winners: BTreeMap<&Key, &Write> = BTreeMap::new();
    for write in writes {
        let winner = winners.entry(&write.key).or_insert(write);
        if write.version.stamp() > winner.version.stamp() {
            *winner = write;
        }
    }
    let mut store = Store::new();
    for winner in winners.into_values() {
        store.apply(Write {
            key: winner.key.clone(),
            version: Arc::clone(&winner.version),
        });
    }
    store
}
