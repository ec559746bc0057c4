//! Judges what passes on the network: what a node sends, takes and answers, and when.

mod flights;
mod settling;
mod starting;

use std::collections::BTreeMap;

use flights::Flights;
use settling::Settling;
use starting::Starting;

use super::broken::Broken;
use super::run::Violation;
use crate::core::id::{Address, Incarnation, MapId, Origin};
use crate::core::roster::RosterEntry;
use crate::core::wire::{
    self, Batch, Digest, Heartbeat, HeartbeatAnswer, JoinAnswer, JoinRequest, PushAnswer, Wants,
};
use crate::transport::Call;

/// What has passed, as far as it matters for what may pass.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    settling: Settling,
    starting: Starting,
    flights: Flights,
    /// When each node has last told each other one that writes for it were on their way.
    announced: BTreeMap<(Address, Address), u64>,
    /// The members of whom each node has last told others.
    rosters: BTreeMap<Address, Vec<RosterEntry>>,
    /// When it first told of these.
    roster_since: BTreeMap<Address, u64>,
    /// The latest life, and its map, in which each node has told others that it has all of older maps.
    complete: BTreeMap<Address, (Incarnation, MapId)>,
    broken: Broken,
    /// Members may be forgotten: whoever comes back after that is met as a stranger, over a link without a past.
    strangers: bool,
}

/// How a node serves others that may be the only one that has some write: it does so also if it is not to serve clients.
const GAVE_A_JOIN: &str = "gave a join";

/// Who calls whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// The caller.
    pub(super) from: Address,
    /// Whom it calls.
    pub(super) to: Address,
    /// What for.
    pub(super) call: Call,
}

/// What a call under way is known by here, until it ends.
#[derive(Debug)]
pub(super) enum UnderWay {
    /// A page of a join is asked for, in this life.
    Join(Incarnation),
    /// A batch, by its number.
    Push(u64),
}

impl Traffic {
    /// Members may be forgotten in this run.
    pub(super) fn expect_strangers(&mut self) {
        self.strangers = true;
    }

    /// A node starts with nothing in its memory.
    pub(super) fn begins(&mut self, node: Address, now_ms: u64) {
        self.settling.forget(node);
        self.starting.begins(node, now_ms);
        self.flights.begins(node);
        self.rosters.remove(&node);
    }

    /// A node is born again.
    pub(super) fn is_reborn(&mut self, node: Address, since_ms: u64, now_ms: u64) {
        self.starting.is_reborn(node, since_ms, now_ms);
        // What it had said before was said by the life before.
        self.rosters.remove(&node);
    }

    /// A node goes by a map by which keys are dealt anew.
    pub(super) fn is_dealt(&mut self, node: Address, since_ms: u64, now_ms: u64) {
        self.starting.is_dealt(node, since_ms, now_ms);
    }

    /// A node keeps another shard from now on.
    pub(super) fn enters(&mut self, node: Address, since_ms: u64, now_ms: u64) {
        self.starting.enters(node, since_ms, now_ms);
    }

    /// A call goes out. If its end matters, [`Traffic::ends`] must be told of it, unless its caller's life is over.
    pub(super) fn leaves(&mut self, way: Way, body: &[u8], now_ms: u64) -> Option<UnderWay> {
        let Way { from, to, call } = way;
        match call {
            Call::Heartbeat => {
                let heartbeat = wire::decode::<Heartbeat>(body).ok()?;
                if heartbeat.digest.pushing {
                    self.announced.insert((from, to), now_ms);
                }
                self.starting.says(from, heartbeat.digest.from.incarnation);
                self.says_of_older_maps(&heartbeat.digest);
                if self.roster(from) != heartbeat.digest.roster {
                    self.rosters.insert(from, heartbeat.digest.roster);
                    self.roster_since.insert(from, now_ms);
                }
                None
            }
            Call::Push => {
                self.uses(way, now_ms);
                let life = wire::decode::<Batch>(body).ok()?.from;
                let (number, wrong) = self.flights.leaves(life, to, now_ms);
                self.note("two batches in flight", wrong.filter(|_| !self.strangers));
                Some(UnderWay::Push(number))
            }
            Call::Join => {
                self.uses(way, now_ms);
                let life = wire::decode::<JoinRequest>(body).ok()?.from.incarnation;
                self.starting.asks(from, life, now_ms);
                Some(UnderWay::Join(life))
            }
            Call::Forward => None,
        }
    }

    /// A call was answered, or will not be.
    pub(super) fn ends(&mut self, from: Address, what: &UnderWay, now_ms: u64) {
        match what {
            UnderWay::Join(life) => self.starting.asked(from, *life, now_ms),
            UnderWay::Push(number) => self.flights.ends(*number),
        }
    }

    /// A call arrives.
    pub(super) fn arrives(&mut self, way: Way, body: &[u8]) {
        if way.call != Call::Heartbeat {
            return;
        }
        if let Ok(heartbeat) = wire::decode::<Heartbeat>(body) {
            let life = heartbeat.digest.from.incarnation;
            self.flights.hears(way.to, way.from, life);
            if !heartbeat.removals.is_empty() {
                self.flights.hears_of_removals(way.to);
            }
        }
    }

