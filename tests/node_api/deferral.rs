//! §2: `Prefer: wait=SECONDS` parks a request until its dependencies are there.
//!
//! A dependency that will be met is the next write of a replica, which the test makes when it likes.

use std::time::{Duration, Instant};

use crate::support::replica::{delete, get, put};
use crate::support::waiting::now;
use crate::support::{Answer, Cluster, Launch, Replica, Request, V};

const UNMET: &str = "Causal dependencies not satisfied; try again later";

fn unmet() -> V {
    V::needing(&[("127.0.0.9:9@1", 1)])
}

/// Asks in the background; the connection is read with [`Connection::answer`](crate::support::Connection::answer).
fn parked(replica: &Replica, request: Request, wait: &str) -> crate::support::Connection {
    let mut connection = replica.connect();
    let request = request.header("Prefer", wait);
    connection.send(&request.bytes()).unwrap();
    connection
}

#[test]
fn a_parked_get_is_released_by_the_write_at_another_replica() {
    let cluster = Cluster::of(2);
    let v = cluster[0].put("k", "1", &V::none()).expect(201).v();
    let mut waiting = parked(&cluster[1], get("k", &v.of_the_next_write()), "wait=20");
    cluster[1].await_gauge("parked", 1);
    cluster[0].put("k", "2", &v).expect(200);
    let found = waiting.answer().unwrap().expect_result(200, "found");
    assert_eq!(found.member("value").unwrap(), "2");
    cluster[1].await_gauge("parked", 0);
}

#[test]
fn parked_puts_and_deletes_are_released_too() {
    let cluster = Cluster::of(2);
    let v = cluster[0].put("k", "1", &V::none()).expect(201).v();
    let next = v.of_the_next_write();
    let mut deleting = parked(&cluster[1], delete("k", &next), "wait=20");
    let mut putting = parked(&cluster[1], put("new", "3", &next), "wait=20");
    cluster[1].await_gauge("parked", 2);
    cluster[0].put("k", "2", &v).expect(200);
    let deleted = deleting.answer().unwrap().expect_result(200, "deleted").v();
    putting.answer().unwrap().expect_result(201, "created");
    assert!(deleted.covers(&next), "{deleted:?}");
    cluster[0]
        .get_waiting("k", &deleted)
        .expect_error(404, "Key does not exist");
}

#[test]
fn a_parked_request_is_released_by_a_write_at_its_own_replica() {
    let replica = Launch::new().start();
    let v = replica.put("k", "1", &V::none()).expect(201).v();
    let mut waiting = parked(&replica, get("k", &v.of_the_next_write()), "wait=20");
    replica.await_gauge("parked", 1);
    replica.put("k", "2", &v).expect(200);
    let found = waiting.answer().unwrap().expect_result(200, "found");
    assert_eq!(found.member("value").unwrap(), "2");
}

/// The wait was that long, but for what rounding to whole milliseconds takes off.
#[track_caller]
fn assert_waited(took: Duration, wanted_ms: u64) {
    let rounding = Duration::from_millis(2);
    assert!(
        took + rounding >= Duration::from_millis(wanted_ms),
        "after {took:?}"
    );
}

/// An answer and how long it took.
fn timed(replica: &Replica, prefer: &[&str]) -> (Answer, Duration) {
    let start: Instant = now();
    let add = |request: Request, value: &&str| request.header("Prefer", value);
    let request = prefer.iter().fold(get("k", &unmet()), add);
    let answer = replica.ask(&request);
    (answer, start.elapsed())
}

#[test]
fn a_parked_request_ends_with_503_when_its_time_is_over() {
    let replica = Launch::new().start();
    let (answer, took) = timed(&replica, &["wait=1"]);
    let answer = answer.expect_error(503, UNMET);
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert!(answer.json()["missing"].is_object(), "{answer:?}");
    assert_waited(took, 1_000);
}

#[test]
fn the_wait_is_found_among_other_preferences() {
    let replica = Launch::new().start();
    let spellings: &[&[&str]] = &[
        &["respond-async, wait=1"],
        &["wait=1, handling=lenient"],
        &["respond-async", "wait=1"],
        &["Wait=1"],
        &["wait = 1"],
    ];
    for prefer in spellings {
        let (answer, took) = timed(&replica, prefer);
        answer.expect_error(503, UNMET);
        assert_waited(took, 1_000);
    }
}

#[test]
fn the_server_caps_the_wait() {
    let replica = Launch::new().settings(&[("wait-max-ms", "700")]).start();
    let (answer, took) = timed(&replica, &["wait=25"]);
    answer.expect_error(503, UNMET);
    assert_waited(took, 700);
    assert!(took < Duration::from_secs(20), "after {took:?}");
}

#[test]
fn the_default_cap_is_twenty_seconds() {
    let replica = Launch::new().start();
    let (answer, took) = timed(&replica, &["wait=3600"]);
    answer.expect_error(503, UNMET);
    assert_waited(took, 20_000);
}

#[test]
fn a_malformed_preference_is_ignored() {
    let replica = Launch::new().start();
    for prefer in [
        "wait",
        "wait=",
        "wait=soon",
        "wait=-5",
        "wait=20s",
        "waiting=20",
        "wait:20",
        "",
        ",;=",
    ] {
        let (answer, took) = timed(&replica, &[prefer]);
        answer.expect_error(503, UNMET);
        assert!(took < Duration::from_secs(15), "{prefer}: after {took:?}");
    }
}

#[test]
fn without_a_preference_the_answer_is_immediate() {
    let replica = Launch::new().start();
    // Many in a row: any wait at all would add up.
    let start = now();
    for _ in 0..100 {
        replica.get("k", &unmet()).expect_error(503, UNMET);
    }
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_setting_makes_waiting_the_default() {
    let replica = Launch::new()
        .settings(&[("wait-default-ms", "1000")])
        .start();
    let (answer, took) = timed(&replica, &[]);
    answer.expect_error(503, UNMET);
    assert_waited(took, 1_000);
}

#[test]
fn satisfied_requests_do_not_wait() {
    let replica = Launch::new().start();
    let v = replica.put("k", "1", &V::none()).expect(201).v();
    let start = now();
    let found = replica.ask(&get("k", &v).header("Prefer", "wait=20"));
    found.expect_result(200, "found");
    assert!(start.elapsed() < Duration::from_secs(15));
}
