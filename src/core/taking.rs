//! What was taken over, while the winners do not have all of it yet.
//!
//! To apply hundreds of thousands of writes takes so long that nobody would hear of this node meanwhile, so it is done in slices. What was taken over
//! is to be seen as a whole all the same, and at once: whoever looks at a key has it [settled](Taking::settle) first, and whoever looks at all of
//! them has all [finished](Taking::finish). Which comes first makes no difference to the winners: the larger stamp wins.
//! Only a key whose tombstone was collected would come back, so nothing is collected before all is finished.

use std::collections::VecDeque;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::frozen::{Frozen, Share, in_turn};
use super::id::{Domain, Dot, Key};
use super::inheritance::OlderWrites;
use super::stamp::HlcTime;
use super::store::Store;
use super::write::Write;

/// What is still to be applied.
#[derive(Debug)]
pub struct Taking {
    slice: usize,
    parts: VecDeque<Part>,
    /// Up to where tombstones are to go once everything is applied.
    collect_upto: Option<HlcTime>,
}

#[derive(Debug)]
enum Part {
    Own(Own),
    Brought(Brought),
}

/// What this node keeps of what is frozen here.
#[derive(Debug)]
struct Own {
    frozen: Arc<Frozen>,
    share: Share,
    next: Option<Dot>,
}

/// What others had. What was taken out leaves its place empty.
#[derive(Debug)]
struct Brought {
    older: Vec<(Domain, Vec<Option<Write>>)>,
    /// Hashes of the keys, and where they are, sorted.
    by_key: Vec<(u64, usize, usize)>,
    next: (usize, usize),
}

impl Taking {
    /// Nothing. So many winners are looked at in one slice.
    pub fn new(slice: usize) -> Self {
        Self {
            slice,
            parts: VecDeque::new(),
            collect_upto: None,
        }
    }

    /// Whether everything is applied.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Takes what this node keeps of what is frozen here, but for what it has already.
    pub fn own(&mut self, frozen: &[Arc<Frozen>], share: Share, winners: &mut Store) {
        for (frozen, share) in in_turn(frozen, share) {
            winners.make_room(frozen.keys_in(&share));
            let next = None;
            let own = Own {
                frozen,
                share,
                next,
            };
            self.parts.push_back(Part::Own(own));
        }
    }

    /// Tombstones stamped at or below `upto` are to go, as soon as everything is applied.
    pub fn collect(&mut self, upto: HlcTime) {
        self.collect_upto = Some(upto);
    }

    /// Removes the tombstones that are to go, if everything is applied: older values of what was deleted would come back if they were applied
    /// only then. Returns how many those were.
    pub fn collect_due(&mut self, winners: &mut Store) -> usize {
        let is_due = self.is_empty();
        let upto = self.collect_upto.take_if(|_| is_due);
        upto.map_or(0, |upto| winners.collect(upto))
    }

    /// Takes what others had.
    pub fn bring(&mut self, older: Vec<OlderWrites>, winners: &mut Store) {
        let brought = Brought::new(older);
        winners.make_room(brought.by_key.len());
        self.parts.push_back(Part::Brought(brought));
    }

    /// Applies what there is of this key.
    pub fn settle(&mut self, key: &Key, winners: &mut Store) {
        for part in &mut self.parts {
            match part {
                Part::Own(own) => {
                    if let Some((domain, write)) = own.frozen.lacked(&own.share, key) {
                        winners.apply_older(domain, write);
                    }
                }
                Part::Brought(brought) => brought.settle(key, winners),
            }
        }
    }

    /// Applies the next slice. Returns what it needs no longer.
    pub fn go_on(&mut self, winners: &mut Store) -> Option<Arc<Frozen>> {
        self.apply(self.slice, winners)
    }

    /// Applies all that is left.
    pub fn finish(&mut self, winners: &mut Store) {
        while !self.is_empty() {
            self.apply(usize::MAX, winners);
        }
    }

    fn apply(&mut self, most: usize, winners: &mut Store) -> Option<Arc<Frozen>> {
        let is_over = match self.parts.front_mut()? {
            Part::Own(own) => {
                let take = |domain, write| {
                    winners.apply_older(domain, write);
                    true
                };
                own.next = own.frozen.walk(&own.share, own.next, most, take).next;
                own.next.is_none()
            }
            Part::Brought(brought) => brought.apply(most, winners),
        };
        match is_over.then(|| self.parts.pop_front())?? {
            Part::Own(own) => Some(own.frozen),
            Part::Brought(_) => None,
        }
    }
}

