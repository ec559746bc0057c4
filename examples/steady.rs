//! Runs a simulated cluster for a long time and shows that nothing gathers in it:
//!
//! ```sh
//! cargo run --release --example steady -- month
//! cargo run --release --example steady -- restarts
//! ```
//!
//! The first is a month of three nodes under steady writes and deletes, one of which loses its memory every eight hours; what
//! they keep is counted at the end of each week. The second restarts nodes a thousand times, counts after the tenth and after the
//! last, and once more after a week of rest, when final counters are forgotten. Exit code 1 if anything is larger at a count than at
//! one before, or a promise was broken.

use std::process::ExitCode;

use causet::sim::steady::{Course, Figures, grown, run};
use clap::{Parser, Subcommand};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Simulates a cluster for a long time, and counts what gathers in it.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// All choices follow from it
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// 30 days, each node restarted every day
    Month {
        /// Milliseconds from one request of a client to its next; there are four clients
        #[arg(long, default_value_t = 5_000)]
        every_ms: u64,
        /// Days
        #[arg(long, default_value_t = 30)]
        days: u32,
    },
    /// A restart every 20 seconds
    Restarts {
        /// How many
        #[arg(long, default_value_t = 1_000)]
        restarts: u32,
        /// Without the week of rest at the end
        #[arg(long)]
        hasty: bool,
    },
}

impl What {
    fn course(self, seed: u64) -> Course {
        let course = Course {
            nodes: 3,
            seed,
            clients: 4,
            keys_each: 20,
            request_every_ms: 1_000,
            restart_every_ms: 20_000,
            down_ms: 2_000,
            count_after: Vec::new(),
            idle_week: false,
        };
        match self {
            Self::Month { every_ms, days } => {
                let weeks = (1..=days / 7).map(|week| week * 7);
                let rest = Some(days).filter(|days| days % 7 > 0);
                Course {
                    keys_each: 100,
                    request_every_ms: every_ms,
                    restart_every_ms: 8 * 3_600_000,
                    down_ms: 60_000,
                    count_after: weeks.chain(rest).map(|day| day * 3).collect(),
                    ..course
                }
            }
            Self::Restarts { restarts, hasty } => Course {
                count_after: vec![10, restarts],
                idle_week: !hasty,
                ..course
            },
        }
    }
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads can be made")
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long the run takes, not how long it pretends to"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn allocated() -> Option<u64> {
    u64::try_from(ALLOCATED.current_usage()).ok()
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    env_logger::Builder::from_default_env()
        .format_timestamp(None)
        .init();
    let began = now();
    let course = arguments.what.course(arguments.seed);
    let outcome = run(&course, paused, allocated, move |figures| {
        let (days, seconds) = (figures.after.as_secs_f64() / 86_400.0, began.elapsed());
        println!(
            "{days:.2} simulated days, {} restarts: counted after {:.0} s",
            figures.restarts,
            seconds.as_secs_f64()
        );
    });
    println!();
    print_table(&outcome.figures);
    println!("\nwhat happened:");
    for (name, count) in &outcome.counts {
        println!("  {count:>10}  {name}");
    }
    let mut fails = false;
    for violation in &outcome.violations {
        fails = true;
        println!("broken: {}: {}", violation.name, violation.text);
    }
    for (at, later) in outcome.figures.iter().enumerate().skip(1) {
        for name in grown(&outcome.figures[0], later) {
            let of = &later.sizes[&name];
            println!("count {}: {name} has grown to {of}", at + 1);
            fails = true;
        }
    }
    println!("took {:.0} s", began.elapsed().as_secs_f64());
    if fails {
        return ExitCode::FAILURE;
    }
    println!("nothing has grown");
    ExitCode::SUCCESS
}

fn print_table(figures: &[Figures]) {
    let Some(last) = figures.last() else { return };
    let head = |name: &str, cells: Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>12}")).collect();
        println!("{name:<52}{}", cells.concat());
    };
    let day = |f: &Figures| format!("day {:.2}", f.after.as_secs_f64() / 86_400.0);
    head("after", figures.iter().map(day).collect());
    let restarts = |f: &Figures| f.restarts.to_string();
    head("restarts", figures.iter().map(restarts).collect());
    for name in last.sizes.keys() {
        let cell = |f: &Figures| f.sizes.get(name).map_or("-".to_owned(), u64::to_string);
        head(name, figures.iter().map(cell).collect());
    }
}
