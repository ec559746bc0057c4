//! Keys that requests could not wait for: each was handed over by itself, before all else that its donor holds.
//!
//! What a donor claims of an older domain holds for whatever it hands over, be it one key. So such a key has claims of its own, beside those
//! of the shard, until keys are dealt anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Claim, Inheritance};
use crate::core::coverage::Coverage;
use crate::core::id::{Domain, Key};
use crate::core::sharding::map::Deal;

/// Keys of which this is remembered at once. One more is not handed over by itself: requests for it wait for all that a donor has.
const KEYS_MAX: usize = 65_536;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyClaims {
    /// Keys that came with one answer share its claims.
    keys: BTreeMap<Key, Vec<Arc<[Claim]>>>,
    /// What all answers together covered, whichever keys they brought. The donor may have lost its memory since: then the other keepers
    /// of the shard see by this that they lack something.
    covered: BTreeMap<Domain, Coverage>,
}

impl KeyClaims {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
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
    /// Takes over what a donor had of older maps, for these keys alone; the store has it. Returns how many of them are one too many.
    pub fn claim_keys(&mut self, keys: &[Key], deals: &[Deal], claims: &[Claim]) -> usize {
        self.learn_deals(deals);
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
    pub(super) fn of_keys(&self) -> Vec<(Domain, Coverage)> {
        let covered = self.key_claims.covered.iter();
        covered.map(|(domain, of)| (*domain, of.clone())).collect()
    }

    /// A join has brought all that another keeper of the shard had of single keys, whatever it claims of these.
    pub(super) fn merge_of_keys(&mut self, of_keys: &[(Domain, Coverage)]) {
        for (domain, covered) in of_keys {
            if domain.map < self.deal.since {
                self.key_claims.cover(*domain, covered);
            }
        }
    }

    /// Whether another keeper of the shard has something of single keys that may not be here.
    pub(super) fn lacks_any_key(&self, of_keys: &[(Domain, Coverage)]) -> bool {
        of_keys.iter().any(|(domain, theirs)| {
            let claimed = self.covered(domain);
            let lacking = claimed.map_or_else(
                || theirs.clock().clone(),
                |claimed| claimed.lacking(theirs.clock()),
            );
            let of_keys = self.key_claims.covered.get(domain);
            of_keys.map_or(!lacking.is_empty(), |of_keys| of_keys.lacks_any(&lacking))
        })
    }
}
