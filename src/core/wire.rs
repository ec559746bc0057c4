//! What replicas say to each other, and its bytes.
//!
//! A message is one byte of protocol version and then its fields in postcard's format. A version or
//! a form that is not understood changes nothing at the receiver; the sender sees a refusal.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::coverage::Coverage;
use super::ended::Ended;
use super::given_up::GivenUp;
use super::id::{Domain, Incarnation, Key, MapId, Origin, ShardId};
use super::inheritance::{Claim, HandOvers, Inherited, OlderWrites};
use super::roster::RosterEntry;
use super::sharding::map::ShardMap;
use super::stamp::HlcTime;
use super::view::{ForgetMark, Removal};
use super::write::Write;

/// Protocol spoken here; also the `v1` in the routes.
pub const PROTOCOL: u8 = 1;

/// Bytes that are no message of this protocol; nothing was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Empty, or of another protocol version.
    #[error("protocol version {} is not understood, only {PROTOCOL}", .0.map_or("(none)".to_owned(), |v| v.to_string()))]
    Version(Option<u8>),
    /// Not the fields that this message has.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Well-formed, but it contradicts itself.
    #[error("inconsistent: {0}")]
    Inconsistent(&'static str),
}

/// The bytes of a message.
///
/// # Panics
/// Never for the messages of this module: they are plain data of known lengths.
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    postcard::to_extend(message, vec![PROTOCOL])
        .expect("plain data of known lengths always encodes")
}

/// The message in these bytes.
///
/// # Errors
/// [`WireError`] says why they are none.
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, WireError> {
    match bytes.split_first() {
        Some((&PROTOCOL, fields)) => {
            let (message, rest) = postcard::take_from_bytes(fields)
                .map_err(|e| WireError::Malformed(e.to_string()))?;
            if rest.is_empty() {
                Ok(message)
            } else {
                Err(WireError::Malformed("bytes left over".to_owned()))
            }
        }
        other => Err(WireError::Version(other.map(|(version, _)| *version))),
    }
}

/// What a replica does for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Not yet caught up: answers no client, takes no pushes, is no source of joins.
    Starting,
    /// Answers.
    Serving,
    /// An operator took it out of the view: answers no client, takes no writes.
    Removed,
    /// On its way out: answers no client.
    Stopping,
}

/// A replica's summary of what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says a thing of its own, and all combinations occur"
)]
pub struct Digest {
    /// Whose.
    pub from: Origin,
    /// The domain that `covered` belongs to.
    pub domain: Domain,
    /// What it covers.
    pub covered: Coverage,
    /// All its later writes are stamped above this.
    pub promise: HlcTime,
    /// What it does for clients.
    pub status: Status,
    /// Writes for the receiver of this digest are on their way or waiting: what it lacks of the
    /// sender's own writes may arrive without a join.
    pub pushing: bool,
    /// Whether the sender takes pushes from the receiver now.
    pub admits: bool,
    /// Whether the sender has caught up in this life, or found nobody to catch up from: only then has it anything to give. A
    /// replica that was removed or stopped before that does not say `Starting`, and has nothing.
    pub bootstrapped: bool,
    /// The members and the lives of them that the sender knows.
    pub roster: Vec<RosterEntry>,
    /// The sender has every write of every life that goes on, up to this stamp, and has had it for a while; zero while it has
    /// versions set aside.
    pub frontier: HlcTime,
    /// Whether the sender has versions set aside which it may write again.
    pub aside: bool,
    /// What the sender has given up.
    pub given_up: GivenUp,
    /// What it has of older maps, and for others.
    pub hand_overs: HandOvers,
}

/// Probe of a link and exchange of digests in one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sender's.
    pub digest: Digest,
    /// The removal marks that the sender knows.
    pub removals: Vec<Removal>,
    /// The forget marks that the sender knows.
    pub forgotten: Vec<ForgetMark>,
    /// The shard map that the sender knows; `None` for the implicit one.
    pub map: Option<ShardMap>,
}

/// Answer to a [`Heartbeat`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and nearly always the large one"
)]
pub enum HeartbeatAnswer {
    /// The answerer's digest.
    Digest(Digest),
    /// The sender was no member that the answerer knew; it is one now, so ask again.
    Unknown,
    /// A later life of the sender is known: nothing that it says is heeded until it has taken one later still.
    Superseded(Incarnation),
}

/// Writes of one origin in the order of their counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Who numbered and sends them.
    pub from: Origin,
    /// Under which map and for which shard.
    pub domain: Domain,
    /// At least one.
    pub writes: Vec<Write>,
}

