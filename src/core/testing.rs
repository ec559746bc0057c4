//! Names for the unit tests of the core.

use std::sync::Arc;

use super::clock::Clocks;
use super::id::{Domain, Dot, Incarnation, Key, Origin};
use super::stamp::HlcTime;
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
