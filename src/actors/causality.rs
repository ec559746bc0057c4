//! `Causality`: the one ordering point. Assigns dots, admits peers' writes, decides every 503.
//!
//! It tells `Store` what to apply before it lets any request see that the clock covers it, and both
//! go over edges of one kind into one mailbox, so a read that the clock admits finds its writes. It
//! parks replies, never itself.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::core::Millis;
use crate::core::causal_buffer::BufferLimits;
use crate::core::causality::{CausalState, Superseded};
use crate::core::clock::{Clock, Clocks};
use crate::core::id::{Address, Domain, Incarnation, Key, Origin};
use crate::core::join::Cut;
use crate::core::metadata::Metadata;
use crate::core::parking::ParkingLot;
use crate::core::repair::{Repair, RepairRules};
use crate::core::wire::{
    Digest, HeartbeatAnswer, JoinAnswer, JoinRefusal, JoinRequest, PushAnswer, PushRefusal, Status,
};
use crate::core::write::{Content, Write};
use crate::messages::causality::{
    ClientRequest, DeleteConfirmed, Deliver, DigestReceived, Drain, ExchangeDigest, JoinEnded,
    Operation, Outcome, OwnLifeSuperseded, ReadDigest, ReadJoin, ReadStatus, Refusal, StoreFilled,
};
use crate::messages::lifecycle::Halt;
use crate::messages::mailbox::{Edge, Mail, Reply};
use crate::messages::peers::{Beat, FetchJoin, Publish};
use crate::messages::store::{
    ApplyOwn, ApplyWrites, ProbeDelete, ReadDifference, ReadKey, ReadSummary,
};
use crate::messages::view::{IncarnationRenewed, ViewChanged};
use crate::metrics::{Metrics, as_gauge};
use crate::time::{Uptime, WallClock};

/// Limits and times of [`Causality`].
#[derive(Debug, Clone, Copy)]
pub struct CausalityRules {
    /// The causal buffer.
    pub buffer: BufferLimits,
    /// Requests parked at once.
    pub parked_max: usize,
    /// Longest wait of a parked request, in milliseconds.
    pub wait_max_ms: u64,
    /// Wait of requests that ask for none; 0 refuses at once.
    pub wait_default_ms: u64,
    /// How far ahead of the wall clock the stamp in a write's metadata may be.
    pub max_drift_ms: u64,
    /// Time between heartbeats; half of it while starting.
    pub heartbeat_ms: u64,
    /// How long to wait for a live peer at the start.
    pub bootstrap_ms: u64,
}

/// Edges from [`Causality`].
#[derive(Debug)]
pub struct CausalityEdges {
    /// To `Store`.
    pub apply_own: Edge<ApplyOwn>,
    /// To `Store`.
    pub apply: Edge<ApplyWrites>,
    /// To `Store`.
    pub read: Edge<ReadKey>,
    /// To `Store`.
    pub probe_delete: Edge<ProbeDelete>,
    /// To `Store`.
    pub difference: Edge<ReadDifference>,
    /// To `Store`.
    pub summary: Edge<ReadSummary>,
    /// To `Broadcaster`.
    pub publish: Edge<Publish>,
    /// To `Broadcaster`.
    pub beat: Edge<Beat>,
    /// To `Broadcaster`.
    pub fetch: Edge<FetchJoin>,
    /// To `View`.
    pub renewed: Edge<IncarnationRenewed>,
}

/// What a [`Causality`] is made of.
#[derive(Debug)]
pub struct CausalityParts {
    /// As whom it numbers writes.
    pub origin: Origin,
    /// Its limits.
    pub rules: CausalityRules,
    /// Its neighbours.
    pub edges: CausalityEdges,
    /// Where it counts.
    pub metrics: Metrics,
    /// Monotonic time.
    pub uptime: Uptime,
    /// Wall time.
    pub wall: Arc<dyn WallClock>,
    /// Randomness, for the low bits of a new incarnation.
    pub rng: ChaCha8Rng,
}

/// The actor; see the module.
#[derive(Debug)]
pub struct Causality {
    state: CausalState,
    parking: ParkingLot<ClientRequest>,
    /// Whether parked requests are being released.
    releasing: bool,
    repair: Repair,
    next_session: u64,
    join_began: Millis,
    /// Until when a live peer is waited for; `None` once this replica serves.
    bootstrap_until: Option<Millis>,
    removed: bool,
    stopping: bool,
    store_full: bool,
    parts: CausalityParts,
}

