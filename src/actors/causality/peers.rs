//! What peers send, and repair.

use actix::{Context, Handler};

use super::Causality;
use crate::core::causality::{Joined, Untaken, Unusable};
use crate::core::id::{Address, Domain};
use crate::core::join::Cut;
use crate::core::serving::{Admission, Mending};
use crate::core::wire::{
    Batch, Digest, HeartbeatAnswer, JoinAnswer, JoinRequest, PushAnswer, PushRefusal, Status, Wants,
};
use crate::core::write::Write;
use crate::messages::causality::{Deliver, DigestReceived, ExchangeDigest, JoinEnded, ReadJoin};
use crate::messages::mailbox::{Mail, Reply};
use crate::messages::peers::FetchJoin;
use crate::messages::store::{ApplyWrites, ReadDifference};
use crate::metrics::as_gauge;

impl Causality {
    fn deliver(&mut self, deliver: Deliver) {
        let Deliver {
            batch,
            removed,
            reply,
        } = deliver;
        let admission = self.admission(batch.domain, self.overload().is_none());
        let refusal = self.serving.refuses_push(admission);
        let answer = match refusal.map_or_else(|| self.admit(batch), Err) {
            Ok(()) => PushAnswer::Admitted,
            Err(PushRefusal::Superseded(_)) if removed => {
                PushAnswer::Refused(PushRefusal::NotServing)
            }
            Err(refusal) => PushAnswer::Refused(refusal),
        };
        let _ = reply.send(answer);
    }

    fn admission(&self, theirs: Domain, room: bool) -> Admission {
        Admission {
            theirs,
            own: self.state.domain(),
            room,
        }
    }

    fn admit(&mut self, batch: Batch) -> Result<(), PushRefusal> {
        let from = batch.from.address;
        let delivery = match self.state.deliver(batch) {
            Ok(delivery) => delivery,
            Err(untaken) => return Err(self.heed_untaken(from, untaken)),
        };
        let metrics = &self.parts.metrics;
        metrics.writes_parked.inc_by(delivery.parked as u64);
        metrics.writes_early.inc_by(delivery.gaps as u64);
        metrics.writes_released.inc_by(delivery.released as u64);
        metrics.writes_duplicate.inc_by(delivery.duplicates as u64);
        metrics.writes_dropped.inc_by(delivery.dropped as u64);
        metrics.writes_delivered.inc_by(delivery.ready.len() as u64);
        if delivery.dropped > 0 {
            self.repair.give_up_waiting();
        }
        self.apply(delivery.ready);
        Ok(())
    }

    fn heed_untaken(&mut self, from: Address, untaken: Untaken) -> PushRefusal {
        match untaken {
            Untaken::Superseded(life) => PushRefusal::Superseded(life),
            Untaken::Late | Untaken::Unagreed => PushRefusal::Late,
            Untaken::LeftOut => {
                self.be_left_out(from);
                PushRefusal::NotServing
            }
        }
    }

