//! `Store`: holds the winners, answers reads, cuts differences for joins.

mod slices;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler};

use crate::core::aside::{Aside, Settled};
use crate::core::coverage::Coverage;
use crate::core::frozen::{Frozen, HandOver, held_for, said_with};
use crate::core::id::{Domain, Key};
use crate::core::join::{Cut, JoinLimits, JoinSessions, paged};
use crate::core::remains::Remains;
use crate::core::store::{Applied, Store as Winners};
use crate::core::taking::Taking;
use crate::core::wire::{JoinAnswer, JoinPage, JoinRefusal, JoinRest, Wants};
use crate::core::write::Version;
use crate::messages::causality::{
    DeleteConfirmed, DigestReport, Outcome, Reissue, Seen, StoreFilled, TombstonesFilled,
};
use crate::messages::lifecycle::Halt;
use crate::messages::mailbox::{Edge, Mail};
use crate::messages::store::{
    ApplyOwn, ApplyWrites, KeepAside, ProbeDelete, ReadDifference, ReadHandOver, ReadKey,
    ReadSummary, SetAside, SettleAside,
};
use crate::metrics::{Metrics, as_gauge};
use crate::time::Uptime;

/// What a [`Store`] is made of.
#[derive(Debug)]
pub struct StoreParts {
    /// Bounds of the join sessions.
    pub joins: JoinLimits,
    /// Bytes from which the store counts as full.
    pub bytes_max: u64,
    /// Tombstones from which members that are down are forgotten.
    pub tombstones_max: u64,
    /// To `Causality`: a delete turned out to be a write.
    pub confirm: Edge<DeleteConfirmed>,
    /// To `Causality`: full, or not any more.
    pub filled: Edge<StoreFilled>,
    /// To `Causality`: as many tombstones as are kept, or fewer again.
    pub crowded: Edge<TombstonesFilled>,
    /// To `Causality`: what was set aside is to be written again.
    pub reissue: Edge<Reissue>,
    /// Where it counts.
    pub metrics: Metrics,
    /// Its time.
    pub uptime: Uptime,
}

/// The actor; see the module.
#[derive(Debug)]
pub struct Store {
    winners: Winners,
    sessions: JoinSessions<Vec<JoinPage>>,
    /// What this node had under older maps.
    frozen: Vec<Arc<Frozen>>,
    /// Of those who take it over.
    hand_overs: JoinSessions<HandOver>,
    /// Of those who ask for single keys of it.
    key_hand_overs: JoinSessions<Vec<JoinPage>>,
    /// What was taken over, and is not among the winners yet.
    taking: Taking,
    /// What is held no longer, and not gone yet.
    remains: Remains,
    /// Whether the next slice has its time.
    slice_due: bool,
    aside: Aside,
    full: bool,
    crowded: bool,
    parts: StoreParts,
}

impl Store {
    /// An empty store.
    pub fn new(parts: StoreParts) -> Self {
        Self {
            winners: Winners::new(),
            sessions: JoinSessions::new(parts.joins),
            frozen: Vec::new(),
            hand_overs: JoinSessions::new(parts.joins),
            key_hand_overs: JoinSessions::new(parts.joins),
            taking: Taking::new(parts.joins.slice()),
            remains: Remains::new(),
            slice_due: false,
            aside: Aside::new(),
            full: false,
            crowded: false,
            parts,
        }
    }

    fn seen(&mut self, key: &Key, domain: Domain) -> Option<Seen> {
        self.taking.settle(key, &mut self.winners);
        let version = self.winners.get(key)?.clone();
        let older = self.winners.older_domain(&version.dot.origin);
        let domain = older.unwrap_or(domain);
        Some(Seen { domain, version })
    }

    /// What is open was cut of what was frozen before.
    fn forget_hand_overs(&mut self) {
        self.hand_overs = JoinSessions::new(self.parts.joins);
        self.key_hand_overs = JoinSessions::new(self.parts.joins);
    }

