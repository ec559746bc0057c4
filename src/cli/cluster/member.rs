//! One replica of the cluster: a process.

use std::process::Stdio;
use std::task::Poll;

use causet::core::id::Address;
use serde::Deserialize;
use tokio::process::{Child, ChildStdin, Command};

use super::logs::Logs;
use super::plan::Plan;
use crate::cli::probe;

/// A replica process. Killed when dropped.
#[derive(Debug)]
pub(super) struct Member {
    address: Address,
    child: Child,
    /// Its lifeline: the replica stops when this closes.
    lifeline: Option<ChildStdin>,
    /// Its process id.
    pub(super) pid: u32,
}

impl Member {
    /// Starts a replica at `address`, of this very program.
    pub(super) fn start(plan: &Plan, address: Address, logs: &Logs) -> std::io::Result<Self> {
        let mut child = command(plan, address)?.spawn()?;
        if let Some(stderr) = child.stderr.take() {
            logs.follow(address, stderr);
        }
        let lifeline = child.stdin.take();
        let pid = child.id().unwrap_or_default();
        Ok(Self {
            address,
            child,
            lifeline,
            pid,
        })
    }

    /// Begins the graceful stop; returns at once.
    pub(super) fn ask_to_stop(&mut self) {
        self.lifeline = None;
    }

    /// Returns when it has ended, and says how.
    pub(super) async fn end(&mut self) -> String {
        let address = self.address;
        match self.child.wait().await {
            Ok(status) => format!("replica {address} ended unexpectedly ({status})"),
            Err(error) => format!("replica {address} cannot be watched: {error}"),
        }
    }

    /// Ends it by force where it still runs.
    pub(super) async fn kill(&mut self, logs: &Logs) {
        if matches!(self.child.try_wait(), Ok(None)) {
            logs.say(&format!("replica {} does not stop: killed", self.address));
            let _ = self.child.kill().await;
        }
    }
}

fn command(plan: &Plan, address: Address) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("replica")
        .args(["--socket-address", &address.to_string()])
        .args(["--view", &plan.view()])
        .args(["--listen", "127.0.0.1"])
        .arg("--stop-on-stdin-eof")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if plan.map.is_sharded() {
        command.args(["--shard-count", &plan.map.count().to_string()]);
    }
    if let Some(filter) = &plan.log {
        command.args(["--log", filter]);
    }
    Ok(command)
}

/// Waits until one of `members` ends; says which, by its place among them, and how.
pub(super) async fn next_end(members: &mut [Member]) -> (usize, String) {
    let mut waits: Vec<_> = members
        .iter_mut()
        .map(|member| Box::pin(member.end()))
        .collect();
    std::future::poll_fn(|context| {
        let ended = waits.iter_mut().enumerate().find_map(|(place, wait)| {
            match wait.as_mut().poll(context) {
                Poll::Ready(how) => Some((place, how)),
                Poll::Pending => None,
            }
        });
        ended.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Whether every replica serves and sees all others.
pub(super) async fn all_ready(addresses: &[Address]) -> bool {
    for &address in addresses {
        if !is_ready(address).await || !sees_all(address, addresses).await {
            return false;
        }
    }
    true
}

async fn is_ready(address: Address) -> bool {
    let answer = probe::get(address.socket(), "/ready").await;
    answer.is_ok_and(|answer| answer.status == 200)
}

async fn sees_all(address: Address, all: &[Address]) -> bool {
    #[derive(Deserialize)]
    struct View {
        view: Vec<Address>,
    }
    let Ok(answer) = probe::get(address.socket(), "/view").await else {
        return false;
    };
    let view = serde_json::from_str::<View>(&answer.body);
    view.is_ok_and(|View { view }| view == all)
}
