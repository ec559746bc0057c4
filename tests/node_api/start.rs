//! §1: what a replica is told at its start, and what it starts with.

use std::process::Output;
use std::time::Duration;

use crate::support::replica::{get, program, run_to_its_end};
use crate::support::waiting::{PATIENCE, now};
use crate::support::{Cluster, Launch, Request, V, eventually};

/// How long a starting replica waits for somebody to start from (contract §3).
const BOOTSTRAP: Duration = Duration::from_millis(500);

fn output_with(variables: &[(&str, &str)]) -> Output {
    let mut command = program();
    command.arg("replica").envs(variables.iter().copied());
    run_to_its_end(command)
}

/// The process ended with code 2 and one line that has all of these words.
#[track_caller]
fn assert_refused(output: &Output, words: &[&str]) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[test]
fn a_bad_socket_address_ends_the_process_with_one_line_and_code_2() {
    for bad in ["nonsense", "127.0.0.1", "127.0.0.1:0", "host:8090", ""] {
        let output = output_with(&[("SOCKET_ADDRESS", bad)]);
        assert_refused(&output, &["SOCKET_ADDRESS", bad, "IP:PORT"]);
    }
}

#[test]
fn a_bad_view_ends_the_process_with_one_line_and_code_2() {
    let address = ("SOCKET_ADDRESS", "127.0.0.1:8090");
    for bad in ["127.0.0.1:8090;127.0.0.1:8091", "127.0.0.1:8090,x"] {
        let output = output_with(&[address, ("VIEW", bad)]);
        assert_refused(&output, &["VIEW", "IP:PORT"]);
    }
}

#[test]
fn a_view_without_a_socket_address_ends_the_process_with_one_line_and_code_2() {
    let output = output_with(&[("VIEW", "127.0.0.1:8090")]);
    assert_refused(&output, &["SOCKET_ADDRESS"]);
}

#[test]
fn a_replica_without_view_is_alone_in_it() {
    let replica = Launch::new().start();
    assert_eq!(replica.view(), [replica.name()]);
}

#[test]
fn a_replica_missing_from_its_view_is_added_to_it() {
    let first = Launch::new().start();
    let second = Launch::new().view(first.name()).start();
    eventually(PATIENCE, "the view has both", || {
        let view = second.view();
        let both = view.contains(&first.name()) && view.contains(&second.name());
        if both && view.len() == 2 {
            Ok(())
        } else {
            Err(view)
        }
    });
}

#[test]
fn a_replica_listens_on_all_interfaces_at_the_port_of_its_address() {
    let launch = Launch::new().at([127, 0, 0, 5], None);
    let port = launch.address().port();
    let replica = launch.start();
    for interface in ["127.0.0.1", "127.0.0.5", "127.0.0.77"] {
        let to = format!("{interface}:{port}").parse().unwrap();
        let mut connection = crate::support::Connection::open(to).unwrap();
        let answer = connection.ask(&Request::new("GET", "/view")).unwrap();
        assert_eq!(answer.expect(200).json()["view"][0], replica.name());
    }
}

#[test]
fn a_newcomer_joins_the_cluster_it_finds_and_takes_over_its_data() {
    let cluster = Cluster::of(2);
    let v = cluster[0]
        .put("k", "\"before\"", &V::none())
        .expect(201)
        .v();
    let newcomer = Launch::new().view(cluster[1].name()).spawn();
    let first_served = eventually(PATIENCE, "the newcomer serves", || {
        let answer = newcomer.try_ask(&get("k", &V::none()));
        answer.ok().filter(|answer| answer.status != 503).ok_or(())
    });
    // It answers only once it has the data and the clock: never without the key, never a 503 for old metadata.
    assert_eq!(
        first_served.expect(200).member("value").unwrap(),
        "\"before\""
    );
    newcomer.get("k", &v).expect_result(200, "found");
    let everybody = [cluster.names(), vec![newcomer.name()]].concat();
    for replica in cluster.iter().chain([&newcomer]) {
        eventually(PATIENCE, "everybody sees everybody", || {
            let view = replica.view();
            let all = everybody.iter().all(|name| view.contains(name));
            if all && view.len() == 3 {
                Ok(())
            } else {
                Err(view)
            }
        });
    }
}

#[test]
fn a_restarted_replica_that_is_alone_is_empty() {
    let mut replica = Launch::new().start();
    replica.put("k", "1", &V::none()).expect(201);
    replica.kill();
    replica.restart();
    replica.await_ready();
    replica
        .get("k", &V::none())
        .expect_error(404, "Key does not exist");
    replica
        .put("k", "2", &V::none())
        .expect_result(201, "created");
}

#[test]
fn a_restarted_replica_catches_up_from_a_live_peer_before_it_serves() {
    let mut cluster = Cluster::of(2);
    cluster[0].put("k", "1", &V::none()).expect(201);
    cluster[1].kill();
    let v = cluster[0].put("k", "2", &V::none()).expect(200).v();
    cluster[1].restart();
    let answer = eventually(PATIENCE, "the restarted replica serves", || {
        let answer = cluster[1].try_ask(&get("k", &V::none()));
        answer.ok().filter(|answer| answer.status != 503).ok_or(())
    });
    assert_eq!(answer.expect(200).member("value").unwrap(), "2");
    cluster[1].get("k", &v).expect_result(200, "found");
}

#[test]
fn a_replica_that_finds_nobody_is_starting_and_then_serves() {
    let nobody = Launch::new();
    let replica = Launch::new()
        .view(nobody.address().to_string())
        .settings(&[("bootstrap-ms", "3000")])
        .spawn();
    let answer = eventually(PATIENCE, "it listens", || {
        replica.try_ask(&get("k", &V::none()))
    });
    answer.expect_error(503, "Replica is starting");
    let put = crate::support::replica::put("k", "1", &V::none());
    replica.ask(&put).expect_error(503, "Replica is starting");
    replica.fetch("/ready").expect(503);
    replica.fetch("/health").expect(200);
    assert!(replica.view().contains(&replica.name()));
    replica.await_ready();
    replica.ask(&put).expect_result(201, "created");
}

#[test]
fn a_replica_that_finds_nobody_waits_half_a_second_before_it_serves() {
    let nobody = Launch::new();
    let start = now();
    let replica = Launch::new().view(nobody.address().to_string()).start();
    let waited = start.elapsed();
    replica
        .put("k", "1", &V::none())
        .expect_result(201, "created");
    assert!(waited >= BOOTSTRAP, "served after {waited:?}");
}
