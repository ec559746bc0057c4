//! What a client was told, as far as it is judged.

use std::sync::Arc;

use serde_json::Value;

use super::Sent;
use crate::core::clock::Clock;
use crate::core::ended::{Lost, Settlement};
use crate::core::id::{Domain, Dot, Key, Origin, ShardId};
use crate::core::metadata::Metadata;
use crate::core::wire::{KvsAnswer, KvsMethod};
use crate::core::write::Content;
use crate::messages::causality::{Answer, Outcome, Seen};
use crate::sim::forwards::Performed;
use crate::sim::made::Made;
use crate::sim::named;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) enum What {
    /// A write was made.
    Written,
    /// There is this value.
    Found(String),
    /// There is none.
    Absent,
    /// Nothing was done.
    Refused,
    /// Nobody knows whether something was done.
    Unknown,
}

/// See the module.
#[derive(Debug)]
pub(in crate::sim) struct Told {
    pub(in crate::sim) what: What,
    /// The write that was made, or that is the reason for an absence.
    pub(in crate::sim) dot: Option<Dot>,
    /// The version that was made or read, where it is known.
    pub(in crate::sim) seen: Option<Seen>,
    pub(in crate::sim) metadata: Metadata,
    pub(in crate::sim) lost: Lost,
    /// Who has performed it, in which life, if that is known.
    pub(in crate::sim) by: Option<Origin>,
    /// The shard that it keeps.
    pub(super) domain: Option<Domain>,
    /// Whether it leaves out what was written under older maps, which are closed.
    closed: bool,
    /// What it knew of ended lives.
    settlement: Option<Arc<Settlement>>,
    /// Whether it knew just that when it performed the request; else it is what it knew a moment later.
    exact: bool,
}

impl Told {
    /// By the node itself.
    pub(in crate::sim) fn by_node(answer: Answer, sent: &Sent) -> Self {
        let (metadata, lost) = answer.metadata(sent.metadata().clone());
        let seen = version_of(&answer.outcome).cloned();
        let what = match (&answer.outcome, &seen) {
            (
                Outcome::Created(_)
                | Outcome::Replaced(_)
                | Outcome::Deleted(_)
                | Outcome::Overtaken(_),
                _,
            ) => What::Written,
            (Outcome::Found(_), Some(seen)) => What::Found(match &seen.version.content {
                Content::Value(value) => value.json().to_owned(),
                other @ (Content::Tombstone | Content::Ended(_)) => format!("{other:?}"),
            }),
            (Outcome::Absent(_), _) => What::Absent,
            (Outcome::Found(_) | Outcome::Met | Outcome::Refused(_), _) => What::Refused,
        };
        Self {
            what,
            dot: seen.as_ref().map(|seen| seen.version.dot),
            seen,
            metadata,
            lost,
            by: answer.settlement.origin(),
            domain: Some(Domain::UNSHARDED),
            closed: false,
            settlement: Some(answer.settlement),
            exact: true,
        }
    }

    /// By HTTP, after `performed` has done it, as far as anybody knows. What is wrong with the form of the answer, if it is not as it
    /// must be.
    pub(in crate::sim) fn by_http(
        answer: &KvsAnswer,
        sent: &Sent,
        performed: Option<&Performed>,
    ) -> Result<Self, String> {
        let text = String::from_utf8_lossy(&answer.body);
        let malformed = || format!("{}: {text}", answer.status);
        let body: Value = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
        let method = sent.as_http().method;
        let what = match (answer.status, method) {
            (200, KvsMethod::Get) => What::Found(body["value"].to_string()),
            (200 | 201, KvsMethod::Put) | (200, KvsMethod::Delete) => What::Written,
            (404, KvsMethod::Get | KvsMethod::Delete) => What::Absent,
            (503, _) if is_unknown(&body) => What::Unknown,
            (503, _) => What::Refused,
            _ => return Err(malformed()),
        };
        let is_done = matches!(what, What::Written | What::Found(_) | What::Absent);
        let metadata = &body["causal-metadata"];
        if is_done != metadata.is_object() {
            return Err(malformed());
        }
        let metadata = if is_done {
            Metadata::from_json(&metadata.to_string()).map_err(|_| malformed())?
        } else {
            sent.metadata().clone()
        };
        let lost = lost(&body["lost"]).ok_or_else(malformed)?;
        let mut told = Self {
            what,
            dot: None,
            seen: None,
            metadata,
            lost,
            by: None,
            domain: None,
            closed: false,
            settlement: None,
            exact: false,
        };
        let performed = performed.filter(|_| is_done);
        if let Some(performed) = performed.filter(|performed| performed.just_dealt) {
            told.dot = performed
                .made(&told.metadata)
                .filter(|_| told.what == What::Written);
        } else if let Some(performed) = performed {
            if body["shard-id"] != performed.report.domain.shard.to_string() {
                let domain = performed.report.domain;
                return Err(format!("{} from a node in {domain}", malformed()));
            }
            told.learn(performed);
        }
        if told.what == What::Written && told.dot.is_none() {
            told.dot = the_only_new(sent.metadata(), &told.metadata);
        }
        Ok(told)
    }

