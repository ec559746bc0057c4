//! §5: health, readiness, metrics, and the routes between replicas.

use std::net::UdpSocket;

use crate::support::exposition::Exposition;
use crate::support::waiting::PATIENCE;
use crate::support::{Cluster, Launch, Request, V, until};

#[test]
fn a_living_process_is_healthy_and_a_serving_one_ready() {
    let replica = Launch::new().start();
    replica.fetch("/health").expect(200);
    replica.fetch("/ready").expect(200);
}

#[test]
fn metrics_are_prometheus_text_with_a_family_for_each_thing_of_interest() {
    let cluster = Cluster::of(2);
    let v = cluster[0].put("k", "1", &V::none()).expect(201).v();
    cluster[1].get_waiting("k", &v).expect(200);
    let answer = cluster[0].fetch("/metrics").expect(200);
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain"), "{kind}");
    let metrics = Exposition::parse(answer.text());
    let words = [
        "request",
        "write",
        "parked",
        "buffer",
        "outbox",
        "mailbox",
        "repair",
        "link",
        "member",
        "keys",
        "tombstones",
        "bytes",
    ];
    for word in words {
        assert!(
            !metrics.families_with(&[word]).is_empty(),
            "{word}: {:?}",
            metrics.families
        );
    }
}

#[test]
fn requests_are_counted_by_route_and_status_with_a_histogram_of_latency() {
    let replica = Launch::new().start();
    let count = |metrics: &Exposition, status: &str| metrics.sum(&["request", "kvs", status]);
    let before = replica.metrics();
    replica.put("k", "1", &V::none()).expect(201);
    replica.get("absent", &V::none()).expect(404);
    until(PATIENCE, "both are counted", || {
        let after = replica.metrics();
        let more = |status: &str| count(&after, status) > count(&before, status);
        more("\"201\"") && more("\"404\"")
    });
    let metrics = replica.metrics();
    let requests = metrics.families_with(&["request"]);
    let kinds: Vec<_> = requests
        .iter()
        .map(|name| metrics.families[*name].as_str())
        .collect();
    assert!(kinds.contains(&"histogram"), "{:?}", metrics.families);
}

#[test]
fn gauges_show_keys_tombstones_and_members() {
    let mut cluster = Cluster::of(2);
    for key in ["a", "b", "c"] {
        cluster[0].put(key, "1", &V::none()).expect(201);
    }
    cluster[0].delete("b", &V::none()).expect(200);
    for replica in cluster.iter() {
        replica.await_gauge("keys", 2);
        replica.await_gauge("tombstones", 1);
        replica.await_gauge("member", 2);
    }
    cluster[1].kill();
    cluster[0].await_gauge("member", 1);
}

#[test]
fn the_digest_is_equal_on_all_replicas_once_it_is_quiet() {
    let cluster = Cluster::of(3);
    for round in 0..60 {
        let key = format!("k{}", round % 20);
        cluster[round % 3].put(&key, &round.to_string(), &V::none());
        if round % 7 == 0 {
            cluster[(round + 1) % 3].delete(&key, &V::none());
        }
    }
    cluster.await_agreement(PATIENCE);
    let digest = cluster[0].digest();
    assert!(
        digest["clock"]
            .as_object()
            .is_some_and(|clock| clock.len() == 3),
        "{digest}"
    );
    assert!(
        digest["keys"].as_u64().is_some_and(|keys| keys > 0),
        "{digest}"
    );
    assert!(digest["hash"].is_string(), "{digest}");
}

#[test]
fn the_digest_tells_different_data_apart() {
    let (one, other) = (Launch::new().start(), Launch::new().start());
    one.put("k", "1", &V::none()).expect(201);
    other.put("k", "2", &V::none()).expect(201);
    assert_ne!(one.digest()["hash"], other.digest()["hash"]);
    let before = one.digest();
    one.put("k", "3", &V::none()).expect(200);
    assert_ne!(one.digest()["hash"], before["hash"]);
}

#[test]
fn peer_messages_that_cannot_be_understood_change_nothing() {
    let replica = Launch::new().start();
    replica.put("k", "1", &V::none()).expect(201);
    let before = (replica.state(), replica.view());
    for call in ["heartbeat", "push", "join"] {
        for body in [
            &b""[..],
            b"{}",
            b"[]",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
            b"not a message",
        ] {
            let request = Request::new("POST", &format!("/internal/v1/{call}")).body(body);
            let answer = replica.ask(&request);
            assert!((400..600).contains(&answer.status), "{call}: {answer:?}");
        }
    }
    assert_eq!((replica.state(), replica.view()), before);
}

#[test]
fn datagrams_that_cannot_be_understood_change_nothing() {
    let replica = Launch::new().start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [0, 1, 7, 200, 1_400, 60_000] {
        for byte in [0, 1, 0x7f, 0xff] {
            socket
                .send_to(&vec![byte; length], replica.address())
                .unwrap();
        }
    }
    replica
        .put("k", "1", &V::none())
        .expect_result(201, "created");
    assert_eq!(replica.view(), [replica.name()]);
}
