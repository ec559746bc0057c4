//! Keys that requests could not wait for: each was handed over by itself, before all else that its donor holds.
//!
//! What a donor claims of an older domain holds for whatever it hands over, be it one key. So such a key has claims of its own, beside those
//! of the shard, until keys are dealt anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Claim, Inheritance, OfKeys};
use crate::core::coverage::Coverage;
use crate::core::id::{Domain, Key, Origin};
use crate::core::sharding::map::Deal;

/// Keys of which this is remembered at once. One more is not handed over by itself: requests for it wait for all that a donor has.
const KEYS_MAX: usize = 65_536;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyClaims {
    /// Keys that came with one answer share its claims.
    keys: BTreeMap<Key, Vec<Arc<[Claim]>>>,
    /// How many answers each keeper of the shard has had, as far as what they brought is here. A donor may have lost its memory since:
    /// then the other keepers see by this that they lack something. What it covered does not tell, since each key comes with all of that.
    answers: BTreeMap<Origin, u64>,
    /// What all these answers together covered: where the shard has as much, nothing is lacking.
    covered: BTreeMap<Domain, Coverage>,
}

impl KeyClaims {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.answers.clear();
        self.covered.clear();
    }

    fn of(&self, key: &Key) -> impl Iterator<Item = &Claim> {
        let answers = self.keys.get(key).into_iter().flatten();
        answers.flat_map(|claims| claims.iter())
    }

    fn cover(&mut self, domain: Domain, covered: &Coverage) {
        self.covered.entry(domain).or_default().merge(covered);
    }
}

impl Inheritance {
    /// Takes over what a donor had of older maps, for these keys alone, in the present life of this node, `own`; the store has it. Returns how
    /// many of them are one too many.
    pub fn claim_keys(
        &mut self,
        own: Origin,
        keys: &[Key],
        (deals, claims): (&[Deal], &[Claim]),
    ) -> usize {
        self.learn_deals(deals);
        *self.key_claims.answers.entry(own).or_default() += 1;
        let older = |claim: &&Claim| claim.domain.map < self.deal.since && claim.is_sound();
        let claims: Arc<[Claim]> = claims.iter().filter(older).cloned().collect();
        if claims.is_empty() {
            return 0;
        }
        for claim in claims.iter() {
            self.key_claims.cover(claim.domain, &claim.covered);
        }
        let mut too_many = 0;
        for key in keys {
            let known = &mut self.key_claims.keys;
            if known.len() < KEYS_MAX || known.contains_key(key) {
                let of_key = known.entry(key.clone()).or_default();
                if !of_key.contains(&claims) {
                    of_key.push(claims.clone());
                }
            } else {
                too_many += 1;
            }
        }
        too_many
    }

    /// What is claimed here of an older domain, for this key if one is given.
    pub(super) fn claims_for(
        &self,
        key: Option<&Key>,
        domain: &Domain,
    ) -> impl Iterator<Item = &Claim> {
        let of_key = key.into_iter().flat_map(|key| self.key_claims.of(key));
        let of_key = of_key.filter(move |claim| claim.domain == *domain);
        self.claims.get(domain).into_iter().chain(of_key)
    }

    /// What is here of older domains of some keys at least.
    pub(super) fn of_keys(&self) -> OfKeys {
        let KeyClaims {
            answers, covered, ..
        } = &self.key_claims;
        let covered = covered.iter().map(|(domain, of)| (*domain, of.clone()));
        OfKeys {
            answers: answers.iter().map(|(keeper, n)| (*keeper, *n)).collect(),
            covered: covered.collect(),
        }
    }

    /// A join has brought all that another keeper of the shard had of single keys, whatever it claims of these.
    pub(super) fn merge_of_keys(&mut self, of_keys: &OfKeys) {
        for (keeper, answers) in &of_keys.answers {
            let known = self.key_claims.answers.entry(*keeper).or_default();
            *known = (*known).max(*answers);
        }
        for (domain, covered) in &of_keys.covered {
            if domain.map < self.deal.since {
                self.key_claims.cover(*domain, covered);
            }
        }
    }

    /// Whether another keeper of the shard has something of single keys that may not be here.
    pub(super) fn lacks_any_key(&self, theirs: &OfKeys) -> bool {
        let known = |keeper: &Origin| self.key_claims.answers.get(keeper).copied();
        let mut answers = theirs.answers.iter();
        let more = answers.any(|(keeper, answers)| known(keeper).unwrap_or_default() < *answers);
        let lacking = |(domain, theirs): &(Domain, Coverage)| {
            let claimed = self.covered(domain);
            claimed.is_none_or(|claimed| claimed.is_behind(theirs))
        };
        more && theirs.covered.iter().any(lacking)
    }
}
