//! Random names, clocks, values and writes, from small sets, so that they meet.

use std::collections::BTreeMap;
use std::sync::Arc;

use causet::core::clock::{Clock, Clocks};
use causet::core::coverage::Coverage;
use causet::core::ended::Ended;
use causet::core::id::{Address, Domain, Dot, Incarnation, Key, MapId, Origin, ShardId};
use causet::core::inheritance::{Claim, Closed, Inherited, OfKeys};
use causet::core::metadata::Metadata;
use causet::core::sharding::map::Deal;
use causet::core::stamp::{HlcTime, Stamp};
use causet::core::view::ForgetMark;
use causet::core::wire::{Collected, JoinRest};
use causet::core::write::{Content, End, Value, Version, Write};
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) fn address(n: u8) -> Address {
    format!("10.0.0.{}:8090", n + 1).parse().unwrap()
}

pub(crate) fn life(n: u8) -> Incarnation {
    Incarnation::starting(1_000 + u64::from(n), u64::from(n))
}

/// The first life of node `n`.
pub(crate) fn origin(n: u8) -> Origin {
    Origin {
        address: address(n),
        incarnation: life(0),
    }
}

pub(crate) fn any_address() -> impl Strategy<Value = Address> {
    prop_oneof![
        (0_u8..4).prop_map(address),
        (0_u8..4).prop_map(|n| format!("[fe80::{n}]:9000").parse().unwrap()),
    ]
}

pub(crate) fn any_origin() -> impl Strategy<Value = Origin> {
    (any_address(), 0_u8..3).prop_map(|(address, n)| Origin {
        address,
        incarnation: life(n),
    })
}

pub(crate) fn any_domain() -> impl Strategy<Value = Domain> {
    let made = (1_u64..3, 0_u64..3, any_address()).prop_map(|(epoch, stamp, maker)| MapId {
        epoch,
        stamp,
        maker: Some(maker),
    });
    let derived = (0_u64..3, 0_u64..3).prop_map(|(epoch, stamp)| MapId {
        epoch,
        stamp,
        maker: None,
    });
    let map = prop_oneof![derived, made];
    (map, 0_u32..3).prop_map(|(map, shard)| Domain {
        map,
        shard: ShardId(shard),
    })
}

pub(crate) fn any_clock() -> impl Strategy<Value = Clock> {
    vec((any_origin(), 0_u64..5), 0..7).prop_map(Clock::from_iter)
}

/// A clock, and floors that may have taken entries out of it.
pub(crate) fn any_coverage() -> impl Strategy<Value = Coverage> {
    (any_clock(), vec(any_origin(), 0..4)).prop_map(|(clock, ended)| {
        let mut covered = Coverage::from(clock);
        for origin in ended {
            covered.end(origin.address, origin.incarnation);
        }
        covered
    })
}

/// What is remembered of a few ended lives.
pub(crate) fn any_ended() -> impl Strategy<Value = Ended> {
    vec((any_origin(), 1_u64..5, any_origin(), 0_u64..1_000), 0..4).prop_map(|ends| {
        let mut ended = Ended::new();
        for (origin, counter, maker, at_ms) in ends {
            let finals = Clock::from_iter([(origin, counter)]);
            let marker = Dot {
                origin: maker,
                counter,
            };
            ended.note(origin.address, &finals, marker, at_ms, at_ms % 2 == 0);
        }
        ended
    })
}

/// Lives by address, sorted.
pub(crate) fn any_lives() -> impl Strategy<Value = Vec<(Address, Incarnation)>> {
    vec(any_origin(), 0..4).prop_map(|origins| {
        let lives = origins.into_iter().map(|o| (o.address, o.incarnation));
        lives.collect::<BTreeMap<_, _>>().into_iter().collect()
    })
}

fn any_deal() -> impl Strategy<Value = Deal> {
    let deal = (any_domain(), 1_u32..5);
    deal.prop_map(|(domain, shards)| Deal {
        since: domain.map,
        shards,
    })
}

pub(crate) fn any_claims() -> impl Strategy<Value = Vec<Claim>> {
    let before = proptest::option::of(any_deal());
    let claim = (any_domain(), any_coverage(), any::<bool>(), before);
    let claim = claim.prop_map(|(domain, covered, whole, before)| Claim {
        domain,
        covered,
        whole,
        before,
    });
    vec(claim, 0..3)
}

