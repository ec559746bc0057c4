//! What is judged of lives that are over, once everything is as one: every node is asked again with every metadata that a
//! client was ever given. It must answer, say exactly what is lost, and name no life that has ended; nor does anything else that
//! it says of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::clients::key_name;
use super::cluster::Cluster;
use super::run::Violation;
use super::watch;
use crate::core::clock::Clock;
use crate::core::ended::Lost;
use crate::core::id::{Address, Domain, Dot, Key, Origin};
use crate::core::metadata::Metadata;
use crate::core::roster::RosterEntry;
use crate::messages::causality::{Answer, DigestReport, Operation, Outcome, Refusal};

/// The session in which nodes are asked for all that they have; the watch's own never get so far.
const SESSION: u64 = 1 << 40;

/// What is known of a run.
pub(super) struct Known<'a> {
    pub(super) cluster: &'a Cluster,
    /// All metadata that clients were given.
    pub(super) held: Vec<Metadata>,
    /// The keys that were asked for.
    pub(super) keys: Vec<u32>,
    /// Whether this write was lost with the memory of all that had it; `None` if a node was born again or forgotten, after which
    /// that is not known: what is written again has another name.
    pub(super) is_lost: Option<&'a dyn Fn(&Dot) -> bool>,
    /// All that knew of some change of the shard map have lost their memory: nobody knows any more that a node kept a shard by it.
    pub(super) forgot_a_map: bool,
}