    fn apply(&mut self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.parts.edges.apply.tell(ApplyWrites { writes });
        }
        // Even without a write the clock may have risen: what a join covers may be overwritten already.
        self.release_parked();
        self.gauge_buffer();
    }

    pub(super) fn gauge_buffer(&self) {
        let (buffer, metrics) = (self.state.buffer(), &self.parts.metrics);
        metrics.buffer_writes.set(as_gauge(buffer.writes()));
        metrics.buffer_bytes.set(as_gauge(buffer.bytes()));
    }

    /// False if the digest is not to be heeded.
    fn consider(&mut self, digest: &Digest, may_join: bool) -> bool {
        let heeded = self.state.heed(digest);
        self.mind_hand_over(digest, may_join);
        self.gauge_buffer();
        self.mind_own_life();
        if !heeded {
            return false;
        }
        self.gauge_clock(digest);
        let due = match self.serving.mending() {
            Mending::ByLack => {
                let (have, now) = (self.state.covered(), self.parts.uptime.now());
                self.repair.consider(digest, have, may_join, now)
            }
            Mending::Whole => {
                let now = self.parts.uptime.now();
                self.repair.bootstrap(digest, may_join, now)
            }
            Mending::No => false,
        };
        if due {
            self.join_began = self.parts.uptime.now();
            self.fetch(digest.from.address, Wants::State);
        }
        true
    }

    fn gauge_clock(&self, digest: &Digest) {
        let ahead_ms = digest.promise.ms.saturating_sub(self.parts.wall.now_ms());
        let peer = digest.from.address.to_string();
        let gauge = self.parts.metrics.clock_ahead.with_label_values(&[&peer]);
        let ahead_ms = as_gauge(ahead_ms);
        if ahead_ms > gauge.get() {
            let limit = as_gauge(self.parts.rules.max_drift_ms);
            if ahead_ms > limit && gauge.get() <= limit {
                log::warn!(
                    "the clock of {peer} is {ahead_ms} ms ahead of this one's, beyond the drift allowed"
                );
            }
            gauge.set(ahead_ms);
        }
    }

    /// Asks a peer; answered by a `JoinEnded`.
    pub(super) fn fetch(&mut self, from: Address, wants: Wants) {
        log::debug!("asking {from} for {wants:?}");
        let request = JoinRequest {
            from: self.state.origin(),
            domain: self.state.domain(),
            wants,
            covered: self.state.covered().clone(),
            claims: self.state.inherited().claims(),
            session: self.next_session,
            page: 0,
        };
        self.next_session += 1;
        self.parts.edges.fetch.tell(FetchJoin { from, request });
    }

    fn cut_difference(&self, request: JoinRequest, reply: Reply<JoinAnswer>) {
        self.parts.edges.difference.tell(ReadDifference {
            request,
            from: self.state.origin(),
            covered: self.state.covered().clone(),
            time: self.state.time(),
            rest: self.state.rest(),
            reply,
        });
    }

    fn join_ended(&mut self, ended: JoinEnded) {
        let JoinEnded {
            from,
            asker,
            wants,
            result,
        } = ended;
        if asker != self.state.origin() {
            // An earlier life had asked.
            return;
        }
        match wants {
            Wants::State => self.state_ended(from, result),
            Wants::HandOver => self.hand_over_ended(from, result),
            Wants::Keys(keys) => self.keys_ended(from, &keys, result),
        }
    }

    fn state_ended(&mut self, from: Address, result: Result<Cut, String>) {
        self.repair.ended();
        let joined = result.and_then(|cut| {
            self.state
                .join(cut)
                .map_err(|why| self.heed_unusable(from, why))
        });
        let repairs = &self.parts.metrics.repairs;
        match joined {
            Ok(joined) => {
                repairs.with_label_values(&["ok"]).inc();
                self.install(from, joined);
            }
            Err(reason) => {
                repairs.with_label_values(&["failed"]).inc();
                log::info!("join from {from} failed: {reason}");
                self.serving.wait_again(self.parts.uptime.now());
            }
        }
    }

    fn heed_unusable(&mut self, from: Address, why: Unusable) -> String {
        match why {
            Unusable::Outlived(life) => self.be_outlived(life),
            Unusable::LeftOut => self.be_left_out(from),
            Unusable::Ended | Unusable::Late | Unusable::Unagreed => {}
        }
        why.to_string()
    }

    /// What `from` has shown. A join from one that was left out as well would bring back what this replica is born again for.
    fn be_left_out(&mut self, from: Address) {
        self.be_reborn("the others have agreed on ends without this replica");
        let (patience_ms, now) = (self.parts.rules.bootstrap_ms, self.parts.uptime.now());
        self.repair.ask_first(from, patience_ms, now);
    }

    fn install(&mut self, from: Address, joined: Joined) {
        let Joined { writes, older } = joined;
        let inherited: usize = older.iter().map(|older| older.writes.len()).sum();
        let keys = writes.len() + inherited;
        let took = self.parts.uptime.now() - self.join_began;
        let relayed = writes.iter().filter(|w| w.dot().origin.address != from);
        let metrics = &self.parts.metrics;
        metrics.relayed_keys.inc_by(relayed.count() as u64);
        metrics.repaired_keys.inc_by(keys as u64);
        self.apply_older(older);
        self.apply(writes);
        self.release_decided();
        if self.serving.status() == Status::Starting {
            log::info!("caught up from {from}: {keys} keys in {took} ms");
            self.serve();
        } else if keys > 0 {
            log::info!("repaired {keys} keys from {from} in {took} ms");
        }
        self.mind_own_life();
    }

    pub(super) fn serve(&mut self) {
        self.serving.caught_up();
        self.take_over_own();
        log::info!("serving as {}", self.state.origin());
        self.mind_ends();
        self.beat();
    }
}

impl Handler<Mail<Deliver>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<Deliver>, _: &mut Context<Self>) {
        self.deliver(mail.open());
        self.mind_own_life();
    }
}

impl Handler<Mail<ExchangeDigest>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ExchangeDigest>, _: &mut Context<Self>) {
        let exchange = mail.open();
        self.consider(&exchange.digest, exchange.may_join);
        let over = self.state.successor(exchange.digest.from);
        let answer = match over.filter(|_| !exchange.removed) {
            Some(life) => HeartbeatAnswer::Superseded(life),
            None => HeartbeatAnswer::Digest(self.digest(exchange.steady)),
        };
        let _ = exchange.reply.send(answer);
    }
}

impl Handler<Mail<DigestReceived>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<DigestReceived>, _: &mut Context<Self>) {
        let DigestReceived { digest, may_join } = mail.open();
        if self.consider(&digest, may_join) && digest.bootstrapped {
            // It answers, so it is a source, if not yet over a link that has to settle.
            self.serving.wait_again(self.parts.uptime.now());
        }
    }
}

impl Handler<Mail<JoinEnded>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<JoinEnded>, _: &mut Context<Self>) {
        self.join_ended(mail.open());
    }
}

impl Handler<Mail<ReadJoin>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadJoin>, _: &mut Context<Self>) {
        let ReadJoin { request, reply } = mail.open();
        if request.wants != Wants::State {
            return self.hand_over(request, reply);
        }
        let room = self.parts.edges.difference.has_room();
        let admission = self.admission(request.domain, room);
        let refusal = self.state.refuses_join(request.from);
        match refusal.or_else(|| self.serving.refuses_join(admission)) {
            Some(refusal) => drop(reply.send(JoinAnswer::Refused(refusal))),
            None => self.cut_difference(request, reply),
        }
    }
}
