//! What a replica has of the maps before its own (design §7, ADR 13).
//!
//! When keys are dealt anew, every node goes on in a domain of its new shard, with nothing, and *hands over* what it had: its older domain
//! is frozen, and each new keeper takes out of it what belongs to its shard. What is here of an older domain is said by a *claim*: its
//! coverage as the donor had it, for the keys of this shard. Claims are never merged into the clock of the new domain, which is about other
//! writes.
//!
//! A node has handed over in a life if everything that it had of older maps in that life is here. Once all have, this replica is *complete*:
//! what a client names of older maps is here, or was lost with those who had it. Once all keepers are complete, the older maps are
//! *closed*: nobody needs to name them any more, and donors let go of what they hold.

mod closing;
mod donors;
mod key_claims;
mod said;
mod standing;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::clock::Clock;
use super::coverage::Coverage;
use super::id::{Address, Domain, Dot, Incarnation, Key, MapId, Origin, ShardId};
use super::sharding::map::Deal;
use super::stamp::HlcTime;
use super::wire::Digest;

pub use self::donors::{Ahead, Donors};
use self::key_claims::KeyClaims;
pub use self::said::{Claim, Closed, HandOvers, Inherited, OfKeys, OlderWrites};
pub use self::standing::{NodeStanding, Standing};
pub use self::wanted::Wanted;

/// What was last heard of a node.
#[derive(Debug, Clone)]
struct Progress {
    life: Incarnation,
    map: MapId,
    promise: HlcTime,
    /// Whether it has shown its claims.
    shown: bool,
    said: HandOvers,
}

/// What one replica has of older maps; see the module.
#[derive(Debug, Clone)]
pub struct Inheritance {
    own: Address,
    map: MapId,
    deal: Deal,
    before: Option<Deal>,
    /// Shards of older maps.
    deals: BTreeMap<MapId, u32>,
    claims: BTreeMap<Domain, Claim>,
    /// Of keys that were handed over before all else.
    key_claims: KeyClaims,
    handed: BTreeMap<Address, Incarnation>,
    closed: Option<Arc<Closed>>,
    heard: BTreeMap<Address, Progress>,
    /// All configured nodes of the cluster that are not forgotten, with the latest life known.
    nodes: BTreeMap<Address, Incarnation>,
    /// Up to which life nodes are forgotten.
    forgotten: BTreeMap<Address, Incarnation>,
    /// Those that keep a shard.
    keepers: BTreeSet<Address>,
    /// The same by shard.
    shards: Vec<Vec<Address>>,
    /// Other keepers of the same shard.
    peers: BTreeSet<Address>,
    up: BTreeSet<Address>,
    /// The older domains that this node holds something of for others.
    holds: Vec<Domain>,
}

/// The nodes of the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nodes {
    /// The map that this node goes by.
    pub map: MapId,
    /// All configured nodes, this one included, with the latest life known of each. Those that are forgotten in it do not count.
    pub configured: Vec<(Address, Incarnation)>,
    /// Up to which life nodes are forgotten.
    pub forgotten: Vec<(Address, Incarnation)>,
    /// Those that keep a shard, by shard.
    pub keepers: Vec<Vec<Address>>,
    /// Those among them that keep the same one as this node.
    pub peers: Vec<Address>,
    /// Those believed up.
    pub up: Vec<Address>,
}

impl Inheritance {
    /// Nothing was before.
    pub fn new(own: Address, deal: Deal, before: Option<Deal>) -> Self {
        let mut inheritance = Self {
            own,
            map: deal.since,
            deal,
            before: None,
            deals: BTreeMap::new(),
            claims: BTreeMap::new(),
            key_claims: KeyClaims::new(),
            handed: BTreeMap::new(),
            closed: None,
            heard: BTreeMap::new(),
            nodes: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            keepers: BTreeSet::new(),
            shards: Vec::new(),
            peers: BTreeSet::new(),
            up: BTreeSet::new(),
            holds: Vec::new(),
        };
        inheritance.deal_anew(deal, before);
        inheritance
    }

    /// Goes on under this map, with nothing of those before. What was closed under it is not here either: who kept no shard has known that
    /// by the keepers' words, and keeps one from now on.
    pub fn deal_anew(&mut self, deal: Deal, before: Option<Deal>) {
        let known = [self.deal].into_iter().chain(before);
        let older = known.filter(|known| known.since < deal.since);
        self.deals
            .extend(older.map(|known| (known.since, known.shards)));
        (self.deal, self.before) = (deal, before);
        self.has_nothing();
        self.closed.take_if(|closed| closed.map >= deal.since);
    }

    /// The replica has nothing any more, as after a restart.
    pub fn begin_anew(&mut self) {
        self.has_nothing();
        self.closed = None;
    }

