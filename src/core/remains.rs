//! What nobody needs any more, and what takes long to be let go of.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::frozen::Frozen;

/// Stores that go bit by bit, so that nobody has to wait for it.
#[derive(Default)]
pub struct Remains(VecDeque<Box<dyn Iterator<Item = ()>>>);

impl Remains {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether all is gone.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This is to go, once nobody else holds it.
    pub fn add(&mut self, frozen: Arc<Frozen>) {
        if let Some(frozen) = Arc::into_inner(frozen) {
            self.0.push_back(Box::new(frozen.winners.dismantle()));
        }
    }

    /// Lets go of so much.
    pub fn shed(&mut self, most: usize) {
        if let Some(remains) = self.0.front_mut() {
            // Each key is there twice: under its name, and under that of its write.
            let gone = remains.take(most.saturating_mul(2)).count();
            if gone < most.saturating_mul(2) {
                self.0.pop_front();
            }
        }
    }
}

impl fmt::Debug for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remains({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::frozen::tests::frozen;
    use crate::core::testing::write;

    #[test]
    fn what_nobody_else_holds_goes_in_slices() {
        let of = frozen(true);
        let kept = of.winners.get(&write(1, 20).key).cloned();
        let others: Vec<_> = (1..20)
            .filter_map(|n| of.winners.get(&write(1, n).key).map(Arc::downgrade))
            .collect();
        let (held, mut remains) = (Arc::new(of), Remains::new());
        remains.add(held.clone());
        assert!(remains.is_empty(), "somebody holds it");
        remains.add(held);
        let mut slices = 0;
        while !remains.is_empty() {
            remains.shed(10);
            slices += 1;
        }
        assert_eq!((slices, others.len()), (3, 19), "25 keys, ten at once");
        assert!(others.iter().all(|version| version.strong_count() == 0));
        assert_eq!(kept.map(|version| Arc::strong_count(&version)), Some(1));
    }
}
