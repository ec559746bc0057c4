//! Requests that are passed on to a member of the key's shard: to whom, and what a node had that has performed one.
//!
//! Clients see JSON alone. What they cannot tell is looked up at the node that has performed their request, right after it: what it
//! covers, and which version the key has there.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::Deserialize;

use super::made::Made;
use crate::core::id::{Address, Dot, Key, Origin};
use crate::core::metadata::Metadata;
use crate::core::wire::{self, Asked, Forward, ForwardAnswer, KvsAnswer, KvsMethod, KvsRequest};
use crate::messages::causality::{DigestReport, Operation, Seen};
use crate::node::Node;

/// So often a node is asked whose mailboxes are full: they are empty within the same moment.
const TRIES_MAX: usize = 100;

/// A request was performed just before it is looked at who did that, in milliseconds.
const JUST_MS: u64 = 5;

/// A node that has performed a request, right after it.
#[derive(Debug)]
pub(super) struct Performed {
    pub(super) report: DigestReport,
    /// What the key has; `None` if it has no version, or that cannot be told.
    pub(super) seen: Option<Seen>,
    /// Whether it knows that all maps before its own are closed.
    pub(super) closed: bool,
    /// Whether it has gone over to another map in this moment: it may have performed the request before, by what it knew there.
    pub(super) just_dealt: bool,
}

impl Performed {
    /// Looks into the node; `None` if it does not let itself be looked into.
    pub(super) async fn look(node: &Node, key: &Key) -> Option<Self> {
        let gateway = node.gateway();
        let mut report = gateway.read_digest().await;
        for _ in 0..TRIES_MAX {
            if report.is_some() {
                break;
            }
            tokio::task::yield_now().await;
            report = gateway.read_digest().await;
        }
        let report = report?;
        // First, since what is read may have to be handed over.
        let hand_overs = gateway.read_hand_overs().await;
        let get = Operation::Get { key: key.clone() };
        let read = gateway.request(get, Metadata::default(), None).await?;
        let seen = read.outcome.seen().cloned();
        let closed = hand_overs.as_ref().is_some_and(|it| it.standing.closed);
        let just_dealt = hand_overs.is_none_or(|it| it.age_ms <= JUST_MS);
        Some(Self {
            report,
            seen,
            closed,
            just_dealt,
        })
    }

    /// The write that the node made, of which it gave this metadata: the latest of its own that this names.
    pub(super) fn made(&self, given: &Metadata) -> Option<Dot> {
        let origin = self.report.origin;
        let own = given.clocks.get(&self.report.domain);
        let counter = own.map_or(0, |own| own.get(&origin));
        if counter > 0 {
            return Some(Dot { origin, counter });
        }
        // Keys were dealt anew since: it was made in the domain before.
        let its = |(origin, _): &(Origin, u64)| origin.address == self.report.origin.address;
        let groups = given.clocks.iter().flat_map(|(domain, clock)| {
            let its = clock.iter().filter(its);
            its.map(|(origin, counter)| (domain.map, origin.incarnation, Dot { origin, counter }))
        });
        let latest = groups.max_by_key(|(map, life, _)| (*map, *life));
        latest.map(|(_, _, dot)| dot)
    }
}

/// All requests that were passed on.
#[derive(Debug, Default)]
pub(super) struct Forwards {
    /// By request: who was asked so far.
    asked: BTreeMap<u64, BTreeSet<Address>>,
    /// By request: what came of it last, if anything did.
    performed: BTreeMap<u64, (KvsAnswer, Rc<Performed>)>,
    /// By request: the write that was made for it, whether or not anybody was told.
    made: BTreeMap<u64, Made>,
    counts: BTreeMap<&'static str, u64>,
}

/// What the body of a simulated client's request has besides what it must.
#[derive(Deserialize)]
struct Tag {
    request: u64,
}

fn tag(request: &KvsRequest) -> Option<u64> {
    let tag = serde_json::from_slice::<Tag>(&request.body);
    tag.ok().map(|tag| tag.request)
}

/// The write that this node has made for a request, by its answer.
fn written(request: &KvsRequest, answer: &KvsAnswer, by: &Performed) -> Option<Made> {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    let metadata = Metadata::from_json(&body["causal-metadata"].to_string()).ok()?;
    let tells_of_lost = !body["lost"].is_null();
    let told = (&metadata, by.seen.as_ref(), tells_of_lost);
    Made::told(&request.key, by.made(&metadata)?, told)
}

impl Forwards {
    /// A request is passed on.
    pub(super) fn leaves(&mut self, to: Address, body: &[u8]) {
        if let Ok(Forward {
            ask: Asked::Kvs(request),
            ..
        }) = wire::decode(body)
            && let Some(tag) = tag(&request)
        {
            self.asked.entry(tag).or_default().insert(to);
        }
    }

    /// One is answered. The request and the answer, if it was performed.
    pub(super) fn answers(
        &mut self,
        body: &[u8],
        answer: &[u8],
    ) -> Option<(KvsRequest, KvsAnswer)> {
        let forward: Forward = wire::decode(body).ok()?;
        let answer: ForwardAnswer = wire::decode(answer).ok()?;
        let (Asked::Kvs(request), ForwardAnswer::Kvs(answer)) = (forward.ask, answer) else {
            return None;
        };
        let tag = tag(&request)?;
        if answer.status >= 500 {
            let unmet = serde_json::from_slice::<serde_json::Value>(&answer.body);
            if unmet.is_ok_and(|body| body["missing"].is_object()) {
                self.count("forwards refused for unmet metadata");
            }
            return None;
        }
        if self.asked.get(&tag).is_some_and(|asked| asked.len() > 1) {
            self.count("forwards answered by another member");
        }
        Some((request, answer))
    }

    /// A node has performed it.
    pub(super) fn performs(&mut self, request: &KvsRequest, answer: KvsAnswer, by: Performed) {
        let Some(tag) = tag(request) else {
            return;
        };
        let is_write = request.method != KvsMethod::Get && answer.status < 400;
        if let Some(made) = written(request, &answer, &by).filter(|_| is_write) {
            self.made.insert(tag, made);
        }
        self.performed.insert(tag, (answer, Rc::new(by)));
    }

    /// The writes that were made for requests that were passed on, by request.
    pub(super) fn made(&self) -> &BTreeMap<u64, Made> {
        &self.made
    }

    /// Who has performed this one, and has answered so.
    pub(super) fn performed(&self, request: u64, answer: &KvsAnswer) -> Option<Rc<Performed>> {
        let (given, by) = self.performed.get(&request)?;
        (given.body == answer.body).then(|| by.clone())
    }

    /// Whether this one was passed on to anybody.
    pub(super) fn was_passed_on(&self, request: u64) -> bool {
        self.asked.contains_key(&request)
    }

    /// How often what happened.
    pub(super) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}