impl Causality {
    /// A replica that has nothing and is starting.
    pub fn new(parts: CausalityParts) -> Self {
        let rules = &parts.rules;
        Self {
            state: CausalState::new(parts.origin, Domain::UNSHARDED, rules.buffer),
            parking: ParkingLot::new(rules.parked_max),
            releasing: false,
            repair: Repair::new(RepairRules {
                patience_ms: rules.heartbeat_ms,
            }),
            next_session: 0,
            join_began: 0,
            bootstrap_until: Some(parts.uptime.now() + rules.bootstrap_ms),
            removed: false,
            stopping: false,
            store_full: false,
            parts,
        }
    }

    fn status(&self) -> Status {
        match (self.stopping, self.removed, self.bootstrap_until) {
            (true, ..) => Status::Stopping,
            (_, true, _) => Status::Removed,
            (.., Some(_)) => Status::Starting,
            (.., None) => Status::Serving,
        }
    }

    /// Why no client is answered now, if so.
    fn closed(&self) -> Option<Refusal> {
        match self.status() {
            Status::Serving => None,
            Status::Starting => Some(Refusal::Starting),
            Status::Removed => Some(Refusal::Removed),
            Status::Stopping => Some(Refusal::Stopping),
        }
    }

    // --- clients ---

    fn take_request(&mut self, request: ClientRequest) {
        if let Some(refusal) = self.closed().or_else(|| self.overload()) {
            return self.refuse(request.reply, refusal);
        }
        match self.state.unmet(&request.metadata) {
            None => self.perform(request),
            Some(missing) => self.park_or_refuse(request, missing),
        }
    }

    fn overload(&self) -> Option<Refusal> {
        let edges = &self.parts.edges;
        let room = edges.apply_own.has_room() && edges.publish.has_room();
        (!room).then_some(Refusal::Overloaded)
    }

    fn park_or_refuse(&mut self, request: ClientRequest, missing: Clocks) {
        let rules = &self.parts.rules;
        let wait = request.wait_ms.unwrap_or(rules.wait_default_ms);
        let deadline = self.parts.uptime.now() + wait.min(rules.wait_max_ms);
        let need = missing.get(&self.state.domain()).cloned();
        // What only another map can bring is not waited for.
        let need = need.filter(|_| wait > 0 && missing.iter().count() == 1);
        let parked = self.parking.park(
            request,
            need.unwrap_or_else(Clock::new),
            deadline,
            self.state.clock(),
        );
        match parked {
            Ok(()) => {
                self.parts.metrics.requests_parked.inc();
                self.gauge_parked();
            }
            Err(request) => self.refuse(request.reply, Refusal::Unmet { missing }),
        }
    }

    /// The metadata is met.
    fn perform(&mut self, request: ClientRequest) {
        let ClientRequest {
            operation,
            metadata,
            reply,
            ..
        } = request;
        let domain = self.state.domain();
        match operation {
            Operation::Get { key } => self.parts.edges.read.tell(ReadKey { key, domain, reply }),
            Operation::Put { value, .. } if self.store_full => {
                drop(value);
                self.refuse(reply, Refusal::StoreFull);
            }
            Operation::Put { key, value } => {
                self.write(key, Content::Value(value), &metadata, reply);
            }
            Operation::Delete { key } => self.parts.edges.probe_delete.tell(ProbeDelete {
                key,
                domain,
                metadata,
                reply,
            }),
            Operation::Check => drop(reply.send(Outcome::Met)),
        }
    }

    fn write(&mut self, key: Key, content: Content, metadata: &Metadata, reply: Reply<Outcome>) {
        let wall_ms = self.parts.wall.now_ms();
        let ahead_ms = metadata.time.ms.saturating_sub(wall_ms);
        if ahead_ms > self.parts.rules.max_drift_ms {
            return self.refuse(reply, Refusal::ClockSkew { ahead_ms });
        }
        let write = self.state.write(key, content, metadata, wall_ms);
        self.parts.metrics.writes_accepted.inc();
        let domain = self.state.domain();
        let publish = Publish {
            domain,
            write: write.clone(),
        };
        self.parts.edges.apply_own.tell(ApplyOwn {
            write,
            domain,
            reply,
        });
        self.parts.edges.publish.tell(publish);
        self.clock_rose();
    }

