//! A replica process: how it is started, asked, cut short and ended.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::exposition::Exposition;
use super::http::{Answer, Connection, Request};
use super::metadata::V;
use super::ports;
use super::waiting::{PATIENCE, eventually};

/// What a replica is started with.
#[derive(Debug)]
pub(crate) struct Launch {
    port: u16,
    ip: IpAddr,
    listen: Option<IpAddr>,
    view: Option<String>,
    flags: Vec<String>,
}

impl Launch {
    /// A replica at 127.0.0.1 and a port of its own, alone.
    pub(crate) fn new() -> Self {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            port: ports::take(),
            ip: local,
            listen: Some(local),
            view: None,
            flags: Vec::new(),
        }
    }

    /// Peers reach it at `ip`; it listens at `listen`, or on all interfaces.
    pub(crate) fn at(mut self, ip: [u8; 4], listen: Option<[u8; 4]>) -> Self {
        self.ip = ip.into();
        self.listen = listen.map(IpAddr::from);
        self
    }

    /// With `VIEW`, as it is given.
    pub(crate) fn view(mut self, view: impl Into<String>) -> Self {
        self.view = Some(view.into());
        self
    }

    /// With these settings: flag names without dashes in front, values.
    pub(crate) fn settings(mut self, settings: &[(&str, &str)]) -> Self {
        for (name, value) in settings {
            self.flags.push(format!("--{name}={value}"));
        }
        self
    }

    /// Its `SOCKET_ADDRESS`.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(self) -> Replica {
        let replica = self.spawn();
        replica.await_ready();
        replica
    }

    /// Starts it without waiting.
    pub(crate) fn spawn(self) -> Replica {
        let log =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("replica-{}.log", self.port));
        let mut replica = Replica {
            launch: self,
            child: None,
            log,
        };
        File::create(&replica.log).expect("the replica's log file");
        replica.spawn();
        replica
    }

    fn command(&self) -> Command {
        let mut command = program();
        command.env("SOCKET_ADDRESS", self.address().to_string());
        if let Some(view) = &self.view {
            command.env("VIEW", view);
        }
        command.arg("replica");
        if let Some(listen) = self.listen {
            command.arg(format!("--listen={listen}"));
        }
        command.args(&self.flags);
        command
    }
}

/// The program with an empty environment but for what makes its failures readable.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causet"));
    command.env_clear().env("RUST_BACKTRACE", "1");
    command.stdin(Stdio::null());
    command
}

/// Runs a program that is expected to end by itself; killed and failed if it does not.
pub(crate) fn run_to_its_end(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        await_exit(&mut child, PATIENCE)
    }));
    if ended.is_err() {
        child.kill().expect("a running child can be killed");
    }
    child.wait_with_output().expect("its output")
}

fn await_exit(child: &mut Child, within: Duration) -> ExitStatus {
    eventually(within, "the process has ended", || {
        child
            .try_wait()
            .expect("a child can be waited for")
            .ok_or("runs")
    })
}

/// A replica process; killed when dropped, its log printed if the test failed.
#[derive(Debug)]
pub(crate) struct Replica {
    launch: Launch,
    child: Option<Child>,
    log: PathBuf,
}

