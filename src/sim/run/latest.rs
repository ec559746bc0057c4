//! What keys have in the end, by which writes of older domains are judged: no clock covers them any more.

use std::collections::{BTreeMap, BTreeSet};

use super::super::clients::key_name;
use super::super::made::Made;
use super::Run;
use super::judge::Had;
use crate::checker::{self, OperationId};
use crate::core::id::{Dot, Key, MapId};
use crate::core::metadata::Metadata;
use crate::core::stamp::Stamp;
use crate::messages::causality::Operation;

/// See the module.
#[derive(Debug)]
pub(super) struct Latest {
    /// Since which map keys are dealt as they are.
    since: Option<MapId>,
    written: BTreeMap<Dot, Made>,
    /// By key: the version that it has.
    versions: BTreeMap<String, (Dot, Stamp)>,
    /// Keys that somebody may have deleted: that they have no version says nothing.
    deleted: BTreeSet<String>,
    /// By operation.
    keys: Vec<String>,
}

impl Run {
    pub(super) async fn latest(&self) -> Latest {
        let keys: BTreeSet<u32> = self.plan.operations.iter().map(|o| o.what.key).collect();
        let mut versions = BTreeMap::new();
        for name in keys.into_iter().map(key_name) {
            for node in 0..self.cluster.addresses.len() {
                let asked = Key::new(&name).zip(self.cluster.gateway(node));
                let Some((key, gateway)) = asked else {
                    continue;
                };
                let topology = gateway.topology();
                if !topology.is_own(topology.map.shard_of(&key)) {
                    continue;
                }
                let get = Operation::Get { key };
                let read = gateway.request(get, Metadata::default(), None).await;
                if let Some(seen) = read.and_then(|read| read.outcome.seen().cloned()) {
                    let version = seen.version;
                    versions.insert(name.clone(), (version.dot, version.stamp()));
                    break;
                }
            }
        }
        let clients = self.clients.borrow();
        let operations = clients.operations();
        let deletes = operations
            .iter()
            .filter(|operation| operation.action == checker::Action::Delete);
        let shards = self.cluster.shards();
        Latest {
            since: shards.first().map(|(domain, _)| domain.map),
            written: self.written(),
            versions,
            deleted: deletes.map(|operation| operation.key.clone()).collect(),
            keys: operations.iter().map(|o| o.key.clone()).collect(),
        }
    }

    /// Whether a write was made under an older map, by which keys were dealt in another way.
    pub(super) fn is_older(&self, dot: &Dot, latest: &Latest) -> bool {
        let domain = self.clients.borrow().domain_of(&dot.origin);
        // If all have forgotten the later maps, they have begun again with the first one.
        domain.is_some_and(|domain| Some(domain.map) != latest.since) || self.forgot_a_map()
    }
}

impl Latest {
    /// Whether the key of this operation has the write that it made, or a later one, as far as that can be told.
    pub(super) fn has(&self, operation: OperationId, dot: &Dot) -> bool {
        let key = usize::try_from(operation.0).ok();
        let Some(key) = key.and_then(|at| self.keys.get(at)) else {
            return true;
        };
        let stamp = self.written.get(dot).and_then(|made| made.stamp);
        match self.versions.get(key) {
            Some((_, held)) => stamp.is_none_or(|stamp| *held >= stamp),
            None => self.deleted.contains(key),
        }
    }

    /// Whether some key has this very write.
    pub(super) fn shows(&self, dot: &Dot) -> bool {
        self.versions.values().any(|(shown, _)| shown == dot)
    }

    /// Whether the key may have been deleted.
    pub(super) fn may_be_deleted(&self, key: &Key) -> bool {
        self.deleted.contains(key.as_str())
    }
}

impl Had {
    /// Whether all have this write, by their clocks.
    pub(super) fn has(&self, dot: &Dot) -> bool {
        self.0.iter().any(|report| report.has(dot))
    }
}
