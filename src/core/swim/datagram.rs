//! Datagrams, read and judged as a whole before any of it is acted upon.

use foca::{Header, Member, Message, State};

use super::Identity;
use crate::core::id::{Address, Incarnation};

/// Longest datagram in bytes, sent or taken; below the payload of one Ethernet frame, so none is fragmented.
pub const DATAGRAM_MAX: usize = 1_400;

/// Whether a life that a peer claims can be one: known, and with room above it for its successors.
pub fn is_plausible(incarnation: Incarnation) -> bool {
    incarnation != Incarnation::UNKNOWN && incarnation < Incarnation::starting(1 << 50, 0)
}

/// A datagram that was refused; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// Longer than [`DATAGRAM_MAX`]; nothing was changed.
    #[error("{0} bytes are too long")]
    TooLong(usize),
    /// Not of the expected form, an address that nobody can have included; nothing was changed.
    #[error("not a SWIM message")]
    Malformed,
    /// It names a life that cannot be; nothing was changed.
    #[error("implausible incarnation of {0}")]
    Implausible(Address),
    /// Meant for another address; nothing was changed.
    #[error("meant for {0}")]
    Misdirected(Address),
    /// It claims to come from this very node, or asks it to reach itself by a detour; nothing was changed.
    #[error("from this node to itself")]
    Ourselves,
    /// The sender is unknown and the limit of members is reached; nothing was changed.
    #[error("{0} is one member too many")]
    TooManyMembers(Address),
    /// The protocol itself refused it.
    #[error("refused: {0}")]
    Refused(String),
}

/// A datagram, decoded and judged as far as that goes without state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    pub(super) header: Header<Identity>,
    pub(super) updates: Vec<Member<Identity>>,
}

impl Datagram {
    /// Decodes all of `bytes`.
    ///
    /// # Errors
    /// Refuses what is too long, truncated, followed by anything, or names an implausible identity.
    pub fn parse(bytes: &[u8]) -> Result<Self, DatagramError> {
        if bytes.len() > DATAGRAM_MAX {
            return Err(DatagramError::TooLong(bytes.len()));
        }
        let (header, rest) = postcard::take_from_bytes::<Header<Identity>>(bytes)
            .map_err(|_| DatagramError::Malformed)?;
        let updates = Self::parse_updates(&header.message, rest)?;
        let datagram = Self { header, updates };
        datagram.check_lives()?;
        Ok(datagram)
    }

    fn parse_updates(
        message: &Message<Identity>,
        bytes: &[u8],
    ) -> Result<Vec<Member<Identity>>, DatagramError> {
        let bare = matches!(
            message,
            Message::Announce | Message::TurnUndead | Message::Broadcast
        );
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let (count, mut rest) = bytes
            .split_first_chunk::<2>()
            .filter(|_| !bare)
            .ok_or(DatagramError::Malformed)?;
        let mut updates = Vec::new();
        for _ in 0..u16::from_be_bytes(*count) {
            let (update, after) =
                postcard::take_from_bytes(rest).map_err(|_| DatagramError::Malformed)?;
            updates.push(update);
            rest = after;
        }
        if rest.is_empty() {
            Ok(updates)
        } else {
            Err(DatagramError::Malformed)
        }
    }

    fn check_lives(&self) -> Result<(), DatagramError> {
        let updated = self.updates.iter().map(|update| *update.id());
        // Whom an announcement is meant for may be known by address only.
        let receiver = Some(self.header.dst).filter(|dst| dst.incarnation != Incarnation::UNKNOWN);
        updated
            .chain([self.header.src])
            .chain(receiver)
            .chain(self.third())
            .find(|identity| !is_plausible(identity.incarnation))
            .map_or(Ok(()), |bad| Err(DatagramError::Implausible(bad.address)))
    }

    /// Its bytes, as the protocol itself would write them.
    pub(super) fn encode(&self) -> Result<Vec<u8>, DatagramError> {
        let failed = |error: postcard::Error| DatagramError::Refused(error.to_string());
        let mut bytes = postcard::to_stdvec(&self.header).map_err(failed)?;
        if self.updates.is_empty() {
            return Ok(bytes);
        }
        let count = u16::try_from(self.updates.len()).map_err(|_| DatagramError::Malformed)?;
        bytes.extend(count.to_be_bytes());
        for update in &self.updates {
            bytes.extend(postcard::to_stdvec(update).map_err(failed)?);
        }
        Ok(bytes)
    }

    /// Who sent it.
    pub fn sender(&self) -> Identity {
        self.header.src
    }

    /// Whom it is meant for, as the sender knows it.
    pub fn receiver(&self) -> Identity {
        self.header.dst
    }

    /// Whether the sender asks to be taken in.
    pub fn is_announcement(&self) -> bool {
        self.header.message == Message::Announce
    }

    /// The members it brings news of.
    pub fn subjects(&self) -> impl Iterator<Item = Identity> {
        self.updates.iter().map(|update| *update.id())
    }

    /// Drops the news about members that `keep` does not want.
    pub fn retain_subjects(&mut self, mut keep: impl FnMut(Address) -> bool) {
        self.updates.retain(|update| keep(update.id().address));
    }

    /// Drops the news that members are down that `keep` does not want.
    pub fn retain_news_of_down(&mut self, mut keep: impl FnMut(Identity) -> bool) {
        let down = |update: &Member<Identity>| update.state() == State::Down;
        self.updates
            .retain(|update| !down(update) || keep(*update.id()));
    }

    /// Whether it asks the node at `address`, in whatever life, to reach itself by a detour.
    pub(super) fn is_detour_to(&self, address: Address) -> bool {
        self.third().is_some_and(|third| third.address == address)
    }

    /// The other end of a detour that the receiver is asked to be a part of.
    fn third(&self) -> Option<Identity> {
        match &self.header.message {
            Message::PingReq { target, .. } | Message::IndirectAck { target, .. } => Some(*target),
            Message::IndirectPing { origin, .. } | Message::ForwardedAck { origin, .. } => {
                Some(*origin)
            }
            Message::Ping(_)
            | Message::Ack(_)
            | Message::Announce
            | Message::Feed
            | Message::Gossip
            | Message::Broadcast
            | Message::TurnUndead => None,
        }
    }
}
