//! Forgetting: by an operator's word, by age, to make room for deletes; and what becomes of the forgotten.
//!
//! A member that is forgotten and not up is no member any more. One that returns is met as any stranger, and
//! learns from the heartbeats that it was forgotten. Where two sides of a cut have forgotten each other, neither
//! would announce itself to the other any more: so the forgotten are still announced to, one in each round, and those that an
//! operator took out by that, too: no heartbeat would tell them of it.

use super::{
    Effect, Event, ForgetMark, ForgetReason, Heard, Membership, NoRoom, Peer, RemoveOutcome,
};
use crate::core::Millis;
use crate::core::id::{Address, Incarnation, Origin};
use crate::core::roster::RosterEntry;
use crate::core::swim::{Datagram, Identity, is_plausible};

/// Each member that is up waits so much longer than the one before it until it forgets somebody by itself: the first
/// one's mark is everywhere by then, and one mark is enough. For room the first one waits as long, too: a restart may be all that
/// there is to it, and after one was forgotten the others have to agree before anything is collected.
const TURN_MS: u64 = 5_000;

impl Membership {
    /// Takes the latest life known of `address` out of the view, up or not, and has everybody forget it.
    pub fn forget(
        &mut self,
        address: Address,
        now: Millis,
        wall: u64,
    ) -> (RemoveOutcome, Vec<Effect>) {
        if !self.is_configured(address) {
            let known = self.forgotten.life(address).is_some();
            let outcome = if known {
                RemoveOutcome::Forgotten
            } else {
                RemoveOutcome::NotInView
            };
            return (outcome, Vec::new());
        }
        let life = self.incarnation(address);
        let forgotten = self.forgotten.covers(address, life);
        if !forgotten && self.is_forgotten() {
            return (RemoveOutcome::NoSay, Vec::new());
        }
        if !self.removals.cover(address, life) {
            self.removals.decide(address, life, true, wall);
        }
        if !forgotten {
            self.make_mark(address, ForgetReason::Operator, wall);
        }
        if let Some(peer) = self.peers.get_mut(&address) {
            peer.stop_waiting();
        }
        let effects = self.settle(now);
        debug_assert!(
            !self.is_in_view(address),
            "the forgotten are out of the view"
        );
        (RemoveOutcome::Forgotten, effects)
    }

    /// Forgets the members that have been down for as long as the settings say. To be called after each tick.
    pub fn forget_overdue(&mut self, now: Millis, wall: u64) -> Vec<Effect> {
        let after = self.parameters.forget_after_ms;
        if after == 0 {
            return Vec::new();
        }
        let patience = after.saturating_add(self.turn() * TURN_MS);
        let overdue = self.down().filter(|(since, _)| now - since >= patience);
        let overdue: Vec<Address> = overdue.map(|(_, address)| address).collect();
        if overdue.is_empty() || !self.decides() {
            return Vec::new();
        }
        self.forget_all(&overdue, ForgetReason::Age, (now, wall))
    }

    /// There have been too many tombstones for so long: forgets the member that has been down for longest, or says why not. One at a
    /// time: the next one only if there are too many for as long after that.
    pub fn make_room(&mut self, crowded_ms: Millis, now: Millis, wall: u64) -> Vec<Effect> {
        let no_room = |why| vec![Effect::Log(Event::NoRoom(why))];
        let in_the_way = self
            .down()
            .filter(|(_, address)| self.is_shard_peer(*address));
        let Some((since, longest)) = in_the_way.min() else {
            return no_room(NoRoom::NobodyDown);
        };
        if !self.decides() {
            return no_room(NoRoom::SmallerSide);
        }
        let waited = crowded_ms.min(now - since).min(now - self.forgot_at);
        if waited < (self.turn() + 1) * TURN_MS {
            return Vec::new();
        }
        self.forget_all(&[longest], ForgetReason::Room, (now, wall))
    }

    /// How many members that are up come before this node in deciding.
    fn turn(&self) -> u64 {
        let before_us = |(address, peer): &(&Address, &Peer)| {
            **address < self.own && peer.up && self.is_in_view(**address)
        };
        self.peers.iter().filter(before_us).count() as u64
    }

