//! What nodes say to each other about older maps.

use serde::{Deserialize, Serialize};

use super::Inheritance;
use crate::core::clock::Clock;
use crate::core::coverage::Coverage;
use crate::core::id::{Address, Domain, Incarnation, MapId, Origin, ShardId};
use crate::core::sharding::map::Deal;
use crate::core::write::Write;

/// What is here of an older domain, for the keys that the claim is made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The domain.
    pub domain: Domain,
    /// What a donor covered of it, or several.
    pub covered: Coverage,
    /// Whether a donor had everything of still older maps: then nothing of those is to be had from another donor of this domain.
    pub whole: bool,
    /// How keys were dealt before the map of the domain.
    pub before: Option<Deal>,
}

impl Claim {
    /// Whether a node can have made it: what was before a map is older than it.
    pub fn is_sound(&self) -> bool {
        let before = self.before;
        before.is_none_or(|deal| deal.since < self.domain.map && deal.shards > 0)
    }
}

/// Winners that were written under an older map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OlderWrites {
    /// The domain of their dots.
    pub domain: Domain,
    /// They.
    pub writes: Vec<Write>,
}

/// All that was written under maps before this one, in lives up to these, is with all its keepers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The map.
    pub map: MapId,
    /// Sorted by address.
    pub lives: Vec<(Address, Incarnation)>,
}

impl Closed {
    /// Whether all that this life has written under earlier maps is meant.
    pub fn accounts_for(&self, origin: &Origin) -> bool {
        let found = self
            .lives
            .binary_search_by_key(&origin.address, |(a, _)| *a);
        found.is_ok_and(|at| origin.incarnation <= self.lives[at].1)
    }

    /// Whether a group of metadata says nothing that every keeper does not have.
    pub fn satisfies(&self, domain: &Domain, group: &Clock) -> bool {
        let accounted_for = || group.iter().all(|(origin, _)| self.accounts_for(&origin));
        domain.map < self.map && (domain.shard == ShardId::NONE || accounted_for())
    }

    /// What stands in metadata for the groups that are left out: that there is this map. Whoever has lost its memory, and goes by an older map
    /// that its settings give, lacks it. It is the group of no shard; nobody writes in that, so any one entry does.
    pub fn stand_in(&self) -> Option<(Domain, Clock)> {
        let domain = Domain {
            map: self.map,
            shard: ShardId::NONE,
        };
        let origin = Origin {
            address: self.lives.first()?.0,
            incarnation: Incarnation::starting(0, 0),
        };
        Some((domain, Clock::from_iter([(origin, 1)])))
    }
}

/// What goes with a join or a hand-over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inherited {
    /// How keys were dealt under older maps.
    pub deals: Vec<Deal>,
    /// What is here of them.
    pub claims: Vec<Claim>,
    /// What is here of them of some keys at least.
    pub of_keys: OfKeys,
    /// Who has handed over, in which life. In what a donor gives: in which lives it had what it holds.
    pub handed: Vec<(Address, Incarnation)>,
    /// What is closed.
    pub closed: Option<Closed>,
}

/// What a keeper was given of single keys, before its donors have handed over all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OfKeys {
    /// How many answers with such keys each keeper of the shard has had, in which life, as far as what they brought is here.
    pub answers: Vec<(Origin, u64)>,
    /// What their donors covered, for these keys at least.
    pub covered: Vec<(Domain, Coverage)>,
}

/// By which map a node goes, and how far it is with what was before, as its digests say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HandOvers {
    /// The map that it goes by.
    pub goes_by: MapId,
    /// Whether there is a node that it has not heard ([`Inheritance::unheard`]): it can agree on nothing.
    pub unheard: bool,
    /// The older domains that it holds something of for others to take.
    pub holds: Vec<Domain>,
    /// Whether all that it knows of have handed over to it.
    pub complete: bool,
    /// Who has, in which life, sorted by address.
    pub handed: Vec<(Address, Incarnation)>,
    /// What it has of older maps, until these are closed.
    pub claims: Vec<Claim>,
    /// What it has of them of some keys at least, likewise.
    pub of_keys: OfKeys,
    /// Whether these are closed, as it knows.
    pub closed: bool,
}

impl Inheritance {
    /// What this replica says of itself.
    pub fn hand_overs(&self) -> HandOvers {
        let named = |address: &Address| {
            let heard = self.heard.get(address);
            self.follows() || heard.is_some_and(|heard| !heard.said.holds.is_empty())
        };
        let mut handed = self.handed_list();
        handed.retain(|(address, _)| named(address));
        let closed = self.closed().is_some();
        let (claims, of_keys) = if closed {
            (Vec::new(), OfKeys::default())
        } else {
            (self.claims(), self.of_keys())
        };
        HandOvers {
            goes_by: self.map,
            unheard: self.unheard().is_some(),
            holds: self.holds.clone(),
            complete: self.is_complete(),
            handed,
            claims,
            of_keys,
            closed,
        }
    }

    /// Everything, for another keeper of the shard.
    pub fn inherited(&self) -> Inherited {
        let deals = self.deals.iter();
        Inherited {
            deals: deals
                .map(|(since, shards)| Deal {
                    since: *since,
                    shards: *shards,
                })
                .collect(),
            claims: self.claims(),
            of_keys: self.of_keys(),
            handed: self.handed_list(),
            closed: self.closed.as_deref().cloned(),
        }
    }
}
