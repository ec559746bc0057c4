//! §2 and design §5: what is lost is told, what has ended leaves no trace, what was deleted neither.

use serde_json::{Value, json};

use crate::support::http::Answer;
use crate::support::metadata::UNSHARDED;
use crate::support::replica::{delete, get, put};
use crate::support::waiting::PATIENCE;
use crate::support::{Cluster, Replica, Request, V, eventually, until};

const UNMET: &str = "Causal dependencies not satisfied; try again later";

/// What an answer says to be lost; null if nothing.
fn lost(answer: &Answer) -> Value {
    answer.json()["lost"].clone()
}

/// The origins that metadata names.
fn named(v: &V) -> Vec<String> {
    let clocks = v.clocks();
    let entries = clocks.get(UNSHARDED).into_iter().flatten();
    entries.map(|(origin, _)| origin.clone()).collect()
}

fn tombstones(replica: &Replica) -> f64 {
    let metrics = replica.metrics();
    let shown = metrics.gauges("causet_tombstones");
    let gauge = shown.iter().find(|(name, _)| *name == "causet_tombstones");
    gauge.expect("a gauge of tombstones").1
}

#[test]
fn what_died_with_its_replica_is_503_until_that_one_is_back_and_then_told_to_be_lost() {
    let (mut cluster, wire) = Cluster::on_a_wire(3);
    let shared = cluster[0].put("k", "1", &V::none()).expect(201).v();
    for i in [1, 2] {
        cluster[i].get_waiting("k", &shared).expect(200);
    }
    let (origin, _) = shared.only_entry();
    wire.cut();
    cluster.await_views(PATIENCE, &[0], &[0]);
    let unseen = cluster[0].put("k", "2", &shared);
    let unseen = cluster[0].put("gone", "1", &unseen.v()).expect(201).v();
    cluster[0].kill();
    wire.mend();
    cluster.await_views(PATIENCE, &[1, 2], &[1, 2]);
    for i in [1, 2] {
        for request in [
            get("k", &unseen),
            get("gone", &unseen),
            put("other", "1", &unseen),
            delete("k", &unseen),
        ] {
            let refused = cluster[i].ask(&request).expect_error(503, UNMET);
            assert_eq!(refused.json()["missing"][UNSHARDED], json!({&origin: 3}));
        }
        // Whoever has not seen those writes is not concerned.
        let found = cluster[i].get("k", &shared).expect_result(200, "found");
        assert_eq!(found.member("value").unwrap(), "1");
        assert_eq!(lost(&found), Value::Null);
    }
    cluster[0].restart();
    cluster.await_whole();
    let all_of_it = json!({&origin: [2, 3]});
    for replica in cluster.iter() {
        let found = eventually(PATIENCE, "all agree", || {
            replica.get("k", &unseen).having(200)
        });
        assert_eq!(found.member("value").unwrap(), "1");
        assert_eq!(lost(&found), all_of_it);
        assert!(!named(&found.v()).contains(&origin), "{found:?}");
        let again = replica.get("k", &found.v()).expect(200);
        assert_eq!(lost(&again), Value::Null, "it is told once");
        let absent = replica.get("gone", &unseen);
        let absent = absent.expect_error(404, "Key does not exist");
        assert_eq!(lost(&absent), all_of_it);
        assert!(!named(&absent.v()).contains(&origin), "{absent:?}");
        assert_eq!(lost(&replica.get("k", &shared).expect(200)), Value::Null);
        let told = replica.metrics().sum(&["answers_with_lost_writes"]);
        assert!(told > 1.5, "{told}");
    }
    let written = cluster[1]
        .put("k", "3", &unseen)
        .expect_result(200, "replaced");
    assert_eq!(lost(&written), all_of_it);
    let deleted = cluster[1]
        .delete("k", &unseen)
        .expect_result(200, "deleted");
    assert_eq!(lost(&deleted), all_of_it);
    let absent = cluster[1].delete("k", &unseen).expect(404);
    assert_eq!(lost(&absent), all_of_it);
    // What has followed from it is as good as any other write.
    let read = cluster[2].get_waiting("k", &deleted.v()).expect(404);
    assert_eq!(lost(&read), Value::Null);
}

#[test]
fn where_nobody_has_anything_of_a_life_all_that_is_named_of_it_may_be_lost() {
    let (mut cluster, wire) = Cluster::on_a_wire(2);
    wire.cut();
    cluster.await_views(PATIENCE, &[0], &[0]);
    let unseen = cluster[0].put("k", "1", &V::none()).expect(201).v();
    let (origin, _) = unseen.only_entry();
    cluster[0].kill();
    wire.mend();
    cluster[0].restart();
    cluster.await_whole();
    let by_header = Request::new("GET", "/kvs/k").header("Causal-Metadata", unseen.text());
    for replica in cluster.iter() {
        let absent = eventually(PATIENCE, "both agree", || {
            replica.ask(&by_header).having(404)
        });
        assert_eq!(lost(&absent), json!({&origin: [1, 1]}));
        let header = absent.header("causal-metadata").expect("it was sent one");
        assert!(!header.contains(&origin), "{header}");
    }
}

