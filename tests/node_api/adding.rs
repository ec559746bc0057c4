//! §4: a node is added to a shard.

use serde_json::{Value, json};

use crate::membership::bodies_without_an_address;
use crate::shards::{chain, key_count, members, shard_of_node, sharded};
use crate::support::replica::get;
use crate::support::waiting::PATIENCE;
use crate::support::{Answer, Cluster, Launch, Replica, Request, V, eventually, until};

const ADDED: &str = "node added to shard";

fn add(asked: &Replica, shard: &str, node: &str) -> Answer {
    let body = json!({ "socket-address": node }).to_string();
    let path = format!("/shard/add-member/{shard}");
    asked.ask(&Request::new("PUT", &path).body(body))
}

/// A node that was told of no shards, in no shard, and in the views of all.
fn newcomer_to(cluster: &Cluster) -> Replica {
    let newcomer = Launch::new().view(cluster.names().join(",")).start();
    let seen = |replica: &Replica| replica.view().contains(&newcomer.name());
    until(PATIENCE, "all see it", || cluster.iter().all(seen));
    until(PATIENCE, "it has found the shards", || {
        shard_of_node(&newcomer) == Value::Null
    });
    newcomer
}

fn is_member(asked: &Replica, shard: &str, node: &Replica) -> bool {
    let told = members(asked, shard).expect(200).json();
    let told = told["shard-members"].as_array().unwrap().clone();
    told.contains(&json!(node.name()))
}

fn of_shard(cluster: &Cluster, shard: &str) -> Vec<usize> {
    (0..4)
        .filter(|&i| shard_of_node(&cluster[i]) == shard)
        .collect()
}

/// Waits until the members of one shard have the same.
#[track_caller]
fn await_the_same(members: &[&Replica]) {
    eventually(PATIENCE, "all of the shard have the same", || {
        let states: Vec<_> = members.iter().map(|member| member.state()).collect();
        if states.iter().all(|state| *state == states[0]) {
            Ok(())
        } else {
            Err(states)
        }
    });
}

#[test]
fn a_node_is_added_to_a_shard_by_any_node_and_has_all_of_it() {
    let mut cluster = sharded(4, 2);
    let v = chain(&cluster, 40);
    let newcomer = newcomer_to(&cluster);
    let (s0, s1) = (of_shard(&cluster, "s0"), of_shard(&cluster, "s1"));
    let asked = &cluster[s0[0]];
    add(asked, "s1", &newcomer.name()).expect_result(200, ADDED);
    assert_eq!(shard_of_node(&newcomer), "s1", "the answer says so");
    for replica in cluster.iter().chain([&newcomer]) {
        assert!(is_member(replica, "s1", &newcomer));
        assert!(!is_member(replica, "s0", &newcomer));
    }
    await_the_same(&[&cluster[s1[0]], &cluster[s1[1]], &newcomer]);
    let counts = |replica: &Replica| ["s0", "s1"].map(|shard| key_count(replica, shard));
    let expected = counts(&cluster[s0[0]]);
    assert_eq!(expected.iter().sum::<u64>(), 40);
    for replica in cluster.iter().chain([&newcomer]) {
        assert_eq!(counts(replica), expected);
    }
    for gone in s1 {
        cluster[gone].kill();
    }
    for n in 0..40 {
        let get = get(&format!("key{n}"), &v).header("Prefer", "wait=15");
        let answer = cluster[s0[1]].ask(&get).expect_result(200, "found");
        assert_eq!(answer.json()["value"], n, "the newcomer has it, too");
    }
}

#[test]
fn writes_go_to_an_added_member_and_those_it_takes_to_the_others() {
    let cluster = sharded(4, 2);
    let mut v = chain(&cluster, 10);
    let newcomer = newcomer_to(&cluster);
    add(&newcomer, "s0", &newcomer.name()).expect_result(200, ADDED);
    for n in 0..20 {
        let put = crate::support::replica::put(&format!("later{n}"), &n.to_string(), &v);
        let put = put.header("Prefer", "wait=15");
        let at = if n % 2 == 0 { &newcomer } else { &cluster[0] };
        v = at.ask(&put).expect_result(201, "created").v();
    }
    let s0 = of_shard(&cluster, "s0");
    await_the_same(&[&cluster[s0[0]], &cluster[s0[1]], &newcomer]);
}

