//! §3: `"forget": true`, for replicas that are down, too, and forgetting by age and for room.

use std::time::Duration;

use serde_json::json;

use crate::support::http::Answer;
use crate::support::waiting::{PATIENCE, always, now};
use crate::support::{Cluster, Launch, Replica, Request, V, eventually, until};

/// Nobody answers here: a loopback address that no test uses, and the discard port.
const NOBODY: &str = "127.0.0.9:9";

/// More deletes than this are not kept for who is down.
const FEW: (&str, &str) = ("tombstones-max", "4");

/// Longer than a replica waits until it forgets somebody for room, had it a say.
const WELL_OVER_A_TURN: Duration = Duration::from_secs(8);

const REMOVED: &str = "Replica was removed from the view";

#[track_caller]
fn forget(asked: &Replica, address: &str) -> Answer {
    let body = json!({"socket-address": address, "forget": true}).to_string();
    asked.ask(&Request::new("DELETE", "/view").body(body))
}

/// A cluster of three whose last replica is down, and missed.
fn with_the_last_down(settings: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::with_settings(3, settings);
    cluster[2].kill();
    cluster.await_views(PATIENCE, &[0, 1], &[0, 1]);
    cluster
}

#[test]
fn a_replica_that_is_down_is_forgotten_and_once_more_changes_nothing() {
    let cluster = with_the_last_down(&[]);
    let name = cluster[2].name();
    for asked in [0, 0, 1] {
        forget(&cluster[asked], &name).expect_result(200, "forgotten");
    }
    let v = cluster[0].put("k", "1", &V::none()).expect(201).v();
    cluster[1].get_waiting("k", &v).expect_result(200, "found");
}

#[test]
fn a_forgotten_replica_that_starts_again_is_in_all_views_and_caught_up() {
    let mut cluster = with_the_last_down(&[]);
    forget(&cluster[0], &cluster[2].name()).expect_result(200, "forgotten");
    let v = cluster[1].put("meanwhile", "1", &V::none()).expect(201).v();
    cluster[2].restart();
    cluster.await_whole();
    cluster[2].await_ready();
    cluster[2]
        .get_waiting("meanwhile", &v)
        .expect_result(200, "found");
    let v = cluster[2].put("back", "1", &v).expect(201).v();
    cluster[0].get_waiting("back", &v).expect(200);
}

#[test]
fn a_live_replica_that_is_forgotten_is_out_of_all_views_and_refuses_clients() {
    let cluster = Cluster::of(3);
    let name = cluster[2].name();
    forget(&cluster[0], &name).expect_result(200, "forgotten");
    assert_eq!(cluster[0].view(), cluster.names_of(&[0, 1]));
    cluster.await_views(PATIENCE, &[0, 1], &[0, 1]);
    eventually(PATIENCE, "it knows that it is out", || {
        cluster[2].get("k", &V::none()).having(503)
    })
    .expect_error(503, REMOVED);
}

#[test]
fn a_replica_can_be_told_itself_that_it_is_forgotten() {
    let cluster = Cluster::of(2);
    forget(&cluster[1], &cluster[1].name()).expect_result(200, "forgotten");
    until(PATIENCE, "it is out", || {
        cluster[1].fetch("/ready").status == 503
    });
    cluster.await_views(PATIENCE, &[0], &[0]);
}

#[test]
fn an_address_that_is_not_known_cannot_be_forgotten() {
    let replica = Launch::new().start();
    forget(&replica, NOBODY).expect_error(404, "View has no such replica");
}

#[test]
fn an_added_address_that_never_answered_can_be_forgotten() {
    let replica = Launch::new().start();
    replica.ask_view("PUT", NOBODY).expect_result(201, "added");
    forget(&replica, NOBODY).expect_result(200, "forgotten");
    assert_eq!(replica.view(), [replica.name()]);
    replica.ask_view("PUT", NOBODY).expect_result(201, "added");
    assert!(replica.view().contains(&NOBODY.to_owned()));
}

