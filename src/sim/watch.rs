//! Looks into the nodes while they run, and says what no client could tell.
//!
//! What is looked at is what a node would send to a replica that has nothing: its clock, its hybrid time and its
//! winners, all of one moment. In every correct state, these hold:
//! - a winner's dot and dependencies are covered by the clock, its stamp is reached by hybrid time;
//! - of whatever the clock covers, the key holds a version that is not older;
//! - as long as a node numbers its writes as the same origin, its clock does not go back;
//! - one dot names one write, and a write's stamp is above those of its dependencies.

use std::collections::BTreeMap;

use super::network::Network;
use super::run::Violation;
use crate::core::clock::Clock;
use crate::core::coverage::Coverage;
use crate::core::id::{Address, Domain, Dot, Incarnation, Key, Origin};
use crate::core::join::{Cut, Staged, Staging};
use crate::core::stamp::{HlcTime, Stamp};
use crate::core::wire::{self, JoinAnswer, JoinRequest};
use crate::core::write::Version;
use crate::transport::Call;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Watch {
    written: BTreeMap<Dot, (Key, Stamp)>,
    covered: BTreeMap<Origin, Coverage>,
    /// One of each name: the first says enough.
    violations: BTreeMap<&'static str, String>,
    looked: u64,
}

impl Watch {
    /// A client, or a look into a node, has shown this version.
    pub fn learn(&mut self, key: &Key, version: &Version) {
        let stamp = version.stamp();
        let known = self.written.entry(version.dot);
        let (known_key, known_stamp) = known.or_insert_with(|| (key.clone(), stamp));
        if (&*known_key, *known_stamp) != (key, stamp) {
            let text = format!(
                "{} is a write of {} and of {}, or was stamped twice",
                version.dot,
                known_key.as_str(),
                key.as_str()
            );
            self.violates("dot used twice", text);
        }
        let causes = version.deps.get(&Domain::UNSHARDED);
        let causes = causes.into_iter().flat_map(Clock::iter);
        let causes = causes.map(|(origin, counter)| Dot { origin, counter });
        let written = &self.written;
        let above = |cause: &Dot| written.get(cause).is_some_and(|(_, its)| *its >= stamp);
        if let Some(cause) = causes.into_iter().find(above) {
            let text = format!(
                "{} depends on {cause}, which has a later stamp",
                version.dot
            );
            self.violates("stamp below a cause", text);
        }
    }

    /// Takes a look into a node.
    pub fn look(&mut self, cut: &Cut) {
        self.looked += 1;
        self.look_at_clock(cut);
        let mut winners = BTreeMap::new();
        for write in &cut.writes {
            self.learn(&write.key, &write.version);
            self.look_at_winner(cut, &write.version);
            winners.insert(&write.key, write.version.stamp());
        }
        let collected = cut.rest.collected.as_ref();
        let collected = collected.map_or(HlcTime::ZERO, |collected| collected.time);
        // A key without any version was perhaps deleted, and its tombstone collected.
        let stale = |key: &Key, stamp: &Stamp| match winners.get(key) {
            Some(held) => held < stamp,
            None => stamp.time > collected,
        };
        // Of a life that is over, what goes beyond the counter that was agreed on is lost, and nobody has it.
        let ended = &cut.rest.ended;
        let had = |dot: &Dot| {
            cut.covered.clock().covers(dot) || ended.counter(&dot.origin) >= Some(dot.counter)
        };
        let covered = self.written.iter().filter(|(dot, _)| had(dot));
        let mut missing = covered.filter(|(_, (key, stamp))| stale(key, stamp));
        if let Some((dot, (key, _))) = missing.next() {
            let text = format!(
                "{} covers {dot}, a write of {}, and has an older one there, or none",
                cut.from,
                key.as_str()
            );
            self.violates("covered but not held", text);
        }
    }

    fn look_at_clock(&mut self, cut: &Cut) {
        let before = self.covered.insert(cut.from, cut.covered.clone());
        if let Some((origin, counter)) = before.and_then(|b| cut.covered.first_lacking(b.clock())) {
            let text = format!("{} does not cover {origin}#{counter} any more", cut.from);
            self.violates("clock went back", text);
        }
    }

    fn look_at_winner(&mut self, cut: &Cut, version: &Version) {
        let deps = version.deps.get(&Domain::UNSHARDED);
        let lacking = deps.and_then(|deps| cut.covered.first_lacking(deps));
        if let Some((origin, counter)) = lacking {
            let text = format!(
                "{} holds {}, and lacks its cause {origin}#{counter}",
                cut.from, version.dot
            );
            self.violates("applied before a cause", text);
        }
        if version.time > cut.time {
            let text = format!(
                "{} is at {} and holds {}, stamped {}",
                cut.from, cut.time, version.dot, version.time
            );
            self.violates("time behind a write", text);
        }
    }

