//! What held and what did not, in words and with counts.

use std::fmt;

use crate::checker::{Guarantee, History, Kind, Report, Violation};

use super::load::Tally;
use super::quiet::Parting;
use super::refusals;
use super::talk::Node;

/// What a run has shown.
#[derive(Debug)]
pub struct Verdict {
    /// What the run's keys begin with.
    pub name: String,
    /// The plan's seed.
    pub seed: u64,
    /// How many nodes there were to ask.
    pub nodes: usize,
    /// Those whose final state could not be read.
    pub unread: Vec<Node>,
    /// What was seen; each complete for its keys.
    pub histories: Vec<History>,
    /// What the checkers say of each.
    pub reports: Vec<Report>,
    /// What came of the clients' requests.
    pub tally: Tally,
    /// Whether in the end each client was served everywhere.
    pub parting: Parting,
}

/// A line of the verdict: its name, and the violations that belong to it.
type Claim = (&'static str, fn(&Violation) -> bool);

const AGREEMENT: &str = "replicas agree at quiet";

const CLAIMS: &[Claim] = &[
    ("causal convergence", is_causal),
    ("  read your writes", |v| {
        v.guarantee == Some(Guarantee::ReadYourWrites)
    }),
    ("  monotonic reads", |v| {
        v.guarantee == Some(Guarantee::MonotonicReads)
    }),
    ("  monotonic writes", |v| {
        v.guarantee == Some(Guarantee::MonotonicWrites)
    }),
    ("  writes follow reads", |v| {
        v.guarantee == Some(Guarantee::WritesFollowReads)
    }),
    ("  no resurrection", |v| v.kind == Kind::Resurrection),
    ("  nothing from thin air", |v| {
        matches!(v.kind, Kind::ThinAirRead | Kind::ForeignRead)
    }),
    (AGREEMENT, |v| {
        matches!(v.kind, Kind::Divergence | Kind::ThinAirFinal)
    }),
];

fn is_causal(violation: &Violation) -> bool {
    use Kind::{
        CyclicCf, CyclicCo, ForeignRead, Resurrection, ThinAirRead, WriteCoInitRead, WriteCoRead,
    };
    let causal = [
        CyclicCo,
        ThinAirRead,
        WriteCoInitRead,
        WriteCoRead,
        Resurrection,
        CyclicCf,
        ForeignRead,
    ];
    causal.contains(&violation.kind)
}

impl Verdict {
    /// Whether there is nothing to hold against the cluster. With `allow_lost`, acknowledged writes that are
    /// gone, and clients whom no node serves any more, are not held against it.
    pub fn holds(&self, allow_lost: bool) -> bool {
        let lost = self.lost() > 0 || self.parting.stranded > 0;
        self.tally.unexpected.is_empty()
            && self.parting.unexpected == 0
            && self.parting.behind == 0
            && self.broken() == 0
            && (allow_lost || !lost)
            && self.says_something()
    }

    /// Whether anything was written and read, without which nothing is shown.
    pub fn says_something(&self) -> bool {
        let any = |count: fn(&Report) -> u64| self.reports.iter().any(|report| count(report) > 0);
        any(|r| r.counts.puts) && any(|r| r.counts.reads_from)
    }

    fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.reports.iter().flat_map(|report| &report.violations)
    }

    /// Violations other than lost writes.
    fn broken(&self) -> usize {
        self.violations()
            .filter(|v| v.kind != Kind::LostWrite)
            .count()
    }

    /// Keys, at a replica, that lack a write which was acknowledged or read.
    fn lost(&self) -> usize {
        self.violations()
            .filter(|v| v.kind == Kind::LostWrite)
            .count()
    }

    /// Final values that were compared.
    fn final_states(&self) -> u64 {
        self.reports
            .iter()
            .map(|report| report.counts.final_cells)
            .sum()
    }

    fn claims(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, concerns) in CLAIMS {
            let broken = self.violations().filter(|v| concerns(v)).count();
            let shown = self.says_something() && (*name != AGREEMENT || self.final_states() > 0);
            match broken {
                0 if shown => writeln!(f, "{name:24} held")?,
                0 => writeln!(f, "{name:24} not shown")?,
                broken => writeln!(f, "{name:24} BROKEN, {broken} times")?,
            }
        }
        self.catching_up(f)?;
        self.losses(f)
    }

    fn catching_up(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = "every node caught up";
        match self.parting.behind {
            0 if self.parting.served == 0 => writeln!(f, "{name:24} not shown"),
            0 => writeln!(f, "{name:24} held"),
            behind => writeln!(
                f,
                "{name:24} BROKEN: {behind} reads at the end were refused, though another node served the same client: \
                 what it had seen is not lost, and did not get there"
            ),
        }
    }

    fn losses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = "no write lost";
        match (self.lost(), self.parting.stranded) {
            (0, 0) if self.final_states() == 0 => writeln!(f, "{name:24} not shown"),
            (0, 0) => writeln!(f, "{name:24} held"),
            (lost, stranded) => writeln!(
                f,
                "{name:24} BROKEN: {lost} final values lack a write that was acknowledged or read; {stranded} clients are \
                 refused by every node, as what they had seen is nowhere any more. A replica that dies takes along what it had \
                 not yet handed on; if one did, --allow-lost says that this is fine."
            ),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unread: Vec<String> = self.unread.iter().map(Node::to_string).collect();
        let unread = match unread.len() {
            0 => String::new(),
            _ => format!(" (without a final state: {})", unread.join(", ")),
        };
        writeln!(
            f,
            "{} nodes{unread}; keys {}-…; seed {}",
            self.nodes, self.name, self.seed
        )?;
        writeln!(f, "clients: {}", self.tally)?;
        let refused_ms = refusals::longest_ms(&self.histories);
        writeln!(
            f,
            "longest time that one client was refused one key: {refused_ms} ms"
        )?;
        for (number, (history, report)) in self.histories.iter().zip(&self.reports).enumerate() {
            let (number, of) = (number + 1, self.reports.len());
            if history.operations.is_empty() {
                continue;
            }
            writeln!(f, "history {number} of {of}: {report}")?;
        }
        let end = &self.parting;
        let refused = end.reads - end.served - end.unanswered - end.unexpected;
        write!(
            f,
            "at the end: {} reads with the clients' newest metadata: {} served, {refused} refused, {} without an answer",
            end.reads, end.served, end.unanswered
        )?;
        match end.unexpected {
            0 => writeln!(f)?,
            times => writeln!(f, ", {times} answered with an unexpected status")?,
        }
        self.claims(f)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests: {} answered ({} after waiting), {} refused, {} not sent for want of a connection, {} without an answer",
            self.requests, self.answered, self.waited, self.refused, self.unsent, self.unanswered
        )?;
        for (status, times) in &self.unexpected {
            write!(f, ", {times} answered with an unexpected {status}")?;
        }
        Ok(())
    }
}
