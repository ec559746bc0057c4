//! `PeerLink`: everything about one peer. Makes the calls to it, hands on what comes in from it, counts and logs.
//!
//! What is called when, what is given up and what may be used is `core::peer`'s to say.

use std::rc::Rc;
use std::time::Duration;

use actix::fut::ActorFutureExt;
use actix::{Actor, AsyncContext, Context, Handler, WrapFuture};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::core::Millis;
use crate::core::id::{Address, Incarnation};
use crate::core::link::{Change, LinkRules, Standing};
use crate::core::outbox::OutboxLimits;
use crate::core::peer::{
    Answered, Caller, Fetch, Fetched, Flight, Peer, Published, Push, Pushed, Turn,
};
use crate::core::wire::{
    self, Digest, Heartbeat, HeartbeatAnswer, JoinAnswer, PushAnswer, WireError,
};
use crate::messages::causality::{
    Deliver, DigestReceived, ExchangeDigest, JoinAdvanced, JoinEnded, OwnLifeSuperseded,
};
use crate::messages::mailbox::{Edge, Mail, Reply};
use crate::messages::peers::{
    FetchJoin, Flush, MarkRemoved, Publish, SendHeartbeat, TakeBatch, TakeHeartbeat,
};
use crate::messages::view::LinkTurned;
use crate::metrics::{Metrics, as_gauge};
use crate::time::Uptime;
use crate::transport::{Call, CallError, PeerTransport};

/// Heartbeats that may be unanswered at once; each lasts as long as it takes to break a link.
const HEARTBEATS_MAX: usize = 2;

/// Limits and times of every link.
#[derive(Debug, Clone, Copy)]
pub struct PeerLinkRules {
    /// When a link is broken, settling, steady.
    pub link: LinkRules,
    /// The outbox.
    pub outbox: OutboxLimits,
    /// Longest wait for the answer to a push or a page of a join.
    pub call_timeout: Duration,
}

/// Edges from a link up to `Causality`, and to `View`.
#[derive(Debug, Clone)]
pub struct PeerLinkEdges {
    /// A batch came in.
    pub deliver: Edge<Deliver>,
    /// A heartbeat came in.
    pub exchange: Edge<ExchangeDigest>,
    /// A heartbeat was answered.
    pub digest: Edge<DigestReceived>,
    /// A join goes on.
    pub advanced: Edge<JoinAdvanced>,
    /// A join has ended.
    pub joined: Edge<JoinEnded>,
    /// This node's own life is superseded.
    pub superseded: Edge<OwnLifeSuperseded>,
    /// To `View`: the peer has fallen silent, or answers again.
    pub turned: Edge<LinkTurned>,
}

/// What a [`PeerLink`] is made of; all but the peer is the same for every link of a node.
#[derive(Debug, Clone)]
pub struct PeerLinkParts {
    /// Limits and times.
    pub rules: PeerLinkRules,
    /// To `Causality`.
    pub edges: PeerLinkEdges,
    /// The gate to the network.
    pub transport: Rc<dyn PeerTransport>,
    /// Where it counts.
    pub metrics: Metrics,
    /// Its time.
    pub uptime: Uptime,
}

/// The actor; see the module.
#[derive(Debug)]
pub struct PeerLink {
    peer: Peer,
    /// Heartbeats that are unanswered now.
    heartbeats: usize,
    last_heartbeat: Option<SendHeartbeat>,
    /// Whether the peer answered when `View` was last told.
    told_answers: Option<bool>,
    flushing: Vec<Reply<()>>,
    parts: PeerLinkParts,
}

impl PeerLink {
    /// A link to `peer` that has not answered yet.
    pub fn new(peer: Address, parts: PeerLinkParts) -> Self {
        let rules = &parts.rules;
        Self {
            peer: Peer::new(peer, rules.link, rules.outbox),
            heartbeats: 0,
            last_heartbeat: None,
            told_answers: None,
            flushing: Vec::new(),
            parts,
        }
    }

