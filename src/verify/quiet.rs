//! What is left once the clients are done: what every node holds, and whether each lineage is served everywhere.

use std::time::Duration;

use awc::http::Method;
use futures::future::join_all;

use super::record::{Lineage, Meaning, Verb, Wish};
use super::talk::{Ask, Reply};
use super::{Node, Run};
use crate::checker::{Absence, FinalState, Held};

/// Between two readings of everything.
const READ_AGAIN: Duration = Duration::from_millis(200);

/// For one reading of everything at one node, and for the removal of the keys: far more than either takes.
const PASS_WITHIN: Duration = Duration::from_secs(60);

/// How long a node may take to serve a lineage, once all agree.
const PARTING_WAIT_S: u64 = 5;

/// Reads at every node with every client's newest metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parting {
    /// All of them.
    pub reads: u64,
    /// Those that were answered.
    pub served: u64,
    /// Refused, though another node serves the same client: this one lacks what is still there.
    pub behind: u64,
    /// Clients whom every node that answered has refused: what they have seen is nowhere any more.
    pub stranded: u64,
    /// Without an answer; nothing follows from them.
    pub unanswered: u64,
    /// Answered with a status that the contract does not have there.
    pub unexpected: u64,
}

impl Parting {
    /// Adds one client's reads, one at each node.
    fn add(&mut self, meanings: &[Meaning]) {
        let count = |wanted: fn(&Meaning) -> bool| {
            let found = meanings.iter().filter(|meaning| wanted(meaning));
            found.count() as u64
        };
        let served = count(|m| *m == Meaning::Answered);
        let refused = count(|m| *m == Meaning::Refused);
        self.reads += meanings.len() as u64;
        self.served += served;
        self.behind += if served > 0 { refused } else { 0 };
        self.stranded += u64::from(served == 0 && refused > 0);
        self.unanswered += count(|m| matches!(m, Meaning::Unsent | Meaning::Unanswered));
        self.unexpected += count(|m| matches!(m, Meaning::Unexpected(_)));
    }
}

/// Reads all keys at all nodes until all answer and agree, at most for the settling time; keeps what was read
/// last. Returns the numbers of the nodes that could not be read.
pub(super) async fn read_states(run: &Run<'_>) -> Vec<usize> {
    let start = run.uptime.now();
    loop {
        let read = join_all(run.plan.nodes.iter().map(async |node| {
            let read = tokio::time::timeout(PASS_WITHIN, read_node(run, node)).await;
            read.ok().flatten()
        }))
        .await;
        let agree = read
            .iter()
            .all(|states| states.is_some() && same(states.as_ref(), read[0].as_ref()));
        if agree || u128::from(run.uptime.now() - start) >= run.plan.settle.as_millis() {
            return keep(run, read);
        }
        tokio::time::sleep(READ_AGAIN).await;
    }
}

fn same(one: Option<&Vec<FinalState>>, other: Option<&Vec<FinalState>>) -> bool {
    let held = |states: Option<&Vec<FinalState>>| -> Option<Vec<_>> {
        Some(states?.iter().map(|state| state.held.clone()).collect())
    };
    held(one) == held(other)
}

fn keep(run: &Run<'_>, read: Vec<Option<Vec<FinalState>>>) -> Vec<usize> {
    let mut unread = Vec::new();
    for (node, states) in read.into_iter().enumerate() {
        let Some(states) = states else {
            unread.push(node);
            continue;
        };
        for (record, state) in run.records.iter().zip(states) {
            record.borrow_mut().history.final_states.push(state);
        }
    }
    unread
}

/// What a node holds, by history; `None` if it does not answer all of it.
async fn read_node(run: &Run<'_>, node: &Node) -> Option<Vec<FinalState>> {
    let mut states = Vec::new();
    for record in &run.records {
        let keys = record.borrow().key_names();
        let mut state = FinalState {
            replica: node.to_string(),
            ..FinalState::default()
        };
        for key in keys {
            let Reply::Answered(answer) = run.talk.ask(node, Ask::read(&key)).await else {
                return None;
            };
            let held = match answer.status {
                200 => Held::Value(answer.value),
                404 => Held::Absent(Absence::Unnamed),
                _ => return None,
            };
            state.held.insert(key, held);
        }
        states.push(state);
    }
    Some(states)
}

/// Reads the hot key at every node but `unread` with every client's newest metadata; these reads are part of the history.
pub(super) async fn parting_reads(run: &Run<'_>, unread: &[usize]) -> Parting {
    let lineages: Vec<(usize, usize)> = (0..run.records.len())
        .flat_map(|history| (0..run.plan.clients).map(move |client| (history, client)))
        .collect();
    let mut seen = vec![Vec::new(); lineages.len()];
    for node in (0..run.plan.nodes.len()).filter(|node| !unread.contains(node)) {
        let reads = lineages.iter().map(|&(history, client)| {
            let wish = Wish {
                client,
                key: 0,
                verb: Verb::Get,
                lineage: Lineage::Own,
                wait_s: Some(PARTING_WAIT_S),
            };
            run.request(history, wish, node, 0)
        });
        for (seen, meaning) in seen.iter_mut().zip(join_all(reads).await) {
            seen.push(meaning);
        }
    }
    let mut parting = Parting::default();
    for meanings in &seen {
        parting.add(meanings);
    }
    parting
}

/// Deletes the keys of the run at a node whose state could be read; nobody looks at what comes of it.
pub(super) async fn remove_keys(run: &Run<'_>, unread: &[usize]) {
    let mut nodes = run.plan.nodes.iter().enumerate();
    let Some((_, node)) = nodes.find(|(number, _)| !unread.contains(number)) else {
        return;
    };
    let _ = tokio::time::timeout(PASS_WITHIN, remove_keys_at(run, node)).await;
}

async fn remove_keys_at(run: &Run<'_>, node: &Node) {
    for key in run
        .records
        .iter()
        .flat_map(|record| record.borrow().key_names())
    {
        let ask = Ask {
            method: Method::DELETE,
            ..Ask::read(&key)
        };
        if matches!(
            run.talk.ask(node, ask).await,
            Reply::Unsent(_) | Reply::Unanswered(_)
        ) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_everywhere_is_told_from_who_is_refused_somewhere() {
        use Meaning::{Answered, Refused, Unanswered, Unexpected, Unsent};
        let mut parting = Parting::default();
        parting.add(&[Answered, Refused, Refused]);
        parting.add(&[Refused, Unsent, Refused]);
        parting.add(&[Unanswered, Unsent, Unexpected(500)]);
        let expected = Parting {
            reads: 9,
            served: 1,
            behind: 2,
            stranded: 1,
            unanswered: 3,
            unexpected: 1,
        };
        assert_eq!(parting, expected);
    }
}
