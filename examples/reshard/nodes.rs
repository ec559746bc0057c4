//! The replicas: processes on this machine, which end with this one.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use causet::core::id::Address;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::Failure;
use crate::http::{Answer, Connection};

/// For any question but that for a reshard.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// A graceful stop takes below 2 s.
const STOP_WITHIN: Duration = Duration::from_secs(9);

/// One replica.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where.
    pub(crate) address: Address,
    child: RefCell<Child>,
    pid: u32,
    log: PathBuf,
    open: RefCell<Option<Connection>>,
}

impl Node {
    /// Starts one. It stops when its standard input ends, however this process ends.
    fn start(program: &Path, address: Address, view: &str, shards: u32) -> Result<Self, Failure> {
        let name = format!(
            "causet-reshard-{}-{}.log",
            std::process::id(),
            address.port()
        );
        let log = std::env::temp_dir().join(name);
        let child = Command::new(program)
            .arg("replica")
            .args(["--socket-address", &address.to_string()])
            .args(["--view", view, "--listen", "127.0.0.1"])
            .args(["--shard-count", &shards.to_string()])
            .arg("--stop-on-stdin-eof")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure(format!("{}: {error}", program.display())))?;
        let pid = child
            .id()
            .ok_or(Failure("a replica has ended".to_owned()))?;
        Ok(Self {
            address,
            child: RefCell::new(child),
            pid,
            log,
            open: RefCell::default(),
        })
    }

    /// Asks over a connection of its own.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Answer, Failure> {
        let asked = async {
            let kept = self.open.borrow_mut().take();
            let mut connection = match kept {
                Some(connection) => connection,
                None => Connection::open(self.address).await?,
            };
            let answer = connection.ask(method, path, body).await?;
            self.open.replace(Some(connection));
            Ok::<_, io::Error>(answer)
        };
        match tokio::time::timeout(ANSWER_WITHIN, asked).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure(format!("{}: no answer to {path}", self.address))),
        }
    }

    /// The JSON of an answer with status 200.
    pub(crate) async fn read(&self, path: &str) -> Result<Value, Failure> {
        let answer = self.ask("GET", path, "").await?;
        match answer.status {
            200 => Ok(serde_json::from_str(&answer.body)?),
            status => Err(Failure(format!("{path}: {status} {}", answer.body))),
        }
    }

    /// The metric of this name, all its series together.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64, Failure> {
        let text = self.ask("GET", "/metrics", "").await?.body;
        let series = text.lines().filter_map(|line| {
            let after = line.strip_prefix(name)?;
            let (labels, value) = after.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then(|| value.parse::<f64>().ok())?
        });
        Ok(series.sum())
    }

    /// Which shard it keeps.
    pub(crate) async fn shard(&self) -> Result<u32, Failure> {
        let answer = self.read("/shard/node-shard-id").await?;
        let text = answer["node-shard-id"].as_str().unwrap_or_default();
        let number = text
            .strip_prefix('s')
            .and_then(|number| number.parse().ok());
        number.ok_or_else(|| Failure(format!("{} keeps shard {text:?}", self.address)))
    }

    /// Resident memory in KiB: now, and the peak since [`reset_peak`](Self::reset_peak).
    pub(crate) fn memory(&self) -> Result<(u64, u64), Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let figure = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.ok_or_else(|| Failure(format!("no {name} in /proc")))
        };
        Ok((figure("VmRSS:")?, figure("VmHWM:")?))
    }

    /// The peak counts from here.
    pub(crate) fn reset_peak(&self) -> Result<(), Failure> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?)
    }

    /// Lines of its log, beyond the first so many.
    pub(crate) fn log(&self, beyond: usize) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().skip(beyond).map(str::to_owned).collect()
    }

    async fn stop(self) {
        let mut child = self.child.into_inner();
        drop(child.stdin.take());
        if tokio::time::timeout(STOP_WITHIN, child.wait())
            .await
            .is_err()
        {
            let _ = child.kill().await;
        }
        let _ = fs::remove_file(&self.log);
    }
}

/// Starts replicas in so many shards, and waits until all are ready.
pub(crate) async fn start(
    program: &Path,
    addresses: &[Address],
    shards: u32,
) -> Result<Vec<Node>, Failure> {
    let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let view = names.join(",");
    let mut nodes = Vec::new();
    for address in addresses {
        nodes.push(Node::start(program, *address, &view, shards)?);
    }
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut all = true;
        for node in &nodes {
            let view = node.read("/view").await;
            let names_all =
                view.is_ok_and(|view| view["view"].as_array().map(Vec::len) == Some(nodes.len()));
            all &= names_all && node.read("/ready").await.is_ok();
        }
        if all {
            return Ok(nodes);
        }
    }
    Err(Failure(
        "the replicas were not ready within 10 s".to_owned(),
    ))
}

/// Ends them.
pub(crate) async fn stop(nodes: Vec<Node>) {
    futures::future::join_all(nodes.into_iter().map(Node::stop)).await;
}
