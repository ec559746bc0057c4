//! Deletes by the thousand: their traces go once every member has them, and not before.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{A, B, C, Cluster};
use crate::connection::Connection;
use crate::http::{reading, writing};
use crate::time::{now, pause, within};

/// How many keys are written and deleted in each part of the test; `CAUSET_CONTAINER_DELETES` names another number.
const KEYS: usize = 10_000;
const VARIABLE: &str = "CAUSET_CONTAINER_DELETES";

/// Connections to each replica that is written to.
const CONNECTIONS: usize = 16;

/// The whole of it takes seconds; a busy machine may need longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Twice as long as tombstones are kept that all members have.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

#[test]
fn tombstones_of_very_many_deletes_go_once_all_have_them_and_stay_while_a_member_is_cut_off() {
    let Some(cluster) = Cluster::ready("deletes") else {
        return;
    };
    let keys = number_of_keys();

    let began = now();
    run(&cluster, &[A, B, C], keys, "PUT");
    await_gauge(&cluster, &[A, B, C], "causet_keys", keys);
    println!(
        "{keys} keys written and everywhere after {:?}",
        now() - began
    );
    let began = now();
    run(&cluster, &[A, B, C], keys, "DELETE");
    let deleted = now();
    println!("and deleted in {:?}", deleted - began);
    await_none(&cluster, deleted, keys);

    run(&cluster, &[A, B], keys, "PUT");
    await_gauge(&cluster, &[A, B, C], "causet_keys", keys);
    cluster.disconnect(C);
    run(&cluster, &[A, B], keys, "DELETE");
    await_gauge(&cluster, &[A, B], "causet_tombstones", keys);
    let holder = format!(
        "causet_tombstones_held_back_by{{member=\"{}\"}}",
        cluster.address(C)
    );
    await_gauge(&cluster, &[A, B], &holder, 1);
    // To see that something does not happen.
    pause(LONG_ENOUGH);
    for replica in [A, B] {
        assert_eq!(gauge(&cluster, replica, "causet_tombstones"), keys);
        assert_eq!(gauge(&cluster, replica, &holder), 1);
    }
    cluster.reconnect(C);
    await_none(&cluster, now(), 2 * keys);
    await_gauge(&cluster, &[A, B], &holder, 0);
    cluster.await_converged(now(), PATIENCE);
}

fn number_of_keys() -> usize {
    let named = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    named.map_or(KEYS, |text| {
        let number = text.parse().ok().filter(|number| *number > 0);
        number.unwrap_or_else(|| panic!("{VARIABLE} is {text:?}, not a number of keys from 1"))
    })
}

/// Waits until no replica has a key or a tombstone, and each has collected so many.
fn await_none(cluster: &Cluster, since: Instant, collected: usize) {
    let all = [A, B, C];
    await_gauge(cluster, &all, "causet_keys", 0);
    await_gauge(
        cluster,
        &all,
        "causet_tombstones_collected_total",
        collected,
    );
    await_gauge(cluster, &all, "causet_tombstones", 0);
    println!("no tombstone left at any replica after {:?}", now() - since);
}

fn await_gauge(cluster: &Cluster, replicas: &[usize], name: &str, value: usize) {
    within(now(), PATIENCE, || {
        let shown: Vec<usize> = replicas.iter().map(|&r| gauge(cluster, r, name)).collect();
        let all = shown.iter().all(|shown| *shown == value);
        all.then_some(())
            .ok_or_else(|| format!("{name} is {shown:?}, not {value}"))
    });
}

/// A metric of a replica; 0 if it is not shown.
fn gauge(cluster: &Cluster, replica: usize, name: &str) -> usize {
    let metrics = cluster.metrics(replica);
    let values = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let mut values = values.filter_map(|value| value.strip_prefix(' '));
    let value = values.next().map(str::parse);
    value.map_or(0, |value| value.expect("a whole number"))
}

/// Writes or deletes all keys, each at one of these replicas, by several connections at once.
fn run(cluster: &Cluster, replicas: &[usize], keys: usize, method: &str) {
    let clients = replicas.len() * CONNECTIONS;
    thread::scope(|scope| {
        for client in 0..clients {
            let port = cluster.published(replicas[client % replicas.len()]);
            let numbers: Vec<usize> = (client..keys).step_by(clients).collect();
            scope.spawn(move || send(&port, &numbers, method));
        }
    });
}

/// Passes the newest metadata on, as every client does.
fn send(port: &str, numbers: &[usize], method: &str) {
    let mut connection = Connection::to(port);
    let mut known = Value::Null;
    for number in numbers {
        let path = format!("/kvs/key-{number}");
        let (body, expected) = match method {
            "PUT" => (writing("some", &known), 201),
            _ => (reading(&known), 200),
        };
        let answer = connection.ask(method, &path, &body);
        assert_eq!(answer.status, expected, "{method} {path}: {answer:?}");
        known = answer.metadata();
    }
}
