//! Clients that roam: each request takes its metadata from some lineage to some node, and what comes of it is
//! written down for the checkers.

use crate::checker::{self, Absence, OperationId};
use crate::core::clock::Clock;
use crate::core::ended::Settlement;
use crate::core::id::{Domain, Dot, Key};
use crate::core::metadata::Metadata;
use crate::core::write::{Content, Value};
use crate::http::gateway::Gateway;
use crate::messages::causality::{self, Answer, Outcome, Seen};

use super::plan::{Action, CLIENTS, Lineage, Request};

/// Metadata, and the operations whose answers it was made of.
#[derive(Debug, Clone, Default)]
struct Observed {
    metadata: Metadata,
    by: Vec<OperationId>,
}

/// All clients and everything that they have done.
#[derive(Debug)]
pub struct Clients {
    newest: Vec<Observed>,
    handed_out: Vec<Observed>,
    operations: Vec<checker::Operation>,
    /// By operation: the write that it made.
    dots: Vec<Option<Dot>>,
    /// Requests that were parked and then done.
    waited: u64,
    /// The first answer whose metadata names too little, in words.
    thin: Option<String>,
}

/// A request on its way.
#[derive(Debug)]
pub struct Sent {
    id: usize,
    client: usize,
    at_ms: u64,
    observed: Observed,
    operation: causality::Operation,
    wait_ms: Option<u64>,
}

impl Sent {
    /// Which key it is about.
    pub fn key(&self) -> &Key {
        match &self.operation {
            causality::Operation::Put { key, .. }
            | causality::Operation::Get { key }
            | causality::Operation::Delete { key } => key,
            causality::Operation::Check => unreachable!("no plan asks for a check alone"),
        }
    }
}

/// The text of a key, by its number.
pub fn key_name(number: u32) -> String {
    format!("k{number}")
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            newest: vec![Observed::default(); CLIENTS],
            handed_out: Vec::new(),
            operations: Vec::new(),
            dots: Vec::new(),
            waited: 0,
            thin: None,
        }
    }
}

impl Clients {
    /// Writes down that a request goes out.
    pub fn send(&mut self, request: &Request, now_ms: u64) -> Sent {
        let observed = self.observed(request);
        let id = self.operations.len();
        let value = format!("\"v{id}\"");
        let key = key_name(request.key);
        let (action, operation) = actions(request.action, &key, &value);
        let outcome = checker::Outcome::Unknown;
        let mut record = checker::Operation::new(id as u64, &key, action, outcome);
        record.client = format!("c{}", request.client);
        record.replica = format!("n{}", request.node);
        record.start_ms = now_ms;
        record.parents.clone_from(&observed.by);
        record.metadata = observed.metadata.to_json();
        self.operations.push(record);
        self.dots.push(None);
        Sent {
            id,
            client: request.client,
            at_ms: now_ms,
            observed,
            operation,
            wait_ms: request.wait_s.map(|seconds| seconds * 1_000),
        }
    }

    fn observed(&self, request: &Request) -> Observed {
        let own = &self.newest[request.client];
        match request.lineage {
            Lineage::Own => own.clone(),
            Lineage::Fresh => Observed::default(),
            Lineage::HandedOver(other) => self.newest[other].clone(),
            Lineage::Merged(other) => merged(own, &self.newest[other]),
            Lineage::Repeated(n) => {
                let at = n.checked_rem(self.handed_out.len());
                at.map_or_else(Observed::default, |at| self.handed_out[at].clone())
            }
        }
    }

    /// Writes down what came of a request; `None` if no answer came.
    pub fn answered(&mut self, sent: &Sent, answer: Option<Answer>, now_ms: u64) {
        let Some(answer) = answer else {
            return;
        };
        let (metadata, _lost) = answer.metadata(sent.observed.metadata.clone());
        let (recorded, seen) = self.recorded(sent.key().as_str(), answer.outcome);
        let settlement = &answer.settlement;
        if !names_enough(
            &metadata,
            &sent.observed.metadata,
            seen.as_ref(),
            settlement,
        ) {
            let text = || {
                format!(
                    "operation {} was answered with {}",
                    sent.id,
                    metadata.to_json()
                )
            };
            self.thin.get_or_insert_with(text);
        }
        let record = &mut self.operations[sent.id];
        record.end_ms = Some(now_ms);
        record.outcome = recorded;
        if matches!(record.outcome, checker::Outcome::Acknowledged { .. }) {
            self.dots[sent.id] = seen.map(|seen| seen.version.dot);
        }
        let given = record.outcome.gives_metadata();
        self.waited += u64::from(given && now_ms > sent.at_ms + 100);
        if given {
            let by = vec![OperationId(sent.id as u64)];
            let observed = Observed { metadata, by };
            self.newest[sent.client] = observed.clone();
            self.handed_out.push(observed);
        }
    }

