//! §4: shards that stay as they are; any node answers for any key.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::replica::get;
use crate::support::waiting::{PATIENCE, now};
use crate::support::{Answer, Cluster, Launch, Replica, V, eventually, until};

/// `nodes` of them, told of `shards`, of which each has at least two.
pub(crate) fn sharded(nodes: usize, shards: usize) -> Cluster {
    Cluster::with_settings(nodes, &[("shard-count", &shards.to_string())])
}

pub(crate) fn shard_of_node(replica: &Replica) -> Value {
    replica.fetch("/shard/node-shard-id").expect(200).json()["node-shard-id"].clone()
}

pub(crate) fn members(replica: &Replica, shard: &str) -> Answer {
    replica.fetch(&format!("/shard/members/{shard}"))
}

pub(crate) fn key_count(replica: &Replica, shard: &str) -> u64 {
    let answer = replica.fetch(&format!("/shard/key-count/{shard}"));
    answer.expect(200).json()["shard-key-count"]
        .as_u64()
        .unwrap()
}

/// Writes `keys` keys in one chain, each at the next replica; the last metadata.
pub(crate) fn chain(cluster: &Cluster, keys: usize) -> V {
    let mut v = V::none();
    let replicas: Vec<&Replica> = cluster.iter().collect();
    for n in 0..keys {
        let put = crate::support::replica::put(&format!("key{n}"), &n.to_string(), &v);
        let put = put.header("Prefer", "wait=15");
        let answer = replicas[n % replicas.len()].ask(&put);
        v = answer.expect_result(201, "created").v();
    }
    v
}

#[test]
fn every_node_names_the_same_shards_and_is_in_one_of_them() {
    let cluster = sharded(5, 2);
    let mut nodes: Vec<&Replica> = cluster.iter().collect();
    nodes.sort_by_key(|replica| replica.address());
    for replica in cluster.iter() {
        let ids = replica.fetch("/shard/ids").expect(200).json();
        assert_eq!(ids, json!({"shard-ids": ["s0", "s1"]}));
        for (shard, own) in [("s0", 0), ("s1", 1)] {
            let dealt = nodes.iter().skip(own).step_by(2);
            let dealt: Vec<String> = dealt.map(|replica| replica.name()).collect();
            let told = members(replica, shard).expect(200).json();
            assert_eq!(told, json!({"shard-members": dealt}));
        }
    }
    for (place, replica) in nodes.iter().enumerate() {
        assert_eq!(shard_of_node(replica), format!("s{}", place % 2));
    }
}

#[test]
fn a_shard_that_there_is_not_is_not_found() {
    let replica = Launch::new().start();
    for name in ["s1", "s01", "0", "nothing"] {
        members(&replica, name).expect_error(404, "No such shard");
        let count = replica.fetch(&format!("/shard/key-count/{name}"));
        count.expect_error(404, "No such shard");
    }
}

#[test]
fn without_shards_there_is_one_that_everybody_keeps() {
    let cluster = Cluster::of(2);
    cluster[0].put("k", "1", &V::none()).expect(201);
    cluster.await_agreement(PATIENCE);
    for replica in cluster.iter() {
        let ids = replica.fetch("/shard/ids").expect(200).json();
        assert_eq!(ids, json!({"shard-ids": ["s0"]}));
        assert_eq!(shard_of_node(replica), "s0");
        let told = members(replica, "s0").expect(200).json();
        assert_eq!(told, json!({"shard-members": cluster.names()}));
        assert_eq!(key_count(replica, "s0"), 1);
    }
}

#[test]
fn any_node_answers_for_any_key_and_says_in_which_shard_it_is() {
    let cluster = sharded(4, 2);
    let v = chain(&cluster, 40);
    let mut shards = BTreeSet::new();
    for n in 0..40 {
        let mut told = BTreeSet::new();
        for replica in cluster.iter() {
            let get = get(&format!("key{n}"), &v).header("Prefer", "wait=15");
            let answer = replica.ask(&get).expect_result(200, "found").json();
            assert_eq!(answer["value"], n);
            told.insert(answer["shard-id"].as_str().unwrap().to_owned());
        }
        assert_eq!(told.len(), 1, "all name the same shard");
        shards.append(&mut told);
    }
    assert_eq!(shards.len(), 2);
    let deleted = cluster[3].delete("key0", &v);
    let v = deleted.expect_result(200, "deleted").v();
    for replica in cluster.iter() {
        let get = get("key0", &v).header("Prefer", "wait=15");
        let absent = replica.ask(&get).expect_error(404, "Key does not exist");
        assert!(absent.json()["shard-id"].is_string());
        assert!(absent.v().covers(&v));
    }
}

