//! §3: `"forget": true`, for replicas that are down, too, and forgetting by age.

use serde_json::json;

use crate::support::http::Answer;
use crate::support::waiting::PATIENCE;
use crate::support::{Cluster, Launch, Replica, Request, V, eventually, until};

/// Nobody answers here: a loopback address that no test uses, and the discard port.
const NOBODY: &str = "127.0.0.9:9";

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