    fn refuse(&self, reply: Reply<Outcome>, refusal: Refusal) {
        let reason = match &refusal {
            Refusal::Unmet { .. } => "unmet",
            Refusal::Starting => "starting",
            Refusal::Removed => "removed",
            Refusal::Stopping => "stopping",
            Refusal::ClockSkew { .. } => "clock_skew",
            Refusal::StoreFull => "store_full",
            Refusal::Overloaded => "overloaded",
        };
        let refused = &self.parts.metrics.refused;
        refused.with_label_values(&[reason]).inc();
        let _ = reply.send(Outcome::Refused(refusal));
    }

    /// What the clock newly covers is in the store's mailbox: parked requests may go after it.
    ///
    /// A released write raises the clock again. The round that runs goes on for it, since a chain of
    /// parked writes, each waiting for the one before, would exhaust the stack by recursion.
    fn clock_rose(&mut self) {
        if self.releasing {
            return;
        }
        self.releasing = true;
        loop {
            let released = self.parking.release(self.state.clock());
            if released.is_empty() {
                break;
            }
            // A client that has gone is not written for behind its back.
            let awaited = released.into_iter().filter(|r| !r.reply.is_closed());
            awaited.for_each(|request| self.take_request(request));
        }
        self.releasing = false;
        self.gauge_parked();
    }

    fn expire_parked(&mut self) {
        let now = self.parts.uptime.now();
        for mut request in self.parking.expire(now) {
            request.wait_ms = Some(0);
            self.take_request(request);
        }
        self.gauge_parked();
    }

    fn refuse_parked(&mut self) {
        for request in self.parking.drain() {
            let refusal = self.closed().unwrap_or(Refusal::Overloaded);
            self.refuse(request.reply, refusal);
        }
        self.gauge_parked();
    }

    fn gauge_parked(&self) {
        let parked = as_gauge(self.parking.len());
        self.parts.metrics.parked_requests.set(parked);
    }

    // --- peers ---

    fn deliver(&mut self, deliver: Deliver) {
        let Deliver { batch, reply } = deliver;
        let refusal = if self.status() != Status::Serving {
            Some(PushRefusal::NotServing)
        } else if batch.domain != self.state.domain() {
            Some(PushRefusal::OtherDomain)
        } else {
            self.overload().map(|_| PushRefusal::Overloaded)
        };
        let answer = match refusal {
            Some(refusal) => PushAnswer::Refused(refusal),
            None => match self.state.deliver(batch) {
                Err(Superseded(life)) => PushAnswer::Refused(PushRefusal::Superseded(life)),
                Ok(delivery) => {
                    let metrics = &self.parts.metrics;
                    metrics.writes_parked.inc_by(delivery.parked as u64);
                    metrics.writes_duplicate.inc_by(delivery.duplicates as u64);
                    metrics.writes_dropped.inc_by(delivery.dropped as u64);
                    metrics.writes_delivered.inc_by(delivery.ready.len() as u64);
                    if delivery.dropped > 0 {
                        self.repair.give_up_waiting();
                    }
                    self.apply(delivery.ready);
                    PushAnswer::Admitted
                }
            },
        };
        let _ = reply.send(answer);
        self.mind_own_life();
    }

