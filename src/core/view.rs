//! Who belongs, who is believed up, who was removed.
//!
//! - *Configured* members: those of `VIEW`, those an operator added, those met through SWIM or a heartbeat. They
//!   stay, down or not; only an added address that never answered is dropped, when its grace ends.
//! - The *view*: those that SWIM believes up, less those removed, plus those not seen yet whose grace (from the
//!   start, or from the PUT) has not ended. A peer that reports such a one down ends its grace.
//! - *Forget marks* say whom nobody waits for any longer; see `view/forgotten.rs`. One of those whom they mean is a member
//!   only while it is up.
//! - *Removal marks* are an operator's decisions, one per address, the latest wins. SWIM cannot
//!   forget a node that lives, so the marks filter what it says. A mark means the lives up to
//!   one: a later life is free of it.
//! - The *shard map* (`core/sharding/map.rs`) travels with the heartbeats, too; the one with the largest id holds, and the nodes that it names
//!   are members.
//!
//! Whoever is configured, not up and not removed is announced to every [`ANNOUNCE_MS`]: at the start, after it was
//! lost, after a cut. So no state of the network lasts longer than that once datagrams pass again.
//!
//! Pure: time and randomness come in, [`Effect`]s go out, and they are in the same order every run.

mod changes;
mod effect;
mod forgetting;
mod forgotten;
mod peer;
mod publish;
mod removals;
mod shards;

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;

pub use self::changes::{MapChange, MapOutcome};
pub use self::effect::{Effect, Event, ForgetReason, NoRoom};
pub use self::forgotten::{FORGET_MARKS_MAX, ForgetMark, ForgetMarks, Forgotten};
use self::peer::{Peer, Standing};
pub use self::removals::Removal;
use self::removals::Removals;
use super::Millis;
use super::id::{Address, Incarnation, MapId, Origin};
use super::roster::RosterEntry;
use super::sharding::map::ShardMap;
use super::swim::{Datagram, DatagramError, Identity, Swim, Timing, is_plausible};

/// Time between announcements to members that are not up: how soon a healed network is noticed.
pub const ANNOUNCE_MS: u64 = 250;

/// Rounds of announcements without any datagram from anybody after which this node takes itself for
/// cut off and everybody for down (3 s). SWIM probes one member after the other, which takes a lone
/// node too long from ten members on. Rounds, not time: a process that was stopped has heard nothing either.
const SILENT_ROUNDS_MAX: u32 = 12;

/// Of how many of its lives a process knows that they were its own. A removal that means an earlier one, and took longer to
/// arrive than as many rebirths, does not keep it out.
const LIVES_KEPT: usize = 8;

/// A configured member, as the broadcaster needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub address: Address,
    /// Stands removed: it gets heartbeats, so that it learns of it, and no writes.
    pub removed: bool,
    /// It keeps the same shard as this node, and so gets this node's writes.
    pub shard_peer: bool,
}

/// What a peer's heartbeat says about members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Who sent it.
    pub from: Origin,
    /// The removal marks it knows.
    pub removals: Vec<Removal>,
    /// The forget marks it knows.
    pub forgotten: Vec<ForgetMark>,
    /// The members it knows, with their latest lives.
    pub roster: Vec<RosterEntry>,
    /// The shard map it knows; `None` for the implicit one.
    pub map: Option<ShardMap>,
}

/// What became of a request to take a replica into the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddOutcome {
    /// It is in the view now; if nobody answers there, it is dropped after the start-up grace.
    Added,
    /// It was in the view before.
    AlreadyPresent,
    /// The limit of members is reached; nothing was changed.
    TooMany,
}

/// What became of a request to take a replica out of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// It is out of this view, and out of the others as the mark spreads.
    Removed,
    /// It is out of the view and forgotten, here and, as the marks spread, everywhere.
    Forgotten,
    /// It was not in the view, or, to be forgotten, not known; nothing was changed.
    NotInView,
    /// This node was itself forgotten, so its word does not count; nothing was changed.
    NoSay,
}

/// Settings of the membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// When a member is probed, suspected, and given up.
    pub timing: Timing,
    /// How long a member not seen yet stays in the view, in milliseconds.
    pub grace_ms: u64,
    /// How long a member is down until this node forgets it, in milliseconds; 0 for never.
    pub forget_after_ms: u64,
    /// Configured members at most, this node included; `VIEW` itself is taken whole. As many removal
    /// marks on addresses that are not configured.
    pub members_max: usize,
}