#[test]
fn keys_are_spread_and_counted_the_same_from_every_node() {
    let cluster = sharded(4, 2);
    chain(&cluster, 600);
    eventually(PATIENCE, "all count the same", || {
        let counts: Vec<[u64; 2]> = cluster
            .iter()
            .map(|replica| ["s0", "s1"].map(|shard| key_count(replica, shard)))
            .collect();
        let same = counts.iter().all(|count| *count == counts[0]);
        let [s0, s1] = counts[0];
        if same && s0 + s1 == 600 && s0.abs_diff(300) < 75 {
            Ok(())
        } else {
            Err(counts)
        }
    });
}

#[test]
fn what_a_client_has_seen_in_one_shard_goes_with_it_to_the_others() {
    let cluster = sharded(4, 2);
    let v = chain(&cluster, 20);
    assert_eq!(v.clocks().len(), 2, "one group for each shard: {v:?}");
    // A write in either shard depends on what was seen in both, and whoever reads it does.
    let written = cluster[0].put("key0", "\"again\"", &v);
    let written = written.expect_result(200, "replaced").v();
    let get = get("key0", &V::none()).header("Prefer", "wait=15");
    let read = || cluster[1].ask(&get).expect(200).v();
    until(PATIENCE, "the new value is read", || {
        read().covers(&written)
    });
}

