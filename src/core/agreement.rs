//! What all members agree on: which lives are over, and up to which stamp everybody has everything.
//!
//! A replica acts on the last digest of every other member, in its present life, and only if all their rosters
//! are the one that it has itself. Members that are down are waited for; those forgotten are not. Digests alone never change what is
//! covered: an end is made known by a write, or learned in a join (design §5, ADR 11).

use std::collections::BTreeMap;

use super::coverage::Coverage;
use super::given_up::GivenUp;
use super::id::{Address, Incarnation, Origin};
use super::roster::RosterEntry;
use super::stamp::HlcTime;
use super::wire::Digest;

/// The last digests of the other members.
#[derive(Debug, Default)]
pub struct Reports(BTreeMap<Address, Digest>);

/// Who keeps all from agreeing, and on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// It has not reported in its present life, not for some time, or with another roster.
    Silent(Address),
    /// It does not have everything yet.
    Behind(Address),
}

/// That all members know the same lives and have given up the same, and that this replica has all that they had written by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accord {
    /// Of the other members that have versions set aside, the first.
    pub first_aside: Option<Address>,
}

impl Reports {
    /// Nobody has reported.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a digest, unless it was overtaken by a later one on its way.
    pub fn take(&mut self, digest: &Digest) {
        let known = self.0.get(&digest.from.address);
        let rank = |d: &Digest| (d.from.incarnation, d.promise);
        if known.is_none_or(|known| rank(known) <= rank(digest)) {
            self.0.insert(digest.from.address, digest.clone());
        }
    }

    /// Forgets what addresses have reported that are in no roster any more.
    pub fn keep_members(&mut self, roster: &[RosterEntry]) {
        self.0
            .retain(|address, _| roster.iter().any(|e| e.address == *address && !e.outside));
    }

    /// The reports of all other members; or the first that has given none that can be compared.
    fn comparable(&self, own: Address, roster: &[RosterEntry]) -> Result<Vec<&Digest>, Holder> {
        let waited_for = |e: &&RosterEntry| e.is_waited_for() && e.address != own;
        let others = roster.iter().filter(waited_for);
        let report = |entry: &RosterEntry| {
            let report = self.0.get(&entry.address);
            let present = report.filter(|report| {
                let alive = report.from.incarnation == entry.life && report.bootstrapped;
                alive && report.roster == *roster && !report.hand_overs.unheard
            });
            present.ok_or(Holder::Silent(entry.address))
        };
        others.map(report).collect()
    }

    /// The addresses whose lives below some life are over: nobody can ever have more of them than everybody has. `covered` is
    /// what this replica has. Of nodes outside of the shard, which may have been in it, the lives before the present one are.
    pub fn ended(
        &self,
        own: Address,
        roster: &[RosterEntry],
        covered: &Coverage,
    ) -> Vec<(Address, Incarnation)> {
        let Ok(reports) = self.comparable(own, roster) else {
            return Vec::new();
        };
        let below = |entry: &RosterEntry| {
            let next = entry.life.next();
            (
                entry.address,
                if entry.forgotten { next } else { entry.life },
            )
        };
        let raised = |(address, below): &(Address, Incarnation)| covered.floor(address) < *below;
        let agreed = |(address, below): &(Address, Incarnation)| {
            let ours = counters(covered, *address, *below);
            // Who has a higher floor counts nothing below it; what it has, only a join or its marker brings.
            let floor = covered.floor(address);
            let same = |report: &&Digest| {
                let theirs = &report.covered;
                theirs.floor(address) <= floor && counters(theirs, *address, *below) == ours
            };
            reports.iter().all(same)
        };
        let ends = roster.iter().map(below).filter(raised);
        ends.filter(agreed).collect()
    }

    /// Whether all other members know this roster and have given up the same, and what they had written by then is `covered`.
    pub fn accord(
        &self,
        own: Address,
        roster: &[RosterEntry],
        given_up: &GivenUp,
        covered: &Coverage,
    ) -> Option<Accord> {
        let reports = self.comparable(own, roster).ok()?;
        let agrees = |report: &&Digest| {
            let written = report.covered.get(&report.from);
            report.given_up == *given_up && written <= covered.get(&report.from)
        };
        reports.iter().all(agrees).then(|| Accord {
            first_aside: first_aside(&reports),
        })
    }