    fn violates(&mut self, name: &'static str, text: String) {
        self.violations.entry(name).or_insert(text);
    }

    /// How often a node was looked into.
    pub fn looked(&self) -> u64 {
        self.looked
    }

    /// What was wrong.
    pub fn violations(&self) -> Vec<Violation> {
        let violation = |(name, text): (&&str, &String)| Violation {
            name: (*name).to_owned(),
            text: text.clone(),
        };
        self.violations.iter().map(violation).collect()
    }
}

/// Everything that a node holds, by a join of all its pages in no time; `None` if it gives none now.
pub async fn cut(network: &Network, node: Address, session: u64) -> Option<Cut> {
    let node = network.node(node)?;
    let nobody = std::net::SocketAddr::from(([10, 10, 255, 254], 1));
    let mut request = JoinRequest {
        from: Origin {
            address: Address::try_from(nobody).ok()?,
            incarnation: Incarnation::starting(1, 0),
        },
        domain: Domain::UNSHARDED,
        covered: Coverage::new(),
        session,
        page: 0,
    };
    let mut staging = Staging::new();
    loop {
        let bytes = wire::encode(&request);
        let answer = node.gateway().peer_call(Call::Join, &bytes).await.ok()?;
        let JoinAnswer::Page(page) = wire::decode(&answer).ok()? else {
            return None;
        };
        match staging.stage(page) {
            Staged::AskFor(page) => request.page = page,
            Staged::Complete(cut) => return Some(cut),
            Staged::Inconsistent => return None,
        }
    }
}

/// Judges by the answers that pass on the network whether data flows too soon after an outage: of a second or more, the
/// first 2.5 s after its end are for heartbeats alone (contract §3).
#[derive(Debug, Default)]
pub struct Settling {
    links: BTreeMap<(Address, Address), Trust>,
    violation: Option<String>,
}

/// What one end must think of its link to a peer, in one life of it.
#[derive(Debug, Clone, Copy)]
struct Trust {
    life: Incarnation,
    answered_ms: u64,
    settled_ms: u64,
}

/// An outage that is long, in milliseconds.
const LONG_MS: u64 = 1_000;
/// What follows it.
const SETTLE_MS: u64 = 2_500;
/// Nodes count whole milliseconds from their own start; what is closer is not told apart.
const SLACK_MS: u64 = 5;

impl Settling {
    /// A node starts: it has no opinion of any link.
    pub fn forget(&mut self, node: Address) {
        self.links.retain(|(from, _), _| *from != node);
    }

    /// The peer has answered a heartbeat, in this life.
    pub fn answered(&mut self, from: Address, to: Address, life: Incarnation, now_ms: u64) {
        let fresh = Trust {
            life,
            answered_ms: now_ms,
            settled_ms: now_ms,
        };
        let trust = self.links.entry((from, to)).or_insert(fresh);
        if life > trust.life {
            *trust = fresh;
        } else if life == trust.life {
            if now_ms - trust.answered_ms >= LONG_MS + SLACK_MS {
                trust.settled_ms = now_ms + SETTLE_MS - SLACK_MS;
            }
            trust.answered_ms = now_ms;
        }
    }

    /// The peer has taken a push, in the life that was met last. An outage that ends so is not judged: whether the
    /// sender had given up the push is its own affair.
    pub fn confirmed(&mut self, from: Address, to: Address, now_ms: u64) {
        if let Some(trust) = self.links.get_mut(&(from, to)) {
            trust.answered_ms = now_ms;
        }
    }

    /// Data passes because `from` finds that its link to `to` may be used.
    pub fn used(&mut self, from: Address, to: Address, call: Call, now_ms: u64) {
        let settled_ms = self
            .links
            .get(&(from, to))
            .map_or(0, |trust| trust.settled_ms);
        if now_ms < settled_ms && self.violation.is_none() {
            let (name, early_ms) = (call.name(), settled_ms - now_ms);
            self.violation = Some(format!(
                "{from} had a {name} pass at {now_ms} ms, {early_ms} ms before its link to {to} had settled"
            ));
        }
    }

    /// The first thing that was wrong.
    pub fn violation(&self) -> Option<Violation> {
        let text = self.violation.clone()?;
        let name = "data on an unsettled link".to_owned();
        Some(Violation { name, text })
    }
}