    fn now(&self) -> Millis {
        self.parts.uptime.now()
    }

    fn address(&self) -> Address {
        self.peer.address()
    }

    /// Calls the peer; `then` gets its answer, or in words why there is none.
    fn call<A, T>(&self, call: Call, body: Vec<u8>, ctx: &mut Context<Self>, then: T)
    where
        A: DeserializeOwned,
        T: FnOnce(&mut Self, Result<A, String>, &mut Context<Self>) + 'static,
    {
        let timeout = match call {
            Call::Heartbeat => Duration::from_millis(self.parts.rules.link.break_ms),
            Call::Push | Call::Join | Call::Forward => self.parts.rules.call_timeout,
        };
        let transport = &self.parts.transport;
        let answer = transport.call(self.address(), call, body.into(), timeout);
        let handled = answer.into_actor(self).map(move |answer, link, ctx| {
            let answer = link.decode(call, answer);
            then(link, answer, ctx);
        });
        ctx.spawn(handled);
    }

    fn decode<A: DeserializeOwned>(
        &self,
        call: Call,
        answer: Result<Bytes, CallError>,
    ) -> Result<A, String> {
        let bytes = answer.map_err(|error| error.to_string())?;
        wire::decode(&bytes).map_err(|error: WireError| {
            let malformed = &self.parts.metrics.peer_messages_malformed;
            malformed.with_label_values(&[call.name()]).inc();
            error.to_string()
        })
    }

    // --- link ---

    fn send_heartbeat(&mut self, ctx: &mut Context<Self>) {
        self.note_standing();
        let Some(beat) = self.last_heartbeat.clone() else {
            return;
        };
        if self.heartbeats >= HEARTBEATS_MAX {
            return;
        }
        self.heartbeats += 1;
        let mut digest = Digest::clone(&beat.digest);
        self.peer.fill_in(&mut digest, self.now());
        let body = wire::encode(&Heartbeat {
            digest,
            removals: beat.removals.to_vec(),
            forgotten: beat.forgotten.to_vec(),
            map: beat.map.as_deref().cloned(),
        });
        self.call(Call::Heartbeat, body, ctx, Self::heartbeat_ended);
    }

    fn heartbeat_ended(
        &mut self,
        answer: Result<HeartbeatAnswer, String>,
        ctx: &mut Context<Self>,
    ) {
        self.heartbeats -= 1;
        match answer {
            Ok(answer) => self.heartbeat_answered(answer, ctx),
            Err(error) => log::debug!("heartbeat to {}: {error}", self.address()),
        }
        self.note_standing();
    }

    fn heartbeat_answered(&mut self, answer: HeartbeatAnswer, ctx: &mut Context<Self>) {
        match self.peer.answered(answer, self.now()) {
            Answered::Digest {
                digest,
                change,
                may_join,
            } => {
                self.note_change(change);
                self.parts.edges.digest.tell(DigestReceived {
                    digest: *digest,
                    may_join,
                });
                self.push_next(ctx);
            }
            Answered::Superseded(life) => self.tell_superseded(life),
            Answered::Unusable => {
                log::debug!("{} does not know this node yet", self.address());
            }
        }
    }

    fn tell_superseded(&self, incarnation: Incarnation) {
        let superseded = OwnLifeSuperseded { incarnation };
        self.parts.edges.superseded.tell(superseded);
    }

    fn note_change(&self, change: Change) {
        match change {
            Change::None => {}
            Change::Fresh => log::info!("link to {} is up", self.address()),
            Change::Answering(outage) => {
                let peer = self.address();
                log::info!("link to {peer} answers again after {outage} ms");
            }
        }
    }

