//! Wall clocks that follow virtual time, each with an offset of its own that may jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::time::Instant;

use crate::time::WallClock;

/// The wall clock at the start of every simulation: some day in 2027.
pub(super) const EPOCH_MS: i64 = 1_800_000_000_000;

/// One node's wall clock. Clones share the offset, so that it can be set while the node runs.
#[derive(Debug, Clone)]
pub struct SkewedClock {
    began: Instant,
    offset_ms: Arc<AtomicI64>,
}

impl SkewedClock {
    /// A clock that reads the epoch plus `offset_ms` at `began`.
    pub fn new(began: Instant, offset_ms: i64) -> Self {
        let offset_ms = Arc::new(AtomicI64::new(offset_ms));
        Self { began, offset_ms }
    }

    /// By how much it is ahead of the simulation's clock.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// From now on it reads `by_ms` more, or less.
    pub fn jump(&self, by_ms: i64) {
        self.offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl WallClock for SkewedClock {
    fn now_ms(&self) -> u64 {
        let elapsed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX / 2);
        let now = EPOCH_MS + self.offset_ms.load(Ordering::Relaxed) + elapsed;
        u64::try_from(now).unwrap_or(0)
    }
}
