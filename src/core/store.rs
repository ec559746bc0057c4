//! The winners: for each key the version with the largest stamp, tombstones included.
//!
//! Applying versions is commutative, associative and idempotent (a last-writer-wins map under a
//! total order that extends happens-before), so replicas that have seen the same writes agree,
//! whatever the order. An index of live dots finds the difference to a clock at a cost that is
//! proportional to the difference and not to the store.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::coverage::Coverage;
use super::id::{Domain, Dot, Key, Origin};
use super::inheritance::OlderWrites;
use super::sharing::Sharing;
use super::stamp::{HlcTime, Stamp};
use super::write::{Content, Version, Write};

/// What applying a write has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is the key's winner now.
    Won {
        /// Whether the key existed before.
        was_live: bool,
    },
    /// The key has a version with a larger stamp, or this very one; nothing was changed.
    Superseded,
}

/// Sizes, and a fingerprint of the contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Keys that exist.
    pub keys: u64,
    /// Keys whose winner is a tombstone.
    pub tombstones: u64,
    /// Bytes of both, by [`Write::weight`].
    pub bytes: u64,
    /// Sum over (key, dot, value) of the keys that exist: equal on replicas with equal values, whatever the order. Tombstones do not
    /// count, since each replica collects them in its own time.
    pub hash: u64,
}

/// Winners of one domain.
#[derive(Debug, Default)]
pub struct Store {
    winners: HashMap<Key, Arc<Version>>,
    live_dots: BTreeMap<Origin, BTreeMap<u64, Key>>,
    /// The domains of the origins among these that wrote under older maps.
    older: BTreeMap<Origin, Domain>,
    /// Keys whose winner is a tombstone, by its stamp.
    tombstones: BTreeMap<Stamp, Key>,
    sharing: Sharing,
    summary: Summary,
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `write` its key's winner, unless the present one has a larger stamp.
    pub fn apply(&mut self, write: Write) -> Applied {
        let old = self.winners.get(&write.key);
        if old.is_some_and(|old| old.stamp() >= write.version.stamp()) {
            return Applied::Superseded;
        }
        let was_live = old.is_some_and(|old| old.content.is_live());
        if let Some(version) = old.cloned() {
            let key = write.key.clone();
            self.discount(&Write { key, version });
        }
        self.count(&write);
        let Write { key, mut version } = write;
        self.sharing.share_deps(&mut version);
        self.winners.insert(key, version);
        Applied::Won { was_live }
    }

    /// As [`apply`](Self::apply), a write of an older domain. An origin writes in one domain only.
    pub fn apply_older(&mut self, domain: Domain, write: Write) -> Applied {
        let origin = write.dot().origin;
        let applied = self.apply(write);
        if applied != Applied::Superseded {
            self.older.insert(origin, domain);
        }
        applied
    }

    /// The domain of the winners of this origin, if it is an older one.
    pub fn older_domain(&self, origin: &Origin) -> Option<Domain> {
        self.older.get(origin).copied()
    }

    /// The key's winner; a tombstone too.
    pub fn get(&self, key: &Key) -> Option<&Arc<Version>> {
        self.winners.get(key)
    }

    /// The winners of this domain whose dots are not `covered`, by origin and counter.
    pub fn difference(&self, covered: &Coverage) -> Vec<Write> {
        let own = self.live_dots.keys();
        let own = own.filter(|origin| !self.older.contains_key(*origin));
        own.flat_map(|origin| self.beyond(origin, covered))
            .collect()
    }

