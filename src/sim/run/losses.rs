//! What is lost with the memory of a node.

use std::collections::{BTreeMap, BTreeSet};

use super::super::samples::{family, samples};
use super::super::watch;
use super::{ASIDE, Run};
use crate::checker::OperationId;
use crate::core::id::{Dot, Origin};
use crate::core::join::Cut;
use crate::core::roster::RosterEntry;
use crate::core::write::Write;
use crate::messages::causality::DigestReport;

/// The first session in which nodes are asked for all that they have at their crash; the watch's own never get so far.
const CRASHES: u64 = 1 << 41;

impl Run {
    /// Takes note of the writes that no running node has but this one.
    pub(super) async fn note_last_copies(&mut self, node: usize) {
        let digests = self.digests().await;
        let Some(Some(mine)) = digests.get(node) else {
            return;
        };
        let others = digests.iter().enumerate();
        let others = others.filter(|(other, _)| *other != node);
        let others = others.filter_map(|(_, digest)| digest.as_ref());
        let others: Vec<_> = others.filter(|o| o.domain == mine.domain).collect();
        let waited_for = |other: &&&DigestReport| !self.is_forgotten_somewhere(&other.origin);
        let waited_for: Vec<&DigestReport> = others.iter().filter(waited_for).copied().collect();
        let mut known: BTreeMap<Origin, u64> = mine.covered.clock().iter().collect();
        let named: Vec<_> = self.clients.borrow().named_dots().collect();
        for (origin, counter) in named.into_iter().chain(mine.ended.counters()) {
            let last = known.entry(origin).or_default();
            *last = counter.max(*last);
        }
        let dots = |(origin, last)| (1..=last).map(move |counter| Dot { origin, counter });
        let known = known.into_iter().flat_map(dots);
        // What is aside is in no digest.
        let aside = self.has_aside(node);
        let mine_has = |dot: &Dot| mine.has(dot) || aside;
        let only_here = |dot: &Dot| mine_has(dot) && !others.iter().any(|other| other.has(dot));
        let is_missing = |dot: &Dot| mine_has(dot) && !waited_for.iter().any(|o| o.has(dot));
        let now_ms = self.now_ms();
        let missing: BTreeSet<Dot> = known.filter(is_missing).collect();
        let mut lost: BTreeSet<Dot> = missing.iter().copied().filter(only_here).collect();
        let had = |dot: &Dot| others.iter().any(|other| other.has(dot));
        let of_keys = self.names_of(node, &lost).await;
        lost.extend(of_keys.into_iter().filter(|dot| !had(dot)));
        self.missing.extend(missing);
        for dot in lost {
            self.lost.insert(dot, now_ms);
        }
        self.crashed
            .insert(mine.origin, mine.covered.get(&mine.origin));
    }

    /// Whether some node takes this life, or a later one of its address, for forgotten. What only such a life has is missing until it returns.
    fn is_forgotten_somewhere(&self, life: &Origin) -> bool {
        let forgets = |entry: &RosterEntry| {
            let its = entry.address == life.address && entry.life >= life.incarnation;
            its && entry.forgotten
        };
        let nodes = self.cluster.addresses.iter();
        nodes
            .map(|node| self.network.roster(*node))
            .any(|roster| roster.iter().any(forgets))
    }

    /// Whether a write was with nobody but such lives when the last other one lost its memory.
    pub(super) fn is_missing(&self, dot: &Dot) -> bool {
        self.missing.contains(dot)
    }

    /// Of the keys whose winners are `lost`, all writes that clients know, if a node was born again: it has written one of them again,
    /// under another name, and that has outranked the others.
    async fn names_of(&mut self, node: usize, lost: &BTreeSet<Dot>) -> Vec<Dot> {
        if !self.was_reborn() {
            return Vec::new();
        }
        let Some(cut) = self.last_look(node).await else {
            return Vec::new();
        };
        let is_lost = |w: &&Write| lost.contains(&w.dot());
        let winners = cut.writes.iter().filter(is_lost);
        let keys: BTreeSet<&str> = winners.map(|w| w.key.as_str()).collect();
        let clients = self.clients.borrow();
        let operations = clients.operations();
        let is_it = |id: &OperationId| {
            let operation = operations.iter().find(|operation| operation.id == *id);
            operation.is_some_and(|operation| keys.contains(operation.key.as_str()))
        };
        let names = clients.acknowledged().filter(|(id, _)| is_it(id));
        names.map(|(_, dot)| dot).collect()
    }

    /// Everything that a node holds which is about to end. It may give as many others as it can all that it has: then one of them
    /// gets no more.
    async fn last_look(&mut self, node: usize) -> Option<Cut> {
        let address = self.cluster.addresses[node];
        self.crashes += 1;
        let session = CRASHES + self.crashes;
        if let Some(cut) = watch::cut(&self.network, address, session).await {
            return Some(cut);
        }
        let running = self.digests().await.into_iter().flatten();
        let running = running.map(|digest| digest.origin);
        let lives: Vec<Origin> = running.chain(self.crashed.keys().copied()).collect();
        for asker in lives {
            let cut = watch::cut_as(&self.network, address, asker, session).await;
            if cut.is_some() {
                return cut;
            }
        }
        None
    }

    fn has_aside(&self, node: usize) -> bool {
        let text = self.cluster.gateway(node).map(|it| it.metrics_text());
        let aside = |(name, value): (&str, u64)| family(name) == ASIDE && value > 0;
        text.is_some_and(|text| samples(&text).any(aside))
    }

    /// Whether only a node had this write that has lost its memory. What it wrote in the very moment of its crash, after it
    /// was asked what it had, was with nobody else either.
    pub(super) fn is_lost(&self, dot: &Dot) -> bool {
        let last = self.crashed.get(&dot.origin);
        self.lost.contains_key(dot) || last.is_some_and(|last| dot.counter > *last)
    }
}
