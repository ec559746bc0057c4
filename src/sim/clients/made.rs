//! The writes that were made for clients.

use std::collections::BTreeMap;

use super::{Clients, Sent, Told};
use crate::checker::OperationId;
use crate::core::id::{Domain, Dot, Origin};
use crate::sim::made::Made;

impl Clients {
    /// A write was made, if one was, of which the client will be told.
    pub(in crate::sim) fn note_made(&mut self, sent: &Sent, told: &Told) {
        if let Some(made) = told.made(sent.key()) {
            self.domains.insert(made.dot.origin, made.domain);
            self.made[sent.id] = Some(made);
        }
    }

    /// These writes were made, and their clients were perhaps not told.
    pub(in crate::sim) fn learn_made(&mut self, made: BTreeMap<u64, Made>) {
        for (request, made) in made {
            self.domains.insert(made.dot.origin, made.domain);
            let known = usize::try_from(request).ok();
            if let Some(known) = known.and_then(|id| self.made.get_mut(id)) {
                known.get_or_insert(made);
            }
        }
    }

    /// Every write that a client was told of, or has made: the origin's earlier ones are meant, too.
    pub(in crate::sim) fn named_dots(&self) -> impl Iterator<Item = (Domain, Origin, u64)> + '_ {
        let handed_out = self
            .handed_out()
            .flat_map(|metadata| metadata.clocks.iter());
        let named = handed_out.flat_map(|(domain, clock)| {
            clock
                .iter()
                .map(|(origin, counter)| (*domain, origin, counter))
        });
        let made = self.made.iter().flatten();
        named.chain(made.map(|made| (made.domain, made.dot.origin, made.dot.counter)))
    }

    /// The domain in which a life has written, as far as clients can tell: it is one alone.
    pub(in crate::sim) fn domain_of(&self, origin: &Origin) -> Option<Domain> {
        self.domains.get(origin).copied()
    }

    /// The writes that were acknowledged, or are known to have been made: which operation made which.
    pub fn acknowledged(&self) -> impl Iterator<Item = (OperationId, Dot)> + '_ {
        let made = self.made.iter().enumerate();
        made.filter_map(|(id, made)| Some((OperationId(id as u64), made.as_ref()?.dot)))
    }

    /// By operation: the write that it made, as far as that is known.
    pub(in crate::sim) fn made(&self) -> &[Option<Made>] {
        &self.made
    }
}
