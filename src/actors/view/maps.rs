//! Changes of the shard map on request, and who waits for them to be everywhere.

use actix::{Context, Handler};

use super::{View, answer};
use crate::core::id::MapId;
use crate::core::view::Membership;
use crate::messages::mailbox::{Mail, Reply};
use crate::messages::view::{AwaitMap, Awaited, ChangeMap};

/// Requests that wait at once; more are refused as overload.
const WAITERS_MAX: usize = 64;

/// Who waits for which map to be everywhere.
#[derive(Debug, Default)]
pub(super) struct Waiters(Vec<(MapId, Reply<Awaited>)>);

impl Waiters {
    fn take(&mut self, id: MapId, reply: Reply<Awaited>) {
        if self.0.len() >= WAITERS_MAX {
            self.0.retain(|(_, reply)| !reply.is_closed());
        }
        if self.0.len() >= WAITERS_MAX {
            answer(reply, Awaited::Overloaded);
        } else {
            self.0.push((id, reply));
        }
    }

    /// Answers those whose map is everywhere by now. To be called when the map, the view, or what was heard of the others has changed.
    pub(super) fn answer(&mut self, membership: &Membership) {
        let arrived = |(id, _): &mut (MapId, _)| membership.all_go_by(*id);
        for (_, reply) in self.0.extract_if(.., arrived) {
            answer(reply, Awaited::Everywhere);
        }
    }
}

impl Handler<Mail<ChangeMap>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<ChangeMap>, ctx: &mut Context<Self>) {
        let ChangeMap { change, reply } = mail.open();
        let (now, wall) = (self.uptime.now(), self.wall_clock.now_ms());
        let (outcome, effects) = self.membership.change_map(change, now, wall);
        self.perform(effects, ctx);
        answer(reply, outcome);
    }
}

impl Handler<Mail<AwaitMap>> for View {
    type Result = ();

    fn handle(&mut self, mail: Mail<AwaitMap>, _: &mut Context<Self>) {
        let AwaitMap { id, reply } = mail.open();
        self.waiters.take(id, reply);
        self.waiters.answer(&self.membership);
    }
}
