//! Runs the command in an empty environment and waits for what it should bring about.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// For conditions that hold within moments on an idle machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The command with `arguments` alone: no variable of the caller's reaches it.
pub(crate) fn causet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causet"));
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A process that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// What it said last on standard error.
    pub(crate) fn last_line(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

pub(crate) async fn run(mut command: Command) -> Ended {
    end_of(command.spawn().expect("the command starts")).await
}

/// Waits for the end of a process and of what it prints.
pub(crate) async fn end_of(child: Child) -> Ended {
    let ended = timeout(DEADLINE, child.wait_with_output()).await;
    let output = ended.expect("it ends within the deadline").unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits until `condition` holds; fails, naming it, when it does not within the deadline.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Sends a signal, by name, to a process of this test.
pub(crate) fn send(signal: &str, pid: u32) {
    let kill = format!("kill -{signal} {pid}");
    let status = std::process::Command::new("sh")
        .args(["-c", &kill])
        .status();
    assert!(status.unwrap().success(), "{kill}");
}

/// Whether the process runs; one that has ended but was not yet waited for does not.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, fields)| fields.as_bytes()[0]);
    state.is_some_and(|state| state != b'Z' && state != b'X')
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// How often this process has looked for ports.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// `count` ports in a row that nobody has, TCP and UDP, below those that systems hand out by themselves.
pub(crate) fn free_ports(count: u16) -> Range<u16> {
    // Tests run in processes or threads of their own: each looks first where the others do not.
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let start = (std::process::id() + 97 * call) * 16 % 10_000;
    let bases = (0..10_000)
        .step_by(16)
        .map(|step| 20_000 + (start + step) % 10_000);
    let mut ranges = bases
        .map(|base| u16::try_from(base).unwrap())
        .map(|base| base..base + count);
    ranges
        .find(|ports| are_free(ports.clone()))
        .expect("some free ports")
}

pub(crate) fn are_free(mut ports: Range<u16>) -> bool {
    ports.all(|port| {
        TcpListener::bind(loopback(port)).is_ok() && UdpSocket::bind(loopback(port)).is_ok()
    })
}

/// The HTTP status with which `port` answers a GET, if it does.
pub(crate) async fn status(port: u16, path: &str) -> Option<u16> {
    let answer = text(port, path).await?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// What `port` answers to a GET, if it does.
pub(crate) async fn text(port: u16, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(loopback(port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    };
    timeout(DEADLINE, exchange).await.ok()?.ok()
}
