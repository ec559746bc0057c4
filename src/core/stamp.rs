//! Hybrid logical time: wall-clock milliseconds and a count, ordered so, that extends happens-before.
//!
//! Kulkarni et al., "Logical Physical Clocks" (2014). A reading is raised above everything seen, so
//! a write is stamped above all that it depends on, whatever the wall clocks of two nodes say.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::Origin;

/// A reading of a hybrid logical clock. [`HlcTime::ZERO`] precedes every write.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "(u64, u32)", into = "(u64, u32)")]
pub struct HlcTime {
    /// Wall-clock milliseconds since the Unix epoch.
    pub ms: u64,
    /// Tells apart readings of one millisecond.
    pub count: u32,
}

/// A time that no replica ever gave out; what it came with changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stamp {0} is no time")]
pub struct NoTime(u64);

impl TryFrom<(u64, u32)> for HlcTime {
    type Error = NoTime;

    /// Refuses milliseconds above [`HlcTime::MS_MAX`]: taken over, they would carry every clock of the
    /// cluster to the end of time.
    fn try_from((ms, count): (u64, u32)) -> Result<Self, NoTime> {
        if ms > Self::MS_MAX {
            Err(NoTime(ms))
        } else {
            Ok(Self { ms, count })
        }
    }
}

impl From<HlcTime> for (u64, u32) {
    fn from(time: HlcTime) -> Self {
        (time.ms, time.count)
    }
}

impl HlcTime {
    /// Wall-clock milliseconds of the year 37,000: no reading that arrives is later.
    pub const MS_MAX: u64 = 1 << 50;
    /// Before every write.
    pub const ZERO: Self = Self { ms: 0, count: 0 };

    /// The smallest reading above `self`.
    fn successor(self) -> Self {
        match self.count.checked_add(1) {
            Some(count) => Self { ms: self.ms, count },
            None => Self {
                ms: self.ms + 1,
                count: 0,
            },
        }
    }

    /// The reading for an event now: above `self` and `seen`, and not below the wall clock.
    #[must_use]
    pub fn tick(self, seen: Self, wall_ms: u64) -> Self {
        let wall = Self {
            ms: wall_ms,
            count: 0,
        };
        wall.max(self.max(seen).successor())
    }
}

impl fmt::Display for HlcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ms, self.count)
    }
}

/// The total order of writes: hybrid time, ties by origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// When.
    pub time: HlcTime,
    /// Whose; decides between equal times.
    pub origin: Origin,
}
