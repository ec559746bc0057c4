//! A replica's core under whatever its peers send: no message breaks what it promises its clients.
//!
//! Checked after every step: the clock never goes back; what a push releases is next of its origin and
//! depends on nothing uncovered; the buffer keeps within its limits; no dot is made twice; metadata
//! that a client gets is taken back, and met here; what it says is understood elsewhere.
//! A peer may also send a join that contradicts itself ("forged"): after that, dependencies that it
//! left out may be unmet, and nothing else may break.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use causet::core::causal_buffer::BufferLimits;
use causet::core::causality::CausalState;
use causet::core::clock::{Clock, Relation};
use causet::core::id::{Domain, Dot, Key, Origin};
use causet::core::join::{Cut, JoinLimits, JoinSessions, Staged, Staging};
use causet::core::link::{Link, LinkRules, Standing};
use causet::core::metadata::Metadata;
use causet::core::repair::{Repair, RepairRules};
use causet::core::store::{Applied, Store};
use causet::core::wire::{Batch, Digest, Heartbeat, JoinAnswer, JoinPage, JoinRequest, Status};
use causet::core::write::{Content, Write};
use causet_fuzz::messages::{AnyBatch, AnyContent, AnyHeartbeat, AnyJoinRequest, AnyPage, us};
use causet_fuzz::names::{AnyKey, WALL_MS};
use causet_fuzz::{assert_understood, received};
use libfuzzer_sys::fuzz_target;

const DOMAIN: Domain = Domain::UNSHARDED;
const BUFFER: BufferLimits = BufferLimits {
    writes: 4,
    bytes: 2_048,
};
const SESSIONS: usize = 2;

#[derive(Arbitrary, Debug)]
enum Step {
    Push(AnyBatch),
    Page(AnyPage),
    Asked(AnyJoinRequest),
    Heartbeat(AnyHeartbeat),
    Put(AnyKey, AnyContent),
    Get(AnyKey),
    NewClient,
    Wait(u16),
}

struct Replica {
    state: CausalState,
    store: Store,
    sessions: JoinSessions,
    staging: Staging,
    link: Link,
    repair: Repair,
    now: u64,
    /// What the present client has observed, all of it here.
    client: Metadata,
    /// The key of every dot applied.
    applied: BTreeMap<Dot, Key>,
    /// Some peer has contradicted itself.
    forged: bool,
}

impl Replica {
    fn new() -> Self {
        let origin = Origin {
            address: us().address,
            incarnation: us().incarnation,
        };
        Self {
            state: CausalState::new(origin, DOMAIN, BUFFER),
            store: Store::new(),
            sessions: JoinSessions::new(JoinLimits {
                page_bytes: 512,
                sessions: SESSIONS,
                session_ms: 1_000,
            }),
            staging: Staging::new(),
            link: Link::new(LinkRules {
                break_ms: 500,
                outage_long_ms: 1_000,
                settle_ms: 2_500,
                settle_at_most_ms: 5_000,
            }),
            repair: Repair::new(RepairRules { patience_ms: 250 }),
            now: 0,
            client: Metadata::default(),
            applied: BTreeMap::new(),
            forged: false,
        }
    }

    fn take(&mut self, step: Step) {
        let before = self.state.clock().clone();
        let time = self.state.time();
        match step {
            Step::Push(batch) => self.push(batch.into()),
            Step::Page(page) => self.page(&page.into()),
            Step::Asked(request) => self.asked(&request.into()),
            Step::Heartbeat(heartbeat) => self.heartbeat(&heartbeat.into()),
            Step::Put(key, content) => self.put(key.into(), content.into()),
            Step::Get(key) => self.get(&key.into()),
            Step::NewClient => self.client = Metadata::default(),
            Step::Wait(ms) => self.now += u64::from(ms),
        }
        let relation = self.state.clock().relation(&before);
        assert!(matches!(relation, Relation::Equal | Relation::After));
        assert!(self.state.time() >= time);
        self.check();
    }

    fn push(&mut self, batch: Batch) {
        let Some(Ok(batch)) = received(&batch).map(Batch::check) else {
            return;
        };
        // As the actor does, before it asks the core.
        if batch.domain != DOMAIN {
            return;
        }
        let (count, parked_before) = (batch.writes.len(), self.state.buffer().writes());
        let mut model = self.state.clock().clone();
        let Ok(delivery) = self.state.deliver(batch) else {
            return;
        };
        let direct = delivery.ready.len() - delivery.released;
        assert_eq!(
            direct + delivery.parked + delivery.duplicates + delivery.dropped,
            count
        );
        assert!(delivery.gaps <= delivery.parked);
        assert!(delivery.released <= parked_before + delivery.parked);
        for write in &delivery.ready {
            raise(&mut model, write);
        }
        assert_eq!(&model, self.state.clock());
        self.apply(delivery.ready);
    }

    fn page(&mut self, page: &JoinPage) {
        let Some(page) = received(page) else {
            return;
        };
        match self.staging.stage(page) {
            Staged::AskFor(_) => {}
            Staged::Inconsistent => self.staging = Staging::new(),
            Staged::Complete(cut) => {
                self.staging = Staging::new();
                if !self.state.is_outlived(cut.from) {
                    self.install(cut);
                }
            }
        }
    }

    fn install(&mut self, cut: Cut) {
        self.forged |= contradicts_itself(&cut);
        let mut model = self.state.clock().clone();
        let news = |write: &&Write| !model.covers(&write.dot());
        let own = cut.writes.iter().filter(news).count();
        model.merge(&cut.clock);
        let writes = self.state.join(cut);
        for released in &writes[own..] {
            raise(&mut model, released);
        }
        assert_eq!(&model, self.state.clock());
        self.apply(writes);
        self.mind_own_life();
    }