    /// Whether all members that are not forgotten agree, and no other one has versions set aside.
    pub fn nobody_has_aside(&self, own: Address, roster: &[RosterEntry]) -> bool {
        let reports = self.comparable(own, roster);
        reports.is_ok_and(|reports| first_aside(&reports).is_none())
    }

    /// Up to which stamp every member has every write, `frontier` being this replica's own, and `covered` what it has.
    ///
    /// # Errors
    /// The first member that has not reported what could be compared, or has more or less than this one of a life that is no
    /// member's present one: who has never heard of such a life is not held back by it.
    pub fn stable(
        &self,
        own: Address,
        roster: &[RosterEntry],
        (covered, frontier): (&Coverage, HlcTime),
    ) -> Result<HlcTime, Holder> {
        let reports = self.comparable(own, roster)?;
        let ours = past(covered, roster);
        let differs = |report: &&&Digest| past(&report.covered, roster) != ours;
        if let Some(report) = reports.iter().find(differs) {
            return Err(Holder::Behind(report.from.address));
        }
        let frontiers = reports.iter().map(|report| report.frontier);
        Ok(frontiers.fold(frontier, HlcTime::min))
    }

    /// Who holds the stable stamp back: a member whose last report is older than `recent`, that is one for which the others may wait in
    /// turn; else the one that is furthest behind.
    pub fn holder(
        &self,
        own: Address,
        roster: &[RosterEntry],
        frontier: HlcTime,
        recent: HlcTime,
    ) -> Holder {
        let reports = match self.comparable(own, roster) {
            Err(silent) => return silent,
            Ok(reports) => reports,
        };
        let oldest = reports.iter().min_by_key(|r| (r.promise, r.from.address));
        if let Some(old) = oldest.filter(|r| r.promise < recent) {
            return Holder::Silent(old.from.address);
        }
        let last = reports.iter().min_by_key(|r| (r.frontier, r.from.address));
        let behind = last.filter(|r| r.frontier < frontier);
        Holder::Behind(behind.map_or(own, |r| r.from.address))
    }
}

fn first_aside(reports: &[&Digest]) -> Option<Address> {
    let aside = reports.iter().filter(|report| report.aside);
    aside.map(|report| report.from.address).min()
}

/// What is covered of the lives of an address below one.
fn counters(covered: &Coverage, address: Address, below: Incarnation) -> Vec<(Origin, u64)> {
    let entries = covered.clock().iter();
    let of_it = entries.filter(|(o, _)| o.address == address && o.incarnation < below);
    of_it.collect()
}