#[test]
fn a_bad_request_gets_the_same_answer_whoever_keeps_the_key() {
    let cluster = sharded(4, 2);
    let bad = |replica: &Replica| {
        let put = crate::support::Request::new("PUT", "/kvs/k").body("{}");
        replica
            .ask(&put)
            .expect_error(400, "PUT request does not specify a value");
        let get = crate::support::Request::new("GET", "/kvs/k").body("[1]");
        replica
            .ask(&get)
            .expect_error(400, "Request body is not a JSON object");
        let get = crate::support::Request::new("GET", "/kvs/k").body(r#"{"causal-metadata":7}"#);
        replica
            .ask(&get)
            .expect_error(400, "causal-metadata is malformed");
        let long = replica.put(&"k".repeat(51), "1", &V::none());
        long.expect_error(400, "Key is too long");
    };
    cluster.iter().for_each(bad);
}

#[test]
fn metadata_in_the_header_is_passed_on_and_answered_in_the_header() {
    let cluster = sharded(4, 2);
    let v = chain(&cluster, 10);
    for replica in cluster.iter() {
        for n in 0..10 {
            let get = crate::support::Request::new("GET", &format!("/kvs/key{n}"));
            let get = get
                .header("Causal-Metadata", v.text())
                .header("Prefer", "wait=15");
            let answer = replica.ask(&get).expect_result(200, "found");
            let header = answer.header("causal-metadata").unwrap().to_owned();
            assert!(V::raw(header).covers(&v));
        }
    }
}

/// Two shards of two, and a read for the first replica to pass on, of a write that has not been made yet.
fn read_of_what_nobody_has(settings: &[(&str, &str)]) -> (Cluster, crate::support::Request) {
    let settings = [settings, &[("shard-count", "2")]].concat();
    let cluster = Cluster::with_settings(4, &settings);
    let own = shard_of_node(&cluster[0]);
    let foreign = (0..20).find_map(|n| {
        let answer = cluster[0]
            .put(&format!("key{n}"), "1", &V::none())
            .expect(201);
        (answer.json()["shard-id"] != own).then(|| (n, answer.v()))
    });
    let (n, v) = foreign.expect("of twenty keys some are in the other shard");
    let clocks = v.clocks();
    let (domain, clock) = clocks.first_key_value().expect("it was written");
    let (origin, counter) = clock.first_key_value().expect("by somebody");
    let next = V::in_domain(domain, &[(origin, counter + 1_000)]);
    (cluster, get(&format!("key{n}"), &next))
}

fn refused(replica: &Replica) -> u64 {
    let metrics = replica.fetch("/metrics");
    let name = "causet_forwards_total{outcome=\"refused\"} ";
    let line = metrics
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(name));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn who_is_willing_to_wait_waits_for_one_member_and_not_for_each_in_turn() {
    let (cluster, read) = read_of_what_nobody_has(&[]);
    let unmet = "Causal dependencies not satisfied; try again later";
    cluster[0].ask(&read).expect_error(503, unmet);
    assert_eq!(refused(&cluster[0]), 2, "both were asked");
    let patient = read.header("Prefer", "wait=1");
    cluster[0].ask(&patient).expect_error(503, unmet);
    assert_eq!(refused(&cluster[0]), 5, "both at once, then one of them");
}

#[test]
fn a_wait_that_is_the_servers_default_is_waited_for_by_who_passes_the_request_on() {
    let settings = [("wait-default-ms", "1500"), ("call-timeout-ms", "1000")];
    let (cluster, read) = read_of_what_nobody_has(&settings);
    let unmet = "Causal dependencies not satisfied; try again later";
    cluster[0].ask(&read).expect_error(503, unmet);
}

#[test]
fn a_dead_member_is_passed_over_and_a_shard_without_members_cannot_be_asked() {
    let mut cluster = sharded(4, 2);
    let v = chain(&cluster, 20);
    cluster.await_agreement(PATIENCE);
    let of = |cluster: &Cluster, shard: &str| -> Vec<usize> {
        (0..4)
            .filter(|&i| shard_of_node(&cluster[i]) == shard)
            .collect()
    };
    let (s0, s1) = (of(&cluster, "s0"), of(&cluster, "s1"));
    cluster[s1[0]].kill();
    let asked = now();
    for n in 0..20 {
        let answer = cluster[s0[0]].get(&format!("key{n}"), &v);
        assert_eq!(answer.expect_result(200, "found").json()["value"], n);
    }
    assert!(asked.elapsed() < PATIENCE);
    cluster[s1[1]].kill();
    eventually(PATIENCE, "nobody keeps s1 any more", || {
        let answers = (0..20).map(|n| cluster[s0[0]].get(&format!("key{n}"), &v));
        let statuses: BTreeSet<u16> = answers.map(|answer| answer.status).collect();
        if statuses == BTreeSet::from([200, 503]) {
            Ok(())
        } else {
            Err(statuses)
        }
    });
    let refused = (0..20).map(|n| cluster[s0[0]].get(&format!("key{n}"), &v));
    for answer in refused.filter(|answer| answer.status == 503) {
        assert!(answer.header("retry-after").is_some());
        answer.expect_error(503, "Cannot forward request");
    }
    let count = cluster[s0[0]].fetch("/shard/key-count/s1");
    count.expect_error(503, "Cannot forward request");
}

#[test]
fn a_restarted_member_finds_its_shard_and_its_data() {
    let mut cluster = sharded(4, 2);
    let v = chain(&cluster, 20);
    cluster.await_agreement(PATIENCE);
    let shard = shard_of_node(&cluster[2]);
    cluster[2].kill();
    cluster[2].restart();
    cluster[2].await_ready();
    assert_eq!(shard_of_node(&cluster[2]), shard);
    cluster.await_agreement(PATIENCE);
    for n in 0..20 {
        let get = get(&format!("key{n}"), &v).header("Prefer", "wait=15");
        let answer = cluster[2].ask(&get).expect_result(200, "found");
        assert_eq!(answer.json()["value"], n);
    }
}

#[test]
fn a_node_that_was_told_of_no_shards_joins_a_sharded_cluster_in_none_and_answers_all_the_same() {
    let cluster = sharded(4, 2);
    let v = chain(&cluster, 20);
    let newcomer = Launch::new().view(cluster.names().join(",")).start();
    eventually(PATIENCE, "it has found the shards", || {
        let ids = newcomer.fetch("/shard/ids").json();
        if ids == json!({"shard-ids": ["s0", "s1"]}) {
            Ok(())
        } else {
            Err(ids)
        }
    });
    assert_eq!(shard_of_node(&newcomer), Value::Null);
    for n in 0..20 {
        let get = get(&format!("key{n}"), &v).header("Prefer", "wait=15");
        let answer = newcomer.ask(&get).expect_result(200, "found");
        assert_eq!(answer.json()["value"], n);
    }
    newcomer.put("new", "1", &v).expect_result(201, "created");
    let seen = |replica: &Replica| replica.view().contains(&newcomer.name());
    until(PATIENCE, "all see it", || cluster.iter().all(seen));
    let in_shards =
        ["s0", "s1"].map(|shard| members(&cluster[0], shard).expect(200).text().to_owned());
    assert!(
        in_shards
            .iter()
            .all(|members| !members.contains(&newcomer.name()))
    );
}