    fn apply(&mut self, writes: Vec<Write>) {
        for write in writes {
            let key = write.key.clone();
            let known = self.applied.insert(write.dot(), key);
            self.forged |= known.is_some_and(|known| known != write.key);
            assert!(write.version.time <= self.state.time());
            self.store.apply(write);
        }
    }

    fn asked(&mut self, request: &JoinRequest) {
        let Some(request) = received(request).filter(|request| request.domain == DOMAIN) else {
            return;
        };
        let (state, store) = (&self.state, &self.store);
        let cut = || Cut {
            from: state.origin(),
            clock: state.clock().clone(),
            time: state.time(),
            writes: store.difference(&request.clock),
        };
        let answer = self.sessions.answer(&request, self.now, cut);
        assert_understood(&answer);
        if let JoinAnswer::Page(page) = answer {
            assert!(
                page.writes
                    .iter()
                    .all(|write| page.clock.covers(&write.dot()))
                    || self.forged
            );
        }
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat) {
        let Some(heartbeat) = received(heartbeat) else {
            return;
        };
        let digest = heartbeat.digest;
        self.link.met(digest.from.incarnation);
        self.link.answered(self.now, digest.from.incarnation);
        let may_join = self.link.may_join(self.now);
        assert!(!may_join || self.link.standing(self.now) != Standing::Broken);
        self.state.learn_life(digest.from);
        self.mind_own_life();
        if self.state.is_outlived(digest.from) || digest.domain != DOMAIN {
            return;
        }
        let have = self.state.clock();
        if self.repair.consider(&digest, have, may_join, self.now) {
            assert!(have.lacks_any(&digest.clock), "a join brings something");
            self.repair.ended();
        }
    }

    fn mind_own_life(&mut self) {
        if self.state.is_outlived(self.state.origin()) {
            self.state.renew(WALL_MS, 1);
        }
        assert!(!self.state.is_outlived(self.state.origin()));
    }

    fn put(&mut self, key: Key, content: Content) {
        // What it read may depend on a map that is not known here.
        if self.state.unmet(&self.client).is_some() {
            return;
        }
        let write = self.state.write(key, content, &self.client, WALL_MS);
        let again = self.applied.insert(write.dot(), write.key.clone());
        assert!(again.is_none() || self.forged, "no dot is made twice");
        assert_understood(&write);
        self.client.observe(DOMAIN, &write.version);
        let applied = self.store.apply(write);
        assert!(applied != Applied::Superseded, "stamped above all applied");
    }

    fn get(&mut self, key: &Key) {
        if let Some(version) = self.store.get(key) {
            self.client.observe(DOMAIN, version);
        }
    }

    fn check(&self) {
        let buffer = self.state.buffer();
        assert!(buffer.writes() <= BUFFER.writes && buffer.bytes() <= BUFFER.bytes);
        assert_eq!(buffer.writes() == 0, buffer.bytes() == 0);
        assert!(self.sessions.len() <= SESSIONS);
        let client = Metadata::from_json(&self.client.to_json());
        assert_eq!(client.as_ref(), Ok(&self.client));
        let summary = self.store.summary();
        if !self.forged {
            self.check_client();
            assert!(self.store.difference(self.state.clock()).is_empty());
            let all = self.store.difference(&Clock::new()).len();
            assert_eq!(all as u64, summary.keys + summary.tombstones);
        }
        assert_understood(&Heartbeat {
            digest: self.digest(),
            removals: Vec::new(),
            forgotten: Vec::new(),
        });
    }

    /// All that it has observed of this domain was here.
    fn check_client(&self) {
        let unmet = self.state.unmet(&self.client);
        assert_eq!(unmet.as_ref().and_then(|unmet| unmet.get(&DOMAIN)), None);
    }

    fn digest(&self) -> Digest {
        Digest {
            from: self.state.origin(),
            domain: DOMAIN,
            roster: Vec::new(),
            clock: self.state.clock().clone(),
            promise: self.state.time(),
            status: Status::Serving,
            pushing: false,
            admits: true,
            bootstrapped: true,
        }
    }
}

/// Covers the next write of its origin, all of whose dependencies are covered.
fn raise(model: &mut Clock, write: &Write) {
    let dot = write.dot();
    assert_eq!(
        model.get(&dot.origin) + 1,
        dot.counter,
        "next of its origin"
    );
    if let Some(deps) = write.version.deps.get(&DOMAIN) {
        assert!(!model.lacks_any(deps), "depends on nothing uncovered");
    }
    model.raise(dot.origin, dot.counter);
}

/// Whether a state difference holds writes that its own clock does not cover, or whose dependencies it
/// does not, or two of one dot.
fn contradicts_itself(cut: &Cut) -> bool {
    let lacking = |write: &Write| {
        let deps = write.version.deps.get(&DOMAIN);
        !cut.clock.covers(&write.dot()) || deps.is_some_and(|deps| cut.clock.lacks_any(deps))
    };
    let mut dots: Vec<Dot> = cut.writes.iter().map(Write::dot).collect();
    dots.sort_unstable();
    cut.writes.iter().any(lacking) || dots.windows(2).any(|pair| pair[0] == pair[1])
}

fuzz_target!(|steps: Vec<Step>| {
    let mut replica = Replica::new();
    for step in steps.into_iter().take(40) {
        replica.take(step);
    }
});