/// What is covered of lives that are no member's present one.
fn past(covered: &Coverage, roster: &[RosterEntry]) -> Vec<(Origin, u64)> {
    let is_present = |o: &Origin| {
        let its = |e: &RosterEntry| e.address == o.address && e.life == o.incarnation;
        roster
            .iter()
            .any(|entry| its(entry) && entry.is_waited_for())
    };
    let entries = covered.clock().iter();
    entries.filter(|(origin, _)| !is_present(origin)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::Domain;
    use crate::core::inheritance::HandOvers;
    use crate::core::testing::origin;
    use crate::core::wire::Status;

    /// Members 1 (this one), 2, 3; 3 is in its second life.
    fn roster() -> Vec<RosterEntry> {
        let entry = |n, life| RosterEntry {
            address: origin(n).address,
            life,
            forgotten: false,
            outside: false,
        };
        let second = origin(3).incarnation.next();
        vec![
            entry(1, origin(1).incarnation),
            entry(2, origin(2).incarnation),
            entry(3, second),
        ]
    }

    fn covered(entries: &[(u16, u64)]) -> Coverage {
        entries.iter().map(|&(n, c)| (origin(n), c)).collect()
    }

    fn report(of: usize, entries: &[(u16, u64)], frontier: u64) -> Digest {
        let at = |ms| HlcTime { ms, count: 0 };
        Digest {
            hand_overs: HandOvers::default(),
            from: Origin {
                address: roster()[of].address,
                incarnation: roster()[of].life,
            },
            domain: Domain::UNSHARDED,
            covered: covered(entries),
            promise: at(1_000),
            status: Status::Serving,
            pushing: false,
            admits: true,
            roster: roster(),
            bootstrapped: true,
            frontier: at(frontier),
            aside: false,
            given_up: GivenUp::new(),
        }
    }

    fn reports(digests: &[Digest]) -> Reports {
        let mut reports = Reports::new();
        for digest in digests {
            reports.take(digest);
        }
        reports
    }

    fn ended(digests: &[Digest], own: &[(u16, u64)]) -> Vec<Address> {
        let ended = reports(digests).ended(origin(1).address, &roster(), &covered(own));
        ended.into_iter().map(|(address, _)| address).collect()
    }

    #[test]
    fn a_life_is_over_once_all_members_have_the_same_of_it() {
        let all = [1, 2, 3].map(|n| origin(n).address);
        let same = [report(1, &[(3, 5)], 0), report(2, &[(3, 5)], 0)];
        assert_eq!(ended(&same, &[(3, 5)]), all);
        assert_eq!(ended(&same, &[(3, 4)]), all[..2], "one has less");
        assert_eq!(ended(&same[..1], &[(3, 5)]), [], "one is silent");
    }

    #[test]
    fn who_lacks_a_floor_that_another_has_does_not_conclude_that_there_was_nothing() {
        let mut raised = report(1, &[], 0);
        raised.covered.end(origin(3).address, roster()[2].life);
        let without = [1, 2].map(|n| origin(n).address);
        assert_eq!(ended(&[raised, report(2, &[], 0)], &[]), without);
    }

    #[test]
    fn a_report_that_cannot_be_compared_counts_for_nothing() {
        let good = || [report(1, &[], 7), report(2, &[], 9)];
        assert_eq!(ended(&good(), &[]).len(), 3);
        let mut earlier_life = good();
        earlier_life[1].from.incarnation = origin(3).incarnation;
        let mut starting = good();
        starting[0].bootstrapped = false;
        let mut other_roster = good();
        other_roster[0].roster[2].forgotten = true;
        for digests in [earlier_life, starting, other_roster] {
            assert_eq!(ended(&digests, &[]), []);
            let own = (&Coverage::new(), HlcTime::ZERO);
            let stable = reports(&digests).stable(origin(1).address, &roster(), own);
            assert!(matches!(stable, Err(Holder::Silent(_))), "{stable:?}");
        }
    }

    #[test]
    fn the_stable_stamp_is_the_least_frontier_and_its_member_is_named() {
        let at = |ms| HlcTime { ms, count: 0 };
        let reports = reports(&[report(1, &[], 7), report(2, &[], 9)]);
        let own = origin(1).address;
        let nothing = Coverage::new();
        let stable = |frontier| reports.stable(own, &roster(), (&nothing, frontier));
        assert_eq!(stable(at(8)), Ok(at(7)));
        assert_eq!(stable(at(5)), Ok(at(5)));
        let behind = Holder::Behind(origin(2).address);
        let holder = |frontier| reports.holder(own, &roster(), at(frontier), at(0));
        assert_eq!(holder(8), behind);
        assert_eq!(holder(5), Holder::Behind(own));
    }

    #[test]
    fn one_that_has_fallen_silent_is_named_before_one_that_waits_for_it() {
        let at = |ms| HlcTime { ms, count: 0 };
        let mut silent = report(2, &[], 9);
        silent.promise = at(900);
        let reports = reports(&[report(1, &[], 7), silent]);
        let holder = |recent| reports.holder(origin(1).address, &roster(), at(8), at(recent));
        assert_eq!(holder(901), Holder::Silent(origin(3).address));
        assert_eq!(holder(900), Holder::Behind(origin(2).address));
    }

    #[test]
    fn nothing_is_stable_while_members_differ_about_a_life_that_some_have_never_heard_of() {
        let at = |ms| HlcTime { ms, count: 0 };
        let reports = reports(&[report(1, &[], 7), report(2, &[(3, 5)], 9)]);
        let stable = |own: &[(u16, u64)]| {
            let (own_address, own) = (origin(1).address, covered(own));
            reports.stable(own_address, &roster(), (&own, at(8)))
        };
        assert_eq!(stable(&[(3, 5)]), Err(Holder::Behind(origin(2).address)));
        assert_eq!(stable(&[]), Err(Holder::Behind(roster()[2].address)));
    }

    #[test]
    fn a_digest_that_was_overtaken_on_its_way_is_not_taken() {
        let (early, mut late) = (report(1, &[(3, 5)], 0), report(1, &[(3, 6)], 0));
        late.promise.ms += 1;
        let other = report(2, &[(3, 6)], 0);
        let digests = [late, early, other];
        assert_eq!(ended(&digests, &[(3, 6)]).len(), 3);
    }
}
