//! Names and numbers, mostly from small sets, so that they meet.
//!
//! Numbers just below the largest that the wire lets pass are left out: whoever forges those can leave a
//! replica without a next counter, stamp or life that others would take, and no bound closes that.

use arbitrary::Arbitrary;
use causet::core::clock::{Clock, Clocks};
use causet::core::coverage::Coverage;
use causet::core::id::{Address, Domain, Dot, Incarnation, Key, MapId, Origin, ShardId};
use causet::core::sharding::map::Deal;
use causet::core::stamp::HlcTime;

/// Wall-clock milliseconds at the start of every run.
pub const WALL_MS: u64 = 1_790_000_000_000;

/// The `n`-th address, of four.
pub fn address(n: u8) -> Address {
    let text = match n % 4 {
        3 => "[fd00::3]:8090".to_owned(),
        n => format!("10.10.0.{}:8090", n + 1),
    };
    text.parse().expect("a good address")
}

/// The map after `n` deals, when the first node has made them all; the implicit one after none.
pub fn map(n: u8) -> MapId {
    if n == 0 {
        return MapId::IMPLICIT;
    }
    MapId {
        epoch: MapId::FIRST_EPOCH + u64::from(n),
        stamp: DEALT_MS,
        maker: Some(address(0)),
    }
}

/// When keys are dealt anew, each time.
pub const DEALT_MS: u64 = 2;

/// How keys are dealt by one of the first maps.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct AnyDeal {
    map: u8,
    shards: u8,
}

impl From<AnyDeal> for Deal {
    fn from(deal: AnyDeal) -> Self {
        Self {
            since: map(deal.map % 4),
            shards: u32::from(deal.shards % 4),
        }
    }
}

/// A number near zero, or any.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub enum Number {
    Small(u8),
    Any(u64),
}

impl Number {
    /// Far below `max`, or above it.
    fn clear_of(self, max: u64) -> u64 {
        match self {
            Self::Small(n) => u64::from(n % 6),
            Self::Any(n) if n <= max => n / 2,
            Self::Any(n) => n,
        }
    }

    /// A counter of a write.
    pub fn counter(self) -> u64 {
        self.clear_of(Clock::COUNTER_MAX)
    }
}

#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct AnyTime {
    ms: Number,
    count: u32,
}

impl From<AnyTime> for HlcTime {
    fn from(time: AnyTime) -> Self {
        let ms = match time.ms {
            Number::Small(n) => WALL_MS + u64::from(n),
            any => any.clear_of(Self::MS_MAX),
        };
        Self {
            ms,
            count: time.count,
        }
    }
}

#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct AnyOrigin {
    node: u8,
    life: Number,
}

impl AnyOrigin {
    /// Whose.
    pub fn address(self) -> Address {
        address(self.node)
    }

    /// Which life; unknown at times, and at times one that nobody can have.
    pub fn life(self) -> Incarnation {
        match self.life {
            Number::Small(0) => Incarnation::UNKNOWN,
            Number::Small(n) => Incarnation::starting(WALL_MS - 3, u64::from(n % 4)),
            Number::Any(n) => Incarnation::starting((n >> 12) % (1 << 49), n),
        }
    }
}

impl From<AnyOrigin> for Origin {
    fn from(origin: AnyOrigin) -> Self {
        Self {
            address: origin.address(),
            incarnation: origin.life(),
        }
    }
}

#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct AnyDomain(u8);

impl From<AnyDomain> for Domain {
    fn from(domain: AnyDomain) -> Self {
        let of = |n, shard| Self {
            map: map(n),
            shard: ShardId(shard),
        };
        match domain.0 {
            0..140 => Self::UNSHARDED,
            140..180 => of(1, 0),
            180..200 => of(1, 1),
            200..220 => of(2, 0),
            220..230 => of(2, 1),
            230..240 => of(0, 1),
            _ => Self {
                map: MapId {
                    maker: None,
                    ..map(1)
                },
                shard: ShardId(0),
            },
        }
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyClock(Vec<(AnyOrigin, Number)>);

impl From<AnyClock> for Clock {
    fn from(clock: AnyClock) -> Self {
        let entries = clock.0.into_iter();
        entries.map(|(o, n)| (o.into(), n.counter())).collect()
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyCoverage {
    clock: AnyClock,
    ended: Vec<AnyOrigin>,
}

impl From<AnyCoverage> for Coverage {
    fn from(any: AnyCoverage) -> Self {
        let mut covered = Self::from(Clock::from(any.clock));
        for next in any.ended {
            covered.end(next.address(), next.life());
        }
        covered
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub struct AnyClocks(Vec<(AnyDomain, AnyOrigin, Number)>);

impl From<AnyClocks> for Clocks {
    fn from(entries: AnyClocks) -> Self {
        let mut clocks = Self::new();
        for (domain, origin, counter) in entries.0 {
            let (origin, counter) = (origin.into(), counter.counter().max(1));
            clocks.cover(domain.into(), Dot { origin, counter });
        }
        clocks
    }
}

#[derive(Arbitrary, Debug, Clone)]
pub enum AnyKey {
    Numbered(u8),
    Text(String),
}

impl From<AnyKey> for Key {
    fn from(key: AnyKey) -> Self {
        let numbered = |n| Self::new(&format!("k{n}")).expect("a short key");
        match key {
            AnyKey::Numbered(n) => numbered(n % 4),
            AnyKey::Text(text) => Self::new(&text).unwrap_or_else(|| numbered(0)),
        }
    }
}
