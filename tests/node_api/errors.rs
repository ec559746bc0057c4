//! §2: errors by route, method and state, and which of several errors is answered.

use crate::support::replica::{delete, get};
use crate::support::{Answer, Launch, Replica, Request, V};

const NO_VALUE: &str = "PUT request does not specify a value";
const NO_OBJECT: &str = "Request body is not a JSON object";
const MALFORMED: &str = "causal-metadata is malformed";
const UNMET: &str = "Causal dependencies not satisfied; try again later";
const LONG: &str = "Key is too long";
const ABSENT: &str = "Key does not exist";

fn long_key() -> String {
    "k".repeat(51)
}

fn unmet() -> V {
    V::needing(&[("127.0.0.9:9@1", 1)])
}

fn put_without_value(replica: &Replica, key: &str, v: &V) -> Answer {
    let body = format!(r#"{{"causal-metadata":{}}}"#, v.text());
    replica.ask(&Request::new("PUT", &format!("/kvs/{key}")).body(body))
}

#[test]
fn an_absent_key_does_not_exist() {
    let replica = Launch::new().start();
    replica.get("absent", &V::none()).expect_error(404, ABSENT);
    replica
        .delete("absent", &V::none())
        .expect_error(404, ABSENT);
}

#[test]
fn a_404_brings_metadata_that_covers_the_delete_it_reports() {
    let replica = Launch::new().start();
    replica.put("k", "1", &V::none()).expect(201);
    let deleted = replica.delete("k", &V::none()).expect(200).v();
    for request in [get("k", &V::none()), delete("k", &V::none())] {
        let answer = replica.ask(&request).expect_error(404, ABSENT);
        assert!(answer.v().covers(&deleted), "{answer:?} {deleted:?}");
    }
}

#[test]
fn a_404_of_a_key_that_never_was_gives_the_metadata_back() {
    let replica = Launch::new().start();
    let v = replica.put("other", "1", &V::none()).expect(201).v();
    let answer = replica.get("absent", &v).expect_error(404, ABSENT);
    assert!(
        answer.v().covers(&v) && v.covers(&answer.v()),
        "{answer:?} {v:?}"
    );
}

#[test]
fn paths_that_are_no_keys_have_no_route() {
    let replica = Launch::new().start();
    for path in [
        "/kvs/", "/kvs", "/kvs/a/b", "/kvs/a/", "/kvs//", "/", "/nothing", "/views", "/Kvs/a",
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let request = Request::new(method, path).body(r#"{"value":1}"#);
            replica.ask(&request).expect_error(404, "No such route");
        }
    }
}

#[test]
fn other_methods_are_refused_with_those_allowed() {
    let replica = Launch::new().start();
    for method in ["POST", "PATCH", "OPTIONS", "BREW"] {
        let answer = replica.ask(&Request::new(method, "/kvs/k").body(r#"{"value":1}"#));
        assert_methods(&answer.expect(405), &["DELETE", "GET", "PUT"]);
    }
    replica.get("k", &V::none()).expect(404);
}

#[track_caller]
fn assert_methods(answer: &Answer, allowed: &[&str]) {
    let header = answer.header("allow").expect("Allow");
    let methods: Vec<&str> = header.split(',').map(str::trim).collect();
    for method in allowed {
        assert!(methods.contains(method), "{method} is not in {header}");
    }
    assert!(!methods.contains(&"POST"), "{header}");
    assert!(answer.json()["error"].is_string(), "{answer:?}");
}

#[test]
fn the_other_routes_refuse_other_methods_too() {
    let replica = Launch::new().start();
    let view = replica.ask(&Request::new("POST", "/view").body("{}"));
    assert_methods(&view.expect(405), &["DELETE", "GET", "PUT"]);
    for path in ["/health", "/ready", "/metrics"] {
        let answer = replica.ask(&Request::new("PUT", path).body("{}"));
        assert_methods(&answer.expect(405), &["GET"]);
    }
}

#[test]
fn a_body_that_is_no_object_comes_before_everything_else() {
    let replica = Launch::new().start();
    let key = long_key();
    let ask = |method: &str| {
        let request = Request::new(method, &format!("/kvs/{key}"));
        replica.ask(&request.header("Causal-Metadata", "7").body("[]"))
    };
    ask("PUT").expect_error(400, NO_VALUE);
    ask("GET").expect_error(400, NO_OBJECT);
    ask("DELETE").expect_error(400, NO_OBJECT);
}

#[test]
fn malformed_metadata_comes_before_a_missing_value_a_long_key_and_an_absent_one() {
    let replica = Launch::new().start();
    let bad = V::raw("7");
    for key in ["k", &long_key()] {
        put_without_value(&replica, key, &bad).expect_error(400, MALFORMED);
        replica.put(key, "1", &bad).expect_error(400, MALFORMED);
        replica.get(key, &bad).expect_error(400, MALFORMED);
        replica.delete(key, &bad).expect_error(400, MALFORMED);
    }
}

#[test]
fn unmet_dependencies_come_before_a_missing_value_a_long_key_and_an_absent_one() {
    let replica = Launch::new().start();
    for key in ["k", &long_key()] {
        put_without_value(&replica, key, &unmet()).expect_error(503, UNMET);
        replica.put(key, "1", &unmet()).expect_error(503, UNMET);
        replica.get(key, &unmet()).expect_error(503, UNMET);
        replica.delete(key, &unmet()).expect_error(503, UNMET);
    }
}

#[test]
fn a_missing_value_comes_before_a_long_key() {
    let replica = Launch::new().start();
    put_without_value(&replica, &long_key(), &V::none()).expect_error(400, NO_VALUE);
}

#[test]
fn a_long_key_comes_before_an_absent_one() {
    let replica = Launch::new().start();
    replica.get(&long_key(), &V::none()).expect_error(400, LONG);
    replica
        .delete(&long_key(), &V::none())
        .expect_error(400, LONG);
}

#[test]
fn a_refused_write_changes_nothing() {
    let replica = Launch::new().start();
    let v = replica.put("k", "1", &V::none()).expect(201).v();
    let before = replica.state();
    replica.put("k", "2", &unmet()).expect(503);
    replica.put("k", "2", &V::raw("7")).expect(400);
    put_without_value(&replica, "k", &v).expect(400);
    replica.delete("k", &unmet()).expect(503);
    replica.delete("absent", &v).expect(404);
    assert_eq!(replica.state(), before);
}
