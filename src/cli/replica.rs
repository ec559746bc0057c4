//! `causet replica`: one replica, from its settings to its exit code.
//!
//! The process may be number 1 of a container, for which the kernel has no default handlers: SIGTERM
//! and SIGINT are handled before anything else starts.

use std::process::ExitCode;
use std::time::Duration;

use causet::config::Settings;
use causet::node::{self, ServeError};
use log::{error, info};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::{FAILED, fail};

/// A stop that takes longer than this is given up: before `docker stop` would end it by SIGKILL (10 s)
/// without a word in the log.
const STOP_AT_MOST: Duration = Duration::from_secs(8);

/// Runs until a signal (or the end of standard input, where that is asked for) and the graceful stop after it.
pub(super) fn run(settings: Settings, stop_on_stdin_eof: bool) -> ExitCode {
    start_logging(&settings);
    abort_on_panic();
    match actix_rt::System::new().block_on(serve(settings, stop_on_stdin_eof)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &error),
    }
}

/// Why a replica ended other than as asked; it runs no more.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("cannot handle signals: {0}")]
    Signals(std::io::Error),
    #[error("cannot watch standard input: {0}")]
    Stdin(std::io::Error),
    #[error("stopped at once by a second {0}")]
    StoppedTwice(&'static str),
    #[error("the graceful stop took longer than {STOP_AT_MOST:?}")]
    StopTooSlow,
}

async fn serve(settings: Settings, stop_on_stdin_eof: bool) -> Result<(), RunError> {
    let mut wishes = StopWishes::listen(stop_on_stdin_eof)?;
    let (begin_stop, stop) = oneshot::channel::<()>();
    let stop = async {
        // The sender lives as long as this function: only its message ends the wait.
        let _ = stop.await;
    };
    let mut serving = std::pin::pin!(node::serve(settings, stop));
    tokio::select! {
        biased;
        result = &mut serving => return Ok(result?),
        wish = wishes.next() => info!("{wish}: stopping"),
    }
    let _ = begin_stop.send(());
    tokio::select! {
        biased;
        result = &mut serving => Ok(result?),
        wish = wishes.next() => Err(RunError::StoppedTwice(wish)),
        () = tokio::time::sleep(STOP_AT_MOST) => Err(RunError::StopTooSlow),
    }
}

/// All the ways to ask a replica to stop.
struct StopWishes {
    terminate: Signal,
    interrupt: Signal,
    /// `None` when standard input is not watched, or has ended already.
    stdin_end: Option<oneshot::Receiver<()>>,
}

impl StopWishes {
    fn listen(stop_on_stdin_eof: bool) -> Result<Self, RunError> {
        let on = |kind| signal(kind).map_err(RunError::Signals);
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            stdin_end: stop_on_stdin_eof.then(watch_stdin).transpose()?,
        })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        let stdin_end = async {
            match &mut self.stdin_end {
                Some(end) => drop(end.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = stdin_end => {
                self.stdin_end = None;
                "end of standard input"
            }
        }
    }
}

/// A thread of its own: reading standard input blocks, and would hold up the end of the runtime.
fn watch_stdin() -> Result<oneshot::Receiver<()>, RunError> {
    let (ended, end) = oneshot::channel();
    let read_to_end = move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    };
    let thread = std::thread::Builder::new().name("stdin".to_owned());
    thread.spawn(read_to_end).map_err(RunError::Stdin)?;
    Ok(end)
}

fn start_logging(settings: &Settings) {
    env_logger::Builder::new()
        .parse_filters(&settings.log)
        .format_target(false)
        .init();
}

/// A panic ends the process: a replica that has lost one of its actors would answer some requests and
/// forget others, while one that is gone is detected, restarted and caught up.
fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        error!("{panic}; aborting, since half a replica is worse than none");
        std::process::abort();
    }));
}
