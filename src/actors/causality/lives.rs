//! The life and end of origins: agreement, collection, rebirth (design §5, ADR 11).

use actix::{Context, Handler};
use rand::Rng;

use super::Causality;
use crate::core::agreement::Holder;
use crate::core::aside::Settled;
use crate::core::id::{Incarnation, Origin};
use crate::core::stamp::HlcTime;
use crate::core::wire::Status;
use crate::core::write::Write;
use crate::messages::causality::{OwnLifeSuperseded, Reissue};
use crate::messages::mailbox::Mail;
use crate::messages::peers::Publish;
use crate::messages::store::{ApplyWrites, Collect, KeepAside, SetAside, SettleAside};
use crate::messages::view::{ForgetLongestDown, IncarnationRenewed};
use crate::metrics::as_gauge;

impl Causality {
    /// Takes note of a life that was seen. What earlier ones have parked is gone by that.
    pub(super) fn learn_life(&mut self, seen: Origin) {
        self.state.learn_life(seen);
        self.gauge_buffer();
        self.mind_own_life();
    }

    /// A peer says that the present life is over, and knows this one of its address, or a bound below later ones.
    pub(super) fn be_outlived(&mut self, by: Incarnation) {
        self.state.be_outlived(by);
        self.mind_own_life();
    }

    /// Begins a new life if somebody knows a later one of this address than its own (a wall clock was set back across a
    /// restart), or it was forgotten. A removed replica waits with that until it is taken back.
    pub(super) fn mind_own_life(&mut self) {
        if self.state.is_outlived() && !self.serving.is_removed() {
            self.be_reborn("a later life of this address was known, or this one was forgotten");
        }
    }

    /// Sets everything aside and begins a new life: what the others have, a join brings; what they do not have is written
    /// again when that is known. No dot is ever reused, since the new origin is new.
    pub(super) fn be_reborn(&mut self, why: &str) {
        let random = self.parts.rng.next_u64();
        let origin = self.state.be_reborn(self.parts.wall.now_ms(), random);
        log::warn!("{why}; going on as {origin}, after a join from the others");
        self.parts.metrics.incarnations_renewed.inc();
        self.begin_with_nothing();
        let incarnation = origin.incarnation;
        let renewed = &self.parts.edges.renewed;
        renewed.tell(IncarnationRenewed { incarnation });
        self.beat();
    }

    /// The state is a fresh one: what the store has is set aside, and a live peer is waited for as at the start.
    pub(super) fn begin_with_nothing(&mut self) {
        self.parts.edges.set_aside.tell(SetAside);
        self.begin_domain();
        self.serving.start_again(self.parts.uptime.now());
        self.refuse_parked();
    }

    /// Nothing of what was under way concerns the present state.
    pub(super) fn begin_domain(&mut self) {
        self.settling = false;
        self.collected = HlcTime::ZERO;
        self.crowded_since = None;
        self.repair.ended();
        self.dealing.donors.clear();
        self.dealing.wanted.clear();
        self.dealing.taking_over = None;
        self.dealing.ahead.clear();
        self.gauge_buffer();
    }

    pub(super) fn frontier(&mut self) -> HlcTime {
        let now = self.parts.uptime.now();
        let wall_ms = self.parts.wall.now_ms();
        self.state.frontier(now, wall_ms, &self.parts.rules.ends)
    }

    /// Once in a heartbeat: ends lives, collects tombstones, sees to what was set aside.
    pub(super) fn mind_ends(&mut self) {
        if self.serving.status() != Status::Serving {
            return;
        }
        let wall_ms = self.parts.wall.now_ms();
        let floors = self.state.covered().floors().to_vec();
        for marker in self.state.end_lives(wall_ms) {
            self.parts.metrics.lives_retired.inc();
            self.publish(marker);
        }
        self.state.give_up();
        if self.state.covered().floors() != floors {
            self.release_parked();
        }
        self.release_decided();
        self.keep_wanted();
        let rules = self.parts.rules.ends;
        self.state.expire_ended(&rules);
        let remembered = as_gauge(self.state.ended().len());
        self.parts.metrics.lives_remembered.set(remembered);
        self.collect(wall_ms);
        self.mind_crowd();
        self.settle_aside();
    }

