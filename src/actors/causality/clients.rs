//! What clients ask for.

use std::time::Duration;

use actix::{AsyncContext, Context, Handler};

use super::Causality;
use crate::core::Millis;
use crate::core::clock::{Clock, Clocks};
use crate::core::id::Key;
use crate::core::metadata::Metadata;
use crate::core::write::Content;
use crate::messages::causality::{
    ClientReply, ClientRequest, DeleteConfirmed, Operation, Outcome, Refusal, StoreFilled,
    TombstonesFilled,
};
use crate::messages::mailbox::Mail;
use crate::messages::store::{ApplyOwn, ProbeDelete, ReadKey};
use crate::metrics::as_gauge;

/// How long a request waits, if need be, for what is being handed over, in milliseconds; whatever its client is willing to wait.
const HAND_OVER_PATIENCE_MS: Millis = 1_000;

impl Causality {
    fn take_request(&mut self, request: ClientRequest, patience_ms: Millis) {
        if let Some(refusal) = self.closed().or_else(|| self.overload()) {
            return self.refuse(request.reply, refusal);
        }
        let key = request.operation.key();
        if key.is_some_and(|key| !self.state.keeps(key)) {
            return self.refuse(request.reply, Refusal::Moved);
        }
        if !self.is_ready(key) {
            return self.hold(request, patience_ms, Refusal::HandingOver);
        }
        match self.state.unmet(key, &request.metadata) {
            None => self.perform(request),
            Some(missing) if self.is_older(&missing) => {
                let due = !self.state.inherited().is_complete();
                let patience_ms = if due { patience_ms } else { 0 };
                self.hold(request, patience_ms, Refusal::Unmet { missing });
            }
            Some(missing) => {
                self.state.wish_given_up(&missing);
                self.park_or_refuse(request, missing);
            }
        }
    }

    fn is_ready(&self, key: Option<&Key>) -> bool {
        key.is_none_or(|key| self.state.inherited().is_ready(key))
    }

    /// Whether only hand-overs can bring this.
    fn is_older(&self, missing: &Clocks) -> bool {
        let map = self.state.domain().map;
        missing.iter().all(|(domain, _)| domain.map < map)
    }

    /// Parks a request until something was handed over; refuses it when it has waited for long enough.
    fn hold(&mut self, request: ClientRequest, patience_ms: Millis, refusal: Refusal) {
        let rules = &self.parts.rules;
        let wait = request.wait_ms.unwrap_or(rules.wait_default_ms);
        let wait = wait.min(rules.wait_max_ms).max(patience_ms);
        let deadline = self.parts.uptime.now() + wait;
        if wait == 0 {
            return self.refuse(request.reply, refusal);
        }
        let key = request.operation.key().cloned();
        match self.parking.park_apart((request, deadline), deadline) {
            Ok(()) => {
                self.parts.metrics.requests_parked.inc();
                self.gauge_parked();
                if let Some(key) = key {
                    self.want(&key);
                }
            }
            Err((request, _)) => {
                self.parts.metrics.parked_overflows.inc();
                self.refuse(request.reply, refusal);
            }
        }
    }

    pub(super) fn overload(&self) -> Option<Refusal> {
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
        if need.is_some() && self.parking.is_full() {
            self.parking
                .retain(|(request, _)| !request.reply.is_closed());
        }
        if need.is_some() && self.parking.is_full() {
            self.parts.metrics.parked_overflows.inc();
        }
        let (waiting, covered) = ((request, deadline), self.state.covered());
        let parked = match need {
            // It names what is lost, if nobody writes it again: that is for all members to agree on.
            Some(need) if !covered.lacks_any(&need) => self.parking.park_apart(waiting, deadline),
            need => {
                let need = need.unwrap_or_else(Clock::new);
                self.parking.park(waiting, need, deadline, covered)
            }
        };
        match parked {
            Ok(()) => {
                self.parts.metrics.requests_parked.inc();
                self.gauge_parked();
            }
            Err((request, _)) => self.refuse(request.reply, Refusal::Unmet { missing }),
        }
    }

    /// The metadata is met.
    fn perform(&mut self, request: ClientRequest) {
        let ClientRequest {
            operation,
            metadata,
            mut reply,
            ..
        } = request;
        let domain = self.state.domain();
        reply.settle_by(self.state.settlement().clone(), self.state.time());
        self.count_lost(&metadata);
        match operation {
            Operation::Get { key } => self.parts.edges.read.tell(ReadKey { key, domain, reply }),
            Operation::Put { .. } if self.store_full => self.refuse(reply, Refusal::StoreFull),
            Operation::Put { key, value } => {
                self.write(key, Content::Value(value), metadata, reply);
            }
            Operation::Delete { key } => self.parts.edges.probe_delete.tell(ProbeDelete {
                key,
                domain,
                metadata,
                reply,
            }),
            Operation::Check => reply.send(Outcome::Met),
        }
    }

    /// Metadata may name writes that are lost for ever: that is told, counted and logged, not refused.
    fn count_lost(&self, metadata: &Metadata) {
        let lost = self.state.settlement().lost(metadata);
        if !lost.is_empty() {
            self.parts.metrics.lost_named.inc();
            log::debug!("a client depends on writes that are lost: {lost:?}");
        }
    }

