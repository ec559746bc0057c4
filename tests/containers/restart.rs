//! Started, killed, started again: `docker start` and `docker kill`.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::{A, B, C, CUT_BOUND, Cluster, START_BOUND};
use crate::time::{now, pause};

const FIVE_SECONDS: Duration = Duration::from_secs(5);

#[test]
fn views_are_full_soon_after_the_start_and_without_a_killed_replica_soon_after_the_kill() {
    let Some(cluster) = Cluster::start("kill") else {
        return;
    };
    let full = cluster.await_full_views(cluster.started, START_BOUND);
    println!("start: full views after {full:?}");

    for victim in [C, A] {
        let others: Vec<usize> = [A, B, C]
            .into_iter()
            .filter(|&other| other != victim)
            .collect();
        cluster.kill(victim);
        let killed = now();
        let gone = cluster.await_views(&others, killed, CUT_BOUND);
        let key = format!("missed-by-{victim}");
        let missed = cluster
            .put(B, &key, "written meanwhile", &Value::Null)
            .metadata();

        cluster.restart(victim);
        let restarted = now();
        let back = cluster.await_full_views(restarted, START_BOUND);
        let read = (key.as_str(), "written meanwhile");
        let caught_up = cluster.await_value(victim, read, &missed, (restarted, START_BOUND));
        println!("kill of {victim}: gone after {gone:?}");
        println!("restart: in all views after {back:?}, caught up after {caught_up:?}");
    }
    cluster.await_converged(now(), START_BOUND);
}

#[test]
fn a_killed_replica_is_out_of_the_views_after_five_seconds_and_restarted_has_everything_after_five()
{
    let Some(cluster) = Cluster::ready("kill-sequence") else {
        return;
    };
    let first = cluster.put(C, "first", "one", &Value::Null);
    assert_eq!(first.status, 201);
    cluster.await_value(
        A,
        ("first", "one"),
        &first.metadata(),
        (now(), FIVE_SECONDS),
    );

    // The published interface's own sequence with its own waits.
    cluster.kill(C);
    pause(FIVE_SECONDS);
    let second = cluster.put(A, "second", "two", &first.metadata());
    assert_eq!(second.status, 201, "{second:?}");
    pause(FIVE_SECONDS);
    for replica in [A, B] {
        assert_eq!(cluster.view_is(replica, &[A, B]), Ok(()));
    }
    cluster.restart(C);
    pause(FIVE_SECONDS);
    for replica in [A, B, C] {
        assert_eq!(cluster.view_is(replica, &[A, B, C]), Ok(()));
    }
    for (key, value) in [("first", "one"), ("second", "two")] {
        let read = cluster.get(C, key, &second.metadata());
        assert_eq!((read.status, read.value()), (200, Some(&value.into())));
    }
}