/// One node's membership. Its methods that return effects have acted on all that was told so far.
#[derive(Debug)]
pub struct Membership {
    own: Address,
    parameters: Parameters,
    swim: Swim,
    /// The configured members but this node.
    peers: BTreeMap<Address, Peer>,
    removals: Removals,
    marks: ForgetMarks,
    /// Those marks that are in effect.
    forgotten: Forgotten,
    /// How often a mark that had taken effect turned out void.
    voids: u64,
    /// What has become of marks since events were last derived.
    forgettings: Vec<Event>,
    /// When somebody was last found to be forgotten, or not to be.
    forgot_at: Millis,
    /// Who of the forgotten was announced to last, in this turn through them.
    announced_last: Option<Address>,
    /// The lives that this process has lived, the present one last; the [`LIVES_KEPT`] latest.
    lived: Vec<Incarnation>,
    /// The latest life that anybody claims for this node's address.
    own_claimed: Incarnation,
    /// This node's removal when events were last derived.
    own_removed: bool,
    map: ShardMap,
    /// The map when events were last derived.
    told_map: MapId,
    announce_due: Millis,
    /// Rounds of announcements since a datagram last arrived.
    silent_rounds: u32,
    /// `MembersChanged` and `ViewChanged` as last given out; empty before the start.
    told: Vec<Effect>,
    left: bool,
}

impl Membership {
    /// A node that starts the life `identity` among `view` (itself counts or not, alike) at `now`, and was told of `map`.
    pub fn new(
        parameters: Parameters,
        identity: Identity,
        view: &[Address],
        map: ShardMap,
        rng: ChaCha8Rng,
        now: Millis,
    ) -> Self {
        let own = identity.address;
        let grace_end = now + parameters.grace_ms;
        let named = view.iter().filter(|address| **address != own);
        Self {
            own,
            parameters,
            swim: Swim::new(identity, parameters.timing, rng),
            peers: named.map(|a| (*a, Peer::named(grace_end))).collect(),
            removals: Removals::default(),
            marks: ForgetMarks::default(),
            forgotten: Forgotten::default(),
            voids: 0,
            forgettings: Vec::new(),
            forgot_at: now,
            announced_last: None,
            lived: vec![identity.incarnation],
            own_claimed: identity.incarnation,
            own_removed: false,
            told_map: map.id(),
            map,
            announce_due: now,
            silent_rounds: 0,
            told: Vec::new(),
            left: false,
        }
    }

    /// The replicas believed up, this one included unless removed, sorted.
    pub fn view(&self) -> Vec<Address> {
        let own = (!self.is_removed()).then_some(self.own);
        let in_view = |(address, _): &(&Address, &Peer)| self.is_in_view(**address);
        let mut view: Vec<Address> = self.peers.iter().filter(in_view).map(|(a, _)| *a).collect();
        view.extend(own);
        view.sort_unstable();
        view
    }

    /// When [`Membership::tick`] next has something to do; `None` once this node has left.
    pub fn next_due(&self) -> Option<Millis> {
        let graces = self.peers.values().filter_map(Peer::awaited_until);
        let due = graces
            .chain(self.swim.next_due())
            .fold(self.announce_due, Millis::min);
        (!self.left).then_some(due)
    }

    /// Does all that is due by `now`. The first call also gives out the state at the start.
    pub fn tick(&mut self, now: Millis) -> Vec<Effect> {
        if self.left {
            return Vec::new();
        }
        self.swim.advance(now);
        if self.announce_due <= now {
            self.announce_due = now + ANNOUNCE_MS;
            self.count_silence(now);
            self.announce(now);
            self.announce_to_forgotten(now);
        }
        self.settle(now)
    }

    /// Takes in a datagram of a peer.
    ///
    /// # Errors
    /// Refuses what is malformed, misdirected or too much. Nothing was changed then.
    pub fn receive(&mut self, bytes: &[u8], now: Millis) -> Result<Vec<Effect>, DatagramError> {
        if self.left {
            return Ok(Vec::new());
        }
        let mut datagram = Datagram::parse(bytes)?;
        self.drop_stale(&mut datagram);
        self.limit(&mut datagram)?;
        self.swim.receive(&datagram, now)?;
        self.silent_rounds = 0;
        self.heed_claims(&datagram);
        if datagram.is_announcement() {
            self.swim.report_down(datagram.sender());
        }
        Ok(self.settle(now))
    }

