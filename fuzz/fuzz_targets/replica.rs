//! A replica's core under whatever its peers send: no message breaks what it promises its clients.
//!
//! Checked after every step: what is covered never goes back, unless the replica was born again; what a push
//! releases is next of its origin and depends on nothing uncovered; the buffer keeps within its limits; no dot
//! is made twice; metadata that a client gets is taken back, and met here; what it says is understood elsewhere.
//! A peer may also send a join or a marker that contradicts itself ("forged"): after that, dependencies that it
//! left out may be unmet, and nothing else may break.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use causet::core::aside::Aside;
use causet::core::causal_buffer::BufferLimits;
use causet::core::causality::{CausalState, EndRules, Untaken, Unusable};
use causet::core::clock::Relation;
use causet::core::coverage::Coverage;
use causet::core::ended::EndedLimits;
use causet::core::id::{Address, Domain, Dot, Incarnation, Key, Origin};
use causet::core::join::{Cut, JoinLimits, JoinSessions, Staged, Staging};
use causet::core::link::{Link, LinkRules, Standing};
use causet::core::metadata::Metadata;
use causet::core::repair::{Repair, RepairRules};
use causet::core::store::{Applied, Store};
use causet::core::wire::{Batch, Digest, Heartbeat, JoinAnswer, JoinPage, JoinRequest, Status};
use causet::core::write::{Content, Write};
use causet_fuzz::messages::{AnyBatch, AnyContent, AnyHeartbeat, AnyJoinRequest, AnyPage, us};
use causet_fuzz::names::{AnyKey, AnyOrigin, WALL_MS, address};
use causet_fuzz::{assert_understood, received};
use libfuzzer_sys::fuzz_target;

const DOMAIN: Domain = Domain::UNSHARDED;
const BUFFER: BufferLimits = BufferLimits {
    writes: 4,
    bytes: 2_048,
};
const SESSIONS: usize = 2;
const ENDS: EndRules = EndRules {
    ended: EndedLimits {
        finals: 3,
        keep_ms: 10_000,
    },
    margin_ms: 100,
};

#[derive(Arbitrary, Debug)]
enum Step {
    Push(AnyBatch),
    Page(AnyPage),
    Asked(AnyJoinRequest),
    Heartbeat(AnyHeartbeat),
    Put(AnyKey, AnyContent),
    Get(AnyKey),
    NewClient,
    Members(Vec<u8>, Vec<AnyOrigin>),
    /// Time passes, and then a heartbeat.
    Wait(u16),
}

