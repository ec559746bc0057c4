//! `causet forget`: what it says, what it asks, and what it does.

use std::net::TcpListener;
use std::process::Stdio;

use tokio::process::Child;

use crate::support::{Ended, causet, free_ports, loopback, run, status, text, until};

/// Replicas at these ports that have met.
async fn cluster(ports: std::ops::Range<u16>) -> Vec<Child> {
    let all: Vec<String> = ports
        .clone()
        .map(|port| loopback(port).to_string())
        .collect();
    let mut replicas = Vec::new();
    for address in &all {
        let mut command = causet(&["replica", "--socket-address", address]);
        command.env("VIEW", all.join(",")).stderr(Stdio::null());
        replicas.push(command.spawn().unwrap());
    }
    for port in ports {
        until("the replica serves", async || {
            status(port, "/ready").await == Some(200)
        })
        .await;
        // Whom a replica has not met it sees too at first: what is decided about that one then means no life of it.
        let others = all.iter().filter(|a| **a != loopback(port).to_string());
        let steady: Vec<String> = others
            .map(|other| format!("causet_link_state{{peer=\"{other}\"}} 2\n"))
            .collect();
        until("it has met the others", async || {
            let metrics = text(port, "/metrics").await.unwrap_or_default();
            steady.iter().all(|link| metrics.contains(link))
        })
        .await;
    }
    replicas
}

async fn forget(address: u16, node: u16) -> Ended {
    let address = loopback(address).to_string();
    let node = format!("http://127.0.0.1:{node}");
    run(causet(&["forget", &address, "--node", &node, "--yes"])).await
}

#[actix_rt::test]
async fn a_replica_that_is_down_is_forgotten_after_it_was_said_what_that_means() {
    let ports = free_ports(2);
    let (live, dead) = (ports.start, ports.start + 1);
    let mut replicas = cluster(ports).await;
    replicas[1].kill().await.unwrap();
    let mut said = None;
    until("it is missed", async || {
        let ended = forget(dead, live).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let first = said.is_none();
        said.get_or_insert(ended.clone());
        first || ended.stderr.contains("is not in the view of")
    })
    .await;
    let ended = said.unwrap();
    let address = loopback(dead);
    assert_eq!(ended.stdout, format!("{address} is forgotten\n"));
    for words in [
        "Writes that only it holds",
        "Deletes are no longer kept",
        "out of all views",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

#[actix_rt::test]
async fn a_replica_that_is_up_is_said_to_be_so() {
    let ports = free_ports(2);
    let (asked, other) = (ports.start, ports.start + 1);
    let _replicas = cluster(ports).await;
    let ended = forget(other, asked).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let start = format!("127.0.0.1:{other} is up, as 127.0.0.1:{asked} sees it.");
    assert!(ended.stderr.starts_with(&start), "{ended:?}");
    until("it knows that it is out", async || {
        status(other, "/ready").await == Some(503)
    })
    .await;
}

#[actix_rt::test]
async fn without_a_terminal_and_without_yes_nothing_is_done() {
    let ports = free_ports(2);
    let (asked, other) = (ports.start, ports.start + 1);
    let _replicas = cluster(ports).await;
    let node = format!("http://127.0.0.1:{asked}");
    let ended = run(causet(&[
        "forget",
        &loopback(other).to_string(),
        "--node",
        &node,
    ]))
    .await;
    assert_eq!(ended.code, Some(2));
    assert_eq!(
        ended.stderr,
        "causet: standard input is no terminal to ask at: say --yes if it is meant\n"
    );
    // Had it been forgotten, it would be removed, and not in this view any more.
    let ended = forget(other, asked).await;
    assert!(ended.stderr.contains("is up"), "{ended:?}");
}

#[actix_rt::test]
async fn what_the_node_does_not_know_cannot_be_forgotten() {
    let ports = free_ports(1);
    let _replicas = cluster(ports.clone()).await;
    let ended = forget(9, ports.start).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let expected = format!(
        "causet: 127.0.0.1:{} knows no replica 127.0.0.1:9",
        ports.start
    );
    assert_eq!(ended.last_line(), expected);
}

#[actix_rt::test]
async fn where_no_replica_answers_one_line_says_so() {
    let port = free_ports(1).start;
    let ended = forget(9, port).await;
    assert_eq!(ended.code, Some(1));
    let start = format!("causet: no answer from 127.0.0.1:{port}: ");
    assert!(ended.stderr.starts_with(&start), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1);

    let silent = TcpListener::bind(loopback(port)).unwrap();
    let ended = forget(9, port).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.ends_with("within 5s\n"), "{ended:?}");
    drop(silent);
}

#[actix_rt::test]
async fn bad_arguments_are_one_line_and_exit_code_2() {
    for arguments in [
        &["forget"][..],
        &["forget", "nowhere", "--yes"],
        &["forget", "127.0.0.1:9", "--node", "nowhere", "--yes"],
    ] {
        let ended = run(causet(arguments)).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.starts_with("causet: "), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}

#[actix_rt::test]
async fn its_help_has_an_example_and_the_exit_codes() {
    let help = run(causet(&["forget", "--help"])).await;
    assert_eq!(help.code, Some(0));
    for said in [
        "<IP:PORT>",
        "--node <http://HOST:PORT>",
        "[default: http://127.0.0.1:8090]",
        "--yes",
        "causet forget 10.10.0.4:8090 --node http://127.0.0.1:8082",
        "Exit codes: 0",
    ] {
        assert!(help.stdout.contains(said), "{said}: {}", help.stdout);
    }
}
