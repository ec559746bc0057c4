//! No bytes from outside make a parser panic, and what it takes means one thing only.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::Arc;

use causet::core::causality::EndRules;
use causet::core::clock::{Clock, Clocks};
use causet::core::coverage::Coverage;
use causet::core::ended::{Ended, EndedLimits};
use causet::core::given_up::GivenUp;
use causet::core::id::{Address, Domain, Dot, Incarnation, Key, MapId, Origin, ShardId};
use causet::core::inheritance::{HandOvers, Inherited, OlderWrites};
use causet::core::join::Cut;
use causet::core::metadata::Metadata;
use causet::core::roster::RosterEntry;
use causet::core::sharding::map::ShardMap;
use causet::core::stamp::HlcTime;
use causet::core::swim::{Datagram, Identity, Swim, Timing};
use causet::core::view::{ForgetMark, Removal};
use causet::core::wire::{
    self, Asked, Batch, Collected, Digest, Forward, ForwardAnswer, Heartbeat, HeartbeatAnswer,
    JoinAnswer, JoinPage, JoinRequest, JoinRest, KvsMethod, KvsRequest, PushAnswer, Status, Wants,
};
use causet::core::write::{Content, Value, Write};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::{DOMAIN, Replica};
use crate::names::{
    address, any_claims, any_coverage, any_domain, any_key, any_lives, any_mark, any_metadata,
    any_of_keys, any_origin, any_rest, any_time, any_write, ended, life,
};

/// What is taken prints back to the same text.
fn is_strict<T: FromStr + Display>(text: &str) -> Result<(), TestCaseError> {
    if let Ok(name) = text.parse::<T>() {
        prop_assert_eq!(name.to_string(), text);
    }
    Ok(())
}

/// What is taken survives being passed on.
fn passes_on<M>(bytes: &[u8]) -> Result<(), TestCaseError>
where
    M: Serialize + DeserializeOwned + PartialEq + Debug,
{
    if let Ok(message) = wire::decode::<M>(bytes) {
        prop_assert_eq!(wire::decode::<M>(&wire::encode(&message)), Ok(message));
    }
    Ok(())
}

fn every_message(bytes: &[u8]) -> Result<(), TestCaseError> {
    passes_on::<Heartbeat>(bytes)?;
    passes_on::<HeartbeatAnswer>(bytes)?;
    passes_on::<Batch>(bytes)?;
    passes_on::<PushAnswer>(bytes)?;
    passes_on::<Forward>(bytes)?;
    passes_on::<ForwardAnswer>(bytes)?;
    passes_on::<JoinRequest>(bytes)?;
    passes_on::<JoinAnswer>(bytes)?;
    passes_on::<Digest>(bytes)?;
    passes_on::<Write>(bytes)?;
    passes_on::<Clock>(bytes)?;
    passes_on::<Clocks>(bytes)?;
    passes_on::<Removal>(bytes)?;
    passes_on::<ForgetMark>(bytes)?;
    passes_on::<RosterEntry>(bytes)?;
    passes_on::<Coverage>(bytes)?;
    passes_on::<JoinRest>(bytes)?;
    if let Ok(batch) = wire::decode::<Batch>(bytes) {
        let _ = batch.check();
    }
    Ok(())
}

/// Bytes that were well-formed before a few of them changed, went or were added.
fn damaged(mut bytes: Vec<u8>, damage: &[(Index, u8, u8)]) -> Vec<u8> {
    for (at, what, byte) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match what % 4 {
            0 => bytes[at] = *byte,
            1 => bytes[at] ^= 1 << (byte % 8),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, *byte),
        }
    }
    bytes
}

fn any_damage() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    vec(any::<(Index, u8, u8)>(), 1..4)
}

fn any_entry() -> impl Strategy<Value = RosterEntry> {
    (any_origin(), any::<bool>(), any::<bool>()).prop_map(|(origin, forgotten, outside)| {
        RosterEntry {
            address: origin.address,
            life: origin.incarnation,
            forgotten,
            outside,
        }
    })
}

