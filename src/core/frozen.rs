//! What a node had before keys were dealt anew, kept for those who keep them now (design §7, ADR 13).

use std::sync::Arc;

use super::coverage::Coverage;
use super::id::{Address, Domain, Dot, Incarnation, Key};
use super::inheritance::{Claim, Inherited, OfKeys, OlderWrites};
use super::join::{JoinLimits, Pages, push_older};
use super::sharding::map::Deal;
use super::sharding::placement;
use super::store::Store;
use super::wire::{JoinPage, JoinRest};
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

/// From each of these what a keeper lacks is to be taken by the share beside it: what those before it brought is claimed by then.
pub fn in_turn(frozen: &[Arc<Frozen>], mut share: Share) -> Vec<(Arc<Frozen>, Share)> {
    let mut turns = Vec::with_capacity(frozen.len());
    for frozen in frozen {
        turns.push((frozen.clone(), share.clone()));
        share.claims.push(frozen.claim.clone());
    }
    turns
}

/// What a node holds of these keys for a keeper.
pub fn held_for(frozen: &[Arc<Frozen>], share: &Share, keys: &[Key]) -> Vec<OlderWrites> {
    let of_keys = |frozen: &Arc<Frozen>| frozen.of_keys(share, keys);
    frozen.iter().flat_map(of_keys).collect()
}

/// What a donor says with that of older maps: what it holds, and in which of its lives it had it; what else it knows is for the keepers
/// of its own shard.
pub fn said_with(frozen: &[Arc<Frozen>], own: Address, known: Inherited) -> Inherited {
    let mut deals = known.deals;
    deals.extend(frozen.iter().map(|frozen| frozen.deal));
    Inherited {
        deals,
        claims: frozen.iter().map(|frozen| frozen.claim.clone()).collect(),
        of_keys: OfKeys::default(),
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

    /// About how many keys a keeper has in the end: as many as every other one has of all that there are.
    pub fn keys_in(&self, share: &Share) -> usize {
        let keys = self.len() * u64::from(self.deal.shards) / u64::from(share.shards.max(1));
        usize::try_from(keys).unwrap_or(0)
    }

    /// What a keeper lacks of it. To be added to what it claims: [`Frozen::claim`].
    pub fn difference(&self, share: &Share) -> Vec<OlderWrites> {
        let mut difference = Vec::new();
        let walk = self.walk(share, None, usize::MAX, |domain, write| {
            push_older(&mut difference, domain, write);
            true
        });
        debug_assert_eq!(walk.next, None, "it has been gone through");
        difference
    }

    /// Goes through what a keeper lacks of it, from `from` on, or from the start: nothing changes here, so a walk may rest for as long as it likes. At
    /// most so many winners are looked at, and those of the keeper's keys given to `take`, which says whether it had room for it.
    pub fn walk(
        &self,
        share: &Share,
        from: Option<Dot>,
        most: usize,
        mut take: impl FnMut(Domain, Write) -> bool,
    ) -> Walk {
        let mut walk = Walk::default();
        if !self.may_have(share) {
            return walk;
        }
        let had = |domain: &Domain| self.had(share, domain);
        let lacking = self.winners.lacking(self.claim.domain, from, had);
        for (domain, dot, key) in lacking {
            let write = share.has(key).then(|| self.write(key)).flatten();
            if walk.passed >= most || write.is_some_and(|write| !take(domain, write)) {
                walk.next = Some(dot);
                break;
            }
            walk.passed += 1;
        }
        walk
    }

    /// What a keeper lacks of one key.
    pub fn lacked(&self, share: &Share, key: &Key) -> Option<(Domain, Write)> {
        let write = share.has(key).then(|| self.write(key)).flatten()?;
        let (dot, domain) = (write.dot(), self.domain_of(&write));
        let lacks = self
            .had(share, &domain)
            .is_some_and(|had| !had.covers(&dot));
        lacks.then_some((domain, write))
    }

    fn write(&self, key: &Key) -> Option<Write> {
        let version = self.winners.get(key)?.clone();
        let key = key.clone();
        Some(Write { key, version })
    }

    /// Whether any of its keys can be one of the keeper's.
    fn may_have(&self, share: &Share) -> bool {
        let own = (self.claim.domain.shard, self.deal.shards);
        placement::may_pass(own, (share.domain.shard, share.shards))
    }

    /// What a keeper has of a domain already; `None` if it needs nothing of that.
    fn had<'a>(&self, share: &'a Share, domain: &Domain) -> Option<&'a Coverage> {
        // Two donors that had everything of still older maps have the same of them, or have overwritten it since.
        let known = share.claim(&self.claim.domain);
        let both_whole = self.claim.whole && known.is_some_and(|known| known.whole);
        let wanted = *domain == self.claim.domain || !both_whole;
        wanted.then(|| share.covered(domain).unwrap_or(&NOTHING))
    }

    /// What there is of these keys, as far as the keeper keeps them.
    fn of_keys(&self, share: &Share, keys: &[Key]) -> Vec<OlderWrites> {
        let kept = keys.iter().filter(|key| share.has(key));
        let mut held = Vec::new();
        for write in kept.filter_map(|key| self.write(key)) {
            push_older(&mut held, self.domain_of(&write), write);
        }
        held
    }

    /// The domain in which one of its writes was made.
    fn domain_of(&self, write: &Write) -> Domain {
        let older = self.winners.older_domain(&write.dot().origin);
        older.unwrap_or(self.claim.domain)
    }
}

