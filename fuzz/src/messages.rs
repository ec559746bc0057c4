//! Messages between replicas, well-formed or nearly so. Each is to pass [`crate::received`] before use.

use std::sync::Arc;

use arbitrary::Arbitrary;
use causet::core::clock::Clock;
use causet::core::coverage::Coverage;
use causet::core::ended::Ended;
use causet::core::given_up::GivenUp;
use causet::core::id::{Domain, Address, Dot, Incarnation, Origin};
use causet::core::inheritance::{Claim, Closed, HandOvers, Inherited, Nodes, OfKeys, OlderWrites};
use causet::core::roster::RosterEntry;
use causet::core::sharding::map::{Made, ShardMap};
use causet::core::stamp::{HlcTime, Stamp};
use causet::core::swim::Identity;
use causet::core::view::{ForgetMark, Heard, Removal};
use causet::core::wire::{
    Batch, Collected, Digest, Heartbeat, HeartbeatAnswer, JoinAnswer, JoinPage, JoinRefusal,
    JoinRequest, JoinRest, PushAnswer, PushRefusal, Status, Wants,
};
use causet::core::write::{Content, End, Value, Version, Write};
use foca::{Header, Member, Message, State};

use crate::names::{
    AnyClocks, AnyCoverage, AnyDeal, AnyDomain, AnyKey, AnyOrigin, AnyTime, DEALT_MS, Number,
    WALL_MS, address,
};

#[derive(Arbitrary, Debug, Clone)]
pub enum AnyContent {
    Tombstone,
    Number(u32),
    Text(String),
    Nested(u8),
    Ended(AnyOrigin, bool),
}