#[test]
fn restarts_leave_no_trace_in_metadata() {
    let mut cluster = Cluster::of(2);
    let mut v = V::none();
    for round in 0..6 {
        let i = round % 2;
        v = cluster[i].put("k", &round.to_string(), &v).v();
        cluster[1 - i].get_waiting("k", &v).expect(200);
        cluster[i].kill();
        cluster[i].restart();
        cluster.await_whole();
    }
    for replica in cluster.iter() {
        let found = eventually(PATIENCE, "no life but the present ones is named", || {
            let found = replica.get("k", &v).expect(200);
            let origins = named(&found.v());
            if origins.len() <= 2 {
                Ok(found)
            } else {
                Err(origins)
            }
        });
        assert_eq!(found.member("value").unwrap(), "5");
        assert_eq!(lost(&found), Value::Null, "all of it had reached the other");
        let digest = replica.digest();
        let entries = digest["clock"].as_object().expect("a clock");
        assert!(entries.len() <= 2, "{digest}");
    }
}

#[test]
fn deletes_leave_nothing_once_all_have_them() {
    let cluster = Cluster::of(3);
    let mut v = V::none();
    for i in 0..50 {
        v = cluster[i % 3]
            .ask(&put(&format!("k{i}"), "1", &v).header("Prefer", "wait=15"))
            .expect(201)
            .v();
    }
    for i in 0..50 {
        v = cluster[0]
            .ask(&delete(&format!("k{i}"), &v).header("Prefer", "wait=15"))
            .expect(200)
            .v();
    }
    for replica in cluster.iter() {
        until(PATIENCE, "no tombstone is left", || {
            tombstones(replica) < 0.5
        });
        replica
            .get("k7", &v)
            .expect_error(404, "Key does not exist");
        let state = replica.state();
        assert_eq!(state[2], 0, "{state:?}");
    }
}

#[test]
fn tombstones_stay_while_a_member_is_down_and_go_when_it_is_back() {
    let cluster = Cluster::of(3);
    let v = cluster[0].put("k", "1", &V::none()).expect(201).v();
    cluster[2].get_waiting("k", &v).expect(200);
    // A delete that all have is gone soon; then one that a member misses.
    let first = cluster[0].delete("k", &v).expect(200).v();
    until(PATIENCE, "it is gone", || tombstones(&cluster[0]) < 0.5);
    cluster[2].freeze();
    let back = cluster[0].put("k", "2", &first).expect(201).v();
    let second = cluster[0].delete("k", &back).expect(200).v();
    let holder = format!("held_back_by{{member=\"{}\"}} 1", cluster[2].name());
    until(PATIENCE, "the one that holds it back is named", || {
        cluster[0].fetch("/metrics").text().contains(&holder)
    });
    assert!(tombstones(&cluster[0]) > 0.5);
    cluster[2].thaw();
    for replica in cluster.iter() {
        until(PATIENCE, "no tombstone is left", || {
            tombstones(replica) < 0.5
        });
        replica
            .get_waiting("k", &second)
            .expect_error(404, "Key does not exist");
    }
}

#[test]
fn what_only_a_forgotten_replica_has_is_written_again_when_it_is_back() {
    let (cluster, wire) = Cluster::on_a_wire(2);
    let shared = cluster[1].put("shared", "1", &V::none()).expect(201).v();
    cluster[0].get_waiting("shared", &shared).expect(200);
    wire.cut();
    cluster.await_views(PATIENCE, &[0], &[0]);
    cluster.await_views(PATIENCE, &[1], &[1]);
    let only = cluster[1].put("only", "1", &shared).expect(201).v();
    let name = cluster[1].name();
    let body = json!({"socket-address": name, "forget": true}).to_string();
    let forget = Request::new("DELETE", "/view").body(body);
    cluster[0].ask(&forget).expect_result(200, "forgotten");
    let deleted = cluster[0].delete("shared", &shared).expect(200).v();
    until(PATIENCE, "nobody is waited for", || {
        tombstones(&cluster[0]) < 0.5
    });
    wire.mend();
    // Forgotten by an operator's word, it is removed as well, until one takes it back.
    eventually(PATIENCE, "it knows that it is out", || {
        cluster[1].get("only", &V::none()).having(503)
    })
    .expect_error(503, "Replica was removed from the view");
    cluster[0]
        .ask_view("PUT", &name)
        .expect_result(201, "added");
    for replica in cluster.iter() {
        let found = eventually(PATIENCE, "it is written again", || {
            replica.get("only", &V::none()).having(200)
        });
        assert_eq!(found.member("value").unwrap(), "1");
        // What was deleted meanwhile does not come back with it.
        replica.get_waiting("shared", &deleted).expect(404);
        replica.get_waiting("only", &only).expect(200);
    }
}
