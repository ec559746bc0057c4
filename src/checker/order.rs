//! The causal order: metadata steps and reads-from, closed transitively over bitsets.
//!
//! Everything here is in *ranks*: positions in one topological order of the nodes, causes first. So the
//! causal past of a node lies below it, and the highest rank of any set is one of its maximal members.

use super::bits::Bits;
use super::facts::{Facts, Role, Source};
use super::graph::{self, Graph};

/// Why one node precedes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The answer's metadata made the request.
    Metadata,
    /// The read reads from the write.
    ReadsFrom,
}

/// The causal order of a history without causal cycles.
#[derive(Debug)]
pub(super) struct CausalOrder {
    /// Node by rank.
    pub(super) node: Vec<usize>,
    /// Rank by node.
    pub(super) rank: Vec<usize>,
    /// By rank: the ranks immediately before it.
    pub(super) before: Vec<Vec<(usize, Step)>>,
    /// By rank: all that causally precedes it.
    pub(super) past: Vec<Bits>,
    /// By rank: all that it causally precedes.
    pub(super) future: Vec<Bits>,
    /// By key: the ranks of its writes.
    pub(super) writes: Vec<Bits>,
    /// By key: the ranks of its DELETEs, those included that were answered with "absent" and may have written.
    pub(super) deletes: Vec<Bits>,
}

impl CausalOrder {
    /// The causal order of `facts`.
    ///
    /// # Errors
    /// The causal cycles, each as nodes of which every one precedes the next, and the last the first.
    pub(super) fn of(facts: &Facts<'_>) -> Result<Self, Vec<Vec<usize>>> {
        let steps: Vec<Vec<(usize, Step)>> =
            (0..facts.nodes.len()).map(|n| steps(facts, n)).collect();
        let graph: Graph = steps
            .iter()
            .map(|s| s.iter().map(|(n, _)| *n).collect())
            .collect();
        let Some(node) = graph::topological(&graph) else {
            return Err(graph::cycles(&graph));
        };
        let mut rank = vec![0; node.len()];
        for (position, n) in node.iter().enumerate() {
            rank[*n] = position;
        }
        let ranked = |n: &usize| {
            steps[*n]
                .iter()
                .map(|(m, step)| (rank[*m], *step))
                .collect()
        };
        let before: Vec<Vec<(usize, Step)>> = node.iter().map(ranked).collect();
        let (past, future) = close(&before);
        let mut writes = vec![Bits::new(node.len()); facts.keys.len()];
        for (position, n) in node.iter().enumerate() {
            if facts.nodes[*n].writes() {
                writes[facts.nodes[*n].key].insert(position);
            }
        }
        let mut order = Self {
            node,
            rank,
            before,
            past,
            future,
            writes,
            deletes: Vec::new(),
        };
        order.deletes = order.possible_deletes(facts);
        Ok(order)
    }

    /// A DELETE that was answered with "absent" has written only if there is another one of that key which neither
    /// precedes it nor follows it.
    fn possible_deletes(&self, facts: &Facts<'_>) -> Vec<Bits> {
        let mut deletes = vec![Bits::new(self.node.len()); facts.keys.len()];
        for (rank, n) in self.node.iter().enumerate() {
            if facts.nodes[*n].role == Role::Delete || facts.may_have_deleted(*n) {
                deletes[facts.nodes[*n].key].insert(rank);
            }
        }
        for of_key in &mut deletes {
            let all = of_key.clone();
            of_key.retain(|rank| {
                !facts.may_have_deleted(self.node[rank]) || self.is_concurrent_to_any(rank, &all)
            });
        }
        deletes
    }

    fn is_concurrent_to_any(&self, rank: usize, others: &Bits) -> bool {
        let mut concurrent = others.clone();
        concurrent.remove(rank);
        concurrent.remove_all(&self.past[rank]);
        concurrent.remove_all(&self.future[rank]);
        concurrent.highest().is_some()
    }

    /// Whether the first rank causally precedes the second.
    pub(super) fn precedes(&self, earlier: usize, later: usize) -> bool {
        self.past[later].contains(earlier)
    }

    /// The members of `set` that precede no other member, highest first. Empties `set`.
    pub(super) fn maximal(&self, mut set: Bits) -> Vec<usize> {
        let mut maximal = Vec::new();
        while let Some(top) = set.highest() {
            maximal.push(top);
            set.remove(top);
            set.remove_all(&self.past[top]);
        }
        maximal
    }

    /// The nodes at these ranks.
    pub(super) fn nodes(&self, ranks: &[usize]) -> Vec<usize> {
        ranks.iter().map(|r| self.node[*r]).collect()
    }

    /// A shortest chain of steps from one rank to a later one, both included; empty if there is none.
    /// With `lineage`, of metadata steps alone: the way of one client's metadata.
    pub(super) fn path(&self, from: usize, to: usize, lineage: bool) -> Vec<usize> {
        let mut next = vec![usize::MAX; to + 1];
        let mut queue = std::collections::VecDeque::from([to]);
        while let Some(rank) = queue.pop_front() {
            if rank == from {
                return std::iter::successors(Some(from), |r| (*r != to).then(|| next[*r]))
                    .collect();
            }
            for (earlier, step) in &self.before[rank] {
                let open = next[*earlier] == usize::MAX && *earlier >= from;
                if open && !(lineage && *step == Step::ReadsFrom) {
                    next[*earlier] = rank;
                    queue.push_back(*earlier);
                }
            }
        }
        Vec::new()
    }

    /// The rank that the read at `rank` reads from; `None` for a write, and for reads from no write.
    pub(super) fn source(&self, facts: &Facts<'_>, rank: usize) -> Option<usize> {
        match facts.nodes[self.node[rank]].role {
            Role::Read(Source::Write(writer)) => Some(self.rank[writer]),
            _ => None,
        }
    }
}

fn steps(facts: &Facts<'_>, node: usize) -> Vec<(usize, Step)> {
    let node = &facts.nodes[node];
    let mut steps: Vec<_> = node.parents.iter().map(|p| (*p, Step::Metadata)).collect();
    if let Role::Read(Source::Write(writer)) = node.role {
        steps.push((writer, Step::ReadsFrom));
    }
    steps
}

fn close(before: &[Vec<(usize, Step)>]) -> (Vec<Bits>, Vec<Bits>) {
    let count = before.len();
    let mut past: Vec<Bits> = Vec::with_capacity(count);
    for steps in before {
        let mut all = Bits::new(count);
        for (earlier, _) in steps {
            all.add_all(&past[*earlier]);
            all.insert(*earlier);
        }
        past.push(all);
    }
    let mut future = vec![Bits::new(count); count];
    for (rank, steps) in before.iter().enumerate().rev() {
        for (earlier, _) in steps {
            let (low, high) = future.split_at_mut(rank);
            low[*earlier].add_all(&high[0]);
            low[*earlier].insert(rank);
        }
    }
    (past, future)
}
