//! Failure detection: SWIM, by the `foca` crate, wrapped so that nothing of it leaks out.
//!
//! Das, Gupta, Motivala: "SWIM: Scalable Weakly-consistent Infection-style Process Group Membership
//! Protocol" (DSN 2002), with suspicion, refutation and piggybacked updates. `foca` does no I/O: it
//! is told what arrived and which timer fired, and says what to send and which timers to set. The timers
//! are kept here, so the owner needs one wake-up only ([`Swim::next_due`], [`Swim::advance`]).
//!
//! Three things `foca` leaves to its user:
//! - It applies a datagram before it has read all of it. Here [`Datagram::parse`] reads and judges the whole
//!   first, so that a malformed one changes nothing.
//! - After a change of identity it waits for an answer before it probes again; cut off just then, it
//!   would believe in its peers for ever. Here it is connected again at once.
//! - It tells a newcomer who is up, never who is down: [`Swim::report_down`] does.

mod datagram;

use std::collections::BTreeSet;
use std::fmt;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::Bytes;
use foca::{
    AccumulatingRuntime, Config, Foca, Header, Member, Message, NoCustomBroadcast,
    OwnedNotification, PeriodicParams, PostcardCodec, State, Timer,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use self::datagram::{DATAGRAM_MAX, Datagram, DatagramError, is_plausible};
use super::Millis;
use super::id::{Address, Incarnation};

/// Members reported down in one datagram: 25 bytes each with IPv4, 40 with IPv6, far below [`DATAGRAM_MAX`].
const DOWN_PER_DATAGRAM: usize = 25;

/// How often news of one member travel on, as piggyback; more costs bytes, fewer may miss somebody.
const TRANSMISSIONS: NonZeroU8 = NonZeroU8::new(10).unwrap();
/// Members asked to probe on one's behalf, and to whom fresh news go at once.
const HELPERS: NonZeroUsize = NonZeroUsize::new(3).unwrap();
/// News also travel without a probe to carry them. Suspicions and their refutations race the suspicion
/// time under loss: at this pace there are ten attempts of three datagrams in it.
const GOSSIP_EVERY: Duration = Duration::from_millis(100);

/// When a member is probed, suspected, and given up. Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Every such period one member is probed.
    pub probe_period_ms: u64,
    /// Wait for a direct answer before others are asked to probe. Smaller than the period, never zero.
    pub probe_rtt_ms: u64,
    /// How long a suspect has to refute. Never zero.
    pub suspicion_ms: u64,
}

/// Who takes part in SWIM. Of two with the same address the larger (incarnation, bump) is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The node.
    pub address: Address,
    /// Its life.
    pub incarnation: Incarnation,
    /// Raised whenever it finds itself declared down although it lives: no restart, no loss of memory.
    pub bump: u32,
}

impl Identity {
    /// The identity of a node that starts this life.
    pub fn new(address: Address, incarnation: Incarnation) -> Self {
        Self {
            address,
            incarnation,
            bump: 0,
        }
    }
}

impl foca::Identity for Identity {
    type Addr = Address;

    fn renew(&self) -> Option<Self> {
        let bump = self.bump.checked_add(1)?;
        Some(Self { bump, ..*self })
    }

    fn addr(&self) -> Address {
        self.address
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.incarnation, self.bump) > (adversary.incarnation, adversary.bump)
    }
}

/// One node's part in the protocol. Datagrams to send gather inside until
/// [`Swim::take_datagrams`]; who is up is read from [`Swim::members`].
pub struct Swim {
    foca: Foca<Identity, PostcardCodec, ChaCha8Rng, NoCustomBroadcast>,
    out: AccumulatingRuntime<Identity>,
    /// By due time, then in the order that foca gives its timers, then in the order of their setting.
    timers: BTreeSet<(Millis, Timer<Identity>, u64)>,
    timers_set: u64,
    datagrams: Vec<(Address, Bytes)>,
    timing: Timing,
    left: bool,
}

