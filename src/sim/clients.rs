//! Clients that roam: each request takes its metadata from some lineage to some node, and what comes of it is
//! written down for the checkers.

mod made;
mod told;

use std::collections::BTreeMap;

use super::broken::Broken;
use super::clock::EPOCH_MS;
use super::made::Made;
use super::plan::{Action, CLIENTS, FAR_MS, Lineage, Request};
use super::run::Violation;
use crate::checker::{self, Absence, OperationId};
use crate::core::clock::Clock;
use crate::core::ended::Lost;
use crate::core::id::{Domain, Dot, Key, Origin};
use crate::core::metadata::Metadata;
use crate::core::stamp::HlcTime;
use crate::core::wire::{KvsMethod, KvsRequest};
use crate::core::write::Value;
use crate::http::gateway::Gateway;
use crate::messages::causality::{self, Answer, DigestReport, Seen};
pub(super) use told::{Told, What};

/// Metadata, and the operations whose answers it was made of.
#[derive(Debug, Clone, Default)]
struct Observed {
    metadata: Metadata,
    by: Vec<OperationId>,
}

/// One entry of the metadata of a request that was performed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    pub(super) operation: OperationId,
    /// When the request was sent.
    pub(super) at_ms: u64,
    /// This write, and all earlier ones of its origin.
    pub(super) last: Dot,
    /// Which of them were said to be lost: from and to which counter.
    pub(super) lost: Option<(u64, u64)>,
    /// Up to which counter the node that performed it had them.
    pub(super) had: u64,
}

impl Named {
    /// Whether the answer said that this write is lost.
    pub(super) fn told_lost(&self, dot: &Dot) -> bool {
        let within = |(from, to): (u64, u64)| (from..=to).contains(&dot.counter);
        self.last.origin == dot.origin && self.lost.is_some_and(within)
    }
}

/// All clients and everything that they have done.
#[derive(Debug)]
pub struct Clients {
    newest: Vec<Observed>,
    handed_out: Vec<Observed>,
    named: Vec<Named>,
    /// Of requests that were performed: what they had named that their node had.
    had: BTreeMap<(usize, Origin), u64>,
    operations: Vec<checker::Operation>,
    /// By operation: the write that it made.
    made: Vec<Option<Made>>,
    /// The domain of each life that has written for clients, or that they have heard of.
    domains: BTreeMap<Origin, Domain>,
    /// Answers that left out groups of closed maps.
    closed: u64,
    /// Requests that were done after they had waited where older maps were not closed yet.
    held: u64,
    /// Requests that were parked and then done.
    waited: u64,
    /// Requests that were done for clients that came from elsewhere.
    from_elsewhere: u64,
    /// Answers that told of lost writes.
    told_lost: u64,
    /// Answers that named markers in place of lives that had ended.
    settled: u64,
    /// Requests that were done by way of a node that keeps no shard.
    without_shard: u64,
    broken: Broken,
}

/// A request on its way.
#[derive(Debug)]
pub struct Sent {
    id: usize,
    client: usize,
    at_ms: u64,
    observed: Observed,
    from_elsewhere: bool,
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

    /// By which number it is known.
    pub(super) fn number(&self) -> u64 {
        self.id as u64
    }

    /// What the client hands back with it.
    pub(super) fn metadata(&self) -> &Metadata {
        &self.observed.metadata
    }

    /// Asks a node; `None` if no answer comes.
    pub async fn ask(&self, gateway: &Gateway) -> Option<Answer> {
        let (operation, metadata) = (self.operation.clone(), self.observed.metadata.clone());
        gateway.request(operation, metadata, self.wait_ms).await
    }