    fn has_nothing(&mut self) {
        self.claims.clear();
        self.key_claims.clear();
        self.handed.clear();
    }

    /// How keys are dealt by the present map, and were by the one before; nothing is given up for that.
    pub fn set_deal(&mut self, deal: Deal, before: Option<Deal>) {
        debug_assert_eq!(deal.since, self.deal.since, "the same map");
        let older = before.iter().map(|known| (known.since, known.shards));
        self.deals.extend(older);
        (self.deal, self.before) = (deal, before);
    }

    /// How keys are dealt now.
    pub fn deal(&self) -> Deal {
        self.deal
    }

    /// Takes over who there is.
    pub fn set_nodes(&mut self, nodes: &Nodes) {
        self.map = nodes.map;
        self.forgotten = nodes.forgotten.iter().copied().collect();
        let stays = |(address, life): &&(Address, Incarnation)| {
            let mark = self.forgotten.get(address);
            mark.is_none_or(|mark| life > mark)
        };
        self.nodes = nodes.configured.iter().filter(stays).copied().collect();
        self.keepers = nodes.keepers.iter().flatten().copied().collect();
        self.shards.clone_from(&nodes.keepers);
        self.peers = nodes.peers.iter().copied().collect();
        self.peers.remove(&self.own);
        self.up = nodes.up.iter().copied().collect();
        let Self { heard, nodes, .. } = self;
        heard.retain(|node, _| nodes.contains_key(node));
    }

    /// Takes note of what any node says, of whichever shard.
    pub fn note(&mut self, digest: &Digest) {
        let Origin {
            address,
            incarnation,
        } = digest.from;
        let known = self.heard.get(&address);
        if known.is_some_and(|known| known.life > incarnation) {
            return;
        }
        let mut said = digest.hand_overs.clone();
        if digest.domain.map == self.deal.since && said.holds.is_empty() {
            self.has_handed_over(digest.from);
        }
        // Who has closed the older maps does not say any more what it has of them.
        let same = |known: &&Progress| known.life == incarnation && known.map == digest.domain.map;
        let known = self.heard.get(&address).filter(same);
        let shown = known.is_some_and(|known| known.shown);
        if let Some(known) = known.filter(|known| said.closed && known.shown) {
            said.claims.clone_from(&known.said.claims);
            said.of_keys.clone_from(&known.said.of_keys);
        }
        let progress = Progress {
            life: incarnation,
            map: digest.domain.map,
            promise: digest.promise,
            shown: shown || !said.closed,
            said,
        };
        self.heard.insert(address, progress);
    }

    /// The first node of the cluster, of whichever shard, that was not heard since this process began, or goes by a map that is not known here yet;
    /// forgotten ones do not count. Before all were, this replica may have lost the memory of who was added to its shard, that node or
    /// another one, and so cannot say what all of them agree on.
    pub fn unheard(&self) -> Option<Address> {
        let mut others = self.nodes.keys().filter(|node| **node != self.own);
        let is_heard = |node: &Address| {
            let heard = self.heard.get(node);
            heard.is_some_and(|heard| heard.said.goes_by <= self.map)
        };
        others.find(|node| !is_heard(node)).copied()
    }

    /// Whether the sender of a digest has something for this replica.
    pub fn wants(&self, digest: &Digest) -> bool {
        let now = digest.domain.map == self.deal.since;
        let holds = !digest.hand_overs.holds.is_empty();
        now && holds && !self.has_from(digest.from) && self.is_valid(digest.from)
    }

    /// Whether this donor has handed over.
    pub fn has_from(&self, donor: Origin) -> bool {
        let handed = self.handed.get(&donor.address);
        handed.is_some_and(|life| *life >= donor.incarnation)
    }

    /// Whether a donor's word counts: it is not forgotten, and no later life of it is known.
    pub fn is_valid(&self, donor: Origin) -> bool {
        let latest = self.nodes.get(&donor.address);
        let forgotten = self.forgotten.get(&donor.address);
        latest.is_none_or(|latest| donor.incarnation >= *latest)
            && forgotten.is_none_or(|mark| donor.incarnation > *mark)
    }

    /// Whether one of these lives is forgotten.
    pub fn is_any_forgotten(&self, lives: &[(Address, Incarnation)]) -> bool {
        let mark = |address| self.forgotten.get(address);
        lives
            .iter()
            .any(|(address, life)| mark(address).is_some_and(|mark| life <= mark))
    }

    /// Whether a node is known to hold something for others that this key may be among.
    pub fn may_have(&self, node: &Address, key: &Key) -> bool {
        let heard = self.heard.get(node);
        let mut holds = heard.into_iter().flat_map(|heard| &heard.said.holds);
        holds.any(|domain| self.may_concern(key, domain))
    }

