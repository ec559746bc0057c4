//! Looks into the nodes while they run, and says what no client could tell.
//!
//! What is looked at is what a node would send to a replica that has nothing: its clock, its hybrid time and its
//! winners, all of one moment. In every correct state, these hold:
//! - a winner's dot and dependencies are covered by the clock, its stamp is reached by hybrid time;
//! - of whatever the clock covers, the key holds a version that is not older;
//! - as long as a node numbers its writes as the same origin, its clock does not go back;
//! - one dot names one write, which is the same everywhere, and its stamp is above those of its dependencies;
//! - of whatever a claim on an older domain covers, and of all older maps once they are closed, the keys of the shard hold versions
//!   that are not older, but for what was lost with its last holders.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::broken::Broken;
use super::network::Network;
use super::run::Violation;
use crate::core::coverage::Coverage;
use crate::core::id::{Address, Domain, Dot, Incarnation, Key, MapId, Origin};
use crate::core::inheritance::Claim;
use crate::core::join::{Cut, Staged, Staging};
use crate::core::sharding::map::Deal;
use crate::core::stamp::{HlcTime, Stamp};
use crate::core::wire::{self, JoinAnswer, JoinRequest, Wants};
use crate::core::write::{Version, Write};
use crate::transport::Call;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Watch {
    written: BTreeMap<(Domain, Dot), Write>,
    covered: BTreeMap<(Domain, Origin), Coverage>,
    deals: BTreeMap<MapId, Deal>,
    broken: Broken,
    looked: u64,
    /// Writes of older domains that a keeper should have had, unless they were lost, and what that looks like.
    wanting: BTreeMap<Dot, Wanting>,
}

/// A write of an older domain that is not held where it has to be.
#[derive(Debug)]
pub(super) struct Wanting {
    /// Its key.
    pub(super) key: Key,
    /// Whether that has an older version, and not none.
    pub(super) is_stale: bool,
    /// By whom, in words.
    pub(super) text: String,
}

impl Watch {
    /// A client, or a look into a node, has shown this version.
    pub fn learn(&mut self, domain: Domain, key: &Key, version: &Arc<Version>) {
        let shown = Write {
            key: key.clone(),
            version: version.clone(),
        };
        let known = self.written.entry((domain, version.dot)).or_insert(shown);
        if (&known.key, &known.version) != (key, version) {
            let text = || {
                let (one, other) = (known.key.as_str(), key.as_str());
                format!(
                    "{} is {one}: {known:?}, and {other}: {version:?}",
                    version.dot
                )
            };
            self.broken.note("dot used twice", text);
        }
        let stamp = version.stamp();
        // Causes of other shards, too: what is written there was read before this was written.
        let causes = version.deps.iter().flat_map(|(domain, clock)| {
            let dot = |(origin, counter)| (*domain, Dot { origin, counter });
            clock.iter().map(dot)
        });
        let written = &self.written;
        let above = |cause: &(Domain, Dot)| {
            let its = written.get(cause);
            its.is_some_and(|its| stamp_of(its) >= stamp)
        };
        if let Some((_, cause)) = causes.into_iter().find(above) {
            let dot = version.dot;
            let text = || format!("{dot} depends on {cause}, which has a later stamp");
            self.broken.note("stamp below a cause", text);
        }
    }

    /// Takes a look into a node.
    pub fn look(&mut self, domain: Domain, cut: &Cut) {
        self.looked += 1;
        self.look_at_clock(domain, cut);
        let mut winners = BTreeMap::new();
        for write in &cut.writes {
            self.learn(domain, &write.key, &write.version);
            self.look_at_winner(domain, cut, &write.version);
            winners.insert(&write.key, write.version.stamp());
        }
        for older in &cut.older {
            for write in &older.writes {
                self.learn(older.domain, &write.key, &write.version);
                self.look_at_winner(domain, cut, &write.version);
                winners.insert(&write.key, write.version.stamp());
            }
        }
        self.look_at_older(domain, cut, &winners);
        let collected = cut.rest.collected.as_ref();
        let collected = collected.map_or(HlcTime::ZERO, |collected| collected.time);
        // A key without any version was perhaps deleted, and its tombstone collected.
        let stale = |write: &Write| match winners.get(&write.key) {
            Some(held) => *held < stamp_of(write),
            None => write.version.time > collected,
        };
        // Of a life that is over, what goes beyond the counter that was agreed on is lost, and nobody has it.
        let ended = &cut.rest.ended;
        let had = |dot: &Dot| {
            cut.covered.clock().covers(dot) || ended.counter(&dot.origin) >= Some(dot.counter)
        };
        let written = self.written.iter().filter(|((of, _), _)| *of == domain);
        let mut covered = written.map(|(_, w)| w).filter(|w| had(&w.dot()));
        if let Some(missing) = covered.find(|write| stale(write)) {
            let text = || {
                let (dot, key) = (missing.dot(), missing.key.as_str());
                let node = cut.from;
                format!(
                    "{node} covers {dot}, a write of {key}, and has an older one there, or none"
                )
            };
            self.broken.note("covered but not held", text);
        }
    }

