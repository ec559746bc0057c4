//! Names, writes and metadata for the tests: node `n` lives at 10.0.0.n.

use std::sync::Arc;

use causet::core::clock::{Clock, Clocks};
use causet::core::id::{Address, Domain, Dot, Incarnation, Key, MapId, Origin};
use causet::core::inheritance::HandOvers;
use causet::core::metadata::Metadata;
use causet::core::stamp::HlcTime;
use causet::core::wire::{Batch, Digest, Status};
use causet::core::write::{Content, End, Value, Version, Write};

pub(crate) const DOMAIN: Domain = Domain::UNSHARDED;

/// A domain that no replica of these tests is in.
pub(crate) const OTHER_DOMAIN: Domain = Domain {
    map: MapId {
        epoch: 7,
        ..MapId::IMPLICIT
    },
    ..Domain::UNSHARDED
};

pub(crate) fn address(n: u8) -> Address {
    format!("10.0.0.{n}:8090").parse().unwrap()
}

pub(crate) fn origin(n: u8) -> Origin {
    Origin {
        address: address(n),
        incarnation: Incarnation::starting(1_000 + u64::from(n), 0),
    }
}

/// A later life of node `n`.
pub(crate) fn reborn(n: u8) -> Origin {
    Origin {
        incarnation: Incarnation::starting(900_000 + u64::from(n), 0),
        ..origin(n)
    }
}

pub(crate) fn dot(n: u8, counter: u64) -> Dot {
    let origin = origin(n);
    Dot { origin, counter }
}

pub(crate) fn clock(entries: &[(u8, u64)]) -> Clock {
    entries.iter().map(|&(n, c)| (origin(n), c)).collect()
}

pub(crate) fn clocks(entries: &[(u8, u64)]) -> Clocks {
    let mut clocks = Clocks::new();
    for &(n, counter) in entries {
        clocks.cover(DOMAIN, dot(n, counter));
    }
    clocks
}

pub(crate) fn metadata(entries: &[(u8, u64)]) -> Metadata {
    Metadata {
        time: HlcTime { ms: 1, count: 0 },
        clocks: Arc::new(clocks(entries)),
    }
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

pub(crate) fn value(json: &str) -> Value {
    Value::new(json).unwrap()
}

/// The write `dot(n, counter)` of key `k{n}-{counter}`, after `deps`.
pub(crate) fn write(n: u8, counter: u64, deps: &[(u8, u64)]) -> Write {
    let content = Content::Value(value("1"));
    put(&format!("k{n}-{counter}"), dot(n, counter), content, deps)
}

/// A write stamped by its counter.
pub(crate) fn put(name: &str, dot: Dot, content: Content, deps: &[(u8, u64)]) -> Write {
    let version = Version {
        dot,
        time: HlcTime {
            ms: dot.counter,
            count: 0,
        },
        first: None,
        deps: Arc::new(clocks(deps)),
        content,
    };
    Write {
        key: key(name),
        version: Arc::new(version),
    }
}

/// All lives of node `n` before [`reborn`] are over.
pub(crate) fn end_of(n: u8) -> Content {
    Content::Ended(Box::new(End {
        address: address(n),
        below: reborn(n).incarnation,
        gone: true,
    }))
}

pub(crate) fn batch(writes: Vec<Write>) -> Batch {
    Batch {
        from: writes[0].dot().origin,
        domain: DOMAIN,
        writes,
    }
}

/// What a serving replica says that pushes nothing at the moment.
pub(crate) fn digest(from: Origin, clock: Clock) -> Digest {
    Digest {
        hand_overs: HandOvers::default(),
        aside: false,
        given_up: causet::core::given_up::GivenUp::new(),
        from,
        domain: DOMAIN,
        roster: Vec::new(),
        covered: clock.into(),
        promise: HlcTime::ZERO,
        status: Status::Serving,
        pushing: false,
        admits: true,
        bootstrapped: true,
        frontier: HlcTime::ZERO,
    }
}

pub(crate) fn dots(writes: &[Write]) -> Vec<Dot> {
    writes.iter().map(Write::dot).collect()
}
