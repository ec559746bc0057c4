//! §3 and §5: a replica that is asked to stop says goodbye.

use std::time::Duration;

use crate::support::replica::{get, put};
use crate::support::{Cluster, Launch, Request, V, eventually};

/// A stop takes less than this: the outboxes have a second at most.
const STOPPED: Duration = Duration::from_secs(2);

/// Sooner than any silence could be noticed: probes and the suspicion after them take longer.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn a_stopped_replica_exits_with_0_and_is_gone_from_the_views_at_once() {
    let mut cluster = Cluster::of(3);
    cluster[2].terminate();
    let status = cluster[2].await_exit(STOPPED);
    assert_eq!(status.code(), Some(0), "{status}");
    cluster.await_views(AT_ONCE, &[0, 1], &[0, 1]);
}

#[test]
fn a_stopped_replica_that_is_alone_exits_with_0() {
    let mut replica = Launch::new().start();
    replica.put("k", "1", &V::none()).expect(201);
    replica.terminate();
    assert_eq!(replica.await_exit(STOPPED).code(), Some(0));
}

#[test]
fn the_last_writes_before_a_stop_reach_the_others() {
    let mut cluster = Cluster::of(2);
    let mut v = V::none();
    for i in 0..100 {
        v = cluster[1].put(&format!("k{i}"), "1", &v).expect(201).v();
    }
    cluster[1].terminate();
    assert_eq!(cluster[1].await_exit(STOPPED).code(), Some(0));
    cluster[0]
        .get_waiting("k99", &v)
        .expect_result(200, "found");
}

#[test]
fn a_parked_request_is_answered_before_the_stop() {
    let mut replica = Launch::new().start();
    let unmet = V::needing(&[("127.0.0.9:9@1", 1)]);
    let mut parked = replica.connect();
    parked
        .send(&get("k", &unmet).header("Prefer", "wait=20").bytes())
        .unwrap();
    replica.await_gauge("parked", 1);
    replica.terminate();
    let answer = parked.answer().unwrap().expect(503);
    assert!(answer.json()["error"].is_string(), "{answer:?}");
    assert_eq!(replica.await_exit(STOPPED).code(), Some(0));
}

#[test]
fn a_stopping_replica_is_not_ready_and_takes_no_more_requests() {
    let mut cluster = Cluster::of(2);
    // The write cannot be handed over, so the stop takes its time and can be watched.
    cluster[0].freeze();
    cluster[1].put("k", "1", &V::none()).expect(201);
    cluster[1].terminate();
    let is_ready = Request::new("GET", "/ready");
    eventually(STOPPED, "it is not ready", || {
        let answer = cluster[1].try_ask(&is_ready).map_err(|e| e.to_string())?;
        answer.having(503).map_err(|other| format!("{other:?}"))
    });
    for request in [put("k", "2", &V::none()), get("k", &V::none())] {
        let answer = cluster[1].ask(&request);
        answer.expect_error(503, "Replica is shutting down");
    }
    assert_eq!(cluster[1].await_exit(STOPPED).code(), Some(0));
    cluster[0].thaw();
}

#[test]
fn an_open_idle_connection_does_not_hold_up_a_stop() {
    let mut replica = Launch::new().start();
    let mut idle = replica.connect();
    idle.ask(&Request::new("GET", "/view")).unwrap().expect(200);
    let mut half = replica.connect();
    half.send(b"GET /kvs/k HTTP/1.1\r\n").unwrap();
    replica.terminate();
    assert_eq!(replica.await_exit(STOPPED).code(), Some(0));
}

#[test]
fn a_stopped_replica_comes_back_when_it_is_started_again() {
    let mut cluster = Cluster::of(2);
    cluster[1].terminate();
    cluster[1].await_exit(STOPPED);
    let v = cluster[0].put("k", "1", &V::none()).expect(201).v();
    cluster[1].restart();
    cluster.await_whole();
    cluster[1].get("k", &v).expect_result(200, "found");
}
