//! `causet cluster`: it starts, tells how to talk to it, and leaves nothing behind however it ends.

use std::net::{TcpListener, UdpSocket};
use std::ops::Range;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::support::{
    DEADLINE, are_free, causet, end_of, free_ports, is_running, loopback, run, send, status, until,
};

fn cluster(ports: &Range<u16>) -> Command {
    let mut command = causet(&["cluster", "--nodes", &ports.len().to_string()]);
    command.env("CAUSET_BASE_PORT", ports.start.to_string());
    command
}

/// A cluster that has told how to talk to it.
struct Cluster {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
    /// All it printed to standard output.
    said: String,
    /// The processes of its replicas, as it printed them.
    pids: Vec<u32>,
}

impl Cluster {
    async fn ready(ports: &Range<u16>) -> Self {
        let mut child = cluster(ports).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        while !said.contains("Ctrl-C ends") {
            let line = timeout(DEADLINE, stdout.next_line()).await;
            let line = line.expect("it gets ready").unwrap();
            said += &line.expect("it does not end before it is ready");
            said.push('\n');
        }
        let pids = said.split("(process ").skip(1);
        let pids: Vec<u32> = pids
            .map(|rest| rest.split(')').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(pids.len(), ports.len(), "{said}");
        assert!(pids.iter().all(|pid| is_running(*pid)), "{said}");
        Self {
            child,
            stderr,
            said,
            pids,
        }
    }

    fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Reads the log until a line that contains `text`.
    async fn log_says(&mut self, text: &str) -> String {
        let found = async {
            loop {
                let line = self.stderr.next_line().await.unwrap();
                let line = line.expect("it says so before it ends");
                if line.contains(text) {
                    return line;
                }
            }
        };
        timeout(DEADLINE, found)
            .await
            .unwrap_or_else(|_| panic!("not logged: {text}"))
    }
}

async fn nothing_is_left(pids: &[u32], ports: Range<u16>) {
    until("all replicas have ended", async || {
        !pids.iter().any(|pid| is_running(*pid))
    })
    .await;
    until("all ports are free", async || are_free(ports.clone())).await;
}

#[actix_rt::test]
async fn ctrl_c_ends_every_replica_and_frees_every_port() {
    for signal in ["INT", "TERM"] {
        let ports = free_ports(3);
        let cluster = Cluster::ready(&ports).await;
        for port in ports.clone() {
            assert!(
                cluster
                    .said
                    .contains(&format!("  http://127.0.0.1:{port} ")),
                "{}",
                cluster.said
            );
            assert_eq!(status(port, "/ready").await, Some(200));
        }
        let (pids, pid) = (cluster.pids, cluster.child.id().unwrap());
        send(signal, pid);
        // Its pipes are read on, as a terminal would.
        let mut stderr = cluster.stderr;
        while timeout(DEADLINE, stderr.next_line())
            .await
            .unwrap()
            .unwrap()
            .is_some()
        {}
        assert_eq!(end_of(cluster.child).await.code, Some(0));
        assert!(!pids.iter().any(|pid| is_running(*pid)));
        assert!(are_free(ports));
    }
}

#[actix_rt::test]
async fn a_cluster_that_is_killed_takes_its_replicas_along() {
    let ports = free_ports(3);
    let mut cluster = Cluster::ready(&ports).await;
    cluster.child.kill().await.unwrap();
    nothing_is_left(&cluster.pids, ports).await;
}

#[actix_rt::test]
async fn a_second_ctrl_c_kills_what_does_not_stop() {
    let ports = free_ports(2);
    let cluster = Cluster::ready(&ports).await;
    let (frozen, other) = (cluster.pids[1], cluster.pids[0]);
    send("STOP", frozen);
    send("INT", cluster.pid());
    until("the other has stopped", async || !is_running(other)).await;
    send("INT", cluster.pid());
    let (pids, stderr) = (cluster.pids, cluster.stderr);
    assert_eq!(end_of(cluster.child).await.code, Some(1));
    drop(stderr);
    nothing_is_left(&pids, ports).await;
}

#[actix_rt::test]
async fn a_replica_that_ends_is_told_and_the_others_go_on() {
    let ports = free_ports(3);
    let mut cluster = Cluster::ready(&ports).await;
    send("KILL", cluster.pids[1]);
    let line = cluster.log_says("ended unexpectedly").await;
    assert!(
        line.contains(&loopback(ports.start + 1).to_string()),
        "{line}"
    );
    assert_eq!(status(ports.start, "/ready").await, Some(200));
    assert_eq!(status(ports.start + 2, "/ready").await, Some(200));
    send("TERM", cluster.pid());
    nothing_is_left(&cluster.pids, ports).await;
}

#[actix_rt::test]
async fn the_logs_of_replicas_carry_their_addresses() {
    let ports = free_ports(2);
    let mut cluster = Cluster::ready(&ports).await;
    send("TERM", cluster.pid());
    for port in ports {
        let line = cluster.log_says(&format!("127.0.0.1:{port} | ")).await;
        assert!(line.contains("INFO"), "{line}");
    }
}

#[actix_rt::test]
async fn a_port_in_use_ends_the_start_before_it_begins() {
    let ports = free_ports(3);
    let last = ports.end - 1;
    let tcp = TcpListener::bind(loopback(last)).unwrap();
    let ended = run(cluster(&ports)).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(1), ""),
        "{ended:?}"
    );
    assert!(
        ended.stderr.starts_with(&format!(
            "causet: TCP port {last} of 127.0.0.1 cannot be used: "
        )),
        "{ended:?}"
    );
    assert_eq!(
        ended.stderr.lines().count(),
        1,
        "a replica was started: {ended:?}"
    );

    drop(tcp);
    let _udp = UdpSocket::bind(loopback(last)).unwrap();
    let ended = run(cluster(&ports)).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.starts_with(&format!(
            "causet: UDP port {last} of 127.0.0.1 cannot be used: "
        )),
        "{ended:?}"
    );
    assert_eq!(
        ended.stderr.lines().count(),
        1,
        "a replica was started: {ended:?}"
    );
}

/// The commands to paste are the lines that are indented, but for the list of addresses.
fn conversation(said: &str) -> String {
    let indented = said.lines().filter_map(|line| line.strip_prefix("  "));
    let commands: Vec<&str> = indented.filter(|line| !line.starts_with("http")).collect();
    commands.join("\n")
}

#[actix_rt::test]
async fn the_conversation_goes_as_it_is_told() {
    if std::process::Command::new("curl")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("skipped: there is no curl, by which the conversation is held");
        return;
    }
    for nodes in [1, 3] {
        let ports = free_ports(nodes);
        let cluster = Cluster::ready(&ports).await;
        // Twice, as it may be pasted twice.
        for _ in 0..2 {
            let mut shell = Command::new("sh");
            let script = conversation(&cluster.said);
            shell
                .args(["-eu", "-c", &script])
                .stdout(std::process::Stdio::piped());
            let ended = end_of(shell.kill_on_drop(true).spawn().unwrap()).await;
            let expected: &[&str] = match nodes {
                1 => &[r#""value":"where?""#],
                _ => &[
                    r#""value":"where?""#,
                    r#""error":"Causal dependencies not satisfied; try again later""#,
                    r#""value":"where?""#,
                    r#""value":"noodles""#,
                ],
            };
            let answers: Vec<&str> = ended.stdout.lines().collect();
            assert_eq!(answers.len(), expected.len(), "{script}\n{ended:?}");
            for (answer, expected) in answers.iter().zip(expected) {
                assert!(answer.contains(expected), "{script}\n{ended:?}");
            }
        }
    }
}