    /// What a keeper must have of older domains.
    fn look_at_older(&mut self, domain: Domain, cut: &Cut, winners: &BTreeMap<&Key, Stamp>) {
        let inherited = &cut.rest.inherited;
        let Some(deal) = self.deals.get(&domain.map).copied() else {
            return;
        };
        let closed = inherited.closed.as_ref();
        let closed = closed.filter(|closed| closed.map == domain.map);
        let claims: BTreeMap<Domain, &Claim> =
            inherited.claims.iter().map(|c| (c.domain, c)).collect();
        let collected = cut.rest.collected.as_ref();
        let collected = collected.map_or(HlcTime::ZERO, |collected| collected.time);
        for ((of, dot), write) in &self.written {
            let claim = claims.get(of);
            let is_claimed = claim.is_some_and(|claim| claim.covered.clock().covers(dot));
            // What was written by the older map since then is not meant.
            let is_closed = closed.is_some_and(|closed| closed.accounts_for(&dot.origin));
            let due = of.map < domain.map && (is_claimed || is_closed);
            if !due || deal.domain_of(&write.key) != domain {
                continue;
            }
            let held = winners.get(&write.key);
            let stamp = stamp_of(write);
            if held.map_or(stamp.time > collected, |held| *held < stamp) {
                let (node, key) = (cut.from, write.key.as_str());
                let why = if is_claimed { "claims" } else { "has closed" };
                let text = format!(
                    "{node} in {domain} {why} {dot} of {of}, a write of {key}, stamped {stamp:?}, and holds {held:?} there"
                );
                self.wanting.entry(*dot).or_insert(Wanting {
                    key: write.key.clone(),
                    is_stale: held.is_some(),
                    text,
                });
            }
        }
    }

    /// Takes note of how keys are dealt.
    pub(super) fn learn_deal(&mut self, deal: Deal) {
        self.deals.insert(deal.since, deal);
    }

    /// What keepers should have had of older domains and did not, unless it was lost.
    pub(super) fn wanting(&self) -> &BTreeMap<Dot, Wanting> {
        &self.wanting
    }

    /// Every write that was ever seen, by its domain.
    pub(super) fn written(&self) -> impl Iterator<Item = (&Domain, &Write)> {
        self.written
            .iter()
            .map(|((domain, _), write)| (domain, write))
    }

    fn look_at_clock(&mut self, domain: Domain, cut: &Cut) {
        let node = (domain, cut.from);
        let before = self.covered.insert(node, cut.covered.clone());
        if let Some((origin, counter)) = before.and_then(|b| cut.covered.first_lacking(b.clock())) {
            let text = || format!("{} does not cover {origin}#{counter} any more", cut.from);
            self.broken.note("clock went back", text);
        }
    }

    fn look_at_winner(&mut self, domain: Domain, cut: &Cut, version: &Version) {
        let deps = version.deps.get(&domain);
        let lacking = deps.and_then(|deps| cut.covered.first_lacking(deps));
        if let Some((origin, counter)) = lacking {
            let (node, dot) = (cut.from, version.dot);
            let text = || format!("{node} holds {dot}, and lacks its cause {origin}#{counter}");
            self.broken.note("applied before a cause", text);
        }
        if version.time > cut.time {
            let (node, time, dot) = (cut.from, cut.time, version.dot);
            let text = || {
                format!(
                    "{node} is at {time} and holds {dot}, stamped {}",
                    version.time
                )
            };
            self.broken.note("time behind a write", text);
        }
    }

    /// How often a node was looked into.
    pub fn looked(&self) -> u64 {
        self.looked
    }

    /// What was wrong.
    pub fn violations(&self) -> Vec<Violation> {
        self.broken.violations().collect()
    }
}

fn stamp_of(write: &Write) -> Stamp {
    write.version.stamp()
}

/// The domain in which a node is, as far as it knows; that of an unsharded cluster if nobody is there.
pub fn domain_of(network: &Network, node: Address) -> Domain {
    let running = network.node(node);
    let map = running.map(|running| running.gateway().topology().map.clone());
    map.map_or(Domain::UNSHARDED, |map| map.domain_of(node))
}

/// Everything that a node holds, by a join of all its pages in no time; `None` if it gives none now.
pub async fn cut(network: &Network, node: Address, session: u64) -> Option<Cut> {
    cut_as(network, node, nobody()?, session).await
}

/// As that, in the name of somebody, whose own session ends by that: another one may be more than the node gives.
pub async fn cut_as(network: &Network, node: Address, asker: Origin, session: u64) -> Option<Cut> {
    let domain = domain_of(network, node);
    fetch(network, node, (asker, session), (domain, Wants::State)).await
}

/// What a node holds of older maps for the keepers of this domain, as somebody is told, whose own session ends by that.
pub(super) async fn held_for(
    network: &Network,
    (node, domain): (Address, Domain),
    asker: Origin,
    session: u64,
) -> Option<Cut> {
    let what = (domain, Wants::HandOver);
    fetch(network, node, (asker, session), what).await
}

/// One who has no part in anything.
pub(super) fn nobody() -> Option<Origin> {
    let address = std::net::SocketAddr::from(([10, 10, 255, 254], 1));
    let incarnation = Incarnation::starting(1, 0);
    let address = Address::try_from(address).ok()?;
    Some(Origin {
        address,
        incarnation,
    })
}

async fn fetch(
    network: &Network,
    node: Address,
    (asker, session): (Origin, u64),
    (domain, wants): (Domain, Wants),
) -> Option<Cut> {
    let node = network.node(node)?;
    let mut request = JoinRequest {
        from: asker,
        domain,
        wants,
        covered: Coverage::new(),
        claims: Vec::new(),
        session,
        page: 0,
    };
    let mut staging = Staging::new();
    loop {
        let bytes = wire::encode(&request);
        let answer = node.gateway().peer_call(Call::Join, &bytes).await.ok()?;
        let JoinAnswer::Page(page) = wire::decode(&answer).ok()? else {
            return None;
        };
        match staging.stage(page) {
            Staged::AskFor(page) => request.page = page,
            Staged::Complete(cut) => return Some(cut),
            Staged::Inconsistent => return None,
        }
    }
}
