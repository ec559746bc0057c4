//! What a node had before keys were dealt anew, kept for those who keep them now (design §7, ADR 13).

use super::coverage::Coverage;
use super::id::{Address, Domain, Incarnation, Key};
use super::inheritance::{Claim, Inherited, OlderWrites};
use super::sharding::map::Deal;
use super::store::Store;
use super::write::Write;

/// A domain in which this node writes no more: its winners as they were when it went on in another.
#[derive(Debug)]
pub struct Frozen {
    /// How keys were dealt then.
    pub deal: Deal,
    /// In which life of this node it was frozen.
    pub life: Incarnation,
    /// What there is of the domain.
    pub claim: Claim,
    /// The winners, those of still older domains among them.
    pub winners: Store,
}

/// Who asks for something frozen: the keys of a shard, but for what is claimed already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The domain for which it is taken over.
    pub domain: Domain,
    /// Into how many shards keys are dealt under its map.
    pub shards: u32,
    /// What its keeper has of older domains.
    pub claims: Vec<Claim>,
}

impl Share {
    fn has(&self, key: &Key) -> bool {
        let deal = Deal {
            since: self.domain.map,
            shards: self.shards,
        };
        deal.domain_of(key) == self.domain
    }

    fn claim(&self, domain: &Domain) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.domain == *domain)
    }

    fn covered(&self, domain: &Domain) -> Option<&Coverage> {
        self.claim(domain).map(|claim| &claim.covered)
    }
}

/// What a node holds of older maps for a keeper: all that the keeper lacks, or what there is of these keys alone.
pub fn held_for(frozen: &[Frozen], mut share: Share, keys: Option<&[Key]>) -> Vec<OlderWrites> {
    let mut held = Vec::new();
    for frozen in frozen {
        held.extend(match keys {
            Some(keys) => frozen.of_keys(&share, keys),
            None => frozen.difference(&share),
        });
        share.claims.push(frozen.claim.clone());
    }
    held
}

/// What a donor says with that of older maps: what it holds, and in which of its lives it had it; what else it knows is for the keepers
/// of its own shard.
pub fn said_with(frozen: &[Frozen], own: Address, known: Inherited) -> Inherited {
    let mut deals = known.deals;
    deals.extend(frozen.iter().map(|frozen| frozen.deal));
    Inherited {
        deals,
        claims: frozen.iter().map(|frozen| frozen.claim.clone()).collect(),
        of_keys: Vec::new(),
        handed: frozen.iter().map(|frozen| (own, frozen.life)).collect(),
        closed: known.closed,
    }
}

