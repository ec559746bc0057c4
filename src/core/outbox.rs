//! Writes that wait to be pushed to one peer.
//!
//! What gathers while a batch is in flight makes the next batch. The batch in flight stays here until
//! it is answered. There is no retry: when an answer fails to come, or the outbox overflows, it is
//! emptied and the peer is repaired by a join.

use std::collections::VecDeque;

use super::write::Write;

/// How much may wait, and how much goes in one batch. A single write larger than `batch_bytes`
/// travels alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Writes that may wait.
    pub writes: usize,
    /// Bytes that may wait, by [`Write::weight`].
    pub bytes: usize,
    /// Writes in a batch.
    pub batch_writes: usize,
    /// Bytes in a batch.
    pub batch_bytes: usize,
}

/// The outbox was full and is empty now; the peer must be repaired by a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// The queue of one peer.
#[derive(Debug)]
pub struct Outbox {
    limits: OutboxLimits,
    waiting: VecDeque<Write>,
    waiting_bytes: usize,
    in_flight: usize,
}

impl Outbox {
    /// An empty outbox.
    pub fn new(limits: OutboxLimits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            in_flight: 0,
        }
    }

    /// Adds a write.
    ///
    /// # Errors
    /// [`Overflow`]: everything that waited is dropped, this write included. A batch in flight is
    /// still awaited.
    pub fn push(&mut self, write: Write) -> Result<(), Overflow> {
        let bytes = self.waiting_bytes + write.weight();
        if self.waiting.len() >= self.limits.writes || bytes > self.limits.bytes {
            self.waiting.clear();
            self.waiting_bytes = 0;
            return Err(Overflow);
        }
        self.waiting_bytes = bytes;
        self.waiting.push_back(write);
        Ok(())
    }

    /// The next batch, in order and of one origin, if none is in flight and any write waits.
    pub fn next_batch(&mut self) -> Option<Vec<Write>> {
        if self.in_flight > 0 {
            return None;
        }
        let origin = self.waiting.front()?.dot().origin;
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(write) = self.waiting.front() {
            bytes += write.weight();
            let full = batch.len() >= self.limits.batch_writes || bytes > self.limits.batch_bytes;
            if write.dot().origin != origin || full && !batch.is_empty() {
                break;
            }
            self.waiting_bytes -= write.weight();
            batch.extend(self.waiting.pop_front());
        }
        self.in_flight = batch.len();
        Some(batch)
    }

    /// The batch in flight was answered.
    pub fn answered(&mut self) {
        self.in_flight = 0;
    }

    /// The link or the peer failed: nothing waits and nothing is in flight any more.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.in_flight = 0;
    }

    /// Writes waiting or in flight.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.in_flight
    }

    /// Whether nothing waits and nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::write;

    const LIMITS: OutboxLimits = OutboxLimits {
        writes: 4,
        bytes: 1 << 20,
        batch_writes: 2,
        batch_bytes: 1 << 20,
    };

    fn counters(batch: Option<Vec<Write>>) -> Vec<u64> {
        let batch = batch.unwrap_or_default();
        batch.iter().map(|write| write.dot().counter).collect()
    }

    #[test]
    fn what_gathers_while_a_batch_is_in_flight_makes_the_next_one() {
        let mut outbox = Outbox::new(LIMITS);
        outbox.push(write(1, 1)).unwrap();
        assert_eq!(counters(outbox.next_batch()), [1]);
        for counter in 2..=4 {
            outbox.push(write(1, counter)).unwrap();
        }
        assert_eq!(outbox.next_batch(), None);
        outbox.answered();
        assert_eq!(counters(outbox.next_batch()), [2, 3]);
        outbox.answered();
        assert_eq!(counters(outbox.next_batch()), [4]);
        outbox.answered();
        assert!(outbox.is_empty());
    }

    #[test]
    fn an_overflow_empties_it() {
        let mut outbox = Outbox::new(LIMITS);
        for counter in 1..=4 {
            outbox.push(write(1, counter)).unwrap();
        }
        assert_eq!(outbox.push(write(1, 5)), Err(Overflow));
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_write_larger_than_a_batch_travels_alone() {
        let limits = OutboxLimits {
            batch_bytes: 1,
            ..LIMITS
        };
        let mut outbox = Outbox::new(limits);
        outbox.push(write(1, 1)).unwrap();
        outbox.push(write(1, 2)).unwrap();
        assert_eq!(counters(outbox.next_batch()), [1]);
    }
}
