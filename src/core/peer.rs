//! What one end does with its link to one peer: when it pushes, what it says to it in a heartbeat,
//! what it gives up, and which late answers it still uses.
//!
//! It stands on [`Link`] (may data flow?) and [`Outbox`] (what waits?). Invariants:
//! - a batch leaves only over a steady link, to a peer that says that it takes pushes and was not removed;
//! - nothing waits for a peer that cannot be reached: an outage, a new life, a removal or a push that failed
//!   gives up all that waits and the batch in flight, and from there on the peer needs a join;
//! - the answer to a batch that was given up is never taken for that of a later one;
//! - a join is used whole or not at all, and never if its link was out for long meanwhile.
//!
//! Absent on purpose: retries, which joins make needless; the calls themselves, which the actor makes.

use super::Millis;
use super::id::{Address, Domain, Dot, Incarnation, Origin};
use super::join::{Cut, Progress, Staged, Staging};
use super::link::{Change, Link, LinkRules, Standing};
use super::outbox::{Outbox, OutboxLimits};
use super::wire::{
    Batch, Digest, HeartbeatAnswer, JoinAnswer, JoinPage, JoinRefusal, JoinRequest, PushAnswer,
    PushRefusal,
};
use super::write::Write;

/// One peer, as seen over the link to it.
#[derive(Debug)]
pub struct Peer {
    address: Address,
    link: Link,
    outbox: Outbox,
    /// That of the writes in the outbox.
    domain: Domain,
    /// The origin of the writes in the outbox.
    latest: Option<Origin>,
    /// The latest write that an overflow has dropped, until the peer has it: no push will bring it.
    dropped: Option<Dot>,
    /// Whether the peer has said that it takes pushes.
    admits: bool,
    removed: bool,
    flight: Flight,
    /// What the link was when it was last looked at.
    was: Standing,
}

/// Tells a batch in flight from those that were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flight(u64);

/// How the link has turned since it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// In no way that matters.
    None,
    /// It broke; what waited was given up. Connections are to be closed.
    Broke,
    /// It has settled.
    Steadied,
}

/// What the answer to a heartbeat has brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered {
    /// The peer has answered in its present life.
    Digest {
        /// What it says of itself.
        digest: Box<Digest>,
        /// What that has changed about the link. After an outage what waited was given up.
        change: Change,
        /// Whether the link may be used for a join now.
        may_join: bool,
    },
    /// The peer knows this later life of this node.
    Superseded(Incarnation),
    /// It does not know this node yet, or it is the answer of an earlier life or of somebody else;
    /// nothing has changed.
    Unusable,
}

/// In which life the peer has called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// In one that was not met before; what waited was for the one before it and was given up. It should be called
    /// back, since only its answers make the link steady.
    NewLife,
    /// In its present one.
    Known,
    /// In one that is over; nothing has changed.
    Outlived,
}

/// What became of a write that was to be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It waits.
    Waiting,
    /// It was not kept: the peer cannot be pushed to and will need a join anyway.
    Skipped,
    /// The outbox was full; all that waited is dropped, this write included. The peer should
    /// hear by a heartbeat that no push will bring it.
    Overflow,
}

/// A batch to be sent now, and what to name with its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Push {
    /// To be given to [`Peer::push_answered`].
    pub flight: Flight,
    /// The batch.
    pub batch: Batch,
}

/// What the end of a push means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The batch was given up before; nothing has changed.
    Late,
    /// The peer has it. Its answer kept the link alive.
    Admitted(Change),
    /// It failed, and all that waited was given up.
    GivenUp,
}

/// A join that is being fetched from the peer, page by page.
#[derive(Debug)]
pub struct Fetch {
    request: JoinRequest,
    staging: Staging,
    asked: Millis,
}

/// How a [`Fetch`] goes on.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and nearly always the large one"
)]
pub enum Fetched {
    /// More is to come: send its request.
    Ask(Fetch),
    /// It is over; nothing of it may be used but a whole [`Cut`].
    Ended(Result<Cut, FetchError>),
}

