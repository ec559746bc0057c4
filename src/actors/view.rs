//! `View`: owns the membership, speaks SWIM with the peers.
//!
//! Told by http ([`ReadView`], [`AddReplica`], [`RemoveReplica`], [`MapLearned`], and what is in `view/maps.rs`), the transport
//! ([`SwimDatagram`]), the broadcaster ([`PeerHeard`]), its links ([`LinkTurned`]), causality ([`IncarnationRenewed`],
//! [`ForgetLongestDown`]) and the node ([`Leave`]); tells the broadcaster [`MembersChanged`] and causality [`ViewChanged`], once at the
//! start and then on each change. It waits for nobody. Whoever routes requests reads the [`Topology`] that it shows.
//!
//! A shell around [`Membership`]: it hands in the time, keeps one timer for all that the core
//! wants to be woken for, and performs the effects in their order.

mod maps;

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, SpawnHandle};
use prometheus::{IntCounter, IntCounterVec};
use rand_chacha::ChaCha8Rng;

use self::maps::Waiters;
use crate::config;
use crate::core::Millis;
use crate::core::id::{Address, Incarnation};
use crate::core::sharding::map::ShardMap;
use crate::core::sharding::routing::Topology;
use crate::core::swim::{DatagramError, Identity, Timing};
use crate::core::view::{Effect, Event, ForgetReason, Membership, NoRoom, Parameters};
use crate::messages::lifecycle::Halt;
use crate::messages::mailbox::{Edge, Mail, Reply};
use crate::messages::view::{
    AddReplica, ForgetLongestDown, IncarnationRenewed, Leave, LinkTurned, MapLearned,
    MembersChanged, PeerHeard, ReadView, RemoveReplica, SwimDatagram, TopologySender, ViewChanged,
};
use crate::time::{Uptime, WallClock};
use crate::transport::PeerTransport;

/// Refused datagrams are logged at most this often; all are counted.
const REFUSED_LOG_EVERY_MS: Millis = 60_000;

/// That nobody may be forgotten for room is logged at most this often, while it is so.
const NO_ROOM_LOG_EVERY_MS: Millis = 60_000;

/// What a [`View`] is made of.
#[derive(Debug)]
pub struct ViewParts {
    /// This node.
    pub address: Address,
    /// The life it starts.
    pub incarnation: Incarnation,
    /// `VIEW`, with or without this node.
    pub view: Vec<Address>,
    /// What its settings say about shards.
    pub map: ShardMap,
    /// Where it shows what requests are routed by.
    pub topology: TopologySender,
    /// Failure detection, grace, limit.
    pub settings: config::Membership,
    /// Whom to probe, whom to gossip to.
    pub rng: ChaCha8Rng,
    /// The node's monotonic time.
    pub uptime: Uptime,
    /// Times marks.
    pub wall_clock: Arc<dyn WallClock>,
    /// Sends the datagrams.
    pub transport: Rc<dyn PeerTransport>,
    /// To the broadcaster.
    pub to_broadcaster: Edge<MembersChanged>,
    /// To causality.
    pub to_causality: Edge<ViewChanged>,
    /// Counts the datagrams that were refused.
    pub datagrams_refused: IntCounter,
    /// Counts those whom this node forgets, by reason.
    pub members_forgotten: IntCounterVec,
}

/// The actor. Start it with [`Actor::start`] or [`Actor::create`]; it then announces itself at once.
pub struct View {
    membership: Membership,
    uptime: Uptime,
    wall_clock: Arc<dyn WallClock>,
    transport: Rc<dyn PeerTransport>,
    to_broadcaster: Edge<MembersChanged>,
    to_causality: Edge<ViewChanged>,
    refused: Refused,
    members_forgotten: IntCounterVec,
    topology: TopologySender,
    /// Peers that do not answer.
    silent: BTreeSet<Address>,
    /// Who waits for a map to be everywhere.
    waiters: Waiters,
    /// When it may be logged again that there is no room.
    complain_from: Millis,
    alarm: Option<(Millis, SpawnHandle)>,
}