#[test]
fn no_request_fails_because_a_node_was_just_added() {
    let cluster = sharded(4, 2);
    chain(&cluster, 20);
    cluster.await_agreement(PATIENCE);
    let newcomer = newcomer_to(&cluster);
    add(&cluster[1], "s0", &newcomer.name()).expect_result(200, ADDED);
    for n in 0..20 {
        let key = format!("key{n}");
        for replica in [&newcomer, &cluster[n % 4]] {
            let found = replica.get(&key, &V::none());
            assert_eq!(found.expect_result(200, "found").json()["value"], n);
        }
        let counted = key_count(&newcomer, "s0") + key_count(&newcomer, "s1");
        assert_eq!(counted, 20);
    }
}

#[test]
fn a_node_that_is_in_the_shard_already_may_be_added_again() {
    let cluster = sharded(4, 2);
    let shard = shard_of_node(&cluster[0]).as_str().unwrap().to_owned();
    let before = members(&cluster[0], &shard).json();
    for replica in cluster.iter() {
        add(replica, &shard, &cluster[0].name()).expect_result(200, ADDED);
        assert_eq!(members(replica, &shard).json(), before);
    }
}

#[test]
fn a_node_in_another_shard_is_not_added() {
    let cluster = sharded(4, 2);
    let other = of_shard(&cluster, "s1")[0];
    for replica in cluster.iter() {
        let refused = add(replica, "s0", &cluster[other].name());
        refused.expect_error(400, "Node is in another shard");
        assert_eq!(shard_of_node(&cluster[other]), "s1");
    }
}

#[test]
fn nobody_is_added_to_a_shard_that_there_is_not() {
    let cluster = sharded(4, 2);
    for name in ["s2", "s01", "0", "nothing"] {
        let refused = add(&cluster[0], name, &cluster[1].name());
        refused.expect_error(404, "No such shard");
    }
}

#[test]
fn a_node_that_is_not_in_the_view_is_not_added() {
    let cluster = sharded(4, 2);
    let stranger = Launch::new().address().to_string();
    let refused = add(&cluster[0], "s0", &stranger);
    refused.expect_error(404, "View has no such replica");
    assert!(!members(&cluster[0], "s0").text().contains(&stranger));
}

#[test]
fn a_bad_or_missing_address_is_not_added() {
    let replica = Launch::new().start();
    for body in bodies_without_an_address() {
        let request = Request::new("PUT", "/shard/add-member/s0").body(body);
        let refused = replica.ask(&request);
        refused.expect_error(400, "socket-address is missing or malformed");
    }
}

#[test]
fn without_shards_everybody_is_a_member_already() {
    let cluster = Cluster::of(2);
    for replica in cluster.iter() {
        add(replica, "s0", &cluster[1].name()).expect_result(200, ADDED);
        let told = members(replica, "s0").expect(200).json();
        assert_eq!(told, json!({"shard-members": cluster.names()}));
    }
    add(&cluster[0], "s1", &cluster[1].name()).expect_error(404, "No such shard");
}

#[test]
fn of_nodes_added_at_the_same_time_at_different_nodes_none_is_left_out() {
    let cluster = sharded(4, 2);
    let newcomers = [newcomer_to(&cluster), newcomer_to(&cluster)];
    std::thread::scope(|scope| {
        for (newcomer, shard) in newcomers.iter().zip(["s0", "s1"]) {
            for replica in cluster.iter() {
                scope.spawn(|| add(replica, shard, &newcomer.name()).expect_result(200, ADDED));
            }
        }
    });
    for replica in cluster.iter().chain(&newcomers) {
        assert!(is_member(replica, "s0", &newcomers[0]));
        assert!(is_member(replica, "s1", &newcomers[1]));
    }
}

#[test]
fn who_falls_silent_meanwhile_is_not_waited_for() {
    let cluster = sharded(5, 2);
    let newcomer = newcomer_to(&cluster);
    cluster[4].freeze();
    add(&cluster[0], "s1", &newcomer.name()).expect_result(200, ADDED);
    assert!(!cluster[0].view().contains(&cluster[4].name()));
    cluster[4].thaw();
    until(PATIENCE, "it hears of the map when it is back", || {
        is_member(&cluster[4], "s1", &newcomer)
    });
}

#[test]
fn other_methods_of_what_changes_shards_are_refused_with_put() {
    let replica = Launch::new().start();
    for path in ["/shard/add-member/s0", "/shard/reshard"] {
        for method in ["GET", "DELETE", "POST"] {
            let answer = replica.ask(&Request::new(method, path).body("{}"));
            let answer = answer.expect_error(405, "Method not allowed");
            assert_eq!(answer.header("allow"), Some("PUT"));
        }
    }
    for path in ["/shard/add-member", "/shard/reshard/s0"] {
        let answer = replica.ask(&Request::new("PUT", path).body("{}"));
        answer.expect_error(404, "No such route");
    }
}