impl Brought {
    fn new(older: Vec<OlderWrites>) -> Self {
        let older = older.into_iter().map(|older| {
            let writes = older.writes.into_iter().map(Some);
            (older.domain, writes.collect::<Vec<_>>())
        });
        let older: Vec<_> = older.collect();
        let mut by_key = Vec::with_capacity(older.iter().map(|(_, writes)| writes.len()).sum());
        for (group, (_, writes)) in older.iter().enumerate() {
            let hashes = writes.iter().flatten().map(|write| hash(&write.key));
            by_key.extend(hashes.enumerate().map(|(at, hash)| (hash, group, at)));
        }
        by_key.sort_unstable();
        Self {
            older,
            by_key,
            next: (0, 0),
        }
    }

    fn settle(&mut self, key: &Key, winners: &mut Store) {
        let hash = hash(key);
        let first = self.by_key.partition_point(|(of, _, _)| *of < hash);
        let alike = self.by_key[first..]
            .iter()
            .take_while(|(of, _, _)| *of == hash);
        for (_, group, at) in alike {
            let (domain, writes) = &mut self.older[*group];
            if let Some(write) = writes[*at].take_if(|write| write.key == *key) {
                winners.apply_older(*domain, write);
            }
        }
    }

    /// Whether that was all.
    fn apply(&mut self, most: usize, winners: &mut Store) -> bool {
        let (group, at) = &mut self.next;
        let mut left = most;
        while let Some((domain, writes)) = self.older.get_mut(*group) {
            let end = writes.len().min(at.saturating_add(left));
            for write in writes[*at..end].iter_mut().filter_map(Option::take) {
                winners.apply_older(*domain, write);
            }
            left -= end - *at;
            *at = end;
            if end < writes.len() {
                return false;
            }
            (*group, *at) = (*group + 1, 0);
        }
        true
    }
}

fn hash(key: &Key) -> u64 {
    xxh3_64(key.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::frozen::tests::{domain, frozen, share};
    use crate::core::id::Domain;
    use crate::core::testing::write;
    use crate::core::write::Content;

    fn older(domain: Domain, writes: impl IntoIterator<Item = Write>) -> OlderWrites {
        let writes = writes.into_iter().collect();
        OlderWrites { domain, writes }
    }

    #[test]
    fn what_is_frozen_here_is_the_same_in_slices_as_at_once_and_each_key_is_there_before() {
        let (frozen, share) = (Arc::new(frozen(false)), share(domain(2, 0), 2, Vec::new()));
        let mut whole = Store::new();
        for OlderWrites { domain, writes } in frozen.difference(&share) {
            for write in writes {
                whole.apply_older(domain, write);
            }
        }
        let (mut taking, mut winners) = (Taking::new(3), Store::new());
        taking.own(std::slice::from_ref(&frozen), share, &mut winners);
        let (mut slices, mut done_with) = (0, None);
        while !taking.is_empty() {
            let key = write(1, slices + 8).key;
            taking.settle(&key, &mut winners);
            assert_eq!(winners.get(&key), whole.get(&key));
            done_with = taking.go_on(&mut winners);
            slices += 1;
        }
        assert_eq!(slices, 9, "25 keys, three at once");
        assert!(done_with.is_some_and(|of| Arc::ptr_eq(&of, &frozen)));
        assert_eq!(winners.summary(), whole.summary());
    }

    #[test]
    fn what_others_had_is_there_before_it_is_applied_and_takes_nothing_newer_away() {
        let of = domain(1, 0);
        let (mut taking, mut winners) = (Taking::new(2), Store::new());
        let mut newer = write(2, 100);
        newer.key = write(1, 2).key;
        winners.apply(newer.clone());
        let brought = (1..=5).map(|n| write(1, n));
        taking.bring(
            vec![older(of, brought), older(of, [write(3, 1)])],
            &mut winners,
        );
        for (write, found) in [(write(1, 5), 5), (write(3, 1), 1), (newer.clone(), 100)] {
            taking.settle(&write.key, &mut winners);
            let dot = winners.get(&write.key).map(|version| version.dot.counter);
            assert_eq!(dot, Some(found));
        }
        // Over the one that is here already.
        let mut deleted = write(4, 200);
        deleted.key = write(1, 4).key;
        Arc::make_mut(&mut deleted.version).content = Content::Tombstone;
        winners.apply(deleted.clone());
        taking.collect(HlcTime::ZERO);
        taking.go_on(&mut winners);
        assert!(!taking.is_empty());
        taking.collect(deleted.version.time);
        assert_eq!(taking.collect_due(&mut winners), 0, "more is to come");
        assert_eq!(winners.get(&deleted.key), Some(&deleted.version));
        taking.finish(&mut winners);
        let summary = winners.summary();
        assert_eq!((summary.keys, summary.tombstones), (4, 1));
        assert_eq!(taking.collect_due(&mut winners), 1);
        assert_eq!(winners.get(&deleted.key), None);
        assert_eq!(winners.older_domain(&write(1, 1).dot().origin), Some(of));
    }
}
