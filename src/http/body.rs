//! Request bodies: read within bounds of size and time, and taken apart without copying values.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::answer::Problem;
use super::budget::Part;

/// A body over its limit is read on, and thrown away, up to this many times the limit, so that a
/// client that writes before it reads gets to see its 413.
const DRAIN: usize = 4;

/// And for at most this long.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Reads the whole body. `declared` is its length as the head has it, if it has.
///
/// # Errors
/// [`Problem::TooLarge`] past `limit` bytes, declared or read, [`Problem::TooSlow`] after
/// `timeout_ms`, [`Problem::BrokenOff`] when the connection or its framing broke,
/// [`Problem::OVERLOADED`] when too much is held already. `held` takes the length of what was read.
pub(super) async fn read(
    payload: Payload,
    declared: Option<u64>,
    limit: usize,
    timeout_ms: u64,
    held: &mut Part,
) -> Result<Bytes, Problem> {
    let too_large = declared.is_some_and(|length| length > limit as u64);
    let timeout = if too_large {
        DRAIN_TIME
    } else {
        Duration::from_millis(timeout_ms)
    };
    let body = tokio::time::timeout(timeout, collect(payload, limit, held)).await;
    if too_large {
        return Err(Problem::TooLarge { limit });
    }
    body.unwrap_or(Err(Problem::TooSlow))
}

async fn collect(mut payload: Payload, limit: usize, held: &mut Part) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut body = BytesMut::new();
    let mut length = 0_usize;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Problem::BrokenOff {
            detail: error.to_string(),
        })?;
        length += chunk.len();
        if length > limit.saturating_mul(DRAIN) {
            break;
        }
        if length <= limit {
            held.take(chunk.len())?;
        }
        if length > limit {
            (first, body) = (Bytes::new(), BytesMut::new());
        } else if first.is_empty() && body.is_empty() {
            // Most bodies come in one piece, which is used as it is.
            first = chunk;
        } else {
            body.extend_from_slice(&std::mem::take(&mut first));
            body.extend_from_slice(&chunk);
        }
    }
    if length > limit {
        return Err(Problem::TooLarge { limit });
    }
    Ok(if body.is_empty() {
        first
    } else {
        body.freeze()
    })
}

/// The members of a client's request to `/kvs`, as the texts they came in. `None`: not given.
#[derive(Debug, Default)]
pub(super) struct ClientBody<'a> {
    pub(super) value: Option<&'a RawValue>,
    pub(super) metadata: Option<&'a RawValue>,
}

/// The members of a client's request to `/view`.
#[derive(Debug, Default)]
pub(super) struct ViewBody<'a> {
    pub(super) address: Option<&'a RawValue>,
    pub(super) forget: Option<&'a RawValue>,
}

/// The member of a client's request to `/shard/reshard`.
#[derive(Debug, Default)]
pub(super) struct ReshardBody<'a> {
    pub(super) count: Option<&'a RawValue>,
}

impl<'a> ClientBody<'a> {
    /// Takes a body apart; an empty one has no members. What is wrong with it otherwise, in words.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, String> {
        let [value, metadata] = members(body, ["value", "causal-metadata"])?;
        Ok(Self { value, metadata })
    }
}

impl<'a> ViewBody<'a> {
    /// Takes a body apart. What is wrong with it otherwise, in words.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, String> {
        let [address, forget] = members(body, ["socket-address", "forget"])?;
        Ok(Self { address, forget })
    }
}

impl<'a> ReshardBody<'a> {
    /// Takes a body apart. What is wrong with it otherwise, in words.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, String> {
        let [count] = members(body, ["shard-count"])?;
        Ok(Self { count })
    }
}

/// The named members of a JSON object. By hand, for what a derived parser does otherwise: it
/// takes an array by position, and a `null` for a member that is not there.
fn members<'a, const N: usize>(
    body: &'a [u8],
    names: [&'static str; N],
) -> Result<[Option<&'a RawValue>; N], String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok([None; N]);
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let found = json.deserialize_map(Members { names });
    let found = found.and_then(|found| json.end().map(|()| found));
    found.map_err(|error| error.to_string())
}

struct Members<const N: usize> {
    names: [&'static str; N],
}

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(name) = map.next_key::<Name<'de>>()? {
            match self.names.iter().position(|known| *known == name.0) {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(at) if found[at].is_none() => found[at] = Some(map.next_value()?),
                // Two values for one member: whichever is taken, the other's sender is wronged.
                Some(at) => return Err(A::Error::duplicate_field(self.names[at])),
            }
        }
        Ok(found)
    }
}

/// A member's name, borrowed unless it holds escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_value_is_given_and_a_missing_one_is_not() {
        let body = ClientBody::parse(br#"{"value":null}"#).unwrap();
        assert_eq!(body.value.unwrap().get(), "null");
        assert!(body.metadata.is_none());
        assert!(ClientBody::parse(b"{}").unwrap().value.is_none());
        assert!(ClientBody::parse(b" \n").unwrap().value.is_none());
    }

    #[test]
    fn a_values_text_is_kept_as_it_came() {
        let body = ClientBody::parse(br#"{"x":[1],"value": {"b":1.50e+3,"a":"\u00e9"} }"#);
        assert_eq!(
            body.unwrap().value.unwrap().get(),
            r#"{"b":1.50e+3,"a":"\u00e9"}"#
        );
    }

    #[test]
    fn what_is_no_single_json_object_is_refused() {
        for body in [
            "[1,2]",
            "7",
            "{",
            "{} {}",
            "{\"value\":}",
            "{\"value\":1,\"value\":2}",
            "{\"value\":1,}",
        ] {
            assert!(ClientBody::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(ClientBody::parse(b"{\"value\":\"\xff\"}").is_err());
    }
}
