//! `causet cluster`: replicas on this machine, each a process of its own, to try things out with.
//!
//! Nothing outlives this process: every replica watches its standard input, a pipe that only this
//! process holds and that the kernel closes however this process ends. Closing it is also how
//! replicas are asked to stop, gracefully. They are in process groups of their own, so that Ctrl-C
//! reaches this process alone and the order of the stop is its own.

mod conversation;
mod logs;
mod member;
mod plan;

use std::process::ExitCode;
use std::time::Duration;

use causet::config::SettingsError;
use tokio::time::{sleep, timeout};

use self::logs::Logs;
use self::member::Member;
pub(super) use self::plan::ClusterArgs;
use self::plan::{Plan, PortInUse};
use super::signals::Signals;
use super::{FAILED, MISUSED, fail};

/// Replicas that are not ready by then never will be.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// A graceful stop takes below 2 s; whoever needs longer than this is killed.
const STOP_WITHIN: Duration = Duration::from_secs(9);
/// Between two questions whether all are ready.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Why there is no cluster. Whatever was started has been ended.
#[derive(Debug, thiserror::Error)]
enum ClusterError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    PortInUse(#[from] PortInUse),
    #[error("cannot start a replica: {0}")]
    Start(std::io::Error),
    #[error("cannot handle signals: {0}")]
    Signals(std::io::Error),
    #[error("{0}")]
    NotReady(String),
    #[error("all replicas have ended")]
    AllEnded,
    #[error("stopped at once by a second signal")]
    StoppedTwice,
}

/// Runs until a signal, then ends every replica.
pub(super) fn run(args: &ClusterArgs) -> ExitCode {
    match actix_rt::System::new().block_on(run_cluster(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ClusterError::Settings(_)) => fail(MISUSED, &error),
        Err(error) => fail(FAILED, &error),
    }
}

async fn run_cluster(args: &ClusterArgs) -> Result<(), ClusterError> {
    let plan = Plan::new(args)?;
    let mut signals = Signals::listen().map_err(ClusterError::Signals)?;
    plan.check_ports()?;
    let logs = Logs::start().map_err(ClusterError::Start)?;
    let mut members = Vec::new();
    // From here on every way out passes by `stop`.
    let result = serve(&plan, &logs, &mut members, &mut signals).await;
    let stopped = stop(members, &mut signals, &logs).await;
    logs.finish().await;
    result.and(stopped)
}

async fn serve(
    plan: &Plan,
    logs: &Logs,
    members: &mut Vec<Member>,
    signals: &mut Signals,
) -> Result<(), ClusterError> {
    for &address in &plan.addresses {
        members.push(Member::start(plan, address, logs).map_err(ClusterError::Start)?);
    }
    tokio::select! {
        biased;
        () = signals.next() => return Ok(()),
        result = become_ready(plan, members) => result?,
    }
    let pids: Vec<u32> = members.iter().map(|member| member.pid).collect();
    print(&conversation::text(plan, &pids));
    tokio::select! {
        biased;
        () = signals.next() => {}
        () = watch(members, logs) => return Err(ClusterError::AllEnded),
    }
    Ok(())
}

/// Returns once every replica is ready and sees all.
async fn become_ready(plan: &Plan, members: &mut [Member]) -> Result<(), ClusterError> {
    let all_ready = async {
        while !member::all_ready(&plan.addresses).await {
            sleep(ASK_AGAIN).await;
        }
    };
    let limit = format!("the replicas were not ready within {READY_WITHIN:?}");
    tokio::select! {
        biased;
        (_, how) = member::next_end(members) => Err(ClusterError::NotReady(how)),
        ready = timeout(READY_WITHIN, all_ready) => ready.map_err(|_| ClusterError::NotReady(limit)),
    }
}

/// Says so when a replica ends; the others go on, which is what replicas are for. Returns when none is left.
async fn watch(members: &mut Vec<Member>, logs: &Logs) {
    while !members.is_empty() {
        let (place, how) = member::next_end(members).await;
        members.remove(place);
        logs.say(&format!("{how}; {} of the replicas go on", members.len()));
    }
}

/// Asks all to stop and waits for it; kills whoever does not, all at once on a second signal.
async fn stop(
    mut members: Vec<Member>,
    signals: &mut Signals,
    logs: &Logs,
) -> Result<(), ClusterError> {
    members.iter_mut().for_each(Member::ask_to_stop);
    let ended = async {
        for member in &mut members {
            member.end().await;
        }
    };
    let result = tokio::select! {
        biased;
        _ = timeout(STOP_WITHIN, ended) => Ok(()),
        () = signals.next() => Err(ClusterError::StoppedTwice),
    };
    for member in &mut members {
        member.kill(logs).await;
    }
    result
}

/// To standard output, where nobody may be listening: the cluster runs all the same.
fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
