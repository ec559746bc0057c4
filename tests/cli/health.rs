//! `causet health`: 0 or 1, never 2, which Docker reserves.

use std::net::TcpListener;

use crate::support::{causet, free_ports, loopback, run, status, until};

#[actix_rt::test]
async fn a_living_replica_is_healthy() {
    let port = free_ports(1).start;
    let address = loopback(port).to_string();
    let mut command = causet(&["replica", "--socket-address", &address]);
    let _replica = command.spawn().unwrap();
    until("the replica lives", async || {
        status(port, "/health").await == Some(200)
    })
    .await;

    let mut by_address = causet(&["health"]);
    by_address.env("SOCKET_ADDRESS", format!("10.10.0.2:{port}"));
    for command in [causet(&["health", "--port", &port.to_string()]), by_address] {
        let ended = run(command).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}

#[actix_rt::test]
async fn where_nobody_answers_one_line_says_so() {
    let port = free_ports(1).start;
    let ended = run(causet(&["health", "--port", &port.to_string()])).await;
    assert_eq!(ended.code, Some(1));
    let start = format!("causet: 127.0.0.1:{port} is not healthy: ");
    assert!(
        ended.stderr.starts_with(&start) && ended.stderr.lines().count() == 1,
        "{ended:?}"
    );
}

#[actix_rt::test]
async fn one_that_takes_a_connection_and_says_nothing_is_not_healthy() {
    let port = free_ports(1).start;
    let _silent = TcpListener::bind(loopback(port)).unwrap();
    let ended = run(causet(&["health", "--port", &port.to_string()])).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.ends_with("no answer within 2s\n"), "{ended:?}");
}

#[actix_rt::test]
async fn settings_that_cannot_be_used_are_no_health() {
    let mut command = causet(&["health"]);
    command.env("SOCKET_ADDRESS", "nowhere");
    let ended = run(command).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .stderr
            .starts_with("causet: SOCKET_ADDRESS: \"nowhere\""),
        "{ended:?}"
    );
}