impl Swim {
    /// A node alone, until it announces itself or is announced to. All its choices come from `rng`.
    pub fn new(identity: Identity, timing: Timing, rng: ChaCha8Rng) -> Self {
        let config = config(timing, HELPERS, TRANSMISSIONS);
        Self {
            foca: Foca::new(identity, config, rng, PostcardCodec),
            out: AccumulatingRuntime::new(),
            timers: BTreeSet::new(),
            timers_set: 0,
            datagrams: Vec::new(),
            timing,
            left: false,
        }
    }

    /// Who this node is now.
    pub fn identity(&self) -> Identity {
        *self.foca.identity()
    }

    /// Everybody ever heard of but this node, and whether they are up (suspects count as up), in no
    /// particular order. Nobody is left out but by [`Swim::forget`].
    pub fn members(&self) -> impl Iterator<Item = (Identity, bool)> {
        let own = self.identity().address;
        self.foca
            .iter_membership_state()
            .map(|member| (*member.id(), member.state() != State::Down))
            .filter(move |(identity, _)| identity.address != own)
    }

    /// Takes a datagram in.
    ///
    /// # Errors
    /// Refuses what is not for this node or claims to come from it. Nothing was changed then.
    pub fn receive(&mut self, datagram: &Datagram, now: Millis) -> Result<(), DatagramError> {
        let own = self.identity();
        if datagram.receiver().address != own.address {
            return Err(DatagramError::Misdirected(datagram.receiver().address));
        }
        if datagram.sender().address == own.address || datagram.is_detour_to(own.address) {
            return Err(DatagramError::Ourselves);
        }
        let bytes = datagram.encode()?;
        if self.left {
            return Ok(());
        }
        let result = self.foca.handle_data(&bytes, &mut self.out);
        self.settle(now);
        result.map_err(|error| DatagramError::Refused(error.to_string()))
    }

    /// Asks `to` to take this node in. Only its address need be right.
    pub fn announce(&mut self, to: Identity, now: Millis) {
        if !self.left {
            // Cannot fail: the header always fits a datagram.
            let _ = self.foca.announce(to, &mut self.out);
            self.settle(now);
        }
    }

    /// Tells `to`, a newcomer that knows only of those who are up, who is down.
    pub fn report_down(&mut self, to: Identity) {
        if self.left {
            return;
        }
        let down: Vec<Member<Identity>> = self
            .foca
            .iter_membership_state()
            .filter(|member| member.state() == State::Down)
            .filter(|member| ![to.address, self.identity().address].contains(&member.id().address))
            .cloned()
            .collect();
        for updates in down.chunks(DOWN_PER_DATAGRAM) {
            let header = Header {
                src: self.identity(),
                // The lowest: it says nothing new about this node, and so refutes no suspicion.
                src_incarnation: 0,
                dst: to,
                message: Message::Gossip,
            };
            let report = Datagram {
                header,
                updates: updates.to_vec(),
            };
            if let Ok(bytes) = report.encode() {
                self.datagrams.push((to.address, bytes.into()));
            }
        }
    }

    /// Takes everybody for down. They learn of it when they next speak to this node, and renew themselves.
    pub fn presume_all_down(&mut self, now: Millis) {
        let up: Vec<Member<Identity>> = self.foca.iter_members().cloned().collect();
        let down = up
            .into_iter()
            .map(|member| Member::new(*member.id(), member.incarnation(), State::Down));
        if !self.left {
            // Cannot fail: no update is about this node, and none is passed on.
            let _ = self.foca.apply_many(down, false, &mut self.out);
            self.settle(now);
        }
    }

    /// Keeps nothing of a member that is down. News of it make it known again.
    pub fn forget(&mut self, member: Identity) {
        // Cannot fail: this timer does no more than that.
        let _ = self
            .foca
            .handle_timer(Timer::RemoveDown(member), &mut self.out);
    }

    /// Goes on as a new life of this node, and tells everybody who is up: who went on asking for the earlier one would take it for down. Does
    /// nothing unless it is later than the present one.
    pub fn renew(&mut self, incarnation: Incarnation, now: Millis) {
        let own = self.identity();
        if !self.left && incarnation > own.incarnation {
            let identity = Identity::new(own.address, incarnation);
            let up = self.foca.iter_members().map(|member| *member.id());
            let up: Vec<Identity> = up.collect();
            // Cannot fail: the identities differ.
            let _ = self.foca.change_identity(identity, &mut self.out);
            self.connect();
            for member in up {
                // Cannot fail: the header always fits a datagram.
                let _ = self.foca.announce(member, &mut self.out);
            }
            self.settle(now);
        }
    }