pub(crate) fn any_inherited() -> impl Strategy<Value = Inherited> {
    let closed = (any_domain(), any_lives());
    let closed = closed.prop_map(|(domain, lives)| Closed {
        map: domain.map,
        lives,
    });
    let closed = proptest::option::of(closed);
    let of = (any_claims(), any_of_keys());
    (vec(any_deal(), 0..3), of, any_lives(), closed).prop_map(
        |(deals, (claims, of_keys), handed, closed)| Inherited {
            deals,
            claims,
            of_keys,
            handed,
            closed,
        },
    )
}

pub(crate) fn any_of_keys() -> impl Strategy<Value = OfKeys> {
    let answers = vec((any_origin(), any::<u64>()), 0..2);
    let of_keys = (answers, vec((any_domain(), any_coverage()), 0..2));
    of_keys.prop_map(|(answers, covered)| OfKeys { answers, covered })
}

pub(crate) fn any_rest() -> impl Strategy<Value = JoinRest> {
    let promises = vec((any_origin(), any_time()), 0..4);
    let collected = (any_time(), any_coverage());
    let collected = collected.prop_map(|(time, covered)| Collected { time, covered });
    let collected = proptest::option::of(collected);
    let times = (any_time(), any_time());
    (any_ended(), promises, collected, times, any_inherited()).prop_map(
        |(ended, promises, collected, (newest_tombstone, whole), inherited)| JoinRest {
            inherited,
            ended,
            promises,
            collected,
            newest_tombstone,
            whole,
        },
    )
}

pub(crate) fn any_clocks() -> impl Strategy<Value = Clocks> {
    vec((any_domain(), any_origin(), 1_u64..5), 0..9).prop_map(|entries| {
        let mut clocks = Clocks::new();
        for (domain, origin, counter) in entries {
            clocks.cover(domain, Dot { origin, counter });
        }
        clocks
    })
}

pub(crate) fn any_time() -> impl Strategy<Value = HlcTime> {
    (1_u64..1 << 50, any::<u32>()).prop_map(|(ms, count)| HlcTime { ms, count })
}

/// Times and numbers of members from small sets, so that marks tie.
pub(crate) fn any_mark() -> impl Strategy<Value = ForgetMark> {
    (any_origin(), any_origin(), 1_u64..6, 1_u16..4).prop_map(|(whom, maker, ms, up)| ForgetMark {
        address: whom.address,
        incarnation: whom.incarnation,
        time: HlcTime { ms, count: 0 },
        maker,
        up,
    })
}

pub(crate) fn any_metadata() -> impl Strategy<Value = Metadata> {
    (any_time(), any_clocks()).prop_map(|(time, clocks)| Metadata {
        time,
        clocks: Arc::new(clocks),
    })
}

/// Any JSON text, a few levels deep.
pub(crate) fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        ".{0,8}".prop_map(serde_json::Value::from),
    ];
    let json = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::hash_map(".{0,4}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    });
    json.prop_map(|json| json.to_string())
}

pub(crate) fn any_content() -> impl Strategy<Value = Content> {
    let value = any_json().prop_map(|json| Content::Value(Value::new(&json).unwrap()));
    let ended = (any_origin(), any::<bool>()).prop_map(|(next, gone)| ended(next, gone));
    prop_oneof![4 => value, 2 => Just(Content::Tombstone), 1 => ended]
}

/// The lives below this one are over.
pub(crate) fn ended(next: Origin, gone: bool) -> Content {
    Content::Ended(Box::new(End {
        address: next.address,
        below: next.incarnation,
        gone,
    }))
}

/// Before all others.
fn first() -> Stamp {
    Stamp {
        time: HlcTime::ZERO,
        origin: origin(0),
    }
}

pub(crate) fn any_key() -> impl Strategy<Value = Key> {
    ".{1,50}".prop_map(|text| Key::new(&text).unwrap())
}

pub(crate) fn any_write() -> impl Strategy<Value = Write> {
    let dot = (any_origin(), 1_u64..9);
    let dot = (dot, any::<bool>());
    (any_key(), dot, any_time(), any_clocks(), any_content()).prop_map(
        |(key, ((origin, counter), again), time, deps, content)| Write {
            key,
            version: Arc::new(Version {
                dot: Dot { origin, counter },
                time,
                first: again.then(|| Box::new(first())),
                deps: Arc::new(deps),
                content,
            }),
        },
    )
}
