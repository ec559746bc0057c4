//! Histories as plain text that public consistency checkers read: the format of Plume (OOPSLA 2024) and
//! `PolySI` (VLDB 2023), which is also the default format of AWDIT (PLDI 2025).
//!
//! # The format
//!
//! One event a line, nothing else, no blank lines and no comments: `w(KEY,VALUE,SESSION,TRANSACTION)` for a
//! write, `r(…)` for a read. All are whole numbers from 0; a transaction of −1 is an aborted one. Lines of
//! one session stand in its order, and transactions are numbered over all sessions. Value 0 is the state
//! before every write. This is what Plume's loader (`TextHistoryLoader`, one regular expression) and AWDIT's
//! (`parse_plume_history`) take; its documentation is the section "Formats" of AWDIT's README and "History
//! Subfolders" of Plume's.
//!
//! # How a history is put into it
//!
//! These checkers know sessions that are lines, and each ends in what it has seen before; a causet history is
//! a graph. So:
//!
//! - Every operation is a transaction of its own. It continues the session of one of its parents where that
//!   session ended with that parent, else it begins a new session.
//! - The step from any other parent is a key of its own, written once, in the parent's transaction, and read
//!   in the child's. The causal order of the checkers, session order and reads-from, is thereby the one of
//!   [`check`](super::check) exactly.
//! - The first transaction writes an initial value to every key and to one key more, which the first
//!   transaction of every session reads. So the initial state is in everybody's past, and nothing hangs on
//!   how a checker treats value 0, which is not used.
//! - A DELETE is a write of a value of its own; reads of absence read that, or the initial value. One that several
//!   deletes may explain keeps its place in the causal order, but its read is left out.
//! - Refused PUTs are aborted writes. Writes without an answer are transactions like others: what nobody has
//!   read is in nobody's past.
//!
//! Names of keys, values, clients and replicas are not kept.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::facts::{Facts, Role, Source};
use super::history::{Absence, Action, History, Operation, OperationId, Outcome};
use super::reads;

/// A text that is not of the format above; the line says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct TextError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Writes a history, each line ending in a newline.
///
/// # Errors
/// What is wrong with a history that cannot be ([`Kind::Malformed`](super::Kind::Malformed)).
pub fn write(history: &History) -> Result<String, Vec<super::Violation>> {
    let mut facts = Facts::gather(history, &mut Vec::new())?;
    // A causal cycle is written as it is: the checkers find it as well.
    let order = super::causal_order(&mut facts);
    let open = |node: usize| match &order {
        Ok(order) => reads::is_ambiguous(&facts, order, order.rank[node]),
        Err(_) => true,
    };
    let mut writer = Writer::new(&facts);
    writer.genesis();
    for node in 0..facts.nodes.len() {
        writer.transaction(node, open(node));
    }
    writer.aborted();
    Ok(writer.text)
}

struct Writer<'a, 'h> {
    facts: &'a Facts<'h>,
    text: String,
    sessions: Sessions,
    /// Values that nobody wrote, and those of refused PUTs.
    strays: HashMap<&'h str, usize>,
    /// The next transaction.
    transaction: usize,
}

impl<'a, 'h> Writer<'a, 'h> {
    fn new(facts: &'a Facts<'h>) -> Self {
        Self {
            facts,
            text: String::new(),
            sessions: Sessions::cut(facts),
            strays: HashMap::new(),
            transaction: 1,
        }
    }

    /// The key that everybody reads first. Keys of the history are below it, keys of metadata steps above.
    fn genesis_key(&self) -> usize {
        self.facts.keys.len()
    }

    /// The value that a write node writes: above all initial values, which are numbered by key from 1.
    fn value(&self, node: usize) -> usize {
        self.genesis_key() + 2 + node
    }

    fn event(&mut self, letter: char, key: usize, value: usize, session: usize) {
        let transaction = self.transaction;
        let _ = writeln!(self.text, "{letter}({key},{value},{session},{transaction})");
    }

    fn genesis(&mut self) {
        self.transaction = 0;
        for key in 0..=self.genesis_key() {
            self.event('w', key, key + 1, 0);
        }
        self.transaction = 1;
    }

    fn transaction(&mut self, node: usize, open: bool) {
        let facts = self.facts;
        let (session, continued) = self.sessions.of[node];
        if continued.is_none() {
            self.event('r', self.genesis_key(), self.genesis_key() + 1, session);
        }
        for parent in facts.nodes[node]
            .parents
            .iter()
            .filter(|p| Some(**p) != continued)
        {
            if let Some(key) = self.sessions.handed.get(parent).copied() {
                self.event('r', key, self.value(*parent), session);
            }
        }
        let key = facts.nodes[node].key;
        match facts.nodes[node].role {
            Role::Put | Role::Delete => self.event('w', key, self.value(node), session),
            Role::Read(Source::Write(writer)) => self.event('r', key, self.value(writer), session),
            Role::Read(Source::Unnamed) if open => {}
            // An absence that nothing explains is told as one that only the initial state might.
            Role::Read(Source::Initial | Source::Unnamed) => {
                self.event('r', key, key + 1, session);
            }
            Role::Read(Source::Unsound) => {
                let value = self.stray(node);
                self.event('r', key, value, session);
            }
        }
        if let Some(key) = self.sessions.handed.get(&node).copied() {
            self.event('w', key, self.value(node), session);
        }
        self.transaction += 1;
    }

