//! Judges whether a node serves too early: it answers clients, takes pushes and gives joins once it has all that the
//! first live peer gave it or, where nobody answers, after half a second (contract §3, design §4).
//!
//! What is waited for is seen on the network: a join that is asked for, answered whole, or in vain; after one in
//! vain the half second begins anew.

use std::collections::BTreeMap;

use crate::core::id::Address;

/// How long a node that starts looks for a live peer, in milliseconds.
const WAIT_MS: u64 = 500;
/// Nodes count whole milliseconds from their own start; what is closer is not told apart.
const SLACK_MS: u64 = 5;

/// The present life of each node, as far as it may serve.
#[derive(Debug, Default)]
pub(super) struct Starting {
    lives: BTreeMap<Address, Beginning>,
}

#[derive(Debug)]
struct Beginning {
    may_serve: bool,
    waits_until_ms: u64,
    joins: usize,
}

impl Beginning {
    fn may_serve(&mut self, now_ms: u64) -> bool {
        let in_vain = self.joins == 0 && now_ms + SLACK_MS >= self.waits_until_ms;
        self.may_serve |= in_vain;
        self.may_serve
    }
}

impl Starting {
    /// A node starts with nothing in its memory.
    pub(super) fn begins(&mut self, node: Address, now_ms: u64) {
        let beginning = Beginning {
            may_serve: false,
            waits_until_ms: now_ms + WAIT_MS,
            joins: 0,
        };
        self.lives.insert(node, beginning);
    }

    /// It asks for a page of a join.
    pub(super) fn asks(&mut self, node: Address, now_ms: u64) {
        if let Some(life) = self.lives.get_mut(&node) {
            // If it has waited long enough, it may serve from now on, whatever comes of this.
            life.may_serve(now_ms);
            life.joins += 1;
        }
    }

    /// Whether an answer to it can make a difference.
    pub(super) fn is_waiting(&self, node: Address) -> bool {
        self.lives.get(&node).is_some_and(|life| !life.may_serve)
    }

    /// It has got the last page of a join.
    pub(super) fn has_caught_up(&mut self, node: Address) {
        if let Some(life) = self.lives.get_mut(&node) {
            life.may_serve = true;
        }
    }

    /// A page that it has asked for was answered, or will not be.
    pub(super) fn asked(&mut self, node: Address, now_ms: u64) {
        if let Some(life) = self.lives.get_mut(&node) {
            life.joins = life.joins.saturating_sub(1);
            life.waits_until_ms = now_ms + WAIT_MS;
        }
    }

    /// It serves in this way. What is wrong with that, if anything.
    pub(super) fn serves(&mut self, node: Address, how: &str, now_ms: u64) -> Option<String> {
        let life = self.lives.get_mut(&node)?;
        let early = !life.may_serve(now_ms);
        early.then(|| {
            let (until, joins) = (life.waits_until_ms, life.joins);
            format!(
                "{node} {how} at {now_ms} ms; no join had given it anything, {joins} ran, and it had to wait until {until} ms"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Address {
        "10.10.0.2:8090".parse().unwrap()
    }

    fn started_at(now_ms: u64) -> Starting {
        let mut starting = Starting::default();
        starting.begins(node(), now_ms);
        starting
    }

    fn is_early(starting: &mut Starting, now_ms: u64) -> bool {
        starting.serves(node(), "answered", now_ms).is_some()
    }

    #[test]
    fn half_a_second_without_a_peer_or_a_whole_join_lets_a_node_serve() {
        let mut alone = started_at(100);
        assert!(is_early(&mut alone, 590) && !is_early(&mut alone, 600));
        let mut joined = started_at(100);
        joined.asks(node(), 120);
        joined.has_caught_up(node());
        joined.asked(node(), 130);
        assert!(!is_early(&mut joined, 130));
    }

    #[test]
    fn a_join_that_runs_is_waited_for_and_one_in_vain_waited_after() {
        let mut starting = started_at(0);
        starting.asks(node(), 400);
        assert!(is_early(&mut starting, 2_000));
        starting.asked(node(), 2_400);
        assert!(is_early(&mut starting, 2_800) && !is_early(&mut starting, 2_900));
    }

    #[test]
    fn who_serves_goes_on_serving_whatever_joins_come_to() {
        let mut starting = started_at(0);
        starting.asks(node(), 600);
        assert!(!is_early(&mut starting, 700));
        starting.begins(node(), 800);
        assert!(is_early(&mut starting, 900), "another life");
    }
}