    fn gauge_sessions(&self) {
        let held = self.hand_overs.len() + self.key_hand_overs.len();
        let open = as_gauge(self.sessions.len() + held);
        self.parts.metrics.join_sessions.set(open);
    }

    fn gauge_frozen(&self) {
        let frozen: u64 = self.frozen.iter().map(|frozen| frozen.len()).sum();
        self.parts.metrics.keys_frozen.set(as_gauge(frozen));
    }

    fn gauge_aside(&self) {
        let aside = as_gauge(self.aside.len());
        self.parts.metrics.writes_aside.set(aside);
    }

    fn report_sizes(&mut self) {
        let summary = self.winners.summary();
        self.parts.metrics.set_store(summary);
        let full = summary.bytes >= self.parts.bytes_max;
        if full != self.full {
            self.full = full;
            self.parts.filled.tell(StoreFilled { full });
        }
        let crowded = summary.tombstones >= self.parts.tombstones_max;
        if crowded != self.crowded {
            self.crowded = crowded;
            self.parts.crowded.tell(TombstonesFilled { full: crowded });
        }
    }
}

impl Actor for Store {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // A cut that an asker has left unread is let go even if nobody ever asks again.
        let every = Duration::from_millis(self.parts.joins.session_ms.max(1));
        ctx.run_interval(every, |store, _| {
            store.sessions.expire(store.parts.uptime.now());
            store.hand_overs.expire(store.parts.uptime.now());
            store.key_hand_overs.expire(store.parts.uptime.now());
            store.gauge_sessions();
        });
    }
}

impl Handler<Mail<ApplyWrites>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<ApplyWrites>, _: &mut Context<Self>) {
        for write in mail.open().writes {
            self.winners.apply(write);
        }
        self.report_sizes();
    }
}

impl Handler<Mail<ApplyOwn>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<ApplyOwn>, _: &mut Context<Self>) {
        let ApplyOwn {
            write,
            domain,
            reply,
        } = mail.open();
        self.taking.settle(&write.key, &mut self.winners);
        let version = write.version.clone();
        let applied = self.winners.apply(write);
        debug_assert!(applied != Applied::Superseded, "stamped above all applied");
        self.report_sizes();
        reply.send(outcome_of(applied, domain, version));
    }
}

fn outcome_of(applied: Applied, domain: Domain, version: Arc<Version>) -> Outcome {
    let was_live = applied == Applied::Won { was_live: true };
    let is_live = version.content.is_live();
    let seen = Seen { domain, version };
    match (is_live, was_live) {
        (true, true) => Outcome::Replaced(seen),
        (true, false) => Outcome::Created(seen),
        (false, true) => Outcome::Deleted(seen),
        (false, false) => Outcome::Overtaken(seen),
    }
}

impl Handler<Mail<ReadKey>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadKey>, _: &mut Context<Self>) {
        let ReadKey { key, domain, reply } = mail.open();
        let outcome = match self.seen(&key, domain) {
            Some(seen) if seen.version.content.is_live() => Outcome::Found(seen),
            other => Outcome::Absent(other),
        };
        reply.send(outcome);
    }
}

impl Handler<Mail<ProbeDelete>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<ProbeDelete>, _: &mut Context<Self>) {
        let probe = mail.open();
        match self.seen(&probe.key, probe.domain) {
            Some(seen) if seen.version.content.is_live() => {
                self.parts.confirm.tell(DeleteConfirmed {
                    key: probe.key,
                    metadata: probe.metadata,
                    reply: probe.reply,
                });
            }
            absent => probe.reply.send(Outcome::Absent(absent)),
        }
    }
}

