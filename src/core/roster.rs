//! Who belongs, and in which life: what all members must agree on before anything of an ended life is dropped.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::id::{Address, Incarnation, Origin};

/// A configured member, as one replica knows it. Replicas whose rosters are equal mean the same lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterEntry {
    /// Who.
    pub address: Address,
    /// Its latest life known; [`Incarnation::UNKNOWN`] if it was never met. Of a forgotten member, the last one that is meant.
    pub life: Incarnation,
    /// Whether that life is forgotten: nobody waits for it.
    pub forgotten: bool,
    /// Whether it keeps another shard than the replica that says so, or none. It has no part in what those of this shard agree on; but
    /// what it has written while it was one of them can come to an end only if all know that its life is over.
    pub outside: bool,
}

impl RosterEntry {
    /// Whether those of the shard agree on nothing without it.
    pub fn is_waited_for(&self) -> bool {
        !self.forgotten && !self.outside
    }
}

/// The lives that one replica knows of, its own included.
#[derive(Debug, Clone)]
pub struct Lives {
    own: Address,
    latest: BTreeMap<Address, Incarnation>,
    members: BTreeSet<Address>,
    outside: BTreeSet<Address>,
    forgotten: BTreeMap<Address, Incarnation>,
}

impl Lives {
    /// A replica that knows of itself alone.
    pub fn new(own: Origin) -> Self {
        Self {
            own: own.address,
            latest: BTreeMap::from([(own.address, own.incarnation)]),
            members: BTreeSet::from([own.address]),
            outside: BTreeSet::new(),
            forgotten: BTreeMap::new(),
        }
    }

    /// The configured members, down or not, and whose lives are forgotten up to which.
    pub fn set_members(
        &mut self,
        members: impl IntoIterator<Item = Address>,
        forgotten: impl IntoIterator<Item = (Address, Incarnation)>,
    ) {
        self.members = members.into_iter().chain([self.own]).collect();
        self.forgotten = forgotten.into_iter().collect();
    }

    /// The other nodes of the cluster, which keep other shards or none.
    pub fn set_outside(&mut self, nodes: impl IntoIterator<Item = Address>) {
        self.outside = nodes.into_iter().collect();
    }

    /// Whether no other member is known that is not forgotten.
    pub fn is_alone(&self) -> bool {
        let roster = self.roster();
        let mut others = roster.iter().filter(|entry| entry.is_waited_for());
        others.all(|entry| entry.address == self.own)
    }

    /// Takes note of a life. True if it is later than the latest known.
    pub fn learn(&mut self, seen: Origin) -> bool {
        let later = seen.incarnation > self.latest(&seen.address);
        if later {
            self.latest.insert(seen.address, seen.incarnation);
        }
        later
    }

    /// The latest life known.
    pub fn latest(&self, address: &Address) -> Incarnation {
        self.latest.get(address).copied().unwrap_or_default()
    }

    /// Up to which life the address is forgotten.
    pub fn forgotten(&self, address: &Address) -> Incarnation {
        self.forgotten.get(address).copied().unwrap_or_default()
    }

    /// Whether this life was forgotten.
    pub fn is_forgotten(&self, seen: &Origin) -> bool {
        seen.incarnation <= self.forgotten(&seen.address)
    }

    /// Whether some member is forgotten in its latest life, or was before it was ever met.
    pub fn forgets_anybody(&self) -> bool {
        let mut forgotten = self.forgotten.iter();
        forgotten.any(|(address, mark)| self.latest(address) <= *mark)
    }

    /// A life later than any that may be heeded no more, if `seen` is such a one: a later one is known, or it was forgotten.
    pub fn successor(&self, seen: &Origin) -> Option<Incarnation> {
        let later = self.latest(&seen.address);
        if later > seen.incarnation {
            Some(later)
        } else {
            self.is_forgotten(seen).then(|| seen.incarnation.next())
        }
    }

    /// All members, all forgotten addresses, and the other nodes of the cluster, sorted by address.
    pub fn roster(&self) -> Vec<RosterEntry> {
        let addresses = self.members.iter().chain(self.forgotten.keys());
        let addresses: BTreeSet<&Address> = addresses.chain(&self.outside).collect();
        let entry = |address: &Address| {
            let (life, mark) = (self.latest(address), self.forgotten.get(address));
            let forgotten = mark.filter(|mark| life <= **mark);
            RosterEntry {
                address: *address,
                life: forgotten.copied().unwrap_or(life),
                forgotten: forgotten.is_some(),
                outside: self.is_outside(address),
            }
        };
        let entries = addresses.into_iter().map(entry);
        // Of one that is forgotten and back, only what it is now counts; one that has left for good is no member.
        let stays = |e: &RosterEntry| e.forgotten || e.outside || self.members.contains(&e.address);
        entries.filter(stays).collect()
    }

    fn is_outside(&self, address: &Address) -> bool {
        self.outside.contains(address) && !self.members.contains(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::origin;

    fn next(origin: Origin) -> Origin {
        let incarnation = origin.incarnation.next();
        Origin {
            incarnation,
            ..origin
        }
    }

    #[test]
    fn a_roster_names_members_that_are_down_and_those_forgotten_and_nobody_else() {
        let mut lives = Lives::new(origin(1));
        lives.learn(origin(2));
        lives.learn(origin(4));
        let addresses = [2, 3].map(|n| origin(n).address);
        lives.set_members(addresses, [(origin(5).address, origin(5).incarnation)]);
        let entry = |n, life, forgotten| RosterEntry {
            address: origin(n).address,
            life,
            forgotten,
            outside: false,
        };
        let expected = [
            entry(1, origin(1).incarnation, false),
            entry(2, origin(2).incarnation, false),
            entry(3, Incarnation::UNKNOWN, false),
            entry(5, origin(5).incarnation, true),
        ];
        assert_eq!(lives.roster(), expected);
    }

    #[test]
    fn a_forgotten_life_has_a_successor_and_the_next_one_is_a_member_again() {
        let mut lives = Lives::new(origin(1));
        let two = origin(2);
        lives.learn(two);
        assert_eq!(lives.successor(&two), None);
        lives.set_members([two.address], [(two.address, two.incarnation)]);
        assert!(lives.successor(&two) > Some(two.incarnation));
        lives.learn(next(two));
        assert_eq!(lives.successor(&next(two)), None);
        let back = lives
            .roster()
            .into_iter()
            .find(|e| e.address == two.address);
        assert!(!back.unwrap().forgotten);
    }
}