impl Batch {
    /// Checks that the writes are the sender's own, in ascending order.
    ///
    /// # Errors
    /// [`WireError::Inconsistent`]; nothing of the batch is to be used.
    pub fn check(self) -> Result<Self, WireError> {
        let own = self.writes.iter().all(|w| w.dot().origin == self.from);
        let ascending = self
            .writes
            .is_sorted_by(|a, b| a.dot().counter < b.dot().counter);
        let numbered = self.writes.first().is_some_and(|w| w.dot().counter > 0);
        if own && ascending && numbered {
            Ok(self)
        } else {
            Err(WireError::Inconsistent(
                "a batch of foreign or unsorted writes",
            ))
        }
    }
}

/// What became of a [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushAnswer {
    /// Every write was applied, parked until what it depends on arrives, known before, or (the
    /// buffer being full) dropped, in which case the receiver asks for a join by itself.
    Admitted,
    /// Nothing was taken; the receiver will ask for a join when it can.
    Refused(PushRefusal),
}

impl PushAnswer {
    /// The later life of the sender that the receiver knows, if that is why it took nothing.
    pub fn later_life(&self) -> Option<Incarnation> {
        match self {
            Self::Refused(PushRefusal::Superseded(life)) => Some(*life),
            Self::Refused(_) | Self::Admitted => None,
        }
    }
}

/// Why a [`Batch`] was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushRefusal {
    /// The link has not been steady for long enough.
    Unsteady,
    /// The receiver is starting, stopping or removed.
    NotServing,
    /// The receiver is in another domain.
    OtherDomain,
    /// A later life of the sender is known.
    Superseded(Incarnation),
    /// Tombstones that could outrank one of the writes are gone at the receiver, or one follows what was given up there when a life ended; the
    /// sender has to join from it.
    Late,
    /// The sender is no member that the receiver knows; it does now.
    Unknown,
    /// Too much waits there.
    Overloaded,
}

impl PushRefusal {
    /// Its name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsteady => "unsteady",
            Self::NotServing => "not_serving",
            Self::OtherDomain => "other_domain",
            Self::Superseded(_) => "superseded",
            Self::Late => "late",
            Self::Unknown => "unknown",
            Self::Overloaded => "overloaded",
        }
    }
}

/// Asks for one page of what the asker lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Who asks.
    pub from: Origin,
    /// For which domain.
    pub domain: Domain,
    /// Of what.
    pub wants: Wants,
    /// What it covers; the same in all pages of a session.
    pub covered: Coverage,
    /// What it has of older domains; likewise.
    pub claims: Vec<Claim>,
    /// Numbers the asker's joins.
    pub session: u64,
    /// Which page, from 0. Asking again for one gives the same, until the last one was given.
    pub page: u32,
}

/// What a [`JoinRequest`] asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wants {
    /// What the answerer has of the domain, as another keeper of the shard.
    State,
    /// What it holds of older maps for the shard of the domain.
    HandOver,
    /// What it holds of older maps for these keys of that shard.
    Keys(Vec<Key>),
}

/// Answer to a [`JoinRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and nearly always the large one"
)]
pub enum JoinAnswer {
    /// The page.
    Page(JoinPage),
    /// Not now.
    Refused(JoinRefusal),
}

/// Why a join was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinRefusal {
    /// The answerer has not caught up itself.
    NotServing,
    /// It is in another domain.
    OtherDomain,
    /// The asker's life is over: a later one is known, or it is forgotten.
    Superseded,
    /// It serves as many joins as it may.
    Busy,
    /// The session is over, or the page is none of it; a new join is needed.
    NoSuchPage,
}

/// A part of a state difference. All pages of one session are of one consistent cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinPage {
    /// Who answers.
    pub from: Origin,
    /// What it covered at the cut.
    pub covered: Coverage,
    /// Its hybrid time at the cut.
    pub time: HlcTime,
    /// Winners, tombstones included, whose dots the asker's clock does not cover.
    pub writes: Vec<Write>,
    /// Winners that were written under older maps, as far as the asker's claims do not cover them.
    pub older: Vec<OlderWrites>,
    /// How many writes the pages after this one bring, at most.
    pub left: u64,
    /// In the last page, and only there: what else the answerer knew at the cut.
    pub rest: Option<JoinRest>,
}

/// What goes with a state difference besides the writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JoinRest {
    /// Final counters and markers of ended lives.
    pub ended: Ended,
    /// The promises that the answerer has adopted: what is covered at the cut has all that is stamped lower.
    pub promises: Vec<(Origin, HlcTime)>,
    /// Up to where the answerer has collected tombstones, if it ever has.
    pub collected: Option<Collected>,
    /// No tombstone in the cut is stamped higher.
    pub newest_tombstone: HlcTime,
    /// Up to where the answerer has ever had every write.
    pub whole: HlcTime,
    /// What it has of older maps.
    pub inherited: Inherited,
}