    fn apply(&mut self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.parts.edges.apply.tell(ApplyWrites { writes });
            self.clock_rose();
        }
        let (buffer, metrics) = (self.state.buffer(), &self.parts.metrics);
        metrics.buffer_writes.set(as_gauge(buffer.writes()));
        metrics.buffer_bytes.set(as_gauge(buffer.bytes()));
    }

    fn consider(&mut self, digest: &Digest, may_join: bool) {
        self.state.learn_life(digest.from);
        self.mind_own_life();
        let outlived = self.state.is_outlived(digest.from);
        if outlived || digest.domain != self.state.domain() {
            return;
        }
        let peer = digest.from.address;
        let due = match self.status() {
            Status::Serving => {
                let (have, now) = (self.state.clock(), self.parts.uptime.now());
                self.repair.consider(digest, have, may_join, now)
            }
            // The first live replica that is reached brings everything it has.
            Status::Starting => {
                may_join && digest.status != Status::Starting && self.repair.begin(peer)
            }
            Status::Removed | Status::Stopping => false,
        };
        if due {
            self.fetch_join(peer);
        }
    }

    fn fetch_join(&mut self, from: Address) {
        let request = JoinRequest {
            from: self.state.origin(),
            domain: self.state.domain(),
            clock: self.state.clock().clone(),
            session: self.next_session,
            page: 0,
        };
        self.next_session += 1;
        self.join_began = self.parts.uptime.now();
        log::debug!("asking {from} for a join");
        self.parts.edges.fetch.tell(FetchJoin { from, request });
    }

    fn join_ended(&mut self, ended: JoinEnded) {
        self.repair.ended();
        let JoinEnded { from, result } = ended;
        let usable = result.and_then(|cut| match self.state.is_outlived(cut.from) {
            true => Err("its answer is from an earlier life".to_owned()),
            false => Ok(cut),
        });
        let repairs = &self.parts.metrics.repairs;
        match usable {
            Ok(cut) => {
                repairs.with_label_values(&["ok"]).inc();
                self.install(from, cut);
            }
            Err(reason) => {
                repairs.with_label_values(&["failed"]).inc();
                log::info!("join from {from} failed: {reason}");
                self.go_on_starting();
            }
        }
    }

    /// If it has not caught up yet, it looks for a live peer from now on for the whole time again.
    fn go_on_starting(&mut self) {
        let until = self.parts.uptime.now() + self.parts.rules.bootstrap_ms;
        self.bootstrap_until = self.bootstrap_until.map(|_| until);
    }

    fn install(&mut self, from: Address, cut: Cut) {
        let writes = self.state.join(cut);
        let (keys, took) = (writes.len(), self.parts.uptime.now() - self.join_began);
        self.parts.metrics.repaired_keys.inc_by(keys as u64);
        self.apply(writes);
        if self.bootstrap_until.is_some() {
            log::info!("caught up from {from}: {keys} keys in {took} ms");
            self.serve();
        } else if keys > 0 {
            log::info!("repaired {keys} keys from {from} in {took} ms");
        }
        self.mind_own_life();
    }

    fn serve(&mut self) {
        self.bootstrap_until = None;
        log::info!("serving as {}", self.state.origin());
        self.beat();
    }

    // --- own life and time ---

    /// Takes a new incarnation if somebody knows a later one of this node than its own: a wall clock
    /// set back across a restart. No dot is ever reused, since the new origin is new.
    fn mind_own_life(&mut self) {
        if !self.state.is_outlived(self.state.origin()) {
            return;
        }
        let random = self.parts.rng.next_u64();
        let origin = self.state.renew(self.parts.wall.now_ms(), random);
        log::warn!("a later life of this address was known; going on as {origin}");
        self.parts.metrics.incarnations_renewed.inc();
        let incarnation = origin.incarnation;
        let renewed = &self.parts.edges.renewed;
        renewed.tell(IncarnationRenewed { incarnation });
    }

    fn digest(&mut self, admits: bool) -> Digest {
        Digest {
            from: self.state.origin(),
            domain: self.state.domain(),
            promise: self.state.promise(self.parts.wall.now_ms()),
            clock: self.state.clock().clone(),
            status: self.status(),
            // Each link fills in its own; an answer cannot know, so it says that more may come.
            pushing: true,
            admits: admits && self.status() == Status::Serving,
        }
    }

    fn beat(&mut self) {
        let digest = Arc::new(self.digest(true));
        self.parts.edges.beat.tell(Beat { digest });
    }

    fn heartbeat_tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.parts.uptime.now();
        let waited = self.bootstrap_until.is_some_and(|until| now >= until);
        if waited && self.repair.running().is_none() && !self.removed {
            log::info!("no live peer answered");
            self.serve();
        } else {
            self.beat();
        }
        self.schedule_beat(ctx);
    }

    fn schedule_beat(&self, ctx: &mut Context<Self>) {
        let period = self.parts.rules.heartbeat_ms;
        let period = match self.status() {
            Status::Starting => period / 2,
            _ => period,
        };
        let period = Duration::from_millis(period.max(1));
        ctx.run_later(period, Self::heartbeat_tick);
    }
}

impl Actor for Causality {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.beat();
        self.schedule_beat(ctx);
        // Parked requests are answered within this of their deadline.
        ctx.run_interval(Duration::from_millis(10), |causality, _| {
            causality.expire_parked();
        });
    }
}

