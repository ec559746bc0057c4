//! §2 on the wire: connections that carry many requests, chunks, half requests and no requests.

use crate::support::replica::{delete, get, put};
use crate::support::{Launch, Request, V};

#[test]
fn a_connection_lives_on_after_a_get_with_a_body() {
    let replica = Launch::new().start();
    let mut connection = replica.connect();
    for value in ["1", "2", "3", "4", "5"] {
        let v = connection.ask(&put("k", value, &V::none())).unwrap().v();
        let found = connection.ask(&get("k", &v)).unwrap().expect(200);
        assert_eq!(found.member("value").unwrap(), value);
        connection
            .ask(&Request::new("GET", "/view"))
            .unwrap()
            .expect(200);
    }
    connection
        .ask(&delete("k", &V::none()))
        .unwrap()
        .expect(200);
    connection.ask(&get("k", &V::none())).unwrap().expect(404);
}

#[test]
fn a_connection_lives_on_after_errors() {
    let replica = Launch::new().start();
    let mut connection = replica.connect();
    let bad = Request::new("GET", "/kvs/k").body("not json");
    let unmet = get("k", &V::needing(&[("127.0.0.9:9@1", 1)]));
    for _ in 0..3 {
        connection.ask(&bad).unwrap().expect(400);
        connection.ask(&unmet).unwrap().expect(503);
        let nowhere = Request::new("PUT", "/kvs/a/b").body(r#"{"value":1}"#);
        connection.ask(&nowhere).unwrap().expect(404);
        let brew = Request::new("POST", "/kvs/k").body(r#"{"value":1}"#);
        connection.ask(&brew).unwrap().expect(405);
        connection.ask(&get("k", &V::none())).unwrap().expect(404);
    }
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let replica = Launch::new().start();
    let requests = [
        put("k", "1", &V::none()),
        get("k", &V::none()),
        put("k", "2", &V::none()),
        get("k", &V::none()),
        delete("k", &V::none()),
        get("k", &V::none()),
    ];
    let bytes: Vec<u8> = requests.iter().flat_map(Request::bytes).collect();
    let mut connection = replica.connect();
    connection.send(&bytes).unwrap();
    for status in [201, 200, 200, 200, 200, 404] {
        connection.answer().unwrap().expect(status);
    }
}

#[test]
fn bodies_may_come_in_chunks() {
    let replica = Launch::new().start();
    let put = Request::new("PUT", "/kvs/k").chunks(&[b"{\"val", b"ue\":\"\xc3", b"\xa9\"", b"}"]);
    let mut connection = replica.connect();
    let v = connection
        .ask(&put)
        .unwrap()
        .expect_result(201, "created")
        .v();
    let body = format!("{{\"causal-metadata\":{}}}", v.text());
    let (head, tail) = body.as_bytes().split_at(9);
    let get = Request::new("GET", "/kvs/k").chunks(&[head, tail]);
    let found = connection.ask(&get).unwrap().expect_result(200, "found");
    assert_eq!(found.member("value").unwrap(), "\"é\"");
}

#[test]
fn a_body_may_come_in_two_parts() {
    let replica = Launch::new().start();
    let bytes = put("k", "\"in two parts\"", &V::none()).bytes();
    let (first, second) = bytes.split_at(bytes.len() - 20);
    let mut connection = replica.connect();
    connection.send(first).unwrap();
    // Somebody else is served in between.
    replica.put("other", "1", &V::none()).expect(201);
    replica.get("k", &V::none()).expect(404);
    connection.send(second).unwrap();
    connection.answer().unwrap().expect_result(201, "created");
}

#[test]
fn a_client_that_expects_100_continue_is_served() {
    let replica = Launch::new().start();
    let request = put("k", "1", &V::none()).header("Expect", "100-continue");
    replica.ask(&request).expect_result(201, "created");
}

#[test]
fn an_old_client_that_closes_after_every_request_is_served() {
    let replica = Launch::new().start();
    replica.put("k", "1", &V::none()).expect(201);
    let mut connection = replica.connect();
    connection.send(b"GET /kvs/k HTTP/1.0\r\n\r\n").unwrap();
    connection.answer().unwrap().expect_result(200, "found");
    assert!(connection.ends());
}

#[test]
fn what_is_no_http_ends_its_connection_and_harms_nobody() {
    let replica = Launch::new().start();
    let garbage: &[&[u8]] = &[
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /kvs/k SPDY/9\r\n\r\n",
        b"GET /kvs/k HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /kvs/k HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"PUT /kvs/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ];
    for bytes in garbage {
        let mut connection = replica.connect();
        connection.send(bytes).unwrap();
        match connection.answer() {
            Ok(answer) => assert!((400..500).contains(&answer.status), "{answer:?}"),
            Err(_) => assert!(connection.ends()),
        }
    }
    replica
        .put("k", "1", &V::none())
        .expect_result(201, "created");
}

#[test]
fn a_head_without_end_is_refused() {
    let replica = Launch::new().start();
    let mut connection = replica.connect();
    // The server may close before all of it is sent: then it has refused it.
    let _ = connection.send(b"GET /kvs/k HTTP/1.1\r\n");
    let line = format!("X-Filler: {}\r\n", "x".repeat(1_000)).into_bytes();
    while connection.send(&line).is_ok() && !connection.has_input() {}
    if let Ok(answer) = connection.answer() {
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    replica.fetch("/health").expect(200);
}

#[test]
fn every_error_once_the_head_has_parsed_is_json() {
    let replica = Launch::new()
        .settings(&[("body-max-bytes", "1000")])
        .start();
    let large = "x".repeat(2_000);
    let requests = [
        Request::new("GET", "/nowhere"),
        Request::new("TRACE", "/kvs/k"),
        Request::new("POST", "/view"),
        Request::new("PUT", "/view").body("["),
        Request::new("PUT", "/kvs/k").body("["),
        Request::new("PUT", "/kvs/k").body(large.clone()),
        Request::new("PUT", "/kvs/k").chunks(&[large.as_bytes()]),
        Request::new("PUT", "/kvs/k")
            .header("Content-Encoding", "gzip")
            .body("no gzip"),
        Request::new("GET", "/kvs/%FF"),
        Request::new("GET", "/kvs/%zz%"),
        Request::new("GET", "/internal/v1/nothing"),
        Request::new("GET", "/internal/v1/push"),
        Request::new("POST", "/internal/v1/push").body("nonsense"),
        Request::new("GET", "/shard/nothing"),
    ];
    for request in requests {
        let answer = replica.ask(&request);
        assert!(
            (400..600).contains(&answer.status),
            "{request:?}: {answer:?}"
        );
        assert!(
            answer.json()["error"].is_string(),
            "{request:?}: {answer:?}"
        );
    }
}
