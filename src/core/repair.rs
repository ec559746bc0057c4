//! When to ask whom for a join.
//!
//! Joins are the only repair. A digest that shows the other side ahead leads to one, unless what is
//! lacking is just on its way: the sender says that it is pushing to us, or the writes are a third
//! replica's, whose own push may be a moment behind. Then a lack that lasts [`RepairRules::patience_ms`]
//! without being filled leads to one. One join runs at a time; what it leaves, the next digest shows.

use std::collections::BTreeMap;

use super::Millis;
use super::clock::Relation;
use super::coverage::Coverage;
use super::id::{Address, Origin};
use super::wire::Digest;

/// When a lack counts as lasting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairRules {
    /// Milliseconds for which the same lack must stand.
    pub patience_ms: u64,
}

/// Memory of what peers were seen to be ahead by, and of the join that runs.
#[derive(Debug)]
pub struct Repair {
    rules: RepairRules,
    running: Option<Address>,
    ahead: BTreeMap<Address, Ahead>,
    /// Who alone is asked while this replica is starting.
    first: Option<First>,
}

#[derive(Debug)]
struct First {
    who: Address,
    /// For how long it may be silent.
    patience_ms: u64,
    until: Millis,
}

#[derive(Debug)]
struct Ahead {
    from: Origin,
    covered: Coverage,
    since: Millis,
}

impl Repair {
    /// Nothing runs.
    pub fn new(rules: RepairRules) -> Self {
        Self {
            rules,
            running: None,
            ahead: BTreeMap::new(),
            first: None,
        }
    }

    /// This one has shown that the replica took no part in what others agreed on, so it is born again. Whoever else is reached may
    /// have taken no part either: so only this one is asked, unless for so long it says nothing, or cannot be asked.
    pub fn ask_first(&mut self, who: Address, patience_ms: u64, now: Millis) {
        let until = now + patience_ms;
        self.first = Some(First {
            who,
            patience_ms,
            until,
        });
    }

    /// Takes note of a digest. True: ask its sender for a join now; it counts as running then.
    /// `may_join` says whether the link to it may be used for that.
    pub fn consider(
        &mut self,
        digest: &Digest,
        have: &Coverage,
        may_join: bool,
        now: Millis,
    ) -> bool {
        let from = digest.from.address;
        if !have.is_behind(&digest.covered) {
            if !self.is_outdated(digest) {
                self.ahead.remove(&from);
            }
            return false;
        }
        let lasting = self.lasts(digest, have, now);
        let due = lasting || (!digest.pushing && lacks_of_sender(digest, have));
        let join = due && self.may_ask(digest, may_join);
        if join {
            self.running = Some(from);
            self.ahead.remove(&from);
        }
        join
    }

    /// Whether more was seen of this peer, in this life, than the digest says: it was overtaken on its
    /// way, and that nothing of it is lacking says nothing about what the peer has by now.
    fn is_outdated(&self, digest: &Digest) -> bool {
        let seen = self.ahead.get(&digest.from.address);
        seen.is_some_and(|seen| {
            let relation = digest.covered.relation(&seen.covered);
            seen.from == digest.from && relation == Relation::Before
        })
    }

    /// Whether what this peer was ahead by some time ago is lacking still.
    fn lasts(&mut self, digest: &Digest, have: &Coverage, now: Millis) -> bool {
        let ahead = self
            .ahead
            .entry(digest.from.address)
            .or_insert_with(|| Ahead {
                from: digest.from,
                covered: digest.covered.clone(),
                since: now,
            });
        if !have.is_behind(&ahead.covered) {
            ahead.from = digest.from;
            ahead.covered.clone_from(&digest.covered);
            ahead.since = now;
        }
        now - ahead.since >= self.rules.patience_ms
    }

    /// Something was dropped that only a join brings back: the next digest of anybody who has it
    /// leads to one.
    pub fn give_up_waiting(&mut self) {
        for ahead in self.ahead.values_mut() {
            ahead.since = 0;
        }
    }

    /// Forgets what peers were ahead by that are no members any more.
    pub fn keep_members(&mut self, members: &[Address]) {
        self.ahead.retain(|address, _| members.contains(address));
    }

    /// Takes note of a digest while this replica is starting. True: ask its sender for a join now,
    /// whatever it has; it counts as running then.
    pub fn bootstrap(&mut self, digest: &Digest, may_join: bool, now: Millis) -> bool {
        match &mut self.first {
            Some(first) if now < first.until => {
                if first.who != digest.from.address {
                    return false;
                }
                if may_join && digest.bootstrapped {
                    first.until = now + first.patience_ms;
                }
            }
            Some(_) | None => self.first = None,
        }
        let join = self.may_ask(digest, may_join);
        if join {
            self.running = Some(digest.from.address);
        }
        join
    }

    /// One join at a time, over a link that allows it, from a peer that has caught up itself.
    fn may_ask(&self, digest: &Digest, may_join: bool) -> bool {
        may_join && self.running.is_none() && digest.bootstrapped
    }

    /// A join from this peer counts as running, for a reason of its own.
    pub fn begin(&mut self, from: Address) {
        self.running = Some(from);
    }

    /// The running join has ended, one way or another.
    pub fn ended(&mut self) {
        self.running = None;
    }

    /// Whether a join runs, and from whom.
    pub fn running(&self) -> Option<Address> {
        self.running
    }
}

