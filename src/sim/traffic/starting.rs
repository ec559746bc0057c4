//! Judges whether a node serves too early: it answers clients, takes pushes and gives joins once it has all that the
//! first live peer gave it or, where nobody answers, after half a second (contract §3, design §4).
//!
//! What is waited for is seen on the network: a join that is asked for, answered whole, or in vain; after one in
//! vain the half second begins anew. A node that is born again starts again.

use std::collections::BTreeMap;

use crate::core::id::{Address, Incarnation};

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
    /// `None` until it has said so.
    life: Option<Incarnation>,
    /// If it was born again: its life before, and when that was seen to be over. What it did just before may be seen just after.
    reborn: Option<(Option<Incarnation>, u64)>,
    may_serve: bool,
    waits_until_ms: u64,
    joins: usize,
}

impl Beginning {
    fn at(now_ms: u64) -> Self {
        Self {
            life: None,
            reborn: None,
            may_serve: false,
            waits_until_ms: now_ms + WAIT_MS,
            joins: 0,
        }
    }

    fn may_serve(&mut self, now_ms: u64) -> bool {
        let in_vain = self.joins == 0 && now_ms + SLACK_MS >= self.waits_until_ms;
        self.may_serve |= in_vain;
        self.may_serve
    }
}

impl Starting {
    /// A node starts with nothing in its memory.
    pub(super) fn begins(&mut self, node: Address, now_ms: u64) {
        self.lives.insert(node, Beginning::at(now_ms));
    }

    /// It is born again.
    pub(super) fn is_reborn(&mut self, node: Address, since_ms: u64, now_ms: u64) {
        if let Some(beginning) = self.lives.get_mut(&node) {
            let before = beginning.life;
            *beginning = Beginning::at(since_ms);
            beginning.reborn = Some((before, now_ms));
        }
    }

    /// Keys were dealt anew: if it serves it goes on serving, in another life; if not, it starts under the new map.
    pub(super) fn is_dealt(&mut self, node: Address, since_ms: u64, now_ms: u64) {
        if let Some(beginning) = self.lives.get_mut(&node)
            && !beginning.may_serve(now_ms)
        {
            self.enters(node, since_ms, now_ms);
        }
    }

    /// It keeps another shard from now on, of which it has nothing yet.
    pub(super) fn enters(&mut self, node: Address, since_ms: u64, now_ms: u64) {
        if let Some(beginning) = self.lives.get_mut(&node) {
            let life = beginning.life;
            *beginning = Beginning::at(since_ms);
            beginning.life = life;
            beginning.reborn = Some((None, now_ms));
        }
    }

    /// It says that it lives in this life.
    pub(super) fn says(&mut self, node: Address, life: Incarnation) {
        let Some(beginning) = self.lives.get_mut(&node) else {
            return;
        };
        let before = beginning.reborn.and_then(|(before, _)| before);
        if Some(life) > before {
            beginning.life = beginning.life.max(Some(life));
        }
    }

    /// The beginning of its present life, if it is this one.
    fn life(&mut self, node: Address, life: Incarnation) -> Option<&mut Beginning> {
        let beginning = self.lives.get_mut(&node)?;
        Some(beginning).filter(|beginning| beginning.life == Some(life))
    }

    /// It asks for a page of a join.
    pub(super) fn asks(&mut self, node: Address, life: Incarnation, now_ms: u64) {
        self.says(node, life);
        if let Some(life) = self.life(node, life) {
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
    pub(super) fn has_caught_up(&mut self, node: Address, life: Incarnation) {
        if let Some(life) = self.life(node, life) {
            life.may_serve = true;
        }
    }

    /// A page that it has asked for was answered, or will not be.
    pub(super) fn asked(&mut self, node: Address, life: Incarnation, now_ms: u64) {
        if let Some(life) = self.life(node, life) {
            life.joins = life.joins.saturating_sub(1);
            life.waits_until_ms = now_ms + WAIT_MS;
        }
    }

    /// It serves in this way. What is wrong with that, if anything.
    pub(super) fn serves(&mut self, node: Address, how: &str, now_ms: u64) -> Option<String> {
        let life = self.lives.get_mut(&node)?;
        let just_reborn = life.reborn.is_some_and(|(_, at)| now_ms <= at + SLACK_MS);
        let early = !life.may_serve(now_ms) && !just_reborn;
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

    fn first() -> Incarnation {
        Incarnation::starting(1, 0)
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
    fn who_is_added_to_a_shard_waits_again_in_the_same_life() {
        let mut starting = started_at(0);
        starting.says(node(), first());
        assert!(!is_early(&mut starting, 600));
        starting.enters(node(), 1_000, 1_000);
        assert!(!is_early(&mut starting, 1_001), "just before that");
        assert!(is_early(&mut starting, 1_100));
        starting.asks(node(), first(), 1_100);
        starting.has_caught_up(node(), first());
        assert!(!is_early(&mut starting, 1_101));
    }

    #[test]
    fn who_serves_when_keys_are_dealt_anew_goes_on_and_who_starts_starts_again() {
        let mut starting = started_at(0);
        starting.is_dealt(node(), 400, 400);
        assert!(is_early(&mut starting, 600));
        assert!(!is_early(&mut starting, 900));
        starting.is_dealt(node(), 1_000, 1_000);
        assert!(!is_early(&mut starting, 1_100));
    }

    #[test]
    fn half_a_second_without_a_peer_or_a_whole_join_lets_a_node_serve() {
        let mut alone = started_at(100);
        assert!(is_early(&mut alone, 590) && !is_early(&mut alone, 600));
        let mut joined = started_at(100);
        joined.asks(node(), first(), 120);
        joined.has_caught_up(node(), first());
        joined.asked(node(), first(), 130);
        assert!(!is_early(&mut joined, 130));
    }

    #[test]
    fn a_join_that_runs_is_waited_for_and_one_in_vain_waited_after() {
        let mut starting = started_at(0);
        starting.asks(node(), first(), 400);
        assert!(is_early(&mut starting, 2_000));
        starting.asked(node(), first(), 2_400);
        assert!(is_early(&mut starting, 2_800) && !is_early(&mut starting, 2_900));
    }

    #[test]
    fn who_serves_goes_on_serving_whatever_joins_come_to() {
        let mut starting = started_at(0);
        starting.asks(node(), first(), 600);
        assert!(!is_early(&mut starting, 700));
        starting.begins(node(), 800);
        assert!(is_early(&mut starting, 900), "another life");
    }

    #[test]
    fn who_is_born_again_starts_again_and_what_its_earlier_life_had_asked_for_counts_for_nothing() {
        let mut starting = started_at(0);
        starting.asks(node(), first(), 600);
        starting.is_reborn(node(), 1_000, 1_000);
        starting.has_caught_up(node(), first());
        starting.asked(node(), first(), 1_100);
        assert!(is_early(&mut starting, 1_490) && !is_early(&mut starting, 1_500));
    }
}
