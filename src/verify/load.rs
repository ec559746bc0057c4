//! The clients at work: each request goes to some node, with some lineage's metadata.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Run;
use super::record::{Lineage, Meaning, Verb, Wish};
use super::talk::{Ask, Reply};

/// Between two lines about the progress.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// A node that did not answer is tried again after so long, by one client at a time.
const TRY_AGAIN_MS: u64 = 1_000;

/// What came of all requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// All of them.
    pub requests: u64,
    /// Done.
    pub answered: u64,
    /// Of these, parked and then done, as far as their time tells: they took more than 100 ms and allowed it.
    pub waited: u64,
    /// Refused with 503 or 507.
    pub refused: u64,
    /// Not sent, since there was no connection.
    pub unsent: u64,
    /// Sent, and no answer came.
    pub unanswered: u64,
    /// Answers with a status that the contract does not have for the request.
    pub unexpected: BTreeMap<u16, u64>,
}

impl Tally {
    fn count(&mut self, meaning: Meaning) {
        self.requests += 1;
        match meaning {
            Meaning::Answered => self.answered += 1,
            Meaning::Refused => self.refused += 1,
            Meaning::Unsent => self.unsent += 1,
            Meaning::Unanswered => self.unanswered += 1,
            Meaning::Unexpected(status) => *self.unexpected.entry(status).or_default() += 1,
        }
    }
}

/// How a node does.
#[derive(Debug, Clone, Copy, Default)]
struct Health {
    /// When it may be tried again; `None` if it answers.
    silent_until_ms: Option<u64>,
    /// Requests without an answer as yet.
    under_way: usize,
}

struct Work<'a, 'p> {
    run: &'a Run<'p>,
    tally: RefCell<Tally>,
    nodes: RefCell<Vec<Health>>,
    /// No request goes out from then on.
    end_ms: Cell<u64>,
}

/// Lets the clients work for the plan's span, or until `stop` ends.
pub(super) async fn run(
    run: &Run<'_>,
    stop: impl Future<Output = ()>,
    say: &dyn Fn(&str),
) -> Tally {
    let start_ms = run.uptime.now();
    let span_ms = u64::try_from(run.plan.span.as_millis()).unwrap_or(u64::MAX);
    let work = Work {
        run,
        tally: RefCell::default(),
        nodes: RefCell::new(vec![Health::default(); run.plan.nodes.len()]),
        end_ms: Cell::new(start_ms.saturating_add(span_ms)),
    };
    let clients = join_all((0..run.plan.clients).map(|number| work.client(number)));
    let stopped = async {
        stop.await;
        work.end_ms.set(run.uptime.now());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        _ = clients => {}
        () = stopped => {}
        () = work.progress(start_ms, say) => {}
    }
    work.tally.into_inner()
}

