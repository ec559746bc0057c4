//! The simulated network: delays, loses, doubles, cuts and holds by seed, and remembers all that
//! passed as one hash.

mod deals;
mod state;
mod transport;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use serde::Serialize;
use tokio::time::Instant;

use self::state::{Look, State};
use self::transport::Transport;
use super::forwards::Performed;
use super::made::Made;
use super::run::Violation;
use super::traffic::{Traffic, UnderWay, Way};
use crate::core::id::{Address, MapId};
use crate::core::roster::RosterEntry;
use crate::core::wire::KvsAnswer;
use crate::http::forward::Forwarder;
use crate::node::Node;
use crate::transport::{Call, CallError, PeerTransport};

/// What the network does to every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Weather {
    /// Shortest way, in microseconds.
    pub delay_min_us: u64,
    /// Longest way, but for stragglers.
    pub delay_max_us: u64,
    /// In a thousand: ways that take up to a hundred times as long, and so are overtaken.
    pub stragglers: u32,
    /// In a thousand: messages lost.
    pub loss: u32,
    /// In a thousand: messages that arrive twice; a client's request that is passed on never does, nor over HTTP.
    pub doubles: u32,
}

impl Weather {
    /// Fast and faultless.
    pub const FAIR: Self = Self {
        delay_min_us: 100,
        delay_max_us: 2_000,
        stragglers: 0,
        loss: 0,
        doubles: 0,
    };
}

/// The network that all nodes share. Cheap to clone.
#[derive(Clone)]
pub struct Network(Rc<RefCell<State>>);

/// What happened on the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Messages sent.
    pub sent: u64,
    /// Of these lost by bad luck.
    pub lost: u64,
    /// Sent where the way was cut.
    pub cut: u64,
    /// Delivered twice.
    pub doubled: u64,
    /// Held because a node was paused.
    pub held: u64,
    /// Joins that were cut in the middle.
    pub joins_cut: u64,
}

