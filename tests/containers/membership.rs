//! Leaving on purpose: `docker stop`, and DELETE and PUT `/view`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{A, B, C, Cluster, START_BOUND};
use crate::docker;
use crate::time::{now, pause, within};

/// The contract's "at once" for a goodbye: it was said before the process ended, so what is left is
/// its last hop and the polls themselves. A peer that had to find out alone would take a probe
/// period and the suspicion, 1.25 s, at the very least.
const GOODBYE: Duration = Duration::from_secs(1);

#[test]
fn a_stopped_replica_hands_on_its_writes_says_goodbye_and_ends_within_two_seconds() {
    let Some(cluster) = Cluster::ready("stop") else {
        return;
    };
    let mut known = Value::Null;
    for number in 0..20 {
        known = cluster
            .put(A, &format!("key-{number}"), "kept", &known)
            .metadata();
    }
    let stopping = now();
    docker::must(&["stop", &cluster.container(A)]);
    let stopped = now();
    assert!(
        stopped - stopping < Duration::from_secs(2),
        "took {:?}",
        stopped - stopping
    );
    let code = docker::must(&[
        "inspect",
        "--format",
        "{{.State.ExitCode}}",
        &cluster.container(A),
    ]);
    assert_eq!(code, "0", "exit code");

    let gone = cluster.await_views(&[B, C], stopped, GOODBYE);
    println!(
        "docker stop took {:?}, gone from the views {gone:?} later",
        stopped - stopping
    );
    for replica in [B, C] {
        assert_eq!(cluster.get(replica, "key-19", &known).status, 200);
    }

    cluster.restart(A);
    let restarted = now();
    cluster.await_full_views(restarted, START_BOUND);
    cluster.await_value(A, ("key-0", "kept"), &known, (restarted, START_BOUND));
}

#[test]
fn a_live_replica_deleted_from_the_view_stays_out_until_a_put_names_it() {
    let Some(cluster) = Cluster::ready("delete-put") else {
        return;
    };
    let deleted = cluster.change_view(A, "DELETE", C);
    assert_eq!(
        (deleted.status, deleted.body),
        (200, json!({ "result": "deleted" }))
    );
    cluster.await_views(&[A, B], now(), START_BOUND);
    within(now(), START_BOUND, || {
        let refused = cluster.get(C, "x", &Value::Null);
        let is_removed = refused.error() == Some("Replica was removed from the view");
        let holds = refused.status == 503 && is_removed;
        holds
            .then_some(())
            .ok_or_else(|| format!("the removed replica answers {refused:?}"))
    });
    let missed = cluster.put(B, "x", "missed", &Value::Null).metadata();
    let again = cluster.change_view(B, "DELETE", C);
    assert_eq!(again.status, 404, "{again:?}");
    assert_eq!(again.error(), Some("View has no such replica"));

    // Four probe periods: a live replica that were not held out would be back long before.
    pause(Duration::from_secs(1));
    for replica in [A, B] {
        assert_eq!(cluster.view_is(replica, &[A, B]), Ok(()));
    }

    let added = cluster.change_view(B, "PUT", C);
    assert_eq!(
        (added.status, added.body),
        (201, json!({ "result": "added" }))
    );
    let put = now();
    cluster.await_full_views(put, START_BOUND);
    cluster.await_value(C, ("x", "missed"), &missed, (put, START_BOUND));
    let again = cluster.change_view(A, "PUT", C);
    assert_eq!(
        (again.status, again.body),
        (200, json!({ "result": "already present" }))
    );
}
