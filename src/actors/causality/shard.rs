//! This replica's place in the shard map, and what is handed over when that changes (design §7, ADR 13).

use std::collections::BTreeMap;

use actix::{Context, Handler};
use rand::Rng;

use super::Causality;
use crate::core::Millis;
use crate::core::causality::Leaving;
use crate::core::id::{Address, Domain, Incarnation, MapId, ShardId};
use crate::core::inheritance::{Ahead, Claim, Donors, Nodes, OlderWrites, Wanted};
use crate::core::wire::{Digest, JoinAnswer, JoinRequest, Status, Wants};
use crate::messages::causality::{AwaitDeal, Dealt, HandOverReport, ReadHandOvers, TakingOver};
use crate::messages::mailbox::{Mail, Reply};
use crate::messages::store::{ApplyOlder, DropFrozen, Freeze, ReadHandOver, TakeOwn};
use crate::messages::view::{IncarnationRenewed, ViewChanged};
use crate::metrics::as_gauge;

/// Requests that may wait at once for the cluster to have settled under a map.
const AWAITING_MAX: usize = 64;

/// What is under way since keys were dealt anew.
#[derive(Debug)]
pub(super) struct Dealing {
    /// What is frozen here of older domains, and in which life it was.
    pub(super) frozen: Vec<(Claim, Incarnation)>,
    /// The first life in the present domain.
    pub(super) entered: Incarnation,
    /// Who has something for this node that it has not taken over yet.
    pub(super) donors: Donors,
    /// Keys of which requests cannot wait until a donor has given all that it has.
    pub(super) wanted: Wanted,
    /// Other keepers of the shard that have shown something of older maps that is not here.
    pub(super) ahead: Ahead,
    /// Whether it was said last that all have handed over.
    pub(super) told_complete: bool,
    /// From whom it is taking over all that is held for its shard.
    pub(super) taking_over: Option<TakingOver>,
    /// Since when it has gone by the present deal.
    pub(super) dealt_at: Millis,
    /// How many keys each node has handed over since.
    pub(super) taken: BTreeMap<Address, u64>,
    /// Who waits for the cluster to have settled, and under which map.
    pub(super) awaiting: Vec<(MapId, Reply<Dealt>)>,
}

impl Dealing {
    /// A node that begins in this life.
    pub(super) fn since(entered: Incarnation, dealt_at: Millis) -> Self {
        Self {
            frozen: Vec::new(),
            entered,
            donors: Donors::new(),
            wanted: Wanted::new(),
            ahead: Ahead::new(),
            told_complete: false,
            taking_over: None,
            dealt_at,
            taken: BTreeMap::new(),
            awaiting: Vec::new(),
        }
    }
}

impl Causality {
    /// Takes over from the view in which shard this replica is, and with whom.
    pub(super) fn take_place(&mut self, changed: &ViewChanged) {
        let (own, map) = (self.state.origin().address, &changed.map);
        let domain = map.domain_of(own);
        if domain != self.state.domain() {
            self.go_on_in(domain, changed);
        }
        self.state.set_deal(map.deal(), map.before());
        self.state.set_nodes(&nodes_of(changed, own));
        let lives: Vec<_> = self
            .dealing
            .frozen
            .iter()
            .map(|(_, life)| (own, *life))
            .collect();
        if self.state.inherited().is_any_forgotten(&lives) {
            // The others go on as if it had handed nothing over, and may have collected deletes that what it has taken over from itself is older than.
            self.drop_frozen(true, None);
            self.be_reborn("a life in which it has written under an older map is forgotten");
        }
        let metrics = &self.parts.metrics;
        metrics.shards.set(i64::from(map.count()));
        let epoch = i64::try_from(map.id().epoch);
        metrics.map_epoch.set(epoch.unwrap_or(i64::MAX));
        let concerns = |address: &Address| *address == own || map.share(own, *address);
        let nodes = changed.members.iter().copied();
        let (members, outside): (Vec<Address>, Vec<Address>) = nodes.partition(concerns);
        self.repair.keep_members(&members);
        self.state.set_outside(outside);
        // Of whichever shard they were: what they wrote in this one ends with that.
        self.state.set_members(&members, &changed.forgotten);
        self.mind_older_maps();
    }