impl Replica {
    /// Its `SOCKET_ADDRESS`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.launch.address()
    }

    /// Its `SOCKET_ADDRESS`, as views show it.
    pub(crate) fn name(&self) -> String {
        self.address().to_string()
    }

    /// Where clients reach it: past any wire that peers go through.
    pub(crate) fn client_address(&self) -> SocketAddr {
        let ip = self.launch.listen.unwrap_or(self.launch.ip);
        SocketAddr::new(ip, self.launch.port)
    }

    fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} already runs", self.name());
        let log = File::options().append(true).open(&self.log);
        let log = log.expect("the replica's log file");
        let mut command = self.launch.command();
        command.stdout(log.try_clone().expect("a second handle"));
        command.stderr(log);
        self.child = Some(command.spawn().expect("the replica starts"));
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("a running child can be killed");
        child.wait().expect("a killed child ends");
    }

    /// Starts it again where it was, without waiting.
    pub(crate) fn restart(&mut self) {
        self.spawn();
    }

    /// Asks it to stop (SIGTERM), without waiting.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Waits for its end after [`Replica::terminate`].
    pub(crate) fn await_exit(&mut self, within: Duration) -> ExitStatus {
        let child = self.child.as_mut().expect("it runs");
        let status = await_exit(child, within);
        self.child = None;
        status
    }

    /// Holds it: it keeps its sockets and does nothing.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`Replica::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid])
            .status();
        assert!(status.expect("a shell").success(), "SIG{signal} to {pid}");
    }

    /// Opens a connection to it.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.client_address()).expect("a running replica takes connections")
    }

    /// Sends a request on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        match self.try_ask(request) {
            Ok(answer) => answer,
            Err(error) => panic!("no answer from {}: {error}: {request:?}", self.name()),
        }
    }

    /// Sends a request on a connection of its own; fails where nobody answers.
    pub(crate) fn try_ask(&self, request: &Request) -> io::Result<Answer> {
        Connection::open(self.client_address())?.ask(request)
    }

    /// GET without a body.
    #[track_caller]
    pub(crate) fn fetch(&self, target: &str) -> Answer {
        self.ask(&Request::new("GET", target))
    }

    /// PUT of a value, given as JSON text, to a key, given as it goes into the path.
    #[track_caller]
    pub(crate) fn put(&self, key: &str, value: &str, v: &V) -> Answer {
        self.ask(&put(key, value, v))
    }

    /// GET of a key.
    #[track_caller]
    pub(crate) fn get(&self, key: &str, v: &V) -> Answer {
        self.ask(&get(key, v))
    }

    /// GET of a key that waits for what `v` depends on.
    #[track_caller]
    pub(crate) fn get_waiting(&self, key: &str, v: &V) -> Answer {
        self.ask(&get(key, v).header("Prefer", "wait=15"))
    }

    /// DELETE of a key.
    #[track_caller]
    pub(crate) fn delete(&self, key: &str, v: &V) -> Answer {
        self.ask(&delete(key, v))
    }

    /// PUT or DELETE `/view` of an address.
    #[track_caller]
    pub(crate) fn ask_view(&self, method: &str, address: &str) -> Answer {
        let body = json!({"socket-address": address}).to_string();
        self.ask(&Request::new(method, "/view").body(body))
    }

    /// Its view.
    #[track_caller]
    pub(crate) fn view(&self) -> Vec<String> {
        let answer = self.fetch("/view").expect(200).json();
        serde_json::from_value(answer["view"].clone()).expect("a view is a list of addresses")
    }

    /// Its digest: what it has, in short.
    #[track_caller]
    pub(crate) fn digest(&self) -> Value {
        self.fetch("/internal/v1/digest").expect(200).json()
    }

    /// What its digest says of its data.
    #[track_caller]
    pub(crate) fn state(&self) -> [Value; 4] {
        let digest = self.digest();
        ["clock", "hash", "keys", "tombstones"].map(|field| match &digest[field] {
            Value::Null => panic!("no {field} in {digest}"),
            value => value.clone(),
        })
    }

    /// Waits until a gauge whose name has this word shows this value.
    #[track_caller]
    pub(crate) fn await_gauge(&self, word: &str, value: u32) {
        let what = format!("a gauge of {word} shows {value}");
        eventually(PATIENCE, &what, || {
            let metrics = self.metrics();
            let gauges = metrics.gauges(word);
            let shows = |(_, shown): &(&str, f64)| (shown - f64::from(value)).abs() < 0.5;
            if gauges.iter().any(shows) {
                Ok(())
            } else {
                Err(format!("{gauges:?}"))
            }
        });
    }

    /// Its metrics.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Exposition {
        Exposition::parse(self.fetch("/metrics").expect(200).text())
    }

    /// Waits until `/ready` is 200.
    #[track_caller]
    pub(crate) fn await_ready(&self) {
        eventually(PATIENCE, "the replica is ready", || {
            let answer = self.try_ask(&Request::new("GET", "/ready"));
            answer
                .map_err(|e| e.to_string())
                .and_then(|a| a.having(200).map_err(|other| format!("{other:?}")))
        });
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself: then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("--- log of {}\n{log}---", self.name());
        }
        // A log that cannot be removed is written over by the next holder of the port.
        let _ = std::fs::remove_file(&self.log);
    }
}

/// PUT of a value, given as JSON text, to a key, given as it goes into the path.
pub(crate) fn put(key: &str, value: &str, v: &V) -> Request {
    let body = format!(r#"{{"value":{value},"causal-metadata":{}}}"#, v.text());
    Request::new("PUT", &format!("/kvs/{key}")).body(body)
}

/// GET of a key.
pub(crate) fn get(key: &str, v: &V) -> Request {
    with_metadata("GET", key, v)
}

/// DELETE of a key.
pub(crate) fn delete(key: &str, v: &V) -> Request {
    with_metadata("DELETE", key, v)
}

fn with_metadata(method: &str, key: &str, v: &V) -> Request {
    let body = format!(r#"{{"causal-metadata":{}}}"#, v.text());
    Request::new(method, &format!("/kvs/{key}")).body(body)
}
