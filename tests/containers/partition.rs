//! Cut off and reconnected: `docker network disconnect` and `connect`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{A, B, C, CUT_BOUND, Cluster};
use crate::time::{now, pause, pause_until};

const SECOND: Duration = Duration::from_secs(1);

/// The contract's "at once" for the return to the views. A probe that was sent into the cut has to
/// time out, the next one of each pair has to be answered, and the news to spread: a few probe
/// periods of 250 ms. Data, which waits for 2.5 s, can have no part in it.
const BACK_IN_VIEWS: Duration = Duration::from_millis(1_500);

#[test]
fn a_reconnected_replica_refuses_new_metadata_until_the_link_is_trusted() {
    let Some(cluster) = Cluster::ready("sequence") else {
        return;
    };
    let first = cluster.put(A, "x", "old", &Value::Null);
    assert_eq!(first.status, 201);
    let old = first.metadata();
    cluster.await_value(B, ("x", "old"), &old, (now(), SECOND));

    // The published interface's own sequence with its own waits.
    cluster.disconnect(B);
    pause(SECOND);
    let second = cluster.put(A, "x", "new", &old);
    assert_eq!(second.status, 200);
    let new = second.metadata();
    cluster.reconnect(B);
    let reconnected = now();
    pause(SECOND);
    let read = cluster.get(B, "x", &new);
    assert!(read.is_unsatisfied(), "GET with new metadata: {read:?}");
    let written = cluster.put(B, "x", "newer", &new);
    assert!(
        written.is_unsatisfied(),
        "PUT with new metadata: {written:?}"
    );
    let read = cluster.get(B, "x", &old);
    assert_eq!((read.status, read.value()), (200, Some(&json!("old"))));

    cluster.await_value(B, ("x", "new"), &new, (reconnected, CUT_BOUND));
    cluster.await_converged(reconnected, CUT_BOUND);
}

#[test]
fn a_cut_off_replica_leaves_the_views_and_returns_at_once_but_its_data_after_the_settle_time() {
    let Some(cluster) = Cluster::ready("cut") else {
        return;
    };
    cluster.disconnect(B);
    let cut = now();
    let left = cluster.await_views(&[A, C], cut, CUT_BOUND);
    let alone = cluster.await_views(&[B], cut, CUT_BOUND);
    let missed = cluster.put(A, "x", "missed", &Value::Null).metadata();
    let own = cluster.put(B, "y", "own", &Value::Null).metadata();

    let reconnecting = now();
    cluster.reconnect(B);
    let reconnected = now();
    let back = cluster.await_full_views(reconnected, BACK_IN_VIEWS);
    for offset in [SECOND, 2 * SECOND] {
        pause_until(reconnecting, offset);
        for (replica, key, metadata) in [(B, "x", &missed), (A, "y", &own), (C, "y", &own)] {
            let read = cluster.get(replica, key, metadata);
            assert!(
                read.is_unsatisfied(),
                "GET {key} at {replica} after {offset:?}: {read:?}"
            );
        }
    }
    cluster.await_value(B, ("x", "missed"), &missed, (reconnected, CUT_BOUND));
    cluster.await_value(A, ("y", "own"), &own, (reconnected, CUT_BOUND));
    cluster.await_value(C, ("y", "own"), &own, (reconnected, CUT_BOUND));
    let converged = cluster.await_converged(reconnected, CUT_BOUND);
    println!("cut: gone after {left:?}, own view empty after {alone:?}");
    println!("reconnect: in the views after {back:?}, converged after {converged:?}");
}

#[test]
fn the_last_replica_takes_writes_one_second_after_the_others_are_cut_off() {
    let Some(cluster) = Cluster::ready("last") else {
        return;
    };
    let before = cluster.put(B, "x", "before", &Value::Null).metadata();
    cluster.await_value(A, ("x", "before"), &before, (now(), SECOND));
    cluster.disconnect(B);
    cluster.disconnect(C);
    pause(SECOND);
    let replaced = cluster.put(A, "x", "after", &before);
    assert_eq!(replaced.status, 200, "{replaced:?}");
    let created = cluster.put(A, "y", "new", &replaced.metadata());
    assert_eq!(created.status, 201, "{created:?}");
    let deleted = cluster.delete(A, "x", &created.metadata());
    assert_eq!(deleted.status, 200, "{deleted:?}");
    assert_eq!(cluster.get(A, "x", &deleted.metadata()).status, 404);
    assert_eq!(
        cluster.get(A, "y", &deleted.metadata()).value(),
        Some(&json!("new"))
    );
}

#[test]
fn writes_on_both_sides_of_a_cut_converge_and_nothing_deleted_returns() {
    let Some(cluster) = Cluster::ready("both-sides") else {
        return;
    };
    let mut known = Value::Null;
    for key in ["put-put", "put-delete", "deleted"] {
        known = cluster.put(A, key, "before", &known).metadata();
    }
    for replica in [B, C] {
        cluster.await_value(replica, ("deleted", "before"), &known, (now(), SECOND));
    }
    cluster.disconnect(B);
    let at_a = [
        cluster.put(A, "put-put", "from A", &known),
        cluster.delete(A, "put-delete", &known),
        cluster.delete(A, "deleted", &known),
        cluster.put(A, "only-a", "from A", &known),
    ];
    let at_b = [
        cluster.put(B, "put-put", "from B", &known),
        cluster.put(B, "put-delete", "from B", &known),
        cluster.put(B, "only-b", "from B", &known),
    ];
    for answer in at_a.iter().chain(&at_b) {
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }
    cluster.await_views(&[A, C], now(), CUT_BOUND);

    cluster.reconnect(B);
    let reconnected = now();
    cluster.await_value(
        B,
        ("only-a", "from A"),
        &at_a[3].metadata(),
        (reconnected, CUT_BOUND),
    );
    for replica in [A, C] {
        let (key, metadata) = (("only-b", "from B"), at_b[2].metadata());
        cluster.await_value(replica, key, &metadata, (reconnected, CUT_BOUND));
    }
    cluster.await_converged(reconnected, CUT_BOUND);
    for key in ["put-put", "put-delete", "deleted"] {
        let [a, b, c] = [A, B, C].map(|replica| {
            let answer = cluster.get(replica, key, &Value::Null);
            (answer.status, answer.value().cloned())
        });
        assert!(a == b && b == c, "{key}: {a:?}, {b:?}, {c:?}");
        match key {
            "deleted" => assert_eq!(a.0, 404),
            "put-put" => assert_eq!(a.0, 200),
            _ => assert!(matches!(a.0, 200 | 404)),
        }
    }
}
