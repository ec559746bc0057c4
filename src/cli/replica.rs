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
        // The sender lives until the stop has begun: only its message ends the wait.
        let _ = stop.await;
    };
    until_stopped(node::serve(settings, stop), begin_stop, async || {
        wishes.next().await
    })
    .await
}

/// Begins the stop at the first wish and gives it up at the second, or when it takes too long.
async fn until_stopped<E>(
    serving: impl Future<Output = Result<(), E>>,
    begin_stop: oneshot::Sender<()>,
    mut next_wish: impl AsyncFnMut() -> &'static str,
) -> Result<(), RunError>
where
    RunError: From<E>,
{
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        biased;
        result = &mut serving => return Ok(result?),
        wish = next_wish() => info!("{wish}: stopping"),
    }
    let _ = begin_stop.send(());
    tokio::select! {
        biased;
        result = &mut serving => Ok(result?),
        wish = next_wish() => Err(RunError::StoppedTwice(wish)),
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

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    /// A replica whose stop takes `needed`, asked to stop by `wishes`, one after the other.
    async fn stopped(
        needed: Duration,
        wishes: &[&'static str],
    ) -> (Result<(), RunError>, Duration) {
        let (begin_stop, stop) = oneshot::channel();
        let serving = async {
            stop.await.expect("the stop begins");
            sleep(needed).await;
            Ok::<(), RunError>(())
        };
        let mut wishes = wishes.iter();
        let next_wish = async || match wishes.next() {
            Some(wish) => *wish,
            None => std::future::pending().await,
        };
        let start = Instant::now();
        let result = until_stopped(serving, begin_stop, next_wish).await;
        (result, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_wish_is_granted_gracefully() {
        let needed = Duration::from_millis(1_500);
        let (result, took) = stopped(needed, &["SIGTERM"]).await;
        assert!(result.is_ok());
        assert_eq!(took, needed);
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_wish_ends_it_at_once() {
        let (result, took) = stopped(Duration::from_secs(5), &["SIGTERM", "SIGINT"]).await;
        assert_eq!(
            result.unwrap_err().to_string(),
            "stopped at once by a second SIGINT"
        );
        assert_eq!(took, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_that_hangs_is_given_up_before_docker_would() {
        let (result, took) = stopped(Duration::MAX, &["SIGTERM"]).await;
        assert_eq!(
            result.unwrap_err().to_string(),
            "the graceful stop took longer than 8s"
        );
        assert_eq!(took, STOP_AT_MOST);
    }
}
