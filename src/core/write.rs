//! A write: the key, and the version of its value that the write made.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::clock::Clocks;
use super::id::{Address, Dot, Incarnation, Key, Origin};
use super::stamp::{HlcTime, Stamp};

/// A JSON value as the text it arrived in; never re-parsed. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Value(Arc<str>);

impl Value {
    /// Nesting allowed in a value (contract §2).
    pub const MAX_DEPTH: usize = 128;

    /// The value, or `None` if it is nested deeper than [`Value::MAX_DEPTH`]. `text` is one
    /// well-formed JSON value; that is the caller's to have checked.
    pub fn new(text: &str) -> Option<Self> {
        (nesting(text) <= Self::MAX_DEPTH).then(|| Self(text.into()))
    }

    /// Its JSON text.
    pub fn json(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(80).collect();
        write!(f, "Value({shown})")
    }
}

impl<'de> Deserialize<'de> for Value {
    /// From a peer: the text is checked to be one JSON value, since it will be sent to clients as it is.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(serde::de::Error::custom)?;
        Self::new(text).ok_or_else(|| serde::de::Error::custom("a value is nested too deep"))
    }
}

/// How deep arrays and objects are nested in a JSON text; a scalar is 0 deep.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What a write put in the key's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A PUT's value.
    Value(Value),
    /// A DELETE: the key is absent.
    Tombstone,
    /// No client's write but a marker: all members have agreed that the lives of this address below this one are over, with the
    /// counters that the write depends on. It has no key (what stands in its place is not read), and no store keeps it.
    Ended(Box<End>),
}

/// That the lives of an address below one are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Whose lives.
    pub address: Address,
    /// Those earlier than this one.
    pub below: Incarnation,
    /// Whether what goes beyond the agreed counters is lost for certain: nobody was forgotten, and nobody had anything set aside.
    pub gone: bool,
}

impl End {
    /// Whether this life is one of them.
    pub fn ends(&self, life: &Origin) -> bool {
        life.address == self.address && life.incarnation < self.below
    }
}

impl Content {
    /// Whether the key exists with this content.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Value(_))
    }
}

/// The state of a key that one write made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(Dot, HlcTime, Option<Box<Stamp>>, Arc<Clocks>, Content)")]
pub struct Version {
    /// Which write.
    pub dot: Dot,
    /// When, in hybrid time: above everything that it depends on.
    pub time: HlcTime,
    /// If it was written again under this name: its stamp when a client wrote it.
    pub first: Option<Box<Stamp>>,
    /// What it depends on: what its client had observed, all domains.
    pub deps: Arc<Clocks>,
    /// What it put there.
    pub content: Content,
}

/// A version that no replica ever made; what it came with changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoVersion {
    /// Its time is before every write: a client that reads it could not name it.
    #[error("a version without a stamp")]
    NoStamp,
    /// It was written again before it was written.
    #[error("a version written again before it was written")]
    WrittenAgainFirst,
}

impl TryFrom<(Dot, HlcTime, Option<Box<Stamp>>, Arc<Clocks>, Content)> for Version {
    type Error = NoVersion;

    fn try_from(
        parts: (Dot, HlcTime, Option<Box<Stamp>>, Arc<Clocks>, Content),
    ) -> Result<Self, NoVersion> {
        let (dot, time, first, deps, content) = parts;
        let version = Self {
            dot,
            time,
            first,
            deps,
            content,
        };
        if time == HlcTime::ZERO {
            Err(NoVersion::NoStamp)
        } else if version
            .first
            .as_ref()
            .is_some_and(|first| **first >= version.stamp())
        {
            Err(NoVersion::WrittenAgainFirst)
        } else {
            Ok(version)
        }
    }
}

impl Version {
    /// Its place in the total order of writes; of two versions of a key the larger stamp wins.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            time: self.time,
            origin: self.dot.origin,
        }
    }

    /// Its stamp when a client wrote it: another one than [`stamp`](Self::stamp) if it was written again.
    pub fn first_stamp(&self) -> Stamp {
        self.first
            .as_deref()
            .copied()
            .unwrap_or_else(|| self.stamp())
    }
}

/// One write, on its way from replica to replica. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// Where.
    pub key: Key,
    /// What.
    pub version: Arc<Version>,
}

impl Write {
    /// A write of [`Content::Ended`].
    pub fn marker(version: Version) -> Self {
        Self {
            key: Key::placeholder(),
            version: Arc::new(version),
        }
    }

    /// Which write.
    pub fn dot(&self) -> Dot {
        self.version.dot
    }

    /// An estimate of its bytes in memory and on the wire: key, value, an entry of 48 bytes for each
    /// dependency, and a fixed part for the rest.
    pub fn weight(&self) -> usize {
        const FIXED: usize = 192;
        const ENTRY: usize = 48;
        let value = match &self.version.content {
            Content::Value(value) => value.json().len(),
            Content::Tombstone | Content::Ended(_) => 0,
        };
        FIXED + self.key.as_str().len() + value + ENTRY * self.version.deps.entries()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::write;

    #[test]
    fn nesting_counts_brackets_outside_of_strings_only() {
        assert_eq!(nesting("7"), 0);
        assert_eq!(nesting(r#"{"a":[1,{"b":"]]}}\"[["}]}"#), 3);
        assert_eq!(nesting(r#"["\\",[["x"]]]"#), 3);
    }

    #[test]
    fn a_value_128_deep_is_taken_and_one_129_deep_is_not() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Value::new(&nested(128)).is_some());
        assert!(Value::new(&nested(129)).is_none());
    }

    #[test]
    fn a_peers_write_without_a_stamp_is_refused() {
        let mut unstamped = write(1, 1);
        let bytes = postcard::to_stdvec(&unstamped).unwrap();
        assert_eq!(postcard::from_bytes::<Write>(&bytes).unwrap(), unstamped);
        Arc::make_mut(&mut unstamped.version).time = HlcTime::ZERO;
        let bytes = postcard::to_stdvec(&unstamped).unwrap();
        assert!(postcard::from_bytes::<Write>(&bytes).is_err());
    }

    #[test]
    fn a_peers_write_that_was_written_again_before_it_was_written_is_refused() {
        let mut again = write(1, 2);
        let version = Arc::make_mut(&mut again.version);
        version.first = Some(Box::new(write(1, 1).version.stamp()));
        let bytes = postcard::to_stdvec(&again).unwrap();
        assert_eq!(postcard::from_bytes::<Write>(&bytes).unwrap(), again);
        let version = Arc::make_mut(&mut again.version);
        version.first = Some(Box::new(version.stamp()));
        let bytes = postcard::to_stdvec(&again).unwrap();
        assert!(postcard::from_bytes::<Write>(&bytes).is_err());
    }

    #[test]
    fn a_peers_value_that_is_not_json_is_refused() {
        let bytes = postcard::to_stdvec("{\"a\":").unwrap();
        assert!(postcard::from_bytes::<Value>(&bytes).is_err());
        let bytes = postcard::to_stdvec("{\"a\":1}").unwrap();
        assert_eq!(
            postcard::from_bytes::<Value>(&bytes).unwrap().json(),
            "{\"a\":1}"
        );
    }
}