impl Handler<Mail<ReadDifference>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadDifference>, _: &mut Context<Self>) {
        let ask = mail.open();
        if ask.request.page == 0 && !self.taking.is_empty() {
            // It lasts a second, and to do it at once would hold up everybody.
            self.parts.metrics.joins_refused.inc();
            let _ = ask.reply.send(JoinAnswer::Refused(JoinRefusal::Busy));
            return;
        }
        let winners = &self.winners;
        let cut = || Cut {
            from: ask.from,
            writes: winners.difference(&ask.request.covered),
            older: winners.older_difference(|domain| {
                let claims = ask.request.claims.iter();
                let mut claims = claims.filter(|claim| claim.domain == *domain);
                claims.next().map(|claim| &claim.covered)
            }),
            covered: ask.covered,
            time: ask.time,
            rest: ask.rest,
        };
        let now = self.parts.uptime.now();
        let pages = |limits: JoinLimits| paged(cut(), limits.page_bytes);
        let answer = self.sessions.answer(&ask.request, now, pages);
        if answer == JoinAnswer::Refused(JoinRefusal::Busy) {
            self.parts.metrics.joins_refused.inc();
        }
        self.gauge_sessions();
        let _ = ask.reply.send(answer);
    }
}

impl Handler<Mail<SetAside>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<SetAside>, _: &mut Context<Self>) {
        self.finish_taking();
        let SetAside = mail.open();
        // A join brings these, or whoever holds them still.
        self.winners.drop_older();
        self.aside.put(self.winners.drain());
        // What is open was cut by a life that is over.
        self.sessions = JoinSessions::new(self.parts.joins);
        self.gauge_sessions();
        self.gauge_aside();
        self.report_sizes();
    }
}

impl Handler<Mail<ReadHandOver>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadHandOver>, _: &mut Context<Self>) {
        let ask = mail.open();
        let frozen = &self.frozen;
        let rest = JoinRest {
            inherited: said_with(frozen, ask.from.address, ask.inherited),
            ..JoinRest::default()
        };
        let now = self.parts.uptime.now();
        let answer = if let Wants::Keys(keys) = &ask.request.wants {
            let cut = || Cut {
                from: ask.from,
                covered: Coverage::new(),
                time: ask.time,
                writes: Vec::new(),
                older: held_for(frozen, &ask.share, keys),
                rest,
            };
            let pages = |limits: JoinLimits| paged(cut(), limits.page_bytes);
            self.key_hand_overs.answer(&ask.request, now, pages)
        } else {
            let pages = |limits| {
                let page = JoinPage {
                    from: ask.from,
                    covered: Coverage::new(),
                    time: ask.time,
                    writes: Vec::new(),
                    older: Vec::new(),
                    left: 0,
                    rest: None,
                };
                HandOver::new(frozen, ask.share, (page, rest), limits)
            };
            self.hand_overs.answer(&ask.request, now, pages)
        };
        if answer == JoinAnswer::Refused(JoinRefusal::Busy) {
            self.parts.metrics.joins_refused.inc();
        }
        self.gauge_sessions();
        let _ = ask.reply.send(answer);
    }
}

impl Handler<Mail<KeepAside>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<KeepAside>, _: &mut Context<Self>) {
        let Settled { reissue, lost } = mail.open().settled;
        self.aside.put(reissue.into_iter().chain(lost));
        self.gauge_aside();
    }
}

impl Handler<Mail<SettleAside>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<SettleAside>, _: &mut Context<Self>) {
        let SettleAside { by, present } = mail.open();
        self.finish_taking();
        let settled = self.aside.settle(&present, &self.winners);
        self.gauge_aside();
        self.parts.reissue.tell(Reissue {
            by,
            settled,
            given_up: present.given_up,
        });
    }
}

impl Handler<Mail<ReadSummary>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadSummary>, _: &mut Context<Self>) {
        let ask = mail.open();
        self.finish_taking();
        let _ = ask.reply.send(DigestReport {
            origin: ask.origin,
            domain: ask.domain,
            covered: ask.covered,
            ended: ask.ended,
            summary: self.winners.summary(),
        });
    }
}

impl Handler<Mail<Halt>> for Store {
    type Result = ();

    fn handle(&mut self, _: Mail<Halt>, ctx: &mut Context<Self>) {
        ctx.terminate();
    }
}