/// How far a walk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Walk {
    /// From where to go on, if it is not over.
    pub next: Option<Dot>,
    /// How many winners it has passed.
    pub passed: usize,
}

/// What nothing is known of.
static NOTHING: Coverage = Coverage::new();

/// What is handed over to one keeper. It is immutable, so that each page is made when it is asked for.
#[derive(Debug)]
pub struct HandOver {
    /// From each what is lacked by the share beside it.
    stock: Vec<(Arc<Frozen>, Share)>,
    /// A page that has nothing but what is in every one, and what the last one has besides.
    empty: JoinPage,
    rest: JoinRest,
    limits: JoinLimits,
    /// Where the pages begin, as far as that is known.
    starts: Vec<Start>,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
struct Start {
    /// At which frozen domain, and from which write of it on.
    at: usize,
    from: Option<Dot>,
    /// How many winners there are from there on, at most.
    left: u64,
}

impl HandOver {
    /// All of these that the keeper lacks; `empty` says by whom and when.
    pub fn new(
        frozen: &[Arc<Frozen>],
        share: Share,
        (empty, rest): (JoinPage, JoinRest),
        limits: JoinLimits,
    ) -> Self {
        let first = Start {
            at: 0,
            from: None,
            left: frozen.iter().map(|frozen| frozen.len()).sum(),
        };
        Self {
            stock: in_turn(frozen, share),
            empty,
            rest,
            limits,
            starts: vec![first],
        }
    }
}

impl Pages for HandOver {
    fn page(&mut self, number: usize) -> Option<JoinPage> {
        let Start {
            mut at,
            mut from,
            mut left,
        } = *self.starts.get(number)?;
        let mut page = self.empty.clone();
        let mut bytes = 0;
        while let Some((frozen, share)) = self.stock.get(at) {
            let most = self.limits.page_steps();
            let walk = frozen.walk(share, from, most, |domain, write| {
                let weight = write.weight();
                let fits = bytes == 0 || bytes + weight <= self.limits.page_bytes;
                if fits {
                    bytes += weight;
                    push_older(&mut page.older, domain, write);
                }
                fits
            });
            left = left.saturating_sub(walk.passed as u64);
            from = walk.next;
            if from.is_some() {
                break;
            }
            at += 1;
        }
        if at == self.stock.len() {
            page.rest = Some(self.rest.clone());
        } else if self.starts.len() == number + 1 {
            self.starts.push(Start { at, from, left });
        }
        page.left = if page.rest.is_some() { 0 } else { left };
        Some(page)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::core::id::{MapId, ShardId};
    use crate::core::join::{Staged, Staging};
    use crate::core::stamp::HlcTime;
    use crate::core::testing::{dot, origin, write};

    const OLDEST: Domain = Domain::UNSHARDED;

    fn deal(epoch: u64, shards: u32) -> Deal {
        let since = MapId {
            epoch,
            ..MapId::IMPLICIT
        };
        Deal { since, shards }
    }

    pub(crate) fn domain(epoch: u64, shard: u32) -> Domain {
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
    pub(crate) fn frozen(whole: bool) -> Frozen {
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

    pub(crate) fn share(domain: Domain, shards: u32, claims: Vec<Claim>) -> Share {
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

    #[test]
    fn the_pages_of_a_hand_over_are_the_difference_and_the_same_whenever_one_is_asked_for() {
        let frozen = [Arc::new(frozen(false))];
        let share = share(domain(2, 1), 3, Vec::new());
        let expected = frozen[0].difference(&share);
        let empty = JoinPage {
            from: origin(9),
            covered: Coverage::new(),
            time: HlcTime::ZERO,
            writes: Vec::new(),
            older: Vec::new(),
            left: 0,
            rest: None,
        };
        for page_bytes in [1, 300, 600, 1 << 20] {
            let limits = JoinLimits {
                page_bytes,
                sessions: 1,
                session_ms: 1,
            };
            let rest = JoinRest::default();
            let mut hand_over =
                HandOver::new(&frozen, share.clone(), (empty.clone(), rest), limits);
            let (mut pages, mut staging) = (0, Staging::new());
            let all: u64 = expected.iter().map(|of| of.writes.len() as u64).sum();
            let joined = loop {
                let page = hand_over.page(pages).expect("it is the next one");
                assert_eq!(hand_over.page(pages), Some(page.clone()));
                pages += 1;
                if page.rest.is_none() {
                    assert_eq!(
                        hand_over.page(pages + 1),
                        None,
                        "nobody knows where it begins"
                    );
                }
                match staging.stage(page) {
                    Staged::AskFor(next) => {
                        assert_eq!(next as usize, pages);
                        let progress = staging.progress();
                        assert!(progress.arrived + progress.left >= all);
                    }
                    Staged::Complete(joined) => break joined,
                    Staged::Inconsistent => panic!("one hand-over"),
                }
            };
            assert_eq!(hand_over.page(pages), None, "that was the last");
            for of in [domain(1, 0), OLDEST] {
                assert_eq!(dots(&joined.older, of), dots(&expected, of));
            }
        }
    }
}
