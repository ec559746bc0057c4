//! What must be as one at quiet: maps and views everywhere, clocks and winners within each shard.

use super::super::samples::{family, samples};
use super::{ASIDE, Run};
use crate::messages::causality::DigestReport;

impl Run {
    /// What is not yet as it must be at quiet.
    pub(super) async fn disagreement(&self) -> Option<String> {
        let mut digests = Vec::new();
        for (node, digest) in self.digests().await.into_iter().enumerate() {
            let Some(digest) = digest else {
                return Some(format!("n{node} does not answer"));
            };
            digests.push(digest);
        }
        let maps = self.cluster.maps();
        if let Some(other) = maps.iter().position(|map| *map != maps[0]) {
            let (one, other_one) = (maps[0].id(), maps[other].id());
            return Some(format!("n0 goes by map {one}, n{other} by {other_one}"));
        }
        if let Some(first) = self.cluster.first_map()
            && first.id() > maps[0].id()
        {
            return Some(format!(
                "all go by map {}, not {}",
                maps[0].id(),
                first.id()
            ));
        }
        for (node, digest) in digests.iter().enumerate() {
            let domain = maps[node].domain_of(self.cluster.addresses[node]);
            if digest.domain != domain {
                return Some(format!("n{node} is in {}, not {domain}", digest.domain));
            }
        }
        for (_, members) in self.cluster.shards() {
            let digests: Vec<_> = members.iter().map(|n| (*n, &digests[*n])).collect();
            let differ = disagreement_of(&digests);
            if differ.is_some() {
                return differ;
            }
        }
        for node in 0..self.cluster.addresses.len() {
            let view = self.cluster.gateway(node)?.read_view().await;
            if view.as_ref() != Some(&self.cluster.addresses) {
                return Some(format!("n{node} has the view {view:?}"));
            }
        }
        for (node, map) in maps.iter().enumerate() {
            let standing = self.cluster.gateway(node)?.read_hand_overs().await;
            // There was nothing before a first map, but what those had written who had not heard of it yet.
            let first = map.before().is_none();
            let done =
                standing.is_some_and(|it| it.standing.settled && (it.standing.closed || first));
            if !done {
                return Some(format!("n{node} has not closed the older maps"));
            }
        }
        self.busy_gauge()
    }

    /// A gauge of a node that runs, which is not what it is at rest: nothing waits, and every link is steady.
    fn busy_gauge(&self) -> Option<String> {
        let at_rest = [
            ("causet_parked_requests", 0),
            ("causet_causal_buffer_writes", 0),
            ("causet_outbox_writes", 0),
            (ASIDE, 0),
            ("causet_link_state", 2),
            ("causet_keys_frozen", 0),
            ("causet_hand_overs_due", 0),
        ];
        let texts = self.cluster.metrics();
        let running = texts.iter().take(self.cluster.addresses.len());
        for (node, text) in running.enumerate() {
            for (gauge, rest) in at_rest {
                let is_busy = |(name, value): &(&str, u64)| family(name) == gauge && *value != rest;
                if let Some((name, value)) = samples(text).find(is_busy) {
                    return Some(format!("n{node} has {name} at {value}"));
                }
            }
        }
        None
    }
}

/// In what the members of one shard differ, or what of their past is not settled.
fn disagreement_of(digests: &[(usize, &DigestReport)]) -> Option<String> {
    let (one, first) = digests.first()?;
    let values = |d: &DigestReport| (d.summary.keys, d.summary.hash);
    let same = |d: &DigestReport| d.covered == first.covered && values(d) == values(first);
    if let Some((other, digest)) = digests.iter().find(|(_, digest)| !same(digest)) {
        let (its, theirs) = (values(first), values(digest));
        return Some(if first.covered == digest.covered {
            format!("n{one} has keys, hash {its:?}, n{other} {theirs:?}")
        } else {
            let (its, theirs) = (&first.covered, &digest.covered);
            format!("n{one} covers {its:?}, n{other} {theirs:?}")
        });
    }
    let floor = |d: &DigestReport| first.covered.floor(&d.origin.address);
    let mut digests = digests.iter().map(|(_, digest)| digest);
    let unsettled = digests.find(|d| floor(d) < d.origin.incarnation)?;
    let (life, floor) = (unsettled.origin, floor(unsettled));
    Some(format!(
        "earlier lives than {life} have ended only below {floor:?}"
    ))
}