#[test]
fn forget_is_true_or_false_and_nothing_else() {
    let replica = Launch::new().start();
    replica.ask_view("PUT", NOBODY).expect(201);
    let ask = |forget: &str| {
        let body = format!(r#"{{"socket-address":"{NOBODY}","forget":{forget}}}"#);
        replica.ask(&Request::new("DELETE", "/view").body(body))
    };
    for forget in ["null", "\"true\"", "1", "0", "\"\"", "[true]", "{}"] {
        ask(forget).expect_error(400, "forget is malformed");
    }
    let body = r#"{"socket-address":"nowhere","forget":1}"#;
    let request = Request::new("DELETE", "/view").body(body);
    let answer = replica.ask(&request);
    answer.expect_error(400, "socket-address is missing or malformed");
    assert!(replica.view().contains(&NOBODY.to_owned()));
    ask("false").expect_result(200, "deleted");
    ask("false").expect_error(404, "View has no such replica");
    ask("true").expect_result(200, "forgotten");
}

#[test]
fn a_replica_that_is_down_for_the_time_set_is_forgotten_by_itself_and_may_return() {
    let mut cluster = with_the_last_down(&[("forget-after-ms", "500")]);
    let forgotten = |cluster: &Cluster| {
        let by_age = |replica: &Replica| replica.metrics().sum(&["members_forgotten", "age"]);
        by_age(&cluster[0]) + by_age(&cluster[1])
    };
    until(PATIENCE, "one of the two has forgotten it", || {
        forgotten(&cluster) > 0.5
    });
    cluster[2].restart();
    cluster.await_whole();
    cluster[2].await_ready();
    let v = cluster[2].put("back", "1", &V::none()).expect(201).v();
    cluster[0].get_waiting("back", &v).expect(200);
}

/// Writes six keys and deletes them, which is never refused.
fn delete_six(replica: &Replica) -> V {
    let mut v = V::none();
    for key in ["a", "b", "c", "d", "e", "f"] {
        v = replica.put(key, "1", &v).expect(201).v();
        v = replica.delete(key, &v).expect_result(200, "deleted").v();
    }
    v
}

#[track_caller]
fn gauge(replica: &Replica, name: &str) -> f64 {
    let metrics = replica.metrics();
    let shown = metrics.gauges(name);
    let gauge = shown.iter().find(|(shown, _)| *shown == name);
    gauge.expect("a gauge of this name").1
}

#[test]
fn who_is_down_while_more_is_deleted_than_is_kept_is_forgotten_and_the_deletes_go() {
    let mut cluster = with_the_last_down(&[FEW]);
    let v = delete_six(&cluster[0]);
    until(PATIENCE, "no delete is kept for it", || {
        let left = [0, 1].map(|i| gauge(&cluster[i], "causet_tombstones"));
        left.iter().all(|left| *left < 0.5)
    });
    let for_room = |i: usize| cluster[i].metrics().sum(&["members_forgotten", "room"]);
    let decided = for_room(0) + for_room(1);
    assert!((0.5..1.5).contains(&decided), "{decided} have decided so");
    cluster[2].restart();
    cluster.await_whole();
    for replica in cluster.iter() {
        replica.get_waiting("f", &v).expect(404);
        replica.await_gauge("tombstones_crowded", 0);
    }
}

#[test]
fn who_sees_less_than_half_of_the_members_forgets_nobody_for_room_and_refuses_no_delete() {
    let mut cluster = Cluster::with_settings(3, &[FEW]);
    for i in [0, 1] {
        cluster[i].kill();
    }
    cluster.await_views(PATIENCE, &[2], &[2]);
    let v = delete_six(&cluster[2]);
    cluster[2].await_gauge("tombstones_crowded", 1);
    always(now(), WELL_OVER_A_TURN, || {
        let forgotten = cluster[2].metrics().sum(&["members_forgotten"]);
        assert!(forgotten < 0.5, "{forgotten} are forgotten");
    });
    assert!(
        gauge(&cluster[2], "causet_tombstones") > 5.5,
        "all are kept"
    );
    let v = cluster[2].put("still", "1", &v).expect(201).v();
    for i in [0, 1] {
        cluster[i].restart();
    }
    cluster.await_whole();
    for replica in cluster.iter() {
        replica.get_waiting("still", &v).expect(200);
        until(PATIENCE, "all have them, so they go", || {
            gauge(replica, "causet_tombstones") < 0.5
        });
        replica.await_gauge("tombstones_crowded", 0);
    }
}