    /// The winners of older domains that are not covered, by what `covered` says of each domain.
    pub fn older_difference<'a>(
        &self,
        covered: impl Fn(&Domain) -> Option<&'a Coverage>,
    ) -> Vec<OlderWrites> {
        let nothing = Coverage::new();
        let mut difference: BTreeMap<Domain, Vec<Write>> = BTreeMap::new();
        for (origin, domain) in &self.older {
            let covered = covered(domain).unwrap_or(&nothing);
            let writes = difference.entry(*domain).or_default();
            writes.extend(self.beyond(origin, covered));
        }
        let groups = difference
            .into_iter()
            .filter(|(_, writes)| !writes.is_empty());
        groups
            .map(|(domain, writes)| OlderWrites { domain, writes })
            .collect()
    }

    /// The winners that are not covered, by origin and counter, from the write `from` on, which need not be a winner any more; with the
    /// domain of each, an older one or else `own`. `covered` says what is of a domain, `None` if nothing of it is looked for.
    pub fn lacking<'a>(
        &'a self,
        own: Domain,
        from: Option<Dot>,
        covered: impl Fn(&Domain) -> Option<&'a Coverage> + 'a,
    ) -> impl Iterator<Item = (Domain, Dot, &'a Key)> + 'a {
        let first = from.map_or(Bound::Unbounded, |dot| Bound::Included(dot.origin));
        let origins = self.live_dots.range((first, Bound::Unbounded));
        origins.flat_map(move |(origin, dots)| {
            let domain = self.older.get(origin).copied().unwrap_or(own);
            let covered = covered(&domain).filter(|covered| !covered.has_ended(origin));
            let first = from.filter(|dot| dot.origin == *origin);
            let first = first.map_or(0, |dot| dot.counter);
            let first = covered.map(|covered| first.max(covered.get(origin) + 1));
            let dots = first.into_iter().flat_map(|first| dots.range(first..));
            dots.map(move |(counter, key)| {
                let (origin, counter) = (*origin, *counter);
                (domain, Dot { origin, counter }, key)
            })
        })
    }

    fn beyond(&self, origin: &Origin, covered: &Coverage) -> impl Iterator<Item = Write> {
        let dots = self.live_dots.get(origin);
        let dots = dots.filter(|_| !covered.has_ended(origin));
        let first = covered.get(origin) + 1;
        let dots = dots.into_iter().flat_map(move |dots| dots.range(first..));
        dots.map(|(counter, key)| {
            let version = self.winners[key].clone();
            debug_assert_eq!(
                version.dot.counter, *counter,
                "the index names winners only"
            );
            let key = key.clone();
            Write { key, version }
        })
    }

    /// Removes the winners of older domains. Returns how many those were.
    pub fn drop_older(&mut self) -> usize {
        let older = std::mem::take(&mut self.older);
        let keys = older.keys().filter_map(|origin| self.live_dots.get(origin));
        let keys: Vec<Key> = keys.flat_map(BTreeMap::values).cloned().collect();
        for key in &keys {
            if let Some(version) = self.winners.remove(key) {
                let key = key.clone();
                self.discount(&Write { key, version });
            }
        }
        keys.len()
    }

    /// Removes the tombstones stamped at or below `upto`. Returns how many those were.
    pub fn collect(&mut self, upto: HlcTime) -> usize {
        let mut collected = 0;
        while let Some(entry) = self.tombstones.first_entry() {
            if entry.key().time > upto {
                break;
            }
            let key = entry.get().clone();
            if let Some(version) = self.winners.remove(&key) {
                self.discount(&Write { key, version });
            }
            collected += 1;
        }
        collected
    }

    /// Removes and returns everything, in no particular order.
    pub fn drain(&mut self) -> impl Iterator<Item = Write> + use<> {
        let winners = std::mem::take(self).winners;
        winners
            .into_iter()
            .map(|(key, version)| Write { key, version })
    }

    /// Makes room for so many keys: to grow step by step takes long at some of the steps.
    pub fn make_room(&mut self, keys: usize) {
        self.winners.reserve(keys);
    }

    /// Lets everything go bit by bit, in no particular order: what the iterator has passed is gone.
    pub fn dismantle(self) -> impl Iterator<Item = ()> + use<> {
        let Self {
            winners,
            live_dots,
            tombstones,
            ..
        } = self;
        let dots = live_dots.into_values().flatten().map(drop);
        let tombstones = tombstones.into_iter().map(drop);
        dots.chain(tombstones).chain(winners.into_iter().map(drop))
    }

    /// Sizes and fingerprint.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    fn count(&mut self, write: &Write) {
        let Dot { origin, counter } = write.dot();
        let dots = self.live_dots.entry(origin).or_default();
        dots.insert(counter, write.key.clone());
        if !write.version.content.is_live() {
            self.tombstones
                .insert(write.version.stamp(), write.key.clone());
        }
        *self.counter_for(&write.version.content) += 1;
        self.summary.bytes += write.weight() as u64;
        self.summary.hash = self.summary.hash.wrapping_add(fingerprint(write));
    }

    fn discount(&mut self, write: &Write) {
        let Dot { origin, counter } = write.dot();
        if let Some(dots) = self.live_dots.get_mut(&origin) {
            dots.remove(&counter);
            if dots.is_empty() {
                self.live_dots.remove(&origin);
                self.older.remove(&origin);
            }
        }
        if !write.version.content.is_live() {
            self.tombstones.remove(&write.version.stamp());
        }
        *self.counter_for(&write.version.content) -= 1;
        self.summary.bytes -= write.weight() as u64;
        self.summary.hash = self.summary.hash.wrapping_sub(fingerprint(write));
    }

    fn counter_for(&mut self, content: &Content) -> &mut u64 {
        if content.is_live() {
            &mut self.summary.keys
        } else {
            &mut self.summary.tombstones
        }
    }
}

