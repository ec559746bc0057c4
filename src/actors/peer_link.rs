//! `PeerLink`: everything about one peer. Pushes batches, one in flight; probes the link; fetches joins;
//! decides whether what comes in over the link may be used.

use std::rc::Rc;
use std::time::Duration;

use actix::fut::ActorFutureExt;
use actix::{Actor, AsyncContext, Context, Handler, WrapFuture};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::core::id::{Address, Domain, Dot, Incarnation};
use crate::core::join::{Cut, Staged, Staging};
use crate::core::link::{Change, Link, LinkRules, Standing};
use crate::core::outbox::{Outbox, OutboxLimits};
use crate::core::view::Removal;
use crate::core::wire::{
    self, Batch, Digest, Heartbeat, HeartbeatAnswer, JoinAnswer, JoinRequest, PushAnswer,
    PushRefusal, WireError,
};
use crate::messages::causality::{
    Deliver, DigestReceived, ExchangeDigest, JoinEnded, OwnLifeSuperseded,
};
use crate::messages::mailbox::{Edge, Mail, Reply};
use crate::messages::peers::{
    FetchJoin, Flush, MarkRemoved, Publish, SendHeartbeat, TakeBatch, TakeHeartbeat,
};
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

/// Edges from a link up to `Causality`.
#[derive(Debug, Clone)]
pub struct PeerLinkEdges {
    /// A batch came in.
    pub deliver: Edge<Deliver>,
    /// A heartbeat came in.
    pub exchange: Edge<ExchangeDigest>,
    /// A heartbeat was answered.
    pub digest: Edge<DigestReceived>,
    /// A join has ended.
    pub joined: Edge<JoinEnded>,
    /// This node's own life is superseded.
    pub superseded: Edge<OwnLifeSuperseded>,
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
    peer: Address,
    link: Link,
    outbox: Outbox,
    /// That of the writes in the outbox.
    domain: Domain,
    /// The latest write that an overflow has dropped, until the peer has it: no push will bring it.
    dropped: Option<Dot>,
    /// Whether the peer has said that it takes pushes.
    peer_admits: bool,
    peer_removed: bool,
    /// Raised when what is in flight is given up, so that its answer is not mistaken for a later one's.
    flight: u64,
    heartbeats: usize,
    last_heartbeat: Option<SendHeartbeat>,
    was: Standing,
    flushing: Vec<Reply<()>>,
    parts: PeerLinkParts,
}

impl PeerLink {
    /// A link to `peer` that has not answered yet.
    pub fn new(peer: Address, parts: PeerLinkParts) -> Self {
        Self {
            peer,
            link: Link::new(parts.rules.link),
            outbox: Outbox::new(parts.rules.outbox),
            domain: Domain::UNSHARDED,
            dropped: None,
            peer_admits: false,
            peer_removed: false,
            flight: 0,
            heartbeats: 0,
            last_heartbeat: None,
            was: Standing::Broken,
            flushing: Vec::new(),
            parts,
        }
    }

    fn standing(&self) -> Standing {
        self.link.standing(self.parts.uptime.now())
    }

    fn is_steady(&self) -> bool {
        self.standing() == Standing::Steady
    }

    /// Calls the peer; `then` gets its answer, or in words why there is none.
    fn call<A, T>(&self, call: Call, body: Vec<u8>, ctx: &mut Context<Self>, then: T)
    where
        A: DeserializeOwned,
        T: FnOnce(&mut Self, Result<A, String>, &mut Context<Self>) + 'static,
    {
        let timeout = match call {
            Call::Heartbeat => Duration::from_millis(self.parts.rules.link.break_ms),
            Call::Push | Call::Join => self.parts.rules.call_timeout,
        };
        let transport = &self.parts.transport;
        let answer = transport.call(self.peer, call, body.into(), timeout);
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
        digest.pushing = self.dropped.is_none() && !self.outbox.is_empty();
        digest.admits &= self.is_steady();
        let removals: Vec<Removal> = beat.removals.to_vec();
        let heartbeat = Heartbeat { digest, removals };
        let body = wire::encode(&heartbeat);
        self.call(Call::Heartbeat, body, ctx, Self::heartbeat_answered);
    }

