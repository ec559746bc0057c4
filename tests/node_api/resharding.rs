//! §4: shards are dealt anew.

use serde_json::json;

use crate::shards::{shard_of_node, sharded};
use crate::support::{Answer, Cluster, Launch, Replica, Request};

const TOO_FEW: &str = "Not enough nodes to provide fault tolerance with requested shard count";

fn reshard(asked: &Replica, body: &str) -> Answer {
    asked.ask(&Request::new("PUT", "/shard/reshard").body(body))
}

#[test]
fn a_shard_count_that_is_no_whole_number_from_one_on_is_refused() {
    let replica = Launch::new().start();
    let mut bodies: Vec<String> = ["", "{}", "null", "[2]", "2", "not json"]
        .map(str::to_owned)
        .into();
    let counts = [
        "null", "0", "-1", "1.5", "\"2\"", "[2]", "{}", "true", "1e400",
    ];
    bodies.extend(counts.map(|count| format!("{{\"shard-count\":{count}}}")));
    for body in bodies {
        let refused = reshard(&replica, &body);
        refused.expect_error(400, "shard-count is missing or malformed");
    }
    let ids = replica.fetch("/shard/ids").json();
    assert_eq!(ids, json!({"shard-ids": ["s0"]}));
}

#[test]
fn a_shard_count_that_leaves_a_shard_with_one_node_is_refused() {
    let cluster = sharded(5, 2);
    for count in ["3", "99", "18446744073709551616", "99999999999999999999999"] {
        for replica in cluster.iter() {
            let refused = reshard(replica, &format!("{{\"shard-count\":{count}}}"));
            refused.expect_error(400, TOO_FEW);
        }
    }
    let ids = cluster[0].fetch("/shard/ids").json();
    assert_eq!(ids, json!({"shard-ids": ["s0", "s1"]}));
    let alone = Launch::new().start();
    reshard(&alone, r#"{"shard-count":1}"#).expect_error(400, TOO_FEW);
}

#[test]
fn when_a_reshard_is_answered_every_node_goes_by_the_new_shards() {
    for cluster in [Cluster::of(4), sharded(5, 1)] {
        let answer = reshard(&cluster[1], r#"{"shard-count":2}"#);
        answer.expect_result(200, "resharded");
        for replica in cluster.iter() {
            let ids = replica.fetch("/shard/ids").json();
            assert_eq!(ids, json!({"shard-ids": ["s0", "s1"]}));
            assert!(shard_of_node(replica).is_string(), "everybody keeps one");
        }
    }
}
