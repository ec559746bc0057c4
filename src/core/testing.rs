//! Names for the unit tests of the core.

use std::sync::Arc;

use super::causality::CausalState;
use super::clock::Clocks;
use super::id::{Domain, Dot, Incarnation, Key, Origin};
use super::stamp::HlcTime;
use super::wire::{Digest, Status};
use super::write::{Content, Value, Version, Write};

/// The `n`-th test origin.
pub(crate) fn origin(n: u16) -> Origin {
    Origin {
        address: format!("10.0.0.{n}:8090").parse().unwrap(),
        incarnation: Incarnation::starting(1_000 + u64::from(n), 0),
    }
}

/// The `counter`-th write of the `n`-th test origin.
pub(crate) fn dot(n: u16, counter: u64) -> Dot {
    Dot {
        origin: origin(n),
        counter,
    }
}

/// What a replica in this state would say in a heartbeat.
pub(crate) fn say(state: &mut CausalState, wall_ms: u64) -> Digest {
    Digest {
        hand_overs: state.inherited().hand_overs(),
        from: state.origin(),
        domain: state.domain(),
        covered: state.covered().clone(),
        promise: state.promise(wall_ms),
        status: Status::Serving,
        pushing: false,
        admits: true,
        bootstrapped: true,
        roster: state.lives().roster(),
        frontier: HlcTime::ZERO,
        aside: state.has_aside(),
        given_up: state.given_up().clone(),
    }
}

/// A write of key `k{counter}` without dependencies.
pub(crate) fn write(n: u16, counter: u64) -> Write {
    write_after(n, counter, &[])
}

/// A write of key `k{counter}` that depends on others.
pub(crate) fn write_after(n: u16, counter: u64, deps: &[Dot]) -> Write {
    let mut clocks = Clocks::new();
    for dep in deps {
        clocks.cover(Domain::UNSHARDED, *dep);
    }
    Write {
        key: Key::new(&format!("k{counter}")).unwrap(),
        version: Arc::new(Version {
            dot: dot(n, counter),
            time: HlcTime {
                ms: counter,
                count: u32::from(n),
            },
            first: None,
            deps: Arc::new(clocks),
            content: Content::Value(Value::new(&format!("\"{n}:{counter}\"")).unwrap()),
        }),
    }
}
