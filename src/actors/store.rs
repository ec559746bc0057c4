//! `Store`: holds the winners, answers reads, cuts differences for joins.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler};

use crate::core::id::{Domain, Key};
use crate::core::join::{Cut, JoinLimits, JoinSessions};
use crate::core::store::{Applied, Store as Winners};
use crate::core::wire::{JoinAnswer, JoinRefusal};
use crate::core::write::Version;
use crate::messages::causality::{DeleteConfirmed, DigestReport, Outcome, Seen, StoreFilled};
use crate::messages::lifecycle::Halt;
use crate::messages::mailbox::{Edge, Mail};
use crate::messages::store::{
    ApplyOwn, ApplyWrites, ProbeDelete, ReadDifference, ReadKey, ReadSummary,
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
    /// To `Causality`: a delete turned out to be a write.
    pub confirm: Edge<DeleteConfirmed>,
    /// To `Causality`: full, or not any more.
    pub filled: Edge<StoreFilled>,
    /// Where it counts.
    pub metrics: Metrics,
    /// Its time.
    pub uptime: Uptime,
}

/// The actor; see the module.
#[derive(Debug)]
pub struct Store {
    winners: Winners,
    sessions: JoinSessions,
    full: bool,
    parts: StoreParts,
}

impl Store {
    /// An empty store.
    pub fn new(parts: StoreParts) -> Self {
        Self {
            winners: Winners::new(),
            sessions: JoinSessions::new(parts.joins),
            full: false,
            parts,
        }
    }

    fn seen(&self, key: &Key, domain: Domain) -> Option<Seen> {
        let version = self.winners.get(key)?.clone();
        Some(Seen { domain, version })
    }

    fn gauge_sessions(&self) {
        let open = as_gauge(self.sessions.len());
        self.parts.metrics.join_sessions.set(open);
    }

    fn report_sizes(&mut self) {
        let summary = self.winners.summary();
        self.parts.metrics.set_store(summary);
        let full = summary.bytes >= self.parts.bytes_max;
        if full != self.full {
            self.full = full;
            self.parts.filled.tell(StoreFilled { full });
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
        let version = write.version.clone();
        let applied = self.winners.apply(write);
        debug_assert!(applied != Applied::Superseded, "stamped above all applied");
        self.report_sizes();
        // An asker that went away misses its answer, not its write.
        let _ = reply.send(outcome_of(applied, domain, version));
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
        let _ = reply.send(outcome);
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
            absent => drop(probe.reply.send(Outcome::Absent(absent))),
        }
    }
}

impl Handler<Mail<ReadDifference>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadDifference>, _: &mut Context<Self>) {
        let ask = mail.open();
        let winners = &self.winners;
        let cut = || Cut {
            from: ask.from,
            writes: winners.difference(&ask.request.covered),
            covered: ask.covered,
            time: ask.time,
        };
        let now = self.parts.uptime.now();
        let answer = self.sessions.answer(&ask.request, now, cut);
        if answer == JoinAnswer::Refused(JoinRefusal::Busy) {
            self.parts.metrics.joins_refused.inc();
        }
        self.gauge_sessions();
        let _ = ask.reply.send(answer);
    }
}

impl Handler<Mail<ReadSummary>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadSummary>, _: &mut Context<Self>) {
        let ask = mail.open();
        let _ = ask.reply.send(DigestReport {
            domain: ask.domain,
            covered: ask.covered,
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