    /// A member that is up has said otherwise than by a datagram that it lives on as this, a later life than the one known.
    pub fn meet(&mut self, identity: Identity, now: Millis) {
        let mut members = self.members();
        let outlived = members.any(|(known, up)| {
            up && known.address == identity.address && known.incarnation < identity.incarnation
        });
        drop(members);
        if outlived && !self.left {
            let alive = Member::new(identity, 0, State::Alive);
            // Cannot fail: the update is not about this node.
            let _ = self
                .foca
                .apply_many([alive].into_iter(), true, &mut self.out);
            self.settle(now);
        }
    }

    /// Says goodbye to every member that is up, so that they drop this node at once. Afterwards
    /// nothing that arrives or falls due has any effect, so that nobody can call it back.
    pub fn leave(&mut self, now: Millis) {
        if self.left {
            return;
        }
        // As many helpers and transmissions as there are members up: then the goodbye goes to them all.
        let up = self.foca.num_members().max(1);
        let everybody = NonZeroUsize::new(up).unwrap_or(HELPERS);
        let config = config(self.timing, everybody, NonZeroU8::MAX);
        // Cannot fail: neither setting is one that foca holds fixed, and the goodbye fits a datagram.
        let _ = self.foca.set_config(config);
        let _ = self.foca.leave_cluster(&mut self.out);
        self.settle(now);
        self.left = true;
        self.timers.clear();
    }

    /// When [`Swim::advance`] next has something to do; `None` while nobody is up.
    pub fn next_due(&self) -> Option<Millis> {
        self.timers.first().map(|(due, ..)| *due)
    }

    /// Does all that is due by `now`.
    pub fn advance(&mut self, now: Millis) {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some((_, timer, _)) = self.timers.pop_first() else {
                break;
            };
            // Its errors say that timers came late or out of order; foca has then put itself right.
            let _ = self.foca.handle_timer(timer, &mut self.out);
            self.settle(now);
        }
    }

    /// The datagrams to send, oldest first.
    pub fn take_datagrams(&mut self) -> Vec<(Address, Bytes)> {
        std::mem::take(&mut self.datagrams)
    }

    fn settle(&mut self, now: Millis) {
        while let Some(notice) = self.out.to_notify() {
            if matches!(notice, OwnedNotification::Rejoin(_)) {
                self.connect();
            }
        }
        while let Some((after, timer)) = self.out.to_schedule() {
            let due = now + u64::try_from(after.as_millis()).unwrap_or(u64::MAX >> 1);
            self.timers_set += 1;
            self.timers.insert((due, timer, self.timers_set));
        }
        while let Some((to, bytes)) = self.out.to_send() {
            self.datagrams.push((to.address, bytes));
        }
    }

    /// Starts probing again after a change of identity, if anybody is believed up.
    fn connect(&mut self) {
        // Cannot fail: there is nothing to apply.
        let _ = self
            .foca
            .apply_many(std::iter::empty(), true, &mut self.out);
    }
}

impl fmt::Debug for Swim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swim")
            .field("identity", &self.identity())
            .field("up", &self.foca.num_members())
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

fn config(timing: Timing, helpers: NonZeroUsize, transmissions: NonZeroU8) -> Config {
    Config {
        probe_period: Duration::from_millis(timing.probe_period_ms),
        probe_rtt: Duration::from_millis(timing.probe_rtt_ms),
        num_indirect_probes: helpers,
        max_transmissions: transmissions,
        suspect_to_down_after: Duration::from_millis(timing.suspicion_ms),
        remove_down_after: None,
        max_packet_size: NonZeroUsize::new(DATAGRAM_MAX).unwrap_or(NonZeroUsize::MAX),
        notify_down_members: true,
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(PeriodicParams {
            frequency: GOSSIP_EVERY,
            num_members: HELPERS,
        }),
    }
}

#[cfg(test)]
mod tests;