    /// Goes on in another domain.
    fn go_on_in(&mut self, domain: Domain, changed: &ViewChanged) {
        log::info!("entering {domain}");
        let own = self.state.origin();
        let mark = changed.forgotten.iter().find(|(a, _)| *a == own.address);
        let mark = mark.map(|(_, life)| *life);
        let serves = self.serving.has_caught_up();
        let leaving = self.state.leaving(domain, serves, mark);
        let left = self.state.domain();
        let (deal, claim) = (self.state.inherited().deal(), self.state.claim());
        let random = self.parts.rng.next_u64();
        let deals = (changed.map.deal(), changed.map.before());
        let wall_ms = self.parts.wall.now_ms();
        let incarnation = self.state.enter(domain, deals, wall_ms, random).incarnation;
        self.dealing.entered = incarnation;
        let renewed = &self.parts.edges.renewed;
        renewed.tell(IncarnationRenewed { incarnation });
        self.dealing.dealt_at = self.parts.uptime.now();
        self.dealing.taken.clear();
        let freeze = |share| Freeze {
            deal,
            life: own.incarnation,
            claim: claim.clone(),
            share,
        };
        match leaving {
            Leaving::HandOver => {
                let share = self.state.share();
                self.parts.edges.freeze.tell(freeze(share.clone()));
                self.dealing.frozen.push((claim, own.incarnation));
                self.note_what_is_held();
                self.begin_domain();
                self.move_parked();
                if share.is_some() {
                    self.state.take_over_own(self.own_claims());
                }
            }
            Leaving::GiveUp | Leaving::GiveUpAll => {
                self.parts.edges.freeze.tell(freeze(None));
                self.drop_frozen(true, (leaving == Leaving::GiveUp).then_some(left));
                self.begin_with_nothing();
            }
        }
        self.beat();
    }

    fn note_what_is_held(&mut self) {
        let frozen = self.dealing.frozen.iter();
        let domains = frozen.map(|(claim, _)| claim.domain).collect();
        self.state.set_holds(domains);
    }

    /// Once caught up: what this node holds itself of older maps, and others of its shard did not have.
    pub(super) fn take_over_own(&mut self) {
        if let Some(share) = self.state.share() {
            if !self.dealing.frozen.is_empty() {
                self.parts.edges.take_own.tell(TakeOwn { share });
            }
            self.state.take_over_own(self.own_claims());
        }
    }

    fn own_claims(&self) -> Vec<Claim> {
        self.dealing
            .frozen
            .iter()
            .map(|(claim, _)| claim.clone())
            .collect()
    }

    /// Takes note of what a node says of its hand-overs, and takes over what it holds for this one.
    pub(super) fn mind_hand_over(&mut self, digest: &Digest, may_join: bool) {
        if self.state.share().is_some() && self.state.inherited().wants(digest) {
            let now = self.parts.uptime.now();
            self.dealing.donors.note(digest.from, may_join, now);
        }
        self.take_over_next();
        self.ask_for_keys();
        self.mind_claims(digest, may_join);
        self.mind_older_maps();
    }

    /// Joins from another keeper of the shard that has shown for a while something of older maps that no donor has brought.
    fn mind_claims(&mut self, digest: &Digest, may_join: bool) {
        let idle = self.dealing.taking_over.is_none() && self.repair.running().is_none();
        if digest.domain != self.state.domain() || self.serving.status() != Status::Serving {
            return;
        }
        let has_more = self.state.inherited().lacks_from(digest);
        let (keeper, now) = (digest.from.address, self.parts.uptime.now());
        let patience_ms = 2 * self.parts.rules.heartbeat_ms;
        let due = self.dealing.ahead.note(keeper, has_more, now, patience_ms);
        if due && may_join && idle {
            self.dealing.ahead.clear();
            self.repair.begin(digest.from.address);
            self.join_began = now;
            self.fetch(digest.from.address, Wants::State);
        }
    }

    /// Has the store apply these. Requests that wait are not looked at: there may be more to apply of what has become visible.
    pub(super) fn apply_older(&self, older: Vec<OlderWrites>) {
        if !older.is_empty() {
            self.parts.edges.apply_older.tell(ApplyOlder { older });
        }
    }