impl View {
    /// The membership of a node that starts now.
    pub fn new(parts: ViewParts) -> Self {
        let identity = Identity::new(parts.address, parts.incarnation);
        let parameters = parameters(parts.settings);
        let now = parts.uptime.now();
        Self {
            membership: Membership::new(
                parameters,
                identity,
                &parts.view,
                parts.map,
                parts.rng,
                now,
            ),
            uptime: parts.uptime,
            wall_clock: parts.wall_clock,
            transport: parts.transport,
            to_broadcaster: parts.to_broadcaster,
            to_causality: parts.to_causality,
            refused: Refused::new(parts.datagrams_refused),
            members_forgotten: parts.members_forgotten,
            topology: parts.topology,
            silent: BTreeSet::new(),
            waiters: Waiters::default(),
            complain_from: 0,
            alarm: None,
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.alarm = None;
        let (now, wall) = (self.uptime.now(), self.wall_clock.now_ms());
        let mut effects = self.membership.tick(now);
        effects.extend(self.membership.forget_overdue(now, wall));
        self.perform(effects, ctx);
    }

    fn perform(&mut self, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Send { to, bytes } => self.transport.datagram(to, bytes),
                Effect::Log(event) => self.note(event),
                Effect::MembersChanged {
                    members,
                    removals,
                    forgotten,
                    map,
                } => {
                    let is_member = |peer: &Address| members.iter().any(|m| m.address == *peer);
                    self.silent.retain(is_member);
                    self.to_broadcaster.tell(MembersChanged {
                        members,
                        removals,
                        forgotten,
                        map,
                    });
                }
                Effect::ViewChanged {
                    view,
                    removed,
                    members,
                    incarnations,
                    forgotten,
                    voids,
                    map,
                } => self.to_causality.tell(ViewChanged {
                    view,
                    removed,
                    members,
                    incarnations,
                    forgotten,
                    voids,
                    map,
                }),
            }
        }
        self.show_topology();
        self.waiters.answer(&self.membership);
        self.set_alarm(ctx);
    }

    /// Shows what has changed of the ways that requests take.
    fn show_topology(&self) {
        let view = self.membership.view();
        let silent = view.iter().filter(|peer| self.silent.contains(peer));
        let now = Topology {
            own: self.topology.borrow().own,
            map: self.membership.map().clone(),
            silent: silent.copied().collect(),
            view,
        };
        self.topology.send_if_modified(|shown| {
            let changed = **shown != now;
            if changed {
                *shown = Arc::new(now);
            }
            changed
        });
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Forgets(_, reason) => {
                let forgotten = &self.members_forgotten;
                forgotten.with_label_values(&[reason.name()]).inc();
            }
            Event::NoRoom(_) if self.uptime.now() < self.complain_from => return,
            Event::NoRoom(_) => self.complain_from = self.uptime.now() + NO_ROOM_LOG_EVERY_MS,
            _ => {}
        }
        log(event);
    }

    /// Has the core woken when it next wants to be, and not before.
    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let due = self.membership.next_due();
        if due == self.alarm.map(|(due, _)| due) {
            return;
        }
        if let Some((_, handle)) = self.alarm.take() {
            ctx.cancel_future(handle);
        }
        self.alarm = due.map(|due| {
            let wait = Duration::from_millis(due.saturating_sub(self.uptime.now()));
            (due, ctx.run_later(wait, Self::tick))
        });
    }
}

impl Actor for View {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.tick(ctx);
    }
}

impl Handler<Mail<ReadView>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadView>, _: &mut Context<Self>) {
        answer(mail.open().reply, self.membership.view());
    }
}

impl Handler<Mail<AddReplica>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<AddReplica>, ctx: &mut Context<Self>) {
        let AddReplica { address, reply } = mail.open();
        let (now, wall) = (self.uptime.now(), self.wall_clock.now_ms());
        let (outcome, effects) = self.membership.add(address, now, wall);
        self.perform(effects, ctx);
        answer(reply, outcome);
    }
}

impl Handler<Mail<RemoveReplica>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<RemoveReplica>, ctx: &mut Context<Self>) {
        let RemoveReplica {
            address,
            forget,
            reply,
        } = mail.open();
        let (now, wall) = (self.uptime.now(), self.wall_clock.now_ms());
        let (outcome, effects) = if forget {
            self.membership.forget(address, now, wall)
        } else {
            self.membership.remove(address, now, wall)
        };
        self.perform(effects, ctx);
        answer(reply, outcome);
    }
}

impl Handler<Mail<SwimDatagram>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<SwimDatagram>, ctx: &mut Context<Self>) {
        let now = self.uptime.now();
        match self.membership.receive(&mail.open().bytes, now) {
            Ok(effects) => self.perform(effects, ctx),
            Err(error) => self.refused.count(&error, now),
        }
    }
}

impl Handler<Mail<PeerHeard>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<PeerHeard>, ctx: &mut Context<Self>) {
        let now = self.uptime.now();
        let effects = self.membership.hear(&mail.open().heard, now);
        self.perform(effects, ctx);
    }
}

impl Handler<Mail<ForgetLongestDown>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<ForgetLongestDown>, ctx: &mut Context<Self>) {
        let crowded_ms = mail.open().crowded_ms;
        let (now, wall) = (self.uptime.now(), self.wall_clock.now_ms());
        let effects = self.membership.make_room(crowded_ms, now, wall);
        self.perform(effects, ctx);
    }
}