    /// Everything that this node had of older maps, in this life, is here, or it had nothing.
    pub fn has_handed_over(&mut self, donor: Origin) {
        let life = self.handed.entry(donor.address).or_default();
        *life = (*life).max(donor.incarnation);
    }

    /// What counts of what a donor says. That older maps are closed under the present one says that all keepers have what was written under
    /// them: a replica that has lost its memory since then has it from another keeper of its shard, and not from a donor.
    pub fn of_donor(&self, inherited: &Inherited) -> Inherited {
        let mut inherited = inherited.clone();
        let present = self.deal.since;
        inherited.closed = inherited.closed.filter(|closed| closed.map < present);
        inherited
    }

    /// Takes over what a donor, or another keeper of the shard, had of older maps.
    pub fn merge(&mut self, inherited: &Inherited) {
        self.learn_deals(&inherited.deals);
        for claim in &inherited.claims {
            self.claim(claim);
        }
        self.merge_of_keys(&inherited.of_keys);
        for (address, incarnation) in &inherited.handed {
            self.has_handed_over(Origin {
                address: *address,
                incarnation: *incarnation,
            });
        }
        if let Some(closed) = &inherited.closed {
            self.close(closed);
        }
    }

    fn learn_deals(&mut self, deals: &[Deal]) {
        let older = |deal: &&Deal| deal.since < self.deal.since && deal.shards > 0;
        let older = deals.iter().filter(older);
        self.deals
            .extend(older.map(|deal| (deal.since, deal.shards)));
    }

    /// Takes over what a donor had of an older domain; the store has it.
    pub fn claim(&mut self, claim: &Claim) {
        if claim.domain.map >= self.deal.since || !claim.is_sound() {
            return;
        }
        match self.claims.get_mut(&claim.domain) {
            Some(known) => {
                known.covered.merge(&claim.covered);
                known.whole |= claim.whole;
            }
            None => drop(self.claims.insert(claim.domain, claim.clone())),
        }
    }

    fn close(&mut self, closed: &Closed) {
        let known = self.closed.as_ref();
        if closed.map <= self.deal.since && known.is_none_or(|known| known.map < closed.map) {
            self.closed = Some(Arc::new(closed.clone()));
        }
    }

    /// What is covered here of an older domain.
    pub fn covered(&self, domain: &Domain) -> Option<&Coverage> {
        self.claims.get(domain).map(|claim| &claim.covered)
    }

    /// Whether a write of an older domain is covered here.
    pub fn covers(&self, domain: &Domain, dot: &Dot) -> bool {
        self.covered(domain)
            .is_some_and(|covered| covered.covers(dot))
    }

    /// All claims, sorted by domain.
    pub fn claims(&self) -> Vec<Claim> {
        self.claims.values().cloned().collect()
    }

    /// Who has handed over, in which life, sorted by address.
    fn handed_list(&self) -> Vec<(Address, Incarnation)> {
        self.handed.iter().map(|(a, life)| (*a, *life)).collect()
    }

    /// Whether there can be anything of older maps at all that this replica waits for.
    fn follows(&self) -> bool {
        self.before.is_some()
    }

    /// Whether nothing of older maps can be missing here.
    pub fn is_whole(&self) -> bool {
        self.closed().is_some() || (!self.follows() && self.claims.is_empty())
    }

    /// Who has not handed over yet, sorted.
    pub fn waited_for(&self) -> Vec<Address> {
        let waited_for = |(address, life): (&Address, &Incarnation)| {
            let handed = self.handed.get(address).copied().unwrap_or_default();
            let heard = self.heard.get(address);
            let holds = heard.is_some_and(|heard| !heard.said.holds.is_empty());
            let due = self.follows() || holds;
            (due && (handed < *life || *life == Incarnation::UNKNOWN)).then_some(*address)
        };
        self.nodes.iter().filter_map(waited_for).collect()
    }

    /// Whether the key can be read and written here: what one of its keepers had under the map before is here, and what one of them had under
    /// the map before that, and so on down to one who had everything of older maps.
    pub fn is_ready(&self, key: &Key) -> bool {
        let mut before = self.before;
        while let Some(deal) = before {
            let domain = deal.domain_of(key);
            let mut claims = self.claims_for(Some(key), &domain).peekable();
            let Some(claim) = claims.peek() else {
                // A node that is configured later has nothing of older maps either.
                return self.closed().is_some() || self.is_complete();
            };
            before = claim.before;
            if claims.any(|claim| claim.whole) {
                break;
            }
        }
        true
    }

    /// How keys were dealt before.
    pub fn before(&self) -> Option<Deal> {
        self.before
    }