    fn heartbeat_answered(
        &mut self,
        answer: Result<HeartbeatAnswer, String>,
        ctx: &mut Context<Self>,
    ) {
        self.heartbeats -= 1;
        match answer {
            Ok(HeartbeatAnswer::Digest(digest)) if digest.from.address == self.peer => {
                self.peer_answered(digest, ctx);
            }
            Ok(HeartbeatAnswer::Superseded(incarnation)) => {
                let superseded = OwnLifeSuperseded { incarnation };
                self.parts.edges.superseded.tell(superseded);
            }
            Ok(_) => log::debug!("{} does not know this node yet", self.peer),
            Err(error) => log::debug!("heartbeat to {}: {error}", self.peer),
        }
        self.note_standing();
    }

    fn peer_answered(&mut self, digest: Digest, ctx: &mut Context<Self>) {
        if digest.from.incarnation < self.link.peer_life() {
            return;
        }
        self.heard(digest.from.incarnation);
        self.peer_admits = digest.admits;
        self.dropped = self.dropped.filter(|dot| !digest.clock.covers(dot));
        let may_join = self.link.may_join(self.parts.uptime.now());
        let received = DigestReceived { digest, may_join };
        self.parts.edges.digest.tell(received);
        self.push_next(ctx);
    }

    /// The peer has answered something, in this life.
    fn heard(&mut self, life: Incarnation) {
        let now = self.parts.uptime.now();
        match self.link.answered(now, life) {
            Change::None => {}
            Change::Fresh => log::info!("link to {} is up", self.peer),
            Change::Answering(outage) => {
                log::info!("link to {} answers again after {outage} ms", self.peer);
                self.abandon_outbox();
            }
        }
        self.note_standing();
    }

    /// Acts on a link that has broken since it was last looked at.
    fn note_standing(&mut self) {
        let standing = self.standing();
        let state = match standing {
            Standing::Broken => 0,
            Standing::Settling => 1,
            Standing::Steady => 2,
        };
        let peer = self.peer.to_string();
        let gauge = &self.parts.metrics.link_state;
        gauge.with_label_values(&[&peer]).set(state);
        if standing == Standing::Broken && self.was != Standing::Broken {
            log::info!("link to {peer} is broken");
            self.abandon_outbox();
            self.parts.transport.disconnect(self.peer);
        } else if standing == Standing::Steady && self.was == Standing::Settling {
            log::info!("link to {peer} is steady");
        }
        self.was = standing;
    }

    // --- pushes ---

    fn publish(&mut self, publish: Publish, ctx: &mut Context<Self>) {
        let Publish { domain, write } = publish;
        // A peer that cannot be pushed to is repaired by a join when it can be reached.
        if !self.is_steady() || self.peer_removed {
            return;
        }
        if domain != self.domain {
            self.abandon_outbox();
            self.dropped = None;
            self.domain = domain;
        }
        let dot = write.dot();
        if self.outbox.push(write).is_err() {
            self.dropped = Some(dot);
            log::info!(
                "outbox for {} is full; it will be repaired by a join",
                self.peer
            );
            let overflows = &self.parts.metrics.outbox_overflows;
            overflows.with_label_values(&[&self.peer.to_string()]).inc();
            self.send_heartbeat(ctx);
        }
        self.push_next(ctx);
    }

    fn push_next(&mut self, ctx: &mut Context<Self>) {
        let open = self.peer_admits && !self.peer_removed && self.is_steady();
        let batch = if open { self.outbox.next_batch() } else { None };
        if let Some(writes) = batch {
            let from = writes[0].dot().origin;
            let batch = Batch {
                from,
                domain: self.domain,
                writes,
            };
            let flight = self.flight;
            let body = wire::encode(&batch);
            self.call(Call::Push, body, ctx, move |link, answer, ctx| {
                link.push_answered(flight, &answer, ctx);
            });
        }
        self.note_outbox();
    }

    fn push_answered(
        &mut self,
        flight: u64,
        answer: &Result<PushAnswer, String>,
        ctx: &mut Context<Self>,
    ) {
        let result = match answer {
            Ok(PushAnswer::Admitted) => "admitted",
            Ok(PushAnswer::Refused(refusal)) => refusal.name(),
            Err(_) => "failed",
        };
        let pushes = &self.parts.metrics.pushes;
        pushes
            .with_label_values(&[&self.peer.to_string(), result])
            .inc();
        if let Ok(PushAnswer::Refused(PushRefusal::Superseded(life))) = answer {
            let superseded = OwnLifeSuperseded { incarnation: *life };
            self.parts.edges.superseded.tell(superseded);
        }
        if flight != self.flight {
            return;
        }
        if let Ok(PushAnswer::Admitted) = answer {
            self.outbox.answered();
            self.heard(self.link.peer_life());
        } else {
            log::debug!("push to {}: {answer:?}", self.peer);
            self.peer_admits = false;
            self.abandon_outbox();
        }
        self.push_next(ctx);
    }