    fn note_standing(&mut self) {
        let (peer, now) = (self.address(), self.now());
        let turn = self.peer.look(now);
        let standing = self.peer.standing(now);
        self.tell_whether_it_answers(self.peer.answers(now));
        let state = match standing {
            Standing::Broken => 0,
            Standing::Settling => 1,
            Standing::Steady => 2,
        };
        let gauge = &self.parts.metrics.link_state;
        gauge.with_label_values(&[&peer.to_string()]).set(state);
        match turn {
            Turn::None => {}
            Turn::Broke => {
                log::info!("link to {peer} is broken");
                self.parts.transport.disconnect(peer);
                self.note_outbox();
            }
            Turn::Steadied => log::info!("link to {peer} is steady"),
        }
    }

    /// Requests may go to it as soon as it answers, though no data yet.
    fn tell_whether_it_answers(&mut self, answers: bool) {
        if self.told_answers.replace(answers) != Some(answers) {
            let peer = self.address();
            self.parts.edges.turned.tell(LinkTurned { peer, answers });
        }
    }

    // --- pushes ---

    fn publish(&mut self, publish: Publish, ctx: &mut Context<Self>) {
        let Publish { domain, write } = publish;
        match self.peer.publish(domain, write, self.now()) {
            Published::Skipped => return,
            Published::Waiting => {}
            Published::Overflow => {
                let peer = self.address().to_string();
                log::info!("outbox for {peer} is full; it will be repaired by a join");
                let overflows = &self.parts.metrics.outbox_overflows;
                overflows.with_label_values(&[&peer]).inc();
                self.send_heartbeat(ctx);
            }
        }
        self.push_next(ctx);
    }

    fn push_next(&mut self, ctx: &mut Context<Self>) {
        if let Some(Push { flight, batch }) = self.peer.next_push(self.now()) {
            let body = wire::encode(&batch);
            self.call(Call::Push, body, ctx, move |link, answer, ctx| {
                link.push_ended(flight, &answer, ctx);
            });
        }
        self.note_outbox();
    }

    fn push_ended(
        &mut self,
        flight: Flight,
        answer: &Result<PushAnswer, String>,
        ctx: &mut Context<Self>,
    ) {
        self.count_push(answer);
        let known = answer.as_ref().ok();
        if let Some(life) = known.and_then(PushAnswer::later_life) {
            self.tell_superseded(life);
        }
        match self.peer.push_answered(flight, known.copied(), self.now()) {
            Pushed::Late => return,
            Pushed::Admitted(change) => {
                self.note_change(change);
                self.note_standing();
            }
            Pushed::GivenUp => log::debug!("push to {}: {answer:?}", self.address()),
        }
        self.push_next(ctx);
    }

    fn count_push(&self, answer: &Result<PushAnswer, String>) {
        let result = match answer {
            Ok(PushAnswer::Admitted) => "admitted",
            Ok(PushAnswer::Refused(refusal)) => refusal.name(),
            Err(_) => "failed",
        };
        let pushes = &self.parts.metrics.pushes;
        let peer = self.address().to_string();
        pushes.with_label_values(&[&peer, result]).inc();
    }

    /// To be called when the outbox, or what may be done with it, has changed.
    fn note_outbox(&mut self) {
        let gauge = &self.parts.metrics.outbox_writes;
        let peer = self.address().to_string();
        let waiting = as_gauge(self.peer.waiting());
        gauge.with_label_values(&[&peer]).set(waiting);
        if self.peer.is_flushed(self.now()) {
            for reply in self.flushing.drain(..) {
                let _ = reply.send(());
            }
        }
    }

    // --- what comes in ---

    fn take_heartbeat(&mut self, take: TakeHeartbeat, ctx: &mut Context<Self>) {
        let TakeHeartbeat { heartbeat, reply } = take;
        let digest = heartbeat.digest;
        match self.peer.called(&digest) {
            Caller::NewLife => {
                log::info!("{} announced itself", digest.from);
                self.send_heartbeat(ctx);
                self.push_next(ctx);
            }
            Caller::Known => self.push_next(ctx),
            Caller::Outlived => {}
        }
        let now = self.now();
        self.parts.edges.exchange.tell(ExchangeDigest {
            digest,
            may_join: self.peer.may_join(now),
            steady: self.peer.is_steady(now),
            removed: self.peer.is_removed(),
            reply,
        });
    }

