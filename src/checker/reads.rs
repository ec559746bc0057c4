//! Reads that missed something of their causal past: `WriteCOInitRead`, `WriteCORead`, resurrection; and how absent
//! reads are explained whose answer does not name a delete.

use super::bits::Bits;
use super::facts::{Facts, Role, Source};
use super::order::CausalOrder;
use super::report::{Counts, Guarantee, Kind, Violation};
use super::{sessions, story};

/// What may explain an absent read that names no delete.
enum Explanation {
    /// No write of the key is in its past: the initial state will do.
    Initial,
    /// One of these deletes (ranks), or nothing if there are none.
    Deletes(Vec<usize>),
}

/// Gives reads that only one delete explains that delete as their source. Whether there were such.
///
/// What is ruled out stays so however much is added to the causal order; so a choice that is forced stays forced.
/// A DELETE that was answered with "absent" has written if it is all that explains a read. It is itself a read for
/// sure only if it has seen the one delete that explains it: had it written, it would not have read from another.
pub(super) fn settle_absences(facts: &mut Facts<'_>, order: &CausalOrder) -> bool {
    let mut settled = Vec::new();
    for (rank, node) in order.node.iter().enumerate() {
        if facts.nodes[*node].role == Role::Read(Source::Unnamed)
            && let Explanation::Deletes(deletes) = explain(facts, order, rank)
            && let [only] = deletes.as_slice()
            && (!facts.may_have_deleted(*node) || order.precedes(*only, rank))
        {
            settled.push((*node, order.node[*only]));
        }
    }
    for (read, delete) in &settled {
        facts.nodes[*read].role = Role::Read(Source::Write(*delete));
        facts.has_deleted(*delete);
    }
    !settled.is_empty()
}

/// All reads that missed a write of their causal past, one violation each, with the node of the read.
pub(super) fn stale(
    facts: &Facts<'_>,
    order: &CausalOrder,
    counts: &mut Counts,
) -> Vec<(usize, Violation)> {
    let mut violations = Vec::new();
    for (rank, node) in order.node.iter().enumerate() {
        let Role::Read(source) = facts.nodes[*node].role else {
            continue;
        };
        let violation = match source {
            Source::Initial => {
                counts.absent_initial += 1;
                missed_all(facts, order, rank)
            }
            Source::Unnamed => unnamed(facts, order, rank, counts),
            Source::Write(writer) => {
                counts.absent_deleted += u64::from(facts.nodes[writer].role == Role::Delete);
                overwritten(facts, order, rank, order.rank[writer])
            }
            Source::Unsound => None,
        };
        violations.extend(violation.map(|v| (*node, v)));
    }
    violations
}

/// The writes of the read's key in its causal past, without the forgiven.
fn past_writes(facts: &Facts<'_>, order: &CausalOrder, read: usize) -> Bits {
    let mut writes = order.writes[facts.nodes[order.node[read]].key].clone();
    writes.keep_all(&order.past[read]);
    without_forgiven(facts, order, &mut writes);
    writes
}

/// Takes the forgiven writes out of a set of ranks.
pub(super) fn without_forgiven(facts: &Facts<'_>, order: &CausalOrder, writes: &mut Bits) {
    if !facts.history.forgiven.is_empty() {
        writes.retain(|w| !facts.forgiven(order.node[w]));
    }
}

fn explain(facts: &Facts<'_>, order: &CausalOrder, read: usize) -> Explanation {
    let past = past_writes(facts, order, read);
    if past.highest().is_none() {
        return Explanation::Initial;
    }
    let key = facts.nodes[order.node[read]].key;
    let possible = |delete: &usize| {
        *delete != read && !order.precedes(read, *delete) && !order.future[*delete].meets(&past)
    };
    Explanation::Deletes(order.deletes[key].iter().filter(possible).collect())
}

/// Whether this is an absent read that names no delete, and that a delete explains, but none for sure.
pub(super) fn is_ambiguous(facts: &Facts<'_>, order: &CausalOrder, read: usize) -> bool {
    let unnamed = facts.nodes[order.node[read]].role == Role::Read(Source::Unnamed);
    unnamed && matches!(explain(facts, order, read), Explanation::Deletes(d) if !d.is_empty())
}

fn unnamed(
    facts: &Facts<'_>,
    order: &CausalOrder,
    read: usize,
    counts: &mut Counts,
) -> Option<Violation> {
    match explain(facts, order, read) {
        Explanation::Initial => counts.absent_initial += 1,
        Explanation::Deletes(deletes) if deletes.is_empty() => {
            return missed_all(facts, order, read);
        }
        Explanation::Deletes(_) => counts.absent_ambiguous += 1,
    }
    None
}

fn missed_all(facts: &Facts<'_>, order: &CausalOrder, read: usize) -> Option<Violation> {
    let missed = order.maximal(past_writes(facts, order, read));
    let (guarantee, path) = nearest(facts, order, &missed, read)?;
    let what = format!(
        "{} was read as absent, and no delete explains it, although {} was in the reader's causal past",
        key_name(facts, order, read),
        story::version(facts, order.node[path[0]]),
    );
    Some(told(
        facts,
        order,
        (Kind::WriteCoInitRead, guarantee),
        &path,
        &what,
    ))
}

fn overwritten(
    facts: &Facts<'_>,
    order: &CausalOrder,
    read: usize,
    source: usize,
) -> Option<Violation> {
    let mut covers = past_writes(facts, order, read);
    covers.keep_all(&order.future[source]);
    covers.highest()?;
    let is_delete = |rank: usize| facts.nodes[order.node[rank]].role == Role::Delete;
    let mut deletes = covers.clone();
    deletes.retain(is_delete);
    let resurrected = !is_delete(source) && deletes.highest().is_some();
    let kind = if resurrected {
        Kind::Resurrection
    } else {
        Kind::WriteCoRead
    };
    let covers = order.maximal(if resurrected { deletes } else { covers });
    let (guarantee, way) = nearest(facts, order, &covers, read)?;
    let what = format!(
        "{} was read as {}, although {}, which came after it, was in the reader's causal past",
        key_name(facts, order, read),
        story::version(facts, order.node[source]),
        story::version(facts, order.node[way[0]]),
    );
    let mut path = order.path(source, way[0], false);
    path.pop();
    path.extend(way);
    Some(told(facts, order, (kind, guarantee), &path, &what))
}

/// Of several missed writes the one that breaks the simplest guarantee, with the way from it to the read.
fn nearest(
    facts: &Facts<'_>,
    order: &CausalOrder,
    missed: &[usize],
    read: usize,
) -> Option<(Guarantee, Vec<usize>)> {
    let ways = missed
        .iter()
        .map(|m| sessions::classify(facts, order, *m, read));
    ways.min_by_key(|(guarantee, way)| (*guarantee, way.len()))
}

fn key_name<'h>(facts: &Facts<'h>, order: &CausalOrder, rank: usize) -> &'h str {
    facts.keys[facts.nodes[order.node[rank]].key]
}

fn told(
    facts: &Facts<'_>,
    order: &CausalOrder,
    (kind, guarantee): (Kind, Guarantee),
    path: &[usize],
    what: &str,
) -> Violation {
    Violation {
        kind,
        guarantee: Some(guarantee),
        operations: facts.ids(&order.nodes(path)),
        explanation: format!("{what}{}", story::chain(facts, order, path)),
    }
}
