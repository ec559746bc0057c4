//! What is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::cluster::Cluster;
use super::super::samples::{family, samples};
use super::super::watch;
use crate::core::wire::{self, Heartbeat};

/// Bytes that the process has allocated, by its name among the sizes.
pub(super) const ALLOCATED: &str = "bytes allocated by the process";

/// Final counters, by their name among the sizes.
pub(super) const FINALS: &str = "final counters of ended lives";

/// Sizes of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Simulated time since the start.
    pub after: Duration,
    /// Restarts so far.
    pub restarts: u32,
    /// By name; of the nodes and clients, the largest.
    pub sizes: BTreeMap<String, u64>,
}

/// What is kept of every life for a week after its end: final counters, and so memory.
const KEPT_FOR_A_WEEK: [&str; 3] = [FINALS, "causet_lives_remembered", ALLOCATED];
const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The names of what is larger in the later figures than in the earlier ones. Numbers must not be larger at all. Bytes may
/// be by one in fifty, and 64: counters and stamps have more digits at one time than at another, and an allocator's tables grow in steps.
/// What is kept for a week is compared after the first one.
pub fn grown(earlier: &Figures, later: &Figures) -> Vec<String> {
    let is_larger = |(name, now): &(&String, &u64)| {
        let before = earlier.sizes.get(*name).copied().unwrap_or(0);
        let slack = if name.contains("bytes") {
            before / 50 + 64
        } else {
            0
        };
        let too_early = later.after < WEEK && KEPT_FOR_A_WEEK.contains(&name.as_str());
        **now > before + slack && !too_early
    };
    let larger = later.sizes.iter().filter(is_larger);
    larger.map(|(name, _)| name.clone()).collect()
}

/// Gauges that are no size: how long something took, how things stand.
const NO_SIZES: [&str; 3] = [
    "causet_stable_age_seconds",
    "causet_link_state",
    "causet_members_up",
];

/// Everything that the nodes keep: by what they say to those who ask, by their metrics, and by their own heartbeats.
pub(super) async fn of_nodes(cluster: &Cluster) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    let mut note = |name: &str, size: usize| {
        let largest = sizes.entry(name.to_owned()).or_default();
        *largest = size.max(*largest);
    };
    for (node, address) in cluster.addresses.iter().enumerate() {
        if let Some(digest) = cluster.digest(node).await {
            note("clock entries", digest.covered.clock().len());
            note("floors", digest.covered.floors().len());
            note(FINALS, digest.ended.len());
            let marker = |address: &_| digest.ended.marker(address).is_some();
            let markers = cluster.addresses.iter().filter(|a| marker(a));
            note("markers of ended lives", markers.count());
        }
        if let Some(bytes) = cluster.network.last_heartbeat(*address) {
            note("bytes of a heartbeat", bytes.len());
            if let Ok(heartbeat) = wire::decode::<Heartbeat>(&bytes) {
                note("bytes of a digest", wire::encode(&heartbeat.digest).len());
                note("roster entries", heartbeat.digest.roster.len());
                note("removal marks", heartbeat.removals.len());
                note("forget marks", heartbeat.forgotten.len());
            }
        }
        // A session of its own for each look, or an earlier one would be asked for again.
        let session = cluster.network.history().0;
        if let Some(cut) = watch::cut(&cluster.network, *address, session).await {
            note("promises adopted", cut.rest.promises.len());
            let mut rest = cut.rest;
            rest.ended = crate::core::ended::Ended::new();
            note(
                "bytes of a join without writes and final counters",
                wire::encode(&rest).len(),
            );
        }
    }
    for text in cluster.metrics() {
        for (name, value) in samples(&text) {
            let family = family(name);
            let is_size = !family.ends_with("_total") && !NO_SIZES.contains(&family);
            if is_size {
                note(name, usize::try_from(value).unwrap_or(usize::MAX));
            }
        }
    }
    let sizes = sizes.into_iter();
    sizes
        .map(|(name, size): (String, usize)| (name, size as u64))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(sizes: &[(&str, u64)]) -> Figures {
        Figures {
            after: Duration::from_secs(3_600),
            restarts: 0,
            sizes: sizes.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect(),
        }
    }

    #[test]
    fn numbers_must_not_be_larger_and_bytes_not_by_much() {
        let before = figures(&[("clock entries", 3), ("bytes of a digest", 200)]);
        assert_eq!(grown(&before, &before), [""; 0]);
        let more = figures(&[("clock entries", 4), ("bytes of a digest", 250)]);
        assert_eq!(grown(&before, &more), ["clock entries"]);
        let larger = figures(&[("bytes of a digest", 300), ("new", 1)]);
        assert_eq!(grown(&before, &larger), ["bytes of a digest", "new"]);
        assert_eq!(grown(&more, &before), [""; 0]);
    }

    #[test]
    fn final_counters_may_gather_for_a_week_and_no_longer() {
        let (before, mut more) = (figures(&[(FINALS, 10)]), figures(&[(FINALS, 50)]));
        assert_eq!(grown(&before, &more), [""; 0]);
        more.after = WEEK;
        assert_eq!(grown(&before, &more), [FINALS]);
    }
}
