//! A replica's core under whatever its peers send: no message breaks what it promises its clients.
//!
//! Checked after every step: what is covered never goes back, unless the replica was born again; what a push
//! releases is next of its origin and depends on nothing uncovered; the buffer keeps within its limits; no dot
//! is made twice; metadata that a client gets is taken back, and met here; what it says is understood elsewhere. When keys
//! are dealt anew, it keeps what it had, claims all that it has of older maps, and is never less complete under one map.
//! A peer may also send a join or a marker that contradicts itself ("forged"): after that, dependencies that it
//! left out may be unmet, and nothing else may break.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arbitrary::Arbitrary;
use causet::core::aside::Aside;
use causet::core::causal_buffer::BufferLimits;
use causet::core::causality::{CausalState, EndRules, Joined, Untaken, Unusable};
use causet::core::clock::Relation;
use causet::core::coverage::Coverage;
use causet::core::ended::EndedLimits;
use causet::core::frozen::{Frozen, Share, held_for};
use causet::core::id::{Address, Domain, Dot, Incarnation, Key, MapId, Origin, ShardId};
use causet::core::inheritance::{Nodes, OlderWrites};
use causet::core::join::{Cut, JoinLimits, JoinSessions, Staged, Staging, paged};
use causet::core::link::{Link, LinkRules, Standing};
use causet::core::metadata::Metadata;
use causet::core::repair::{Repair, RepairRules};
use causet::core::sharding::map::Deal;
use causet::core::store::{Applied, Store};
use causet::core::wire::{
    Batch, Digest, Heartbeat, JoinAnswer, JoinPage, JoinRequest, Status, Wants,
};
use causet::core::write::{Content, Write};
use causet_fuzz::messages::{
    AnyBatch, AnyContent, AnyHeartbeat, AnyJoinRequest, AnyNodes, AnyPage, us,
};
use causet_fuzz::names::{AnyKey, AnyOrigin, WALL_MS, address, map};
use causet_fuzz::{assert_understood, received};
use libfuzzer_sys::fuzz_target;

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
    /// Who there is in the whole cluster.
    Nodes(AnyNodes),
    /// Keys are dealt to so many shards, and it keeps this one, or none.
    Dealt(u8, u8),
    /// From a donor.
    HandOver(AnyPage),
    /// From a donor, who was asked for these keys alone.
    Keys(Vec<AnyKey>, AnyPage),
    /// Time passes, and then a heartbeat.
    Wait(u16),
}

