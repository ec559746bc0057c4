//! Client metadata: what a client has observed, as it carries it from replica to replica.
//!
//! Its JSON form (clients treat it as opaque; contract §2, design §3):
//!
//! ```json
//! {"stamp":[1790000000000,2],"clocks":{"0/s0":{"10.10.0.2:8090@1a2b3c":7}}}
//! ```
//!
//! `stamp` is the largest hybrid time observed, `clocks` maps domain → origin → counter. `null`,
//! `"null"`, `{}` and `""` mean that nothing was observed. What is not of this form is refused
//! whole: to drop an entry would be to drop a dependency.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::clock::{Clock, Clocks};
use super::id::{Domain, Origin};
use super::stamp::HlcTime;
use super::write::Version;

/// What a client has observed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The largest hybrid time of all that was observed; [`HlcTime::ZERO`] if nothing was.
    pub time: HlcTime,
    /// The writes observed, by domain. Shared with the versions written with it.
    pub clocks: Arc<Clocks>,
}

/// Metadata that is not of the form above; the request that brought it changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Metadata {
    /// Entries that metadata may have: far more than there are lives to name, and few enough to be merged at once.
    pub const ENTRIES_MAX: usize = 16_384;

    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, Malformed> {
        match text.trim_matches([' ', '\t', '\n', '\r']) {
            "null" | "\"null\"" | "\"\"" | "" => Ok(Self::default()),
            json => {
                let form: Form =
                    serde_json::from_str(json).map_err(|e| Malformed(e.to_string()))?;
                form.check()
            }
        }
    }

    /// The JSON form, on one line.
    pub fn to_json(&self) -> String {
        let mut json = format!(
            r#"{{"stamp":[{},{}],"clocks":"#,
            self.time.ms, self.time.count
        );
        push_clocks(&mut json, &self.clocks);
        json.push('}');
        json
    }

    /// Takes over all that `other` has observed.
    pub fn merge(&mut self, other: &Self) {
        Arc::make_mut(&mut self.clocks).merge(&other.clocks);
        self.time = self.time.max(other.time);
    }

    /// Takes note that `version`, of `domain`, was read or written: of it and of all that it depends on.
    pub fn observe(&mut self, domain: Domain, version: &Version) {
        let clocks = Arc::make_mut(&mut self.clocks);
        clocks.merge(&version.deps);
        clocks.cover(domain, version.dot);
        self.time = self.time.max(version.time);
    }
}

/// The JSON form of clocks grouped by domain, as in metadata and in `"missing"`.
pub fn clocks_to_json(clocks: &Clocks) -> String {
    let mut json = String::new();
    push_clocks(&mut json, clocks);
    json
}

/// Names consist of digits, letters and `.:/@[]`, none of which JSON escapes.
fn push_clocks(json: &mut String, clocks: &Clocks) {
    use fmt::Write as _;
    let infallible = "writing to a string does not fail";
    json.push('{');
    for (group, (domain, clock)) in clocks.iter().enumerate() {
        let comma = if group == 0 { "" } else { "," };
        write!(json, r#"{comma}"{domain}":{{"#).expect(infallible);
        for (entry, (origin, counter)) in clock.iter().enumerate() {
            let comma = if entry == 0 { "" } else { "," };
            write!(json, r#"{comma}"{origin}":{counter}"#).expect(infallible);
        }
        json.push('}');
    }
    json.push('}');
}

/// The two members of the JSON form. By hand, since a derived one takes an array by position too.
struct Form {
    stamp: Option<(u64, u32)>,
    clocks: Option<Pairs<Pairs<u64>>>,
}

/// The members of an object in the order they came in, doubles included, so that these can be refused.
struct Pairs<V>(Vec<(String, V)>);

impl Form {
    fn check(self) -> Result<Metadata, Malformed> {
        let stamp = self.stamp.unwrap_or_default();
        let time = HlcTime::try_from(stamp).map_err(|e| Malformed(e.to_string()))?;
        let groups = self.clocks.map_or_else(Vec::new, |pairs| pairs.0);
        let entries: usize = groups.iter().map(|(_, clock)| clock.0.len()).sum();
        if entries.max(groups.len()) > Metadata::ENTRIES_MAX {
            return Err(Malformed(format!("{entries} entries are too many")));
        }
        // Not collected, which would leave room for more: a version that is written with it keeps it for as long as it lasts.
        let mut clocks = Vec::with_capacity(groups.len());
        for named in groups {
            clocks.push(group(named)?);
        }
        clocks.sort_unstable_by_key(|(domain, _)| *domain);
        let clocks = Clocks::try_from(clocks).map_err(|e| Malformed(e.to_string()))?;
        if time == HlcTime::ZERO && !clocks.is_empty() {
            return Err(Malformed("clocks without a stamp".to_owned()));
        }
        let clocks = Arc::new(clocks);
        Ok(Metadata { time, clocks })
    }
}

fn group((domain, entries): (String, Pairs<u64>)) -> Result<(Domain, Clock), Malformed> {
    let malformed = |e: super::id::ParseIdError| Malformed(e.to_string());
    let domain = domain.parse().map_err(malformed)?;
    let mut clock = Vec::with_capacity(entries.0.len());
    for (origin, counter) in entries.0 {
        clock.push((origin.parse::<Origin>().map_err(malformed)?, counter));
    }
    clock.sort_unstable_by_key(|(origin, _)| *origin);
    let clock = Clock::try_from(clock).map_err(|e| Malformed(e.to_string()))?;
    Ok((domain, clock))
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FormVisitor)
    }
}

