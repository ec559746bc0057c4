//! `Causality`: the one ordering point. Assigns dots, admits peers' writes, decides every 503.
//!
//! It tells `Store` what to apply before it lets any request see that the clock covers it, and both
//! go over edges of one kind into one mailbox, so a read that the clock admits finds its writes. It
//! parks replies, never itself.

mod clients;
mod lives;
mod peers;
mod shard;
mod taking;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, SpawnHandle};
use rand_chacha::ChaCha8Rng;

use self::shard::Dealing;
use crate::core::Millis;
use crate::core::agreement::Holder;
use crate::core::causal_buffer::BufferLimits;
use crate::core::causality::{CausalState, EndRules};
use crate::core::id::Origin;
use crate::core::parking::ParkingLot;
use crate::core::repair::{Repair, RepairRules};
use crate::core::serving::Serving;
use crate::core::sharding::map::ShardMap;
use crate::core::stamp::HlcTime;
use crate::core::wire::{Digest, Status};
use crate::messages::causality::{ClientRequest, Drain, ReadDigest, ReadStatus, Refusal};
use crate::messages::lifecycle::Halt;
use crate::messages::mailbox::{Edge, Mail};
use crate::messages::peers::{Beat, FetchJoin, Publish};
use crate::messages::store::{
    ApplyOlder, ApplyOwn, ApplyWrites, Collect, DropFrozen, Freeze, KeepAside, ProbeDelete,
    ReadDifference, ReadHandOver, ReadKey, ReadSummary, SetAside, SettleAside, TakeOwn,
};
use crate::messages::view::{ForgetLongestDown, IncarnationRenewed, ViewChanged};
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
    /// What is remembered of ended lives, and when tombstones go.
    pub ends: EndRules,
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
    /// To `Store`.
    pub collect: Edge<Collect>,
    /// To `Store`.
    pub set_aside: Edge<SetAside>,
    /// To `Store`.
    pub keep_aside: Edge<KeepAside>,
    /// To `Store`.
    pub settle_aside: Edge<SettleAside>,
    /// To `Store`.
    pub apply_older: Edge<ApplyOlder>,
    /// To `Store`.
    pub freeze: Edge<Freeze>,
    /// To `Store`.
    pub take_own: Edge<TakeOwn>,
    /// To `Store`.
    pub hand_over: Edge<ReadHandOver>,
    /// To `Store`.
    pub drop_frozen: Edge<DropFrozen>,
    /// To `Broadcaster`.
    pub publish: Edge<Publish>,
    /// To `Broadcaster`.
    pub beat: Edge<Beat>,
    /// To `Broadcaster`.
    pub fetch: Edge<FetchJoin>,
    /// To `View`.
    pub renewed: Edge<IncarnationRenewed>,
    /// To `View`.
    pub make_room: Edge<ForgetLongestDown>,
}

/// What a [`Causality`] is made of.
#[derive(Debug)]
pub struct CausalityParts {
    /// As whom it numbers writes.
    pub origin: Origin,
    /// What its settings say about shards.
    pub map: ShardMap,
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
    /// Each with its deadline, which stays if it has to be parked again.
    parking: ParkingLot<(ClientRequest, Millis)>,
    repair: Repair,
    next_session: u64,
    join_began: Millis,
    serving: Serving,
    store_full: bool,
    /// Whether the store is looking at what it has set aside.
    settling: bool,
    /// Up to which stamp the store was told to collect.
    collected: HlcTime,
    /// How often lives that were forgotten had turned out not to be.
    voids: u64,
    /// Who was said to hold tombstones back.
    holder: Option<Holder>,
    /// Whether there are as many tombstones as are kept for members that are down.
    tombstones_full: bool,
    /// Since when that is so, and some member holds them back.
    crowded_since: Option<Millis>,
    /// What is under way since keys were dealt anew.
    dealing: Dealing,
    /// When parked requests are looked at next; `None` while none is parked.
    alarm: Option<(Millis, SpawnHandle)>,
    parts: CausalityParts,
}

impl Causality {
    /// A replica that has nothing and is starting.
    pub fn new(parts: CausalityParts) -> Self {
        let rules = &parts.rules;
        Self {
            state: CausalState::new(
                parts.origin,
                parts.map.domain_of(parts.origin.address),
                rules.buffer,
            ),
            parking: ParkingLot::new(rules.parked_max),
            repair: Repair::new(RepairRules {
                patience_ms: rules.heartbeat_ms,
            }),
            next_session: 0,
            join_began: 0,
            serving: Serving::starting(parts.uptime.now(), rules.bootstrap_ms),
            store_full: false,
            settling: false,
            collected: HlcTime::ZERO,
            voids: 0,
            holder: None,
            tombstones_full: false,
            crowded_since: None,
            dealing: Dealing::since(parts.origin.incarnation, parts.uptime.now()),
            alarm: None,
            parts,
        }
    }

    /// Why no client is answered now, if so.
    fn closed(&self) -> Option<Refusal> {
        match self.serving.status() {
            Status::Serving => None,
            Status::Starting => Some(Refusal::Starting),
            Status::Removed => Some(Refusal::Removed),
            Status::Stopping => Some(Refusal::Stopping),
        }
    }

    fn digest(&mut self, admits: bool) -> Digest {
        Digest {
            from: self.state.origin(),
            domain: self.state.domain(),
            promise: self.state.promise(self.parts.wall.now_ms()),
            covered: self.state.covered().clone(),
            status: self.serving.status(),
            // Each link fills in its own; an answer cannot know, so it says that more may come.
            pushing: true,
            admits: admits && self.serving.status() == Status::Serving,
            roster: self.state.lives().roster(),
            bootstrapped: self.serving.has_caught_up() && !self.state.is_outlived(),
            frontier: self.frontier(),
            aside: self.state.has_aside(),
            given_up: self.state.given_up().clone(),
            hand_overs: self.state.inherited().hand_overs(),
        }
    }

    fn beat(&mut self) {
        let digest = Arc::new(self.digest(true));
        self.parts.edges.beat.tell(Beat { digest });
    }

    fn heartbeat_tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.parts.uptime.now();
        if self.serving.waited_in_vain(now) && self.repair.running().is_none() {
            log::info!("no live peer answered");
            self.serve();
        } else {
            self.mind_ends();
            self.beat();
        }
        self.schedule_beat(ctx);
    }

    fn schedule_beat(&self, ctx: &mut Context<Self>) {
        let period = self.parts.rules.heartbeat_ms;
        let period = match self.serving.status() {
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
    }
}

impl Handler<Mail<ReadDigest>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadDigest>, _: &mut Context<Self>) {
        self.parts.edges.summary.tell(ReadSummary {
            origin: self.state.origin(),
            domain: self.state.domain(),
            covered: self.state.covered().clone(),
            ended: self.state.ended().clone(),
            reply: mail.open().reply,
        });
    }
}

impl Handler<Mail<ReadStatus>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadStatus>, _: &mut Context<Self>) {
        let _ = mail.open().reply.send(self.serving.status());
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
        let now = self.parts.uptime.now();
        self.serving.set_removed(changed.removed, now);
        if changed.removed {
            self.refuse_parked();
        }
        self.take_place(&changed);
        if changed.voids > self.voids {
            // What was done without them must be undone.
            self.voids = changed.voids;
            self.be_reborn("members were forgotten that others have not forgotten");
        }
        for (address, incarnation) in changed.incarnations {
            self.learn_life(Origin {
                address,
                incarnation,
            });
        }
        self.mind_own_life();
    }
}

impl Handler<Mail<Drain>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<Drain>, _: &mut Context<Self>) {
        self.serving.stop();
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
