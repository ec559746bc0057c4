//! From texts to settings that hold together.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::error::quoted;
use super::{Kind, SETTINGS, Setting, Settings, SettingsError, Source, Unit};
use crate::core::id::Address;
use crate::core::sharding::map::{NODES_MIN, ShardMap};

/// A text that an operator gave for a setting. A setting not given has its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The flag of the setting, without its dashes, whatever way it was given.
    pub flag: &'static str,
    /// The flag or the variable.
    pub from: Source,
    /// As it was written.
    pub text: String,
}

impl Given {
    /// The whole number that it is.
    ///
    /// # Errors
    /// Other texts, and numbers out of `range`.
    pub fn number(&self, unit: Unit, range: &RangeInclusive<u64>) -> Result<u64, SettingsError> {
        let expected = || format!("{} from {} to {}", unit.name(), range.start(), range.end());
        let bad = |problem: &str| self.bad(&self.text, problem, expected());
        let value = whole_number(&self.text).ok_or_else(|| bad("is not a whole number"))?;
        if range.contains(&value) {
            Ok(value)
        } else {
            Err(bad("is out of bounds"))
        }
    }

    /// The port that it is.
    ///
    /// # Errors
    /// Other texts, and 0.
    pub fn port(&self) -> Result<u16, SettingsError> {
        let port = self.number(Unit::Count("a port"), &(1..=u16::MAX.into()))?;
        Ok(u16::try_from(port).unwrap_or(u16::MAX))
    }

    /// The IP address to listen on that it is.
    ///
    /// # Errors
    /// Other texts.
    pub fn ip(&self) -> Result<IpAddr, SettingsError> {
        const EXPECTED: &str =
            "an IP address of this machine, such as 127.0.0.1, or 0.0.0.0 for all";
        let parsed = self.text.trim().parse();
        parsed.map_err(|_| self.bad(&self.text, "is not an IP address", EXPECTED))
    }

    /// The address that `part` of it is.
    ///
    /// # Errors
    /// Other texts.
    pub fn address(&self, part: &str) -> Result<Address, SettingsError> {
        const EXPECTED: &str = "IP:PORT as peers reach it, such as 10.10.0.2:8090";
        let parsed = part.trim().parse();
        parsed.map_err(|_| self.bad(part, "is not an address", EXPECTED))
    }

    fn bad(
        &self,
        part: &str,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) -> SettingsError {
        SettingsError::BadValue {
            from: self.from,
            value: quoted(part),
            problem: problem.into(),
            expected: expected.into(),
        }
    }
}

impl Settings {
    /// The settings that `given` asks for: at most one text for each setting of [`SETTINGS`].
    ///
    /// # Errors
    /// The first thing wrong, in the order of [`SETTINGS`]; then what does not fit together.
    pub fn validated(given: &[Given]) -> Result<Self, SettingsError> {
        let address = match find(given, "socket-address") {
            Some(text) => text.address(&text.text)?,
            None => return Err(no_address(given)),
        };
        let view = find(given, "view").map(parse_view).transpose()?;
        let mut settings = Self::new(address, view.unwrap_or_default());
        for setting in SETTINGS {
            if let Some(text) = find(given, setting.flag) {
                apply(&mut settings, setting, text)?;
            }
        }
        check_rules(&settings, given)?;
        Ok(settings)
    }
}

fn find<'a>(given: &'a [Given], flag: &str) -> Option<&'a Given> {
    given.iter().find(|text| text.flag == flag)
}

fn no_address(given: &[Given]) -> SettingsError {
    let because = find(given, "view").map(|view| format!(", but {} is", view.from));
    SettingsError::NoAddress {
        because: because.unwrap_or_default(),
    }
}

/// Address and view, already in the settings, are passed over.
fn apply(settings: &mut Settings, setting: &Setting, given: &Given) -> Result<(), SettingsError> {
    match &setting.kind {
        Kind::Address | Kind::View => {}
        Kind::ShardCount => settings.shard_count = Some(shard_count(given, settings)?),
        Kind::Listen => settings.listen = given.ip()?,
        Kind::Log => settings.log = parse_log(given)?,
        Kind::Number(number) => number.set(settings, given.number(number.unit, &number.range)?),
    }
    Ok(())
}

fn parse_view(given: &Given) -> Result<Vec<Address>, SettingsError> {
    let entries = given.text.split(',');
    entries.map(|entry| given.address(entry)).collect()
}

/// Every shard needs its nodes, and those of VIEW are all that there are.
fn shard_count(given: &Given, settings: &Settings) -> Result<usize, SettingsError> {
    const EXPECTED: &str = "a whole number of at least 1";
    let text = &given.text;
    let count = whole_number(text).filter(|count| *count >= 1);
    let count = count.ok_or_else(|| given.bad(text, "is not a number of shards", EXPECTED))?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    match ShardMap::first(&settings.view, count) {
        Ok(_) => Ok(count),
        Err(error) => {
            let most = error.nodes / NODES_MIN;
            let expected = if most == 0 {
                "nothing, or a longer VIEW".to_owned()
            } else {
                format!("at most {most}, or a longer VIEW")
            };
            let nodes = error.nodes;
            let problem = format!("shards need two nodes each, and VIEW has {nodes} nodes");
            Err(given.bad(text, problem, expected))
        }
    }
}