fn lacks_of_sender(digest: &Digest, have: &Coverage) -> bool {
    have.get(&digest.from) < digest.covered.get(&digest.from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::Domain;
    use crate::core::inheritance::HandOvers;
    use crate::core::stamp::HlcTime;
    use crate::core::testing::origin;
    use crate::core::wire::Status;

    const RULES: RepairRules = RepairRules { patience_ms: 250 };

    fn coverage(entries: &[(u16, u64)]) -> Coverage {
        entries.iter().map(|&(n, c)| (origin(n), c)).collect()
    }

    fn digest(entries: &[(u16, u64)], pushing: bool) -> Digest {
        Digest {
            hand_overs: HandOvers::default(),
            from: origin(1),
            domain: Domain::UNSHARDED,
            roster: Vec::new(),
            covered: coverage(entries),
            promise: HlcTime::ZERO,
            status: Status::Serving,
            pushing,
            admits: true,
            bootstrapped: true,
            frontier: HlcTime::ZERO,
            aside: false,
            given_up: crate::core::given_up::GivenUp::new(),
        }
    }

    #[test]
    fn a_sender_that_is_ahead_and_pushes_nothing_is_asked_at_once() {
        let mut repair = Repair::new(RULES);
        assert!(repair.consider(&digest(&[(1, 2)], false), &coverage(&[(1, 1)]), true, 0));
        assert_eq!(repair.running(), Some(origin(1).address));
    }

    #[test]
    fn what_is_on_its_way_is_waited_for_but_not_for_ever() {
        let mut repair = Repair::new(RULES);
        let ahead = digest(&[(1, 2), (2, 1)], true);
        assert!(!repair.consider(&ahead, &Coverage::new(), true, 1_000));
        assert!(!repair.consider(&ahead, &Coverage::new(), true, 1_249));
        assert!(repair.consider(&ahead, &Coverage::new(), true, 1_250));
    }

    #[test]
    fn nothing_is_remembered_of_who_is_no_member_any_more() {
        let mut repair = Repair::new(RULES);
        let ahead = digest(&[(2, 1)], false);
        repair.consider(&ahead, &Coverage::new(), true, 0);
        repair.keep_members(&[ahead.from.address]);
        assert_eq!(repair.ahead.len(), 1);
        repair.keep_members(&[origin(2).address]);
        assert!(repair.ahead.is_empty());
    }

    #[test]
    fn progress_starts_the_patience_anew() {
        let mut repair = Repair::new(RULES);
        assert!(!repair.consider(&digest(&[(1, 2)], true), &Coverage::new(), true, 0));
        let have = coverage(&[(1, 2)]);
        assert!(!repair.consider(&digest(&[(1, 9)], true), &have, true, 300));
        assert!(!repair.consider(&digest(&[(1, 9)], true), &have, true, 500));
        assert!(repair.consider(&digest(&[(1, 9)], true), &have, true, 550));
    }

    #[test]
    fn a_digest_that_was_overtaken_on_its_way_does_not_start_the_patience_anew() {
        let mut repair = Repair::new(RULES);
        let have = coverage(&[(1, 5)]);
        assert!(!repair.consider(&digest(&[(1, 9)], true), &have, true, 1_000));
        assert!(!repair.consider(&digest(&[(1, 5)], true), &have, true, 1_100));
        assert!(repair.consider(&digest(&[(1, 9)], true), &have, true, 1_250));
    }

    #[test]
    fn a_new_life_that_has_less_than_the_one_before_is_not_ahead() {
        let mut repair = Repair::new(RULES);
        let mut reborn = digest(&[], true);
        reborn.from.incarnation = reborn.from.incarnation.succeeding(0, 0);
        assert!(!repair.consider(&digest(&[(1, 9)], true), &Coverage::new(), true, 1_000));
        assert!(!repair.consider(&reborn, &Coverage::new(), true, 1_100));
        reborn.covered = coverage(&[(1, 9)]);
        assert!(!repair.consider(&reborn, &Coverage::new(), true, 1_250));
        assert!(repair.consider(&reborn, &Coverage::new(), true, 1_500));
    }

    #[test]
    fn no_join_over_an_unsteady_link_from_a_starting_peer_or_beside_another() {
        let mut repair = Repair::new(RULES);
        let ahead = digest(&[(1, 2)], false);
        assert!(!repair.consider(&ahead, &Coverage::new(), false, 0));
        let mut starting = ahead.clone();
        starting.status = Status::Removed;
        starting.bootstrapped = false;
        assert!(!repair.consider(&starting, &Coverage::new(), true, 0));
        assert!(!repair.bootstrap(&starting, true, 0) && !repair.bootstrap(&ahead, false, 0));
        assert!(repair.bootstrap(&ahead, true, 0) && !repair.bootstrap(&ahead, true, 0));
        assert!(!repair.consider(&ahead, &Coverage::new(), true, 0));
        repair.ended();
        assert!(repair.consider(&ahead, &Coverage::new(), true, 0));
    }

    #[test]
    fn who_was_left_out_asks_the_one_who_has_shown_it_and_others_only_once_that_one_cannot_be_asked()
     {
        let mut repair = Repair::new(RULES);
        let shown_by = digest(&[(1, 2)], false);
        let mut other = digest(&[(1, 2)], false);
        other.from = origin(2);
        repair.ask_first(shown_by.from.address, 500, 1_000);
        assert!(!repair.bootstrap(&other, true, 1_100));
        assert!(repair.bootstrap(&shown_by, true, 1_400));
        repair.ended();
        assert!(
            !repair.bootstrap(&other, true, 1_899),
            "it was there at 1,400"
        );
        let mut reborn = shown_by.clone();
        reborn.bootstrapped = false;
        assert!(!repair.bootstrap(&reborn, true, 1_899));
        assert!(!repair.bootstrap(&shown_by, false, 1_899));
        assert!(repair.bootstrap(&other, true, 1_900));
    }
}
