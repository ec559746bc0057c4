//! Three replicas, or more, in containers on a network of their own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{self, Answer, reading, writing};
use crate::time::{now, within};
use crate::{docker, image};

/// Replicas of a cluster, by index.
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;
pub(crate) const C: usize = 2;

/// Contract §3: full views after a start, and catching up after a restart.
pub(crate) const START_BOUND: Duration = Duration::from_secs(3);
/// Until all replicas of a cluster that was started at once serve, each asked by `docker exec`.
const SERVING_BOUND: Duration = Duration::from_secs(15);
/// Contract §3: a dead or cut-off replica leaves the views; a healed cut has converged.
pub(crate) const CUT_BOUND: Duration = Duration::from_secs(5);

/// A running cluster; its containers and its network are removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Of the network; containers add their index.
    name: String,
    /// How many replicas it has.
    size: usize,
    image: &'static str,
    /// Third byte of the subnet 10.231.x.0/24.
    subnet: u8,
    /// When the command that started the last replica returned.
    pub(crate) started: Instant,
    /// One cluster at a time in one process; between processes the test runner limits it.
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts three replicas at once; `None`, with the reason printed, where there is no Docker.
    /// Views need not be full yet.
    pub(crate) fn start(test: &str) -> Option<Self> {
        Self::start_of(3, test)
    }

    fn start_of(size: usize, test: &str) -> Option<Self> {
        Self::begin(size, None, test)
    }

    /// As [`Cluster::ready_of`], the keys divided into so many shards.
    pub(crate) fn sharded(size: usize, shards: usize, test: &str) -> Option<Self> {
        Self::begin(size, Some(shards), test).map(Self::now_ready)
    }

    fn begin(size: usize, shards: Option<usize>, test: &str) -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let image = image::name()?;
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("causet-test-{test}-{}", std::process::id());
        let subnet = create_network(&name);
        let mut cluster = Self {
            name,
            size,
            image,
            subnet,
            started: now(),
            _turn: turn,
        };
        for replica in cluster.all() {
            cluster.create_container(replica, shards);
        }
        let names = cluster.map(Self::container);
        let names = names.iter().map(String::as_str);
        docker::must(&["start"].into_iter().chain(names).collect::<Vec<_>>());
        cluster.started = now();
        Some(cluster)
    }

    /// As [`Cluster::start`], all views are full and all replicas serve.
    pub(crate) fn ready(test: &str) -> Option<Self> {
        Self::ready_of(3, test)
    }

    /// As [`Cluster::ready`], of so many replicas.
    pub(crate) fn ready_of(size: usize, test: &str) -> Option<Self> {
        Self::start_of(size, test).map(Self::now_ready)
    }

    fn now_ready(self) -> Self {
        self.await_full_views(self.started, START_BOUND);
        self.await_serving();
        self
    }

    /// Starts one more, which was told of all and of no shards; its index.
    pub(crate) fn add(&mut self) -> usize {
        let newcomer = self.size;
        self.size += 1;
        self.create_container(newcomer, None);
        docker::must(&["start", &self.container(newcomer)]);
        newcomer
    }

    fn create_container(&self, replica: usize, shards: Option<usize>) {
        let view = self.map(Self::address).join(",");
        let shards = shards.map(|shards| format!("SHARD_COUNT={shards}"));
        let shards: Vec<&str> = shards.iter().flat_map(|set| ["--env", set]).collect();
        let (container, label) = (self.container(replica), docker::label());
        let (ip, view) = (self.ip(replica), format!("VIEW={view}"));
        let address = format!("SOCKET_ADDRESS={}", self.address(replica));
        let create = ["create", "--name", &container, "--label", &label];
        let network = ["--network", &self.name, "--ip", &ip];
        let port = ["--publish", "127.0.0.1::8090"];
        let settings = ["--env", &address, "--env", &view];
        docker::must(
            &[
                &create[..],
                &network,
                &port,
                &settings,
                &shards,
                &[self.image],
            ]
            .concat(),
        );
    }

    /// Every replica.
    pub(crate) fn all(&self) -> std::ops::Range<usize> {
        0..self.size
    }

    /// Something of each replica.
    fn map<T>(&self, of: impl Fn(&Self, usize) -> T) -> Vec<T> {
        self.all().map(|replica| of(self, replica)).collect()
    }

    pub(crate) fn container(&self, replica: usize) -> String {
        format!("{}-{replica}", self.name)
    }

    fn ip(&self, replica: usize) -> String {
        format!("10.231.{}.{}", self.subnet, replica + 2)
    }

    pub(crate) fn address(&self, replica: usize) -> String {
        format!("{}:8090", self.ip(replica))
    }

    /// Starts `causet verify` against all replicas, in a container of its own; its name.
    pub(crate) fn run_verify(&self, arguments: &[&str]) -> String {
        let (name, label) = (self.visitor(), docker::label());
        let nodes = self.map(Self::address).join(",");
        let container = ["run", "--detach", "--name", &name, "--label", &label];
        let command = [
            "--network",
            &self.name,
            self.image,
            "verify",
            "--nodes",
            &nodes,
        ];
        docker::must(&[&container, &command, arguments].concat());
        name
    }

    fn visitor(&self) -> String {
        format!("{}-verify", self.name)
    }

    /// SIGKILL.
    pub(crate) fn kill(&self, replica: usize) {
        docker::must(&["kill", &self.container(replica)]);
    }

    /// Starts a replica that was killed or stopped.
    pub(crate) fn restart(&self, replica: usize) {
        docker::must(&["start", &self.container(replica)]);
    }

    /// Holds a replica: it keeps its memory and its connections, and does nothing.
    pub(crate) fn pause(&self, replica: usize) {
        docker::must(&["pause", &self.container(replica)]);
    }

    /// Lets a replica go on.
    pub(crate) fn unpause(&self, replica: usize) {
        docker::must(&["unpause", &self.container(replica)]);
    }

    /// Cuts a replica off.
    pub(crate) fn disconnect(&self, replica: usize) {
        docker::must(&[
            "network",
            "disconnect",
            &self.name,
            &self.container(replica),
        ]);
    }

    /// Ends the cut: the replica has its old address again.
    pub(crate) fn reconnect(&self, replica: usize) {
        let (ip, container) = (self.ip(replica), self.container(replica));
        docker::must(&["network", "connect", "--ip", &ip, &self.name, &container]);
    }

    /// Asks a replica, from within its container; `None` where it gave no answer.
    pub(crate) fn try_ask(
        &self,
        replica: usize,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Option<Answer> {
        http::parse(&self.exchange(replica, &http::request(method, path, body))?)
    }

    /// What comes back for these bytes, from within the replica's container.
    fn exchange(&self, replica: usize, request: &[u8]) -> Option<Vec<u8>> {
        const EXCHANGE: &str = "exec 3<>/dev/tcp/127.0.0.1/8090 && cat >&3 && cat <&3";
        let container = self.container(replica);
        let command = [
            "exec", "-i", &container, "timeout", "5", "bash", "-c", EXCHANGE,
        ];
        docker::run_with_input(&command, request).ok()
    }

    /// All that a replica shows at `/metrics`.
    pub(crate) fn metrics(&self, replica: usize) -> String {
        let request = http::request("GET", "/metrics", &Value::Null);
        let answer = self.exchange(replica, &request);
        let answer = answer.and_then(|bytes| String::from_utf8(bytes).ok());
        answer.unwrap_or_else(|| panic!("no metrics of replica {replica}"))
    }

    /// As [`Cluster::try_ask`], of a replica that must answer.
    pub(crate) fn ask(&self, replica: usize, method: &str, path: &str, body: &Value) -> Answer {
        self.try_ask(replica, method, path, body)
            .unwrap_or_else(|| panic!("{method} {path}: no answer by replica {replica}"))
    }

    pub(crate) fn get(&self, replica: usize, key: &str, metadata: &Value) -> Answer {
        self.ask(replica, "GET", &format!("/kvs/{key}"), &reading(metadata))
    }

    pub(crate) fn put(&self, replica: usize, key: &str, value: &str, metadata: &Value) -> Answer {
        let path = format!("/kvs/{key}");
        self.ask(replica, "PUT", &path, &writing(value, metadata))
    }

    pub(crate) fn delete(&self, replica: usize, key: &str, metadata: &Value) -> Answer {
        self.ask(
            replica,
            "DELETE",
            &format!("/kvs/{key}"),
            &reading(metadata),
        )
    }

    /// PUT or DELETE of a replica's address in the view of another.
    pub(crate) fn change_view(&self, at: usize, method: &str, whom: usize) -> Answer {
        let body = json!({ "socket-address": self.address(whom) });
        self.ask(at, method, "/view", &body)
    }

    /// Whether the view of `replica` is exactly `members`; the view it has, where it is not.
    pub(crate) fn view_is(&self, replica: usize, members: &[usize]) -> Result<(), String> {
        let expected: Vec<String> = members.iter().map(|&member| self.address(member)).collect();
        let answer = self.try_ask(replica, "GET", "/view", &Value::Null);
        match answer {
            Some(answer) if answer.body == json!({ "view": expected }) => Ok(()),
            other => Err(format!("view of {replica} is {other:?}, not {expected:?}")),
        }
    }

    /// Polls until the views of all `members` are exactly `members`; how long after `start` it was.
    pub(crate) fn await_views(
        &self,
        members: &[usize],
        start: Instant,
        bound: Duration,
    ) -> Duration {
        within(start, bound, || {
            members
                .iter()
                .try_for_each(|&replica| self.view_is(replica, members))
        })
    }

    pub(crate) fn await_full_views(&self, start: Instant, bound: Duration) -> Duration {
        self.await_views(&self.all().collect::<Vec<_>>(), start, bound)
    }

    /// Polls until no replica says that it is starting.
    fn await_serving(&self) {
        within(self.started, SERVING_BOUND, || {
            self.all().try_for_each(|replica| {
                match self.try_ask(replica, "GET", "/kvs/any", &reading(&Value::Null)) {
                    Some(answer) if answer.status == 404 => Ok(()),
                    other => Err(format!("{replica} does not serve: {other:?}")),
                }
            })
        });
    }

    /// Polls until `replica` answers a GET with exactly `value`; how long after `start` it was.
    pub(crate) fn await_value(
        &self,
        replica: usize,
        (key, value): (&str, &str),
        metadata: &Value,
        (start, bound): (Instant, Duration),
    ) -> Duration {
        within(start, bound, || {
            let path = format!("/kvs/{key}");
            match self.try_ask(replica, "GET", &path, &reading(metadata)) {
                Some(answer) if answer.status == 200 && answer.value() == Some(&json!(value)) => {
                    Ok(())
                }
                other => Err(format!("GET {key} at {replica}: {other:?}, not {value}")),
            }
        })
    }

    /// Polls until all replicas store the same, by the hash in their digests.
    pub(crate) fn await_converged(&self, start: Instant, bound: Duration) -> Duration {
        within(start, bound, || {
            let hashes = self.map(Self::hash);
            let same = hashes[A].is_some() && hashes.iter().all(|hash| *hash == hashes[A]);
            same.then_some(())
                .ok_or_else(|| format!("the digests are {hashes:?}"))
        })
    }

    fn hash(&self, replica: usize) -> Option<Value> {
        let answer = self.try_ask(replica, "GET", "/internal/v1/digest", &Value::Null)?;
        answer.body.get("hash").cloned()
    }

    /// Where the replica's port is published on this machine.
    pub(crate) fn published(&self, replica: usize) -> String {
        docker::must(&["port", &self.container(replica), "8090/tcp"])
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for replica in self.all() {
                let logs = docker::logs(&self.container(replica));
                println!("--- log of replica {replica}\n{logs}");
            }
        }
        for replica in self.all() {
            // A container that was never created cannot be removed, which is as well.
            let _ = docker::run(&["rm", "--force", "--volumes", &self.container(replica)]);
        }
        let _ = docker::run(&["rm", "--force", "--volumes", &self.visitor()]);
        if let Err(failure) = docker::run(&["network", "rm", &self.name]) {
            println!("{failure}");
        }
    }
}

/// Makes the network on a subnet that nobody has, of 10.231.0.0/16; the third byte of it.
fn create_network(name: &str) -> u8 {
    let first = u8::try_from(std::process::id() % 256).unwrap_or(0);
    for subnet in (0..=255).map(|offset: u8| first.wrapping_add(offset)) {
        let range = format!(
            "--subnet={}/24",
            IpAddr::V4(Ipv4Addr::new(10, 231, subnet, 0))
        );
        match docker::run(&[
            "network",
            "create",
            "--label",
            &docker::label(),
            &range,
            name,
        ]) {
            Ok(_) => return subnet,
            Err(failure) if failure.contains("overlaps") => {}
            Err(failure) => panic!("{failure}"),
        }
    }
    panic!("no free subnet in 10.231.0.0/16");
}
