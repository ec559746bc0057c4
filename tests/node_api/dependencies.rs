//! §2: dependencies that a replica does not have yet.

use serde_json::json;

use crate::support::replica::{delete, get, put};
use crate::support::waiting::PATIENCE;
use crate::support::{Answer, Cluster, Launch, V, eventually};

const UNMET: &str = "Causal dependencies not satisfied; try again later";
const STRANGER: &str = "127.0.0.9:9@1f";

/// A 503 with all that belongs to it.
#[track_caller]
fn assert_unmet(answer: Answer, origin: &str, counter: u64) {
    let answer = answer.expect_error(503, UNMET);
    let seconds: u64 = answer
        .header("retry-after")
        .expect("Retry-After")
        .parse()
        .unwrap();
    assert!(seconds >= 1, "{answer:?}");
    assert_eq!(answer.json()["missing"], json!({"0/s0": {origin: counter}}));
}

#[test]
fn a_get_with_unmet_dependencies_is_503_and_names_what_is_missing() {
    let replica = Launch::new().start();
    let v = replica.put("k", "1", &V::none()).expect(201).v();
    let (origin, counter) = v.only_entry();
    assert_unmet(
        replica.get("k", &v.of_the_next_write()),
        &origin,
        counter + 1,
    );
    replica.get("k", &v).expect(200);
}

#[test]
fn puts_and_deletes_are_refused_exactly_as_gets_are() {
    let replica = Launch::new().start();
    let v = replica.put("k", "1", &V::none()).expect(201).v();
    let (origin, counter) = v.only_entry();
    let unmet = v.of_the_next_write();
    for request in [put("k", "2", &unmet), delete("k", &unmet), get("k", &unmet)] {
        assert_unmet(replica.ask(&request), &origin, counter + 1);
    }
    let found = replica.get("k", &v).expect(200);
    assert_eq!(found.member("value").unwrap(), "1");
    assert!(
        v.covers(&found.v()),
        "a refused write left a trace: {found:?}"
    );
}

#[test]
fn metadata_that_names_a_stranger_is_not_satisfied() {
    let replica = Launch::new().start();
    replica.put("k", "1", &V::none()).expect(201);
    let v = V::needing(&[(STRANGER, 3)]);
    for request in [
        get("k", &v),
        put("k", "2", &v),
        delete("k", &v),
        get("absent", &v),
    ] {
        assert_unmet(replica.ask(&request), STRANGER, 3);
    }
}

#[test]
fn only_the_entries_that_it_lacks_are_missing() {
    let replica = Launch::new().start();
    let v = replica.put("k", "1", &V::none()).expect(201).v();
    let both = v.with(&V::needing(&[(STRANGER, 3)]));
    assert_unmet(replica.get("k", &both), STRANGER, 3);
}

#[test]
fn a_write_that_reached_one_replica_only_is_503_elsewhere_while_that_one_is_down() {
    let mut first = Launch::new().start();
    let v = first.put("k", "1", &V::none()).expect(201).v();
    let (origin, counter) = v.only_entry();
    first.kill();
    let second = Launch::new().view(first.name()).start();
    for key in ["k", "other"] {
        assert_unmet(second.get(key, &v), &origin, counter);
        assert_unmet(second.put(key, "2", &v), &origin, counter);
    }
    second
        .put("k", "2", &V::none())
        .expect_result(201, "created");
}

#[test]
fn a_dependency_is_satisfied_as_soon_as_it_arrives() {
    let cluster = Cluster::of(2);
    let v = cluster[0].put("k", "1", &V::none()).expect(201).v();
    let next = v.of_the_next_write();
    cluster[1].get("k", &next).expect_error(503, UNMET);
    cluster[0].put("k", "2", &v).expect(200);
    let found = eventually(PATIENCE, "the write arrives", || {
        cluster[1].get("k", &next).having(200)
    });
    assert_eq!(found.member("value").unwrap(), "2");
}

#[test]
fn an_overwritten_dependency_is_satisfied_by_what_overwrote_it() {
    let cluster = Cluster::of(2);
    let old = cluster[0].put("k", "1", &V::none()).expect(201).v();
    let new = cluster[0].put("k", "2", &old).expect(200).v();
    cluster[1].get_waiting("k", &new).expect(200);
    let found = cluster[1].get("k", &old).expect(200);
    assert_eq!(found.member("value").unwrap(), "2");
}
