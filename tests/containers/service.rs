//! The image as a service: who it runs as, its health, its published port, the speed of replication.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{A, B, C, Cluster};
use crate::http::Answer;
use crate::time::{now, within};
use crate::{docker, http};

/// Several intervals of any sensible HEALTHCHECK.
const HEALTHY: Duration = Duration::from_secs(60);

#[test]
fn the_container_is_healthy_runs_as_an_ordinary_user_and_answers_at_its_published_port() {
    let Some(cluster) = Cluster::ready("service") else {
        return;
    };
    let status = docker::must(&["exec", &cluster.container(A), "cat", "/proc/1/status"]);
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let users: Vec<&str> = users
        .expect("a process has user ids")
        .split_whitespace()
        .collect();
    assert!(!users.contains(&"0"), "the replica runs as root: {users:?}");

    let body = http::writing("by the published port", &Value::Null);
    let written = ask(&cluster.published(A), "PUT", "/kvs/x", &body);
    assert_eq!(written.status, 201, "{written:?}");

    within(cluster.started, HEALTHY, || {
        let format = "{{.State.Health.Status}}";
        let health = docker::run(&["inspect", "--format", format, &cluster.container(A)])?;
        if health == "healthy" {
            Ok(())
        } else {
            Err(format!("health is {health}"))
        }
    });
}

#[test]
fn writes_reach_the_others_at_once_and_not_with_the_next_heartbeat() {
    const WRITES: usize = 30;
    let Some(cluster) = Cluster::ready("push") else {
        return;
    };
    // By the published ports, in no time compared to `docker exec`.
    let ports = [A, B, C].map(|replica| cluster.published(replica));
    let mut known = Value::Null;
    let mut delays: Vec<Duration> = (0..WRITES)
        .map(|number| {
            let path = format!("/kvs/key-{number}");
            let (others, writer) = (
                [&ports[(number + 1) % 3], &ports[(number + 2) % 3]],
                &ports[number % 3],
            );
            known = ask(writer, "PUT", &path, &http::writing("pushed", &known)).metadata();
            let written = now();
            within(written, Duration::from_secs(5), || {
                others.into_iter().try_for_each(|other| {
                    let read = ask(other, "GET", &path, &http::reading(&known));
                    let arrived = read.status == 200;
                    arrived
                        .then_some(())
                        .ok_or_else(|| format!("{other} answers {read:?}"))
                })
            })
        })
        .collect();
    delays.sort();
    // What two peers fetched every 250 ms would take 177 ms in the median. A machine that is busy
    // for a moment still passes.
    let median = delays[WRITES / 2];
    println!(
        "push: seen by both others after {median:?} in the median, {:?} at worst",
        delays[WRITES - 1]
    );
    assert!(median < Duration::from_millis(100), "seen after {delays:?}");
}

/// Asks at an address of this machine.
fn ask(address: &str, method: &str, path: &str, body: &Value) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the port is published");
    stream
        .write_all(&http::request(method, path, body))
        .expect("the request is taken");
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .expect("the answer ends with the connection");
    http::parse(&bytes).expect("an HTTP answer")
}
