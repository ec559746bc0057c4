//! §3: a live replica that a client takes out of the view stays out, until it is named or restarted.

use std::time::Duration;

use crate::support::waiting::{PATIENCE, now};
use crate::support::{Cluster, Replica, Request, V, always, eventually, until};

const REMOVED: &str = "Replica was removed from the view";

/// Long enough for every heartbeat, probe and suspicion to have had its turn.
const WELL_OVER_DETECTION: Duration = Duration::from_secs(4);

/// A cluster of three whose last replica was deleted from the view at the first.
fn with_the_last_removed() -> Cluster {
    let cluster = Cluster::of(3);
    let name = cluster[2].name();
    cluster[0]
        .ask_view("DELETE", &name)
        .expect_result(200, "deleted");
    assert_eq!(cluster[0].view(), cluster.names_of(&[0, 1]));
    cluster.await_views(PATIENCE, &[0, 1], &[0, 1]);
    await_removed(&cluster[2]);
    cluster
}

#[track_caller]
fn await_removed(replica: &Replica) {
    eventually(PATIENCE, "it knows that it is removed", || {
        replica.get("k", &V::none()).having(503)
    })
    .expect_error(503, REMOVED);
}

#[test]
fn a_delete_spreads_to_all_views_and_the_removed_replica_refuses_clients() {
    let cluster = with_the_last_removed();
    let removed = &cluster[2];
    removed.put("k", "1", &V::none()).expect_error(503, REMOVED);
    removed.get("k", &V::none()).expect_error(503, REMOVED);
    removed.delete("k", &V::none()).expect_error(503, REMOVED);
    removed.fetch("/ready").expect(503);
    removed.fetch("/health").expect(200);
    assert!(!removed.view().contains(&removed.name()));
    cluster[1]
        .put("k", "1", &V::none())
        .expect_result(201, "created");
}

#[test]
fn a_removed_replica_that_lives_stays_out() {
    let cluster = with_the_last_removed();
    let others = cluster.names_of(&[0, 1]);
    always(now(), WELL_OVER_DETECTION, || {
        assert_eq!(cluster[0].view(), others);
        assert_eq!(cluster[1].view(), others);
        cluster[2].get("k", &V::none()).expect_error(503, REMOVED);
    });
}

#[test]
fn a_removed_replica_comes_back_when_a_put_names_it() {
    let cluster = with_the_last_removed();
    let v = cluster[0].put("meanwhile", "1", &V::none()).expect(201).v();
    let name = cluster[2].name();
    cluster[1]
        .ask_view("PUT", &name)
        .expect_result(201, "added");
    cluster.await_whole();
    eventually(PATIENCE, "it has caught up", || {
        cluster[2].get("meanwhile", &v).having(200)
    });
    let v = cluster[2]
        .put("back", "1", &v)
        .expect_result(201, "created")
        .v();
    cluster[0]
        .get_waiting("back", &v)
        .expect_result(200, "found");
    cluster.await_agreement(PATIENCE);
}

#[test]
fn a_removed_replica_comes_back_when_it_restarts() {
    let mut cluster = with_the_last_removed();
    let v = cluster[0].put("meanwhile", "1", &V::none()).expect(201).v();
    cluster[2].kill();
    cluster[2].restart();
    cluster.await_whole();
    cluster[2].get("meanwhile", &v).expect_result(200, "found");
}

#[test]
fn a_removed_replica_may_be_removed_and_named_again_and_again() {
    let cluster = Cluster::of(2);
    let name = cluster[1].name();
    for _ in 0..3 {
        cluster[0]
            .ask_view("DELETE", &name)
            .expect_result(200, "deleted");
        cluster[0]
            .ask_view("DELETE", &name)
            .expect_error(404, "View has no such replica");
        await_removed(&cluster[1]);
        cluster[0]
            .ask_view("PUT", &name)
            .expect_result(201, "added");
        cluster[0]
            .ask_view("PUT", &name)
            .expect_result(200, "already present");
        cluster.await_whole();
    }
}

#[test]
fn a_replica_can_be_told_itself_that_it_is_removed() {
    let cluster = Cluster::of(2);
    let name = cluster[1].name();
    cluster[1]
        .ask_view("DELETE", &name)
        .expect_result(200, "deleted");
    await_removed(&cluster[1]);
    cluster.await_views(PATIENCE, &[0], &[0]);
}

#[test]
fn writes_taken_before_the_removal_are_not_lost() {
    let cluster = Cluster::of(3);
    let v = cluster[2].put("before", "1", &V::none()).expect(201).v();
    cluster[0].get_waiting("before", &v).expect(200);
    let name = cluster[2].name();
    cluster[0]
        .ask_view("DELETE", &name)
        .expect_result(200, "deleted");
    cluster[0].get("before", &v).expect_result(200, "found");
    cluster[1]
        .get_waiting("before", &v)
        .expect_result(200, "found");
}

#[test]
fn a_parked_request_of_a_removed_replica_is_answered() {
    let cluster = Cluster::of(2);
    let body = format!(
        r#"{{"causal-metadata":{}}}"#,
        V::needing(&[("127.0.0.9:9@1", 1)]).text()
    );
    let request = Request::new("GET", "/kvs/k")
        .header("Prefer", "wait=20")
        .body(body);
    let mut parked = cluster[1].connect();
    parked.send(&request.bytes()).unwrap();
    let name = cluster[1].name();
    cluster[0]
        .ask_view("DELETE", &name)
        .expect_result(200, "deleted");
    parked.answer().unwrap().expect(503);
    until(PATIENCE, "it knows that it is removed", || {
        cluster[1].fetch("/ready").status == 503
    });
}

#[test]
fn a_removal_outlives_restarts_of_those_who_know_it() {
    let mut cluster = with_the_last_removed();
    for restarted in [0, 1] {
        cluster[restarted].kill();
        cluster[restarted].restart();
        cluster[restarted].await_ready();
        cluster.await_views(PATIENCE, &[0, 1], &[0, 1]);
    }
    let others = cluster.names_of(&[0, 1]);
    always(now(), WELL_OVER_DETECTION, || {
        assert_eq!(cluster[0].view(), others);
        assert_eq!(cluster[1].view(), others);
        cluster[2].get("k", &V::none()).expect_error(503, REMOVED);
    });
}
