//! §2, the table of requests: what PUT, GET and DELETE answer when all is well.

use crate::support::{Launch, Request, V};

#[test]
fn the_first_put_creates_and_the_second_replaces() {
    let replica = Launch::new().start();
    let v = replica
        .put("k", "1", &V::none())
        .expect_result(201, "created")
        .v();
    let v = replica.put("k", "2", &v).expect_result(200, "replaced").v();
    assert_eq!(replica.get("k", &v).member("value").unwrap(), "2");
}

#[test]
fn a_get_finds_the_value_and_brings_metadata() {
    let replica = Launch::new().start();
    let put = replica.put("k", "\"tea\"", &V::none()).expect(201).v();
    let found = replica.get("k", &put).expect_result(200, "found");
    assert_eq!(found.member("value").unwrap(), "\"tea\"");
    assert!(found.v().covers(&put), "{found:?} {put:?}");
}

#[test]
fn a_delete_deletes_and_the_key_is_gone() {
    let replica = Launch::new().start();
    let v = replica.put("k", "1", &V::none()).expect(201).v();
    let v = replica.delete("k", &v).expect_result(200, "deleted").v();
    replica.get("k", &v).expect_error(404, "Key does not exist");
    replica
        .get("k", &V::none())
        .expect_error(404, "Key does not exist");
    replica
        .delete("k", &v)
        .expect_error(404, "Key does not exist");
}

#[test]
fn a_put_after_a_delete_creates() {
    let replica = Launch::new().start();
    let mut v = V::none();
    for value in ["1", "2", "3"] {
        v = replica
            .put("k", value, &v)
            .expect_result(201, "created")
            .v();
        assert_eq!(replica.get("k", &v).member("value").unwrap(), value);
        v = replica.delete("k", &v).expect_result(200, "deleted").v();
    }
}

#[test]
fn results_have_no_members_but_those_of_the_contract() {
    let replica = Launch::new().start();
    let members = |answer: &crate::support::Answer| {
        let json = answer.json();
        let names: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        names
    };
    let put = replica.put("k", "1", &V::none()).expect(201);
    assert_eq!(members(&put), ["causal-metadata", "result"]);
    let got = replica.get("k", &put.v()).expect(200);
    assert_eq!(members(&got), ["causal-metadata", "result", "value"]);
    let deleted = replica.delete("k", &got.v()).expect(200);
    assert_eq!(members(&deleted), ["causal-metadata", "result"]);
}

#[test]
fn a_delete_is_a_write_that_later_metadata_depends_on() {
    let replica = Launch::new().start();
    let put = replica.put("k", "1", &V::none()).expect(201).v();
    let deleted = replica.delete("k", &put).expect(200).v();
    assert!(
        deleted.covers(&put) && !put.covers(&deleted),
        "{put:?} {deleted:?}"
    );
}

#[test]
fn metadata_of_an_answer_covers_what_the_client_sent() {
    let replica = Launch::new().start();
    let mine = replica.put("a", "1", &V::none()).expect(201).v();
    let yours = replica.put("b", "1", &V::none()).expect(201).v();
    let put = replica.put("c", "1", &mine).expect(201).v();
    assert!(put.covers(&mine), "{put:?} {mine:?}");
    let found = replica.get("b", &put).expect(200).v();
    assert!(found.covers(&put) && found.covers(&yours), "{found:?}");
    let deleted = replica.delete("a", &found).expect(200).v();
    assert!(deleted.covers(&found), "{deleted:?} {found:?}");
}

#[test]
fn every_write_makes_metadata_that_older_metadata_does_not_cover() {
    let replica = Launch::new().start();
    let mut last = replica.put("k", "0", &V::none()).expect(201).v();
    for value in ["1", "2", "3"] {
        let next = replica.put("k", value, &last).expect(200).v();
        assert!(
            next.covers(&last) && !last.covers(&next),
            "{last:?} {next:?}"
        );
        last = next;
    }
}

#[test]
fn old_metadata_is_always_satisfiable() {
    let replica = Launch::new().start();
    let mut all = vec![V::none()];
    for value in ["1", "2", "3"] {
        let v = replica.put("k", value, all.last().unwrap()).v();
        all.push(v);
    }
    for old in &all {
        replica.get("k", old).expect_result(200, "found");
        replica.put("other", "1", old);
    }
    for old in &all {
        replica.put("k", "4", old).expect_result(200, "replaced");
    }
}

#[test]
fn a_key_is_not_changed_by_writes_to_others() {
    let replica = Launch::new().start();
    for i in 0..100 {
        let (key, value) = (format!("k{i}"), i.to_string());
        replica
            .put(&key, &value, &V::none())
            .expect_result(201, "created");
    }
    replica.delete("k50", &V::none()).expect(200);
    for i in (0..100).filter(|i| *i != 50) {
        let answer = replica.get(&format!("k{i}"), &V::none()).expect(200);
        assert_eq!(answer.member("value").unwrap(), i.to_string());
    }
}

#[test]
fn the_content_type_of_a_request_does_not_matter() {
    let replica = Launch::new().start();
    for kind in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "nonsense",
        "application/json",
    ] {
        let put = Request::new("PUT", "/kvs/k").header("Content-Type", kind);
        let answer = replica.ask(&put.body(format!("{{\"value\":{kind:?}}}")));
        assert!([200, 201].contains(&answer.status), "{kind}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let found = replica.get("k", &V::none()).expect(200);
        assert_eq!(found.member("value").unwrap(), format!("{kind:?}"));
    }
}