    /// Closes older maps, once nobody needs them; tells who waits for that.
    pub(super) fn mind_older_maps(&mut self) {
        if self.state.close_older_maps() {
            log::info!("all has been handed over that was written under older maps");
            self.beat();
        }
        if self.state.inherited().may_let_go(self.state.origin()) {
            self.drop_frozen(false, None);
            self.beat();
        }
        let inherited = self.state.inherited();
        let keeps = self.state.domain().shard != ShardId::NONE;
        let waited_for = inherited.waited_for().len();
        let due = if keeps { waited_for } else { 0 };
        self.parts.metrics.hand_overs_due.set(as_gauge(due));
        let complete = inherited.is_complete();
        if std::mem::replace(&mut self.dealing.told_complete, complete) != complete {
            // Requests that wait for hand-overs may know now that there are none to come.
            self.release_decided();
            self.beat();
        }
        if self.dealing.awaiting.is_empty() {
            return;
        }
        let since = self.state.domain().map;
        let settled = self.state.inherited().is_settled();
        let waiting = std::mem::take(&mut self.dealing.awaiting);
        for (awaited, reply) in waiting {
            if awaited < since {
                let _ = reply.send(Dealt::Superseded);
            } else if awaited == since && settled {
                let _ = reply.send(Dealt::Done);
            } else if !reply.is_closed() {
                self.dealing.awaiting.push((awaited, reply));
            }
        }
    }

    /// Lets go of what is frozen, or of one domain of it.
    fn drop_frozen(&mut self, given_up: bool, domain: Option<Domain>) {
        let goes = |claim: &Claim| domain.is_none_or(|domain| claim.domain == domain);
        self.dealing.frozen.retain(|(claim, _)| !goes(claim));
        self.note_what_is_held();
        let drop_frozen = &self.parts.edges.drop_frozen;
        drop_frozen.tell(DropFrozen { given_up, domain });
    }

    /// Gives a keeper what is frozen here for its shard.
    pub(super) fn hand_over(&self, request: JoinRequest, reply: Reply<JoinAnswer>) {
        let room = self.parts.edges.hand_over.has_room();
        let share = match self.state.share_of(&request, room) {
            Ok(share) => share,
            Err(refusal) => {
                let _ = reply.send(JoinAnswer::Refused(refusal));
                return;
            }
        };
        self.parts.edges.hand_over.tell(ReadHandOver {
            request,
            share,
            from: self.state.origin(),
            time: self.state.time(),
            inherited: self.state.inherited().inherited(),
            reply,
        });
    }
}

fn nodes_of(changed: &ViewChanged, own: Address) -> Nodes {
    let life = |address: Address| {
        let known = changed.incarnations.iter().find(|(a, _)| *a == address);
        known.map_or(Incarnation::UNKNOWN, |(_, life)| *life)
    };
    let configured = changed
        .members
        .iter()
        .map(|member| (*member, life(*member)));
    let up = changed.view.iter().copied();
    let up = up.filter(|node| *node != own || !changed.removed);
    Nodes {
        map: changed.map.id(),
        configured: configured.collect(),
        forgotten: changed.forgotten.clone(),
        keepers: changed.map.keepers().collect(),
        peers: changed
            .map
            .nodes()
            .filter(|node| changed.map.share(own, *node))
            .collect(),
        up: up.collect(),
    }
}

impl Handler<Mail<ReadHandOvers>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<ReadHandOvers>, _: &mut Context<Self>) {
        let now = self.parts.uptime.now();
        let taken = &self.dealing.taken;
        let _ = mail.open().reply.send(HandOverReport {
            standing: self.state.inherited().standing(),
            age_ms: now - self.dealing.dealt_at,
            taken: taken.iter().map(|(from, keys)| (*from, *keys)).collect(),
            taking_over: self.dealing.taking_over,
            now,
        });
    }
}

impl Handler<Mail<AwaitDeal>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<AwaitDeal>, _: &mut Context<Self>) {
        let AwaitDeal { since, reply } = mail.open();
        self.dealing
            .awaiting
            .retain(|(_, reply)| !reply.is_closed());
        if self.dealing.awaiting.len() < AWAITING_MAX {
            self.dealing.awaiting.push((since, reply));
        } else {
            let _ = reply.send(Dealt::Overloaded);
        }
        self.mind_older_maps();
    }
}