fn any_given_up() -> impl Strategy<Value = GivenUp> {
    let some = (any_origin(), 0..=Clock::COUNTER_MAX, any::<bool>());
    vec(some, 0..3).prop_map(|some| {
        let mut given_up = GivenUp::new();
        for (origin, counter, lost) in some {
            let tails = if lost {
                &mut given_up.lost
            } else {
                &mut given_up.taken_over
            };
            tails.raise(origin, counter / 2, counter);
        }
        given_up
    })
}

fn any_digest() -> impl Strategy<Value = Digest> {
    let flags = any::<(bool, bool, bool, bool)>();
    let about = (any_origin(), any_domain(), vec(any_entry(), 0..4));
    let times = (any_time(), any_time());
    let holds = vec(any_domain(), 0..2);
    let says = (holds, any::<bool>(), any_of_keys());
    let known = (any_given_up(), says, any_lives());
    (about, any_coverage(), times, flags, known).prop_map(
        |(
            (from, domain, roster),
            covered,
            (promise, frontier),
            flags,
            (given_up, (holds, says, of_keys), handed),
        )| Digest {
            hand_overs: HandOvers {
                goes_by: domain.map,
                unheard: says,
                holds,
                complete: says,
                handed,
                claims: Vec::new(),
                of_keys,
                closed: says,
            },
            from,
            domain,
            roster,
            covered,
            promise,
            status: Status::Serving,
            pushing: flags.0,
            admits: flags.1,
            bootstrapped: flags.2,
            frontier,
            aside: flags.3,
            given_up,
        },
    )
}

/// The implicit map, or one of some first nodes.
fn any_map() -> impl Strategy<Value = ShardMap> {
    (0..9_u8, 0..4_usize).prop_map(|(nodes, shards)| {
        let nodes: Vec<Address> = (0..nodes).map(address).collect();
        ShardMap::first(&nodes, shards).unwrap_or_else(|_| ShardMap::implicit())
    })
}

/// The bytes of some message between replicas.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let heartbeat = (any_digest(), vec(any_mark(), 0..4), any_map());
    let heartbeat = heartbeat.prop_map(|(digest, forgotten, map)| Heartbeat {
        digest,
        removals: Vec::new(),
        forgotten,
        map: Some(map).filter(ShardMap::is_sharded),
    });
    let forward = (any_map(), any_key(), vec(any::<u8>(), 0..40));
    let forward = forward.prop_map(|(map, key, body)| Forward {
        map: map.id(),
        ask: Asked::Kvs(KvsRequest {
            method: KvsMethod::Put,
            key,
            body: body.clone().into(),
            metadata: vec![body.into()],
            wait_ms: Some(7),
        }),
    });
    let batch = (any_origin(), any_domain(), vec(any_write(), 1..3));
    let batch = batch.prop_map(|(from, domain, writes)| Batch {
        from,
        domain,
        writes,
    });
    let numbers = any::<(u64, u32)>();
    let keys = vec(any_key(), 0..3).prop_map(Wants::Keys);
    let wants = prop_oneof![Just(Wants::State), Just(Wants::HandOver), keys];
    let has = (any_coverage(), any_claims());
    let request = (any_origin(), any_domain(), wants, has, numbers);
    let request = request.prop_map(
        |(from, domain, wants, (covered, claims), (session, page))| JoinRequest {
            wants,
            claims,
            from,
            domain,
            covered,
            session,
            page,
        },
    );
    let page = (
        any_origin(),
        any_coverage(),
        any_time(),
        vec(any_write(), 0..3),
        vec((any_domain(), vec(any_write(), 0..3)), 0..2),
        (any::<u64>(), proptest::option::of(any_rest())),
    );
    let page = page.prop_map(|(from, covered, time, writes, older, (left, rest))| {
        let older = older.into_iter();
        let older = older.map(|(domain, writes)| OlderWrites { domain, writes });
        JoinAnswer::Page(JoinPage {
            older: older.collect(),
            left,
            from,
            covered,
            time,
            writes,
            rest,
        })
    });
    prop_oneof![
        heartbeat.prop_map(|m| wire::encode(&m)),
        any_digest().prop_map(|m| wire::encode(&HeartbeatAnswer::Digest(m))),
        batch.prop_map(|m| wire::encode(&m)),
        request.prop_map(|m| wire::encode(&m)),
        page.prop_map(|m| wire::encode(&m)),
        forward.prop_map(|m| wire::encode(&m)),
        any_map().prop_map(|m| wire::encode(&ForwardAnswer::OtherMap(m))),
    ]
}

