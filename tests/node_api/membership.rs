//! §3: the rows of `/view`.

use std::time::Duration;

use serde_json::json;

use crate::support::waiting::{PATIENCE, now, pause};
use crate::support::{Cluster, Launch, Request, V, eventually, until};

const BAD: &str = "socket-address is missing or malformed";

/// Nobody answers here: a loopback address that no test uses, and the discard port.
const NOBODY: &str = "127.0.0.9:9";

#[test]
fn every_view_of_a_cluster_has_all_replicas_sorted_numerically() {
    let cluster = Cluster::of(3);
    for replica in cluster.iter() {
        let answer = replica.fetch("/view").expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.json(), json!({"view": cluster.names()}));
    }
}

#[test]
fn views_are_sorted_by_number_and_not_by_text() {
    let replica = Launch::new().start();
    let added = ["127.0.0.10:80", "127.0.0.9:1000", "127.0.0.9:999"];
    for address in added {
        replica.ask_view("PUT", address).expect_result(201, "added");
    }
    let own = replica.name();
    let sorted = [&own, "127.0.0.9:999", "127.0.0.9:1000", "127.0.0.10:80"];
    assert_eq!(replica.view(), sorted);
}

#[test]
fn an_added_address_is_in_the_view_at_once_and_then_already_present() {
    let replica = Launch::new().start();
    replica.ask_view("PUT", NOBODY).expect_result(201, "added");
    assert!(replica.view().contains(&NOBODY.to_owned()));
    replica
        .ask_view("PUT", NOBODY)
        .expect_result(200, "already present");
}

#[test]
fn an_address_that_nobody_answers_at_is_dropped_after_the_grace() {
    let replica = Launch::new()
        .settings(&[("startup-grace-ms", "1000")])
        .start();
    replica.ask_view("PUT", NOBODY).expect_result(201, "added");
    assert!(replica.view().contains(&NOBODY.to_owned()));
    // One second of grace, and the time in which a silent replica is noticed.
    eventually(Duration::from_secs(1 + 5), "the address is dropped", || {
        let view = replica.view();
        if view == [replica.name()] {
            Ok(())
        } else {
            Err(view)
        }
    });
}

/// A replica keeps a peer that nobody ever saw for this long, and then as long as noticing takes at most.
fn assert_grace(settings: &[(&str, &str)], grace: Duration) {
    let nobody = Launch::new();
    let name = nobody.address().to_string();
    let replica = Launch::new().view(name.clone()).settings(settings).spawn();
    let start = now();
    replica.await_ready();
    let rounding = Duration::from_millis(100);
    while start.elapsed() + rounding < grace {
        let (view, asked) = (replica.view(), start.elapsed());
        let kept = view.contains(&name);
        assert!(kept || asked + rounding >= grace, "dropped after {asked:?}");
        pause();
    }
    until(Duration::from_secs(5), "the address is dropped", || {
        replica.view() == [replica.name()]
    });
}

#[test]
fn peers_never_seen_stay_in_the_view_for_the_grace_and_no_longer() {
    assert_grace(&[("startup-grace-ms", "3000")], Duration::from_secs(3));
}

#[test]
fn the_default_grace_is_ten_seconds() {
    assert_grace(&[], Duration::from_secs(10));
}

#[test]
fn naming_oneself_is_already_present() {
    let replica = Launch::new().start();
    let name = replica.name();
    replica
        .ask_view("PUT", &name)
        .expect_result(200, "already present");
    assert_eq!(replica.view(), [name]);
}

#[test]
fn a_deleted_address_is_out_of_the_view() {
    let replica = Launch::new().start();
    replica.ask_view("PUT", NOBODY).expect(201);
    replica
        .ask_view("DELETE", NOBODY)
        .expect_result(200, "deleted");
    assert_eq!(replica.view(), [replica.name()]);
    replica
        .ask_view("DELETE", NOBODY)
        .expect_error(404, "View has no such replica");
    replica.ask_view("PUT", NOBODY).expect_result(201, "added");
}