    /// What the checkers are told, and what the client has seen by it.
    fn recorded(&self, key: &str, outcome: Outcome) -> (checker::Outcome, Option<Seen>) {
        match outcome {
            Outcome::Created(seen)
            | Outcome::Replaced(seen)
            | Outcome::Deleted(seen)
            | Outcome::Overtaken(seen) => (acknowledged(&seen), Some(seen)),
            Outcome::Found(seen) => {
                let value = match &seen.version.content {
                    Content::Value(value) => value.json().to_owned(),
                    other @ (Content::Tombstone | Content::Ended { .. }) => format!("{other:?}"),
                };
                (checker::Outcome::Found { value }, Some(seen))
            }
            Outcome::Absent(seen) => {
                let by = |seen: &Seen| Absence::By(seen.version.dot.to_string());
                let absence = seen.as_ref().map_or_else(|| self.untold_absence(key), by);
                (checker::Outcome::Absent(absence), seen)
            }
            Outcome::Met | Outcome::Refused(_) => (checker::Outcome::Refused, None),
        }
    }

    /// A key without any version was never written, or its tombstone was collected.
    fn untold_absence(&self, key: &str) -> Absence {
        let deletes = |o: &checker::Operation| o.key == key && o.action == checker::Action::Delete;
        if self.operations.iter().any(deletes) {
            Absence::Unnamed
        } else {
            Absence::Initial
        }
    }

    /// Every metadata that was ever given to a client.
    pub fn handed_out(&self) -> impl Iterator<Item = &Metadata> {
        self.handed_out.iter().map(|observed| &observed.metadata)
    }

    /// The acknowledged writes: which operation made which.
    pub fn acknowledged(&self) -> impl Iterator<Item = (OperationId, Dot)> + '_ {
        let made = self.dots.iter().enumerate();
        made.filter_map(|(id, dot)| Some((OperationId(id as u64), (*dot)?)))
    }

    /// Everything that they have done, in the order of the requests.
    pub fn operations(&self) -> &[checker::Operation] {
        &self.operations
    }

    /// The first answer whose metadata does not name all that its client had and has seen by then.
    pub fn thin(&self) -> Option<&str> {
        self.thin.as_deref()
    }

    /// Requests that were done after having been parked.
    pub fn waited(&self) -> u64 {
        self.waited
    }
}

/// Whether `given` covers what was sent, and the version seen with all that it depends on (contract §2).
/// Markers stand in for the lives that the replica knew to be over.
fn names_enough(
    given: &Metadata,
    sent: &Metadata,
    seen: Option<&Seen>,
    settlement: &Settlement,
) -> bool {
    let mut need = sent.clone();
    if let Some(Seen { domain, version }) = seen {
        need.observe(*domain, version);
    }
    settlement.settle(&mut need);
    let covers = |(domain, need): (&Domain, &Clock)| {
        let has = given.clocks.get(domain);
        need.is_empty() || has.is_some_and(|has| !has.lacks_any(need))
    };
    need.clocks.iter().all(covers) && given.time >= need.time
}

fn merged(one: &Observed, other: &Observed) -> Observed {
    let mut both = one.clone();
    both.metadata.merge(&other.metadata);
    both.by.extend(&other.by);
    both.by.sort_unstable();
    both.by.dedup();
    both
}

fn actions(action: Action, key: &str, value: &str) -> (checker::Action, causality::Operation) {
    let at = Key::new(key).expect("a short name is a key");
    match action {
        Action::Put => {
            let written = Value::new(value).expect("a string is not nested");
            let put = causality::Operation::Put {
                key: at,
                value: written,
            };
            let value = value.to_owned();
            (checker::Action::Put { value }, put)
        }
        Action::Get => (checker::Action::Get, causality::Operation::Get { key: at }),
        Action::Delete => (
            checker::Action::Delete,
            causality::Operation::Delete { key: at },
        ),
    }
}

fn acknowledged(seen: &Seen) -> checker::Outcome {
    let identity = Some(seen.version.dot.to_string());
    checker::Outcome::Acknowledged { identity }
}

/// Asks a node, over a way that takes some time.
pub async fn ask(gateway: Gateway, sent: &Sent) -> Option<Answer> {
    let (operation, metadata) = (sent.operation.clone(), sent.observed.metadata.clone());
    gateway.request(operation, metadata, sent.wait_ms).await
}