struct FormVisitor;

impl<'de> Visitor<'de> for FormVisitor {
    type Value = Form;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the members stamp and clocks")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Form, A::Error> {
        use serde::de::Error;
        let mut form = Form {
            stamp: None,
            clocks: None,
        };
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match name.as_ref() {
                "stamp" if form.stamp.is_none() => form.stamp = Some(map.next_value()?),
                "clocks" if form.clocks.is_none() => form.clocks = Some(map.next_value()?),
                other => return Err(A::Error::custom(format_args!("member {other:?}"))),
            }
        }
        Ok(form)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
    type Value = Pairs<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::dot;
    use crate::core::write::Content;

    fn observed() -> Metadata {
        let mut metadata = Metadata::default();
        let version = |n, counter| Version {
            dot: dot(n, counter),
            time: HlcTime { ms: 7, count: 1 },
            first: None,
            deps: Arc::default(),
            content: Content::Tombstone,
        };
        metadata.observe(Domain::UNSHARDED, &version(10, 3));
        metadata.observe(Domain::UNSHARDED, &version(9, 1));
        metadata
    }

    #[test]
    fn metadata_survives_the_round_trip_through_json() {
        let json = observed().to_json();
        assert_eq!(Metadata::from_json(&json), Ok(observed()));
    }

    #[test]
    fn five_spellings_mean_that_nothing_was_observed() {
        for text in ["null", " \"null\"", "{}", "\"\"", ""] {
            assert_eq!(Metadata::from_json(text), Ok(Metadata::default()), "{text}");
        }
    }

    #[test]
    fn metadata_may_have_many_entries_but_not_any_number() {
        let with = |entries: usize| {
            let entry = |n| format!(r#""10.0.0.1:1@{n:x}":1"#);
            let entries: Vec<String> = (1..=entries).map(entry).collect();
            let clock = entries.join(",");
            Metadata::from_json(&format!(
                r#"{{"stamp":[1,0],"clocks":{{"0/s0":{{{clock}}}}}}}"#
            ))
        };
        assert!(with(Metadata::ENTRIES_MAX).is_ok());
        assert!(with(Metadata::ENTRIES_MAX + 1).is_err());
    }

    #[test]
    fn what_a_replica_never_gave_out_is_malformed() {
        let entry = r#""0/s0":{"10.0.0.1:1@1":1}"#;
        for text in [
            "[]",
            "7",
            "\"x\"",
            "{\"stamp\":1}",
            "{\"a\":1}",
            "[[1,2],{}]",
            "{\"stamp\":[1,2],\"stamp\":[1,2]}",
            &format!("{{\"clocks\":{{{entry}}}}}"),
            &format!("{{\"stamp\":[1,0],\"clocks\":{{{entry},\"1\":{{}}}}}}"),
            r#"{"stamp":[1,0],"clocks":{"0/s0":{}}}"#,
            r#"{"stamp":[1,0],"clocks":{"0/s0":{"10.0.0.1:1@1":0}}}"#,
            r#"{"stamp":[1,0],"clocks":{"0/s0":{"10.0.0.1:1@1":-1}}}"#,
            r#"{"stamp":[1,0],"clocks":{"0/s0":{"10.0.0.1:1@01":1}}}"#,
            r#"{"stamp":[1,0],"clocks":{"0/s0":{"10.0.0.1:1@1":9,"10.0.0.1:1@1":1}}}"#,
            r#"{"stamp":[18446744073709551615,0]}"#,
        ] {
            assert!(Metadata::from_json(text).is_err(), "{text}");
        }
    }
}
