//! Random causal histories: whatever the order, replicas that have seen the same writes agree.

use causet::core::clock::{Clock, Relation};
use causet::core::join::Cut;
use causet::core::stamp::HlcTime;
use causet::core::write::Write;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::cluster::{Cluster, REPLICAS, Replica, any_steps, any_steps_of_one_life, winners_of};

/// Batches of every replica's writes: cut anywhere, shuffled, some of them twice.
fn shuffled_batches(cluster: &Cluster, cuts: &[(Index, Index)]) -> Vec<Vec<Write>> {
    let mut batches: Vec<Vec<Write>> = Vec::new();
    for replica in &cluster.replicas {
        let mut at = 0;
        for (length, _) in cuts {
            let rest = &replica.log[at..];
            if rest.is_empty() {
                break;
            }
            let length = 1 + length.index(rest.len().min(4));
            batches.push(rest[..length].to_vec());
            at += length;
        }
        if at < replica.log.len() {
            batches.push(replica.log[at..].to_vec());
        }
    }
    let doubled = batches.clone();
    batches.extend(doubled.into_iter().step_by(2));
    for (at, (_, other)) in cuts.iter().enumerate() {
        if !batches.is_empty() {
            let (at, other) = (at % batches.len(), other.index(batches.len()));
            batches.swap(at, other);
        }
    }
    batches
}

/// The clock that covers exactly these writes.
fn clock_of<'a>(writes: impl Iterator<Item = &'a Write>) -> Clock {
    let dots = writes.map(Write::dot);
    dots.map(|dot| (dot.origin, dot.counter)).collect()
}

/// A fresh replica that was given these cuts, one after the other, of what the others have.
fn joined(cluster: &Cluster, order: &[usize]) -> Replica {
    let mut replica = Replica::new(REPLICAS);
    for &from in order {
        let cut = cluster.replicas[from].cut(&replica.state);
        replica.join(cut);
    }
    replica
}

fn copy(cut: &Cut) -> Cut {
    Cut {
        older: Vec::new(),
        from: cut.from,
        covered: cut.covered.clone(),
        time: cut.time,
        writes: cut.writes.clone(),
        rest: cut.rest.clone(),
    }
}

proptest! {
    #[test]
    fn at_every_moment_clocks_cover_what_they_promise_and_stores_hold_the_winners_of_it(
        steps in any_steps(),
    ) {
        // The checks are made after each step.
        let mut cluster = Cluster::after(steps);
        let had: Vec<_> = cluster.replicas.iter().map(|r| r.state.covered().clone()).collect();
        let present: Vec<_> = cluster.replicas.iter().map(|r| r.state.origin()).collect();
        cluster.join_all();
        let all = cluster.replicas[0].state.covered().clone();
        for dot in cluster.writes.keys().filter(|dot| !all.covers(dot)) {
            // It was written in a life that is over, and nobody else had it.
            prop_assert!(!present.contains(&dot.origin) && !had.iter().any(|had| had.covers(dot)));
        }
        let held = cluster.writes.values().filter(|write| all.covers(&write.dot()));
        let everything = winners_of(held).summary();
        for replica in &cluster.replicas {
            prop_assert_eq!(replica.store.summary(), everything);
            prop_assert_eq!(replica.state.covered(), cluster.replicas[0].state.covered());
            prop_assert_eq!(replica.state.buffer().writes(), 0);
        }
    }

    #[test]
    fn any_order_of_delivery_ends_in_the_same_state(
        steps in any_steps_of_one_life(),
        cuts in vec(any::<(Index, Index)>(), 1..60),
    ) {
        let cluster = Cluster::after(steps);
        let mut replica = Replica::new(REPLICAS);
        for batch in shuffled_batches(&cluster, &cuts) {
            replica.deliver(batch);
        }
        let everything = winners_of(cluster.writes.values()).summary();
        let clock = clock_of(cluster.writes.values());
        prop_assert_eq!(replica.summary(), (everything, clock.into()));
        let buffer = replica.state.buffer();
        prop_assert_eq!((buffer.writes(), buffer.bytes()), (0, 0));
    }

    #[test]
    fn joins_are_commutative_associative_and_idempotent_and_never_go_back(
        steps in any_steps(),
        order in Just((0..REPLICAS).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut cluster = Cluster::after(steps);
        cluster.hear_all();
        let in_order = joined(&cluster, &[0, 1, 2, 3]);
        let shuffled = joined(&cluster, &order);
        prop_assert_eq!(in_order.summary(), shuffled.summary());
        let twice: Vec<usize> = order.iter().chain(&order).copied().collect();
        prop_assert_eq!(joined(&cluster, &twice).summary(), in_order.summary());
        // First among themselves, then the result: the same.
        cluster.join(order[1], order[0]);
        cluster.join(order[3], order[2]);
        let grouped = joined(&cluster, &[order[0], order[2]]);
        prop_assert_eq!(grouped.summary(), in_order.summary());
    }

    #[test]
    fn a_difference_that_comes_late_or_twice_changes_nothing_that_is_newer(
        before in any_steps(),
        to in 0..REPLICAS,
        from in 0..REPLICAS,
    ) {
        let mut cluster = Cluster::after(before);
        let cut = cluster.replicas[from].cut(&cluster.replicas[to].state);
        cluster.join_all();
        let newest = cluster.replicas[to].summary();
        for _ in 0..2 {
            let replica = &mut cluster.replicas[to];
            let applied = replica.state.join(copy(&cut));
            prop_assert_eq!(applied.map(|joined| joined.writes.len()), Ok(0), "all of it was covered");
            prop_assert_eq!(replica.summary(), newest.clone());
        }
    }

    #[test]
    fn joins_and_deliveries_mixed_never_go_back(
        steps in any_steps_of_one_life(),
        cuts in vec(any::<(Index, Index)>(), 1..40),
        joins in vec((0_usize..40, 0..REPLICAS), 0..6),
    ) {
        let cluster = Cluster::after(steps);
        let mut replica = Replica::new(REPLICAS);
        let mut before = replica.state.covered().clone();
        for (number, batch) in shuffled_batches(&cluster, &cuts).into_iter().enumerate() {
            replica.deliver(batch);
            for (_, from) in joins.iter().filter(|(at, _)| *at == number) {
                replica.join(cluster.replicas[*from].cut(&replica.state));
            }
            let relation = replica.state.covered().relation(&before);
            prop_assert!(matches!(relation, Relation::Equal | Relation::After));
            before.clone_from(replica.state.covered());
            let covered = cluster.writes.values().filter(|w| before.covers(&w.dot()));
            prop_assert_eq!(winners_of(covered).summary(), replica.store.summary());
        }
        let clock = clock_of(cluster.writes.values());
        prop_assert_eq!(replica.state.covered(), &clock.into());
        prop_assert_eq!(replica.state.buffer().writes(), 0);
    }

    #[test]
    fn stamps_extend_happens_before_whatever_the_wall_clocks_say(steps in any_steps()) {
        let cluster = Cluster::after(steps);
        for write in cluster.writes.values() {
            for earlier in cluster.past_of(&write.version) {
                prop_assert!(earlier.version.stamp() < write.version.stamp());
            }
            // The writes of one life are ordered too, whoever asked for them.
            let mut before = write.dot();
            before.counter -= 1;
            let before = cluster.writes.get(&before).map(|w| w.version.time);
            prop_assert!(before.unwrap_or(HlcTime::ZERO) < write.version.time);
        }
    }
}