    /// A call was answered where it arrived: a push that is taken is also the receiver's use of its own link.
    pub(super) fn taken(&mut self, way: Way, body: &[u8], answer: &[u8], now_ms: u64) {
        let Way { from, to, call } = way;
        match call {
            Call::Push if wire::decode(answer) == Ok(PushAnswer::Admitted) => {
                let back = Way {
                    from: to,
                    to: from,
                    call,
                };
                self.uses(back, now_ms);
                self.serves(to, "took a push", now_ms);
                self.is_taken_from(to, body, now_ms);
            }
            Call::Join if self.starting.is_waiting(to) => {
                // What is frozen is handed over whatever the node is doing.
                let wants = wire::decode::<JoinRequest>(body).map(|request| request.wants);
                if wants == Ok(Wants::State)
                    && let Ok(JoinAnswer::Page(_)) = wire::decode(answer)
                {
                    self.serves(to, GAVE_A_JOIN, now_ms);
                }
            }
            Call::Push | Call::Join | Call::Heartbeat | Call::Forward => {}
        }
    }

    /// A node has taken a push. If it has told others that the pusher's life is over, what they agree on may rest on that:
    /// from then on it takes none.
    fn is_taken_from(&mut self, by: Address, body: &[u8], now_ms: u64) {
        let Ok(Batch { from, .. }) = wire::decode(body) else {
            return;
        };
        let is_over = |e: &&RosterEntry| {
            let forgotten = e.forgotten && e.life == from.incarnation;
            e.address == from.address && (e.life > from.incarnation || forgotten)
        };
        // The answer to a push is seen here a turn after it was decided: what was told in the same moment may be later than that.
        let since = self.roster_since.get(&by);
        let told = since.is_some_and(|since| *since < now_ms);
        let wrong = self.roster(by).iter().find(is_over).filter(|_| told);
        let wrong = wrong.map(|entry| {
            format!("{by} took a push of {from} at {now_ms} ms, and had told others of {entry:?}")
        });
        self.note("took a push of an ended life", wrong);
    }

    /// The members of whom this node has last told others.
    pub(super) fn roster(&self, node: Address) -> &[RosterEntry] {
        self.rosters.get(&node).map_or(&[], Vec::as_slice)
    }

    /// What a node says of itself goes for the rest of its life: whoever hears of it late acts on it, too.
    fn says_of_older_maps(&mut self, digest: &Digest) {
        let Origin {
            address,
            incarnation,
        } = digest.from;
        let known = self.complete.get(&address);
        if known.is_some_and(|(life, _)| incarnation < *life) {
            return;
        }
        let said = (incarnation, digest.domain.map);
        if digest.hand_overs.complete {
            self.complete.insert(address, said);
        } else if known != Some(&said) {
            self.complete.remove(&address);
        }
    }

    /// Whether a node has told others, in the last life that they have heard of, that it has all of maps older than this one.
    pub(super) fn is_complete(&self, node: Address, map: MapId) -> bool {
        let said = self.complete.get(&node);
        said.is_some_and(|(_, since)| *since == map)
    }

    /// An answer has arrived, in the life of the process in which it was asked for.
    pub(super) fn answered(
        &mut self,
        way: Way,
        what: Option<&UnderWay>,
        answer: &[u8],
        now_ms: u64,
    ) {
        let Way { from, to, call } = way;
        match call {
            Call::Heartbeat => {
                if let Ok(HeartbeatAnswer::Digest(digest)) = wire::decode(answer) {
                    let life = digest.from.incarnation;
                    self.settling.answered(from, to, life, now_ms);
                    self.flights.hears(from, to, life);
                    self.says_of_older_maps(&digest);
                }
            }
            Call::Push if wire::decode(answer) == Ok(PushAnswer::Admitted) => {
                self.settling.confirmed(from, to, now_ms);
            }
            Call::Join if self.starting.is_waiting(from) => {
                if let Ok(JoinAnswer::Page(page)) = wire::decode(answer)
                    && page.rest.is_some()
                    && let Some(UnderWay::Join(life)) = what
                {
                    self.starting.has_caught_up(from, *life);
                }
            }
            Call::Push | Call::Join | Call::Forward => {}
        }
    }

    /// A node serves somebody in this way.
    pub(super) fn serves(&mut self, node: Address, how: &str, now_ms: u64) {
        let wrong = self.starting.serves(node, how, now_ms);
        self.note("served before it caught up", wrong);
        let mut roster = self.roster(node).iter();
        let is_forgotten = roster.any(|entry| entry.address == node && entry.forgotten);
        let wrong = (is_forgotten && how != GAVE_A_JOIN).then(|| {
            format!("{node} {how} at {now_ms} ms, and had told others that its life is forgotten")
        });
        self.note("served though it was forgotten", wrong);
    }

    /// Since this time no node had anything to send: whoever has said so since has said something else than is.
    pub(super) fn rests(&mut self, since_ms: u64) {
        let said = self.announced.iter().find(|(_, at)| **at > since_ms);
        let wrong = said.map(|((from, to), at)| {
            format!("{from} told {to} at {at} ms that writes were on their way, and none were")
        });
        self.note("announced a push that never came", wrong);
    }

    /// What was wrong.
    pub(super) fn violations(&self) -> Vec<Violation> {
        self.broken.violations().collect()
    }

    fn uses(&mut self, way: Way, now_ms: u64) {
        let wrong = self.settling.used(way.from, way.to, way.call, now_ms);
        self.note(
            "data on an unsettled link",
            wrong.filter(|_| !self.strangers),
        );
    }

    fn note(&mut self, name: &'static str, wrong: Option<String>) {
        if let Some(text) = wrong {
            self.broken.note(name, || text);
        }
    }
}