/// Hash of a key's value; the same on every replica and in every build. 0 for a tombstone.
fn fingerprint(write: &Write) -> u64 {
    let Content::Value(value) = &write.version.content else {
        return 0;
    };
    let dot = write.dot();
    let mut hash = Xxh3::new();
    for part in [write.key.as_str(), &dot.to_string()] {
        hash.update(part.as_bytes());
        hash.update(&[0xff]);
    }
    hash.update(value.json().as_bytes());
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{dot, origin, write};

    fn with(mut write: Write, ms: u64, content: Content) -> Write {
        let version = Arc::make_mut(&mut write.version);
        version.time = HlcTime { ms, count: 0 };
        version.content = content;
        write.key = Key::new("k").unwrap();
        write
    }

    #[test]
    fn the_larger_stamp_wins_whatever_the_order() {
        let old = with(write(1, 1), 5, write(1, 1).version.content.clone());
        let new = with(write(2, 1), 6, Content::Tombstone);
        let mut ab = Store::new();
        assert_eq!(ab.apply(old.clone()), Applied::Won { was_live: false });
        assert_eq!(ab.apply(new.clone()), Applied::Won { was_live: true });
        let mut ba = Store::new();
        ba.apply(new.clone());
        assert_eq!(ba.apply(old), Applied::Superseded);
        assert_eq!(ba.apply(new), Applied::Superseded, "idempotent");
        assert_eq!(ab.summary(), ba.summary());
        assert_eq!((ab.summary().keys, ab.summary().tombstones), (0, 1));
    }

    #[test]
    fn equal_times_are_decided_by_origin() {
        let a = with(write(1, 1), 5, Content::Tombstone);
        let b = with(write(2, 1), 5, Content::Tombstone);
        let mut store = Store::new();
        store.apply(b);
        assert_eq!(store.apply(a), Applied::Superseded);
        assert_eq!(store.get(&Key::new("k").unwrap()).unwrap().dot, dot(2, 1));
    }

    #[test]
    fn a_difference_holds_winners_that_the_clock_does_not_cover() {
        let mut store = Store::new();
        for counter in 1..=3 {
            store.apply(write(1, counter));
        }
        store.apply(write(2, 9));
        let covered = Coverage::from_iter([(origin(1), 2)]);
        let dots: Vec<_> = store.difference(&covered).iter().map(Write::dot).collect();
        assert_eq!(dots, [dot(1, 3), dot(2, 9)]);
    }

    #[test]
    fn an_overwritten_version_leaves_the_sizes_and_the_index() {
        let mut store = Store::new();
        store.apply(with(write(1, 1), 1, Content::Tombstone));
        let alone = with(write(1, 2), 2, Content::Tombstone);
        store.apply(alone.clone());
        let mut fresh = Store::new();
        fresh.apply(alone);
        assert_eq!(store.summary(), fresh.summary());
        assert_eq!(store.difference(&Coverage::new()).len(), 1);
    }

    #[test]
    fn tombstones_up_to_a_stamp_are_collected_and_leave_no_trace() {
        let mut store = Store::new();
        for counter in 1..=3 {
            let mut deleted = write(1, counter);
            Arc::make_mut(&mut deleted.version).content = Content::Tombstone;
            store.apply(deleted);
        }
        store.apply(write(1, 4));
        let upto = write(1, 2).version.time;
        assert_eq!(store.collect(upto), 2);
        assert_eq!((store.summary().keys, store.summary().tombstones), (1, 1));
        let dots: Vec<_> = store.difference(&Coverage::new());
        assert_eq!(dots.len(), 2);
        assert_eq!(store.collect(upto), 0);
        assert_eq!(
            (store.drain().count(), store.summary()),
            (2, Summary::default())
        );
    }
}
