//! One history in the making: lineages of metadata, and each request with what came of it.

use std::rc::Rc;

use awc::http::Method;

use crate::checker::{Absence, Action, History, Operation, OperationId, Outcome};

use super::talk::{Answer, Reply};

/// Answers' metadata kept to be repeated later, a sample of all that was handed out.
const OLD_MAX: usize = 64;

/// Metadata beyond this fits no header of a request, and is not merged with another.
const HEADER_MAX_BYTES: usize = 8 << 10;

/// Where a request's metadata comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lineage {
    /// The newest that the client has.
    Own,
    /// None.
    Fresh,
    /// The newest of another client.
    HandedOver(usize),
    /// The client's newest and another's.
    Merged(usize),
    /// Some that was handed out earlier, by number.
    Repeated(usize),
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Put,
    Get,
    Delete,
}

/// What a client wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) client: usize,
    pub(super) key: usize,
    pub(super) verb: Verb,
    pub(super) lineage: Lineage,
    pub(super) wait_s: Option<u64>,
}

/// Metadata, and the operations whose answers it came with.
#[derive(Debug, Clone)]
struct Observed {
    metadata: Rc<str>,
    by: Vec<OperationId>,
}

impl Observed {
    fn nothing() -> Self {
        Self {
            metadata: "null".into(),
            by: Vec::new(),
        }
    }
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) metadata: Rc<str>,
    /// What the replica is to join it with.
    pub(super) merged: Option<Rc<str>>,
    place: usize,
    wish: Wish,
}

/// What a reply means for the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Done, and it says how.
    Answered,
    /// Refused, without effect.
    Refused,
    /// It never arrived.
    Unsent,
    /// It may or may not have taken effect.
    Unanswered,
    /// A status that the contract does not have there.
    Unexpected(u16),
}

/// A history in the making.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) history: History,
    prefix: String,
    newest: Vec<Observed>,
    old: Vec<Observed>,
    /// How much metadata was handed out.
    handed_out: usize,
    keys: usize,
}

impl Record {
    pub(super) fn new(prefix: &str, clients: usize, keys: usize) -> Self {
        Self {
            history: History::default(),
            prefix: prefix.to_owned(),
            newest: vec![Observed::nothing(); clients],
            old: Vec::new(),
            handed_out: 0,
            keys,
        }
    }

    /// The name of a key, by its number.
    pub(super) fn key(&self, number: usize) -> String {
        format!("{}-k{number}", self.prefix)
    }

    /// The names of all keys.
    pub(super) fn key_names(&self) -> Vec<String> {
        (0..self.keys).map(|number| self.key(number)).collect()
    }

    /// Writes down that a request goes out, until told otherwise without an answer.
    pub(super) fn send(&mut self, wish: Wish, replica: &str, now_ms: u64) -> Sent {
        let (one, other) = self.observed(wish);
        let place = self.history.operations.len();
        let value = (wish.verb == Verb::Put).then(|| format!("w{place}"));
        let (method, action) = match wish.verb {
            Verb::Put => (
                Method::PUT,
                Action::Put {
                    value: value.clone().unwrap_or_default(),
                },
            ),
            Verb::Get => (Method::GET, Action::Get),
            Verb::Delete => (Method::DELETE, Action::Delete),
        };
        let key = self.key(wish.key);
        let mut operation = Operation::new(place as u64, &key, action, Outcome::Unknown);
        operation.client = format!("c{}", wish.client);
        replica.clone_into(&mut operation.replica);
        operation.start_ms = now_ms;
        operation.metadata = one.metadata.to_string();
        operation.parents = one.by;
        if let Some(other) = &other {
            operation.metadata += " and ";
            operation.metadata += &other.metadata;
            operation.parents.extend(&other.by);
            operation.parents.sort_unstable();
            operation.parents.dedup();
        }
        self.history.operations.push(operation);
        Sent {
            method,
            key,
            value,
            metadata: one.metadata,
            merged: other.map(|o| o.metadata),
            place,
            wish,
        }
    }

    fn observed(&self, wish: Wish) -> (Observed, Option<Observed>) {
        let own = || self.newest[wish.client].clone();
        match wish.lineage {
            Lineage::Own => (own(), None),
            Lineage::Fresh => (Observed::nothing(), None),
            Lineage::HandedOver(other) => (self.newest[other].clone(), None),
            Lineage::Merged(other) => {
                let other = self.newest[other].clone();
                let fits = other.metadata.len() <= HEADER_MAX_BYTES && other.metadata.is_ascii();
                (own(), fits.then_some(other))
            }
            Lineage::Repeated(number) => {
                let at = number.checked_rem(self.old.len());
                (
                    at.map_or_else(Observed::nothing, |at| self.old[at].clone()),
                    None,
                )
            }
        }
    }

    /// Writes down what came of a request. `choice` decides what old metadata is kept.
    pub(super) fn receive(
        &mut self,
        sent: &Sent,
        reply: Reply,
        now_ms: u64,
        choice: usize,
    ) -> Meaning {
        let operation = &mut self.history.operations[sent.place];
        let (outcome, meaning, metadata) = match reply {
            Reply::Unsent(_) => (Outcome::Refused, Meaning::Unsent, None),
            Reply::Unanswered(_) => (Outcome::Unknown, Meaning::Unanswered, None),
            Reply::Answered(answer) => {
                operation.end_ms = Some(now_ms);
                let (outcome, meaning) = judge(sent.wish.verb, &answer);
                (outcome, meaning, answer.metadata)
            }
        };
        let given = metadata.filter(|_| outcome.gives_metadata());
        operation.outcome = outcome;
        if let Some(metadata) = given {
            let by = vec![OperationId(sent.place as u64)];
            self.keep(
                sent.wish.client,
                Observed {
                    metadata: metadata.into(),
                    by,
                },
                choice,
            );
        }
        meaning
    }

    fn keep(&mut self, client: usize, observed: Observed, choice: usize) {
        self.newest[client] = observed.clone();
        self.handed_out += 1;
        if self.old.len() < OLD_MAX {
            self.old.push(observed);
        } else if let Some(slot) = self.old.get_mut(choice % self.handed_out) {
            // Each that was ever handed out is in the sample with the same chance.
            *slot = observed;
        }
    }
}

fn judge(verb: Verb, answer: &Answer) -> (Outcome, Meaning) {
    let outcome = match (answer.status, verb) {
        (200 | 201, Verb::Put) | (200, Verb::Delete) => Outcome::Acknowledged { identity: None },
        (200, Verb::Get) => Outcome::Found {
            value: answer.value.clone(),
        },
        (404, Verb::Get | Verb::Delete) => Outcome::Absent(Absence::Unnamed),
        // It was passed on to a replica that has not answered.
        (503, _) if answer.maybe_done => return (Outcome::Unknown, Meaning::Unanswered),
        (503 | 507, _) => return (Outcome::Refused, Meaning::Refused),
        (400..=499, _) => return (Outcome::Refused, Meaning::Unexpected(answer.status)),
        (status, _) => return (Outcome::Unknown, Meaning::Unexpected(status)),
    };
    (outcome, Meaning::Answered)
}
