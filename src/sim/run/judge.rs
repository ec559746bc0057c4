//! Judges what came of a run, once all is as one.

use std::collections::{BTreeMap, BTreeSet};

use super::super::clients::{Named, key_name};
use super::super::samples::{counted, samples};
use super::latest::Latest;
use super::{Run, Verdict};
use crate::checker::{self, Absence, FinalState, Held, History};
use crate::core::id::{Domain, Dot, Key, MapId, Origin};
use crate::core::metadata::Metadata;
use crate::core::wire::{KvsMethod, KvsRequest};
use crate::core::write::Content;
use crate::messages::causality::{DigestReport, Operation, Outcome};

/// Bytes of metadata as JSON that is no entry: its stamp, and the name of the one domain.
const METADATA_BYTES: usize = 64;
/// And of the name of a shard, at most: such as `1.3857344080/s0`, with a maker's address in it after the first map.
const METADATA_SHARD_BYTES: usize = 48;
/// And of an entry, at most: a name such as `10.10.0.2:8090@1a2b3c4d5e6f7`, and a counter.
const METADATA_ENTRY_BYTES: usize = 56;

impl Run {
    pub(super) async fn judge(mut self) -> Verdict {
        let mut final_states = self.final_states().await;
        let had = self.had().await;
        self.clients.borrow_mut().learn_made(self.network.made());
        let watched = self.watch.borrow().violations();
        self.violations.extend(watched);
        self.violations.extend(self.network.violations());
        let answers = self.clients.borrow().violations();
        self.violations.extend(answers);
        let forgiven = self.judge_losses(&had).await;
        self.judge_metadata_size();
        let mut operations = self.clients.borrow().operations().to_vec();
        rename_deletes(&mut operations, &mut final_states);
        let history = History {
            operations,
            final_states,
            forgiven,
        };
        let report = checker::check(&history);
        for violation in &report.violations {
            self.violation(violation.kind.name(), violation.to_string());
        }
        Verdict {
            counts: self.counts(),
            network: self.network.tally(),
            events: self.network.history(),
            simulated_ms: self.now_ms(),
            violations: self.violations,
        }
    }

    /// What the members of each shard have, who agree.
    async fn had(&self) -> Had {
        let mut had = Vec::new();
        for (_, members) in self.cluster.shards() {
            if let Some(member) = members.first() {
                had.extend(self.cluster.digest(*member).await);
            }
        }
        Had(had)
    }

    async fn final_states(&mut self) -> Vec<FinalState> {
        let keys: BTreeSet<u32> = self.plan.operations.iter().map(|o| o.what.key).collect();
        let is_sharded = self.plan.shape.shards.is_some();
        let mut states = Vec::new();
        for node in 0..self.cluster.addresses.len() {
            let mut state = FinalState {
                replica: format!("n{node}"),
                held: BTreeMap::new(),
            };
            for key in &keys {
                let name = key_name(*key);
                let held = if is_sharded {
                    self.held_in_the_cluster(node, &name).await
                } else {
                    self.held(node, &name).await
                };
                if let Some(held) = held {
                    state.held.insert(name, held);
                }
            }
            states.push(state);
        }
        states
    }

    async fn held(&self, node: usize, key: &str) -> Option<Held> {
        let key = Key::new(key)?;
        let gateway = self.cluster.gateway(node)?;
        let read = gateway.request(Operation::Get { key }, Metadata::default(), None);
        match read.await?.outcome {
            Outcome::Found(seen) => match &seen.version.content {
                Content::Value(value) => Some(Held::Value(value.json().to_owned())),
                Content::Tombstone | Content::Ended(_) => None,
            },
            Outcome::Absent(None) => Some(Held::Absent(Absence::Unnamed)),
            Outcome::Absent(Some(seen)) => {
                let by = seen.version.dot.to_string();
                Some(Held::Absent(Absence::By(by)))
            }
            _ => None,
        }
    }

