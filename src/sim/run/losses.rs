//! What is lost with a node's memory.

use super::Run;
use crate::checker;
use crate::core::id::Dot;

impl Run {
    /// Takes note of the writes that no running node has but this one.
    pub(super) async fn note_last_copies(&mut self, node: usize) {
        let digests = self.digests().await;
        let Some(Some(mine)) = digests.get(node) else {
            return;
        };
        for (origin, counter) in mine.clock.iter() {
            let others = digests
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != node);
            let others = others.filter_map(|(_, digest)| digest.as_ref());
            let held = others.map(|digest| digest.clock.get(&origin)).max();
            let lost = held.unwrap_or(0) + 1..=counter;
            self.lost
                .extend(lost.map(|counter| Dot { origin, counter }));
        }
        self.crashes
            .push((self.cluster.addresses[node], self.now_ms()));
    }

    /// What a node has acknowledged in the very moment of its crash, after it was asked what it had, was with nobody else.
    pub(super) fn note_last_moments(&mut self) {
        let clients = self.clients.borrow();
        let at_crash = |(id, dot): &(checker::OperationId, Dot)| {
            let ends = clients.operations().iter().find(|o| o.id == *id);
            let end_ms = ends.and_then(|operation| operation.end_ms);
            let crashes = self.crashes.iter();
            let mut its = crashes.filter(|(address, _)| *address == dot.origin.address);
            its.any(|(_, at)| end_ms.is_some_and(|end| end.abs_diff(*at) <= 1))
        };
        let lost: Vec<_> = clients.acknowledged().filter(at_crash).collect();
        drop(clients);
        self.lost.extend(lost.into_iter().map(|(_, dot)| dot));
    }
}
