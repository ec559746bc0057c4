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
use crate::core::id::Address;
use crate::core::wire::{self, Heartbeat, HeartbeatAnswer, JoinAnswer, PushAnswer};
use crate::transport::Call;

/// What has passed, as far as it matters for what may pass.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    settling: Settling,
    starting: Starting,
    flights: Flights,
    /// When each node has last told each other one that writes for it were on their way.
    announced: BTreeMap<(Address, Address), u64>,
    broken: Broken,
    /// Members may be forgotten: whoever comes back after that is met as a stranger, over a link without a past.
    strangers: bool,
}

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
    /// A page of a join is asked for.
    Join,
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
                None
            }
            Call::Push => {
                self.uses(way, now_ms);
                let (number, wrong) = self.flights.leaves(from, to, now_ms);
                self.note("two batches in flight", wrong.filter(|_| !self.strangers));
                Some(UnderWay::Push(number))
            }
            Call::Join => {
                self.uses(way, now_ms);
                self.starting.asks(from, now_ms);
                Some(UnderWay::Join)
            }
        }
    }

    /// A call was answered, or will not be.
    pub(super) fn ends(&mut self, from: Address, what: &UnderWay, now_ms: u64) {
        match what {
            UnderWay::Join => self.starting.asked(from, now_ms),
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
    pub(super) fn taken(&mut self, way: Way, answer: &[u8], now_ms: u64) {
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
            }
            Call::Join if self.starting.is_waiting(to) => {
                if let Ok(JoinAnswer::Page(_)) = wire::decode(answer) {
                    self.serves(to, "gave a join", now_ms);
                }
            }
            Call::Push | Call::Join | Call::Heartbeat => {}
        }
    }

    /// An answer has arrived, in the life in which it was asked for.
    pub(super) fn answered(&mut self, way: Way, answer: &[u8], now_ms: u64) {
        let Way { from, to, call } = way;
        match call {
            Call::Heartbeat => {
                if let Ok(HeartbeatAnswer::Digest(digest)) = wire::decode(answer) {
                    let life = digest.from.incarnation;
                    self.settling.answered(from, to, life, now_ms);
                    self.flights.hears(from, to, life);
                }
            }
            Call::Push if wire::decode(answer) == Ok(PushAnswer::Admitted) => {
                self.settling.confirmed(from, to, now_ms);
            }
            Call::Join if self.starting.is_waiting(from) => {
                if let Ok(JoinAnswer::Page(page)) = wire::decode(answer)
                    && page.rest.is_some()
                {
                    self.starting.has_caught_up(from);
                }
            }
            Call::Push | Call::Join => {}
        }
    }

    /// A node serves somebody in this way.
    pub(super) fn serves(&mut self, node: Address, how: &str, now_ms: u64) {
        let wrong = self.starting.serves(node, how, now_ms);
        self.note("served before it caught up", wrong);
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
