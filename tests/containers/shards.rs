//! Contract §4 on real containers: six replicas, two shards, clients at all of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{CUT_BOUND, Cluster};
use crate::connection::Connection;
use crate::http::{Answer, reading};
use crate::time::{now, pause, within};

const REPLICAS: usize = 6;
const KEYS: usize = 600;

/// A refused request is asked again so often, after 10 ms at first and twice as long each time: 1.27 s in all.
const RETRIES: u32 = 7;

/// By then every replica has everything.
const SPREAD: Duration = Duration::from_secs(5);

#[test]
fn six_replicas_in_two_shards_answer_for_every_key_and_a_seventh_does_so_without_a_shard_and_in_one()
 {
    let Some(mut cluster) = Cluster::sharded(REPLICAS, 2, "shards") else {
        return;
    };
    let mut connections = connections(&cluster);
    let mut metadata = Value::Null;
    for n in 0..KEYS {
        let body = json!({ "value": n, "causal-metadata": metadata });
        let answer = patiently(&mut connections[n % REPLICAS], "PUT", n, &body);
        assert_eq!(answer.status, 201, "key{n}: {answer:?}");
        metadata = answer.metadata();
    }
    pause(SPREAD);
    read_all(&mut connections, &metadata);
    let counts: Vec<[u64; 2]> = cluster.all().map(|at| counts(&cluster, at)).collect();
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    assert_eq!(counts[0].iter().sum::<u64>(), KEYS as u64);

    let started = now();
    let newcomer = cluster.add();
    cluster.await_full_views(started, CUT_BOUND);
    within(started, CUT_BOUND, || {
        let shard = cluster.ask(newcomer, "GET", "/shard/node-shard-id", &Value::Null);
        let ids = cluster.ask(newcomer, "GET", "/shard/ids", &Value::Null);
        let found = ids.body == json!({ "shard-ids": ["s0", "s1"] });
        let in_none = shard.body == json!({ "node-shard-id": null });
        (found && in_none)
            .then_some(())
            .ok_or_else(|| format!("{shard:?}, {ids:?}"))
    });
    let mut at_newcomer = vec![Connection::to(&cluster.published(newcomer))];
    read_all(&mut at_newcomer, &metadata);
    assert_eq!(self::counts(&cluster, newcomer), counts[0]);

    let (asked, shard) = (rand::random_range(0..=REPLICAS), "s1");
    println!(
        "{} is added at {}",
        cluster.address(newcomer),
        cluster.address(asked)
    );
    let before = members(&cluster, asked, shard);
    let path = format!("/shard/add-member/{shard}");
    let body = json!({ "socket-address": cluster.address(newcomer) });
    let added = cluster.ask(asked, "PUT", &path, &body);
    assert_eq!(added.status, 200, "{added:?}");
    assert_eq!(added.body, json!({ "result": "node added to shard" }));
    pause(SPREAD);
    // The newcomer has the last address of all.
    let after = [before, vec![cluster.address(newcomer)]].concat();
    for at in cluster.all() {
        assert_eq!(members(&cluster, at, shard), after, "at {at}");
        assert_eq!(self::counts(&cluster, at), counts[0], "at {at}");
    }
    let own = cluster.ask(newcomer, "GET", "/shard/node-shard-id", &Value::Null);
    assert_eq!(own.body, json!({ "node-shard-id": shard }));
    read_all(&mut at_newcomer, &metadata);
}

fn members(cluster: &Cluster, at: usize, shard: &str) -> Vec<String> {
    let answer = cluster.ask(at, "GET", &format!("/shard/members/{shard}"), &Value::Null);
    serde_json::from_value(answer.body["shard-members"].clone())
        .unwrap_or_else(|_| panic!("{answer:?}"))
}

fn connections(cluster: &Cluster) -> Vec<Connection> {
    let published = cluster.all().map(|replica| cluster.published(replica));
    published.map(|address| Connection::to(&address)).collect()
}

fn patiently(to: &mut Connection, method: &str, key: usize, body: &Value) -> Answer {
    let path = format!("/kvs/key{key}");
    let mut wait = Duration::from_millis(10);
    for _ in 0..RETRIES {
        let answer = to.ask_at_once(method, &path, body);
        if answer.status != 503 {
            return answer;
        }
        pause(wait);
        wait *= 2;
    }
    to.ask_at_once(method, &path, body)
}

/// Every key, each at the next replica, which is another one than it was written at; without a second try.
fn read_all(connections: &mut [Connection], metadata: &Value) {
    for n in 0..KEYS {
        let at = (n + 1) % connections.len();
        let answer =
            connections[at].ask_at_once("GET", &format!("/kvs/key{n}"), &reading(metadata));
        assert_eq!(answer.status, 200, "key{n}: {answer:?}");
        assert_eq!(answer.value(), Some(&json!(n)), "{answer:?}");
    }
}

fn counts(cluster: &Cluster, at: usize) -> [u64; 2] {
    ["s0", "s1"].map(|shard| {
        let answer = cluster.ask(
            at,
            "GET",
            &format!("/shard/key-count/{shard}"),
            &Value::Null,
        );
        let count = answer.body["shard-key-count"].as_u64();
        count.unwrap_or_else(|| panic!("{answer:?}"))
    })
}