type Wrong = (&'static str, String);

/// Within this every node answers who names what is lost: all members have to give it up first, which takes a few heartbeats.
const GIVEN_UP: Duration = Duration::from_secs(3);

/// What is wrong with nodes that agree.
pub(super) async fn judge(known: &Known<'_>) -> Vec<Violation> {
    let mut reports = Vec::new();
    let mut present = Vec::new();
    for node in 0..known.cluster.addresses.len() {
        let report = known.cluster.digest(node).await;
        present.extend(report.as_ref().map(|report| report.origin));
        // One that keeps no shard has no say.
        let shards = known.cluster.shards();
        let keeps = shards.iter().any(|(_, members)| members.contains(&node));
        reports.extend(report.filter(|_| keeps).map(|report| (node, report)));
    }
    let nodes = reports.iter().map(|(node, report)| Asked {
        known,
        node: *node,
        report,
        present: &present,
    });
    let nodes: Vec<Asked<'_>> = nodes.collect();
    let mut wrong = Vec::new();
    for node in &nodes {
        wrong.extend(node.judge_itself().await);
        wrong.extend(node.judge_keys().await);
    }
    wrong.extend(judge_held(&nodes).await);
    // One of each kind says enough: the first.
    let first: BTreeMap<&str, String> = wrong.into_iter().rev().collect();
    let named = |(name, text): (&str, String)| Violation {
        name: name.to_owned(),
        text,
    };
    first.into_iter().map(named).collect()
}

/// Asks every node with everything that clients were given, those that refuse again and again for as long as it may take.
async fn judge_held(nodes: &[Asked<'_>]) -> Vec<Wrong> {
    let began = Instant::now();
    let held = |node| move |metadata| (node, metadata);
    let mut open: Vec<(&Asked<'_>, &Metadata)> = nodes
        .iter()
        .flat_map(|node| node.known.held.iter().map(held(node)))
        .collect();
    let mut wrong = Vec::new();
    loop {
        let last = began.elapsed() >= GIVEN_UP;
        let mut refused = Vec::new();
        for (node, metadata) in open {
            let Some(answer) = node.ask(Operation::Check, metadata).await else {
                continue;
            };
            let wait = |why| !last && !node.excuses(why);
            if matches!(&answer.outcome, Outcome::Refused(why) if wait(why)) {
                refused.push((node, metadata));
            } else {
                wrong.extend(node.judge_answer(&answer, metadata).err());
            }
        }
        if refused.is_empty() {
            return wrong;
        }
        open = refused;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ask(
    cluster: &Cluster,
    node: usize,
    operation: Operation,
    metadata: &Metadata,
) -> Option<Answer> {
    let gateway = cluster.gateway(node)?;
    gateway.request(operation, metadata.clone(), None).await
}

/// Whether this life is later than its node's present one: its clock was set back since, and nobody has kept any trace of that life. What
/// nobody has ever heard of is waited for.
fn is_from_the_future(origin: &Origin, present: &[Origin]) -> bool {
    let mut present = present.iter();
    present.any(|p| p.address == origin.address && p.incarnation < origin.incarnation)
}

/// One node, and the present lives of all.
struct Asked<'a> {
    known: &'a Known<'a>,
    node: usize,
    report: &'a DigestReport,
    present: &'a [Origin],
}

impl Asked<'_> {
    /// What it tells those who bring nothing.
    async fn judge_keys(&self) -> Vec<Wrong> {
        let fresh = Metadata::default();
        let mut wrong = Vec::new();
        for key in self
            .known
            .keys
            .iter()
            .filter_map(|key| Key::new(&key_name(*key)))
        {
            if !self.keeps(&key) {
                continue;
            }
            let answer = self.ask(Operation::Get { key }, &fresh).await;
            wrong.extend(answer.and_then(|answer| self.judge_answer(&answer, &fresh).err()));
        }
        wrong
    }

    /// Whether what is missing was written in lives of which no trace is left.
    fn excuses(&self, refusal: &Refusal) -> bool {
        let Refusal::Unmet { missing } = refusal else {
            return false;
        };
        let shards = self.known.cluster.shards();
        let keeps = |domain: &Domain, node: Address| {
            let its = shards.iter().find(|(its, _)| its == domain);
            let mut its = its.into_iter().flat_map(|(_, members)| members);
            its.any(|at| self.known.cluster.addresses[*at] == node)
        };
        let forgot = self.known.forgot_a_map;
        let traceless = |(domain, clock): (&Domain, &Clock)| {
            let mut origins = clock.iter().map(|(origin, _)| origin);
            origins.all(|origin| {
                is_from_the_future(&origin, self.present)
                    || forgot && !keeps(domain, origin.address)
            })
        };
        missing.iter().all(traceless)
    }

    fn keeps(&self, key: &Key) -> bool {
        let gateway = self.known.cluster.gateway(self.node);
        gateway.is_some_and(|gateway| {
            let topology = gateway.topology();
            topology.is_own(topology.map.shard_of(key))
        })
    }

    async fn ask(&self, operation: Operation, metadata: &Metadata) -> Option<Answer> {
        ask(self.known.cluster, self.node, operation, metadata).await
    }

    /// What the node says to others of itself: its digest, and what goes with a join.
    async fn judge_itself(&self) -> Vec<Wrong> {
        let network = &self.known.cluster.network;
        let address = self.known.cluster.addresses[self.node];
        let clock = self.report.covered.clock();
        let mut past: Vec<String> = self.past(clock).map(|o| format!("covers {o}")).collect();
        if let Some(cut) = watch::cut(network, address, SESSION).await {
            let promises = cut.rest.promises.iter().map(|(origin, _)| *origin);
            let promises = promises.filter(|origin| !self.present.contains(origin));
            past.extend(promises.map(|origin| format!("keeps a promise of {origin}")));
        }
        let is_present = |entry: &RosterEntry| {
            let life = Origin {
                address: entry.address,
                incarnation: entry.life,
            };
            !entry.forgotten && self.present.contains(&life)
        };
        let roster = network.roster(address);
        let other = roster.iter().find(|entry| !is_present(entry));
        past.extend(other.map(|entry| format!("has told others of {entry:?}")));
        let node = self.node;
        let wrong = |what| ("an ended life is named", format!("n{node} {what}, at rest"));
        past.into_iter().map(wrong).collect()
    }

    fn judge_answer(&self, answer: &Answer, sent: &Metadata) -> Result<(), Wrong> {
        let node = self.node;
        if let Outcome::Refused(refusal) = &answer.outcome {
            if self.excuses(refusal) {
                return Ok(());
            }
            let text = format!("n{node} refused {} at rest: {refusal:?}", sent.to_json());
            return Err(("unmeetable metadata", text));
        }
        let (given, lost) = answer.metadata(sent.clone());
        // Groups of other shards pass through as they are.
        let own = |metadata: &Metadata| metadata.clocks.get(&self.report.domain).cloned();
        let given_own = own(&given).unwrap_or_default();
        let mut past = self.past(&given_own);
        if let Some(origin) = past.next() {
            let (sent, given) = (sent.to_json(), given.to_json());
            let text = format!("n{node} gave {given} for {sent} at rest: {origin} has ended");
            return Err(("an ended life is named", text));
        }
        if let Some(clock) = own(sent) {
            self.judge_lost(&lost, &clock).map_err(|(name, why)| {
                let sent = sent.to_json();
                let text = format!("n{node} answered {sent} with lost {lost:?}: {why}");
                (name, text)
            })?;
        }
        Ok(())
    }

    /// What goes beyond the last counter that all had is lost, and nothing else.
    fn judge_lost(&self, lost: &Lost, named: &Clock) -> Result<(), Wrong> {
        for (origin, counter) in named.iter() {
            let told = lost.get(&origin).copied();
            let agreed = self.report.ended.counter(&origin).unwrap_or(0);
            let is_over = !self.present.contains(&origin);
            let expected = (is_over && counter > agreed).then_some((agreed + 1, counter));
            if told != expected {
                let name = if told.is_none() {
                    "lost in silence"
                } else {
                    "false alarm"
                };
                return Err((name, format!("of {origin} expected {expected:?}")));
            }
            let (from, to) = told.unwrap_or((1, 0));
            let mut told = (from..=to).map(|counter| Dot { origin, counter });
            if let Some(is_lost) = self.known.is_lost
                && let Some(dot) = told.find(|dot| !is_lost(dot))
            {
                return Err(("false alarm", format!("nobody has lost {dot}")));
            }
        }
        Ok(())
    }

    /// The lives in it that are over.
    fn past<'a>(&'a self, clock: &'a Clock) -> impl Iterator<Item = Origin> + 'a {
        let origins = clock.iter().map(|(origin, _)| origin);
        origins.filter(|origin| !self.present.contains(origin))
    }
}