    fn collect(&mut self, wall_ms: u64) {
        let frontier = self.frontier();
        let holder = self.state.collect(frontier, &self.parts.rules.ends).err();
        let upto = self.state.collected();
        if upto > self.collected {
            self.collected = upto;
            let age_ms = wall_ms.saturating_sub(upto.ms);
            self.parts.metrics.stable_age.set(as_gauge(age_ms / 1_000));
            self.parts.edges.collect.tell(Collect { upto });
        }
        if holder != self.holder {
            self.name_holder(holder);
        }
    }

    fn name_holder(&mut self, holder: Option<Holder>) {
        let member = |holder: Holder| match holder {
            Holder::Silent(member) | Holder::Behind(member) => member.to_string(),
        };
        let gauge = &self.parts.metrics.held_back_by;
        if let Some(before) = self.holder {
            // It may never have been shown.
            let _ = gauge.remove_label_values(&[&member(before)]);
        }
        if let Some(now) = holder {
            gauge.with_label_values(&[&member(now)]).set(1);
        }
        self.holder = holder;
    }

    /// Has room made while there are too many tombstones and some member holds them back. Whom, if anybody, the view decides.
    fn mind_crowd(&mut self) {
        let now = self.parts.uptime.now();
        let crowded = self.tombstones_full && self.state.may_forgetting_help(self.holder);
        self.parts
            .metrics
            .tombstones_crowded
            .set(i64::from(crowded));
        let since = crowded.then(|| self.crowded_since.unwrap_or(now));
        self.crowded_since = since;
        if let Some(since) = since {
            let crowded_ms = now - since;
            let make_room = &self.parts.edges.make_room;
            make_room.tell(ForgetLongestDown { crowded_ms });
        }
    }

    fn settle_aside(&mut self) {
        if self.settling || !self.state.may_write_again() {
            return;
        }
        self.settling = true;
        self.parts.edges.settle_aside.tell(SettleAside {
            by: self.state.origin(),
            present: self.state.present(),
        });
    }

    fn reissue(&mut self, reissue: Reissue) {
        let Reissue {
            by,
            settled,
            given_up,
        } = reissue;
        if by.incarnation < self.dealing.entered {
            return self.give_up_aside(&settled);
        }
        if by != self.state.origin() {
            // An earlier life had asked; what it would have written again may be known by now.
            return self.keep_aside(settled);
        }
        self.settling = false;
        if self.serving.status() != Status::Serving {
            return self.keep_aside(settled);
        }
        let lost = settled.lost.clone();
        let wall_ms = self.parts.wall.now_ms();
        match self.state.write_again(settled, &given_up, wall_ms) {
            Ok(issued) => self.written_again(issued, &lost),
            Err(settled) => self.keep_aside(settled),
        }
    }

    /// Keys have been dealt anew since: by what is known in the new domain nobody can tell what the others lack of these.
    fn give_up_aside(&self, settled: &Settled) {
        let count = settled.reissue.len() + settled.lost.len();
        log::warn!("{count} writes of an earlier life that were to be written again are given up");
        self.parts.metrics.writes_lost.inc_by(count as u64);
    }

    fn keep_aside(&self, settled: Settled) {
        self.parts.edges.keep_aside.tell(KeepAside { settled });
    }

    fn written_again(&mut self, issued: Vec<Write>, lost: &[Write]) {
        for write in lost {
            let (key, dot) = (write.key.as_str(), write.dot());
            log::warn!(
                "{dot} of key {key:?} is given up: others may have gone on without it, or it was deleted since"
            );
        }
        let metrics = &self.parts.metrics;
        metrics.writes_lost.inc_by(lost.len() as u64);
        metrics.writes_reissued.inc_by(issued.len() as u64);
        if issued.is_empty() {
            return;
        }
        let count = issued.len();
        log::info!("{count} writes of an earlier life are written again");
        let writes = issued.clone();
        self.parts.edges.apply.tell(ApplyWrites { writes });
        for write in issued {
            self.publish(write);
        }
        self.release_parked();
    }

    pub(super) fn publish(&self, write: Write) {
        let domain = self.state.domain();
        self.parts.edges.publish.tell(Publish { domain, write });
    }
}

impl Handler<Mail<Reissue>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<Reissue>, _: &mut Context<Self>) {
        self.reissue(mail.open());
    }
}

impl Handler<Mail<OwnLifeSuperseded>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<OwnLifeSuperseded>, _: &mut Context<Self>) {
        self.be_outlived(mail.open().incarnation);
    }
}
