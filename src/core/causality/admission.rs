//! Whose pushes and joins are taken: not of lives that are over, nor of those who have agreed on other things than this replica
//! (design §5, ADR 11).

use super::CausalState;
use crate::core::coverage::Coverage;
use crate::core::id::{Incarnation, Origin};
use crate::core::join::Cut;
use crate::core::stamp::HlcTime;
use crate::core::wire::{Batch, JoinRefusal};
use crate::core::write::{Content, Write};

/// Why nothing of a batch was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untaken {
    /// A later life of the sender is known, or the one it lives is forgotten.
    Superseded(Incarnation),
    /// Tombstones that could outrank one of its writes are gone already.
    Late,
    /// One of its writes follows more of an ended life than was agreed on: the sender took no part in that.
    Unagreed,
    /// It says that lives are over of which this replica has more than was agreed on, or that its own life is: the others have agreed
    /// without it, and it must be born again.
    LeftOut,
}

/// Why nothing of a join was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The answerer's life is over: a later one is known, or it is forgotten.
    #[error("its answer is from an ended life")]
    Ended,
    /// The answerer knows a later life of this node's address.
    #[error("a later life of this address is known there")]
    Outlived(Incarnation),
    /// It holds a write that tombstones might outrank which are gone here, and has not seen all that was seen here by then.
    #[error("it brings a write from before what was collected here")]
    Late,
    /// It has more of an ended life than was agreed on: it took no part in that.
    #[error("it has writes of an ended life that were not agreed on")]
    Unagreed,
    /// This replica holds such a write itself, or has writes of an ended life beyond its agreed last counter: it took no part in what
    /// the others agreed on.
    #[error("this replica took no part in what was agreed there")]
    LeftOut,
}

impl CausalState {
    pub(super) fn check_batch(&self, batch: &Batch) -> Result<(), Untaken> {
        if let Some(life) = self.lives.successor(&batch.from) {
            return Err(Untaken::Superseded(life));
        }
        if batch.writes.iter().any(|write| self.is_late(write)) {
            return Err(Untaken::Late);
        }
        if batch.writes.iter().any(|write| self.is_unagreed(write)) {
            return Err(Untaken::Unagreed);
        }
        if batch.writes.iter().any(|write| self.is_left_out(write)) {
            return Err(Untaken::LeftOut);
        }
        Ok(())
    }

    /// Whether a marker ends this replica's own life, or a life of which more is covered here than was agreed on.
    fn is_left_out(&self, write: &Write) -> bool {
        let Content::Ended(end) = &write.version.content else {
            return false;
        };
        let agreed = write.version.deps.get(&self.domain);
        let agreed = |origin: &Origin| agreed.map_or(0, |agreed| agreed.get(origin));
        let mut covered = self.covered.clock().iter();
        end.ends(&self.origin) || covered.any(|(o, counter)| end.ends(&o) && counter > agreed(&o))
    }

    /// Whether a write follows more of an ended life than was agreed on: its maker took no part in that.
    fn is_unagreed(&self, write: &Write) -> bool {
        let deps = write.version.deps.get(&self.domain);
        deps.is_some_and(|deps| self.ended.first_exceeded(deps, &self.covered).is_some())
    }

    /// Whether tombstones that could outrank this write are gone already.
    fn is_late(&self, write: &Write) -> bool {
        let collected = self.collected.as_ref();
        collected.is_some_and(|c| write.version.time <= c.time)
            && !self.covered.covers(&write.dot())
    }

    /// Whether this replica's own life is over: it was forgotten, or a later one is known.
    pub fn is_outlived(&self) -> bool {
        self.successor(self.origin).is_some()
    }

    /// Why a replica that lives as `asker` is given no join, whatever this one does for clients. One that is removed goes on in a
    /// life that is over; who does not know that yet must not begin with what it has.
    pub fn refuses_join(&self, asker: Origin) -> Option<JoinRefusal> {
        if self.successor(asker).is_some() {
            Some(JoinRefusal::Superseded)
        } else {
            self.is_outlived().then_some(JoinRefusal::NotServing)
        }
    }

    pub(super) fn check_cut(&self, cut: &Cut) -> Result<(), Unusable> {
        if self.successor(cut.from).is_some() {
            return Err(Unusable::Ended);
        }
        if let Some(life) = self.own_later_life(&cut.covered) {
            return Err(Unusable::Outlived(life));
        }
        match (self.first_fault(cut), self.is_left_out_of(cut)) {
            (None, false) => Ok(()),
            (Some(why), false) => Err(why),
            // Each has agreed on ends, or has collected, without the other: the smaller address goes on, or they would stay apart.
            (Some(why), true) if self.origin.address < cut.from.address => Err(why),
            (_, true) => Err(Unusable::LeftOut),
        }
    }

    /// What the answerer of a cut has that this replica must not take.
    fn first_fault(&self, cut: &Cut) -> Option<Unusable> {
        let collected = self.collected.as_ref();
        let judged = collected.is_none_or(|c| !cut.covered.is_behind(&c.covered));
        if !judged && cut.writes.iter().any(|write| self.is_late(write)) {
            return Some(Unusable::Late);
        }
        let theirs = cut.covered.clock();
        let exceeded = self.ended.first_exceeded(theirs, &self.covered);
        exceeded.map(|_| Unusable::Unagreed)
    }

    /// Whether the answerer of a cut must not take what this replica has.
    fn is_left_out_of(&self, cut: &Cut) -> bool {
        let ended = &cut.rest.ended;
        let exceeded = ended.first_exceeded(self.covered.clock(), &cut.covered);
        let collected = cut.rest.collected.as_ref();
        let holds_late = collected.is_some_and(|collected| {
            self.covered.is_behind(&collected.covered) && self.holds_late(cut, collected.time)
        });
        let was_away = collected.is_some_and(|collected| self.was_away(collected.time));
        exceeded.is_some() || holds_late || was_away
    }

    /// Whether a value may be here that a tombstone stamped at or below `time` has ended, which is gone: this replica has never had
    /// everything up to there. It began with what a forgotten one had.
    fn was_away(&self, time: HlcTime) -> bool {
        let whole = self.whole.max(self.collected());
        let mut lowest = self.lowest_times.values();
        let has_older = !self.ended.is_empty() || lowest.any(|lowest| *lowest <= time);
        has_older && time > whole.max(self.reached())
    }

    fn own_later_life(&self, covered: &Coverage) -> Option<Incarnation> {
        let Origin {
            address,
            incarnation,
        } = self.origin;
        let lives = covered.clock().iter().map(|(origin, _)| origin);
        let named = lives
            .filter(|o| o.address == address)
            .map(|o| o.incarnation);
        let latest = named.chain([covered.floor(&address)]).max();
        latest.filter(|life| *life > incarnation)
    }

    /// Whether a write may be here that the answerer of the cut lacks, stamped at or below `time`.
    fn holds_late(&self, cut: &Cut, time: HlcTime) -> bool {
        let lacking = |(origin, counter): &(Origin, u64)| {
            !cut.covered.has_ended(origin) && *counter > cut.covered.get(origin)
        };
        let mut lacking = self.covered.clock().iter().filter(lacking);
        lacking.any(|(origin, _)| {
            let promised = cut.rest.promises.iter().find(|(o, _)| *o == origin);
            let promised = promised.map_or(HlcTime::ZERO, |(_, time)| *time);
            let first = self.lowest_times.get(&origin).copied().unwrap_or_default();
            // Of what it lacks every write is stamped above its promise, and none is stamped below the first.
            promised < time && first <= time
        })
    }
}
