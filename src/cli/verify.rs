//! `causet verify`: drives a running cluster, and says by the exit code whether it is causally consistent.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use causet::checker::{History, text};
use causet::verify::{NobodyAnswers, Node, OPERATIONS_MAX, Plan, Verdict, verify};
use tokio::sync::oneshot;

use super::signals::Signals;
use super::{FAILED, MISUSED, fail};

/// Put a running cluster to the test: is it causally consistent?
///
/// Clients read, write and delete at random nodes, hand their causal-metadata to one another, merge two, forget it,
/// repeat an old one. What they see is written down and checked: causal convergence with the four session
/// guarantees, that nothing comes back or out of thin air, and at the end that all nodes hold the same and that no
/// write is lost. Break the cluster meanwhile (kill, pause, cut): a refusal (503) is never a violation, a wrong answer is.
///
/// A write without an answer may have happened or not. A replica that is killed takes along what it had acknowledged and not
/// yet handed on; that is reported as lost writes, apart from all else, and fails unless --allow-lost.
///
/// Ctrl-C (or SIGTERM) ends the clients' work early; what they have seen until then is judged all the same.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(super) struct VerifyArgs {
    /// Where the replicas take requests
    #[arg(
        long,
        value_name = "http://HOST:PORT,…",
        value_delimiter = ',',
        required = true
    )]
    nodes: Vec<Node>,
    /// How long the clients work; reading the final states and checking come on top
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Clients, each with one request at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    clients: u16,
    /// Requests a second at most, of all clients; times the seconds at most 500000
    #[arg(long, default_value_t = 1_000, value_name = "REQUESTS", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// Keys of each history, the first of which takes a quarter of the requests
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    keys: u16,
    /// Decides what the clients choose to do [default: by chance]
    #[arg(long)]
    seed: Option<u64>,
    /// How long to wait at the end until all nodes answer and agree
    #[arg(long, default_value_t = 15, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3_600))]
    settle: u64,
    /// Do not fail where acknowledged writes are gone at the end
    #[arg(long)]
    allow_lost: bool,
    /// Write what was seen to this file, for other checkers (Plume, AWDIT); a second history to FILE.2, and so on
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

const AFTER: &str = "\
Example, with a cluster on this machine in another terminal (causet cluster --base-port 8082):

  causet verify --nodes http://127.0.0.1:8082,http://127.0.0.1:8083,http://127.0.0.1:8084 --seconds 10

The keys begin with a name of the run's own (verify-…) and are deleted at the end, so a cluster in use can be tested.
A run of more than 20,000 requests is cut into several histories with keys and lineages of their own, which go on
side by side for the whole time; each is checked by itself.

Exit codes: 0 all held, 1 something did not, or nothing could be shown, 2 bad arguments.";

impl VerifyArgs {
    fn plan(&self) -> Result<Plan, String> {
        let plan = Plan {
            nodes: self.nodes.clone(),
            span: Duration::from_secs(self.seconds),
            clients: self.clients.into(),
            keys: self.keys.into(),
            rate: self.rate,
            seed: self.seed.unwrap_or_else(rand::random),
            settle: Duration::from_secs(self.settle),
        };
        if self.rate * self.seconds > OPERATIONS_MAX {
            return Err(format!(
                "--rate {} for --seconds {} makes more than {OPERATIONS_MAX} requests, too many to check; lower one of them",
                self.rate, self.seconds
            ));
        }
        Ok(plan)
    }
}

/// 0 when all held, 1 when not or when nothing could be shown, 2 for bad arguments.
pub(super) fn run(args: &VerifyArgs) -> ExitCode {
    let plan = match args.plan() {
        Ok(plan) => plan,
        Err(reason) => return fail(MISUSED, &reason),
    };
    // Better known now than after the run.
    if let Some(file) = &args.history
        && let Err(error) = std::fs::write(file, "")
    {
        return fail(
            MISUSED,
            &format_args!("--history: cannot write {}: {error}", file.display()),
        );
    }
    let verdict = match actix_rt::System::new().block_on(verify_until_stopped(&plan)) {
        Ok(verdict) => verdict,
        Err(error) => return fail(FAILED, &error),
    };
    print(&verdict.to_string());
    if let Some(file) = &args.history
        && let Err(reason) = write_histories(file, &verdict.histories)
    {
        return fail(FAILED, &reason);
    }
    if verdict.holds(args.allow_lost) {
        ExitCode::SUCCESS
    } else if verdict.says_something() {
        fail(FAILED, &"not all held")
    } else {
        fail(
            FAILED,
            &"nothing is shown: no write was acknowledged and then read",
        )
    }
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
enum NoVerdict {
    #[error(transparent)]
    NobodyAnswers(#[from] NobodyAnswers),
    #[error("cannot handle signals: {0}")]
    Signals(std::io::Error),
    #[error("stopped at once by a second signal")]
    StoppedTwice,
}

/// The first signal ends the clients' work, the second everything.
async fn verify_until_stopped(plan: &Plan) -> Result<Verdict, NoVerdict> {
    let mut signals = Signals::listen().map_err(NoVerdict::Signals)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        // The sender lives until it is used: only its message ends the wait.
        let _ = stopped.await;
    };
    let mut verdict = std::pin::pin!(verify(plan, stopped, &say));
    tokio::select! {
        biased;
        verdict = &mut verdict => return Ok(verdict?),
        () = signals.next() => say("stopping the clients"),
    }
    let _ = stop.send(());
    tokio::select! {
        biased;
        verdict = &mut verdict => Ok(verdict?),
        () = signals.next() => Err(NoVerdict::StoppedTwice),
    }
}

fn write_histories(file: &Path, histories: &[History]) -> Result<(), String> {
    for (number, history) in histories.iter().enumerate() {
        let mut name = file.as_os_str().to_owned();
        if number > 0 {
            name.push(format!(".{}", number + 1));
        }
        let failed = |reason: &dyn std::fmt::Display| {
            format!("cannot write {}: {reason}", Path::new(&name).display())
        };
        let text = text::write(history).map_err(|_| failed(&"the history is malformed"))?;
        std::fs::write(&name, text).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Progress, which is no part of the result.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A reader that went away learns the result from the exit code.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