    /// What of a group of an older map is not here, as far as it concerns this key.
    pub fn lacking(&self, key: Option<&Key>, domain: &Domain, need: &Clock) -> Clock {
        if domain.map > self.deal.since {
            return need.clone();
        }
        if domain.shard == ShardId::NONE {
            // It says no more than that there was such a map.
            return Clock::new();
        }
        if !key.is_none_or(|key| self.may_concern(key, domain)) {
            return Clock::new();
        }
        let claims = self.claims_for(key, domain);
        let mut lacking = claims.fold(need.clone(), |need, claim| claim.covered.lacking(&need));
        let complete = self.is_complete();
        lacking.retain(|origin| {
            !(complete && self.is_accounted_for(origin) || self.was_closed(key, domain, origin))
        });
        lacking
    }

    /// The domain in which the key's writes were numbered under an older map, if that is known.
    fn older_domain(&self, key: &Key, map: MapId) -> Option<Domain> {
        let shards = *self.deals.get(&map)?;
        Some(Deal { since: map, shards }.domain_of(key))
    }

    /// Whether the key may have been one of this older domain.
    fn may_concern(&self, key: &Key, domain: &Domain) -> bool {
        let of = self.older_domain(key, domain.map);
        of.is_none_or(|of| of == *domain)
    }

    /// Whether there is such a shard, or was one under an older map as far as that is known.
    pub fn exists(&self, domain: &Domain) -> bool {
        if domain.map == self.deal.since {
            domain.shard.0 < self.deal.shards
        } else {
            let shards = self.deals.get(&domain.map);
            let older = domain.map < self.deal.since && domain.shard != ShardId::NONE;
            older && shards.is_none_or(|shards| domain.shard.0 < *shards)
        }
    }

    /// Whether all that this life has written under older maps is here or nowhere, once all have handed over.
    fn is_accounted_for(&self, origin: &Origin) -> bool {
        let forgotten = self.forgotten.get(&origin.address);
        self.has_from(*origin) || forgotten.is_some_and(|mark| origin.incarnation <= *mark)
    }

    /// Whether all keepers of a map after this domain's had it, and what they had of the key is here: from one that knew it had all, and had
    /// not lost its memory since.
    fn was_closed(&self, key: Option<&Key>, domain: &Domain, origin: &Origin) -> bool {
        let Some(closed) = &self.closed else {
            return false;
        };
        let here = closed.map == self.deal.since || {
            let of = key.and_then(|key| self.older_domain(key, closed.map));
            let claim = of.and_then(|domain| self.claims.get(&domain));
            claim.is_some_and(|claim| claim.whole)
        };
        here && domain.map < closed.map && closed.accounts_for(origin)
    }

    /// What is closed under the present map, if it is.
    pub fn closed(&self) -> Option<&Arc<Closed>> {
        self.closed
            .as_ref()
            .filter(|closed| closed.map == self.deal.since)
    }

    /// Takes note of which older domains this node holds something of for others.
    pub fn set_holds(&mut self, holds: Vec<Domain>) {
        self.holds = holds;
    }

    /// Below this stamp nothing that was written under older maps can come any more: all have handed it over and hold it no longer, and
    /// nobody writes under those but with a clock that was set back. So tombstones up to it may go. The promises of those who keep the same shard are seen to elsewhere.
    pub fn frontier(&self) -> HlcTime {
        if !self.is_complete() || !self.holds.is_empty() {
            return HlcTime::ZERO;
        }
        let others = self.nodes.iter();
        let others = others.filter(|(address, _)| **address != self.own);
        // Under a first map those alone count that say that they hold something.
        let holds = |address| {
            let heard: Option<&Progress> = self.heard.get(address);
            heard.is_some_and(|heard| !heard.said.holds.is_empty())
        };
        let others = others.filter(|(address, _)| self.follows() || holds(*address));
        let promise = |(address, life): (&Address, &Incarnation)| {
            let heard = self.heard.get(address).filter(|heard| heard.life == *life);
            // Under yet another map it would hand that over once more.
            let done =
                |heard: &&Progress| heard.map == self.deal.since && heard.said.holds.is_empty();
            heard
                .filter(done)
                .map_or(HlcTime::ZERO, |heard| heard.promise)
        };
        let latest = HlcTime {
            ms: u64::MAX,
            count: u32::MAX,
        };
        others.map(promise).min().unwrap_or(latest)
    }
}

/// Whether this node is among those that have handed over, in this life or a later one.
fn is_among(handed: &[(Address, Incarnation)], node: &Address, life: Incarnation) -> bool {
    let found = handed.binary_search_by_key(node, |(address, _)| *address);
    life > Incarnation::UNKNOWN && found.is_ok_and(|at| handed[at].1 >= life)
}

#[cfg(test)]
mod tests;
