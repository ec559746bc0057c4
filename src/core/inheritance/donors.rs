//! Who has something of older maps that this node has not: donors, and other keepers of its shard.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::Millis;
use crate::core::id::{Address, Origin};

/// Donors, as they were last heard of.
#[derive(Debug, Default)]
pub struct Donors {
    known: BTreeMap<Address, (Origin, Millis)>,
    /// Those that were not asked yet for all that they have, since they were heard of.
    due: BTreeSet<Address>,
}

impl Donors {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a donor that may be asked now, or of one that may not: its link has to settle first.
    pub fn note(&mut self, donor: Origin, may_join: bool, now: Millis) {
        if may_join {
            self.known.insert(donor.address, (donor, now));
            self.due.insert(donor.address);
        } else {
            self.drop(&donor.address);
        }
    }

    /// A donor that could not answer is not asked for anything before it is heard of again.
    pub fn drop(&mut self, donor: &Address) {
        self.known.remove(donor);
        self.due.remove(donor);
    }

    /// Those that may be asked. Who was heard of longer ago than `fresh_ms` may not: its link may have been out since, and it is
    /// noted again if it is not.
    pub fn present(&self, now: Millis, fresh_ms: Millis) -> impl Iterator<Item = Origin> {
        let fresh = move |(_, at): &&(Origin, Millis)| now - at <= fresh_ms;
        self.known.values().filter(fresh).map(|(donor, _)| *donor)
    }

    /// The next one of them to be asked for all that it has.
    pub fn next(&mut self, now: Millis, fresh_ms: Millis) -> Option<Origin> {
        let next = {
            let mut present = self.present(now, fresh_ms);
            present.find(|donor| self.due.contains(&donor.address))
        }?;
        self.due.remove(&next.address);
        Some(next)
    }

    /// Whoever is asked for another domain is noted again.
    pub fn clear(&mut self) {
        self.known.clear();
        self.due.clear();
    }
}

/// Other keepers of the shard that have shown something of older maps which is not here, and since when each has.
#[derive(Debug, Default)]
pub struct Ahead(BTreeMap<Address, Millis>);

impl Ahead {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of whether a keeper has shown more than there is here. True if it has for so long.
    pub fn note(
        &mut self,
        keeper: Address,
        has_more: bool,
        now: Millis,
        patience_ms: Millis,
    ) -> bool {
        if !has_more {
            self.0.remove(&keeper);
            return false;
        }
        let since = *self.0.entry(keeper).or_insert(now);
        now - since >= patience_ms
    }

    /// What others have is looked at anew.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::origin;

    #[test]
    fn a_keeper_that_has_no_more_does_not_hide_that_another_one_has() {
        let (one, other) = (origin(1).address, origin(2).address);
        let mut ahead = Ahead::new();
        assert!(!ahead.note(one, true, 0, 500));
        assert!(!ahead.note(other, false, 250, 500));
        assert!(!ahead.note(one, true, 250, 500));
        assert!(!ahead.note(other, false, 500, 500));
        assert!(ahead.note(one, true, 500, 500));
        assert!(!ahead.note(one, false, 750, 500), "it was brought");
        assert!(!ahead.note(one, true, 1_000, 500));
    }

    #[test]
    fn a_donor_is_not_asked_over_a_link_that_was_cut_since_it_was_heard_of() {
        let mut donors = Donors::new();
        donors.note(origin(1), true, 0);
        assert_eq!(donors.next(3_000, 500), None, "nothing was heard since");
        donors.note(origin(1), true, 3_000);
        donors.note(origin(2), true, 3_000);
        donors.note(origin(1), false, 3_100);
        assert_eq!(donors.next(3_200, 500), Some(origin(2)), "1 has to settle");
        assert_eq!(donors.next(3_200, 500), None);
        assert!(donors.present(3_200, 500).eq([origin(2)]), "for one key");
        donors.drop(&origin(2).address);
        assert_eq!(donors.present(3_200, 500).count(), 0);
    }
}