    /// The same as HTTP brings it, with its number.
    pub(super) fn as_http(&self) -> KvsRequest {
        let (method, value) = match &self.operation {
            causality::Operation::Put { value, .. } => (KvsMethod::Put, Some(value.json())),
            causality::Operation::Delete { .. } => (KvsMethod::Delete, None),
            causality::Operation::Get { .. } | causality::Operation::Check => {
                (KvsMethod::Get, None)
            }
        };
        let value = value.map_or_else(String::new, |value| format!(r#""value":{value},"#));
        let (id, metadata) = (self.id, self.observed.metadata.to_json());
        let body = format!(r#"{{"request":{id},{value}"causal-metadata":{metadata}}}"#);
        KvsRequest {
            method,
            key: self.key().clone(),
            body: body.into(),
            metadata: Vec::new(),
            wait_ms: self.wait_ms,
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
            named: Vec::new(),
            had: BTreeMap::new(),
            operations: Vec::new(),
            made: Vec::new(),
            domains: BTreeMap::new(),
            closed: 0,
            held: 0,
            waited: 0,
            from_elsewhere: 0,
            told_lost: 0,
            settled: 0,
            without_shard: 0,
            broken: Broken::default(),
        }
    }
}

impl Clients {
    /// Writes down that a request goes out.
    pub fn send(&mut self, request: &Request, now_ms: u64) -> Sent {
        let mut observed = self.observed(request);
        if let Some(ahead_ms) = request.elsewhere_ms {
            let ms = EPOCH_MS.unsigned_abs() + now_ms + ahead_ms;
            let read = HlcTime { ms, count: 0 };
            observed.metadata.time = observed.metadata.time.max(read);
        }
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
        self.made.push(None);
        Sent {
            id,
            client: request.client,
            at_ms: now_ms,
            observed,
            from_elsewhere: request.elsewhere_ms.is_some(),
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
    pub(super) fn answered(&mut self, sent: &Sent, told: Option<Told>, now_ms: u64) {
        let Some(told) = told else {
            return;
        };
        if let Some((name, why)) = told.wrongly_named(&sent.observed.metadata) {
            let (id, metadata) = (sent.id, told.metadata.to_json());
            let text = || format!("operation {id} was answered with {metadata}: {why}");
            self.broken.note(name, text);
        }
        let recorded = self.recorded(sent.key().as_str(), &told);
        let record = &mut self.operations[sent.id];
        record.end_ms = Some(now_ms);
        record.outcome = recorded;
        let given = record.outcome.gives_metadata();
        if told.what == What::Written {
            self.note_made(sent, &told);
            self.judge_made(sent, &told);
        }
        self.from_elsewhere += u64::from(given && sent.from_elsewhere);
        self.waited += u64::from(given && now_ms > sent.at_ms + 100);
        if given {
            for (domain, clock) in told.metadata.clocks.iter() {
                let origins = clock.iter().map(|(origin, _)| (origin, *domain));
                self.domains.extend(origins);
            }
            self.closed += u64::from(told.leaves_out(&sent.observed.metadata));
            self.held += u64::from(now_ms > sent.at_ms + 100 && told.is_before_closing());
            self.told_lost += u64::from(!told.lost.is_empty());
            self.settled += u64::from(told.is_settled(&sent.observed.metadata));
            self.note_named(sent, &told);
            let by = vec![OperationId(sent.id as u64)];
            let metadata = told.metadata;
            let observed = Observed { metadata, by };
            self.newest[sent.client] = observed.clone();
            self.handed_out.push(observed);
        }
    }

    /// Takes note of what a request that was performed had named of the writes of its shard, and what of it was said to be lost.
    fn note_named(&mut self, sent: &Sent, told: &Told) {
        let entries = sent.observed.metadata.clocks.iter();
        let concerned = entries.filter(|(domain, _)| told.domain == Some(**domain));
        for (origin, counter) in concerned.flat_map(|(_, clock)| clock.iter()) {
            let whole = Dot { origin, counter };
            self.named.push(Named {
                operation: OperationId(sent.id as u64),
                at_ms: sent.at_ms,
                last: whole,
                had: self.had.get(&(sent.id, origin)).copied().unwrap_or(0),
                lost: told.lost.get(&origin).copied(),
            });
        }
    }

    /// What requests that were performed had named.
    pub(super) fn named(&self) -> &[Named] {
        &self.named
    }

    /// What the checkers are told.
    fn recorded(&self, key: &str, told: &Told) -> checker::Outcome {
        let identity = told.dot.map(|dot| dot.to_string());
        match &told.what {
            What::Written => checker::Outcome::Acknowledged { identity },
            What::Found(value) => checker::Outcome::Found {
                value: value.clone(),
            },
            What::Absent => checker::Outcome::Absent(
                identity.map_or_else(|| self.untold_absence(key), Absence::By),
            ),
            What::Refused => checker::Outcome::Refused,
            What::Unknown => checker::Outcome::Unknown,
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

    /// A write was made for a client: it depends on all that the client had observed, in whichever shard, and comes after it.
    fn judge_made(&mut self, sent: &Sent, told: &Told) {
        let Metadata { time, clocks } = &sent.observed.metadata;
        if time.ms >= EPOCH_MS.unsigned_abs() + sent.at_ms + FAR_MS {
            let id = sent.id;
            let text = || format!("operation {id} had observed {time}, and was performed");
            self.broken.note("written far ahead of time", text);
        }
        let Some(Seen { version, .. }) = &told.seen else {
            return;
        };
        let nothing = Clock::new();
        for (domain, need) in clocks.iter() {
            let kept = version.deps.get(domain).unwrap_or(&nothing);
            if let Some((name, why)) = told.wrongly_kept(domain, kept, need) {
                let text = || format!("operation {} has made {version:?}: {why}", sent.id);
                self.broken.note(name, text);
            }
        }
        if version.time <= *time {
            let (id, dot) = (sent.id, version.dot);
            let its = version.time;
            let text =
                || format!("operation {id} had observed {time}; its write {dot} is at {its}");
            self.broken.note("stamp below a cause", text);
        }
    }

    /// A node has performed a request, and this is what it has, now or a little later.
    pub(super) fn served(&mut self, sent: &Sent, told: &Told, node: &DigestReport) {
        if told.by != Some(node.origin) {
            // It was born again meanwhile.
            return;
        }
        let entries = sent.observed.metadata.clocks.iter();
        let named = entries.flat_map(|(_, clock)| clock.iter());
        let had = named.map(|(origin, _)| ((sent.id, origin), node.last(&origin)));
        self.had.extend(had);
        let need = told.metadata.clocks.get(&node.domain);
        if let Some((origin, counter)) = need.and_then(|need| node.covered.first_lacking(need)) {
            let id = sent.id;
            let text =
                || format!("operation {id} was performed by a node without {origin}#{counter}");
            self.broken.note("served without a cause", text);
        }
    }

    /// A client was told that these are lost, and this is what some node has.
    pub(super) fn was_told_lost(&mut self, sent: &Sent, lost: &Lost, node: &DigestReport) {
        for (origin, (from, _)) in lost {
            let (origin, counter) = (*origin, *from);
            if node.has(&Dot { origin, counter }) {
                let (id, holder) = (sent.id, node.origin);
                let text = || {
                    format!("{id} was told that {origin}#{counter} is lost, and {holder} has it")
                };
                self.broken.note("false alarm", text);
            }
        }
    }

    /// An answer is not of the contract's form.
    pub(super) fn malformed(&mut self, sent: &Sent, why: &str) {
        let text = || format!("operation {} was answered with {why}", sent.id);
        self.broken.note("malformed answer", text);
    }

    /// A request was done that a node got which keeps no shard.
    pub(super) fn answered_by_one_without_shard(&mut self) {
        self.without_shard += 1;
    }

    /// How often that was.
    pub(super) fn by_those_without_shard(&self) -> u64 {
        self.without_shard
    }

    /// All that clients have observed in the end.
    pub(super) fn newest(&self) -> Metadata {
        let mut all = Metadata::default();
        for observed in &self.newest {
            all.merge(&observed.metadata);
        }
        all
    }

    /// Every metadata that was ever given to a client.
    pub fn handed_out(&self) -> impl Iterator<Item = &Metadata> {
        self.handed_out.iter().map(|observed| &observed.metadata)
    }

    /// Everything that they have done, in the order of the requests.
    pub fn operations(&self) -> &[checker::Operation] {
        &self.operations
    }

    /// What was wrong with answers.
    pub fn violations(&self) -> Vec<Violation> {
        self.broken.violations().collect()
    }

    /// Answers that told of lost writes.
    pub fn told_lost(&self) -> u64 {
        self.told_lost
    }

    /// Answers that left out groups of closed maps.
    pub(super) fn closed(&self) -> u64 {
        self.closed
    }

    /// Requests that were done after they had waited at a keeper before all was handed over.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Answers to metadata that named lives which had ended.
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// Requests that were done for clients that came from another shard.
    pub fn from_elsewhere(&self) -> u64 {
        self.from_elsewhere
    }

    /// Requests that were done after having been parked.
    pub fn waited(&self) -> u64 {
        self.waited
    }
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
