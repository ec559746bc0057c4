//! What takes long is done in slices, so that no other actor of the thread has to wait for it: taking over what was written under older maps, and letting go of what
//! is held no longer.

use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler};

use super::Store;
use crate::core::frozen::{Frozen, Share};
use crate::core::join::JoinSessions;
use crate::messages::mailbox::Mail;
use crate::messages::store::{ApplyOlder, Collect, DropFrozen, Freeze, TakeOwn};

/// Between two slices.
const SLICE_EVERY: Duration = Duration::from_millis(3);

impl Store {
    /// All that was taken over is among the winners.
    pub(super) fn finish_taking(&mut self) {
        self.taking.finish(&mut self.winners);
        self.collect_due();
    }

    /// Does a slice of what takes long, and sees to the next one.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if self.taking.is_empty() {
            self.remains.shed(self.parts.joins.slice());
        } else {
            if let Some(frozen) = self.taking.go_on(&mut self.winners) {
                self.remains.add(frozen);
            }
            self.collect_due();
            self.report_sizes();
        }
        let is_done = self.taking.is_empty() && self.remains.is_empty();
        if !self.slice_due && !is_done {
            self.slice_due = true;
            ctx.run_later(SLICE_EVERY, |store, ctx| {
                store.slice_due = false;
                store.go_on(ctx);
            });
        }
    }

    fn collect_due(&mut self) {
        let collected = self.taking.collect_due(&mut self.winners) as u64;
        self.parts.metrics.tombstones_collected.inc_by(collected);
    }

    /// Takes over from what is frozen here.
    fn take_own(&mut self, share: Share) {
        self.taking.own(&self.frozen, share, &mut self.winners);
    }
}

impl Handler<Mail<Collect>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<Collect>, _: &mut Context<Self>) {
        self.taking.collect(mail.open().upto);
        self.collect_due();
        self.report_sizes();
    }
}

impl Handler<Mail<ApplyOlder>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<ApplyOlder>, ctx: &mut Context<Self>) {
        self.taking.bring(mail.open().older, &mut self.winners);
        self.go_on(ctx);
    }
}

impl Handler<Mail<Freeze>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<Freeze>, ctx: &mut Context<Self>) {
        let Freeze {
            deal,
            life,
            claim,
            share,
        } = mail.open();
        self.finish_taking();
        let winners = std::mem::take(&mut self.winners);
        self.frozen.push(Arc::new(Frozen {
            deal,
            life,
            claim,
            winners,
        }));
        // Which of these the others lack can be told only by the clocks of the domain that was left.
        let aside = self.aside.clear();
        if aside > 0 {
            log::warn!(
                "{aside} writes of an earlier life that were to be written again are given up"
            );
            self.parts.metrics.writes_lost.inc_by(aside as u64);
        }
        self.sessions = JoinSessions::new(self.parts.joins);
        self.forget_hand_overs();
        self.gauge_frozen();
        if let Some(share) = share {
            self.take_own(share);
        }
        self.gauge_sessions();
        self.gauge_aside();
        self.report_sizes();
        self.go_on(ctx);
    }
}

impl Handler<Mail<TakeOwn>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<TakeOwn>, ctx: &mut Context<Self>) {
        self.take_own(mail.open().share);
        self.report_sizes();
        self.go_on(ctx);
    }
}

impl Handler<Mail<DropFrozen>> for Store {
    type Result = ();

    fn handle(&mut self, mail: Mail<DropFrozen>, ctx: &mut Context<Self>) {
        let DropFrozen { given_up, domain } = mail.open();
        let goes =
            |frozen: &mut Arc<Frozen>| domain.is_none_or(|domain| frozen.claim.domain == domain);
        let frozen: Vec<_> = self.frozen.extract_if(.., goes).collect();
        let writes: u64 = frozen.iter().map(|frozen| frozen.len()).sum();
        if given_up && writes > 0 {
            log::warn!(
                "{writes} writes that this node had before keys were dealt anew are given up"
            );
            self.parts.metrics.writes_lost.inc_by(writes);
        }
        self.gauge_frozen();
        self.forget_hand_overs();
        self.gauge_sessions();
        for frozen in frozen {
            self.remains.add(frozen);
        }
        self.go_on(ctx);
    }
}
