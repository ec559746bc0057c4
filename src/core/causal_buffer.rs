//! Writes that arrived before what they depend on.
//!
//! One queue for each origin, ordered by counter; only the head of a queue can be next. A write is
//! released when it is the next of its origin and everything that it depends on (in this domain)
//! is covered: the delivery rule of causal broadcast (Birman, Schiper, Stephenson 1991), with
//! explicit dependencies in place of whole clocks (Lloyd et al., COPS, 2011).

use std::collections::BTreeMap;

use super::coverage::Coverage;
use super::id::{Address, Domain, Incarnation, Origin};
use super::write::Write;

/// How much may be parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferLimits {
    /// Writes.
    pub writes: usize,
    /// Their bytes, by [`Write::weight`].
    pub bytes: usize,
}

/// The buffer is at its limit; the write was dropped, and only a join can bring it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// Parked writes of one domain.
#[derive(Debug)]
pub struct CausalBuffer {
    queues: BTreeMap<Origin, BTreeMap<u64, Write>>,
    writes: usize,
    bytes: usize,
    limits: BufferLimits,
}

/// Whether `write`, which is not covered, may be applied on top of what is.
pub fn is_deliverable(write: &Write, domain: &Domain, covered: &Coverage) -> bool {
    let dot = write.dot();
    let next = covered.get(&dot.origin) + 1 == dot.counter;
    next && !write
        .version
        .deps
        .get(domain)
        .is_some_and(|deps| covered.lacks_any(deps))
}

impl CausalBuffer {
    /// An empty buffer.
    pub fn new(limits: BufferLimits) -> Self {
        Self {
            queues: BTreeMap::new(),
            writes: 0,
            bytes: 0,
            limits,
        }
    }

    /// Keeps `write` until it is released. One that is parked already is not kept twice.
    ///
    /// # Errors
    /// [`Overflow`] when the buffer is full: the write was dropped.
    pub fn park(&mut self, write: Write) -> Result<(), Overflow> {
        let dot = write.dot();
        let parked = self.queues.get(&dot.origin);
        if parked.is_some_and(|queue| queue.contains_key(&dot.counter)) {
            return Ok(());
        }
        let weight = write.weight();
        if self.writes >= self.limits.writes || self.bytes + weight > self.limits.bytes {
            return Err(Overflow);
        }
        self.writes += 1;
        self.bytes += weight;
        let queue = self.queues.entry(dot.origin).or_default();
        queue.insert(dot.counter, write);
        Ok(())
    }

    /// Takes out everything that has become deliverable, to the fixpoint, in an order in which it
    /// can be applied, and raises `covered` accordingly. Parked writes that are covered are dropped.
    pub fn release(&mut self, domain: &Domain, covered: &mut Coverage) -> Vec<Write> {
        let mut released = Vec::new();
        if self.writes == 0 {
            return released;
        }
        loop {
            let before = released.len();
            let origins: Vec<Origin> = self.queues.keys().copied().collect();
            for origin in origins {
                self.release_origin(origin, domain, covered, &mut released);
            }
            if released.len() == before {
                return released;
            }
        }
    }

    fn release_origin(
        &mut self,
        origin: Origin,
        domain: &Domain,
        covered: &mut Coverage,
        released: &mut Vec<Write>,
    ) {
        while let Some(queue) = self.queues.get_mut(&origin) {
            let Some(head) = queue.first_entry() else {
                self.queues.remove(&origin);
                return;
            };
            let known = covered.covers(&head.get().dot());
            if !known && !is_deliverable(head.get(), domain, covered) {
                return;
            }
            let write = head.remove();
            self.writes -= 1;
            self.bytes -= write.weight();
            if !known {
                covered.raise(origin, write.dot().counter);
                released.push(write);
            }
        }
    }

    /// Drops what lives of `address` before `life` have pushed: from now on joins alone bring it.
    pub fn seal(&mut self, address: Address, life: Incarnation) {
        let superseded = |origin: &Origin| origin.address == address && origin.incarnation < life;
        self.queues.retain(|origin, _| !superseded(origin));
        self.recount();
    }

    fn recount(&mut self) {
        let writes = || self.queues.values().flat_map(BTreeMap::values);
        self.writes = writes().count();
        self.bytes = writes().map(Write::weight).sum();
    }

    /// How much may be parked.
    pub fn limits(&self) -> BufferLimits {
        self.limits
    }

    /// Writes parked now.
    pub fn writes(&self) -> usize {
        self.writes
    }

    /// Their bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{dot, origin, write, write_after};

    const LIMITS: BufferLimits = BufferLimits {
        writes: 3,
        bytes: 1 << 20,
    };

    fn release(buffer: &mut CausalBuffer, clock: &mut Coverage) -> Vec<(u64, Origin)> {
        let released = buffer.release(&Domain::UNSHARDED, clock);
        let dots = released.iter().map(Write::dot);
        dots.map(|dot| (dot.counter, dot.origin)).collect()
    }

    #[test]
    fn writes_are_released_in_an_order_that_respects_their_dependencies() {
        let mut buffer = CausalBuffer::new(LIMITS);
        let mut clock = Coverage::new();
        buffer.park(write(2, 2)).unwrap();
        buffer.park(write_after(2, 1, &[dot(3, 1)])).unwrap();
        assert!(release(&mut buffer, &mut clock).is_empty());
        buffer.park(write(3, 1)).unwrap();
        assert_eq!(
            release(&mut buffer, &mut clock),
            [(1, origin(3)), (1, origin(2)), (2, origin(2))]
        );
        assert_eq!((buffer.writes(), buffer.bytes()), (0, 0));
    }

    #[test]
    fn a_full_buffer_drops_the_newcomer_and_says_so() {
        let mut buffer = CausalBuffer::new(LIMITS);
        for counter in 2..=4 {
            buffer.park(write(1, counter)).unwrap();
        }
        assert_eq!(buffer.park(write(1, 5)), Err(Overflow));
        assert_eq!(buffer.park(write(1, 4)), Ok(()), "parked already");
        let mut clock = Coverage::from_iter([(origin(1), 1)]);
        assert_eq!(release(&mut buffer, &mut clock).len(), 3);
    }

    #[test]
    fn what_a_join_has_covered_is_dropped() {
        let mut buffer = CausalBuffer::new(LIMITS);
        buffer.park(write(1, 3)).unwrap();
        let mut clock = Coverage::from_iter([(origin(1), 5)]);
        assert!(release(&mut buffer, &mut clock).is_empty());
        assert_eq!(buffer.writes(), 0);
    }

    #[test]
    fn nothing_pushed_by_a_superseded_life_is_released() {
        let mut buffer = CausalBuffer::new(LIMITS);
        buffer.park(write(1, 1)).unwrap();
        let later = origin(1).incarnation.succeeding(0, 0);
        buffer.seal(origin(1).address, later);
        assert!(release(&mut buffer, &mut Coverage::new()).is_empty());
        assert_eq!(buffer.writes(), 0);
    }
}