impl Handler<Mail<IncarnationRenewed>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<IncarnationRenewed>, ctx: &mut Context<Self>) {
        let now = self.uptime.now();
        let effects = self.membership.renew(mail.open().incarnation, now);
        self.perform(effects, ctx);
    }
}

impl Handler<Mail<LinkTurned>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<LinkTurned>, _: &mut Context<Self>) {
        let LinkTurned { peer, answers } = mail.open();
        if answers {
            self.silent.remove(&peer);
        } else {
            self.silent.insert(peer);
        }
        self.show_topology();
    }
}

impl Handler<Mail<MapLearned>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<MapLearned>, ctx: &mut Context<Self>) {
        let now = self.uptime.now();
        let effects = self.membership.learn_map(&mail.open().map, now);
        self.perform(effects, ctx);
    }
}

impl Handler<Mail<Leave>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<Leave>, ctx: &mut Context<Self>) {
        let effects = self.membership.leave(self.uptime.now());
        self.perform(effects, ctx);
        self.waiters = Waiters::default();
        answer(mail.open().reply, ());
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("membership", &self.membership)
            .finish_non_exhaustive()
    }
}

/// Datagrams that were refused: all counted, some logged.
struct Refused {
    total: IntCounter,
    logged: u64,
    log_from: Millis,
}

impl Refused {
    fn new(total: IntCounter) -> Self {
        Self {
            logged: total.get(),
            total,
            log_from: 0,
        }
    }

    fn count(&mut self, error: &DatagramError, now: Millis) {
        self.total.inc();
        let total = self.total.get();
        if now >= self.log_from {
            let new = total - std::mem::replace(&mut self.logged, total);
            self.log_from = now + REFUSED_LOG_EVERY_MS;
            log::warn!("{new} SWIM datagrams refused, the last because: {error}");
        }
    }
}

fn parameters(settings: config::Membership) -> Parameters {
    Parameters {
        timing: Timing {
            probe_period_ms: settings.probe_period_ms,
            probe_rtt_ms: settings.probe_rtt_ms,
            suspicion_ms: settings.suspicion_ms,
        },
        grace_ms: settings.startup_grace_ms,
        forget_after_ms: settings.forget_after_ms,
        members_max: settings.members_max,
    }
}

/// An asker that is gone needs no answer.
fn answer<T>(reply: Reply<T>, value: T) {
    let _ = reply.send(value);
}

fn log(event: Event) {
    match event {
        Event::Joined(peer) => log::info!("{peer} joined"),
        Event::Back(peer) => log::info!("{peer} is back"),
        Event::Restarted(peer) => log::info!("{peer} is back: it was restarted"),
        Event::Lost(peer) => log::info!("{peer} lost"),
        Event::Unanswered(peer) => log::info!("{peer} lost: it never answered"),
        Event::Added(peer) => log::info!("{peer} added by an operator, awaited"),
        Event::Removed(peer) => log::info!("{peer} removed by an operator"),
        Event::Readmitted(peer) => log::info!("{peer} re-admitted"),
        Event::Forgets(mark, reason) => log_forgets(mark.address, reason),
        Event::Forgotten { address, maker, .. } => {
            log::info!("{address} is forgotten: {maker} decided so");
        }
        Event::Remembered(peer) => {
            log::warn!(
                "{peer} is not forgotten any more: who decided so had been forgotten before"
            );
        }
        Event::NoRoom(why) => log_no_room(why),
        Event::MapAdopted {
            id,
            shards,
            own,
            contradicts,
        } => {
            if contradicts {
                log::error!(
                    "nodes were started with different VIEW or SHARD_COUNT: the shards are dealt as in map {id}"
                );
            }
            let own = own.map_or_else(|| "none".to_owned(), |shard| shard.to_string());
            log::info!("shard map {id} holds: {shards} shards, of which this node keeps {own}");
        }
    }
}

fn log_no_room(why: NoRoom) {
    let why = match why {
        NoRoom::NobodyDown => "no member is down; one that is up holds them back",
        NoRoom::SmallerSide => "it may be this side that is cut off: not more than half are up",
    };
    log::warn!("there are too many tombstones, and nobody is forgotten for them: {why}");
}

fn log_forgets(address: Address, reason: ForgetReason) {
    let why = match reason {
        ForgetReason::Operator => "an operator decided so",
        ForgetReason::Age => "it has been down for too long",
        ForgetReason::Room => "too many deletes waited for it",
    };
    log::warn!("{address} is forgotten: {why}; what only it holds is missing until it returns");
}

impl Handler<Mail<Halt>> for View {
    type Result = ();

    fn handle(&mut self, _: Mail<Halt>, ctx: &mut Context<Self>) {
        ctx.terminate();
    }
}