    /// The number of what an unsound read reported: that of its true write, if there is one under another key.
    fn stray(&mut self, node: usize) -> usize {
        let name = match self.facts.operation(node).map(|o| &o.outcome) {
            Some(Outcome::Found { value }) => match self.facts.writer(value) {
                Some(writer) => return self.value(writer),
                None => value,
            },
            Some(Outcome::Absent(Absence::By(name))) => name,
            _ => "",
        };
        self.stray_named(name)
    }

    fn stray_named(&mut self, name: &'h str) -> usize {
        let fresh = self.value(self.facts.nodes.len() + self.strays.len());
        *self.strays.entry(name).or_insert(fresh)
    }

    fn aborted(&mut self) {
        for operation in &self.facts.history.operations {
            let Action::Put { value } = &operation.action else {
                continue;
            };
            if operation.outcome == Outcome::Refused
                && self.facts.writer(value).is_none()
                && let Some(key) = self.facts.key(&operation.key)
            {
                let number = self.stray_named(value);
                let _ = writeln!(self.text, "w({key},{number},0,-1)");
            }
        }
    }
}

/// The graph of metadata steps cut into lines; session 0 is the initial state's.
struct Sessions {
    /// By node: its session and the node that it continues, if any.
    of: Vec<(usize, Option<usize>)>,
    /// By node: the key by which it hands its metadata on, if it does so outside of its session.
    handed: HashMap<usize, usize>,
}

impl Sessions {
    fn cut(facts: &Facts<'_>) -> Self {
        let mut of: Vec<(usize, Option<usize>)> = Vec::with_capacity(facts.nodes.len());
        let mut continued = vec![false; facts.nodes.len()];
        let mut handed = HashMap::new();
        let mut sessions = 1;
        for node in &facts.nodes {
            let own = node.parents.iter().copied().find(|p| !continued[*p]);
            let session = own.map_or(sessions, |parent| of[parent].0);
            match own {
                Some(parent) => continued[parent] = true,
                None => sessions += 1,
            }
            of.push((session, own));
            for parent in node.parents.iter().filter(|p| Some(**p) != own) {
                let key = facts.keys.len() + 1 + handed.len();
                handed.entry(*parent).or_insert(key);
            }
        }
        Self { of, handed }
    }
}

/// Reads a history: each event is an operation, and its parent is the one before it in its session, in the
/// same transaction or an earlier one.
///
/// So transactions of several events are checked event by event, which is less than a checker of transactions
/// does. Keys keep their numbers as names; a value `v` of key `k` is called `k=v`, since the format asks for
/// unique values only within a key.
///
/// # Errors
/// The first line that is not of the format.
pub fn read(text: &str) -> Result<History, TextError> {
    let events: Result<Vec<Event>, TextError> = text
        .lines()
        .enumerate()
        .map(|(index, line)| Event::parse(index + 1, line))
        .collect();
    let events = events?;
    let mut last: HashMap<u64, OperationId> = HashMap::new();
    let mut history = History::default();
    for (index, event) in events.iter().enumerate() {
        let Some(operation) = event.operation(index as u64) else {
            continue;
        };
        let mut operation = operation;
        if operation.outcome.gives_metadata() {
            operation.parents = last
                .insert(event.session, operation.id)
                .into_iter()
                .collect();
        }
        history.operations.push(operation);
    }
    Ok(history)
}

struct Event {
    writes: bool,
    key: u64,
    value: u64,
    session: u64,
    aborted: bool,
}

impl Event {
    fn parse(line: usize, text: &str) -> Result<Self, TextError> {
        let error = |reason| TextError { line, reason };
        let writes = match text.as_bytes().first() {
            Some(b'w') => true,
            Some(b'r') => false,
            _ => return Err(error("neither r(…) nor w(…)")),
        };
        let inner = text[1..]
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'));
        let fields: Vec<&str> = inner.ok_or(error("no parentheses"))?.split(',').collect();
        let [key, value, session, transaction] = fields.as_slice() else {
            return Err(error("not four numbers"));
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits
                .then(|| text.parse().ok())
                .flatten()
                .ok_or(error("not a whole number from 0"))
        };
        let aborted = *transaction == "-1";
        if !aborted {
            number(transaction)?;
        }
        Ok(Self {
            writes,
            key: number(key)?,
            value: number(value)?,
            session: number(session)?,
            aborted,
        })
    }

    /// `None` for aborted reads, which say nothing, and for writes of the initial value.
    fn operation(&self, id: u64) -> Option<Operation> {
        let value = format!("{}={}", self.key, self.value);
        let (action, outcome) = match (self.writes, self.aborted) {
            (false, true) => return None,
            (true, _) if self.value == 0 => return None,
            (true, true) => (Action::Put { value }, Outcome::Refused),
            (true, false) => (
                Action::Put { value },
                Outcome::Acknowledged { identity: None },
            ),
            (false, false) if self.value == 0 => (Action::Get, Outcome::Absent(Absence::Initial)),
            (false, false) => (Action::Get, Outcome::Found { value }),
        };
        let mut operation = Operation::new(id, &self.key.to_string(), action, outcome);
        operation.client = self.session.to_string();
        Some(operation)
    }
}
