//! What one node believes about one configured member.

use std::collections::BTreeMap;

use super::Event;
use crate::core::Millis;
use crate::core::id::{Address, Incarnation, MapId};
use crate::core::swim::Identity;

/// Where a member stands, as far as the view is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Down, or never seen: not in the view.
    Out,
    /// Not seen up, but given the benefit of the doubt: in the view.
    Awaited,
    /// In the view.
    Up,
    /// Out by an operator's decision, up or not.
    Removed,
}

/// A configured member other than this node.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Its latest life known; `UNKNOWN` until it was met or somebody reported it.
    pub(super) incarnation: Incarnation,
    /// SWIM says that it is up.
    pub(super) up: bool,
    /// Named by `VIEW`, here or at a peer: a member even if it is never met.
    named: bool,
    /// Since when it is not up; `None` while it is, and before that was first looked at.
    down_since: Option<Millis>,
    /// Until when it is in the view without being up; `None` when that is over.
    awaited_until: Option<Millis>,
    /// The identity that SWIM last reported down: the same news do not end a later grace.
    reported_down: Option<Identity>,
    /// It was up before, so its next coming is a return.
    was_up: bool,
    /// The members of whom it has last said, in whichever life, that they are not forgotten, and their lives; empty before it was heard.
    takes_in: BTreeMap<Address, Incarnation>,
    /// The map that it was last heard to go by; the implicit one before it was heard.
    map: MapId,
    /// Standing and life when events were last derived.
    told: (Standing, Incarnation),
}

impl Peer {
    fn new(named: bool, awaited_until: Option<Millis>, told: Standing) -> Self {
        Self {
            incarnation: Incarnation::UNKNOWN,
            up: false,
            named,
            down_since: None,
            awaited_until,
            reported_down: None,
            was_up: false,
            takes_in: BTreeMap::new(),
            map: MapId::IMPLICIT,
            told: (told, Incarnation::UNKNOWN),
        }
    }

    /// A member of `VIEW`, in the view from the start.
    pub(super) fn named(awaited_until: Millis) -> Self {
        Self::new(true, Some(awaited_until), Standing::Awaited)
    }

    /// One that nobody named: met, heard or reported.
    pub(super) fn stranger() -> Self {
        Self::new(false, None, Standing::Out)
    }

    /// Whether it belongs: named by `VIEW`, here or at a peer, or met. An added one that nobody has met may be a mistake.
    pub(super) fn is_member(&self) -> bool {
        self.named || self.incarnation != Incarnation::UNKNOWN
    }

    /// Keeps it in the view until then, though it is not up.
    pub(super) fn await_until(&mut self, until: Millis) {
        self.awaited_until = Some(until);
    }

    /// Is not impressed by news that it is down in this identity: they are older than the wish to see it.
    pub(super) fn knows_down(&mut self, identity: Identity) {
        self.reported_down = Some(identity);
    }

    /// Ends its grace.
    pub(super) fn stop_waiting(&mut self) {
        self.awaited_until = None;
    }

    /// Makes it a member even if it is never met.
    pub(super) fn make_member(&mut self) {
        self.named = true;
    }

    /// Learns of a life of it.
    pub(super) fn learn(&mut self, incarnation: Incarnation) {
        self.incarnation = self.incarnation.max(incarnation);
    }

    /// It says that it takes these for members, in these lives.
    pub(super) fn takes_in(&mut self, members: BTreeMap<Address, Incarnation>) {
        self.takes_in = members;
    }

    /// The life of this member that it has last said to know and not to forget.
    pub(super) fn life_known(&self, of: Address) -> Option<Incarnation> {
        self.takes_in.get(&of).copied()
    }

    /// It says that it goes by this map.
    pub(super) fn goes_by(&mut self, map: MapId) {
        self.map = map;
    }

    /// The map that it was last heard to go by.
    pub(super) fn map(&self) -> MapId {
        self.map
    }

    /// Takes over what SWIM believes. Being seen ends the grace, and so does the *news* of being down.
    pub(super) fn observe(&mut self, identity: Identity, up: bool) {
        self.learn(identity.incarnation);
        self.up = up;
        if up {
            self.awaited_until = None;
            self.reported_down = None;
        } else if self.reported_down != Some(identity) {
            self.awaited_until = None;
            self.reported_down = Some(identity);
        }
    }

    /// When its grace ends, if it has one.
    pub(super) fn awaited_until(&self) -> Option<Millis> {
        self.awaited_until
    }

    /// Ends a grace that is over by `now`, and notes since when it is not up.
    pub(super) fn pass(&mut self, now: Millis) {
        self.awaited_until = self.awaited_until.filter(|until| *until > now);
        self.down_since = (!self.up).then(|| self.down_since.unwrap_or(now));
    }

    /// Since when it is down; `None` if it is up, or may still come.
    pub(super) fn down_since(&self) -> Option<Millis> {
        self.down_since.filter(|_| self.awaited_until.is_none())
    }

    /// Whether there is reason to keep it whoever it is.
    pub(super) fn is_up_or_awaited(&self) -> bool {
        self.up || self.awaited_until.is_some()
    }

    /// Where it stands, given whether a removal mark covers it.
    pub(super) fn standing(&self, removed: bool) -> Standing {
        match (removed, self.up, self.awaited_until) {
            (true, _, _) => Standing::Removed,
            (false, true, _) => Standing::Up,
            (false, false, Some(_)) => Standing::Awaited,
            (false, false, None) => Standing::Out,
        }
    }

    /// What happened to it since this was last asked.
    pub(super) fn news(&mut self, address: Address, removed: bool) -> Option<Event> {
        let now = (self.standing(removed), self.incarnation);
        let (before, life_before) = std::mem::replace(&mut self.told, now);
        let was_up = self.was_up;
        self.was_up |= self.up;
        match (before, now.0) {
            (Standing::Up, Standing::Up) if life_before < self.incarnation => {
                Some(Event::Restarted(address))
            }
            (before, after) if before == after => None,
            (_, Standing::Removed) => Some(Event::Removed(address)),
            (Standing::Removed, _) => Some(Event::Readmitted(address)),
            (_, Standing::Up) if was_up => Some(Event::Back(address)),
            (_, Standing::Up) => Some(Event::Joined(address)),
            (_, Standing::Awaited) => Some(Event::Added(address)),
            (Standing::Awaited, Standing::Out) => Some(Event::Unanswered(address)),
            (_, Standing::Out) => Some(Event::Lost(address)),
        }
    }
}