impl From<AnyContent> for Content {
    fn from(content: AnyContent) -> Self {
        let json = match content {
            AnyContent::Tombstone => return Self::Tombstone,
            AnyContent::Ended(next, gone) => {
                let (address, below) = (next.address(), next.life());
                return Self::Ended(Box::new(End {
                    address,
                    below,
                    gone,
                }));
            }
            AnyContent::Number(n) => n.to_string(),
            AnyContent::Text(text) => serde_json::Value::from(text).to_string(),
            AnyContent::Nested(depth) => {
                let depth = usize::from(depth % 128);
                format!("{}{}", "[".repeat(depth + 1), "]".repeat(depth + 1))
            }
        };
        Self::Value(Value::new(&json).expect("not nested too deep"))
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyWrite {
    key: AnyKey,
    counter: Number,
    time: AnyTime,
    first: Option<AnyTime>,
    deps: AnyClocks,
    content: AnyContent,
}

impl AnyWrite {
    /// The write, as one of `origin`.
    pub fn of(self, origin: Origin) -> Write {
        let dot = Dot {
            origin,
            counter: self.counter.counter(),
        };
        let time = self.time.into();
        let first = self.first.map(HlcTime::from).filter(|first| *first < time);
        let first = first.map(|time| Box::new(Stamp { time, origin }));
        Write {
            key: self.key.into(),
            version: Arc::new(Version {
                dot,
                time,
                first,
                deps: Arc::new(self.deps.into()),
                content: self.content.into(),
            }),
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyBatch {
    from: AnyOrigin,
    domain: AnyDomain,
    writes: Vec<AnyWrite>,
    /// Numbers the writes as their receiver expects them: from this on, without gaps.
    in_order_from: Option<u8>,
}

impl From<AnyBatch> for Batch {
    fn from(batch: AnyBatch) -> Self {
        let from = batch.from.into();
        let mut writes: Vec<Write> = batch.writes.into_iter().map(|w| w.of(from)).collect();
        if let Some(first) = batch.in_order_from {
            for (write, counter) in writes.iter_mut().zip(u64::from(first % 4) + 1..) {
                Arc::make_mut(&mut write.version).dot.counter = counter;
            }
        } else {
            writes.sort_by_key(|write| write.dot().counter);
            writes.dedup_by_key(|write| write.dot().counter);
        }
        Self {
            from,
            domain: batch.domain.into(),
            writes,
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyDigest {
    from: AnyOrigin,
    domain: AnyDomain,
    covered: AnyCoverage,
    promise: AnyTime,
    frontier: AnyTime,
    roster: Vec<AnyEntry>,
    status: u8,
    flags: [bool; 4],
    given_up: Vec<(AnyOrigin, Number, bool)>,
    hand_overs: AnyHandOvers,
}

/// Lives by address, sorted, as those who make them do; at times not.
#[derive(Arbitrary, Debug, Clone)]
pub struct AnyLives {
    lives: Vec<AnyOrigin>,
    as_they_come: bool,
}

impl From<AnyLives> for Vec<(Address, Incarnation)> {
    fn from(any: AnyLives) -> Self {
        let lives = any.lives.into_iter().map(|o| (o.address(), o.life()));
        let mut lives: Self = lives.collect();
        if !any.as_they_come {
            lives.sort_unstable();
            lives.dedup_by_key(|(address, _)| *address);
        }
        lives
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyHandOvers {
    goes_by: AnyDomain,
    unheard: bool,
    holds: Vec<AnyDomain>,
    complete: bool,
    handed: AnyLives,
    claims: Vec<AnyClaim>,
    of_keys: AnyOfKeys,
    closed: bool,
}

impl From<AnyHandOvers> for HandOvers {
    fn from(hand_overs: AnyHandOvers) -> Self {
        Self {
            goes_by: Domain::from(hand_overs.goes_by).map,
            unheard: hand_overs.unheard,
            holds: hand_overs.holds.into_iter().map(Into::into).collect(),
            complete: hand_overs.complete,
            handed: hand_overs.handed.into(),
            claims: hand_overs.claims.into_iter().map(Into::into).collect(),
            of_keys: hand_overs.of_keys.into(),
            closed: hand_overs.closed,
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyOfKeys {
    answers: Vec<(AnyOrigin, Number)>,
    covered: Vec<(AnyDomain, AnyCoverage)>,
}

impl From<AnyOfKeys> for OfKeys {
    fn from(of_keys: AnyOfKeys) -> Self {
        let answers = of_keys.answers.into_iter();
        let answers = answers.map(|(keeper, number)| (keeper.into(), number.counter()));
        let covered = of_keys.covered.into_iter();
        let covered = covered.map(|(domain, covered)| (domain.into(), covered.into()));
        Self {
            answers: answers.collect(),
            covered: covered.collect(),
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyClaim {
    domain: AnyDomain,
    covered: AnyCoverage,
    whole: bool,
    before: Option<AnyDeal>,
}

impl From<AnyClaim> for Claim {
    fn from(claim: AnyClaim) -> Self {
        Self {
            domain: claim.domain.into(),
            covered: claim.covered.into(),
            whole: claim.whole,
            before: claim.before.map(Into::into),
        }
    }
}

/// What a message says about older maps.
#[derive(Arbitrary, Debug, Clone)]
pub struct AnyInherited {
    deals: Vec<AnyDeal>,
    claims: Vec<AnyClaim>,
    of_keys: AnyOfKeys,
    handed: AnyLives,
    closed: Option<(AnyDomain, AnyLives)>,
}

impl From<AnyInherited> for Inherited {
    fn from(inherited: AnyInherited) -> Self {
        let closed = inherited.closed.map(|(domain, lives)| Closed {
            map: causet::core::id::Domain::from(domain).map,
            lives: lives.into(),
        });
        Self {
            deals: inherited.deals.into_iter().map(Into::into).collect(),
            claims: inherited.claims.into_iter().map(Into::into).collect(),
            of_keys: inherited.of_keys.into(),
            handed: inherited.handed.into(),
            closed,
        }
    }
}

/// Who there is in the whole cluster.
#[derive(Arbitrary, Debug, Clone)]
pub struct AnyNodes {
    map: AnyDomain,
    configured: AnyLives,
    forgotten: AnyLives,
    keepers: Vec<u8>,
    peers: Vec<u8>,
    up: Vec<u8>,
}

impl From<AnyNodes> for Nodes {
    fn from(nodes: AnyNodes) -> Self {
        Self {
            map: Domain::from(nodes.map).map,
            configured: nodes.configured.into(),
            forgotten: nodes.forgotten.into(),
            keepers: vec![nodes.keepers.into_iter().map(address).collect()],
            peers: nodes.peers.into_iter().map(address).collect(),
            up: nodes.up.into_iter().map(address).collect(),
        }
    }
}

fn any_given_up(some: Vec<(AnyOrigin, Number, bool)>) -> GivenUp {
    let mut given_up = GivenUp::new();
    for (origin, counter, lost) in some {
        let tails = if lost {
            &mut given_up.lost
        } else {
            &mut given_up.taken_over
        };
        let upto = counter.counter();
        tails.raise(origin.into(), upto / 2, upto);
    }
    given_up
}

impl From<AnyDigest> for Digest {
    fn from(digest: AnyDigest) -> Self {
        Self {
            from: digest.from.into(),
            domain: digest.domain.into(),
            roster: digest.roster.into_iter().map(Into::into).collect(),
            covered: digest.covered.into(),
            promise: digest.promise.into(),
            frontier: digest.frontier.into(),
            status: match digest.status % 8 {
                0 => Status::Starting,
                1 => Status::Removed,
                2 => Status::Stopping,
                _ => Status::Serving,
            },
            pushing: digest.flags[0],
            admits: digest.flags[1],
            bootstrapped: digest.flags[2],
            aside: digest.flags[3],
            given_up: any_given_up(digest.given_up),
            hand_overs: digest.hand_overs.into(),
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyRemoval {
    about: AnyOrigin,
    time: AnyTime,
    removed: bool,
}

impl From<AnyRemoval> for Removal {
    fn from(removal: AnyRemoval) -> Self {
        Self {
            address: removal.about.address(),
            incarnation: removal.about.life(),
            time: removal.time.into(),
            removed: removal.removed,
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyMark {
    about: AnyOrigin,
    time: AnyTime,
    maker: AnyOrigin,
    up: u16,
}

impl From<AnyMark> for ForgetMark {
    fn from(mark: AnyMark) -> Self {
        Self {
            address: mark.about.address(),
            incarnation: mark.about.life(),
            time: mark.time.into(),
            maker: mark.maker.into(),
            up: mark.up,
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyEntry {
    about: AnyOrigin,
    forgotten: bool,
    outside: bool,
}

impl From<AnyEntry> for RosterEntry {
    fn from(entry: AnyEntry) -> Self {
        Self {
            address: entry.about.address(),
            life: entry.about.life(),
            forgotten: entry.forgotten,
            outside: entry.outside,
        }
    }
}

/// What a heartbeat says about members.
#[derive(Arbitrary, Debug, Clone)]
pub struct AnyHeard {
    from: AnyOrigin,
    removals: Vec<AnyRemoval>,
    forgotten: Vec<AnyMark>,
    roster: Vec<AnyEntry>,
    map: Option<AnyMap>,
}

/// Of so many nodes, in so many shards, each time that keys are dealt; none if there are too few nodes.
#[derive(Arbitrary, Debug, Clone)]
pub struct AnyMap {
    /// The first map is derived from settings.
    derived: bool,
    deals: Vec<(u8, u8)>,
}

impl AnyMap {
    fn map(&self) -> Option<ShardMap> {
        let mut map = ShardMap::implicit();
        for (at, (nodes, shards)) in self.deals.iter().take(3).enumerate() {
            let nodes: Vec<_> = (0..nodes % 8).map(address).collect();
            let shards = usize::from(shards % 4);
            let made = Made {
                by: address(0),
                wall_ms: DEALT_MS,
            };
            let dealt = if self.derived && at == 0 {
                ShardMap::first(&nodes, shards)
            } else {
                map.dealt_anew(&nodes, shards, made)
            };
            map = dealt.ok()?;
        }
        Some(map)
    }
}

impl From<AnyHeard> for Heard {
    fn from(heard: AnyHeard) -> Self {
        Self {
            from: heard.from.into(),
            removals: heard.removals.into_iter().map(Into::into).collect(),
            forgotten: heard.forgotten.into_iter().map(Into::into).collect(),
            roster: heard.roster.into_iter().map(Into::into).collect(),
            map: heard.map.and_then(|map| map.map()),
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyHeartbeat {
    digest: AnyDigest,
    removals: Vec<AnyRemoval>,
    forgotten: Vec<AnyMark>,
    map: Option<AnyMap>,
}

impl From<AnyHeartbeat> for Heartbeat {
    fn from(heartbeat: AnyHeartbeat) -> Self {
        Self {
            digest: heartbeat.digest.into(),
            removals: heartbeat.removals.into_iter().map(Into::into).collect(),
            forgotten: heartbeat.forgotten.into_iter().map(Into::into).collect(),
            map: heartbeat.map.and_then(|map| map.map()),
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub enum AnyHeartbeatAnswer {
    Digest(AnyDigest),
    Superseded(AnyOrigin),
    Unknown,
}

impl From<AnyHeartbeatAnswer> for HeartbeatAnswer {
    fn from(answer: AnyHeartbeatAnswer) -> Self {
        match answer {
            AnyHeartbeatAnswer::Digest(digest) => Self::Digest(digest.into()),
            AnyHeartbeatAnswer::Superseded(origin) => Self::Superseded(origin.life()),
            AnyHeartbeatAnswer::Unknown => Self::Unknown,
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyPushAnswer {
    which: u8,
    life: AnyOrigin,
}

impl From<AnyPushAnswer> for PushAnswer {
    fn from(answer: AnyPushAnswer) -> Self {
        Self::Refused(match answer.which % 9 {
            0 => PushRefusal::Unsteady,
            1 => PushRefusal::NotServing,
            2 => PushRefusal::OtherDomain,
            3 => PushRefusal::Superseded(answer.life.life()),
            4 => PushRefusal::Unknown,
            5 => PushRefusal::Overloaded,
            6 => PushRefusal::Late,
            _ => return Self::Admitted,
        })
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyJoinRequest {
    from: AnyOrigin,
    domain: AnyDomain,
    hand_over: bool,
    keys: Option<Vec<AnyKey>>,
    covered: AnyCoverage,
    claims: Vec<AnyClaim>,
    session: u8,
    page: u8,
}

impl From<AnyJoinRequest> for JoinRequest {
    fn from(request: AnyJoinRequest) -> Self {
        Self {
            from: request.from.into(),
            domain: request.domain.into(),
            wants: match request.keys {
                Some(keys) => Wants::Keys(keys.into_iter().map(Into::into).collect()),
                None if request.hand_over => Wants::HandOver,
                None => Wants::State,
            },
            covered: request.covered.into(),
            claims: request.claims.into_iter().map(Into::into).collect(),
            session: u64::from(request.session % 4),
            page: u32::from(request.page % 4),
        }
    }
}

/// What a page says about ends.
#[derive(Arbitrary, Debug, Clone)]
pub struct AnyRest {
    agreed: Vec<(AnyOrigin, Number, AnyOrigin, Number)>,
    promises: Vec<(AnyOrigin, AnyTime)>,
    collected: Option<(AnyTime, AnyCoverage)>,
    newest_tombstone: AnyTime,
    whole: AnyTime,
    inherited: AnyInherited,
}

impl From<AnyRest> for JoinRest {
    fn from(rest: AnyRest) -> Self {
        let mut ended = Ended::new();
        for (of, counter, maker, number) in rest.agreed {
            let finals = Clock::from_iter([(of.into(), counter.counter())]);
            let marker = Dot {
                origin: maker.into(),
                counter: number.counter(),
            };
            ended.note(of.address(), &finals, marker, WALL_MS, true);
        }
        let promises = rest.promises.into_iter();
        let collected = rest.collected.map(|(time, covered)| Collected {
            time: time.into(),
            covered: covered.into(),
        });
        Self {
            ended,
            promises: promises.map(|(o, time)| (o.into(), time.into())).collect(),
            collected,
            newest_tombstone: rest.newest_tombstone.into(),
            whole: rest.whole.into(),
            inherited: rest.inherited.into(),
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyPage {
    from: AnyOrigin,
    covered: AnyCoverage,
    time: AnyTime,
    writes: Vec<(AnyOrigin, AnyWrite)>,
    older: Vec<(AnyDomain, Vec<(AnyOrigin, AnyWrite)>)>,
    rest: Option<AnyRest>,
    /// Makes it cover what an honest one would: the writes and all that they depend on, and claim what it brings of older maps.
    honest: bool,
}

impl From<AnyPage> for JoinPage {
    fn from(page: AnyPage) -> Self {
        let writes = page.writes.into_iter().map(|(o, write)| write.of(o.into()));
        let writes: Vec<Write> = writes.collect();
        let mut covered = Coverage::from(page.covered);
        if page.honest {
            for write in &writes {
                covered.raise(write.dot().origin, write.dot().counter);
                let own = causet::core::id::Domain::UNSHARDED;
                if let Some(deps) = write.version.deps.get(&own) {
                    covered.merge(&deps.clone().into());
                }
            }
        }
        let older = page.older.into_iter().map(|(domain, writes)| OlderWrites {
            domain: domain.into(),
            writes: writes.into_iter().map(|(o, w)| w.of(o.into())).collect(),
        });
        let older: Vec<OlderWrites> = older.collect();
        let mut rest: Option<JoinRest> = page.rest.map(Into::into);
        if let Some(rest) = rest.as_mut().filter(|_| page.honest) {
            rest.inherited.claims.extend(older.iter().map(claimed));
        }
        Self {
            from: page.from.into(),
            covered,
            time: page.time.into(),
            writes,
            older,
            left: 0,
            rest,
        }
    }
}

/// What an honest donor claims with these.
fn claimed(older: &OlderWrites) -> Claim {
    let dots = older.writes.iter().map(Write::dot);
    Claim {
        domain: older.domain,
        covered: dots.map(|dot| (dot.origin, dot.counter)).collect(),
        whole: false,
        before: None,
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub enum AnyJoinAnswer {
    Page(AnyPage),
    Refused(u8),
}

impl From<AnyJoinAnswer> for JoinAnswer {
    fn from(answer: AnyJoinAnswer) -> Self {
        match answer {
            AnyJoinAnswer::Page(page) => Self::Page(page.into()),
            AnyJoinAnswer::Refused(why) => Self::Refused(match why % 5 {
                0 => JoinRefusal::NotServing,
                1 => JoinRefusal::OtherDomain,
                2 => JoinRefusal::Busy,
                3 => JoinRefusal::Superseded,
                _ => JoinRefusal::NoSuchPage,
            }),
        }
    }
}

#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct AnyIdentity {
    origin: AnyOrigin,
    bump: Number,
}

impl From<AnyIdentity> for Identity {
    fn from(identity: AnyIdentity) -> Self {
        Self {
            address: identity.origin.address(),
            incarnation: identity.origin.life(),
            bump: u32::try_from(identity.bump.counter()).unwrap_or(u32::MAX),
        }
    }
}

/// A SWIM datagram in the format of the `foca` crate.
#[derive(Arbitrary, Debug, Clone)]
pub struct AnyDatagram {
    from: AnyIdentity,
    from_incarnation: u16,
    to: AnyIdentity,
    /// Meant for the node under test, whatever `to` says.
    to_us: bool,
    message: u8,
    third: AnyIdentity,
    probe: u8,
    updates: Vec<(AnyIdentity, u16, u8)>,
}

impl AnyDatagram {
    /// Its bytes, sent to `us` if so chosen.
    pub fn bytes(self, us: Identity) -> Vec<u8> {
        let header = Header {
            src: self.from.into(),
            src_incarnation: self.from_incarnation,
            dst: if self.to_us { us } else { self.to.into() },
            message: message(self.message, self.third.into(), self.probe),
        };
        let mut bytes = postcard::to_stdvec(&header).unwrap_or_default();
        if self.updates.is_empty() {
            return bytes;
        }
        bytes.extend(
            u16::try_from(self.updates.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        for (identity, incarnation, state) in self.updates {
            let state = match state % 3 {
                0 => State::Alive,
                1 => State::Suspect,
                _ => State::Down,
            };
            let member = Member::new(Identity::from(identity), incarnation, state);
            bytes.extend(postcard::to_stdvec(&member).unwrap_or_default());
        }
        bytes
    }
}

fn message(which: u8, third: Identity, probe_number: u8) -> Message<Identity> {
    let (target, origin) = (third, third);
    match which % 11 {
        0 => Message::Ping(probe_number),
        1 => Message::Ack(probe_number),
        2 => Message::PingReq {
            target,
            probe_number,
        },
        3 => Message::IndirectPing {
            origin,
            probe_number,
        },
        4 => Message::IndirectAck {
            target,
            probe_number,
        },
        5 => Message::ForwardedAck {
            origin,
            probe_number,
        },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        _ => Message::TurnUndead,
    }
}

/// The first life of the node under test.
pub fn us() -> Identity {
    let life = causet::core::id::Incarnation::starting(crate::names::WALL_MS, 7);
    Identity::new(address(0), life)
}