#[test]
fn an_address_that_is_not_in_the_view_cannot_be_deleted() {
    let replica = Launch::new().start();
    replica
        .ask_view("DELETE", NOBODY)
        .expect_error(404, "View has no such replica");
}

/// Bodies of requests that name no replica.
pub(crate) fn bodies_without_an_address() -> Vec<String> {
    let mut bodies: Vec<String> = [
        "",
        "{}",
        "null",
        "[]",
        "[\"127.0.0.9:9\"]",
        "not json",
        "\"127.0.0.9:9\"",
    ]
    .map(str::to_owned)
    .into();
    let members = ["null", "8090", "[]", "{}", "[\"127.0.0.9:9\"]"];
    bodies.extend(members.map(|m| format!("{{\"socket-address\":{m}}}")));
    let texts = [
        "",
        " ",
        "127.0.0.9",
        "127.0.0.9:",
        ":9",
        "127.0.0.9:0",
        "127.0.0.9:65536",
        "127.0.0.9:-1",
        "localhost:9",
        "0.0.0.0:9",
        "127.0.0.9:9,127.0.0.9:10",
        "http://127.0.0.9:9",
        "127.0.0.256:9",
        "127.0.0.9:9 x",
    ];
    bodies.extend(texts.map(|text| json!({"socket-address": text}).to_string()));
    bodies
}

#[test]
fn a_bad_or_missing_address_is_refused() {
    let replica = Launch::new().start();
    for body in bodies_without_an_address() {
        for method in ["PUT", "DELETE"] {
            let request = Request::new(method, "/view").body(body.clone());
            replica.ask(&request).expect_error(400, BAD);
        }
    }
    assert_eq!(replica.view(), [replica.name()]);
}

#[test]
fn a_put_and_a_delete_of_the_view_without_body_are_refused() {
    let replica = Launch::new().start();
    for method in ["PUT", "DELETE"] {
        replica
            .ask(&Request::new(method, "/view"))
            .expect_error(400, BAD);
    }
}

#[test]
fn a_live_replica_that_is_added_enters_every_view_and_shares_its_data() {
    let cluster = Cluster::of(2);
    let shared = cluster[0].put("shared", "1", &V::none()).expect(201).v();
    let loner = Launch::new().start();
    let brought = loner.put("brought", "2", &V::none()).expect(201).v();
    cluster[0]
        .ask_view("PUT", &loner.name())
        .expect_result(201, "added");
    for replica in cluster.iter().chain([&loner]) {
        eventually(PATIENCE, "everybody sees everybody", || {
            let view = replica.view();
            let all = cluster.names().iter().all(|name| view.contains(name));
            if all && view.contains(&loner.name()) && view.len() == 3 {
                Ok(())
            } else {
                Err(view)
            }
        });
        eventually(PATIENCE, "everybody has the data", || {
            replica.get_waiting("shared", &shared).having(200)?;
            replica.get_waiting("brought", &brought).having(200)
        });
    }
}

#[test]
fn a_replica_that_is_down_and_named_is_awaited_for_the_grace() {
    let mut cluster = Cluster::with_settings(2, &[("startup-grace-ms", "1500")]);
    let name = cluster[1].name();
    cluster[1].kill();
    cluster.await_views(PATIENCE, &[0], &[0]);
    cluster[0]
        .ask_view("PUT", &name)
        .expect_result(201, "added");
    assert!(cluster[0].view().contains(&name));
    cluster.await_views(PATIENCE, &[0], &[0]);
    cluster[1].restart();
    cluster.await_whole();
}

#[test]
fn a_newcomer_drops_a_peer_that_the_others_know_to_be_down() {
    let mut cluster = Cluster::of(3);
    let down = cluster[2].name();
    cluster[2].kill();
    cluster.await_views(PATIENCE, &[0, 1], &[0, 1]);
    let newcomer = Launch::new().view(cluster.names().join(",")).start();
    // Half of the ten seconds for which it would wait for a peer of which nobody knows anything.
    until(Duration::from_secs(5), "the view has who is up", || {
        let view = newcomer.view();
        view.len() == 3 && !view.contains(&down)
    });
}
