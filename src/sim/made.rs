//! What is known of the writes that were made for clients, whether or not these were told.

use crate::core::id::{Domain, Dot, Key};
use crate::core::metadata::Metadata;
use crate::core::stamp::Stamp;
use crate::core::write::Write;
use crate::messages::causality::Seen;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) domain: Domain,
    pub(super) dot: Dot,
    pub(super) key: Key,
    /// `None` if no answer has told it.
    pub(super) stamp: Option<Stamp>,
}

impl Made {
    /// One that a node has shown.
    pub(super) fn shown(domain: Domain, write: &Write) -> Self {
        Self {
            domain,
            dot: write.dot(),
            key: write.key.clone(),
            stamp: Some(write.version.stamp()),
        }
    }

    /// The write of this key that an answer is about. Its metadata names it; and is stamped like it, since a write comes after all that its
    /// client had observed, unless the client was told of lost writes: then metadata may be later.
    pub(super) fn told(
        key: &Key,
        dot: Dot,
        told: (&Metadata, Option<&Seen>, bool),
    ) -> Option<Self> {
        let (metadata, seen, tells_of_lost) = told;
        let seen = seen.filter(|seen| seen.version.dot == dot);
        let mut groups = metadata.clocks.iter();
        let named = groups.find(|(_, clock)| clock.covers(&dot));
        let named = named.map(|(domain, _)| *domain);
        let given = Stamp {
            time: metadata.time,
            origin: dot.origin,
        };
        let stamp = seen.map(|seen| seen.version.stamp());
        Some(Self {
            domain: seen.map(|seen| seen.domain).or(named)?,
            dot,
            key: key.clone(),
            stamp: stamp.or_else(|| (!tells_of_lost).then_some(given)),
        })
    }
}