/// A SWIM datagram with a few members in it.
fn datagram() -> Vec<u8> {
    let timing = Timing {
        probe_period_ms: 250,
        probe_rtt_ms: 80,
        suspicion_ms: 1_000,
    };
    let swim = |n| {
        Swim::new(
            Identity::new(address(n), life(n)),
            timing,
            ChaCha8Rng::seed_from_u64(1),
        )
    };
    let (mut newcomer, mut member) = (swim(0), swim(1));
    newcomer.announce(member.identity(), 0);
    let mut answers = Vec::new();
    for (_, bytes) in newcomer.take_datagrams() {
        member
            .receive(&Datagram::parse(&bytes).unwrap(), 1)
            .unwrap();
        answers.extend(member.take_datagrams());
    }
    let longest = answers
        .into_iter()
        .map(|(_, bytes)| bytes)
        .max_by_key(bytes::Bytes::len);
    longest.expect("an answer").to_vec()
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,30}",
        "[0-9a-f:.@/s\\[\\]+-]{0,40}",
        "[0-9]{0,2}(\\.[0-9]{1,3}){0,2}(\\.0{0,1}[0-9]{1,3}){3}:0{0,1}[0-9]{1,5}(@0{0,1}[0-9a-f]{1,16})?(/s0{0,1}[0-9]{1,3})?",
        "\\[(0{0,4}[0-9a-f]{0,4}:){1,7}:[0-9a-f]{0,4}\\]:[0-9]{1,5}(@[0-9a-f]{1,8})?",
        any_origin().prop_map(|origin| origin.to_string()),
        any_domain().prop_map(|domain| domain.to_string()),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        every_message(&bytes)?;
        every_message(&[&[wire::PROTOCOL][..], &bytes].concat())?;
        let _ = Datagram::parse(&bytes);
    }

    #[test]
    fn a_damaged_message_is_a_message_or_refused(
        bytes in any_message(), damage in any_damage(),
    ) {
        every_message(&bytes)?;
        every_message(&damaged(bytes, &damage))?;
    }

    #[test]
    fn a_damaged_datagram_is_a_datagram_or_refused(damage in any_damage()) {
        let whole = datagram();
        prop_assert!(Datagram::parse(&whole).is_ok());
        let _ = Datagram::parse(&damaged(whole, &damage));
    }

    #[test]
    fn a_name_has_one_spelling(text in any_name()) {
        is_strict::<Incarnation>(&text)?;
        is_strict::<Origin>(&text)?;
        is_strict::<MapId>(&text)?;
        is_strict::<ShardId>(&text)?;
        is_strict::<Domain>(&text)?;
    }

    #[test]
    fn an_address_prints_back_to_itself(text in any_name()) {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn any_text_is_metadata_or_refused(text in ".{0,80}") {
        if let Ok(metadata) = Metadata::from_json(&text) {
            prop_assert_eq!(Metadata::from_json(&metadata.to_json()), Ok(metadata));
        }
    }

    #[test]
    fn damaged_metadata_is_metadata_or_refused(
        metadata in any_metadata(), damage in any_damage(),
    ) {
        let bytes = damaged(metadata.to_json().into_bytes(), &damage);
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(metadata) = Metadata::from_json(&text) {
            prop_assert_eq!(Metadata::from_json(&metadata.to_json()), Ok(metadata));
        }
    }

    #[test]
    fn a_key_is_any_text_of_1_to_50_characters(text in ".{0,60}") {
        let fits = (1..=50).contains(&text.chars().count());
        prop_assert_eq!(Key::new(&text).is_some(), fits);
    }

    #[test]
    fn any_text_is_a_value_or_too_deep(text in "[\\[\\]{}\"\\\\,:a1 ]{0,300}") {
        if let Some(value) = Value::new(&text) {
            prop_assert_eq!(value.json(), text);
        }
    }
}

