//! Waiting for conditions, each with a deadline; the only place that reads a clock or sleeps.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Pause between two looks at a condition.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A deadline for what has no bound of its own in the contract: long enough for a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Real time: processes cannot be tested on a paused clock.
#[expect(
    clippy::disallowed_methods,
    reason = "replica processes live in real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The pause between two looks.
#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two looks at a condition that has a deadline"
)]
pub(crate) fn pause() {
    std::thread::sleep(LOOK_AGAIN);
}

/// Tries until `attempt` brings a result; panics with its last refusal once `within` is over.
#[track_caller]
pub(crate) fn eventually<T, E: Debug>(
    within: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> T {
    let start = now();
    loop {
        match attempt() {
            Ok(result) => return result,
            Err(last) if start.elapsed() >= within => {
                panic!("not within {within:?}: {what}; last seen: {last:?}")
            }
            Err(_) => pause(),
        }
    }
}

/// Looks until `condition` holds; panics once `within` is over.
#[track_caller]
pub(crate) fn until(within: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    eventually(within, what, || if condition() { Ok(()) } else { Err(()) });
}

/// Checks again and again, until `span` has passed since `start`, that nothing changes: `check` panics if it does.
pub(crate) fn always(start: Instant, span: Duration, mut check: impl FnMut()) {
    while start.elapsed() < span {
        check();
        pause();
    }
}
