//! Decides whether what clients of a cluster saw is causally convergent, and says in words what broke.
//!
//! A [`History`] lists the operations with their answers. Their metadata makes them a graph: a client may
//! hand its metadata to another one, merge two, start afresh, repeat an old one; an operation's parents are
//! the operations whose answers' metadata it sent. [`check`] looks at all of it once everything has been
//! recorded; it needs no knowledge of the store, and no clocks: times are only printed.
//!
//! Causal convergence is decided by the bad patterns of Bouajjani, Enea, Guerraoui and Hamza, "On Verifying
//! Causal Consistency" (POPL 2017): for histories in which no value is written twice, one of five
//! patterns is there exactly if the history is not causally convergent. Deletes are writes of absence,
//! identified by their dot. The causal order is the transitive closure of the metadata steps and of
//! reads-from; with bitsets, a history of 1,000 operations takes about a millisecond.
//!
//! `docs/checkers.md` has each check with an example. Absent on purpose: liveness, bounds of time, the size
//! of metadata (these are for whoever runs the cluster), and whether PUT said `created` or `replaced`.

mod bits;
mod conflicts;
mod facts;
mod finals;
mod graph;
mod history;
mod order;
mod reads;
mod report;
mod sessions;
mod story;
pub mod text;

use std::collections::HashSet;

use facts::{Facts, Role, Source};
use order::CausalOrder;

pub use history::{Absence, Action, FinalState, Held, History, Operation, OperationId, Outcome};
pub use report::{Counts, Guarantee, Kind, Report, Violation};

/// How often what follows from absent reads is put into the causal order. Each round may decide reads that
/// the one before left open; to stop early misses violations, but never invents one.
const ABSENCE_ROUNDS: usize = 4;

/// Checks a history.
///
/// A correct store is never accused, whatever was not recorded: operations without an answer may or may not
/// have happened, and a read of absence that does not name its delete ([`Absence::Unnamed`]) is explained,
/// each read by itself, by the initial state if no write of the key is in its causal past, else by any DELETE
/// of that key that the read does not precede and that no write in its causal past has overwritten. Where
/// only one DELETE is left, the read is taken to have read from it; where none is, it is a violation; where
/// there are several, nothing follows. A DELETE that was answered so may have written as well, if there is another
/// one that neither precedes nor follows it.
pub fn check(history: &History) -> Report {
    let mut report = Report::default();
    count_operations(history, &mut report.counts);
    let mut facts = match Facts::gather(history, &mut report.violations) {
        Ok(facts) => facts,
        Err(malformed) => {
            report.violations = malformed;
            return report;
        }
    };
    let order = causal_order(&mut facts);
    count_steps(&facts, &mut report.counts);
    report
        .violations
        .extend(finals::divergence(&facts, &mut report.counts));
    match order {
        Ok(order) => check_order(&facts, &order, &mut report),
        Err(cycles) => {
            let told = cycles.iter().map(|cycle| causal_cycle(&facts, cycle));
            report.violations.extend(told);
        }
    }
    report
}

/// The causal order, with all absent reads settled that can be.
fn causal_order(facts: &mut Facts<'_>) -> Result<CausalOrder, Vec<Vec<usize>>> {
    let mut order = CausalOrder::of(facts)?;
    for _ in 0..ABSENCE_ROUNDS {
        if !reads::settle_absences(facts, &order) {
            break;
        }
        order = CausalOrder::of(facts)?;
    }
    Ok(order)
}

fn check_order(facts: &Facts<'_>, order: &CausalOrder, report: &mut Report) {
    report.counts.causal_pairs = order.past.iter().map(|past| past.len() as u64).sum();
    let stale = reads::stale(facts, order, &mut report.counts);
    let stale_nodes: HashSet<usize> = stale.iter().map(|(node, _)| *node).collect();
    let conflicts = conflicts::Conflicts::of(facts, order, &stale_nodes);
    report.counts.conflict_steps = conflicts.steps;
    report
        .violations
        .extend(stale.into_iter().map(|(_, violation)| violation));
    report.violations.extend(conflicts.cycles(facts, order));
    report
        .violations
        .extend(finals::finals(facts, order, &conflicts));
}

fn causal_cycle(facts: &Facts<'_>, cycle: &[usize]) -> Violation {
    let around = cycle.iter().chain(cycle.first());
    let links: Vec<_> = around
        .scan(None, |earlier: &mut Option<usize>, node| {
            let by_metadata = earlier.is_some_and(|e| facts.nodes[*node].parents.contains(&e));
            let link = match earlier.replace(*node) {
                None => "",
                Some(_) if by_metadata => "its metadata was used by",
                Some(_) => "was read by",
            };
            Some((link, facts.line(*node)))
        })
        .collect();
    Violation {
        kind: Kind::CyclicCo,
        guarantee: None,
        operations: facts.ids(cycle),
        explanation: format!("causes go round in a circle{}", story::lines(&links)),
    }
}

fn count_operations(history: &History, counts: &mut Counts) {
    counts.operations = history.operations.len() as u64;
    for operation in &history.operations {
        let count = match (&operation.outcome, &operation.action) {
            (Outcome::Acknowledged { .. }, Action::Delete) => &mut counts.deletes,
            (Outcome::Acknowledged { .. }, _) => &mut counts.puts,
            (Outcome::Found { .. }, _) => &mut counts.found,
            (Outcome::Absent(_), _) => &mut counts.absent,
            (Outcome::Refused, _) => &mut counts.refused,
            (Outcome::Unknown, _) => &mut counts.unknown,
        };
        *count += 1;
    }
}

fn count_steps(facts: &Facts<'_>, counts: &mut Counts) {
    counts.keys = facts.keys.len() as u64;
    let mut read_unknown = HashSet::new();
    for node in &facts.nodes {
        counts.metadata_steps += node.parents.len() as u64;
        if let Role::Read(Source::Write(writer)) = node.role {
            counts.reads_from += 1;
            let unknown = |o: &Operation| o.outcome == Outcome::Unknown;
            if facts.operation(writer).is_none_or(unknown) {
                read_unknown.insert(writer);
            }
        }
    }
    counts.unknown_but_read = read_unknown.len() as u64;
}
