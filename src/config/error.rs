//! What can be wrong with what an operator wrote, each in one line.

use std::fmt;

/// Where a value came from, as the operator would look for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A flag, with its dashes.
    Flag(&'static str),
    /// An environment variable.
    Variable(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Settings that cannot be used; nothing was started. Prints as one line, whatever was in the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A value that says nothing to its setting.
    #[error("{from}: {value} {problem}; expected {expected}")]
    BadValue {
        /// The flag or variable.
        from: Source,
        /// The value or the wrong part of it, quoted and shortened.
        value: String,
        /// What is wrong with it.
        problem: String,
        /// What would be right.
        expected: String,
    },
    /// A value that is right by itself but not beside another one.
    #[error("{from}: {value} does not fit {other} = {other_value}; expected {expected}")]
    Conflict {
        /// The flag or variable given (of two given, the first in the order of the help).
        from: Source,
        /// Its value, quoted.
        value: String,
        /// The other setting: its flag or variable as given, its flag where it has its default.
        other: Source,
        /// The value of that.
        other_value: String,
        /// The rule between the two.
        expected: &'static str,
    },
    /// A replica without an address of its own.
    #[error(
        "SOCKET_ADDRESS is not set{because}; expected the IP:PORT by which peers reach this replica, \
         such as SOCKET_ADDRESS=10.10.0.2:8090 (or --socket-address)"
    )]
    NoAddress {
        /// Empty, or ", but VIEW is".
        because: String,
    },
}

/// `text` in quotes, control characters escaped, at most 80 characters of it.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}