/// Why a join has failed; nothing of it was used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The call failed, for this reason.
    #[error("{0}")]
    NoAnswer(String),
    /// The peer refused a page.
    #[error("{0:?}")]
    Refused(JoinRefusal),
    /// See [`Link::was_out_since`].
    #[error("the link was out for too long meanwhile")]
    LinkWasOut,
    /// The pages do not belong together.
    #[error("pages of different cuts")]
    Inconsistent,
}

impl Peer {
    /// A peer that has not answered yet.
    pub fn new(address: Address, link: LinkRules, outbox: OutboxLimits) -> Self {
        Self {
            address,
            link: Link::new(link),
            outbox: Outbox::new(outbox),
            domain: Domain::UNSHARDED,
            latest: None,
            dropped: None,
            admits: false,
            removed: false,
            flight: Flight(0),
            was: Standing::Broken,
        }
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Writes waiting for it or in flight.
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    // --- link ---

    /// See [`Link::answers`].
    pub fn answers(&self, now: Millis) -> bool {
        self.link.answers(now)
    }

    /// What the link to it may be used for.
    pub fn standing(&self, now: Millis) -> Standing {
        self.link.standing(now)
    }

    /// Whether data flows, either way.
    pub fn is_steady(&self, now: Millis) -> bool {
        self.standing(now) == Standing::Steady
    }

    /// Whether a join may be asked for over the link.
    pub fn may_join(&self, now: Millis) -> bool {
        self.link.may_join(now)
    }

    /// Acts on a link that has turned since this was last called.
    pub fn look(&mut self, now: Millis) -> Turn {
        let standing = self.standing(now);
        match (std::mem::replace(&mut self.was, standing), standing) {
            (Standing::Steady | Standing::Settling, Standing::Broken) => {
                self.give_up();
                Turn::Broke
            }
            (Standing::Settling, Standing::Steady) => Turn::Steadied,
            _ => Turn::None,
        }
    }

    /// Fills in what a heartbeat says to this very peer: whether writes for it are on their way, and
    /// whether its own would be taken.
    pub fn fill_in(&self, digest: &mut Digest, now: Millis) {
        digest.pushing = self.dropped.is_none() && !self.outbox.is_empty();
        digest.admits &= self.is_steady(now);
    }

    /// A heartbeat was answered.
    pub fn answered(&mut self, answer: HeartbeatAnswer, now: Millis) -> Answered {
        match answer {
            HeartbeatAnswer::Digest(digest) if self.is_its_own(&digest) => {
                let change = self.heard(digest.from.incarnation, now);
                self.admits = digest.admits;
                self.dropped = self.dropped.filter(|dot| !digest.covered.covers(dot));
                Answered::Digest {
                    digest: Box::new(digest),
                    change,
                    may_join: self.may_join(now),
                }
            }
            HeartbeatAnswer::Superseded(life) => Answered::Superseded(life),
            HeartbeatAnswer::Digest(_) | HeartbeatAnswer::Unknown => Answered::Unusable,
        }
    }

    fn is_its_own(&self, digest: &Digest) -> bool {
        let from = digest.from;
        from.address == self.address && from.incarnation >= self.link.peer_life()
    }

    fn heard(&mut self, life: Incarnation, now: Millis) -> Change {
        let change = self.link.answered(now, life);
        match change {
            Change::Answering(_) => self.give_up(),
            Change::Fresh | Change::None => {}
        }
        change
    }

    /// A heartbeat of the peer itself came in. That proves nothing about the way to it.
    pub fn called(&mut self, digest: &Digest) -> Caller {
        let life = digest.from.incarnation;
        let new = self.link.met(life);
        if new {
            self.give_up();
        }
        if life < self.link.peer_life() {
            return Caller::Outlived;
        }
        self.admits = digest.admits;
        if new { Caller::NewLife } else { Caller::Known }
    }

    /// An operator has taken the peer out of the view, or put it back.
    pub fn set_removed(&mut self, removed: bool) {
        self.removed = removed;
        if removed {
            self.give_up();
        }
    }

    /// Whether it is out of the view by an operator's word.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    // --- pushes ---

    /// A write was made here. Writes of another domain leave those of the one before behind.
    pub fn publish(&mut self, domain: Domain, write: Write, now: Millis) -> Published {
        if self.removed || !self.is_steady(now) {
            return Published::Skipped;
        }
        // Those of another domain, or of a life before, are not pushed with it.
        let other_origin = self
            .latest
            .is_some_and(|latest| latest != write.dot().origin);
        self.latest = Some(write.dot().origin);
        if domain != self.domain || other_origin {
            self.give_up();
            self.dropped = None;
            self.domain = domain;
        }
        let dot = write.dot();
        if self.outbox.push(write).is_ok() {
            return Published::Waiting;
        }
        self.dropped = Some(dot);
        Published::Overflow
    }

    /// What is to be sent now, if anything waits, may be sent, and no other batch is in flight.
    pub fn next_push(&mut self, now: Millis) -> Option<Push> {
        if self.removed || !self.may_push(now) {
            return None;
        }
        let writes = self.outbox.next_batch()?;
        let batch = Batch {
            from: writes.first()?.dot().origin,
            domain: self.domain,
            writes,
        };
        let flight = self.flight;
        Some(Push { flight, batch })
    }

    fn may_push(&self, now: Millis) -> bool {
        self.admits && self.is_steady(now)
    }

    /// A push was answered, or failed (`None`).
    pub fn push_answered(
        &mut self,
        flight: Flight,
        answer: Option<PushAnswer>,
        now: Millis,
    ) -> Pushed {
        if flight != self.flight {
            return Pushed::Late;
        }
        match answer {
            Some(PushAnswer::Admitted) => {
                self.outbox.answered();
                Pushed::Admitted(self.heard(self.link.peer_life(), now))
            }
            Some(PushAnswer::Refused(_)) | None => {
                self.admits = false;
                self.give_up();
                Pushed::GivenUp
            }
        }
    }

    /// Whether there is nothing more to wait for at a stop: all was pushed, or cannot be.
    pub fn is_flushed(&self, now: Millis) -> bool {
        self.outbox.is_empty() || !self.may_push(now)
    }

    /// Why a batch of the peer is not taken now, if so. It may have lain in the kernel's queues during a cut.
    pub fn refuses_batch(&self, now: Millis) -> Option<PushRefusal> {
        (!self.is_steady(now)).then_some(PushRefusal::Unsteady)
    }

    /// Gives up what waits and what is in flight: from here on the peer needs a join.
    fn give_up(&mut self) {
        self.flight.0 += 1;
        self.outbox.clear();
    }

    // --- joins ---

    /// A page of a join was answered, or the call failed for the reason that is given.
    pub fn fetched(
        &self,
        fetch: Fetch,
        answer: Result<JoinAnswer, String>,
        now: Millis,
    ) -> Fetched {
        if self.link.was_out_since(fetch.asked, now) {
            return Fetched::Ended(Err(FetchError::LinkWasOut));
        }
        match answer {
            Ok(JoinAnswer::Page(page)) => fetch.stage(page),
            Ok(JoinAnswer::Refused(refusal)) => Fetched::Ended(Err(FetchError::Refused(refusal))),
            Err(error) => Fetched::Ended(Err(FetchError::NoAnswer(error))),
        }
    }
}

impl Fetch {
    /// A join that begins now with this request.
    pub fn new(request: JoinRequest, now: Millis) -> Self {
        Self {
            request,
            staging: Staging::new(),
            asked: now,
        }
    }

    /// What to ask the peer next.
    pub fn request(&self) -> &JoinRequest {
        &self.request
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.staging.progress()
    }

    fn stage(mut self, page: JoinPage) -> Fetched {
        match self.staging.stage(page) {
            Staged::Complete(cut) => Fetched::Ended(Ok(cut)),
            Staged::Inconsistent => Fetched::Ended(Err(FetchError::Inconsistent)),
            Staged::AskFor(page) => {
                self.request.page = page;
                Fetched::Ask(self)
            }
        }
    }
}

#[cfg(test)]
mod tests;