    fn take_batch(&self, take: TakeBatch) {
        let TakeBatch { batch, reply } = take;
        match self.peer.refuses_batch(self.now()) {
            None => self.parts.edges.deliver.tell(Deliver {
                batch,
                removed: self.peer.is_removed(),
                reply,
            }),
            Some(refusal) => drop(reply.send(PushAnswer::Refused(refusal))),
        }
    }

    // --- joins ---

    fn ask_page(&self, fetch: Fetch, ctx: &mut Context<Self>) {
        let body = wire::encode(fetch.request());
        self.call(Call::Join, body, ctx, move |link, answer, ctx| {
            link.page_ended(fetch, answer, ctx);
        });
    }

    fn page_ended(
        &mut self,
        fetch: Fetch,
        answer: Result<JoinAnswer, String>,
        ctx: &mut Context<Self>,
    ) {
        let (from, asker) = (self.address(), fetch.request().from);
        let wants = fetch.request().wants.clone();
        match self.peer.fetched(fetch, answer, self.now()) {
            Fetched::Ask(fetch) => {
                self.parts.edges.advanced.tell(JoinAdvanced {
                    from,
                    asker,
                    wants,
                    progress: fetch.progress(),
                });
                self.ask_page(fetch, ctx);
            }
            Fetched::Ended(result) => self.parts.edges.joined.tell(JoinEnded {
                from,
                asker,
                wants,
                result: result.map_err(|error| error.to_string()),
            }),
        }
    }
}

impl Actor for PeerLink {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        let (peer, metrics) = (self.address().to_string(), &self.parts.metrics);
        let gauges = [&metrics.link_state, &metrics.outbox_writes];
        for gauge in gauges {
            // It has no such label if nothing was ever counted.
            let _ = gauge.remove_label_values(&[&peer]);
        }
        self.parts.transport.disconnect(self.address());
    }
}

impl Handler<Mail<SendHeartbeat>> for PeerLink {
    type Result = ();

    fn handle(&mut self, mail: Mail<SendHeartbeat>, ctx: &mut Context<Self>) {
        self.last_heartbeat = Some(mail.open());
        self.send_heartbeat(ctx);
    }
}

impl Handler<Mail<Publish>> for PeerLink {
    type Result = ();

    fn handle(&mut self, mail: Mail<Publish>, ctx: &mut Context<Self>) {
        self.publish(mail.open(), ctx);
    }
}

impl Handler<Mail<TakeHeartbeat>> for PeerLink {
    type Result = ();

    fn handle(&mut self, mail: Mail<TakeHeartbeat>, ctx: &mut Context<Self>) {
        self.take_heartbeat(mail.open(), ctx);
    }
}

impl Handler<Mail<TakeBatch>> for PeerLink {
    type Result = ();

    fn handle(&mut self, mail: Mail<TakeBatch>, _: &mut Context<Self>) {
        self.take_batch(mail.open());
    }
}

impl Handler<Mail<FetchJoin>> for PeerLink {
    type Result = ();

    fn handle(&mut self, mail: Mail<FetchJoin>, ctx: &mut Context<Self>) {
        let request = mail.open().request;
        self.ask_page(Fetch::new(request, self.now()), ctx);
    }
}

impl Handler<Mail<MarkRemoved>> for PeerLink {
    type Result = ();

    fn handle(&mut self, mail: Mail<MarkRemoved>, _: &mut Context<Self>) {
        self.peer.set_removed(mail.open().removed);
        self.note_outbox();
    }
}

impl Handler<Mail<Flush>> for PeerLink {
    type Result = ();

    fn handle(&mut self, mail: Mail<Flush>, _: &mut Context<Self>) {
        self.flushing.push(mail.open().reply);
        self.note_outbox();
    }
}
