//! Real time, for waits that the contract states and for polling with a deadline.

use std::time::{Duration, Instant};

/// Between two looks at a condition; far below every bound that is checked.
const POLL: Duration = Duration::from_millis(20);

#[expect(
    clippy::disallowed_methods,
    reason = "containers live in real time, which no paused clock rules"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets `duration` pass, where the published interface says to wait exactly so long.
#[expect(
    clippy::disallowed_methods,
    reason = "the only place that sleeps: the contract's own waits, and between two polls"
)]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Lets the time up to `offset` after `start` pass.
pub(crate) fn pause_until(start: Instant, offset: Duration) {
    pause((start + offset).saturating_duration_since(now()));
}

/// Polls until `look` finds nothing wrong; panics with its last complaint where that takes until
/// `bound` after `start`. Returns how long after `start` it was.
pub(crate) fn within(
    start: Instant,
    bound: Duration,
    mut look: impl FnMut() -> Result<(), String>,
) -> Duration {
    loop {
        let complaint = look().err();
        let elapsed = now() - start;
        match complaint {
            None if elapsed <= bound => return elapsed,
            None => panic!("it took {elapsed:?}, the bound is {bound:?}"),
            Some(complaint) => assert!(
                elapsed < bound,
                "not within {bound:?} (looked for {elapsed:?}): {complaint}"
            ),
        }
        pause(POLL);
    }
}
