//! Which session guarantee broke when a read missed a write of its causal past.
//!
//! A session is a lineage of metadata: operations, each a parent of the next. For a read `r` that missed the
//! write `w`, with → for a lineage (of any length):
//!
//! | guarantee | what there is |
//! |---|---|
//! | read your writes | `w → r` |
//! | monotonic reads | `a` reads `w`, `a → r` |
//! | monotonic writes | `w → v`, `a` reads `v`, `a → r` (or `a` = `r`) |
//! | writes follow reads | `b` reads `w`, `b → v`, `a` reads `v`, `a → r` (or `a` = `r`) |
//!
//! They are tried in this order, each by its own definition. A longer way from `w` to `r`, over several
//! lineages, breaks whatever guarantee its first step stands for: monotonic writes if `w`'s own lineage wrote
//! on, else writes follow reads.

use super::bits::Bits;
use super::facts::Facts;
use super::order::CausalOrder;
use super::report::Guarantee;

/// The guarantee that broke, and the way from the missed write to the read, in ranks, both included.
pub(super) fn classify(
    facts: &Facts<'_>,
    order: &CausalOrder,
    missed: usize,
    read: usize,
) -> (Guarantee, Vec<usize>) {
    let way = Way {
        facts,
        order,
        missed,
        read,
    };
    way.read_your_writes()
        .or_else(|| way.monotonic_reads())
        .or_else(|| way.monotonic_writes())
        .or_else(|| way.writes_follow_reads())
        .unwrap_or_else(|| way.over_several_lineages())
}

type Found = Option<(Guarantee, Vec<usize>)>;

struct Way<'a, 'h> {
    facts: &'a Facts<'h>,
    order: &'a CausalOrder,
    missed: usize,
    read: usize,
}

impl Way<'_, '_> {
    fn read_your_writes(&self) -> Found {
        let path = self.order.path(self.missed, self.read, true);
        (!path.is_empty()).then_some((Guarantee::ReadYourWrites, path))
    }

    fn monotonic_reads(&self) -> Found {
        let reader = self.reader_of(self.missed, self.read)?;
        let mut path = vec![self.missed];
        path.extend(self.order.path(reader, self.read, true));
        Some((Guarantee::MonotonicReads, path))
    }

    fn monotonic_writes(&self) -> Found {
        self.seen_writes().find_map(|(write, reader)| {
            let mut path = self.order.path(self.missed, write, true);
            if path.is_empty() {
                return None;
            }
            path.extend(self.order.path(reader, self.read, true));
            Some((Guarantee::MonotonicWrites, path))
        })
    }

    fn writes_follow_reads(&self) -> Found {
        self.seen_writes().find_map(|(write, reader)| {
            let first = self.reader_of(self.missed, write)?;
            let mut path = vec![self.missed];
            path.extend(self.order.path(first, write, true));
            path.extend(self.order.path(reader, self.read, true));
            Some((Guarantee::WritesFollowReads, path))
        })
    }

    fn over_several_lineages(&self) -> (Guarantee, Vec<usize>) {
        let path = self.order.path(self.missed, self.read, false);
        let by_reading = path
            .get(1)
            .is_some_and(|second| self.order.source(self.facts, *second) == Some(self.missed));
        let guarantee = if by_reading {
            Guarantee::WritesFollowReads
        } else {
            Guarantee::MonotonicWrites
        };
        (guarantee, path)
    }

    /// The last read of `write` in the lineages that lead to `end`, other than `end` itself.
    fn reader_of(&self, write: usize, end: usize) -> Option<usize> {
        let mut earlier = self.lineage(end);
        earlier.remove(end);
        let reads = |rank: &usize| self.order.source(self.facts, *rank) == Some(write);
        earlier.iter().filter(reads).last()
    }

    /// What the lineages of the read have seen, itself included: writes, and the reads that saw them.
    fn seen_writes(&self) -> impl Iterator<Item = (usize, usize)> {
        let lineage: Vec<usize> = self.lineage(self.read).iter().collect();
        let seen = |rank: usize| Some((self.order.source(self.facts, rank)?, rank));
        lineage.into_iter().rev().filter_map(seen)
    }

    /// The ranks from which a lineage leads to `end`, itself included.
    fn lineage(&self, end: usize) -> Bits {
        let mut seen = Bits::new(self.order.node.len());
        let mut open = vec![end];
        seen.insert(end);
        while let Some(rank) = open.pop() {
            let node = &self.facts.nodes[self.order.node[rank]];
            for parent in node.parents.iter().map(|p| self.order.rank[*p]) {
                if !seen.contains(parent) {
                    seen.insert(parent);
                    open.push(parent);
                }
            }
        }
        seen
    }
}
