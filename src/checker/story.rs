//! How operations are told: one line each, and between them why the one precedes the other.

use std::fmt::Write as _;

use super::facts::{Facts, Role};
use super::order::{CausalOrder, Step};

/// Longer chains are told by their first and last lines.
const LINES_MAX: usize = 12;

/// Tells a chain of ranks, causes first.
pub(super) fn chain(facts: &Facts<'_>, order: &CausalOrder, path: &[usize]) -> String {
    let mut links = Vec::with_capacity(path.len());
    for (position, rank) in path.iter().enumerate() {
        let link = position.checked_sub(1).map(|p| link(order, path[p], *rank));
        links.push((link.unwrap_or_default(), facts.line(order.node[*rank])));
    }
    lines(&links)
}

/// Tells pairs of (why what was told before precedes this, this); the middle of many is left out.
pub(super) fn lines(links: &[(&str, String)]) -> String {
    let mut text = String::new();
    let (head, tail) = (LINES_MAX / 2, links.len().saturating_sub(LINES_MAX / 2));
    for (position, (link, line)) in links.iter().enumerate() {
        let shown = links.len() <= LINES_MAX || position < head || position >= tail;
        if !shown && position == head {
            let _ = write!(text, "\n      … {} more …", tail - head);
        }
        if shown {
            if !link.is_empty() {
                let _ = write!(text, "\n      ↓ {link}");
            }
            let _ = write!(text, "\n    {line}");
        }
    }
    text
}

/// Why one rank immediately precedes another.
pub(super) fn link(order: &CausalOrder, earlier: usize, later: usize) -> &'static str {
    match order.before[later]
        .iter()
        .find(|(rank, _)| *rank == earlier)
    {
        Some((_, Step::Metadata)) => "its metadata was used by",
        Some((_, Step::ReadsFrom)) => "was read by",
        None => "precedes",
    }
}

/// A version in a few words: its value, or that it is a delete, and the number of its operation.
pub(super) fn version(facts: &Facts<'_>, node: usize) -> String {
    use super::history::Action;
    let is_delete = facts.nodes[node].role == Role::Delete;
    match facts.operation(node) {
        Some(operation) => match &operation.action {
            Action::Put { value } => format!("{value} (PUT {})", operation.id),
            _ => format!("the delete {}", operation.id),
        },
        None if is_delete => "a delete without an answer".to_owned(),
        None => "a write without an answer".to_owned(),
    }
}