/// A collection of tombstones. What is not covered and stamped at or below it can be judged only by who still had them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Tombstones up to this stamp are gone.
    pub time: HlcTime,
    /// What was covered then.
    pub covered: Coverage,
}

/// What a node that does not keep a key's shard asks of one that does. It is answered there and then, never passed on again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The map by which the sender has found the receiver.
    pub map: MapId,
    /// What is asked for.
    pub ask: Asked,
}

/// What a [`Forward`] asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// What a client wants of a key.
    Kvs(KvsRequest),
    /// How many keys the shard has.
    KeyCount(ShardId),
}

impl Asked {
    /// Whether to ask twice does no more than to ask once.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::Kvs(request) => request.method == KvsMethod::Get,
            Self::KeyCount(_) => true,
        }
    }
}

/// A client's request, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvsRequest {
    /// What to do.
    pub method: KvsMethod,
    /// Where.
    pub key: Key,
    /// The whole body, unparsed.
    pub body: Bytes,
    /// The values of its `Causal-Metadata` headers, unparsed.
    pub metadata: Vec<Bytes>,
    /// How long it may be parked, in milliseconds; `None` takes the answerer's default.
    pub wait_ms: Option<u64>,
}

/// What a client may do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvsMethod {
    /// Read it.
    Get,
    /// Write it.
    Put,
    /// Make it absent.
    Delete,
}

/// Answer to a [`Forward`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardAnswer {
    /// What the client is to get.
    Kvs(KvsAnswer),
    /// Keys of the shard that exist.
    Keys(u64),
    /// Not now: the answerer is starting, removed or stopping.
    NotServing,
    /// Both mean the same map, by which the answerer does not keep that shard.
    NotKept,
    /// The answerer goes by another map, this one. The one of the two with the smaller id is outdated.
    OtherMap(ShardMap),
}

/// A client's answer, as it goes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvsAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
    /// The value of the `Causal-Metadata` header, if there is one.
    pub metadata: Option<Bytes>,
}

impl JoinPage {
    /// Checks that the page holds nothing that its own clock does not cover.
    ///
    /// # Errors
    /// [`WireError::Inconsistent`]; nothing of the join is to be used.
    pub fn check(self) -> Result<Self, WireError> {
        let covered = |write: &Write| write.dot().counter > 0 && self.covered.covers(&write.dot());
        let mut older = self.older.iter().flat_map(|older| &older.writes);
        if self.writes.iter().all(covered) && older.all(|write| write.dot().counter > 0) {
            Ok(self)
        } else {
            Err(WireError::Inconsistent(
                "a page of writes that its clock does not cover",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{origin, write};

    #[test]
    fn a_message_survives_the_round_trip() {
        let batch = Batch {
            from: origin(1),
            domain: Domain::UNSHARDED,
            writes: vec![write(1, 1), write(1, 2)],
        };
        assert_eq!(decode(&encode(&batch)), Ok(batch));
    }

    #[test]
    fn a_page_with_a_write_beyond_its_clock_is_refused_whole() {
        let page = |counter| JoinPage {
            from: origin(2),
            covered: [(origin(1), 2)].into_iter().collect(),
            time: HlcTime::ZERO,
            writes: vec![write(1, 1), write(1, counter)],
            older: Vec::new(),
            left: 0,
            rest: Some(JoinRest::default()),
        };
        assert!(page(2).check().is_ok());
        assert!(page(3).check().is_err());
        assert!(page(0).check().is_err());
    }

    #[test]
    fn another_version_and_bytes_left_over_are_refused() {
        let mut bytes = encode(&PushAnswer::Admitted);
        bytes.push(0);
        assert!(matches!(
            decode::<PushAnswer>(&bytes),
            Err(WireError::Malformed(_))
        ));
        bytes[0] = 9;
        assert_eq!(
            decode::<PushAnswer>(&bytes),
            Err(WireError::Version(Some(9)))
        );
        assert_eq!(decode::<PushAnswer>(&[]), Err(WireError::Version(None)));
    }

    #[test]
    fn a_batch_with_a_foreign_or_misplaced_write_is_refused_whole() {
        for writes in [
            vec![],
            vec![write(2, 1)],
            vec![write(1, 2), write(1, 1)],
            vec![write(1, 1), write(1, 1)],
        ] {
            let batch = Batch {
                from: origin(1),
                domain: Domain::UNSHARDED,
                writes,
            };
            assert!(batch.check().is_err());
        }
    }
}
