//! When nodes go over to other maps, by which keys are dealt anew, and what came of that.

use std::collections::BTreeMap;

use crate::core::id::{Address, MapId};
use crate::core::sharding::map::ShardMap;
use crate::core::wire::{self, JoinAnswer, JoinRequest, Wants};

/// Who goes over to a map so much later than the first one was away, in milliseconds.
const LATE_MS: u64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Deals {
    first: BTreeMap<MapId, u64>,
    /// How much later than the first one each node went over to its map.
    late: BTreeMap<Address, u64>,
    superseded: u64,
    late_hand_overs: u64,
}

impl Deals {
    /// A node goes by this map, and by another deal than before.
    pub(super) fn enters(&mut self, node: Address, before: MapId, map: &ShardMap, now_ms: u64) {
        let since = map.deal().since;
        let first = *self.first.entry(since).or_insert(now_ms);
        self.late.insert(node, now_ms - first);
        let built_on = map.before().map(|deal| deal.since);
        let is_other = built_on.is_some_and(|on| on != before && on.epoch <= before.epoch);
        self.superseded += u64::from(before.maker.is_some() && is_other);
    }

    /// A node has answered the request for a page of a join.
    pub(super) fn gives(&mut self, node: Address, body: &[u8], answer: &[u8]) {
        let wants = wire::decode::<JoinRequest>(body).map(|request| request.wants);
        let is_late = self.late.get(&node).is_some_and(|late| *late >= LATE_MS);
        if is_late
            && wants == Ok(Wants::HandOver)
            && let Ok(JoinAnswer::Page(page)) = wire::decode(answer)
            && !page.older.is_empty()
        {
            self.late_hand_overs += 1;
        }
    }

    /// How often what happened.
    pub(super) fn counts(&self) -> [(&'static str, u64); 2] {
        [
            ("maps superseded by a larger one", self.superseded),
            ("late hand-overs", self.late_hand_overs),
        ]
    }
}
