//! Simulates whole clusters, seed after seed, and judges each history:
//!
//! ```sh
//! cargo run --release --example simulate -- --seeds 100000
//! cargo run --release --example simulate -- --seed 4711
//! ```
//!
//! The first runs seeds 1 to 100,000 on all cores, says what they came to, and writes
//! `target/simulation-summary.json`. The second replays one seed; if it fails, the plan is shortened while it
//! still fails, and printed with what broke. Exit code 1 if anything broke, or if something that must happen
//! never did.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use causet::sim::batch::Batch;
use causet::sim::plan::Plan;
use causet::sim::run::{Verdict, run};
use causet::sim::shrink::shrink;
use clap::Parser;

/// Simulates whole clusters under faults, and judges what their clients saw.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Replay this seed alone, and shorten its plan if it fails
    #[arg(long)]
    seed: Option<u64>,
    /// Threads; all cores if not given
    #[arg(long)]
    threads: Option<usize>,
    /// Stop after this many seconds, whatever is left
    #[arg(long)]
    seconds: Option<u64>,
    #[command(flatten)]
    kind: PlanKind,
    /// Stop at the first seed that fails
    #[arg(long)]
    first: bool,
    /// Trials to shorten a failing plan
    #[arg(long, default_value_t = 400)]
    tries: usize,
}

/// Which plans; without any of these, those for clusters without shards.
#[derive(Debug, clap::Args)]
struct PlanKind {
    /// With faults about the life and end of origins on top: forgetting, long absences, isolated restarts, many restarts, many deletes, more deletes than are kept
    #[arg(long)]
    ends: bool,
    /// Clusters with shards, and faults about these on top
    #[arg(long, conflicts_with = "ends")]
    shards: bool,
    /// With shards, and keys dealt anew under way
    #[arg(long, conflicts_with = "ends")]
    reshard: bool,
}

impl PlanKind {
    fn plan(&self, seed: u64) -> Plan {
        match self.flag() {
            " --ends" => Plan::with_ends(seed),
            " --shards" => Plan::with_shards(seed),
            " --reshard" => Plan::with_reshards(seed),
            _ => Plan::from_seed(seed),
        }
    }

    /// As on the command line.
    fn flag(&self) -> &'static str {
        match self {
            Self { ends: true, .. } => " --ends",
            Self { reshard: true, .. } => " --reshard",
            Self { shards: true, .. } => " --shards",
            Self { .. } => "",
        }
    }
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime without threads can be made")
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // With RUST_LOG set, the replicas say what they do.
    env_logger::Builder::from_default_env()
        .format_timestamp(None)
        .init();
    match arguments.seed {
        Some(seed) => replay(&arguments, seed),
        None => run_all(&arguments),
    }
}

fn replay(arguments: &Arguments, seed: u64) -> ExitCode {
    let (plan, tries) = (arguments.kind.plan(seed), arguments.tries);
    let verdict = run(&plan, paused);
    println!("{:#?}", verdict.counts);
    println!("events {:?}, {:?}", verdict.events, verdict.network);
    let Some(first) = verdict.violations.first() else {
        println!("seed {seed}: all promises held");
        return ExitCode::SUCCESS;
    };
    println!(
        "seed {seed}: {} violations; shortening the plan …",
        verdict.violations.len()
    );
    let fails = |plan: &Plan| {
        let verdict = run(plan, paused);
        verdict.violations.iter().any(|v| v.name == first.name)
    };
    let short = shrink(&plan, tries, fails);
    let shape = &short.shape;
    println!(
        "{} nodes, starts {:?} ms, skews {:?} ms",
        shape.nodes, shape.starts_ms, shape.skews_ms
    );
    println!("{:?}, tight: {}", short.weather, shape.tight);
    if let Some(shards) = &shape.shards {
        println!("{shards:?}");
    }
    for fault in &short.faults {
        println!("  {:>6} ms  {:?}", fault.at_ms, fault.what);
    }
    for request in &short.operations {
        println!("  {:>6} ms  {:?}", request.at_ms, request.what);
    }
    for violation in &run(&short, paused).violations {
        println!("{}: {}", violation.name, violation.text);
    }
    ExitCode::FAILURE
}

fn run_all(arguments: &Arguments) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores).max(1);
    let (next, stop) = (AtomicU64::new(arguments.from), AtomicBool::new(false));
    let end = arguments.from + arguments.seeds;
    let (done, verdicts) = mpsc::channel::<(Plan, Verdict)>();
    let began = tokio::time::Instant::now();
    let mut batch = Batch::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (done, next, stop) = (done.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let plan = arguments.kind.plan(seed);
                    let verdict = run(&plan, paused);
                    if done.send((plan, verdict)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let mut reported = Duration::ZERO;
        for (plan, verdict) in verdicts {
            report_failure(&plan, &verdict, arguments.kind.flag());
            batch.add(&plan, verdict);
            let elapsed = began.elapsed();
            if elapsed > reported + Duration::from_secs(10) {
                reported = elapsed;
                progress(&batch, elapsed, arguments.seeds);
            }
            let late = arguments.seconds.is_some_and(|s| elapsed.as_secs() >= s);
            if late || arguments.first && !batch.failures.is_empty() {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    finish(&batch, began.elapsed(), threads)
}

fn report_failure(plan: &Plan, verdict: &Verdict, plans: &str) {
    if let Some(violation) = verdict.violations.first() {
        println!("seed {}: {}", plan.seed, violation.name);
        println!("  {}", violation.text.replace('\n', "\n  "));
        println!(
            "  replay: cargo run --release --example simulate -- --seed {}{plans}",
            plan.seed
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for a human")]
fn progress(batch: &Batch, elapsed: Duration, of: u64) {
    let seconds = elapsed.as_secs_f64();
    println!(
        "{:>6.0} s: {} of {of} seeds, {:.1}/s, {:.1} simulated hours, {:.0} simulated seconds per second, {} failed",
        seconds,
        batch.seeds,
        batch.seeds as f64 / seconds,
        batch.simulated_ms as f64 / 3_600_000.0,
        batch.simulated_ms as f64 / 1_000.0 / seconds,
        batch.failures.len()
    );
    // Whoever watches a pipe sees progress too; if nobody does, the run goes on.
    let _ = std::io::stdout().flush();
}

fn finish(batch: &Batch, elapsed: Duration, threads: usize) -> ExitCode {
    progress(batch, elapsed, batch.seeds);
    println!("on {threads} threads; what happened:");
    for (name, count) in batch.kinds.iter().chain(&batch.counts) {
        println!("  {count:>12}  {name}");
    }
    write_summary(batch);
    let never = batch.never_happened();
    for name in &never {
        println!("never happened, so nothing is known about it: {name}");
    }
    if batch.failures.is_empty() && never.is_empty() {
        println!("all promises held");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn write_summary(batch: &Batch) {
    let path = "target/simulation-summary.json";
    let written = serde_json::to_string_pretty(batch)
        .map_err(std::io::Error::other)
        .and_then(|json| std::fs::write(path, json));
    match written {
        Ok(()) => println!("written to {path}"),
        Err(error) => println!("{path} could not be written: {error}"),
    }
}
