//! Names: who a node is, which life of it, which map, which shard, which write.
//!
//! Every name has one text form (used in metadata and logs), parsed strictly: what does not
//! print back to the same text is refused, so that two spellings never name one thing. An address
//! on its own is the exception, since people write it: any spelling of IP and port is taken.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::clock::Clock;

/// A name that could not be parsed; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseIdError {
    /// The text as it arrived, shortened to 80 characters.
    pub text: String,
    /// What was expected, with its article: "an IP:PORT address".
    pub expected: &'static str,
}

impl ParseIdError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self {
            text: text.chars().take(80).collect(),
            expected,
        }
    }
}

/// The `IP:PORT` by which peers reach a node. Ordered numerically: IPv4 before IPv6, by IP, then by port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(SocketAddr);

impl Address {
    /// The address as the network takes it.
    pub fn socket(self) -> SocketAddr {
        self.0
    }

    /// Port part, never zero.
    pub fn port(self) -> u16 {
        self.0.port()
    }
}

impl TryFrom<SocketAddr> for Address {
    type Error = ParseIdError;

    /// Refuses what is no single node that peers can reach: port 0, the unspecified address, multicast
    /// and broadcast, IPv6 scopes.
    fn try_from(socket: SocketAddr) -> Result<Self, ParseIdError> {
        let plain = match socket {
            SocketAddr::V4(v4) => !v4.ip().is_broadcast(),
            SocketAddr::V6(v6) => v6.scope_id() == 0 && v6.flowinfo() == 0,
        };
        let one_node = !socket.ip().is_unspecified() && !socket.ip().is_multicast();
        if plain && one_node && socket.port() != 0 {
            Ok(Self(socket))
        } else {
            Err(ParseIdError::new(&socket.to_string(), ADDRESS))
        }
    }
}

const ADDRESS: &str = "an IP:PORT address that peers can reach";

impl FromStr for Address {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let socket: SocketAddr = text.parse().map_err(|_| ParseIdError::new(text, ADDRESS))?;
        Self::try_from(socket)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let socket = SocketAddr::deserialize(deserializer)?;
        Self::try_from(socket).map_err(serde::de::Error::custom)
    }
}

/// One life of a node with its memory; a later life is larger.
///
/// Made of the wall-clock millisecond of the start and 12 random bits, so that a node that
/// restarts within a millisecond, or with its clock set back to the very same one, still does not
/// repeat it. Zero means "no life known".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "u64")]
pub struct Incarnation(u64);

impl TryFrom<u64> for Incarnation {
    type Error = ParseIdError;

    /// Refuses what no start can have made, so that every life has later ones.
    fn try_from(value: u64) -> Result<Self, ParseIdError> {
        let made = value >> Self::RANDOM_BITS < Self::WALL_MS_END;
        made.then_some(Self(value))
            .ok_or_else(|| ParseIdError::new(&format!("{value:x}"), INCARNATION))
    }
}

const INCARNATION: &str = "an incarnation in lower-case hexadecimal";

impl Incarnation {
    /// No life of that node is known.
    pub const UNKNOWN: Self = Self(0);
    const RANDOM_BITS: u32 = 12;
    /// No wall clock shows this (year 73,000).
    const WALL_MS_END: u64 = 1 << 51;

    /// The life that starts now: `wall_ms` since the Unix epoch (below 2^51) and any `random` bits.
    pub fn starting(wall_ms: u64, random: u64) -> Self {
        let low = random & ((1 << Self::RANDOM_BITS) - 1);
        Self((wall_ms << Self::RANDOM_BITS | low).max(1))
    }

    /// The smallest life that is later.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// A life that is later than `self` and starts not before `wall_ms`.
    #[must_use]
    pub fn succeeding(self, wall_ms: u64, random: u64) -> Self {
        Self::starting(wall_ms, random).max(Self(self.0 + 1 + (random & 0xff)))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for Incarnation {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new(text, INCARNATION);
        let value = u64::from_str_radix(text, 16).map_err(|_| error())?;
        if value != 0 && format!("{value:x}") == text {
            Self::try_from(value)
        } else {
            Err(error())
        }
    }
}

/// Who numbered a write: one life of one node, within one [`Domain`].
///
/// The third part of an origin's identity, the map under which it numbers, is that of the domain
/// in whose clock the origin stands; it is kept there once instead of in every entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(Address, Incarnation)")]
pub struct Origin {
    /// The node.
    pub address: Address,
    /// Its life, never unknown.
    pub incarnation: Incarnation,
}

impl TryFrom<(Address, Incarnation)> for Origin {
    type Error = ParseIdError;

