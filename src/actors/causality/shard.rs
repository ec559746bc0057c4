//! This replica's place in the shard map.

use super::Causality;
use crate::core::id::{Address, Domain};
use crate::messages::view::ViewChanged;

impl Causality {
    /// Takes over from the view in which shard this replica is, and with whom.
    pub(super) fn take_place(&mut self, changed: &ViewChanged) {
        let (own, map) = (self.state.origin().address, &changed.map);
        let domain = map.domain_of(own);
        if domain != self.state.domain() {
            self.enter(domain);
        }
        self.state.set_shards(map.count());
        let metrics = &self.parts.metrics;
        metrics.shards.set(i64::from(map.count()));
        let epoch = i64::try_from(map.id().epoch);
        metrics.map_epoch.set(epoch.unwrap_or(i64::MAX));
        let concerns = |address: &Address| *address == own || map.share(own, *address);
        let members = changed.members.iter().copied().filter(concerns);
        let members: Vec<Address> = members.collect();
        let forgotten = changed.forgotten.iter().copied();
        let forgotten: Vec<_> = forgotten.filter(|(a, _)| concerns(a)).collect();
        self.repair.keep_members(&members);
        self.state.set_members(&members, &forgotten);
    }

    /// Goes on in another domain, of which this replica has nothing yet: it starts there as after a restart.
    fn enter(&mut self, domain: Domain) {
        log::info!("entering {domain}");
        self.state.enter(domain);
        self.begin_with_nothing();
        self.beat();
    }
}