impl Handler<Mail<ClientRequest>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ClientRequest>, _: &mut Context<Self>) {
        self.take_request(mail.open());
    }
}

impl Handler<Mail<DeleteConfirmed>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<DeleteConfirmed>, _: &mut Context<Self>) {
        let DeleteConfirmed {
            key,
            metadata,
            reply,
        } = mail.open();
        match self.closed() {
            Some(refusal) => self.refuse(reply, refusal),
            None => self.write(key, Content::Tombstone, &metadata, reply),
        }
    }
}

impl Handler<Mail<StoreFilled>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<StoreFilled>, _: &mut Context<Self>) {
        self.store_full = mail.open().full;
        let state = if self.store_full {
            "full"
        } else {
            "below its limit again"
        };
        log::warn!("the store is {state}");
    }
}

impl Handler<Mail<Deliver>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<Deliver>, _: &mut Context<Self>) {
        self.deliver(mail.open());
    }
}

impl Handler<Mail<ExchangeDigest>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ExchangeDigest>, _: &mut Context<Self>) {
        let exchange = mail.open();
        self.consider(&exchange.digest, exchange.may_join);
        let digest = self.digest(exchange.steady);
        let _ = exchange.reply.send(HeartbeatAnswer::Digest(digest));
    }
}

impl Handler<Mail<DigestReceived>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<DigestReceived>, _: &mut Context<Self>) {
        let received = mail.open();
        self.consider(&received.digest, received.may_join);
    }
}

impl Handler<Mail<JoinEnded>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<JoinEnded>, _: &mut Context<Self>) {
        self.join_ended(mail.open());
    }
}

impl Handler<Mail<OwnLifeSuperseded>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<OwnLifeSuperseded>, _: &mut Context<Self>) {
        let address = self.state.origin().address;
        let incarnation = mail.open().incarnation;
        self.state.learn_life(Origin {
            address,
            incarnation,
        });
        self.mind_own_life();
    }
}

impl Handler<Mail<ReadJoin>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadJoin>, _: &mut Context<Self>) {
        let ReadJoin { request, reply } = mail.open();
        let refusal = if self.status() == Status::Starting {
            Some(JoinRefusal::NotServing)
        } else if request.domain != self.state.domain() {
            Some(JoinRefusal::OtherDomain)
        } else {
            (!self.parts.edges.difference.has_room()).then_some(JoinRefusal::Busy)
        };
        match refusal {
            Some(refusal) => drop(reply.send(JoinAnswer::Refused(refusal))),
            None => self.parts.edges.difference.tell(ReadDifference {
                request,
                from: self.state.origin(),
                clock: self.state.clock().clone(),
                time: self.state.time(),
                reply,
            }),
        }
    }
}

impl Handler<Mail<ReadDigest>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadDigest>, _: &mut Context<Self>) {
        self.parts.edges.summary.tell(ReadSummary {
            domain: self.state.domain(),
            clock: self.state.clock().clone(),
            reply: mail.open().reply,
        });
    }
}

impl Handler<Mail<ReadStatus>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadStatus>, _: &mut Context<Self>) {
        let _ = mail.open().reply.send(self.status());
    }
}

impl Handler<Mail<ViewChanged>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ViewChanged>, _: &mut Context<Self>) {
        let changed = mail.open();
        self.parts
            .metrics
            .members_up
            .set(as_gauge(changed.view.len()));
        for (address, incarnation) in changed.incarnations {
            self.learn(address, incarnation);
        }
        self.mind_own_life();
        let was_removed = std::mem::replace(&mut self.removed, changed.removed);
        if self.removed {
            self.refuse_parked();
        } else if was_removed {
            self.go_on_starting();
        }
    }
}

impl Causality {
    fn learn(&mut self, address: Address, incarnation: Incarnation) {
        self.state.learn_life(Origin {
            address,
            incarnation,
        });
    }
}

impl Handler<Mail<Drain>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<Drain>, _: &mut Context<Self>) {
        self.stopping = true;
        self.refuse_parked();
        self.beat();
        let _ = mail.open().reply.send(());
    }
}

impl Handler<Mail<Halt>> for Causality {
    type Result = ();

    fn handle(&mut self, _: Mail<Halt>, ctx: &mut Context<Self>) {
        ctx.terminate();
    }
}
