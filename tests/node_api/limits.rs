//! §2: what a client may use up, and the answers beyond it.

use socket2::{Domain, Socket, Type};

use crate::support::replica::{get, put};
use crate::support::waiting::PATIENCE;
use crate::support::{Launch, Replica, Request, V, until};

const TOO_LARGE: &str = "Value is too large";

/// A PUT whose body has exactly this many bytes.
fn put_of(bytes: usize) -> String {
    let frame = r#"{"value":""}"#.len();
    format!(r#"{{"value":"{}"}}"#, "x".repeat(bytes - frame))
}

#[test]
fn a_body_of_the_limit_is_fine_and_one_byte_more_is_too_large() {
    let replica = Launch::new()
        .settings(&[("body-max-bytes", "1000")])
        .start();
    let fine = Request::new("PUT", "/kvs/k").body(put_of(1_000));
    replica.ask(&fine).expect_result(201, "created");
    let large = Request::new("PUT", "/kvs/k").body(put_of(1_001));
    replica.ask(&large).expect_error(413, TOO_LARGE);
    let found = replica.get("k", &V::none()).expect(200);
    assert_eq!(
        found.member("value").unwrap().len(),
        1_000 - r#"{"value":}"#.len()
    );
}

#[test]
fn a_body_in_chunks_beyond_the_limit_is_too_large() {
    let replica = Launch::new()
        .settings(&[("body-max-bytes", "1000")])
        .start();
    let fine = Request::new("PUT", "/kvs/k").chunks(&[put_of(1_000).as_bytes()]);
    replica.ask(&fine).expect_result(201, "created");
    let body = put_of(1_001);
    let (head, tail) = body.as_bytes().split_at(500);
    let large = Request::new("PUT", "/kvs/k").chunks(&[head, tail]);
    replica.ask(&large).expect_error(413, TOO_LARGE);
}

#[test]
fn a_get_or_delete_with_a_body_beyond_the_limit_is_too_large() {
    let replica = Launch::new()
        .settings(&[("body-max-bytes", "1000")])
        .start();
    for method in ["GET", "DELETE"] {
        let request = Request::new(method, "/kvs/k").body(put_of(1_001));
        replica.ask(&request).expect_error(413, TOO_LARGE);
    }
}

#[test]
fn the_default_limit_of_a_body_is_eight_mebibytes() {
    let replica = Launch::new().start();
    let fine = Request::new("PUT", "/kvs/k").body(put_of(8 << 20));
    replica.ask(&fine).expect_result(201, "created");
    let large = Request::new("PUT", "/kvs/k").body(put_of((8 << 20) + 1));
    replica.ask(&large).expect_error(413, TOO_LARGE);
    let found = replica.get("k", &V::none()).expect(200);
    assert!(found.body.len() > (8 << 20) - 100);
}

#[test]
fn a_body_far_beyond_the_limit_is_answered_before_all_of_it_has_come() {
    let replica = Launch::new()
        .settings(&[("body-max-bytes", "1000")])
        .start();
    for frame in ["Content-Length: 99999999999", "Transfer-Encoding: chunked"] {
        let mut connection = replica.connect();
        let head = format!("PUT /kvs/k HTTP/1.1\r\nHost: r\r\n{frame}\r\n\r\n");
        connection.send(head.as_bytes()).unwrap();
        // It reads as a chunk of 1022 bytes, and as part of a plain body just as well.
        let chunk = format!("3fe\r\n{}\r\n", "x".repeat(0x3fe));
        while !connection.has_input() && connection.send(chunk.as_bytes()).is_ok() {}
        let answer = connection.answer().unwrap();
        answer.expect_error(413, TOO_LARGE);
    }
}

#[test]
fn a_declared_length_over_the_limit_is_answered_without_the_body() {
    let replica = Launch::new()
        .settings(&[("body-max-bytes", "1000"), ("client-timeout-ms", "600000")])
        .start();
    let mut connection = replica.connect();
    connection
        .send(b"PUT /kvs/k HTTP/1.1\r\nHost: r\r\nContent-Length: 1001\r\n\r\n{")
        .unwrap();
    connection.answer().unwrap().expect_error(413, TOO_LARGE);
}

const KIB: usize = 1 << 10;

/// Puts values until the store is full; the keys that are in.
fn fill(replica: &Replica) -> Vec<String> {
    let value = format!("\"{}\"", "x".repeat(4 * KIB));
    let mut keys = Vec::new();
    loop {
        let key = format!("k{}", keys.len());
        match replica.put(&key, &value, &V::none()) {
            answer if answer.status == 201 => keys.push(key),
            answer => {
                answer.expect_error(507, "Store is full");
                return keys;
            }
        }
        assert!(keys.len() < 100, "a store of 64 KiB is never full");
    }
}

#[test]
fn a_full_store_refuses_puts_and_still_reads_and_deletes() {
    let replica = Launch::new()
        .settings(&[("store-max-bytes", "65536"), ("body-max-bytes", "8192")])
        .start();
    let keys = fill(&replica);
    assert!(keys.len() >= 8, "full after {} values of 4 KiB", keys.len());
    for key in &keys {
        replica.get(key, &V::none()).expect_result(200, "found");
    }
    for key in &keys {
        replica
            .delete(key, &V::none())
            .expect_result(200, "deleted");
    }
    replica
        .get(&keys[0], &V::none())
        .expect_error(404, "Key does not exist");
    replica
        .put("small", "1", &V::none())
        .expect_result(201, "created");
}

#[test]
fn beyond_the_limit_of_parked_requests_the_answer_is_503_at_once() {
    let replica = Launch::new().settings(&[("parked-max", "1")]).start();
    let unmet = V::needing(&[("127.0.0.9:9@1", 1)]);
    let request = get("k", &unmet).header("Prefer", "wait=20");
    let mut first = replica.connect();
    first.send(&request.bytes()).unwrap();
    replica.await_gauge("parked", 1);
    let mut second = replica.connect();
    second.send(&request.bytes()).unwrap();
    let answer = second.answer().unwrap().expect(503);
    assert!(answer.json()["error"].is_string(), "{answer:?}");
    assert!(!first.has_input(), "the first one still waits");
    replica.put("k", "1", &V::none()).expect(201);
}

#[test]
fn bodies_of_requests_that_wait_count_until_their_clients_are_gone() {
    let replica = Launch::new()
        .settings(&[("body-max-bytes", "1000"), ("bodies-max-bytes", "1000")])
        .start();
    let large = Request::new("PUT", "/kvs/k").body(put_of(600));
    let unmet = r#"{"stamp":[1,0],"clocks":{"0/s0":{"127.0.0.9:9@1":1}}}"#;
    let parked = Request::new("PUT", "/kvs/p")
        .body(put_of(600))
        .header("Causal-Metadata", unmet)
        .header("Prefer", "wait=20");
    let mut waiting = replica.connect();
    waiting.send(&parked.bytes()).unwrap();
    // Asked before, the other request could hold what this one needs.
    replica.await_gauge("parked", 1);
    replica
        .ask(&large)
        .expect_error(503, "Overloaded; try again later");
    drop(waiting);
    until(PATIENCE, "what its client held is free", || {
        [200, 201].contains(&replica.ask(&large).status)
    });
}

#[test]
fn a_client_that_does_not_finish_its_head_is_cut_off() {
    let replica = Launch::new()
        .settings(&[("client-timeout-ms", "500")])
        .start();
    let mut connection = replica.connect();
    connection.send(b"GET /kvs/k HTTP/1.1\r\nHost: ").unwrap();
    if let Ok(answer) = connection.answer() {
        answer.expect(408);
    }
    assert!(connection.ends());
}

#[test]
fn a_client_that_does_not_finish_its_body_is_cut_off() {
    let replica = Launch::new()
        .settings(&[("client-timeout-ms", "500")])
        .start();
    let bytes = put("k", "1", &V::none()).bytes();
    let mut connection = replica.connect();
    connection.send(&bytes[..bytes.len() - 5]).unwrap();
    if let Ok(answer) = connection.answer() {
        answer.expect(408);
    }
    assert!(connection.ends());
    replica.get("k", &V::none()).expect(404);
}

#[test]
fn a_client_that_drips_its_body_is_cut_off() {
    let replica = Launch::new()
        .settings(&[("client-timeout-ms", "500")])
        .start();
    let mut connection = replica.connect();
    let head = b"PUT /kvs/k HTTP/1.1\r\nHost: r\r\nContent-Length: 1000000\r\n\r\n";
    connection.send(head).unwrap();
    until(PATIENCE, "the replica has had enough", || {
        connection.send(b" ").is_err() || connection.has_input()
    });
    if let Ok(answer) = connection.answer() {
        answer.expect(408);
    }
}

#[test]
fn more_connections_than_allowed_wait_and_are_served_later() {
    let replica = Launch::new().settings(&[("connections-max", "16")]).start();
    let open: Vec<_> = (0..40)
        .map(|i| {
            let mut connection = replica.connect();
            let request = put(&format!("k{i}"), "1", &V::none()).header("Connection", "close");
            connection.send(&request.bytes()).unwrap();
            connection
        })
        .collect();
    for mut connection in open {
        connection.answer().unwrap().expect_result(201, "created");
    }
}

#[test]
fn overload_is_answered_as_such_and_passes() {
    let replica = Launch::new().settings(&[("mailbox-max", "1")]).start();
    std::thread::scope(|scope| {
        for client in 0..32 {
            let replica = &replica;
            scope.spawn(move || {
                for i in 0..20 {
                    let answer = replica.put(&format!("k{client}-{i}"), "1", &V::none());
                    if answer.status != 201 {
                        answer.expect_error(503, "Overloaded; try again later");
                    }
                }
            });
        }
    });
    replica
        .put("after", "1", &V::none())
        .expect_result(201, "created");
}

#[test]
fn a_client_that_reads_nothing_of_its_answer_is_cut_off() {
    let replica = Launch::new()
        .settings(&[("client-timeout-ms", "500")])
        .start();
    let large = format!("\"{}\"", "x".repeat(8_000_000));
    replica.put("k", &large, &V::none()).expect(201);
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Too small for the answer, so that the rest of it stays with the replica.
    client.set_recv_buffer_size(4_096).unwrap();
    client.connect(&replica.address().into()).unwrap();
    client.send(&get("k", &V::none()).bytes()).unwrap();
    until(PATIENCE, "the replica has had enough", || {
        client.send(b" ").is_err()
    });
}
