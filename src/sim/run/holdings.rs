//! What each node has, of its own domain and of older ones: itself, and for others.

use std::collections::{BTreeMap, BTreeSet};

use super::super::made::Made;
use super::super::watch;
use super::Run;
use crate::core::id::{Address, Domain, Dot, Key, Origin, ShardId};
use crate::core::inheritance::Claim;
use crate::core::join::Cut;
use crate::core::sharding::map::Deal;
use crate::core::stamp::Stamp;
use crate::messages::causality::DigestReport;

/// The first session in which nodes are asked for all that they have at a crash; the watch's own never get so far.
const CRASHES: u64 = 1 << 41;

/// What one node has at one moment.
#[derive(Debug)]
pub(super) struct Holdings {
    pub(super) report: DigestReport,
    deal: Deal,
    /// What it has of older domains, for the keys of its shard.
    claims: Vec<Claim>,
    /// The older domains that it holds whole for others.
    frozen: Vec<Claim>,
    /// The latest stamp of each key that it keeps.
    kept: BTreeMap<Key, Stamp>,
    /// And of those that it holds for others.
    held: BTreeMap<Key, Stamp>,
}

impl Holdings {
    /// Whether the node has this write of that domain, or a later one in its place.
    pub(super) fn has(&self, domain: &Domain, dot: &Dot, write: Option<&Made>) -> bool {
        let names = |claim: &Claim| claim.domain == *domain && claim.covered.clock().covers(dot);
        let keeps = |write: &Made| self.deal.domain_of(&write.key) == self.report.domain;
        self.report.domain == *domain && self.report.has(dot)
            || self.frozen.iter().any(names)
            || self.claims.iter().any(names) && write.is_none_or(keeps)
    }

    /// Whether it has it by no name: what comes at second hand is taken without a claim.
    pub(super) fn shows(&self, write: &Made) -> bool {
        let reaches = |stamps: &BTreeMap<Key, Stamp>| {
            let stamp = stamps.get(&write.key).copied();
            stamp.is_some() && write.stamp.is_some() && stamp >= write.stamp
        };
        reaches(&self.kept) || reaches(&self.held)
    }

    /// All that it can be asked about: writes of its own domain, and of those of which it has something.
    pub(super) fn named(&self) -> impl Iterator<Item = (Domain, Origin, u64)> {
        let own = self.report.domain;
        let covered = self.report.covered.clock().iter();
        let named = covered.chain(self.report.ended.counters());
        let named = named.map(move |(origin, counter)| (own, origin, counter));
        let older = self.claims.iter().chain(&self.frozen).flat_map(|claim| {
            let covered = claim.covered.clock().iter();
            covered.map(|(origin, counter)| (claim.domain, origin, counter))
        });
        named.chain(older)
    }
}

fn learn(stamps: &mut BTreeMap<Key, Stamp>, cut: &Cut) {
    let older = cut.older.iter().flat_map(|older| &older.writes);
    for write in cut.writes.iter().chain(older) {
        let stamp = write.version.stamp();
        let known = stamps.entry(write.key.clone()).or_insert(stamp);
        *known = stamp.max(*known);
    }
}

impl Run {
    /// What a node has; `None` if it does not run. What is older, only where keys may be dealt anew.
    pub(super) async fn holdings(&mut self, node: usize) -> Option<Holdings> {
        let report = self.cluster.digest(node).await?;
        let deal = self.cluster.gateway(node)?.topology().map.deal();
        let mut holdings = Holdings {
            report,
            deal,
            claims: Vec::new(),
            frozen: Vec::new(),
            kept: BTreeMap::new(),
            held: BTreeMap::new(),
        };
        if !self.plan.reshards() {
            return Some(holdings);
        }
        if let Some(cut) = self.last_look(node).await {
            learn(&mut holdings.kept, &cut);
            holdings.claims = cut.rest.inherited.claims;
        }
        let taken_over = self.taken_over(node)?;
        let shards = (0..deal.shards).map(ShardId);
        for shard in shards.filter(|shard| !taken_over.contains(shard)) {
            let map = holdings.report.domain.map;
            let domain = Domain { map, shard };
            if let Some(cut) = self.last_hold(node, domain).await {
                learn(&mut holdings.held, &cut);
                holdings.frozen = cut.rest.inherited.claims;
            }
        }
        Some(holdings)
    }

    /// The shards all of whose keepers have told that they have what is theirs of older maps. Whoever holds that for them lets it go once all shards'
    /// keepers have, also if these have lost their memory by then, as long as nobody has heard of it.
    fn taken_over(&self, node: usize) -> Option<BTreeSet<ShardId>> {
        let topology = self.cluster.gateway(node)?.topology();
        let since = topology.map.deal().since;
        let has_all = |keeper: &Address| self.network.is_complete(*keeper, since);
        let shards = topology.map.shards().zip(topology.map.keepers());
        let taken = shards.filter(|(_, keepers)| keepers.iter().all(has_all));
        Some(taken.map(|(shard, _)| shard).collect())
    }

    /// Everything that a node holds in its own domain. It may give as many others as it can all that it has: then one of them
    /// gets no more.
    pub(super) async fn last_look(&mut self, node: usize) -> Option<Cut> {
        let address = self.cluster.addresses[node];
        let (session, askers) = self.askers().await;
        for asker in askers {
            let cut = watch::cut_as(&self.network, address, asker, session).await;
            if cut.is_some() {
                return cut;
            }
        }
        None
    }

    /// Everything that it holds for the keepers of this domain, in the same way.
    async fn last_hold(&mut self, node: usize, domain: Domain) -> Option<Cut> {
        let address = self.cluster.addresses[node];
        let (session, askers) = self.askers().await;
        for asker in askers {
            let of = (address, domain);
            let cut = watch::held_for(&self.network, of, asker, session).await;
            if cut.is_some() {
                return cut;
            }
        }
        None
    }

    /// In which session a node is asked, and in whose name: nobody's, and then anybody's.
    async fn askers(&mut self) -> (u64, Vec<Origin>) {
        self.crashes += 1;
        let running = self.digests().await.into_iter().flatten();
        let running = running.map(|digest| digest.origin);
        let lives = running.chain(self.crashed.keys().copied());
        let askers = watch::nobody().into_iter().chain(lives).collect();
        (CRASHES + self.crashes, askers)
    }
}
