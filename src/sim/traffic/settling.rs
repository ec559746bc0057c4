//! Judges by the answers that pass on the network whether data flows too soon after an outage: of a second or more, the
//! first 2.5 s after its end are for heartbeats alone (contract §3).

use std::collections::BTreeMap;

use crate::core::id::{Address, Incarnation};
use crate::transport::Call;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Settling {
    links: BTreeMap<(Address, Address), Trust>,
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
    pub(super) fn forget(&mut self, node: Address) {
        self.links.retain(|(from, _), _| *from != node);
    }

    /// The peer has answered a heartbeat, in this life.
    pub(super) fn answered(&mut self, from: Address, to: Address, life: Incarnation, now_ms: u64) {
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
    pub(super) fn confirmed(&mut self, from: Address, to: Address, now_ms: u64) {
        if let Some(trust) = self.links.get_mut(&(from, to)) {
            trust.answered_ms = now_ms;
        }
    }

    /// Data passes because `from` finds that its link to `to` may be used. What is wrong with that, if anything.
    pub(super) fn used(
        &self,
        from: Address,
        to: Address,
        call: Call,
        now_ms: u64,
    ) -> Option<String> {
        let settled_ms = self
            .links
            .get(&(from, to))
            .map_or(0, |trust| trust.settled_ms);
        let early_ms = settled_ms.saturating_sub(now_ms);
        (early_ms > 0).then(|| {
            let name = call.name();
            format!("{from} had a {name} pass at {now_ms} ms, {early_ms} ms before its link to {to} had settled")
        })
    }
}