    fn write(&mut self, key: Key, content: Content, metadata: Metadata, mut reply: ClientReply) {
        reply.settle_by(self.state.settlement().clone(), self.state.time());
        let wall_ms = self.parts.wall.now_ms();
        let ahead_ms = self.state.skew(&metadata, wall_ms);
        if ahead_ms > self.parts.rules.max_drift_ms {
            return self.refuse(reply, Refusal::ClockSkew { ahead_ms });
        }
        let write = self.state.write(key, content, metadata, wall_ms);
        self.parts.metrics.writes_accepted.inc();
        let domain = self.state.domain();
        let publish = write.clone();
        self.parts.edges.apply_own.tell(ApplyOwn {
            write,
            domain,
            reply,
        });
        self.publish(publish);
    }

    fn refuse(&self, reply: ClientReply, refusal: Refusal) {
        let reason = match &refusal {
            Refusal::Unmet { .. } => "unmet",
            Refusal::Starting => "starting",
            Refusal::Removed => "removed",
            Refusal::Stopping => "stopping",
            Refusal::Moved => "moved",
            Refusal::HandingOver => "handing_over",
            Refusal::ClockSkew { .. } => "clock_skew",
            Refusal::StoreFull => "store_full",
            Refusal::Overloaded => "overloaded",
        };
        let refused = &self.parts.metrics.refused;
        refused.with_label_values(&[reason]).inc();
        reply.send(Outcome::Refused(refusal));
    }

    /// Lets go what the clock covers by now. To be called when the clock has risen, after the store was
    /// told of what it covers. In rounds, not by recursion: a released write may release another one.
    pub(super) fn release_parked(&mut self) {
        loop {
            let released = self.parking.release(self.state.covered());
            if released.is_empty() {
                break;
            }
            self.take_again(released);
        }
        self.gauge_parked();
    }

    /// Lets go what has waited for all members to agree on what is lost, as far as they have.
    pub(super) fn release_decided(&mut self) {
        let state = &self.state;
        let is_met = |(request, _): &(ClientRequest, _)| {
            let key = request.operation.key();
            let ready = key.is_none_or(|key| state.inherited().is_ready(key));
            ready && state.unmet(key, &request.metadata).is_none()
        };
        let released = self.parking.release_apart(is_met);
        if !released.is_empty() {
            self.take_again(released);
            self.release_parked();
        }
    }

    fn take_again(&mut self, released: Vec<(ClientRequest, Millis)>) {
        let now = self.parts.uptime.now();
        for (mut request, deadline) in released {
            // A client that has gone is not written for behind its back.
            if !request.reply.is_closed() {
                request.wait_ms = Some(deadline.saturating_sub(now));
                self.take_request(request, 0);
            }
        }
    }

    /// Refuses what has waited for long enough, and has this done again when the next is due.
    fn mind_deadlines(&mut self, ctx: &mut Context<Self>) {
        let now = self.parts.uptime.now();
        let expired = self.parking.expire(now);
        if !expired.is_empty() {
            self.keep_wanted();
        }
        for (mut request, _) in expired {
            request.wait_ms = Some(0);
            self.take_request(request, 0);
        }
        self.gauge_parked();
        let Some(due) = self.parking.next_deadline() else {
            return;
        };
        if self.alarm.is_some_and(|(alarm, _)| alarm <= due) {
            return;
        }
        // One alarm at a time: each that is left over would set another one when it rings.
        if let Some((_, later)) = self.alarm.take() {
            ctx.cancel_future(later);
        }
        let ring = ctx.run_later(Duration::from_millis(due - now), |causality, ctx| {
            causality.alarm = None;
            causality.mind_deadlines(ctx);
        });
        self.alarm = Some((due, ring));
    }

    pub(super) fn refuse_parked(&mut self) {
        for (request, _) in self.parking.drain() {
            let refusal = self.closed().unwrap_or(Refusal::Overloaded);
            self.refuse(request.reply, refusal);
        }
        self.gauge_parked();
    }

    /// Keys are dealt anew: whoever routed these finds who has them now.
    pub(super) fn move_parked(&mut self) {
        for (request, _) in self.parking.drain() {
            self.refuse(request.reply, Refusal::Moved);
        }
        self.gauge_parked();
    }

    fn gauge_parked(&self) {
        let parked = as_gauge(self.parking.len());
        self.parts.metrics.parked_requests.set(parked);
    }
}

impl Handler<Mail<ClientRequest>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ClientRequest>, ctx: &mut Context<Self>) {
        self.take_request(mail.open(), HAND_OVER_PATIENCE_MS);
        self.release_parked();
        self.mind_deadlines(ctx);
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
        // This replica may have been born again since the metadata was found to be met, or keys dealt anew.
        let moved = || (!self.state.keeps(&key)).then_some(Refusal::Moved);
        let unready = || (!self.is_ready(Some(&key))).then_some(Refusal::HandingOver);
        let unmet = || {
            self.state
                .unmet(Some(&key), &metadata)
                .map(|missing| Refusal::Unmet { missing })
        };
        let refusal = self.closed().or_else(moved).or_else(unready);
        match refusal.or_else(unmet) {
            Some(refusal) => self.refuse(reply, refusal),
            None => self.write(key, Content::Tombstone, metadata, reply),
        }
        self.release_parked();
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

impl Handler<Mail<TombstonesFilled>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<TombstonesFilled>, _: &mut Context<Self>) {
        self.tombstones_full = mail.open().full;
        if self.tombstones_full {
            log::warn!("as many tombstones as tombstones-max allows");
        } else {
            log::info!("fewer tombstones than tombstones-max allows again");
        }
    }
}
