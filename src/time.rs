//! Time, injected: monotonic time is tokio's (so a paused clock rules it), wall time a trait.

use std::fmt;

use crate::core::Millis;

/// The wall clock that stamps and incarnations are read from. Injected, so that a simulation can
/// skew it and set it back.
pub trait WallClock: Send + Sync + fmt::Debug {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's wall clock"
    )]
    fn now_ms(&self) -> u64 {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A machine set before 1970 reads as 1970: stamps then rest on their logical part.
        since_epoch.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0))
    }
}

/// Monotonic time since the start of the node.
#[derive(Debug, Clone, Copy)]
pub struct Uptime(tokio::time::Instant);

impl Uptime {
    /// Zero is now.
    pub fn starting() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// Milliseconds since the start.
    pub fn now(&self) -> Millis {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
