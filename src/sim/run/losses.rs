//! What is lost with the memory of a node.

use std::collections::{BTreeMap, BTreeSet};

use super::super::made::Made;
use super::super::samples::{family, samples};
use super::holdings::Holdings;
use super::{ASIDE, Run};
use crate::checker::OperationId;
use crate::core::id::{Domain, Dot, Origin};
use crate::core::roster::RosterEntry;
use crate::core::write::Write;

impl Run {
    /// Takes note of the writes that no running node has but this one.
    pub(super) async fn note_last_copies(&mut self, node: usize) {
        let Some(mine) = self.holdings(node).await else {
            return;
        };
        let mut others = Vec::new();
        for other in (0..self.cluster.addresses.len()).filter(|other| *other != node) {
            others.extend(self.holdings(other).await);
        }
        let written = self.written();
        let own = mine.report.domain;
        let mut known: BTreeMap<(Domain, Origin), u64> = BTreeMap::new();
        let named: Vec<_> = self.clients.borrow().named_dots().collect();
        // Nobody may name any more what was overwritten under a map that is closed, and yet what has taken its place can be lost.
        let made = written.values();
        let made = made.map(|made| (made.domain, made.dot.origin, made.dot.counter));
        for (domain, origin, counter) in mine.named().chain(named).chain(made) {
            let last = known.entry((domain, origin)).or_default();
            *last = counter.max(*last);
        }
        let dots = |((domain, origin), last)| {
            (1..=last).map(move |counter| (domain, Dot { origin, counter }))
        };
        let known = known.into_iter().flat_map(dots);
        // What is aside is in no digest.
        let aside = self.has_aside(node);
        let has = |of: &Holdings, (domain, dot): &(Domain, Dot)| {
            let write = written.get(dot);
            let shows = || *domain != own && write.is_some_and(|write| of.shows(write));
            of.has(domain, dot, write) || shows()
        };
        let mine_has = |it: &(Domain, Dot)| has(&mine, it) || aside && it.0 == own;
        let waited_for = |other: &&Holdings| !self.is_forgotten_somewhere(&other.report.origin);
        let waited_for: Vec<&Holdings> = others.iter().filter(waited_for).collect();
        let others_have = |it: &(Domain, Dot)| others.iter().any(|other| has(other, it));
        let is_missing =
            |it: &(Domain, Dot)| mine_has(it) && !waited_for.iter().any(|other| has(other, it));
        let now_ms = self.now_ms();
        let missing: Vec<(Domain, Dot)> = known.filter(is_missing).collect();
        let lost = missing.iter().filter(|it| !others_have(it));
        let mut lost: BTreeSet<Dot> = lost.map(|(_, dot)| *dot).collect();
        let of_keys = self.names_of(node, &lost).await;
        lost.extend(of_keys.into_iter().filter(|dot| !others_have(&(own, *dot))));
        self.missing.extend(missing.iter().map(|(_, dot)| *dot));
        for dot in lost {
            self.lost.entry(dot).or_insert(now_ms);
        }
        let report = &mine.report;
        self.crashed
            .insert(report.origin, report.covered.get(&report.origin));
    }

    /// Every write that was ever seen, or made for a client.
    pub(super) fn written(&self) -> BTreeMap<Dot, Made> {
        let (watch, clients) = (self.watch.borrow(), self.clients.borrow());
        let told = clients.made().iter().flatten().cloned();
        let told = told.chain(self.network.made().into_values());
        let shown = watch.written();
        let shown = shown.map(|(domain, write)| Made::shown(*domain, write));
        let by_dot = |made: Made| (made.dot, made);
        // What a node has shown is known best.
        told.chain(shown).map(by_dot).collect()
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