    fn forget_all(
        &mut self,
        addresses: &[Address],
        reason: ForgetReason,
        (now, wall): (Millis, u64),
    ) -> Vec<Effect> {
        for address in addresses {
            self.make_mark(*address, reason, wall);
        }
        if addresses.is_empty() {
            Vec::new()
        } else {
            self.settle(now)
        }
    }

    /// Whether marks that this node makes on its own account would take effect, and should: it must not be the smaller side of
    /// a cut that gives up the larger one. Of two equal ones, that of the smallest address decides. An operator may always.
    ///
    /// Who is up counts once all members have said that they have taken it in. Else two sides of a cut could each take in some that were added, or were
    /// forgotten and have returned, and each be the larger one. So a node that has not heard all of them since it started decides nothing.
    fn decides(&self) -> bool {
        let others = self
            .peers
            .iter()
            .filter(|(a, peer)| self.belongs(**a, peer));
        let members: Vec<(Address, bool)> = others
            .map(|(address, peer)| (*address, peer.up))
            .chain([(self.own, true)])
            .collect();
        let is_counted = |member: &&(Address, bool)| member.1 && self.is_taken_in(member.0);
        let (all, up) = (members.len(), members.iter().filter(is_counted).count());
        let first = members
            .iter()
            .all(|(address, up)| *up || *address > self.own);
        let larger = 2 * up > all || (2 * up == all && first);
        larger && !self.left && !self.is_removed() && !self.is_forgotten()
    }

    /// Whether all other members, down or not, have said since this node started that they know a life of this one that is not forgotten.
    fn is_taken_in(&self, address: Address) -> bool {
        let mut others = self
            .peers
            .iter()
            .filter(|(a, peer)| **a != address && self.belongs(**a, peer));
        others.all(|(_, peer)| {
            let life = peer.life_known(address);
            life.is_some_and(|life| !self.forgotten.covers(address, life))
        })
    }

    /// Takes note of whom a peer takes for members.
    pub(super) fn note_members(&mut self, heard: &Heard) {
        let kept = |entry: &&RosterEntry| !entry.forgotten && self.is_configured(entry.address);
        let members = heard.roster.iter().filter(kept);
        let members = members.map(|entry| (entry.address, entry.life)).collect();
        if let Some(peer) = self.peers.get_mut(&heard.from.address) {
            peer.takes_in(members);
        }
    }

    /// Whether this node's present life is forgotten.
    fn is_forgotten(&self) -> bool {
        self.forgotten.covers(self.own, self.incarnation(self.own))
    }

    /// The members that are down and not forgotten, and since when. Those that were never met do not count: it may be this
    /// node that is cut off, and has nothing of what they have agreed on.
    fn down(&self) -> impl Iterator<Item = (Millis, Address)> {
        let members = self.peers.iter();
        let members = members.filter(|(_, peer)| peer.incarnation != Incarnation::UNKNOWN);
        members.filter_map(|(address, peer)| {
            let since = peer.down_since()?;
            self.belongs(*address, peer).then_some((since, *address))
        })
    }

    /// Whether it is a member for clocks and deletes to wait for: named by `VIEW`, here or elsewhere, or met; and not
    /// forgotten, unless it is up.
    pub(super) fn belongs(&self, address: Address, peer: &Peer) -> bool {
        peer.is_member() && (peer.up || !self.forgotten.covers(address, peer.incarnation))
    }

    fn make_mark(&mut self, address: Address, reason: ForgetReason, wall: u64) {
        let mark = ForgetMark {
            address,
            incarnation: match self.incarnation(address) {
                // It was never met: whatever life it has begun by now is meant.
                Incarnation::UNKNOWN => Incarnation::starting(wall, 0),
                met => met,
            },
            time: self.marks.next_time(wall),
            maker: self.origin(),
            up: self.count_up(),
        };
        self.forgettings.push(Event::Forgets(mark, reason));
        self.marks.merge(mark);
        self.heed_marks();
    }

    fn origin(&self) -> Origin {
        Origin {
            address: self.own,
            incarnation: self.incarnation(self.own),
        }
    }