/// Numbers at the edges of what fits.
fn wild() -> impl Strategy<Value = u64> {
    prop_oneof![
        1_u64..4,
        Just(u64::MAX),
        Just(u64::MAX - 1),
        Just(1 << 63),
        any::<u64>(),
    ]
}

/// A life that only a broken or forged message names. Lives have no constructor for these.
fn wild_life(number: u64) -> Incarnation {
    Incarnation::starting(number >> 12, number)
}

fn wild_origin() -> impl Strategy<Value = Origin> {
    (0_u8..3, wild()).prop_map(|(n, number)| Origin {
        address: address(n),
        incarnation: wild_life(number),
    })
}

fn wild_clock() -> impl Strategy<Value = Clock> {
    vec((wild_origin(), wild()), 0..3).prop_map(Clock::from_iter)
}

fn wild_coverage() -> impl Strategy<Value = Coverage> {
    (wild_clock(), vec(wild_origin(), 0..2)).prop_map(|(clock, ended)| {
        let mut covered = Coverage::from(clock);
        for origin in ended {
            covered.end(origin.address, origin.incarnation);
        }
        covered
    })
}

fn wild_time() -> impl Strategy<Value = HlcTime> {
    let time = (wild(), prop_oneof![Just(u32::MAX), any::<u32>()]);
    time.prop_map(|(ms, count)| HlcTime { ms, count })
}

/// Final counters, markers and promises that nobody honest could come to.
fn wild_rest() -> impl Strategy<Value = JoinRest> {
    let agreed = (wild_origin(), wild(), wild_origin(), wild());
    let collected = proptest::option::of((wild_time(), wild_coverage()));
    let promises = vec((wild_origin(), wild_time()), 0..2);
    (
        vec(agreed, 0..2),
        promises,
        collected,
        (wild_time(), wild_time()),
    )
        .prop_map(|(agreed, promises, collected, (newest_tombstone, whole))| {
            let mut ended = Ended::new();
            for (of, counter, origin, at_ms) in agreed {
                let finals = Clock::from_iter([(of, counter)]);
                ended.note(
                    of.address,
                    &finals,
                    Dot { origin, counter },
                    at_ms,
                    counter % 2 == 0,
                );
            }
            let collected = collected.map(|(time, covered)| Collected { time, covered });
            JoinRest {
                inherited: Inherited::default(),
                ended,
                promises,
                collected,
                newest_tombstone,
                whole,
            }
        })
}

fn wild_content() -> impl Strategy<Value = Option<Content>> {
    proptest::option::of((wild_origin(), any::<bool>()).prop_map(|(next, gone)| ended(next, gone)))
}

fn wild_digest() -> impl Strategy<Value = Digest> {
    let roster = vec((wild_origin(), any::<bool>()), 0..3);
    (
        wild_origin(),
        wild_coverage(),
        wild_time(),
        wild_time(),
        roster,
        (any::<bool>(), wild_origin(), wild()),
    )
        .prop_map(
            |(from, covered, promise, frontier, roster, (aside, origin, counter))| Digest {
                hand_overs: HandOvers::default(),
                from,
                domain: DOMAIN,
                roster: roster
                    .into_iter()
                    .map(|(origin, forgotten)| RosterEntry {
                        address: origin.address,
                        life: origin.incarnation,
                        forgotten,
                        outside: false,
                    })
                    .collect(),
                covered,
                promise,
                status: Status::Serving,
                pushing: false,
                admits: true,
                bootstrapped: true,
                frontier,
                aside,
                given_up: {
                    let mut given_up = GivenUp::new();
                    given_up.lost.raise(origin, 0, counter);
                    given_up
                },
            },
        )
}

