//! What is checked: the recorded operations of a cluster's clients, and what its replicas held in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The number of an operation, unique in its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u64);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write a value. No other PUT of the history, save refused ones, writes the same one.
    Put {
        /// The value's text.
        value: String,
    },
    /// Write absence.
    Delete,
    /// Read.
    Get,
}

/// How an absent key was reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// The replica knew of no write of that key at all: the state before every write.
    Initial,
    /// The delete with this identity had removed it.
    By(String),
    /// The answer does not tell: some delete, or the initial state. See [`check`](super::check) for how such
    /// reads are explained. As the answer to a DELETE it does not tell either whether that one has written.
    Unnamed,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The PUT or DELETE took effect.
    Acknowledged {
        /// The name of the write, such as its dot; `None` where the answer does not tell.
        identity: Option<String>,
    },
    /// The GET read this value.
    Found {
        /// The value's text, as in the [`Action::Put`] that wrote it.
        value: String,
    },
    /// The GET or DELETE found no value. A DELETE that found none is a read; but if [`Absence::Unnamed`], it may have
    /// written all the same, after another DELETE that it had not seen.
    Absent(Absence),
    /// Refused (503): without effect and no part of the causal order.
    Refused,
    /// No answer: it may or may not have taken effect.
    Unknown,
}

impl Outcome {
    /// Whether there was an answer whose metadata a client could go on with.
    pub fn gives_metadata(&self) -> bool {
        !matches!(self, Self::Refused | Self::Unknown)
    }
}

/// One request of a client, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its number.
    pub id: OperationId,
    /// Who asked; for reports only.
    pub client: String,
    /// Which replica was asked; for reports only.
    pub replica: String,
    /// When the request went out, in milliseconds; for reports only.
    pub start_ms: u64,
    /// When the answer came; `None` if none did. For reports only.
    pub end_ms: Option<u64>,
    /// The key.
    pub key: String,
    /// What was asked for.
    pub action: Action,
    /// What came back.
    pub outcome: Outcome,
    /// The operations whose answers' metadata made the metadata of this request: none for a client that starts
    /// afresh, two for one that merged. They stand before it in [`History::operations`] and gave metadata.
    pub parents: Vec<OperationId>,
    /// The metadata as it was sent, for reports; empty if it was not recorded.
    pub metadata: String,
}

impl Operation {
    /// An operation of a client without a name and without parents.
    pub fn new(id: u64, key: &str, action: Action, outcome: Outcome) -> Self {
        Self {
            id: OperationId(id),
            client: String::new(),
            replica: String::new(),
            start_ms: 0,
            end_ms: None,
            key: key.to_owned(),
            action,
            outcome,
            parents: Vec::new(),
            metadata: String::new(),
        }
    }

    /// The same with these parents.
    #[must_use]
    pub fn after(mut self, parents: &[u64]) -> Self {
        self.parents = parents.iter().copied().map(OperationId).collect();
        self
    }

    /// Whether it took effect, or may have, as a write.
    pub(super) fn may_write(&self) -> bool {
        match self.action {
            Action::Get => false,
            Action::Put { .. } | Action::Delete => {
                matches!(
                    self.outcome,
                    Outcome::Acknowledged { .. } | Outcome::Unknown
                )
            }
        }
    }
}

/// One line: number, request, who and where and when, answer, metadata sent.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.id)?;
        match &self.action {
            Action::Put { value } => write!(f, "PUT {}={value}", self.key)?,
            Action::Delete => write!(f, "DELETE {}", self.key)?,
            Action::Get => write!(f, "GET {}", self.key)?,
        }
        if !self.client.is_empty() || !self.replica.is_empty() {
            write!(f, " by {} at {}", self.client, self.replica)?;
        }
        match self.end_ms {
            Some(end) => write!(f, " [{}–{end} ms]", self.start_ms)?,
            None => write!(f, " [{} ms –]", self.start_ms)?,
        }
        match &self.outcome {
            Outcome::Acknowledged {
                identity: Some(name),
            } => write!(f, " → acknowledged as {name}")?,
            Outcome::Acknowledged { identity: None } => write!(f, " → acknowledged")?,
            Outcome::Found { value } => write!(f, " → {value}")?,
            Outcome::Absent(Absence::Initial) => write!(f, " → absent, never written")?,
            Outcome::Absent(Absence::By(name)) => write!(f, " → absent, deleted by {name}")?,
            Outcome::Absent(Absence::Unnamed) => write!(f, " → absent")?,
            Outcome::Refused => write!(f, " → refused")?,
            Outcome::Unknown => write!(f, " → no answer")?,
        }
        if !self.metadata.is_empty() {
            write!(f, ", sent {}", self.metadata)?;
        }
        Ok(())
    }
}

/// What a replica held for a key once everything was quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// This value.
    Value(String),
    /// None.
    Absent(Absence),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => f.write_str(value),
            Self::Absent(Absence::Initial) => f.write_str("nothing, never written"),
            Self::Absent(Absence::By(name)) => write!(f, "nothing, deleted by {name}"),
            Self::Absent(Absence::Unnamed) => f.write_str("nothing"),
        }
    }
}

/// What one replica held once everything was quiet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FinalState {
    /// The replica's name, for reports.
    pub replica: String,
    /// By key; one that is not named was absent, by whatever cause ([`Absence::Unnamed`]).
    pub held: BTreeMap<String, Held>,
}

/// Everything that is known of one run.
///
/// It must be complete for the keys in it: a write by somebody whom the history does not name would be taken for
/// a value out of thin air.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// Each one after its parents; in the order of their starts or of their ends, both will do.
    pub operations: Vec<Operation>,
    /// What the replicas held at quiet; empty if that was not looked at, and then the final state is not checked.
    pub final_states: Vec<FinalState>,
    /// Writes that the caller knows to be lost, rightly, since every replica that had them lost its memory.
    /// Nothing is held against a store for no longer showing them.
    pub forgiven: BTreeSet<OperationId>,
}
