//! §2: bodies that are not what they should be.

use crate::support::{Launch, Request, V};

const NO_OBJECT: &str = "Request body is not a JSON object";
const NO_VALUE: &str = "PUT request does not specify a value";

/// Bodies that are no JSON objects.
const NO_OBJECTS: &[&[u8]] = &[
    b"null",
    b"[]",
    b"[{\"value\":1}]",
    b"[1,null]",
    b"\"value\"",
    b"1",
    b"true",
    b"{",
    b"{\"value\":1",
    b"{\"value\":}",
    b"{\"value\":1}}",
    b"{\"value\":1} x",
    b"{'value':1}",
    b"{\"value\":01}",
    b"{\"value\":NaN}",
    b"{\"value\":\"\n\"}",
    b"value=1",
    b"{\"value\":\"\xff\"}",
    b"\xff\xfe",
];

#[test]
fn a_put_with_a_body_that_is_no_object_does_not_specify_a_value() {
    let replica = Launch::new().start();
    for body in NO_OBJECTS {
        let answer = replica.ask(&Request::new("PUT", "/kvs/k").body(*body));
        let answer = answer.expect_error(400, NO_VALUE);
        assert!(answer.member("detail").is_some(), "{answer:?}");
    }
    replica.get("k", &V::none()).expect(404);
}

#[test]
fn a_put_without_body_does_not_specify_a_value() {
    let replica = Launch::new().start();
    let none = Request::new("PUT", "/kvs/k");
    replica.ask(&none).expect_error(400, NO_VALUE);
    let empty = Request::new("PUT", "/kvs/k").body("");
    replica.ask(&empty).expect_error(400, NO_VALUE);
}

#[test]
fn a_put_without_a_value_member_says_so() {
    let replica = Launch::new().start();
    for body in [
        "{}",
        r#"{"causal-metadata":null}"#,
        r#"{"Value":1}"#,
        r#"{"values":1,"val":2}"#,
    ] {
        let answer = replica.ask(&Request::new("PUT", "/kvs/k").body(body));
        answer.expect_error(400, NO_VALUE);
    }
}

#[test]
fn the_detail_tells_a_missing_value_from_a_body_that_is_no_object() {
    let replica = Launch::new().start();
    let detail = |body: &str| {
        let answer = replica.ask(&Request::new("PUT", "/kvs/k").body(body));
        answer.expect_error(400, NO_VALUE).member("detail").unwrap()
    };
    assert_ne!(detail("[]"), detail("{}"));
    assert_ne!(detail("not json"), detail("{}"));
}

#[test]
fn a_get_or_delete_with_a_body_that_is_no_object_is_refused() {
    let replica = Launch::new().start();
    replica.put("k", "1", &V::none()).expect(201);
    for body in NO_OBJECTS {
        for method in ["GET", "DELETE"] {
            let answer = replica.ask(&Request::new(method, "/kvs/k").body(*body));
            answer.expect_error(400, NO_OBJECT);
        }
    }
    replica.get("k", &V::none()).expect(200);
}

#[test]
fn white_space_around_a_body_does_not_matter() {
    let replica = Launch::new().start();
    let put = Request::new("PUT", "/kvs/k").body(" \r\n\t{ \"value\" :\t1 } \n");
    replica.ask(&put).expect_result(201, "created");
    let get = Request::new("GET", "/kvs/k").body("\n{ }\n");
    replica.ask(&get).expect_result(200, "found");
}

#[test]
fn member_names_are_compared_after_unescaping() {
    let replica = Launch::new().start();
    let v = replica.put("k", "0", &V::none()).expect(201).v();
    let unmet = v.of_the_next_write();
    let put = Request::new("PUT", "/kvs/k").body(r#"{"v\u0061lue":1}"#);
    replica.ask(&put).expect_result(200, "replaced");
    // The next write is made now: one more is not.
    let unmet = unmet.of_the_next_write();
    let body = format!(r#"{{"causal\u002dmetadata":{}}}"#, unmet.text());
    replica
        .ask(&Request::new("GET", "/kvs/k").body(body))
        .expect(503);
}

#[test]
fn a_body_with_a_member_twice_is_answered_in_json_and_harms_nothing() {
    let replica = Launch::new().start();
    for body in [
        r#"{"value":1,"value":2}"#,
        r#"{"value":1,"causal-metadata":null,"causal-metadata":7}"#,
    ] {
        let answer = replica.ask(&Request::new("PUT", "/kvs/k").body(body));
        assert!([200, 201, 400].contains(&answer.status), "{answer:?}");
        answer.json();
    }
    replica.put("k", "3", &V::none());
    assert_eq!(replica.get("k", &V::none()).member("value").unwrap(), "3");
}