    /// What any node answers to somebody who has seen all that all clients have. It must answer, whoever keeps the key.
    async fn held_in_the_cluster(&mut self, node: usize, key: &str) -> Option<Held> {
        let address = self.cluster.addresses[node];
        let forwarder = self.network.forwarder(address)?;
        let mut metadata = self.clients.borrow().newest();
        // What such clocks have written, or such members, may have left no trace, and then nobody can tell.
        if self.plan.sets_clocks_back() || self.forgot_a_map() {
            metadata = Metadata::default();
        }
        let body = format!(r#"{{"causal-metadata":{}}}"#, metadata.to_json());
        let request = KvsRequest {
            method: KvsMethod::Get,
            key: Key::new(key)?,
            body: body.into(),
            metadata: Vec::new(),
            wait_ms: None,
        };
        let answer = forwarder.kvs(request).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let body: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        match answer.status {
            200 => Some(Held::Value(body["value"].to_string())),
            404 => Some(Held::Absent(Absence::Unnamed)),
            status => {
                let text = format!("n{node} answered {status} for {key} at rest: {text}");
                self.violation("unmeetable metadata", text);
                None
            }
        }
    }

    /// Every acknowledged write is had by all, or was lost with the memory of all that had it; those are returned, and those
    /// that a client was told to be lost. What a replica held that was born again it writes again under another name,
    /// unless it was overwritten: that is for the checkers to judge, by values.
    async fn judge_losses(&mut self, had: &Had) -> BTreeSet<checker::OperationId> {
        let mut forgiven = BTreeSet::new();
        let acknowledged: Vec<_> = self.clients.borrow().acknowledged().collect();
        let told: Vec<Named> = self.clients.borrow().named().to_vec();
        let reborn = self.was_reborn();
        let given_up = self.counts().get("writes_given_up").is_some_and(|n| *n > 0);
        let present = self.present_lives().await;
        let marker_lost = tells_of_markers(&told, &acknowledged);
        let latest = self.latest().await;
        for (operation, dot) in acknowledged {
            let is_older = self.is_older(&dot, &latest);
            let held = if is_older {
                latest.has(operation, &dot)
            } else {
                had.has(&dot)
            };
            let told = told.iter().find(|named| named.told_lost(&dot));
            // What is told to be lost may be the marker that stood for this write.
            let behind_marker = marker_lost && !present.contains(&dot.origin);
            if told.is_some() || behind_marker || self.is_missing(&dot) {
                forgiven.insert(operation);
            }
            if held {
                // A side of a cut that forgets the other one takes for lost what is there; and so do those who have heard of a later life
                // of its maker, until they lose their memory.
                let excused = self.plan.forgets() || self.plan.sets_clocks_back();
                let told = told.filter(|_| !excused && (!is_older || latest.shows(&dot)));
                if let Some(told) = told {
                    let told = told.operation;
                    let text = format!("{told} was told that {dot} is lost, and all have it");
                    self.violation("false alarm", text);
                }
                continue;
            }
            // What could not be told from a deleted value was given up, and is told to be lost from then on.
            if given_up || self.is_lost(&dot) {
                forgiven.insert(operation);
            }
            let excused = reborn || given_up && self.plan.reshards();
            if !excused && !self.is_lost(&dot) {
                let text = format!("{operation} was acknowledged as {dot}, and nobody has it");
                self.violation("lost write", text);
            }
        }
        self.judge_silence(had, &told);
        self.judge_older(&latest, reborn || given_up);
        forgiven
    }

    /// What keepers should have had of older domains was lost with others' memory.
    fn judge_older(&mut self, latest: &Latest, excused: bool) {
        let watch = self.watch.clone();
        let watch = watch.borrow();
        let mut wanting = watch.wanting().iter().filter(|(dot, wanting)| {
            let deleted = !wanting.is_stale && latest.may_be_deleted(&wanting.key);
            !excused && !deleted && !self.is_lost(dot) && !self.is_missing(dot)
        });
        if let Some((_, wanting)) = wanting.next() {
            self.violation("older but not held", wanting.text.clone());
        }
    }

    async fn present_lives(&self) -> BTreeSet<Origin> {
        let digests = self.digests().await.into_iter().flatten();
        digests.map(|digest| digest.origin).collect()
    }

    /// Whoever names a write that is lost for ever is told so.
    fn judge_silence(&mut self, had: &Had, performed: &[Named]) {
        let lost = self.lost.iter().filter(|(dot, _)| !had.has(dot));
        let mut in_silence = lost.filter_map(|(dot, lost_ms)| {
            let names = |n: &&Named| n.last.origin == dot.origin && n.last.counter >= dot.counter;
            // A push that was on its way when its maker crashed may still have arrived.
            let later = performed
                .iter()
                .filter(|named| named.at_ms > *lost_ms && named.had < dot.counter);
            let untold = later.filter(names).find(|named| !named.told_lost(dot));
            untold.map(|named| (named.operation, *dot))
        });
        let first = in_silence.next();
        if let Some((operation, dot)) = first {
            let text = format!("{operation} named {dot}, which is lost, and was not told");
            self.violation("lost in silence", text);
        }
    }

    /// Metadata has one entry for each life that has written, and no more (design §3).
    fn judge_metadata_size(&mut self) {
        let renewed = self.counts().get("incarnations_renewed").copied();
        // Of each map by which keys were dealt.
        let lives = self.cluster.lives() + renewed.unwrap_or_default();
        let too_large = self.clients.borrow().handed_out().find_map(|metadata| {
            let mut by_map: BTreeMap<MapId, u64> = BTreeMap::new();
            for (domain, clock) in metadata.clocks.iter() {
                *by_map.entry(domain.map).or_default() += clock.iter().count() as u64;
            }
            let entries: u64 = by_map.values().sum();
            let fits = by_map.values().all(|entries| *entries <= lives);
            let bytes = metadata.to_json().len();
            let domains = metadata.clocks.iter().map(|(domain, _)| *domain);
            let shards = domains
                .filter(|domain| *domain != Domain::UNSHARDED)
                .count();
            let entry_bytes = METADATA_ENTRY_BYTES * usize::try_from(entries).unwrap_or(usize::MAX);
            let most = METADATA_BYTES + METADATA_SHARD_BYTES * shards + entry_bytes;
            let fits = fits && bytes <= most;
            (!fits).then(|| format!("{lives} lives, {entries} entries, {bytes} bytes"))
        });
        if let Some(text) = too_large {
            self.violation("metadata too large", text);
        }
    }

    /// Whether a node was born again.
    pub(super) fn was_reborn(&self) -> bool {
        let renewed = self.counts().get("incarnations_renewed").copied();
        renewed.unwrap_or_default() > 0
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for text in self.cluster.metrics() {
            for (name, value) in samples(&text) {
                if let Some(name) = counted(name) {
                    *counts.entry(name).or_default() += value;
                }
            }
        }
        let clients = self.clients.borrow();
        let mut note = |name: &str, value: u64| counts.insert(name.to_owned(), value);
        note("operations", clients.operations().len() as u64);
        note("looks into nodes", self.watch.borrow().looked());
        note("requests parked and done", clients.waited());
        note("answers that told of lost writes", clients.told_lost());
        note("answers clamped", clients.settled());
        note(
            "requests after reads in another shard",
            clients.from_elsewhere(),
        );
        note(
            "requests done by a node without a shard",
            clients.by_those_without_shard(),
        );
        note("answers without groups of closed maps", clients.closed());
        note("requests that waited for a hand-over", clients.held());
        for (name, value) in self.network.deals() {
            note(name, value);
        }
        for (name, value) in self.network.forwards() {
            note(name, value);
        }
        for (name, value) in self.map_changes.borrow().iter() {
            note(name, *value);
        }
        note(
            "writes lost with their replicas' memory",
            self.lost.len() as u64,
        );
        counts
    }
}

/// What is had by all members of some shard.
pub(super) struct Had(pub(super) Vec<DigestReport>);

/// Whether somebody was told that writes are lost which no client has made: markers of ended lives among them. Metadata names
/// these in place of what such a life had written, and that is lost with them, until it is written again under names that this metadata does not have.
fn tells_of_markers(told: &[Named], acknowledged: &[(checker::OperationId, Dot)]) -> bool {
    let made: BTreeSet<&Dot> = acknowledged.iter().map(|(_, dot)| dot).collect();
    let nobodys = |named: &Named| {
        let (from, to) = named.lost.unwrap_or((1, 0));
        let origin = named.last.origin;
        (from..=to).any(|counter| !made.contains(&Dot { origin, counter }))
    };
    told.iter().any(nobodys)
}

/// A replica that is born again writes its deletes again, under names that no client was told: those become absence by whatever
/// cause.
fn rename_deletes(operations: &mut [checker::Operation], states: &mut [FinalState]) {
    let named = |outcome: &checker::Outcome| match outcome {
        checker::Outcome::Acknowledged { identity } => identity.clone(),
        _ => None,
    };
    let told: BTreeSet<String> = operations
        .iter()
        .filter_map(|o| named(&o.outcome))
        .collect();
    let unnamed = |absence: &mut Absence| {
        if matches!(absence, Absence::By(name) if !told.contains(name)) {
            *absence = Absence::Unnamed;
        }
    };
    for operation in operations {
        if let checker::Outcome::Absent(absence) = &mut operation.outcome {
            unnamed(absence);
        }
    }
    for held in states.iter_mut().flat_map(|state| state.held.values_mut()) {
        if let Held::Absent(absence) = held {
            unnamed(absence);
        }
    }
}