    /// What JSON does not tell. The node has performed more since, perhaps: what does not fit is left out.
    fn learn(&mut self, performed: &Performed) {
        let Performed {
            report,
            seen,
            closed,
            just_dealt: _,
        } = performed;
        let origin = report.origin;
        let named = |seen: &Seen| {
            let given = self.metadata.clocks.get(&seen.domain);
            given.is_some_and(|given| given.covers(&seen.version.dot))
        };
        let made = performed.made(&self.metadata);
        let fits = |seen: &&Seen| match (&self.what, &seen.version.content) {
            (What::Written, _) => Some(seen.version.dot) == made,
            (What::Found(value), Content::Value(its)) => value == its.json(),
            (What::Absent, Content::Tombstone) => named(seen),
            _ => false,
        };
        let seen = seen.as_ref().filter(fits).cloned();
        self.dot = match self.what {
            What::Written => made,
            _ => seen.as_ref().map(|seen| seen.version.dot),
        };
        self.seen = seen;
        self.by = Some(origin);
        self.domain = Some(report.domain);
        self.closed = *closed;
        let settlement = Settlement::new(origin, report.domain, &report.covered, &report.ended);
        self.settlement = Some(Arc::new(settlement));
    }

    /// The write of this key that was made, if one was.
    pub(super) fn made(&self, key: &Key) -> Option<Made> {
        let dot = self.dot.filter(|_| self.what == What::Written)?;
        let tells_of_lost = !self.lost.is_empty();
        let told = (&self.metadata, self.seen.as_ref(), tells_of_lost);
        Made::told(key, dot, told)
    }

    /// What is wrong with the metadata, if anything: which promise it breaks, and how.
    pub(super) fn wrongly_named(&self, sent: &Metadata) -> Option<(&'static str, String)> {
        let nothing = Clock::new();
        let need = needed(sent, self.seen.as_ref());
        let mut open = need.clocks.iter().filter(|(domain, _)| self.names(domain));
        let too_little = open.find_map(|(domain, need)| {
            let given = self.metadata.clocks.get(domain).unwrap_or(&nothing);
            self.too_little(given, need)
        });
        let too_little = too_little.or_else(|| self.names_no_map(&need));
        let time = self.metadata.time;
        let early = (time < need.time).then(|| format!("its stamp is below {}", need.time));
        let ended = |(_, given)| self.ended(given);
        too_little
            .or(early)
            .map(|why| ("metadata names too little", why))
            .or_else(|| {
                let ended = self.metadata.clocks.iter().find_map(ended);
                ended.map(|why| ("an ended life is named", why))
            })
    }

    /// Whether what was written in this domain has to be named: until all maps before that of the node which performed the request are closed.
    /// That there was a map need not be named beside what was written under it.
    fn names(&self, domain: &Domain) -> bool {
        let older = self.domain.is_some_and(|its| domain.map < its.map);
        !(older && self.closed) && domain.shard != ShardId::NONE
    }

    /// Where groups of older maps are left out, some group names the map that the node went by, or a later one: else one that goes by an
    /// older map again, its memory lost, would take what they said for seen.
    fn names_no_map(&self, need: &Metadata) -> Option<String> {
        let its = self.domain?.map;
        let names_it = |(domain, _): (&Domain, _)| domain.map >= its;
        let wrong = self.leaves_out(need) && !self.metadata.clocks.iter().any(names_it);
        wrong.then(|| {
            format!(
                "nothing says that {its} was known, and it had {}",
                need.to_json()
            )
        })
    }

