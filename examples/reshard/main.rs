//! Measures a reshard: six replicas, each a process of its own on this machine, from two shards to three, under load.
//!
//! ```sh
//! cargo build --release && cargo run --release --example reshard -- --keys 1000000
//! ```
//!
//! Prints how long it took, the bytes that were handed over for each that had to be, the peak of memory and the latency of requests
//! against before, and for how long the actors of a replica did not answer. Absolute times are this machine's, ratios are of one run. The last
//! line is all of it in JSON. Exit code 1 if keys are missing afterwards, or a request was answered with anything but 200, 201, 404 and 503.

mod http;
mod load;
mod nodes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use causet::core::id::Address;
use clap::Parser;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use self::http::Connection;
use self::load::{Keys, Load, Sample, fill};
use self::nodes::Node;

const FILL_WITHIN: Duration = Duration::from_secs(1_800);
const SPREAD_WITHIN: Duration = Duration::from_secs(60);
const RESHARD_WITHIN: Duration = Duration::from_secs(300);
const CLOSE_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked whether something has come about.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What is over the load goes on for so long after it.
const AFTER: Duration = Duration::from_secs(5);

/// Measures a reshard.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many keys
    #[arg(long, default_value_t = 1_000_000)]
    keys: usize,
    /// Bytes of each value, as JSON
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Replicas
    #[arg(long, default_value_t = 6)]
    nodes: u16,
    /// Shards at first
    #[arg(long, default_value_t = 2)]
    from: u32,
    /// Shards then
    #[arg(long, default_value_t = 3)]
    to: u32,
    /// Requests a second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds of them before the reshard
    #[arg(long, default_value_t = 15)]
    before: u64,
    /// The first replica's port
    #[arg(long, default_value_t = 21_100)]
    base_port: u16,
    /// causet to run [default: the one built beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime without threads can be made");
    let outcome = runtime.block_on(tokio::task::LocalSet::new().run_until(run(&arguments)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("FAILED: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let program = match &arguments.binary {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("../causet"),
    };
    let ports = (0..arguments.nodes).map(|n| arguments.base_port + n);
    let addresses =
        ports.map(|port| Address::try_from(std::net::SocketAddr::from(([127, 0, 0, 1], port))));
    let addresses: Result<Vec<Address>, _> = addresses.collect();
    let addresses = addresses.map_err(|error| Failure(error.to_string()))?;
    let nodes = nodes::start(&program, &addresses, arguments.from).await?;
    let outcome = tokio::select! {
        outcome = measure(arguments, &nodes) => outcome,
        signal = tokio::signal::ctrl_c() => signal.map(|()| false).map_err(Failure::from),
    };
    if outcome.is_err() {
        for node in &nodes {
            let log = node.log(0);
            let last = log.len().saturating_sub(5);
            eprintln!("--- {}\n{}", node.address, log[last..].join("\n"));
        }
    }
    nodes::stop(nodes).await;
    outcome
}

async fn shards_of(nodes: &[Node]) -> Result<Vec<u32>, Failure> {
    let mut shards = Vec::new();
    for node in nodes {
        shards.push(node.shard().await?);
    }
    Ok(shards)
}

/// Waits until every node has the keys of its shard, as many as there are.
async fn have_all(nodes: &[Node], keys: &Keys, of: &[u32], shards: u32) -> Result<bool, Failure> {
    let (began, mut all) = (Instant::now(), false);
    while !all && began.elapsed() < SPREAD_WITHIN {
        all = true;
        for (node, shard) in nodes.iter().zip(of) {
            let (due, _) = keys.sum(|n| Keys::shard(n, shards) == *shard);
            all &= (node.metric("causet_keys").await? - float(due)).abs() < 0.5;
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(all)
}

async fn sum_of(nodes: &[Node], metric: &str) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for node in nodes {
        sum += node.metric(metric).await?;
    }
    Ok(sum)
}

#[expect(clippy::too_many_lines, reason = "one thing after the other")]
async fn measure(arguments: &Arguments, nodes: &[Node]) -> Result<bool, Failure> {
    let keys = Rc::new(Keys::new(arguments.keys, arguments.value_bytes));
    let shards = shards_of(nodes).await?;
    let mut by_shard = vec![Vec::new(); arguments.from as usize];
    for (node, shard) in nodes.iter().zip(&shards) {
        by_shard[*shard as usize].push(node.address);
    }
    println!("load average {}", load_average());
    let began = Instant::now();
    let filled = timeout(FILL_WITHIN, fill(&keys, &by_shard)).await;
    filled.map_err(|_| Failure("it was not filled in time".to_owned()))??;
    if !have_all(nodes, &keys, &shards, arguments.from).await? {
        return Err(Failure(
            "not all nodes have all keys of their shard".to_owned(),
        ));
    }
    println!(
        "{} keys after {:.0} s",
        keys.len(),
        began.elapsed().as_secs_f64()
    );

    let load = Rc::new(Load::new(
        keys.clone(),
        nodes.iter().map(|node| node.address).collect(),
    ));
    load.start(arguments.rate);
    // The first requests open connections.
    sleep(Duration::from_secs(2)).await;
    let quiet = Instant::now();
    sleep(Duration::from_secs(arguments.before)).await;
    let mut before = Vec::new();
    for node in nodes {
        before.push((node.memory()?.0, node.log(0).len()));
        node.reset_peak()?;
    }
    let asked = Instant::now();
    keys.counting.set(false);
    let mut connection = Connection::open(nodes[1].address).await?;
    let body = format!(r#"{{"shard-count":{}}}"#, arguments.to);
    let answer = timeout(
        RESHARD_WITHIN,
        connection.ask("PUT", "/shard/reshard", &body),
    )
    .await;
    let answer = answer.map_err(|_| Failure(format!("no answer within {RESHARD_WITHIN:?}")))??;
    let answered = asked.elapsed();
    println!(
        "{} {} after {:.2} s",
        answer.status,
        answer.body,
        answered.as_secs_f64()
    );
    while !all_closed(nodes).await? {
        if asked.elapsed() > answered + CLOSE_WITHIN {
            return Err(Failure("the older maps were not closed in time".to_owned()));
        }
        sleep(LOOK_EVERY).await;
    }
    let closed = asked.elapsed();
    sleep(AFTER).await;
    load.end().await;
    let spans = [
        (quiet, asked),
        (asked, asked + closed),
        (asked + closed, Instant::now()),
    ];

    let now = shards_of(nodes).await?;
    let complete = have_all(nodes, &keys, &now, arguments.to).await?;
    let (mut due_keys, mut due_bytes) = (0, 0);
    for (was, is) in shards.iter().zip(&now) {
        let lacks =
            |n| Keys::shard(n, arguments.to) == *is && Keys::shard(n, arguments.from) != *was;
        let (count, bytes) = keys.sum(lacks);
        (due_keys, due_bytes) = (due_keys + count, due_bytes + bytes);
    }
    let moved_keys = sum_of(nodes, "causet_keys_taken_over_total").await?;
    let moved_bytes = sum_of(nodes, "causet_hand_over_bytes_total").await?;
    let mut memory = Vec::new();
    let mut logs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (node, (resident, lines)) in nodes.iter().zip(&before) {
        let (now, peak) = node.memory()?;
        memory.push(json!({"before-mib": resident / 1024, "peak-mib": peak / 1024, "after-mib": now / 1024, "peak-ratio": ratio(float(peak), float(*resident))}));
        logs.insert(node.address.to_string(), node.log(*lines));
    }
    let moves = |n| Keys::shard(n, arguments.from) != Keys::shard(n, arguments.to);
    let phases = spans.map(|span| phase(&load, span, nodes.len(), moves));
    let told = |what: &str| {
        logs.values()
            .flatten()
            .filter(|line| line.contains(what))
            .count()
    };
    let p99 = |at: usize, of: &str| phases[at][of]["p99-ms"].as_f64().unwrap_or_default();
    let p99_ratio = |of| ratio(p99(1, of), p99(0, of));
    let refusals = load.refusals.borrow();
    let summary = json!({
        "keys": keys.len(), "value-bytes": arguments.value_bytes, "from": arguments.from, "to": arguments.to, "rate": arguments.rate,
        "load-average": load_average(),
        "answer": answer.status, "answered-s": answered.as_secs_f64(), "closed-s": closed.as_secs_f64(), "all-keys-there": complete,
        "keys-due": due_keys, "keys-moved": moved_keys, "bytes-due": due_bytes, "bytes-moved": moved_bytes,
        "bytes-ratio": ratio(moved_bytes, float(due_bytes)),
        "memory": memory, "memory-ratio-worst": memory.iter().filter_map(|m| m["peak-ratio"].as_f64()).fold(0.0, f64::max),
        "before": phases[0], "during": phases[1], "after": phases[2], "p99-ratio": p99_ratio("all"), "p99-ratio-keys-that-stay": p99_ratio("keys-that-stay"),
        "requests-refused": refusals.len(), "longest-refused-ms": ms(refusals.iter().max().copied().unwrap_or_default()),
        "links-broken": told(" is broken"), "members-lost": told(" lost"), "hand-overs-failed": told("taking over from"),
    });
    print(&summary, &logs);
    let spoiled = |phase: &Value| {
        phase["statuses"].as_object().is_some_and(|of| {
            of.keys()
                .any(|s| !["200", "201", "404", "503"].contains(&s.as_str()))
        })
    };
    Ok(complete && answer.status == 200 && !phases.iter().any(spoiled))
}

async fn all_closed(nodes: &[Node]) -> Result<bool, Failure> {
    for node in nodes {
        let status = node.read("/shard/status").await?;
        let held = node.metric("causet_keys_frozen").await?;
        if status["older-maps-closed"] != true || held > 0.0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What clients saw of requests that were due in this span, and how long actors did not answer; `moves` says of which keys the shard is another one then.
fn phase(
    load: &Load,
    (from, to): (Instant, Instant),
    nodes: usize,
    moves: impl Fn(usize) -> bool,
) -> Value {
    let samples = load.samples.borrow();
    let of: Vec<&Sample> = samples
        .iter()
        .filter(|s| from <= s.at && s.at < to)
        .collect();
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for sample in &of {
        *statuses.entry(sample.status).or_default() += 1;
    }
    let latencies = |of_interest: &dyn Fn(usize) -> bool| {
        // One that is tried again has waited already.
        let of = of.iter().filter(|s| !s.again && of_interest(s.key));
        let mut took: Vec<Duration> = of.map(|s| s.took).collect();
        took.sort_unstable();
        let at = |part: usize| {
            ms(took
                .get(took.len() * part / 1_000)
                .copied()
                .unwrap_or_default())
        };
        json!({"requests": took.len(), "p50-ms": at(500), "p99-ms": at(990), "p99.9-ms": at(999), "max-ms": ms(took.last().copied().unwrap_or_default())})
    };
    let probes = load.probes.borrow();
    let stall = |node: usize| {
        let of = probes
            .iter()
            .filter(|(n, at, took)| *n == node && *at < to && *at + *took > from);
        of.map(|(_, _, took)| *took).max().unwrap_or_default()
    };
    let stalls: Vec<f64> = (0..nodes).map(|node| ms(stall(node))).collect();
    json!({
        "all": latencies(&|_| true), "keys-that-move": latencies(&moves), "keys-that-stay": latencies(&|n| !moves(n)),
        "statuses": statuses, "longest-stalls-ms": stalls,
    })
}

fn ms(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e4).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "figures for a human")]
fn float(count: u64) -> f64 {
    count as f64
}

fn ratio(one: f64, other: f64) -> f64 {
    (one / other * 1e3).round() / 1e3
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn print(summary: &Value, logs: &BTreeMap<String, Vec<String>>) {
    println!();
    for (node, lines) in logs {
        let of_interest = ["took over", "failed", "lost", "handed over", "WARN"];
        for line in lines.iter().filter(|line| {
            of_interest.iter().any(|part| line.contains(part)) && !line.contains("took over 0 keys")
        }) {
            println!("  {node}: {line}");
        }
    }
    println!(
        "answered after {:.2} s, older maps closed after {:.2} s",
        summary["answered-s"].as_f64().unwrap_or_default(),
        summary["closed-s"].as_f64().unwrap_or_default()
    );
    println!(
        "bytes moved / had to: {} ({} / {}), keys {} / {}; what had to are the writes that each keeper lacked, by their size in a page, the moved bytes those of all pages as answered",
        summary["bytes-ratio"],
        summary["bytes-moved"],
        summary["bytes-due"],
        summary["keys-moved"],
        summary["keys-due"]
    );
    println!(
        "peak of resident memory / before, the worst replica: {}",
        summary["memory-ratio-worst"]
    );
    for node in summary["memory"].as_array().into_iter().flatten() {
        println!("  {node}");
    }
    println!(
        "p99 meanwhile / before: {}, of keys that stay in their shard {}",
        summary["p99-ratio"], summary["p99-ratio-keys-that-stay"]
    );
    for phase in ["before", "during", "after"] {
        println!("  {phase}: {}", summary[phase]);
    }
    println!(
        "refused requests {}, the longest for {} ms",
        summary["requests-refused"], summary["longest-refused-ms"]
    );
    println!(
        "links broken {}, members lost {}, hand-overs failed {}",
        summary["links-broken"], summary["members-lost"], summary["hand-overs-failed"]
    );
    println!(
        "all keys there: {}; load average {}",
        summary["all-keys-there"], summary["load-average"]
    );
    println!("{summary}");
}
