//! Drives a running cluster over HTTP with clients that roam, writes down what they see, and lets
//! [`checker`] judge it.
//!
//! All that is relied on is the public contract (§2): nothing here knows what is in metadata, who wrote what
//! was deleted, or how replicas work. So it judges any store that speaks this interface. The order of
//! events is that of the metadata; clocks are only printed.
//!
//! A long run is cut into several histories that go on side by side for all of its time, each with its own keys
//! and lineages, since checking takes memory and time by the square of a history's length. Keys carry the
//! name of the run; so each history is complete for its keys, also on a cluster that others use, and a second
//! run does not meet the first one's values.
//!
//! Absent on purpose: faults. Kill, pause and cut what you like while it runs; what is refused meanwhile is no
//! violation.

mod load;
mod quiet;
mod record;
mod refusals;
mod talk;
mod verdict;

use std::cell::RefCell;
use std::time::Duration;

pub use load::Tally;
pub use quiet::Parting;
pub use talk::{Node, NotANode};
pub use verdict::Verdict;

use crate::checker;
use crate::time::{SystemClock, Uptime, WallClock};
use record::Record;
use talk::{Ask, Reply, Talk};

/// Operations of one history: checking as many takes about 150 MB and, in a release build, less than a second.
pub const HISTORY_OPERATIONS: u64 = 20_000;

/// Operations of a run, as its rate and length bound them. As many take about half a gigabyte.
pub const OPERATIONS_MAX: u64 = 500_000;

/// For the first answer of any node at all.
const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whom to ask; not empty.
    pub nodes: Vec<Node>,
    /// How long clients work.
    pub span: Duration,
    /// Clients in each history, at least 1; as many requests are under way at once.
    pub clients: usize,
    /// Keys of each history, at least 1; the first one is hot.
    pub keys: usize,
    /// Requests a second at most, by all clients together; at least 1.
    pub rate: u64,
    /// Decides what clients choose to do, though not what comes of it.
    pub seed: u64,
    /// How long to wait, once the clients are done, until all nodes answer and agree.
    pub settle: Duration,
}

impl Plan {
    /// Requests of the run at most.
    pub fn operations_max(&self) -> u64 {
        self.rate.saturating_mul(self.span.as_secs().max(1)) + self.clients as u64
    }

    fn histories(&self) -> u64 {
        self.operations_max().div_ceil(HISTORY_OPERATIONS)
    }
}

/// Not one node gave an answer that a replica gives: nothing was written.
#[derive(Debug, thiserror::Error)]
#[error("no node answers: {0}")]
pub struct NobodyAnswers(String);

/// What all parts of a run share.
struct Run<'a> {
    plan: &'a Plan,
    talk: Talk,
    uptime: Uptime,
    records: Vec<RefCell<Record>>,
}

/// Runs the plan and judges what was seen; `say` is given a line about the progress every few seconds. The clients
/// work until the plan's span is over or `stop` is, whichever comes first.
///
/// Needs a running `actix_rt::System`. Ends after the plan's span and settling time, at most two minutes and ten seconds for
/// each node beyond, and the time that checking takes.
///
/// # Errors
/// [`NobodyAnswers`] says what came of asking each.
pub async fn verify(
    plan: &Plan,
    stop: impl Future<Output = ()>,
    say: &dyn Fn(&str),
) -> Result<Verdict, NobodyAnswers> {
    let name = format!("verify-{:x}-{:x}", SystemClock.now_ms(), std::process::id());
    let records = (0..plan.histories())
        .map(|number| Record::new(&format!("{name}-{number}"), plan.clients, plan.keys));
    let run = Run {
        plan,
        talk: Talk::new(),
        uptime: Uptime::starting(),
        records: records.map(RefCell::new).collect(),
    };
    for silent in find_anybody(&run).await? {
        say(&format!("going on without {silent}"));
    }
    say(&format!("the clients are at work; keys {name}-…"));
    let tally = load::run(&run, stop, say).await;
    say("the clients are done; waiting until all nodes agree");
    let unread = quiet::read_states(&run).await;
    let parting = quiet::parting_reads(&run, &unread).await;
    quiet::remove_keys(&run, &unread).await;
    let histories: Vec<_> = run
        .records
        .into_iter()
        .map(|r| r.into_inner().history)
        .collect();
    say("checking");
    let reports = histories.iter().map(checker::check).collect();
    Ok(Verdict {
        name,
        seed: plan.seed,
        nodes: plan.nodes.len(),
        histories,
        reports,
        tally,
        parting,
        unread: unread
            .iter()
            .map(|node| plan.nodes[*node].clone())
            .collect(),
    })
}

/// Who does not answer, with reasons, if somebody does.
async fn find_anybody(run: &Run<'_>) -> Result<Vec<String>, NobodyAnswers> {
    let key = run.records[0].borrow().key(0);
    loop {
        let asked = run
            .plan
            .nodes
            .iter()
            .map(|node| run.talk.ask(node, Ask::read(&key)));
        let replies = futures::future::join_all(asked).await;
        let problems = run.plan.nodes.iter().zip(&replies);
        let silent: Vec<String> = problems
            .filter_map(|(node, reply)| Some(format!("{node} ({})", problem(reply)?)))
            .collect();
        if silent.len() < run.plan.nodes.len() {
            return Ok(silent);
        }
        if u128::from(run.uptime.now()) >= FIRST_ANSWER_WITHIN.as_millis() {
            return Err(NobodyAnswers(silent.join("; ")));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// What is wrong with the answer to a GET; a refusal is what a replica that starts answers.
fn problem(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Answered(answer) if matches!(answer.status, 200 | 404 | 503) => None,
        Reply::Answered(answer) => Some(format!("GET answered {}", answer.status)),
        Reply::Unsent(reason) | Reply::Unanswered(reason) => Some(reason.clone()),
    }
}
