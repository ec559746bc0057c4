//! Bytes of request bodies that are held at once, parked requests included: many large requests cannot use up
//! the memory that their number alone would allow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::answer::Problem;

/// How much is held, and how much may be. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    held: Arc<AtomicUsize>,
    limit: usize,
}

impl Budget {
    /// Nothing is held; up to `limit` bytes may be.
    pub(super) fn with_limit(limit: usize) -> Self {
        Self {
            held: Arc::default(),
            limit,
        }
    }

    /// A part of nothing yet; what it takes is given back when it is dropped.
    pub(super) fn part(&self) -> Part {
        Part {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// Bytes held now.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// What one request holds of a budget.
#[derive(Debug)]
pub(super) struct Part {
    budget: Budget,
    bytes: usize,
}

impl Part {
    /// Takes some more.
    ///
    /// # Errors
    /// [`Problem::OVERLOADED`] when that would exceed the budget; nothing was taken.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        let before = self.budget.held.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.budget.limit {
            self.budget.held.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Problem::OVERLOADED);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_held_is_there_for_the_next() {
        let budget = Budget::with_limit(10);
        let (mut one, mut other) = (budget.part(), budget.part());
        one.take(6).unwrap();
        assert_eq!(other.take(5), Err(Problem::OVERLOADED));
        other.take(4).unwrap();
        drop(one);
        other.take(6).unwrap();
        assert_eq!(budget.held(), 10);
        drop(other);
        assert_eq!(budget.held(), 0);
    }
}
