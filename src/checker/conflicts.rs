//! The order of concurrent writes that reads imply, and its cycles: `CyclicCF`.
//!
//! Who reads `v` with another write `w` of that key in his causal past has seen `v` win over `w`. All
//! replicas apply one rule, so one total order of all writes must contain every such pair and causality: a
//! cycle in the union shows that there is none.

use std::collections::HashSet;

use super::bits::Bits;
use super::facts::Facts;
use super::graph::{self, Graph};
use super::order::CausalOrder;
use super::reads::without_forgiven;
use super::report::{Guarantee, Kind, Violation};
use super::story;

/// Causality and the conflict order together, in ranks.
pub(super) struct Conflicts {
    /// By rank: what immediately precedes it.
    before: Graph,
    /// By rank of a write: its readers, without those that were found stale.
    readers: Vec<Vec<usize>>,
    /// Pairs of writes added to causality.
    pub(super) steps: u64,
}

impl Conflicts {
    /// The conflict order; `stale` reads (nodes) have been reported and imply nothing.
    pub(super) fn of(facts: &Facts<'_>, order: &CausalOrder, stale: &HashSet<usize>) -> Self {
        let count = order.node.len();
        let mut readers = vec![Vec::new(); count];
        for (rank, node) in order.node.iter().enumerate() {
            if let Some(source) = order.source(facts, rank)
                && !stale.contains(node)
            {
                readers[source].push(rank);
            }
        }
        let ranks = |steps: &Vec<(usize, _)>| steps.iter().map(|(rank, _)| *rank).collect();
        let mut before: Graph = order.before.iter().map(ranks).collect();
        let mut steps = 0;
        for (write, reads) in readers
            .iter()
            .enumerate()
            .filter(|(_, reads)| !reads.is_empty())
        {
            let losers = losers(facts, order, write, reads);
            steps += losers.len() as u64;
            before[write].extend(losers);
        }
        Self {
            before,
            readers,
            steps,
        }
    }

    /// One violation for each of the (disjoint, shortest) cycles.
    pub(super) fn cycles(&self, facts: &Facts<'_>, order: &CausalOrder) -> Vec<Violation> {
        if self.steps == 0 || graph::topological(&self.before).is_some() {
            return Vec::new();
        }
        let cycles = graph::cycles(&self.before);
        cycles
            .iter()
            .map(|cycle| self.tell(facts, order, cycle))
            .collect()
    }

    /// The writes of `key` that come after `write` in causality and conflict order, in ranks.
    pub(super) fn later_writes(&self, order: &CausalOrder, write: usize, key: usize) -> Bits {
        let mut after = Bits::new(order.node.len());
        let mut changed = true;
        after.insert(write);
        while changed {
            changed = false;
            for (rank, before) in self.before.iter().enumerate() {
                if !after.contains(rank) && before.iter().any(|b| after.contains(*b)) {
                    after.insert(rank);
                    changed = true;
                }
            }
        }
        after.remove(write);
        after.keep_all(&order.writes[key]);
        after
    }

    /// Why `earlier` immediately precedes `later`: the read that saw `later` win; `None` if causality says so.
    fn witness(&self, order: &CausalOrder, earlier: usize, later: usize) -> Option<usize> {
        if order.before[later].iter().any(|(rank, _)| *rank == earlier) {
            return None;
        }
        let seen = |read: &usize| order.precedes(earlier, *read);
        self.readers[later].iter().copied().find(seen)
    }

    fn tell(&self, facts: &Facts<'_>, order: &CausalOrder, cycle: &[usize]) -> Violation {
        let mut ranks = Vec::new();
        let mut lines = Vec::new();
        let mut link = "";
        let next = cycle.iter().cycle().skip(1);
        for (rank, next) in cycle.iter().zip(next) {
            ranks.push(*rank);
            lines.push((link, facts.line(order.node[*rank])));
            link = match self.witness(order, *rank, *next) {
                None => story::link(order, *rank, *next),
                Some(read) => {
                    ranks.push(read);
                    lines.push(("was in the causal past of", facts.line(order.node[read])));
                    "which saw this win over it:"
                }
            };
        }
        lines.push((link, facts.line(order.node[cycle[0]])));
        Violation {
            kind: Kind::CyclicCf,
            guarantee: self.guarantee(order, cycle),
            operations: facts.ids(&order.nodes(&ranks)),
            explanation: format!(
                "no order of the writes agrees with causality and with what was read; each of these must come before \
                 the next, and the last is the first again{}",
                story::lines(&lines)
            ),
        }
    }

    /// Two writes that win over each other before the eyes of one lineage: it has read an older version after
    /// a newer one.
    fn guarantee(&self, order: &CausalOrder, cycle: &[usize]) -> Option<Guarantee> {
        let [one, other] = cycle else { return None };
        let first = self.witness(order, *one, *other)?;
        let second = self.witness(order, *other, *one)?;
        let (first, second) = (first.min(second), first.max(second));
        let same = !order.path(first, second, true).is_empty();
        same.then_some(Guarantee::MonotonicReads)
    }
}

/// The writes that readers of `write` had in their past when they saw it, those alone that causality does not
/// order already.
fn losers(facts: &Facts<'_>, order: &CausalOrder, write: usize, reads: &[usize]) -> Vec<usize> {
    let mut seen = Bits::new(order.node.len());
    for read in reads {
        seen.add_all(&order.past[*read]);
    }
    seen.keep_all(&order.writes[facts.nodes[order.node[write]].key]);
    seen.remove(write);
    seen.remove_all(&order.past[write]);
    without_forgiven(facts, order, &mut seen);
    order.maximal(seen)
}