/// Stricter than `env_logger`, which takes a misspelt level for the name of a module, passes over a directive with
/// two `=`, and takes what follows a `/` for a pattern: all of these log nothing.
fn parse_log(given: &Given) -> Result<String, SettingsError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    const EXPECTED: &str = "LEVEL or MODULE=LEVEL, comma-separated, with a level of off, error, warn, info, debug, trace";
    for directive in given.text.split(',') {
        let (module, level) = directive.rsplit_once('=').unwrap_or(("causet", directive));
        let known = LEVELS
            .iter()
            .any(|known| level.trim().eq_ignore_ascii_case(known));
        if !known || module.trim().is_empty() || module.contains(['=', '/']) {
            return Err(given.bad(directive, "is not a log filter", EXPECTED));
        }
    }
    Ok(given.text.clone())
}

/// Digits alone: no sign, no blank, no unit. What does not fit into 64 bits saturates.
fn whole_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// What must hold between the numbers of two settings.
struct Rule {
    left: &'static str,
    right: &'static str,
    holds: fn(u64, u64) -> bool,
    expected: &'static str,
}

const fn rule(
    left: &'static str,
    right: &'static str,
    holds: fn(u64, u64) -> bool,
    expected: &'static str,
) -> Rule {
    Rule {
        left,
        right,
        holds,
        expected,
    }
}

fn at_most(left: u64, right: u64) -> bool {
    left <= right
}

#[rustfmt::skip] // One row each, as a table.
static RULES: &[Rule] = &[
    rule("heartbeat-ms", "link-break-ms", |beat, silence| beat.saturating_mul(2) <= silence, "two heartbeats within --link-break-ms, or one late answer breaks a link"),
    rule("settle-ms", "settle-at-most-ms", at_most, "--settle-ms of at most --settle-at-most-ms"),
    rule("batch-max-writes", "outbox-max-writes", at_most, "an outbox that holds a batch"),
    rule("batch-max-bytes", "outbox-max-bytes", at_most, "an outbox that holds a batch"),
    rule("batch-max-writes", "buffer-max-writes", at_most, "a buffer that holds a batch"),
    rule("batch-max-bytes", "buffer-max-bytes", at_most, "a buffer that holds a batch"),
    rule("outbox-max-bytes", "body-max-bytes", |outbox, body| body <= outbox, "an outbox that holds the largest write"),
    rule("buffer-max-bytes", "body-max-bytes", |buffer, body| body <= buffer, "a buffer that holds the largest write"),
    rule("body-max-bytes", "bodies-max-bytes", at_most, "a budget that holds the largest body"),
    rule("body-max-bytes", "store-max-bytes", at_most, "a store that holds the largest write"),
    rule("probe-period-ms", "probe-rtt-ms", |period, rtt| rtt < period, "--probe-rtt-ms below --probe-period-ms, or there is no time to ask others"),
    rule("probe-period-ms", "suspicion-ms", at_most, "--suspicion-ms of at least one --probe-period-ms"),
    rule("wait-max-ms", "wait-default-ms", |most, default| default <= most, "--wait-default-ms of at most --wait-max-ms"),
];

fn check_rules(settings: &Settings, given: &[Given]) -> Result<(), SettingsError> {
    for rule in RULES {
        let (left, right) = (value(settings, rule.left), value(settings, rule.right));
        if !(rule.holds)(left, right) {
            return Err(conflict(
                (rule.left, left),
                (rule.right, right),
                rule.expected,
                given,
            ));
        }
    }
    let (members, most) = (settings.view.len(), settings.membership.members_max);
    if members > most {
        let problem =
            format!("names {members} replicas with this one, more than --members-max = {most}");
        let text = find(given, "view").or_else(|| find(given, "members-max"));
        let text = text.expect("a view above the limit was given, or the limit was");
        return Err(text.bad(
            &text.text,
            problem,
            "a larger --members-max or a shorter VIEW",
        ));
    }
    Ok(())
}

fn value(settings: &Settings, flag: &str) -> u64 {
    let kind = SETTINGS.iter().find(|s| s.flag == flag).map(|s| &s.kind);
    match kind {
        Some(Kind::Number(number)) => number.get(settings),
        _ => unreachable!("a rule names --{flag}, which is no number"),
    }
}

/// Blames what was given; the defaults fit together.
fn conflict(
    left: (&'static str, u64),
    right: (&'static str, u64),
    expected: &'static str,
    given: &[Given],
) -> SettingsError {
    let (blamed, other) = if find(given, left.0).is_some() {
        (left, right)
    } else {
        (right, left)
    };
    let source = |flag| find(given, flag).map_or(Source::Flag(flag), |text| text.from);
    SettingsError::Conflict {
        from: source(blamed.0),
        value: quoted(&blamed.1.to_string()),
        other: source(other.0),
        other_value: other.1.to_string(),
        expected,
    }
}