struct Replica {
    state: CausalState,
    store: Store,
    aside: Aside,
    /// What it had under older maps, each of which it keeps until all have it.
    frozen: Vec<Arc<Frozen>>,
    /// How often keys were dealt.
    deals: u8,
    /// The older domains of which it has had all that it ever had there under the present map.
    was: BTreeSet<Domain>,
    forgotten: Vec<(Address, Incarnation)>,
    sessions: JoinSessions<Vec<JoinPage>>,
    staging: Staging,
    link: Link,
    repair: Repair,
    now: u64,
    /// What the present client has observed, all of it here.
    client: Metadata,
    /// But for some of an older map.
    unmet: bool,
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
            state: CausalState::new(origin, Domain::UNSHARDED, BUFFER),
            store: Store::new(),
            aside: Aside::new(),
            frozen: Vec::new(),
            deals: 0,
            was: BTreeSet::new(),
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
            unmet: false,
            applied: BTreeMap::new(),
            forged: false,
        }
    }

    fn take(&mut self, step: Step) {
        let before = (self.state.origin(), self.state.covered().clone());
        let time = self.state.time();
        let closed = self.closed();
        match step {
            Step::Push(batch) => self.push(batch.into()),
            Step::Page(page) => self.page(&page.into()),
            Step::Asked(request) => self.asked(&request.into()),
            Step::Heartbeat(heartbeat) => self.heartbeat(&heartbeat.into()),
            Step::Put(key, content) => self.put(key.into(), content.into()),
            Step::Get(key) => self.get(&key.into()),
            Step::NewClient => self.come_anew(),
            Step::Members(members, forgotten) => self.set_members(&members, &forgotten),
            Step::Nodes(nodes) => self.set_nodes(nodes.into()),
            Step::Dealt(shards, own) => self.dealt(shards, own),
            Step::HandOver(page) => self.hand_over(&page.into()),
            Step::Keys(keys, page) => {
                let keys: Vec<Key> = keys.into_iter().map(Into::into).collect();
                self.hand_over_keys(&keys, &page.into());
            }
            Step::Wait(ms) => self.wait(ms),
        }
        self.mind_own_life();
        if self.state.origin() == before.0 {
            let relation = self.state.covered().relation(&before.1);
            assert!(matches!(relation, Relation::Equal | Relation::After));
            assert!(self.closed() >= closed);
        }
        assert!(self.state.time() >= time);
        self.check();
    }

    fn push(&mut self, batch: Batch) {
        let Some(Ok(batch)) = received(&batch).map(Batch::check) else {
            return;
        };
        // As the actor does, before it asks the core.
        if batch.domain != self.domain() {
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
                raise(&mut model, write, &self.domain());
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
        let forged = contradicts_itself(&cut, &self.domain()) | claims_too_little(&cut);
        let mut model = self.state.covered().clone();
        let covered = cut.covered.clone();
        let news = |write: &&Write| !model.covers(&write.dot());
        let own = cut.writes.iter().filter(news).count();
        let Joined { writes, older } = match self.state.join(cut) {
            Ok(joined) => joined,
            Err(Unusable::LeftOut) => return self.be_reborn(),
            Err(_) => return assert_eq!(&model, self.state.covered()),
        };
        self.forged |= forged;
        model.merge(&covered);
        if !self.forged {
            for released in &writes[own..] {
                raise(&mut model, released, &self.domain());
            }
            assert_eq!(&model, self.state.covered());
        }
        self.apply_older(older);
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
        let Some(request) = received(request) else {
            return;
        };
        if request.wants != Wants::State {
            return self.hands_over(&request);
        }
        if request.domain != self.domain() {
            return;
        }
        let (state, store) = (&self.state, &self.store);
        let claimed = |domain: &Domain| {
            let claim = request.claims.iter().find(|claim| claim.domain == *domain);
            claim.map(|claim| &claim.covered)
        };
        let cut = || Cut {
            older: store.older_difference(claimed),
            from: state.origin(),
            covered: state.covered().clone(),
            time: state.time(),
            writes: store.difference(&request.covered),
            rest: state.rest(),
        };
        let answer = self
            .sessions
            .answer(&request, self.now, |limits| paged(cut(), limits.page_bytes));
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
        if self.state.close_older_maps() {
            assert!(self.state.inherited().closed().is_some());
        }
        if self.state.inherited().may_let_go(self.state.origin()) {
            self.drop_frozen();
        }
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
        if self.state.lives().is_forgotten(&before) {
            self.drop_frozen();
        }
        let origin = self.state.be_reborn(WALL_MS, 1);
        assert!(origin.incarnation > before.incarnation && origin == self.state.origin());
        assert_eq!(self.state.covered(), &Coverage::new());
        self.store.drop_older();
        self.aside.put(self.store.drain());
        self.come_anew();
        self.was.clear();
        self.take_over_own();
    }

    fn set_nodes(&mut self, nodes: Nodes) {
        let known = |(address, life): &(Address, Incarnation)| {
            received(&Origin {
                address: *address,
                incarnation: *life,
            })
            .is_some()
                || *life == Incarnation::UNKNOWN
        };
        let Nodes {
            mut configured,
            mut forgotten,
            ..
        } = nodes;
        configured.retain(known);
        forgotten.retain(known);
        let nodes = Nodes {
            configured,
            forgotten,
            ..nodes
        };
        self.state.set_nodes(&nodes);
        let own = self.state.origin().address;
        let frozen = self.frozen.iter();
        let lives: Vec<_> = frozen.map(|frozen| (own, frozen.life)).collect();
        if self.state.inherited().is_any_forgotten(&lives) {
            self.drop_frozen();
        }
    }

    fn drop_frozen(&mut self) {
        self.frozen.clear();
        self.state.set_holds(Vec::new());
    }

    fn dealt(&mut self, shards: u8, own: u8) {
        if self.deals == u8::MAX {
            return;
        }
        self.deals += 1;
        let (before, claim) = (self.state.inherited().deal(), self.state.claim());
        let deal = Deal {
            since: map(self.deals),
            shards: u32::from(shards % 3) + 1,
        };
        let own = u32::from(own) % (deal.shards + 1);
        let domain = Domain {
            map: deal.since,
            shard: if own == deal.shards {
                ShardId::NONE
            } else {
                ShardId(own)
            },
        };
        let (earlier, time) = (self.state.origin(), self.state.time());
        let origin = (self.state).enter(domain, (deal, Some(before)), WALL_MS + self.now, 1);
        assert!(origin.incarnation > earlier.incarnation && self.state.time() == time);
        self.frozen.push(Arc::new(Frozen {
            deal: before,
            life: earlier.incarnation,
            claim,
            winners: std::mem::take(&mut self.store),
        }));
        let held = self.frozen.iter().map(|frozen| frozen.claim.domain);
        self.state.set_holds(held.collect());
        self.aside.clear();
        // What all keepers of the map before have is let go, and is not here before it was handed over.
        self.was.clear();
        self.take_over_own();
    }

    /// What it holds itself of older maps, and keeps.
    fn take_over_own(&mut self) {
        let Some(mut share) = self.share() else {
            return;
        };
        for frozen in &self.frozen {
            for older in frozen.difference(&share) {
                for write in older.writes {
                    self.store.apply_older(older.domain, write);
                }
            }
            share.claims.push(frozen.claim.clone());
        }
        let claims = self.frozen.iter().map(|frozen| frozen.claim.clone());
        self.state.take_over_own(claims.collect::<Vec<_>>());
        self.was.extend(self.frozen.iter().map(|f| f.claim.domain));
    }

    fn share(&self) -> Option<Share> {
        (self.domain().shard != ShardId::NONE).then(|| Share {
            domain: self.domain(),
            shards: self.state.inherited().deal().shards,
            claims: self.state.inherited().claims(),
        })
    }

    fn hand_over(&mut self, page: &JoinPage) {
        let mut staging = Staging::new();
        let Some(Staged::Complete(cut)) = received(page).map(|page| staging.stage(page)) else {
            return;
        };
        let from = cut.from;
        let forged = claims_too_little(&cut);
        let covered = self.state.covered().clone();
        let before = self.state.inherited().inherited();
        match self.state.take_over(cut) {
            Ok(older) => {
                self.forged |= forged;
                assert!(self.state.inherited().has_from(from));
                self.apply_older(older);
            }
            Err(_) => assert_eq!(before, self.state.inherited().inherited()),
        }
        assert_eq!(&covered, self.state.covered());
    }

    fn hand_over_keys(&mut self, keys: &[Key], page: &JoinPage) {
        let mut staging = Staging::new();
        let Some(Staged::Complete(cut)) = received(page).map(|page| staging.stage(page)) else {
            return;
        };
        let (before, forged) = (self.state.inherited().claims(), claims_too_little(&cut));
        if let Ok((older, too_many)) = self.state.take_keys(cut, keys) {
            self.forged |= forged;
            assert_eq!(too_many, 0);
            let asked = |write: &Write| keys.contains(&write.key);
            assert!(older.iter().flat_map(|older| &older.writes).all(asked));
            self.apply_older(older);
        }
        assert_eq!(before, self.state.inherited().claims(), "of other keys");
    }

    /// As the actors do, who ask the causal state first, and then the store.
    fn hands_over(&mut self, request: &JoinRequest) {
        let deal = self.state.inherited().deal();
        if request.domain.map != deal.since {
            return;
        }
        let share = Share {
            domain: request.domain,
            shards: deal.shards,
            claims: request.claims.clone(),
        };
        let older = match &request.wants {
            Wants::Keys(keys) => held_for(&self.frozen, &share, keys),
            Wants::HandOver | Wants::State => {
                let difference = |frozen: &Arc<Frozen>| frozen.difference(&share);
                self.frozen.iter().flat_map(difference).collect()
            }
        };
        let cut = || Cut {
            from: self.state.origin(),
            covered: Coverage::new(),
            time: self.state.time(),
            writes: Vec::new(),
            older,
            rest: self.state.rest(),
        };
        let answer = self
            .sessions
            .answer(request, self.now, |limits| paged(cut(), limits.page_bytes));
        assert_understood(&answer);
    }

    /// They are claimed already.
    fn apply_older(&mut self, older: Vec<OlderWrites>) {
        for OlderWrites { domain, writes } in older {
            for write in writes {
                let (key, origin) = (write.key.clone(), write.dot().origin);
                let known = self.applied.insert(write.dot(), key);
                self.forged |= known.is_some_and(|known| known != write.key);
                // No origin writes in two domains, and none of an older one in this.
                let elsewhere = self.store.older_domain(&origin);
                self.forged |= elsewhere.is_some_and(|elsewhere| elsewhere != domain);
                self.forged |= domain.map >= self.domain().map || is_marker(&write);
                self.forged |= self.state.covered().get(&origin) > 0;
                assert!(write.version.time <= self.state.time());
                self.store.apply_older(domain, write);
            }
        }
    }

    fn domain(&self) -> Domain {
        self.state.domain()
    }

    /// The latest map of which it has heard that those before it are closed.
    fn closed(&self) -> Option<MapId> {
        let closed = self.state.inherited().inherited().closed;
        closed.map(|closed| closed.map)
    }

    fn come_anew(&mut self) {
        (self.client, self.unmet) = (Metadata::default(), false);
    }

    fn put(&mut self, key: Key, content: Content) {
        let inherited = self.state.inherited();
        if inherited.deal().domain_of(&key) != self.domain() || !inherited.is_ready(&key) {
            return;
        }
        // What it read may depend on a map that is not known here.
        if let Some(missing) = self.state.unmet(Some(&key), &self.client) {
            self.state.wish_given_up(&missing);
            return;
        }
        // No client can end a life.
        let content = match content {
            Content::Ended(_) => Content::Tombstone,
            content => content,
        };
        let made = self.write(key, content, self.client.clone());
        self.client.observe(self.domain(), &made.version);
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
            let older = self.store.older_domain(&version.dot.origin);
            let domain = older.unwrap_or(self.domain());
            let mut seen = Metadata::default();
            seen.observe(domain, version);
            // It may follow what has not been handed over yet: only its own domain is looked at when it is delivered.
            let unmet = self.state.unmet(None, &seen);
            self.unmet |= self.was.iter().any(|domain| {
                let unmet = unmet.as_ref();
                unmet.is_some_and(|unmet| unmet.get(domain).is_some())
            });
            self.client.merge(&seen);
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
            let older = self.store.older_difference(|_| None);
            let older = older.iter().map(|older| older.writes.len());
            let older: usize = older.sum();
            let all = self.store.difference(&Coverage::new()).len() + older;
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
        let all = self.state.unmet(None, &self.client);
        let unmet = |domain: &Domain| all.as_ref().and_then(|unmet| unmet.get(domain));
        assert_eq!(unmet(&self.domain()), None);
        if self.domain().shard != ShardId::NONE && !self.unmet {
            for domain in &self.was {
                assert_eq!(unmet(domain), None, "{domain}");
            }
        }
    }

    fn digest(&self) -> Digest {
        Digest {
            from: self.state.origin(),
            domain: self.domain(),
            hand_overs: self.state.inherited().hand_overs(),
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
fn raise(model: &mut Coverage, write: &Write, domain: &Domain) {
    let dot = write.dot();
    assert_eq!(
        model.get(&dot.origin) + 1,
        dot.counter,
        "next of its origin"
    );
    if let Some(deps) = write.version.deps.get(domain) {
        assert!(!model.lacks_any(deps), "depends on nothing uncovered");
    }
    model.raise(dot.origin, dot.counter);
}

/// Whether a state difference holds writes that it does not cover itself, or whose dependencies it does not, or
/// two of one dot, or a marker.
fn contradicts_itself(cut: &Cut, domain: &Domain) -> bool {
    let lacking = |write: &Write| {
        let deps = write.version.deps.get(domain);
        let covered = &cut.covered;
        let uncovered = deps.is_some_and(|deps| covered.lacks_any(deps));
        is_marker(write) || !covered.covers(&write.dot()) || uncovered
    };
    let mut dots: Vec<Dot> = cut.writes.iter().map(Write::dot).collect();
    dots.sort_unstable();
    cut.writes.iter().any(lacking) || dots.windows(2).any(|pair| pair[0] == pair[1])
}

/// Whether it brings writes of older maps without the claims that go with them, or two of one dot.
fn claims_too_little(cut: &Cut) -> bool {
    let claimed = |domain: &Domain, dot: &Dot| {
        let mut claims = cut.rest.inherited.claims.iter();
        claims.any(|claim| claim.domain == *domain && claim.covered.covers(dot))
    };
    let mut dots = BTreeSet::new();
    let mut lacks = |domain: &Domain, dot: Dot| !claimed(domain, &dot) || !dots.insert(dot);
    let of = |older: &OlderWrites| older.writes.iter().map(Write::dot).collect::<Vec<_>>();
    let mut older = cut.older.iter();
    older.any(|older| of(older).into_iter().any(|dot| lacks(&older.domain, dot)))
}

fuzz_target!(|steps: Vec<Step>| {
    let mut replica = Replica::new();
    for step in steps.into_iter().take(40) {
        replica.take(step);
    }
});