impl Frozen {
    /// How many winners there are.
    pub fn len(&self) -> u64 {
        let summary = self.winners.summary();
        summary.keys + summary.tombstones
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a keeper lacks of it. To be added to what it claims: [`Frozen::claim`].
    fn difference(&self, share: &Share) -> Vec<OlderWrites> {
        let domain = self.claim.domain;
        let known = share.claim(&domain);
        let nothing = Coverage::new();
        let covered = known.map_or(&nothing, |claim| &claim.covered);
        let mut difference = vec![OlderWrites {
            domain,
            writes: self.winners.difference(covered),
        }];
        // Two donors that had everything of still older maps have the same of them, or have overwritten it since.
        if !(self.claim.whole && known.is_some_and(|known| known.whole)) {
            let older = self
                .winners
                .older_difference(|domain| share.covered(domain));
            difference.extend(older);
        }
        for older in &mut difference {
            older.writes.retain(|write: &Write| share.has(&write.key));
        }
        difference.retain(|older| !older.writes.is_empty());
        difference
    }

    /// What there is of these keys, as far as the keeper keeps them.
    fn of_keys(&self, share: &Share, keys: &[Key]) -> Vec<OlderWrites> {
        let kept = keys.iter().filter(|key| share.has(key));
        let held = kept.filter_map(|key| {
            let version = self.winners.get(key)?.clone();
            let older = self.winners.older_domain(&version.dot.origin);
            let domain = older.unwrap_or(self.claim.domain);
            let key = key.clone();
            let writes = vec![Write { key, version }];
            Some(OlderWrites { domain, writes })
        });
        held.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::{Dot, MapId, ShardId};
    use crate::core::testing::{dot, origin, write};

    const OLDEST: Domain = Domain::UNSHARDED;

    fn deal(epoch: u64, shards: u32) -> Deal {
        let since = MapId {
            epoch,
            ..MapId::IMPLICIT
        };
        Deal { since, shards }
    }

    fn domain(epoch: u64, shard: u32) -> Domain {
        Domain {
            map: deal(epoch, 1).since,
            shard: ShardId(shard),
        }
    }

    fn claim(domain: Domain, n: u16, counter: u64, whole: bool) -> Claim {
        Claim {
            before: None,
            domain,
            covered: [(origin(n), counter)].into_iter().collect(),
            whole,
        }
    }

    /// Of the only shard of map 1: twenty writes of node 1, and five of node 2 of still an older map.
    fn frozen(whole: bool) -> Frozen {
        let mut winners = Store::new();
        for counter in 1..=20 {
            winners.apply(write(1, counter));
        }
        for counter in 21..=25 {
            winners.apply_older(OLDEST, write(2, counter));
        }
        Frozen {
            life: Incarnation::UNKNOWN,
            deal: deal(1, 1),
            claim: claim(domain(1, 0), 1, 20, whole),
            winners,
        }
    }

    fn share(domain: Domain, shards: u32, claims: Vec<Claim>) -> Share {
        Share {
            domain,
            shards,
            claims,
        }
    }

    fn dots(difference: &[OlderWrites], domain: Domain) -> Vec<Dot> {
        let of = difference.iter().filter(|older| older.domain == domain);
        of.flat_map(|older| older.writes.iter().map(Write::dot))
            .collect()
    }

    #[test]
    fn a_keeper_gets_the_keys_of_its_shard_and_no_others() {
        let frozen = frozen(false);
        let mut keys = Vec::new();
        for shard in 0..3 {
            let difference = frozen.difference(&share(domain(2, shard), 3, Vec::new()));
            for older in &difference {
                for write in &older.writes {
                    assert_eq!(deal(2, 3).domain_of(&write.key), domain(2, shard));
                    keys.push(write.key.clone());
                }
            }
            assert!(!dots(&difference, domain(1, 0)).is_empty(), "it has some");
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len() as u64, frozen.len(), "each goes to one");
    }

    #[test]
    fn a_key_is_given_by_itself_to_its_keeper_with_the_domain_that_it_was_written_in() {
        let frozen = frozen(false);
        let key = |counter| write(1, counter).key;
        let all = share(domain(2, 0), 1, Vec::new());
        let given = frozen.of_keys(&all, &[key(3), key(21), key(99)]);
        assert_eq!(dots(&given, domain(1, 0)), [dot(1, 3)]);
        assert_eq!(dots(&given, OLDEST), [dot(2, 21)]);
        assert_eq!(given.len(), 2);
        let of = deal(2, 3).domain_of(&key(3)).shard.0;
        let others = share(domain(2, (of + 1) % 3), 3, Vec::new());
        assert_eq!(frozen.of_keys(&others, &[key(3)]), []);
    }

    #[test]
    fn what_a_keeper_claims_already_is_left_out() {
        let claims = vec![
            claim(domain(1, 0), 1, 18, false),
            claim(OLDEST, 2, 24, false),
        ];
        let difference = frozen(false).difference(&share(domain(2, 0), 1, claims));
        assert_eq!(dots(&difference, domain(1, 0)), [dot(1, 19), dot(1, 20)]);
        assert_eq!(dots(&difference, OLDEST), [dot(2, 25)]);
    }

    #[test]
    fn of_still_older_maps_nothing_goes_from_one_that_had_all_to_one_that_has_what_another_such_had()
     {
        for (whole, theirs, counts) in [
            (true, true, [0, 0]),
            (true, false, [0, 5]),
            (false, true, [0, 5]),
        ] {
            let claims = vec![claim(domain(1, 0), 1, 20, theirs)];
            let difference = frozen(whole).difference(&share(domain(2, 0), 1, claims));
            let of = [domain(1, 0), OLDEST].map(|domain| dots(&difference, domain).len());
            assert_eq!(of, counts, "{whole} {theirs}");
        }
    }
}