    /// Takes in the heartbeat of a peer: its life, the marks and the members it knows. One unknown so far becomes a
    /// configured member and is announced to at once.
    pub fn hear(&mut self, heard: &Heard, now: Millis) -> Vec<Effect> {
        if self.left {
            return Vec::new();
        }
        for mark in &heard.removals {
            let configured = self.is_configured(mark.address);
            let max = self.parameters.members_max;
            self.removals
                .merge(*mark, |marks| configured || marks < max);
        }
        self.stay_removed();
        self.merge_marks(&heard.forgotten);
        for entry in &heard.roster {
            self.heed_roster(entry, now);
        }
        if let Some(map) = &heard.map {
            self.heed_map(map, now);
        }
        if is_plausible(heard.from.incarnation) {
            self.learn(heard.from.address, heard.from.incarnation, now);
            let Origin {
                address,
                incarnation,
            } = heard.from;
            if address != self.own {
                self.swim.meet(Identity::new(address, incarnation), now);
            }
        }
        self.note_members(heard);
        self.note_map(heard);
        self.settle(now)
    }

    /// Takes `address` into the view: back, if it was removed; awaited for the grace, if it is not up.
    pub fn add(&mut self, address: Address, now: Millis, wall: u64) -> (AddOutcome, Vec<Effect>) {
        if self.is_in_view(address) {
            return (AddOutcome::AlreadyPresent, Vec::new());
        }
        if !self.is_configured(address) && !self.has_room() {
            return (AddOutcome::TooMany, Vec::new());
        }
        let incarnation = self.incarnation(address);
        if self.removals.cover(address, incarnation) {
            self.removals.decide(address, incarnation, false, wall);
        }
        if address != self.own {
            let newcomer = self.newcomer(address);
            let peer = self.peers.entry(address).or_insert(newcomer);
            if !peer.up {
                peer.await_until(now + self.parameters.grace_ms);
                self.announce_to(address, now);
            }
        }
        debug_assert!(self.is_in_view(address), "an added member is in the view");
        (AddOutcome::Added, self.settle(now))
    }

    /// Takes the present life of `address` out of the view, here and, as the mark spreads, everywhere.
    pub fn remove(
        &mut self,
        address: Address,
        now: Millis,
        wall: u64,
    ) -> (RemoveOutcome, Vec<Effect>) {
        if !self.is_in_view(address) {
            return (RemoveOutcome::NotInView, Vec::new());
        }
        let incarnation = self.incarnation(address);
        self.removals.decide(address, incarnation, true, wall);
        debug_assert!(
            !self.is_in_view(address),
            "a removed member is out of the view"
        );
        (RemoveOutcome::Removed, self.settle(now))
    }

    /// Goes on as a new life of this node; ignored unless later than the present one.
    pub fn renew(&mut self, incarnation: Incarnation, now: Millis) -> Vec<Effect> {
        if self.left {
            return Vec::new();
        }
        self.swim.renew(incarnation, now);
        self.own_claimed = self.own_claimed.max(incarnation);
        self.stay_removed();
        self.settle(now)
    }

    /// Says goodbye to every member that is up. Afterwards nothing has any effect on the view but
    /// an operator's word, and nothing is sent.
    pub fn leave(&mut self, now: Millis) -> Vec<Effect> {
        self.swim.leave(now);
        self.left = true;
        self.send()
    }

    /// One to be awaited, although SWIM may remember that it is down.
    fn newcomer(&self, address: Address) -> Peer {
        let mut peer = Peer::stranger();
        for (identity, up) in self.swim.members() {
            if identity.address == address && !up {
                peer.knows_down(identity);
            }
        }
        peer
    }

    fn is_configured(&self, address: Address) -> bool {
        address == self.own || self.peers.contains_key(&address)
    }

    /// Whether one more member may become configured.
    fn has_room(&self) -> bool {
        self.peers.len() + 1 < self.parameters.members_max
    }

