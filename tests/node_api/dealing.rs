//! §4: PUT `/shard/reshard` with data in the shards.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::replica::get;
use crate::support::waiting::{PATIENCE, until};
use crate::support::{Answer, Cluster, Launch, Replica, Request, V};

/// `nodes` of them, told of `shards`.
fn sharded(nodes: usize, shards: usize) -> Cluster {
    Cluster::with_settings(nodes, &[("shard-count", &shards.to_string())])
}

fn reshard(replica: &Replica, shards: usize) -> Answer {
    let body = json!({ "shard-count": shards }).to_string();
    replica.ask(&Request::new("PUT", "/shard/reshard").body(body))
}

/// Writes these keys in one chain, each at the next replica; the last metadata.
fn chain(cluster: &Cluster, keys: std::ops::Range<usize>, mut v: V) -> V {
    let replicas: Vec<&Replica> = cluster.iter().collect();
    for n in keys {
        let put = crate::support::replica::put(&format!("key{n}"), &n.to_string(), &v);
        let put = put.header("Prefer", "wait=15");
        let answer = replicas[n % replicas.len()].ask(&put);
        v = answer.expect_result(201, "created").v();
    }
    v
}

/// Every key at every node, at once; what the last answer says was observed.
fn expect_all(cluster: &Cluster, keys: usize, v: &V) -> V {
    let mut last = v.clone();
    for replica in cluster.iter() {
        for n in 0..keys {
            let answer = replica
                .get(&format!("key{n}"), v)
                .expect_result(200, "found");
            assert_eq!(answer.json()["value"], n);
            last = answer.v();
        }
    }
    last
}

/// The shards as every node tells them, each with at least two members, and all keys counted once.
fn expect_shards(cluster: &Cluster, shards: usize, keys: u64) {
    let ids: Vec<String> = (0..shards).map(|n| format!("s{n}")).collect();
    for replica in cluster.iter() {
        let told = replica.fetch("/shard/ids").expect(200).json();
        assert_eq!(told, json!({ "shard-ids": ids }));
        let mut members = BTreeSet::new();
        let mut counted = 0;
        for id in &ids {
            let told = replica
                .fetch(&format!("/shard/members/{id}"))
                .expect(200)
                .json();
            let of_shard = told["shard-members"].as_array().unwrap().clone();
            assert!(of_shard.len() >= 2, "{told}");
            members.extend(of_shard.iter().map(Value::to_string));
            let count = replica
                .fetch(&format!("/shard/key-count/{id}"))
                .expect(200)
                .json();
            counted += count["shard-key-count"].as_u64().unwrap();
        }
        assert_eq!((members.len(), counted), (cluster.iter().count(), keys));
    }
}

fn resharded(answer: &Answer) {
    assert_eq!(answer.json(), json!({"result": "resharded"}), "{answer:?}");
}

#[test]
fn when_a_reshard_is_answered_every_key_is_at_every_node_and_the_counts_are_right() {
    let cluster = sharded(6, 2);
    let mut v = chain(&cluster, 0..60, V::none());
    cluster.await_agreement(PATIENCE);
    for (turn, shards) in [3, 2, 1, 3, 3].into_iter().enumerate() {
        let answer = reshard(&cluster[turn % 6], shards).expect(200);
        resharded(&answer);
        expect_shards(&cluster, shards, 60);
        v = expect_all(&cluster, 60, &v);
    }
}

#[test]
fn who_wrote_before_the_reshard_writes_and_deletes_after_it() {
    let cluster = sharded(4, 2);
    let mut v = chain(&cluster, 0..20, V::none());
    reshard(&cluster[1], 1).expect(200);
    let deleted = cluster[2].delete("key3", &v);
    v = deleted.expect_result(200, "deleted").v();
    let put = crate::support::replica::put("key4", "\"new\"", &v);
    let put = cluster[3].ask(&put.header("Prefer", "wait=15"));
    v = put.expect_result(200, "replaced").v();
    for replica in cluster.iter() {
        let waiting = |key| get(key, &v).header("Prefer", "wait=15");
        replica.ask(&waiting("key3")).expect(404);
        let read = replica.ask(&waiting("key4")).expect(200).json();
        assert_eq!(read["value"], "new");
    }
}

#[test]
fn a_cluster_that_was_told_of_no_shards_can_be_given_some() {
    let cluster = Cluster::of(4);
    let v = chain(&cluster, 0..20, V::none());
    resharded(&reshard(&cluster[0], 2).expect(200));
    expect_shards(&cluster, 2, 20);
    expect_all(&cluster, 20, &v);
}

#[test]
fn what_was_written_before_a_reshard_leaves_metadata_after_it() {
    let cluster = sharded(4, 2);
    let v = chain(&cluster, 0..20, V::none());
    reshard(&cluster[0], 1).expect(200);
    let v = expect_all(&cluster, 20, &v);
    let domains: Vec<String> = v.clocks().into_keys().collect();
    assert!(
        domains.iter().all(|domain| domain.starts_with("2.")),
        "{domains:?}"
    );
}

#[test]
fn a_node_that_was_down_is_not_waited_for_and_keeps_no_shard_when_it_is_back() {
    let mut cluster = sharded(5, 2);
    let v = chain(&cluster, 0..20, V::none());
    cluster.await_agreement(PATIENCE);
    cluster[4].kill();
    let gone = cluster[4].name();
    until(PATIENCE, "it is out of the views", || {
        (0..4).all(|n| !cluster[n].view().contains(&gone))
    });
    reshard(&cluster[0], 1).expect(200);
    for n in 0..20 {
        let read = cluster[1].get(&format!("key{n}"), &v);
        assert_eq!(read.expect_result(200, "found").json()["value"], n);
    }
    cluster[4].restart();
    cluster[4].await_ready();
    until(PATIENCE, "it has found the map", || {
        let shard = cluster[4].fetch("/shard/node-shard-id").json();
        shard == json!({"node-shard-id": null})
    });
    until(PATIENCE, "nothing is waited for", || {
        (0..5).all(|n| cluster[n].metrics().sum(&["causet_keys_frozen"]) == 0.0)
    });
    let read = cluster[4].get("key1", &v).expect_result(200, "found");
    assert_eq!(read.json()["value"], 1);
}

#[test]
fn a_node_without_shards_that_took_writes_alone_hands_them_over() {
    let cluster = sharded(4, 2);
    let lonely = Launch::new().start();
    let v = lonely.put("alone", "1", &V::none()).expect(201).v();
    lonely.ask_view("PUT", &cluster[0].name()).expect(201);
    for replica in cluster.iter() {
        let read = get("alone", &v).header("Prefer", "wait=15");
        let read = replica.ask(&read).expect_result(200, "found");
        assert_eq!(read.json()["value"], 1);
    }
}