impl Work<'_, '_> {
    async fn client(&self, number: usize) {
        let plan = self.run.plan;
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed.wrapping_add(number as u64));
        let clients = u32::try_from(plan.clients).unwrap_or(u32::MAX);
        let share = Duration::from_secs(1) / u32::try_from(plan.rate.max(1)).unwrap_or(u32::MAX);
        let first = share.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        let mut ticks = interval_at(
            Instant::now() + first,
            share.saturating_mul(clients).max(Duration::from_nanos(1)),
        );
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut again, mut last) = (None, None);
        loop {
            ticks.tick().await;
            if self.run.uptime.now() >= self.end_ms.get() {
                break;
            }
            let (history, wish) = again
                .take()
                .unwrap_or_else(|| self.wish(&mut rng, number, last));
            last = Some((history, wish.key));
            let node = self.pick(&mut rng);
            let meaning = self
                .request(history, wish, node, rng.random_range(0..usize::MAX))
                .await;
            // Half of what failed is tried again, most likely elsewhere.
            if meaning != Meaning::Answered && rng.random_bool(0.5) {
                again = Some((history, wish));
            }
        }
    }

    /// What a client does next, and in which history, after it was at the key `last`.
    fn wish(
        &self,
        rng: &mut ChaCha8Rng,
        client: usize,
        last: Option<(usize, usize)>,
    ) -> (usize, Wish) {
        let (plan, histories) = (self.run.plan, self.run.records.len());
        let other = rng.random_range(0..plan.clients);
        let lineage = match (rng.random_range(0..100), client % 4) {
            // Every fourth has short sessions. Who has seen little is refused nowhere, and sees what else is wrong.
            (70.., 3) => Lineage::Fresh,
            (0..70, _) => Lineage::Own,
            (70..80, _) => Lineage::HandedOver(other),
            (80..88, _) => Lineage::Merged(other),
            (88..96, _) => Lineage::Repeated(rng.random_range(0..usize::MAX)),
            _ => Lineage::Fresh,
        };
        let anywhere = (
            rng.random_range(0..histories),
            rng.random_range(0..plan.keys),
        );
        let (history, key) = match rng.random_range(0..100) {
            0..25 => (anywhere.0, 0),
            // Whoever comes back to a key sees whether what he did or saw there is there still.
            25..55 => last.unwrap_or(anywhere),
            _ => anywhere,
        };
        let verb = match (rng.random_range(0..100), lineage) {
            // Metadata is merged by a read.
            (_, Lineage::Merged(_)) | (0..50, _) => Verb::Get,
            // Every other key is never deleted: nothing excuses who finds it gone.
            (92.., _) if key % 2 == 0 => Verb::Delete,
            _ => Verb::Put,
        };
        let wait_s = rng.random_bool(0.2).then(|| rng.random_range(1..=3));
        (
            history,
            Wish {
                client,
                key,
                verb,
                lineage,
                wait_s,
            },
        )
    }

    /// Some node, one of those that answer if there are any; now and then one that did not. One that holds many
    /// clients already is let be while others do not, so that a frozen one does not stop them all.
    fn pick(&self, rng: &mut ChaCha8Rng) -> usize {
        let now = self.run.uptime.now();
        let mut nodes = self.nodes.borrow_mut();
        let crowd = (self.run.plan.clients / nodes.len() / 2).max(1);
        let answers = |node: &Health| node.silent_until_ms.is_none_or(|until| now >= until);
        let open: Vec<usize> = (0..nodes.len())
            .filter(|node| answers(&nodes[*node]) && nodes[*node].under_way < crowd)
            .collect();
        let least = (0..nodes.len())
            .min_by_key(|node| (!answers(&nodes[*node]), nodes[*node].under_way))
            .unwrap_or_default();
        let node = match open.len() {
            0 => least,
            count => open[rng.random_range(0..count)],
        };
        if let Some(until) = &mut nodes[node].silent_until_ms {
            *until = now + TRY_AGAIN_MS;
        }
        node
    }

    async fn request(&self, history: usize, wish: Wish, node: usize, choice: usize) -> Meaning {
        let start = self.run.uptime.now();
        self.nodes.borrow_mut()[node].under_way += 1;
        let meaning = self.run.request(history, wish, node, choice).await;
        let now = self.run.uptime.now();
        let is_silent = matches!(meaning, Meaning::Unsent | Meaning::Unanswered);
        let health = &mut self.nodes.borrow_mut()[node];
        health.silent_until_ms = is_silent.then_some(now + TRY_AGAIN_MS);
        health.under_way -= 1;
        let mut tally = self.tally.borrow_mut();
        tally.count(meaning);
        let parked = meaning == Meaning::Answered && wish.wait_s.is_some() && now > start + 100;
        tally.waited += u64::from(parked);
        meaning
    }

    /// A remark about the nodes that do not answer at the moment.
    fn silent(&self) -> String {
        let health = self.nodes.borrow();
        let nodes = self.run.plan.nodes.iter().zip(health.iter());
        let names = nodes.filter(|(_, health)| health.silent_until_ms.is_some());
        let names: Vec<String> = names.map(|(node, _)| node.to_string()).collect();
        match names.len() {
            0 => String::new(),
            _ => format!("; silent: {}", names.join(", ")),
        }
    }

    async fn progress(&self, start_ms: u64, say: &dyn Fn(&str)) {
        let mut before = 0;
        loop {
            tokio::time::sleep(SAY_EVERY).await;
            let tally = self.tally.borrow().clone();
            let rate = (tally.requests - before) / SAY_EVERY.as_secs();
            before = tally.requests;
            let seconds = (self.run.uptime.now() - start_ms) / 1_000;
            let silent = self.silent();
            say(&format!("{seconds} s: {tally} ({rate}/s){silent}"));
        }
    }
}

impl Run<'_> {
    /// One request, written down.
    pub(super) async fn request(
        &self,
        history: usize,
        wish: Wish,
        node: usize,
        choice: usize,
    ) -> Meaning {
        let (record, node) = (&self.records[history], &self.plan.nodes[node]);
        let sent = record
            .borrow_mut()
            .send(wish, &node.to_string(), self.uptime.now());
        let ask = Ask {
            method: sent.method.clone(),
            key: &sent.key,
            value: sent.value.as_deref(),
            metadata: (&sent.metadata, sent.merged.as_deref()),
            wait_s: wish.wait_s,
        };
        let reply: Reply = self.talk.ask(node, ask).boxed_local().await;
        record
            .borrow_mut()
            .receive(&sent, reply, self.uptime.now(), choice)
    }
}