    /// An operator's mark means the lives up to one, so that a restart is free of it. A life that this node has begun without a
    /// restart is not.
    fn stay_removed(&mut self) {
        let life = self.incarnation(self.own);
        if self.lived.last() != Some(&life) {
            self.lived.push(life);
            let excess = self.lived.len().saturating_sub(LIVES_KEPT);
            self.lived.drain(..excess);
        }
        self.removals.prolong(self.own, &self.lived);
    }

    fn is_removed(&self) -> bool {
        self.removals.cover(self.own, self.incarnation(self.own))
    }

    fn is_in_view(&self, address: Address) -> bool {
        if address == self.own {
            return !self.is_removed();
        }
        self.peers.get(&address).is_some_and(|peer| {
            let removed = self.removals.cover(address, peer.incarnation);
            matches!(peer.standing(removed), Standing::Up | Standing::Awaited)
        })
    }

    /// The latest life known; for this node the one it lives.
    fn incarnation(&self, address: Address) -> Incarnation {
        if address == self.own {
            return self.swim.identity().incarnation;
        }
        let peer = self.peers.get(&address);
        peer.map_or(Incarnation::UNKNOWN, |peer| peer.incarnation)
    }

    fn learn(&mut self, address: Address, incarnation: Incarnation, now: Millis) {
        if address == self.own {
            self.own_claimed = self.own_claimed.max(incarnation);
        } else if let Some(peer) = self.peers.get_mut(&address) {
            peer.learn(incarnation);
        } else if self.has_room() {
            let mut peer = Peer::stranger();
            peer.learn(incarnation);
            self.peers.insert(address, peer);
            self.announce_to(address, now);
        }
    }

    /// Keeps members beyond the limit out: news of them are dropped, what they send is refused.
    fn limit(&self, datagram: &mut Datagram) -> Result<(), DatagramError> {
        let sender = datagram.sender().address;
        let mut room = self
            .parameters
            .members_max
            .saturating_sub(self.peers.len() + 1);
        let mut admit = |address| {
            let known = self.is_configured(address);
            let admitted = known || room > 0;
            room -= usize::from(!known && admitted);
            admitted
        };
        if !admit(sender) {
            return Err(DatagramError::TooManyMembers(sender));
        }
        datagram.retain_subjects(|address| address == sender || admit(address));
        Ok(())
    }

    fn heed_claims(&mut self, datagram: &Datagram) {
        let claims = datagram.subjects().chain([datagram.receiver()]);
        let own = claims.filter(|identity| identity.address == self.own);
        let latest = own.map(|identity| identity.incarnation).max();
        self.own_claimed = self.own_claimed.max(latest.unwrap_or_default());
    }

    fn count_silence(&mut self, now: Millis) {
        self.silent_rounds = self.silent_rounds.saturating_add(1);
        if self.silent_rounds == SILENT_ROUNDS_MAX {
            self.swim.presume_all_down(now);
        }
    }

    fn announce(&mut self, now: Millis) {
        let missing = |(address, peer): (&Address, &Peer)| {
            let removed = self.removals.cover(*address, peer.incarnation);
            (!peer.up && !removed).then_some(*address)
        };
        let missing: Vec<Address> = self.peers.iter().filter_map(missing).collect();
        for address in missing {
            self.announce_to(address, now);
        }
    }

    fn announce_to(&mut self, address: Address, now: Millis) {
        let identity = Identity::new(address, self.incarnation(address));
        self.swim.announce(identity, now);
    }

    /// Takes over what SWIM believes, ends graces, and gathers what there is to do.
    fn settle(&mut self, now: Millis) -> Vec<Effect> {
        for (identity, up) in self.swim.members() {
            if !up && self.is_stale(identity) {
                continue;
            }
            let peer = self.peers.entry(identity.address);
            peer.or_insert_with(Peer::stranger).observe(identity, up);
        }
        for peer in self.peers.values_mut() {
            peer.pass(now);
        }
        if !self.forgettings.is_empty() {
            self.forgot_at = now;
        }
        let mut effects = self.send();
        effects.extend(self.news());
        self.let_go();
        effects.extend(self.publish());
        effects
    }

    fn send(&mut self) -> Vec<Effect> {
        let datagrams = self.swim.take_datagrams().into_iter();
        datagrams
            .map(|(to, bytes)| Effect::Send { to, bytes })
            .collect()
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