    /// Gives up what waits and what is in flight: from here on the peer needs a join.
    fn abandon_outbox(&mut self) {
        self.flight += 1;
        self.outbox.clear();
        self.note_outbox();
    }

    fn note_outbox(&mut self) {
        let gauge = &self.parts.metrics.outbox_writes;
        let waiting = as_gauge(self.outbox.len());
        gauge
            .with_label_values(&[&self.peer.to_string()])
            .set(waiting);
        let can_flush = self.peer_admits && self.is_steady();
        if self.outbox.is_empty() || !can_flush {
            for reply in self.flushing.drain(..) {
                let _ = reply.send(());
            }
        }
    }

    // --- what comes in ---

    fn take_heartbeat(&mut self, take: TakeHeartbeat, ctx: &mut Context<Self>) {
        let TakeHeartbeat { heartbeat, reply } = take;
        let digest = heartbeat.digest;
        if self.link.met(digest.from.incarnation) {
            log::info!("{} announced itself", digest.from);
            self.peer_admits = false;
            self.abandon_outbox();
            self.send_heartbeat(ctx);
        }
        if digest.from.incarnation == self.link.peer_life() {
            self.peer_admits = digest.admits;
            self.push_next(ctx);
        }
        let now = self.parts.uptime.now();
        self.parts.edges.exchange.tell(ExchangeDigest {
            digest,
            may_join: self.link.may_join(now),
            steady: self.is_steady(),
            reply,
        });
    }

    fn take_batch(&mut self, take: TakeBatch) {
        let TakeBatch { batch, reply } = take;
        if self.is_steady() {
            self.parts.edges.deliver.tell(Deliver { batch, reply });
        } else {
            let refused = PushAnswer::Refused(PushRefusal::Unsteady);
            let _ = reply.send(refused);
        }
    }

    // --- joins ---

    fn ask_page(&mut self, request: JoinRequest, staging: Staging, ctx: &mut Context<Self>) {
        let body = wire::encode(&request);
        self.call(Call::Join, body, ctx, move |link, answer, ctx| {
            link.stage_page(answer, request, staging, ctx);
        });
    }

    fn stage_page(
        &mut self,
        answer: Result<JoinAnswer, String>,
        mut request: JoinRequest,
        mut staging: Staging,
        ctx: &mut Context<Self>,
    ) {
        // The kernel may deliver after a cut what was asked for before it.
        if !self.link.may_join(self.parts.uptime.now()) {
            return self.end_join(Err("the link was given up meanwhile".to_owned()));
        }
        let staged = match answer {
            Ok(JoinAnswer::Page(page)) => staging.stage(page),
            Ok(JoinAnswer::Refused(refusal)) => return self.end_join(Err(format!("{refusal:?}"))),
            Err(error) => return self.end_join(Err(error)),
        };
        match staged {
            Staged::Complete(cut) => self.end_join(Ok(cut)),
            Staged::Inconsistent => self.end_join(Err("pages of different cuts".to_owned())),
            Staged::AskFor(page) => {
                request.page = page;
                self.ask_page(request, staging, ctx);
            }
        }
    }

    fn end_join(&self, result: Result<Cut, String>) {
        let from = self.peer;
        self.parts.edges.joined.tell(JoinEnded { from, result });
    }
}

impl Actor for PeerLink {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        let (peer, metrics) = (self.peer.to_string(), &self.parts.metrics);
        let gauges = [&metrics.link_state, &metrics.outbox_writes];
        for gauge in gauges {
            // It has no such label if nothing was ever counted.
            let _ = gauge.remove_label_values(&[&peer]);
        }
        self.parts.transport.disconnect(self.peer);
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
        self.ask_page(request, Staging::new(), ctx);
    }
}

impl Handler<Mail<MarkRemoved>> for PeerLink {
    type Result = ();

    fn handle(&mut self, mail: Mail<MarkRemoved>, _: &mut Context<Self>) {
        self.peer_removed = mail.open().removed;
        if self.peer_removed {
            self.abandon_outbox();
        }
    }
}

impl Handler<Mail<Flush>> for PeerLink {
    type Result = ();

    fn handle(&mut self, mail: Mail<Flush>, _: &mut Context<Self>) {
        self.flushing.push(mail.open().reply);
        self.note_outbox();
    }
}