    /// Whether something that was written under older maps is named no more.
    pub(super) fn leaves_out(&self, sent: &Metadata) -> bool {
        let mut sent = sent.clocks.iter().map(|(domain, _)| domain);
        sent.any(|domain| !self.names(domain) && self.metadata.clocks.get(domain).is_none())
    }

    /// Whether it was performed where something may still be handed over.
    pub(super) fn is_before_closing(&self) -> bool {
        self.domain.is_some_and(|domain| domain.map.maker.is_some()) && !self.closed
    }

    /// The same of what a write that was made depends on, in this domain.
    pub(super) fn wrongly_kept(
        &self,
        domain: &Domain,
        kept: &Clock,
        need: &Clock,
    ) -> Option<(&'static str, String)> {
        let too_little = self.too_little(kept, need);
        let too_little = too_little.filter(|_| self.names(domain));
        too_little
            .map(|why| ("dependencies not kept", why))
            .or_else(|| self.ended(kept).map(|why| ("an ended life is named", why)))
    }

    /// Whether something is named by a marker from now on.
    pub(super) fn is_settled(&self, sent: &Metadata) -> bool {
        let settlement = self.settlement.as_ref();
        let need = needed(sent, self.seen.as_ref());
        let mut need = need.clocks.iter();
        settlement.is_some_and(|it| need.any(|(_, need)| named::ended(need, it).is_some()))
    }

    fn too_little(&self, given: &Clock, need: &Clock) -> Option<String> {
        let settlement = self.settlement.as_ref()?;
        if self.exact {
            return named::too_little(given, need, settlement);
        }
        // It may have learned of an end since, or of an end of what stood in for another one.
        let lives = |(origin, _): &(Origin, u64)| !settlement.floors().has_ended(origin);
        let need: Clock = need.iter().filter(lives).collect();
        named::too_little(given, &need, settlement)
    }

    fn ended(&self, given: &Clock) -> Option<String> {
        let settlement = self.settlement.as_ref().filter(|_| self.exact)?;
        named::ended(given, settlement)
    }
}

/// The version that was made or read. By hand, as below.
fn version_of(outcome: &Outcome) -> Option<&Seen> {
    match outcome {
        Outcome::Created(seen)
        | Outcome::Replaced(seen)
        | Outcome::Deleted(seen)
        | Outcome::Overtaken(seen)
        | Outcome::Found(seen)
        | Outcome::Absent(Some(seen)) => Some(seen),
        Outcome::Absent(None) | Outcome::Met | Outcome::Refused(_) => None,
    }
}

/// The write that was made for these metadata, if just one entry has come to them. There may be more: markers of lives that have ended.
fn the_only_new(sent: &Metadata, given: &Metadata) -> Option<Dot> {
    let groups = given.clocks.iter();
    let dots = groups.flat_map(|(domain, clock)| {
        clock
            .iter()
            .map(move |(origin, counter)| (domain, Dot { origin, counter }))
    });
    let is_new = |(domain, dot): &(&Domain, Dot)| {
        let known = sent.clocks.get(domain);
        known.is_none_or(|known| !known.covers(dot))
    };
    let mut new = dots.filter(is_new).map(|(_, dot)| dot);
    new.next().filter(|_| new.next().is_none())
}

/// Whether a write may have been done all the same: somebody who was asked fell silent, or the node itself ends.
fn is_unknown(body: &Value) -> bool {
    let gone = "Replica is stopping or has failed";
    body["detail"].is_string() || body["error"] == gone
}

/// The member `"lost"` of an answer; `None` if it is not as it must be.
fn lost(member: &Value) -> Option<Lost> {
    let Value::Object(ranges) = member else {
        return member.is_null().then(Lost::new);
    };
    let range = |(origin, range): (&String, &Value)| {
        let range = serde_json::from_value::<(u64, u64)>(range.clone());
        Some((origin.parse::<Origin>().ok()?, range.ok()?))
    };
    ranges.iter().map(range).collect()
}

/// What the answer must cover: what was sent, and the version seen with all that it depends on (contract §2). By hand: what is
/// judged must not be its own judge.
fn needed(sent: &Metadata, seen: Option<&Seen>) -> Metadata {
    let mut need = sent.clone();
    if let Some(Seen { domain, version }) = seen {
        let clocks = Arc::make_mut(&mut need.clocks);
        clocks.merge(&version.deps);
        clocks.cover(*domain, version.dot);
        need.time = need.time.max(version.time);
    }
    need
}