    fn count_up(&self) -> u16 {
        let up = |(address, peer): &(&Address, &Peer)| peer.up && self.is_in_view(**address);
        let others = self.peers.iter().filter(up).count();
        u16::try_from(others + usize::from(!self.is_removed())).unwrap_or(u16::MAX)
    }

    /// Takes over marks made elsewhere.
    pub(super) fn merge_marks(&mut self, marks: &[ForgetMark]) {
        let merge = |news, mark: &ForgetMark| self.marks.merge(*mark) || news;
        if marks.iter().fold(false, merge) {
            self.heed_marks();
        }
    }

    /// Finds anew who is forgotten.
    fn heed_marks(&mut self) {
        let (own, now) = (self.origin(), self.marks.effective());
        let before = std::mem::replace(&mut self.forgotten, now);
        for (address, life, maker) in self.forgotten.iter() {
            if !before.covers(address, life) && maker != own {
                let event = Event::Forgotten {
                    address,
                    life,
                    maker,
                };
                self.forgettings.push(event);
            }
        }
        for (address, life, _) in before.iter() {
            // Unless the mark was one too many, and was dropped.
            if !self.forgotten.covers(address, life) && self.marks.mean(address, life) {
                self.forgettings.push(Event::Remembered(address));
                self.voids += 1;
            }
        }
    }

    /// Takes over what a peer knows of a member that may be unable to speak for itself.
    pub(super) fn heed_roster(&mut self, entry: &RosterEntry, now: Millis) {
        let RosterEntry { address, life, .. } = *entry;
        if life != Incarnation::UNKNOWN && !is_plausible(life) {
            return;
        }
        let gone = entry.forgotten || self.forgotten.covers(address, life);
        if self.is_configured(address) {
            self.learn(address, life, now);
        } else if !gone && self.has_room() {
            self.peers.insert(address, Peer::stranger());
            self.learn(address, life, now);
            self.announce_to(address, now);
        }
        if let Some(peer) = self.peers.get_mut(&address).filter(|_| !gone) {
            peer.make_member();
        }
    }

    /// What foca still says about one that is forgotten, down and no member is no news.
    pub(super) fn is_stale(&self, identity: Identity) -> bool {
        let Identity {
            address,
            incarnation,
            ..
        } = identity;
        !self.peers.contains_key(&address) && self.forgotten.covers(address, incarnation)
    }

    /// Keeps others from bringing the forgotten back as members that are down.
    pub(super) fn drop_stale(&self, datagram: &mut Datagram) {
        datagram.retain_news_of_down(|identity| !self.is_stale(identity));
    }

    /// Lets members go of which nothing is left to remember, and of those whom SWIM remembers, and of removal marks on strangers, if
    /// they are too many.
    pub(super) fn let_go(&mut self) {
        let max = self.parameters.members_max;
        let Self {
            own,
            peers,
            forgotten,
            removals,
            ..
        } = self;
        peers.retain(|address, peer| {
            let forgotten = forgotten.covers(*address, peer.incarnation);
            peer.is_up_or_awaited() || peer.is_member() && !forgotten
        });
        removals.limit(max, |address| {
            address == *own || peers.contains_key(&address)
        });
        if self.swim.members().count() >= max {
            let members = self.swim.members();
            let gone = members.filter(|(identity, up)| !up && self.is_stale(*identity));
            let gone: Vec<Identity> = gone.map(|(identity, _)| identity).collect();
            for identity in gone {
                self.swim.forget(identity);
            }
        }
    }

    /// Announces this node to the next one of the forgotten.
    pub(super) fn announce_to_forgotten(&mut self, now: Millis) {
        let mut next = None;
        for (address, ..) in self.forgotten.iter() {
            let wanted = !self.is_configured(address);
            if wanted && Some(address) > self.announced_last {
                next = Some(address);
                break;
            }
        }
        // After the last one the round begins anew.
        self.announced_last = next;
        if let Some(address) = next {
            self.announce_to(address, now);
        }
    }
}

#[cfg(test)]
mod tests;