struct Replica {
    state: CausalState,
    store: Store,
    aside: Aside,
    forgotten: Vec<(Address, Incarnation)>,
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
            aside: Aside::new(),
            forgotten: Vec::new(),
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
        let before = (self.state.origin(), self.state.covered().clone());
        let time = self.state.time();
        match step {
            Step::Push(batch) => self.push(batch.into()),
            Step::Page(page) => self.page(&page.into()),
            Step::Asked(request) => self.asked(&request.into()),
            Step::Heartbeat(heartbeat) => self.heartbeat(&heartbeat.into()),
            Step::Put(key, content) => self.put(key.into(), content.into()),
            Step::Get(key) => self.get(&key.into()),
            Step::NewClient => self.client = Metadata::default(),
            Step::Members(members, forgotten) => self.set_members(&members, &forgotten),
            Step::Wait(ms) => self.wait(ms),
        }
        self.mind_own_life();
        if self.state.origin() == before.0 {
            let relation = self.state.covered().relation(&before.1);
            assert!(matches!(relation, Relation::Equal | Relation::After));
        }
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
        self.forged |= batch.writes.iter().any(is_marker);
        let (count, parked_before) = (batch.writes.len(), self.state.buffer().writes());
        let mut model = self.state.covered().clone();
        let delivery = match self.state.deliver(batch) {
            Ok(delivery) => delivery,
            Err(Untaken::LeftOut) => return self.be_reborn(),
            Err(Untaken::Superseded(_) | Untaken::Late | Untaken::Unagreed) => {
                return assert_eq!(&model, self.state.covered());
            }
        };
        assert!(delivery.gaps <= delivery.parked);
        assert!(delivery.released <= parked_before + delivery.parked);
        // What a marker says may be forged, and it is not for the store.
        if !self.forged {
            let direct = delivery.ready.len() - delivery.released;
            assert_eq!(
                direct + delivery.parked + delivery.duplicates + delivery.dropped,
                count
            );
            for write in &delivery.ready {
                raise(&mut model, write);
            }
            assert_eq!(&model, self.state.covered());
        }
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
                self.install(cut);
            }
        }
    }

    fn install(&mut self, cut: Cut) {
        let forged = contradicts_itself(&cut);
        let mut model = self.state.covered().clone();
        let covered = cut.covered.clone();
        let news = |write: &&Write| !model.covers(&write.dot());
        let own = cut.writes.iter().filter(news).count();
        let writes = match self.state.join(cut) {
            Ok(writes) => writes,
            Err(Unusable::LeftOut) => return self.be_reborn(),
            Err(_) => return assert_eq!(&model, self.state.covered()),
        };
        self.forged |= forged;
        model.merge(&covered);
        if !self.forged {
            for released in &writes[own..] {
                raise(&mut model, released);
            }
            assert_eq!(&model, self.state.covered());
        }
        self.apply(writes);
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
        let cut = || Cut { older: Vec::new(),
            from: state.origin(),
            covered: state.covered().clone(),
            time: state.time(),
            writes: store.difference(&request.covered),
            rest: state.rest(),
        };
        let answer = self.sessions.answer(&request, self.now, cut);
        assert_understood(&answer);
        if let JoinAnswer::Page(page) = answer {
            assert!(
                page.writes
                    .iter()
                    .all(|write| page.covered.covers(&write.dot()))
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
        let heeded = self.state.heed(&digest);
        self.mind_own_life();
        if !heeded {
            return;
        }
        let have = self.state.covered();
        if self.repair.consider(&digest, have, may_join, self.now) {
            assert!(have.is_behind(&digest.covered), "a join brings something");
            self.repair.ended();
        }
    }

    fn set_members(&mut self, members: &[u8], forgotten: &[AnyOrigin]) {
        let members: Vec<Address> = members.iter().map(|n| address(*n)).collect();
        let forgotten = forgotten.iter().map(|mark| (mark.address(), mark.life()));
        let forgotten = forgotten.filter(|(_, life)| received(life).is_some());
        let forgotten: BTreeMap<Address, Incarnation> = forgotten.collect();
        let forgotten: Vec<_> = forgotten.into_iter().collect();
        self.state.set_members(&members, &forgotten);
        let lives = self.state.lives();
        let void = |(address, life): &(Address, Incarnation)| lives.forgotten(address) < *life;
        let undone = self.forgotten.iter().any(void);
        self.forgotten = forgotten;
        if undone {
            self.be_reborn();
        }
    }

    /// What the actor does once in a heartbeat.
    fn wait(&mut self, ms: u16) {
        self.now += u64::from(ms);
        let wall_ms = WALL_MS + self.now;
        self.state.promise(wall_ms);
        for marker in self.state.end_lives(wall_ms) {
            assert!(is_marker(&marker));
            assert_understood(&marker);
        }
        self.state.give_up();
        let frontier = self.state.frontier(self.now, wall_ms, &ENDS);
        let _ = self.state.collect(frontier, &ENDS);
        self.store.collect(self.state.collected());
        self.state.expire_ended(&ENDS);
        assert!(self.state.ended().len() <= ENDS.ended.finals);
        if !self.state.may_write_again() {
            return;
        }
        let present = self.state.present();
        let settled = self.aside.settle(&present, &self.store);
        let issued = (self.state).write_again(settled, &present.given_up, wall_ms);
        for write in issued.expect("nothing has happened since") {
            self.apply_own(write);
        }
    }

    fn mind_own_life(&mut self) {
        if self.state.successor(self.state.origin()).is_some() {
            self.be_reborn();
        }
        assert_eq!(self.state.successor(self.state.origin()), None);
    }

    /// It has nothing then, and neither has its client.
    fn be_reborn(&mut self) {
        let before = self.state.origin();
        let origin = self.state.be_reborn(WALL_MS, 1);
        assert!(origin.incarnation > before.incarnation && origin == self.state.origin());
        assert_eq!(self.state.covered(), &Coverage::new());
        self.aside.put(self.store.drain());
        self.client = Metadata::default();
    }

    fn put(&mut self, key: Key, content: Content) {
        // What it read may depend on a map that is not known here.
        if let Some(missing) = self.state.unmet(&self.client) {
            self.state.wish_given_up(&missing);
            return;
        }
        // No client can end a life.
        let content = match content {
            Content::Ended(_) => Content::Tombstone,
            content => content,
        };
        let made = self.write(key, content, self.client.clone());
        self.client.observe(DOMAIN, &made.version);
    }

    fn write(&mut self, key: Key, content: Content, metadata: Metadata) -> Write {
        let write = self.state.write(key, content, metadata, WALL_MS + self.now);
        self.apply_own(write.clone());
        write
    }

    fn apply_own(&mut self, write: Write) {
        let again = self.applied.insert(write.dot(), write.key.clone());
        assert!(again.is_none() || self.forged, "no dot is made twice");
        assert_understood(&write);
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
            assert!(self.store.difference(self.state.covered()).is_empty());
            let all = self.store.difference(&Coverage::new()).len();
            assert_eq!(all as u64, summary.keys + summary.tombstones);
        }
        assert_understood(&Heartbeat {
            digest: self.digest(),
            removals: Vec::new(),
            forgotten: Vec::new(),
            map: None,
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
            roster: self.state.lives().roster(),
            covered: self.state.covered().clone(),
            promise: self.state.time(),
            status: Status::Serving,
            pushing: false,
            admits: true,
            bootstrapped: true,
            frontier: self.state.time(),
            aside: self.state.has_aside(),
            given_up: self.state.given_up().clone(),
        }
    }
}

fn is_marker(write: &Write) -> bool {
    matches!(write.version.content, Content::Ended(_))
}

/// Covers the next write of its origin, all of whose dependencies are covered.
fn raise(model: &mut Coverage, write: &Write) {
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

/// Whether a state difference holds writes that it does not cover itself, or whose dependencies it does not, or
/// two of one dot, or a marker.
fn contradicts_itself(cut: &Cut) -> bool {
    let lacking = |write: &Write| {
        let deps = write.version.deps.get(&DOMAIN);
        let covered = &cut.covered;
        let uncovered = deps.is_some_and(|deps| covered.lacks_any(deps));
        is_marker(write) || !covered.covers(&write.dot()) || uncovered
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
