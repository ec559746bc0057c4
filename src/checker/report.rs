//! What a check says: what was violated, by which operations, and how much was looked at.

use std::fmt;

use super::history::OperationId;

/// What was violated. The first six are of causal convergence, then come identity and the final state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Causes go round in a circle: something was read before what it depends on was written.
    CyclicCo,
    /// A value was read, or a delete reported, that nobody wrote or that was refused.
    ThinAirRead,
    /// A key was read as if it had never been written, though a write of it was in the reader's causal past.
    WriteCoInitRead,
    /// A version was read that another, in the reader's causal past, had overwritten.
    WriteCoRead,
    /// As [`Kind::WriteCoRead`], where a value was read and what had overwritten it is a delete.
    Resurrection,
    /// No order of all writes agrees with causality and with what was read: the readers saw concurrent writes win
    /// in contradictory ways, so the replicas cannot all be applying one rule.
    CyclicCf,
    /// What was read under one key was written under another.
    ForeignRead,
    /// Two writes were acknowledged under one identity.
    ReusedIdentity,
    /// Replicas held different things at quiet.
    Divergence,
    /// What was held at quiet was never written to that key.
    ThinAirFinal,
    /// What was held at quiet had been overwritten by a write that was acknowledged or read, and is not forgiven.
    LostWrite,
    /// The history itself cannot be: an error of whoever recorded it. Nothing else was checked.
    Malformed,
}

impl Kind {
    /// The name that a report prints. The bad patterns have the names of the paper.
    pub fn name(self) -> &'static str {
        match self {
            Self::CyclicCo => "CyclicCO",
            Self::ThinAirRead => "ThinAirRead",
            Self::WriteCoInitRead => "WriteCOInitRead",
            Self::WriteCoRead => "WriteCORead",
            Self::Resurrection => "resurrection",
            Self::CyclicCf => "CyclicCF",
            Self::ForeignRead => "read of another key's write",
            Self::ReusedIdentity => "identity used twice",
            Self::Divergence => "divergence",
            Self::ThinAirFinal => "final value out of thin air",
            Self::LostWrite => "lost write",
            Self::Malformed => "malformed history",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The session guarantees of Terry et al. (PDIS 1994); a session here is a lineage of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// A lineage reads what it wrote, or what overwrote it.
    ReadYourWrites,
    /// A lineage does not read what is older than what it has read.
    MonotonicReads,
    /// Who has seen a write sees the earlier writes of its lineage.
    MonotonicWrites,
    /// Who has seen a write sees what its lineage had read before writing.
    WritesFollowReads,
}

impl Guarantee {
    /// The name that a report prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadYourWrites => "read your writes",
            Self::MonotonicReads => "monotonic reads",
            Self::MonotonicWrites => "monotonic writes",
            Self::WritesFollowReads => "writes follow reads",
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub kind: Kind,
    /// Which session guarantee broke with it, where it is one of a single read that missed something.
    pub guarantee: Option<Guarantee>,
    /// The operations that show it, causes before effects; empty where none has a part in it.
    pub operations: Vec<OperationId>,
    /// Several lines for a human: what happened, and the operations with their values and metadata.
    pub explanation: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(guarantee) = self.guarantee {
            write!(f, " ({guarantee})")?;
        }
        write!(f, ": {}", self.explanation)
    }
}

/// How much was looked at, so that it can be said what held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All operations, those refused and without an answer included.
    pub operations: u64,
    /// Different keys.
    pub keys: u64,
    /// Acknowledged PUTs.
    pub puts: u64,
    /// Acknowledged DELETEs.
    pub deletes: u64,
    /// GETs that found a value.
    pub found: u64,
    /// GETs and DELETEs that found none.
    pub absent: u64,
    /// Refused.
    pub refused: u64,
    /// Without an answer.
    pub unknown: u64,
    /// Writes without an answer of which a read shows that they took effect.
    pub unknown_but_read: u64,
    /// Steps from an answer's metadata to the request that used it.
    pub metadata_steps: u64,
    /// Steps from a write to a read of it.
    pub reads_from: u64,
    /// Pairs of operations of which the first is in the causal past of the second.
    pub causal_pairs: u64,
    /// Orderings of concurrent writes of one key that reads imply (beyond causality, and each only where the
    /// others do not imply it).
    pub conflict_steps: u64,
    /// Absent reads explained by the initial state.
    pub absent_initial: u64,
    /// Absent reads explained by a delete: named by the answer, or the only one possible.
    pub absent_deleted: u64,
    /// Absent reads that a delete explains, but no one for sure; nothing follows from them.
    pub absent_ambiguous: u64,
    /// Pairs of replica and key whose final state was checked.
    pub final_cells: u64,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What broke, grouped by check, in the order of the operations; empty if all held.
    pub violations: Vec<Violation>,
    /// How much was looked at.
    pub counts: Counts,
}

impl Report {
    /// Whether nothing was violated.
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }

    /// Whether a violation of this kind was found.
    pub fn has(&self, kind: Kind) -> bool {
        self.violations.iter().any(|v| v.kind == kind)
    }

    /// Whether this session guarantee broke.
    pub fn breaks(&self, guarantee: Guarantee) -> bool {
        self.violations
            .iter()
            .any(|v| v.guarantee == Some(guarantee))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.counts;
        writeln!(
            f,
            "{} operations on {} keys: {} PUTs, {} DELETEs, {} reads of a value, {} of none; {} refused; \
             {} without an answer, {} of them shown by reads",
            c.operations,
            c.keys,
            c.puts,
            c.deletes,
            c.found,
            c.absent,
            c.refused,
            c.unknown,
            c.unknown_but_read,
        )?;
        writeln!(
            f,
            "causal order: {} metadata steps and {} reads-from steps make {} ordered pairs; \
             reads order {} more pairs of writes",
            c.metadata_steps, c.reads_from, c.causal_pairs, c.conflict_steps,
        )?;
        writeln!(
            f,
            "absent reads: {} explained by the initial state, {} by a delete, {} by more than one; \
             {} final values compared",
            c.absent_initial, c.absent_deleted, c.absent_ambiguous, c.final_cells,
        )?;
        for violation in &self.violations {
            writeln!(f, "VIOLATION {violation}")?;
        }
        write!(f, "{} violations", self.violations.len())
    }
}
