//! What of the membership has changed since it was last told.

use super::{Effect, Event, Member, Membership, Peer};
use crate::core::id::{Address, Incarnation};

impl Membership {
    pub(super) fn news(&mut self) -> Vec<Effect> {
        let removed = self.is_removed();
        let own = match (std::mem::replace(&mut self.own_removed, removed), removed) {
            (false, true) => Some(Event::Removed(self.own)),
            (true, false) => Some(Event::Readmitted(self.own)),
            (true, true) | (false, false) => None,
        };
        let removals = &self.removals;
        let peers = self.peers.iter_mut().filter_map(|(address, peer)| {
            let removed = removals.cover(*address, peer.incarnation);
            peer.news(*address, removed)
        });
        let mut events: Vec<Event> = peers.chain(own).collect();
        events.append(&mut self.forgettings);
        events.extend(self.map_news());
        events.into_iter().map(Effect::Log).collect()
    }

    pub(super) fn publish(&mut self) -> Vec<Effect> {
        let state = vec![self.members_changed(), self.view_changed()];
        let told = std::mem::replace(&mut self.told, state.clone());
        state.into_iter().filter(|e| !told.contains(e)).collect()
    }

    fn members_changed(&self) -> Effect {
        let members = self.peers.iter().map(|(address, peer)| Member {
            address: *address,
            removed: self.removals.cover(*address, peer.incarnation),
            shard_peer: self.is_shard_peer(*address),
        });
        Effect::MembersChanged {
            members: members.collect(),
            removals: self.removals.to_vec(),
            forgotten: self.marks.to_vec(),
            map: self.map.clone(),
        }
    }

    fn view_changed(&self) -> Effect {
        let belongs = |(address, peer): &(&Address, &Peer)| self.belongs(**address, peer);
        let peers = self.peers.iter().filter(belongs).map(|(a, _)| *a);
        let mut members: Vec<Address> = peers.chain([self.own]).collect();
        members.sort_unstable();
        let own = (self.own, self.own_claimed);
        let peers = self.peers.iter().map(|(a, peer)| (*a, peer.incarnation));
        let met = peers.filter(|(_, incarnation)| *incarnation != Incarnation::UNKNOWN);
        let mut incarnations: Vec<(Address, Incarnation)> = met.chain([own]).collect();
        incarnations.sort_unstable();
        let forgotten = self.forgotten.iter();
        Effect::ViewChanged {
            view: self.view(),
            removed: self.is_removed(),
            members,
            incarnations,
            forgotten: forgotten.map(|(a, life, _)| (a, life)).collect(),
            voids: self.voids,
            map: self.map.clone(),
        }
    }
}