    /// Refuses the unknown life: nothing was ever written in it, and no text names it.
    fn try_from((address, incarnation): (Address, Incarnation)) -> Result<Self, ParseIdError> {
        if incarnation == Incarnation::UNKNOWN {
            return Err(ParseIdError::new("0", INCARNATION));
        }
        Ok(Self {
            address,
            incarnation,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.address, self.incarnation)
    }
}

impl FromStr for Origin {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new(text, "an origin ADDRESS@INCARNATION");
        let (address, incarnation) = text.rsplit_once('@').ok_or_else(error)?;
        let parsed = Self {
            address: address.parse()?,
            incarnation: incarnation.parse()?,
        };
        if parsed.to_string() == text {
            Ok(parsed)
        } else {
            Err(error())
        }
    }
}

/// One write: the `counter`-th (from 1, without gaps) of its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(Origin, u64)")]
pub struct Dot {
    /// Who numbered the write.
    pub origin: Origin,
    /// Its number, from 1.
    pub counter: u64,
}

impl TryFrom<(Origin, u64)> for Dot {
    type Error = ParseIdError;

    /// Refuses what no clock that arrives can cover.
    fn try_from((origin, counter): (Origin, u64)) -> Result<Self, ParseIdError> {
        if (1..=Clock::COUNTER_MAX).contains(&counter) {
            Ok(Self { origin, counter })
        } else {
            Err(ParseIdError::new(&counter.to_string(), "a write's number"))
        }
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.origin, self.counter)
    }
}

/// The numbered assignment of nodes to shards: (epoch, stamp, maker), ordered so.
///
/// [`MapId::IMPLICIT`], the map of a cluster without `SHARD_COUNT`, precedes every other.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct MapId {
    /// One more than that of the map before.
    pub epoch: u64,
    /// Wall-clock milliseconds of its making; for a map without a maker a hash of what it says, or 0.
    pub stamp: u64,
    /// Who made it; `None` for a map that nodes derive from their settings.
    pub maker: Option<Address>,
}

const MAP: &str = "a map EPOCH, EPOCH.STAMP or EPOCH.STAMP.MAKER";

impl MapId {
    /// That of a cluster's first map that names shards.
    pub const FIRST_EPOCH: u64 = 1;

    /// Whether each node has derived it from its own settings, and it names shards.
    pub fn is_first(&self) -> bool {
        self.epoch == Self::FIRST_EPOCH && self.maker.is_none()
    }

    /// One shard, in which all nodes are.
    pub const IMPLICIT: Self = Self {
        epoch: 0,
        stamp: 0,
        maker: None,
    };
}

impl fmt::Display for MapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.maker {
            None if self.stamp == 0 => write!(f, "{}", self.epoch),
            None => write!(f, "{}.{}", self.epoch, self.stamp),
            Some(maker) => write!(f, "{}.{}.{maker}", self.epoch, self.stamp),
        }
    }
}

impl FromStr for MapId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new(text, MAP);
        let mut parts = text.splitn(3, '.');
        let number = |part: Option<&str>| part.unwrap_or("0").parse().map_err(|_| error());
        let (epoch, stamp) = (number(parts.next())?, number(parts.next())?);
        let parsed = Self {
            epoch,
            stamp,
            maker: parts.next().map(str::parse).transpose()?,
        };
        if parsed.to_string() == text {
            Ok(parsed)
        } else {
            Err(error())
        }
    }
}

/// A shard of a map: `s0`, `s1`, …; or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(pub u32);

impl ShardId {
    /// No shard of any map: where a node is that keeps none.
    pub const NONE: Self = Self(u32::MAX);
    const NONE_NAME: &str = "none";
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return f.write_str(Self::NONE_NAME);
        }
        write!(f, "s{}", self.0)
    }
}

impl FromStr for ShardId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let number = text.strip_prefix('s').and_then(|n| n.parse().ok());
        let none = (text == Self::NONE_NAME).then_some(Self::NONE);
        number
            .map(Self)
            .or(none)
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| ParseIdError::new(text, "a shard s0, s1, …"))
    }
}

/// One causal domain: a shard under the map that last changed its key range.
///
/// Clocks, buffers and deps belong to one domain and are never merged across domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Domain {
    /// The map.
    pub map: MapId,
    /// The shard under it.
    pub shard: ShardId,
}

impl Domain {
    /// The only domain of a cluster that was never sharded.
    pub const UNSHARDED: Self = Self {
        map: MapId::IMPLICIT,
        shard: ShardId(0),
    };
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.map, self.shard)
    }
}

impl FromStr for Domain {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (map, shard) = text
            .rsplit_once('/')
            .ok_or_else(|| ParseIdError::new(text, "a domain MAP/SHARD"))?;
        Ok(Self {
            map: map.parse()?,
            shard: shard.parse()?,
        })
    }
}

/// A client's key: 1 to [`Key::MAX_CHARS`] Unicode scalar values. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key(Arc<str>);

impl<'de> Deserialize<'de> for Key {
    /// From a peer: one that no client can name is refused.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Self::new(text).ok_or_else(|| serde::de::Error::custom("a key is empty or too long"))
    }
}

impl Key {
    /// The longest key, in Unicode scalar values (contract §2).
    pub const MAX_CHARS: usize = 50;

    /// The key, or `None` if `text` is empty or longer than [`Key::MAX_CHARS`].
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.chars().nth(Self::MAX_CHARS).is_none();
        fits.then(|| Self(text.into()))
    }

    /// Stands where some key has to, and is not read.
    pub fn placeholder() -> Self {
        Self("-".into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