impl Network {
    /// A network without nodes, in fair weather.
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(State::new(seed))))
    }

    /// The gate of one node to this network, for the life that begins now. What is left of a life that has ended sends
    /// nothing: its process is gone.
    pub fn transport(&self, me: Address) -> Rc<dyn PeerTransport> {
        let network = self.clone();
        let mut state = self.0.borrow_mut();
        let life = state.lives.entry(me).or_default();
        *life += 1;
        let life = *life;
        drop(state);
        Rc::new(Transport { me, life, network })
    }

    /// From now on `node` is reached at `address`.
    pub fn attach(&self, address: Address, node: Rc<Node>) {
        let mut state = self.0.borrow_mut();
        let forwarder = Rc::new(node.forwarder());
        state.forwarders.insert(address, forwarder);
        state.nodes.insert(address, node);
        state.looks.remove(&address);
        drop(state);
        self.note(|traffic, now_ms| traffic.begins(address, now_ms));
    }

    /// From now on nobody is reached at `address`.
    pub fn detach(&self, address: Address) -> Option<Rc<Node>> {
        let mut state = self.0.borrow_mut();
        state.ended.notify_waiters();
        state.nodes.remove(&address)
    }

    /// Lets go of all nodes, whose gates hold on to the network: else neither would ever be freed, nor the runtime that their timers are of.
    pub(super) fn clear(&self) {
        let mut state = self.0.borrow_mut();
        state.nodes.clear();
        state.forwarders.clear();
    }

    /// Waits until this life of the node is over.
    pub(super) async fn until_ended(&self, address: Address, node: &Rc<Node>) {
        let ended = self.0.borrow().ended.clone();
        loop {
            let notified = ended.notified();
            if !self.is_life(address, node) {
                return;
            }
            notified.await;
        }
    }

    /// The entrance there for requests that other nodes may have to answer.
    pub(super) fn forwarder(&self, address: Address) -> Option<Rc<Forwarder>> {
        let state = self.0.borrow();
        let forwarder = state.forwarders.get(&address).cloned();
        forwarder.filter(|_| state.nodes.contains_key(&address))
    }

    /// Who has performed a request that was passed on, and was answered so.
    pub(super) fn performed(&self, request: u64, answer: &KvsAnswer) -> Option<Rc<Performed>> {
        self.0.borrow().forwards.performed(request, answer)
    }

    /// Whether this request was passed on to anybody.
    pub(super) fn was_passed_on(&self, request: u64) -> bool {
        self.0.borrow().forwards.was_passed_on(request)
    }

    /// The writes that were made for requests that were passed on.
    pub(super) fn made(&self) -> BTreeMap<u64, Made> {
        self.0.borrow().forwards.made().clone()
    }

    /// How often what happened to requests that were passed on.
    pub(super) fn forwards(&self) -> BTreeMap<&'static str, u64> {
        self.0.borrow().forwards.counts().clone()
    }

    /// How often what happened when keys were dealt anew.
    pub(super) fn deals(&self) -> [(&'static str, u64); 2] {
        self.0.borrow().deals.counts()
    }

    /// Who is reached there.
    pub fn node(&self, address: Address) -> Option<Rc<Node>> {
        self.0.borrow().nodes.get(&address).cloned()
    }

    /// All that are reached.
    pub(super) fn nodes(&self) -> Vec<Rc<Node>> {
        self.0.borrow().nodes.values().cloned().collect()
    }

    /// Members may be forgotten in this run.
    pub(super) fn expect_strangers(&self) {
        self.0.borrow_mut().traffic.expect_strangers();
    }

    /// From now on what passes is not judged; for runs that are about something else, and long.
    pub(super) fn stop_judging(&self) {
        self.0.borrow_mut().judged = false;
    }

    /// Changes what happens to every message.
    pub fn set_weather(&self, weather: Weather) {
        self.0.borrow_mut().weather = weather;
    }

    /// From now on nothing passes from the one to the other; the way back is another matter.
    pub fn cut(&self, from: Address, to: Address) {
        self.0.borrow_mut().cut.insert((from, to));
    }

    /// Opens what [`Network::cut`] has closed.
    pub fn mend(&self, from: Address, to: Address) {
        self.0.borrow_mut().cut.remove(&(from, to));
    }

    /// Everything passes again; nobody is slow.
    pub fn heal(&self) {
        let mut state = self.0.borrow_mut();
        state.cut.clear();
        state.slow.clear();
        state.cut_next_join = false;
    }

    /// For `time`, nothing arrives at or leaves this node.
    pub fn pause(&self, node: Address, time: Duration) {
        let until = Instant::now() + time;
        self.0.borrow_mut().paused.insert(node, until);
    }

    /// From now on every way from or to this node takes this much longer.
    pub fn slow_down(&self, node: Address, by: Duration) {
        self.0.borrow_mut().slow.insert(node, by);
    }

    /// The next join that passes is cut after its first page, both ways, until the heal.
    pub fn cut_next_join(&self) {
        self.0.borrow_mut().cut_next_join = true;
    }

    /// How many events there were, and the hash of them all in their order.
    pub fn history(&self) -> (u64, u64) {
        let state = self.0.borrow();
        (state.count, state.events.digest())
    }

    /// What happened so far.
    pub fn tally(&self) -> Tally {
        self.0.borrow().tally
    }

    /// Sees whether the node was born again, or keeps another shard, since it was last looked at; that may have been right after.
    fn look(&self, address: Address) {
        let Some(node) = self.node(address) else {
            return;
        };
        let renewals = node.gateway().renewals();
        let domain = node.gateway().topology().map.domain_of(address);
        let now_ms = self.0.borrow().now_ms();
        let mut state = self.0.borrow_mut();
        let looked = state.looks.insert(
            address,
            Look {
                renewals,
                domain,
                at_ms: now_ms,
            },
        );
        drop(state);
        let known = looked.unwrap_or(Look {
            renewals: 0,
            domain,
            at_ms: now_ms,
        });
        if renewals > known.renewals {
            self.note(|traffic, now_ms| traffic.is_reborn(address, known.at_ms, now_ms));
        }
        if domain.map != known.domain.map {
            let topology = node.gateway().topology();
            let mut state = self.0.borrow_mut();
            let before = known.domain.map;
            state.deals.enters(address, before, &topology.map, now_ms);
            drop(state);
            self.note(|traffic, now_ms| traffic.is_dealt(address, known.at_ms, now_ms));
        } else if domain != known.domain {
            self.note(|traffic, now_ms| traffic.enters(address, known.at_ms, now_ms));
        }
    }

    /// The last heartbeat that a node has sent.
    pub(super) fn last_heartbeat(&self, from: Address) -> Option<Bytes> {
        self.0.borrow().heartbeats.get(&from).cloned()
    }

    /// A client's request was performed by this node.
    pub(super) fn note_served(&self, address: Address, node: &Rc<Node>) {
        if self.is_life(address, node) {
            self.look(address);
            self.note(|traffic, now_ms| traffic.serves(address, "answered a client", now_ms));
        }
    }

    /// No node has had anything to send since `time` ago.
    pub(super) fn note_rest(&self, time: Duration) {
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.note(|traffic, now_ms| traffic.rests(now_ms.saturating_sub(time_ms)));
    }

    /// Whether a node has told others that it has all of maps older than this one.
    pub(super) fn is_complete(&self, node: Address, map: MapId) -> bool {
        self.0.borrow().traffic.is_complete(node, map)
    }

    /// The members that this node has last told others of.
    pub(super) fn roster(&self, node: Address) -> Vec<RosterEntry> {
        self.0.borrow().traffic.roster(node).to_vec()
    }

    /// What was wrong with what has passed.
    pub fn violations(&self) -> Vec<Violation> {
        self.0.borrow().traffic.violations()
    }

    /// Whether this is what is reached there now, and not an earlier life of it.
    fn is_life(&self, address: Address, node: &Rc<Node>) -> bool {
        self.node(address).is_some_and(|now| Rc::ptr_eq(&now, node))
    }

    /// Waits while `node` is paused.
    pub async fn until_resumed(&self, node: Address) {
        loop {
            let until = self.0.borrow().paused.get(&node).copied();
            match until.filter(|until| *until > Instant::now()) {
                None => return,
                Some(until) => {
                    self.0.borrow_mut().tally.held += 1;
                    tokio::time::sleep_until(until).await;
                }
            }
        }
    }

    /// One way of a message; one that is lost is never heard of again.
    async fn travel(&self, from: Address, to: Address, what: &str, bytes: &[u8]) {
        self.until_resumed(from).await;
        let delay = self.0.borrow_mut().pass(from, to, what, bytes);
        match delay {
            Some(delay) => tokio::time::sleep(delay).await,
            None => std::future::pending().await,
        }
        self.until_resumed(to).await;
    }

    fn is_doubled(&self) -> bool {
        let mut state = self.0.borrow_mut();
        let chance = state.weather.doubles;
        let twice = chance > 0 && state.rng.random_range(0..1_000) < chance;
        state.tally.doubled += u64::from(twice);
        twice
    }

    /// Hands a call over and returns its answer, as the callee's HTTP layer would.
    async fn deliver(&self, way: Way, body: &[u8]) -> Result<Bytes, CallError> {
        self.note(|traffic, _| traffic.arrives(way, body));
        let refused = || CallError::Unreachable("connection refused".to_owned());
        let node = self.node(way.to).ok_or_else(refused)?;
        let renewals = node.gateway().renewals();
        let answer = node.gateway().peer_call(way.call, body).await;
        if way.call == Call::Forward && !self.is_life(way.to, &node) {
            // Its process is gone: nobody can tell what it has done.
            return Err(CallError::BrokenOff("connection reset".to_owned()));
        }
        let answer = answer.map_err(|_| CallError::Refused(503))?;
        if way.call == Call::Forward && renewals == node.gateway().renewals() {
            self.look_after(way, body, &answer, &node).await;
        }
        if way.call == Call::Join {
            self.0.borrow_mut().deals.gives(way.to, body, &answer);
        }
        if self.is_life(way.to, &node) {
            self.look(way.to);
            self.note(|traffic, now_ms| traffic.taken(way, body, &answer, now_ms));
        }
        Ok(answer)
    }

    /// Looks into a node that has just answered what was passed on to it.
    async fn look_after(&self, way: Way, body: &[u8], answer: &[u8], node: &Rc<Node>) {
        let asked = self.0.borrow_mut().forwards.answers(body, answer);
        let Some((asked, answer)) = asked else {
            return;
        };
        self.note_served(way.to, node);
        if let Some(performed) = Performed::look(node, &asked.key).await {
            let mut state = self.0.borrow_mut();
            state.forwards.performs(&asked, answer, performed);
        }
    }

    async fn call(
        self,
        from: Address,
        to: Address,
        call: Call,
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        let way = Way { from, to, call };
        match call {
            Call::Heartbeat => {
                let mut state = self.0.borrow_mut();
                state.heartbeats.insert(from, body.clone());
            }
            Call::Forward => self.0.borrow_mut().forwards.leaves(to, &body),
            Call::Push | Call::Join => {}
        }
        if call != Call::Forward && self.is_doubled() {
            let (network, body) = (self.clone(), body.clone());
            actix_rt::spawn(async move {
                network.travel(from, to, call.name(), &body).await;
                // Nobody waits for the second answer.
                let _ = network.deliver(way, &body).await;
            });
        }
        let caller = self.node(from);
        let under_way = caller
            .as_ref()
            .and_then(|life| self.begin(way, &body, life));
        self.travel(from, to, call.name(), &body).await;
        let answer = self.deliver(way, &body).await?;
        if call == Call::Join {
            self.0.borrow_mut().cut_join(from, to);
        }
        self.travel(to, from, call.name(), &answer).await;
        // What the caller's life before a crash has asked is nothing to its next one.
        if caller.is_some_and(|life| self.is_life(from, &life)) {
            let what = under_way.as_ref().map(|ongoing| &ongoing.what);
            self.note(|traffic, now_ms| traffic.answered(way, what, &answer, now_ms));
        }
        drop(under_way);
        Ok(answer)
    }

    fn begin(&self, way: Way, body: &[u8], caller: &Rc<Node>) -> Option<Ongoing> {
        let what = self.note(|traffic, now_ms| traffic.leaves(way, body, now_ms))?;
        Some(Ongoing {
            network: self.clone(),
            from: way.from,
            caller: caller.clone(),
            what,
        })
    }

    fn note<T: Default>(&self, note: impl FnOnce(&mut Traffic, u64) -> T) -> T {
        let mut state = self.0.borrow_mut();
        if !state.judged {
            return T::default();
        }
        let now_ms = state.now_ms();
        note(&mut state.traffic, now_ms)
    }

    async fn send(self, from: Address, to: Address, bytes: Bytes) {
        self.travel(from, to, "datagram", &bytes).await;
        if let Some(node) = self.node(to) {
            node.datagram(bytes);
        }
    }
}

/// A call under way, whose end matters also if its caller gives it up.
struct Ongoing {
    network: Network,
    from: Address,
    caller: Rc<Node>,
    what: UnderWay,
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        if self.network.is_life(self.from, &self.caller) {
            let ends = |traffic: &mut Traffic, now_ms| traffic.ends(self.from, &self.what, now_ms);
            self.network.note(ends);
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}
