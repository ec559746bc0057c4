//! Equal dependencies are kept once.
//!
//! Many versions depend on the same writes: all those of clients that have observed nothing, or that have read the same before they
//! wrote. Each comes with dependencies of its own, from a request or a peer's message; the store would keep them all.
//! Here they are looked up among those met lately, and if there are equal ones, these take their place.
//!
//! The table has a place for each of [`PLACES`] hashes and holds nothing alive: the last version that goes takes its
//! dependencies with it. What is found is compared as a whole, so a collision costs memory and nothing else.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use xxhash_rust::xxh3::Xxh3;

use super::clock::Clocks;
use super::write::Version;

/// Dependencies remembered; a pointer each, and 40 bytes of each that is not in use any more.
const PLACES: u16 = 1_024;

/// Dependencies that were met lately.
pub(super) struct Sharing(Vec<Weak<Clocks>>);

impl Sharing {
    /// None were met.
    pub(super) fn new() -> Self {
        Self((0..PLACES).map(|_| Weak::new()).collect())
    }

    /// These, or equal ones that are in use already.
    pub(super) fn share(&mut self, clocks: Arc<Clocks>) -> Arc<Clocks> {
        let mut hash = Xxh3::new();
        clocks.hash(&mut hash);
        let place = hash.finish() % u64::from(PLACES);
        let known = &mut self.0[usize::try_from(place).unwrap_or(0)];
        if let Some(equal) = known.upgrade().filter(|known| *known == clocks) {
            return equal;
        }
        *known = Arc::downgrade(&clocks);
        clocks
    }

    /// Has this version share its dependencies, unless somebody else holds the version already.
    pub(super) fn share_deps(&mut self, version: &mut Arc<Version>) {
        if let Some(version) = Arc::get_mut(version) {
            version.deps = self.share(version.deps.clone());
        }
    }
}

impl Default for Sharing {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sharing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{dot, write_after};

    #[test]
    fn equal_dependencies_are_one_and_others_stay_apart() {
        let mut sharing = Sharing::new();
        let after = |n: u64| write_after(1, n, &[dot(2, 7), dot(3, n / 3 + 1)]).version;
        let mut versions = [after(1), after(2), after(3)];
        for version in &mut versions {
            sharing.share_deps(version);
        }
        let [one, two, other] = versions.map(|version| version.deps.clone());
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(other, after(3).deps);
        assert_eq!(one, after(1).deps);
    }

    #[test]
    fn a_version_that_somebody_holds_is_left_as_it_is() {
        let mut sharing = Sharing::new();
        let known = sharing.share(write_after(1, 1, &[dot(2, 7)]).version.deps.clone());
        let mut version = write_after(1, 2, &[dot(2, 7)]).version;
        let held = version.clone();
        sharing.share_deps(&mut version);
        assert!(Arc::ptr_eq(&held, &version) && !Arc::ptr_eq(&known, &version.deps));
    }

    #[test]
    fn what_no_version_depends_on_any_more_is_let_go() {
        let mut sharing = Sharing::new();
        let deps = sharing.share(write_after(1, 1, &[dot(2, 7)]).version.deps.clone());
        let alive = Arc::downgrade(&deps);
        drop(deps);
        assert!(alive.upgrade().is_none());
    }
}
