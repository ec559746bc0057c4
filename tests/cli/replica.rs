//! A replica as a process: how it starts, how it cannot, how it stops.

use std::net::{TcpListener, UdpSocket};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::support::{are_free, causet, end_of, free_ports, loopback, run, send, status, until};

/// A replica alone at `port`, configured as in a container: by its environment, without a command.
fn replica(port: u16) -> Command {
    let mut command = causet(&["--listen", "127.0.0.1"]);
    command.env("SOCKET_ADDRESS", loopback(port).to_string());
    command
}

async fn ready(mut command: Command, port: u16) -> Child {
    let child = command.spawn().unwrap();
    until("the replica is ready", async || {
        status(port, "/ready").await == Some(200)
    })
    .await;
    child
}

#[actix_rt::test]
async fn either_signal_stops_it_gracefully_and_frees_its_port() {
    for signal in ["TERM", "INT"] {
        let ports = free_ports(1);
        let child = ready(replica(ports.start), ports.start).await;
        send(signal, child.id().unwrap());
        let ended = end_of(child).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(
            ended.stderr.contains(&format!("SIG{signal}: stopping")),
            "{ended:?}"
        );
        assert!(are_free(ports));
    }
}

#[actix_rt::test]
async fn the_end_of_standard_input_stops_it_where_that_is_asked_for() {
    let port = free_ports(1).start;
    let mut command = replica(port);
    command.arg("--stop-on-stdin-eof").stdin(Stdio::piped());
    let mut child = ready(command, port).await;
    drop(child.stdin.take());
    assert_eq!(end_of(child).await.code, Some(0));
}

#[actix_rt::test]
async fn a_flag_wins_over_its_variable() {
    let port = free_ports(1).start;
    let mut command = causet(&[
        "--listen",
        "127.0.0.1",
        "--socket-address",
        &loopback(port).to_string(),
    ]);
    command.env("SOCKET_ADDRESS", "not an address");
    ready(command, port).await;
}

#[actix_rt::test]
async fn the_log_is_as_loud_as_asked_for() {
    let port = free_ports(1).start;
    let mut command = replica(port);
    command.env("RUST_LOG", "trace").env("CAUSET_LOG", "off");
    let child = ready(command, port).await;
    send("TERM", child.id().unwrap());
    assert_eq!(end_of(child).await.stderr, "");
}

#[actix_rt::test]
async fn a_port_in_use_is_told_in_one_line() {
    let port = free_ports(1).start;
    let tcp = TcpListener::bind(loopback(port)).unwrap();
    let ended = run(replica(port)).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let line = ended.last_line();
    assert!(
        line.starts_with("causet: ") && line.contains(&port.to_string()),
        "{ended:?}"
    );

    drop(tcp);
    let _udp = UdpSocket::bind(loopback(port)).unwrap();
    let ended = run(replica(port)).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let line = ended.last_line();
    assert!(
        line.starts_with("causet: ") && line.contains(&port.to_string()),
        "{ended:?}"
    );
}
