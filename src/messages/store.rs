//! To `Store`, which holds the winners. All from `Causality`, over one kind of edge, in order: so
//! what the clock covers is in the store, or before the read in its mailbox.

use super::causality::{ClientReply, DigestReport};
use super::mailbox::Reply;
use crate::core::aside::{Present, Settled};
use crate::core::coverage::Coverage;
use crate::core::ended::Ended;
use crate::core::frozen::Share;
use crate::core::id::{Domain, Incarnation, Key, Origin};
use crate::core::inheritance::{Claim, Inherited, OlderWrites};
use crate::core::metadata::Metadata;
use crate::core::sharding::map::Deal;
use crate::core::stamp::HlcTime;
use crate::core::wire::{JoinAnswer, JoinRequest, JoinRest};
use crate::core::write::Write;

/// Apply writes of peers.
#[derive(Debug)]
pub struct ApplyWrites {
    /// In this order.
    pub writes: Vec<Write>,
}

/// Apply winners that were written under older maps.
#[derive(Debug)]
pub struct ApplyOlder {
    /// By domain.
    pub older: Vec<OlderWrites>,
}

/// This node goes on under another map: freeze all winners, and have none but those frozen that it keeps still.
#[derive(Debug)]
pub struct Freeze {
    /// How keys were dealt until now.
    pub deal: Deal,
    /// The life of this node that ends with it.
    pub life: Incarnation,
    /// What there is of the domain so far.
    pub claim: Claim,
    /// What this node keeps from now on, if anything.
    pub share: Option<Share>,
}

/// Take over from what is frozen here what this node keeps, as far as that is not claimed yet.
#[derive(Debug)]
pub struct TakeOwn {
    /// What it keeps.
    pub share: Share,
}

/// Answer a keeper's request for a page of what is frozen here for its shard.
#[derive(Debug)]
pub struct ReadHandOver {
    /// The request.
    pub request: JoinRequest,
    /// What it keeps, and claims already.
    pub share: Share,
    /// As whom this node answers.
    pub from: Origin,
    /// Hybrid time here.
    pub time: HlcTime,
    /// What is known of older maps.
    pub inherited: Inherited,
    /// The keeper's.
    pub reply: Reply<JoinAnswer>,
}

/// Let go of what is frozen.
#[derive(Debug, Clone, Copy)]
pub struct DropFrozen {
    /// Whether it is given up: not every keeper has it.
    pub given_up: bool,
    /// Of this domain alone; else all.
    pub domain: Option<Domain>,
}

/// Apply a write that was just made here, and answer its client.
#[derive(Debug)]
pub struct ApplyOwn {
    /// The write; its stamp is above everything applied here.
    pub write: Write,
    /// Its domain.
    pub domain: Domain,
    /// The client's.
    pub reply: ClientReply,
}

/// Answer a GET.
#[derive(Debug)]
pub struct ReadKey {
    /// Where.
    pub key: Key,
    /// The domain of this store.
    pub domain: Domain,
    /// The client's.
    pub reply: ClientReply,
}

/// Answer a DELETE if the key does not exist; else confirm it to `Causality`, which makes the write.
/// So a delete of nothing uses up no dot.
#[derive(Debug)]
pub struct ProbeDelete {
    /// Where.
    pub key: Key,
    /// The domain of this store.
    pub domain: Domain,
    /// What the client has observed.
    pub metadata: Metadata,
    /// The client's.
    pub reply: ClientReply,
}

/// Answer a peer's request for a page of what it lacks.
#[derive(Debug)]
pub struct ReadDifference {
    /// The request.
    pub request: JoinRequest,
    /// As whom this node answers.
    pub from: Origin,
    /// What is covered here at this point of the mailbox.
    pub covered: Coverage,
    /// Hybrid time here.
    pub time: HlcTime,
    /// What else is known here.
    pub rest: JoinRest,
    /// The peer's.
    pub reply: Reply<JoinAnswer>,
}

/// Complete a digest report.
#[derive(Debug)]
pub struct ReadSummary {
    /// As whom this node numbers its writes.
    pub origin: Origin,
    /// The domain.
    pub domain: Domain,
    /// What is covered here at this point of the mailbox.
    pub covered: Coverage,
    /// What is remembered of ended lives.
    pub ended: Ended,
    /// Gets the report.
    pub reply: Reply<DigestReport>,
}

/// Let tombstones go: all members have everything up to this stamp.
#[derive(Debug, Clone, Copy)]
pub struct Collect {
    /// Those stamped at or below.
    pub upto: HlcTime,
}

/// This replica is born again: set all winners aside, and have none.
#[derive(Debug, Clone, Copy)]
pub struct SetAside;

/// This is to be set aside still: the replica was born again meanwhile, or something was given up.
#[derive(Debug)]
pub struct KeepAside {
    /// As it came in a `Reissue`.
    pub settled: Settled,
}

/// See what becomes of the versions set aside; answered by a `Reissue`.
#[derive(Debug, Clone)]
pub struct SettleAside {
    /// As whom this node asks.
    pub by: Origin,
    /// What is known here at this point of the mailbox.
    pub present: Present,
}