fn wild_write() -> impl Strategy<Value = Write> {
    let dot = (wild_origin(), wild());
    let made = (dot, wild_time(), wild_content(), any_write());
    made.prop_map(|((origin, counter), time, content, mut write)| {
        let version = Arc::make_mut(&mut write.version);
        version.dot = Dot { origin, counter };
        version.time = time;
        if let Some(ended) = content {
            version.content = ended;
        }
        write
    })
}

fn wild_page() -> impl Strategy<Value = JoinPage> {
    let writes = vec(wild_write(), 0..3);
    let page = (wild_origin(), wild_coverage(), writes, wild(), wild_rest());
    page.prop_map(|(from, covered, writes, ms, rest)| JoinPage {
        older: Vec::new(),
        left: ms,
        from,
        covered,
        time: HlcTime {
            ms,
            count: u32::MAX,
        },
        writes,
        rest: Some(rest),
    })
}

const ENDS: EndRules = EndRules {
    ended: EndedLimits {
        finals: 2,
        keep_ms: 10,
    },
    margin_ms: 0,
};

/// The message as it arrives, if it is one.
fn received<M: Serialize + DeserializeOwned>(message: &M) -> Option<M> {
    wire::decode(&wire::encode(message)).ok()
}

proptest! {
    /// Whatever numbers a peer sends, this node goes on writing, under a life later than any named.
    #[test]
    fn no_number_that_a_peer_can_send_breaks_a_replica(
        members in vec(wild_origin(), 0..3),
        pages in vec(wild_page(), 1..3),
        digests in vec(wild_digest(), 0..3),
        pushed in vec(wild_write(), 1..3),
        asked in wild_clock(),
        life in wild(),
    ) {
        let mut replica = Replica::new(0);
        let members: Vec<Origin> = members.iter().filter_map(received).collect();
        let forgotten = members.iter().map(|o| (o.address, o.incarnation)).collect::<Vec<_>>();
        let addresses: Vec<Address> = members.iter().map(|origin| origin.address).collect();
        replica.state.set_members(&addresses, &forgotten);
        for page in pages.iter().filter_map(received) {
            let JoinPage { from, covered, time, writes, older, rest, .. } = page;
            let rest = rest.unwrap_or_default();
            let joined = replica.state.join(Cut { from, covered, time, writes, older, rest });
            for write in joined.into_iter().flat_map(|joined| joined.writes) {
                replica.store.apply(write);
            }
        }
        for digest in digests.iter().filter_map(received) {
            replica.state.heed(&digest);
        }
        for write in pushed.iter().filter_map(received) {
            replica.deliver(vec![write]);
        }
        if let Some(asked) = received(&asked) {
            replica.store.difference(&asked.into());
        }
        if let Some(incarnation) = received(&wild_life(life)) {
            replica.state.learn_life(Origin { incarnation, ..replica.state.origin() });
        }
        replica.state.promise(5);
        replica.state.end_lives(5);
        replica.state.give_up();
        replica.state.may_write_again();
        let frontier = replica.state.frontier(9_000, 5, &ENDS);
        let _ = replica.state.collect(frontier, &ENDS);
        replica.state.expire_ended(&ENDS);
        if replica.state.successor(replica.state.origin()).is_some() {
            replica.state.be_reborn(5, u64::MAX);
        }
        prop_assert_eq!(replica.state.successor(replica.state.origin()), None);
        let key = Key::new("k").unwrap();
        let mut metadata = Metadata::default();
        for _ in 0..2 {
            let key = key.clone();
            let write = replica.state.write(key, Content::Tombstone, metadata.clone(), 5);
            metadata.observe(DOMAIN, &write.version);
            prop_assert_eq!(Metadata::from_json(&metadata.to_json()), Ok(metadata.clone()));
        }
    }
}
