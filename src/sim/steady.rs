//! Steady work for as long as wanted, by nodes that lose their memory one after the other, and what has gathered by then.
//!
//! Nothing may gather: clients put, delete and read in turns, so that always about as many keys exist; every restart begins a new life
//! and ends one. At chosen moments the clients pause for a while, and everything is counted that a node keeps. What
//! is larger then than it was at an earlier such moment has grown, and would go on growing.

mod figures;
mod worker;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

pub use self::figures::{Figures, grown};
use self::worker::{Shift, Worker};
use super::cluster::Cluster;
use super::network::Weather;
use super::plan::Shape;
use super::run::Violation;
use super::samples::{counted, samples};

/// Before a count, clients end their round of four requests and pause. This long after that every tombstone is
/// collected, and nothing is on its way.
const REST: Duration = Duration::from_secs(20);

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Course {
    /// Nodes.
    pub nodes: u8,
    /// All choices follow from it.
    pub seed: u64,
    /// Clients, each with metadata of its own.
    pub clients: usize,
    /// Keys that each client has for itself; half of them exist at a time.
    pub keys_each: u32,
    /// From one request of a client to its next, in milliseconds.
    pub request_every_ms: u64,
    /// From one restart to the next, in milliseconds. The nodes take turns.
    pub restart_every_ms: u64,
    /// How long a node is down, in milliseconds.
    pub down_ms: u64,
    /// After how many restarts to count, ascending; the last one ends the run.
    pub count_after: Vec<u32>,
    /// Whether the run ends with a week without requests and restarts, and a last count.
    pub idle_week: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was counted, each time.
    pub figures: Vec<Figures>,
    /// How often what happened, summed over all lives of all nodes and over all clients.
    pub counts: BTreeMap<String, u64>,
    /// Promises that were broken.
    pub violations: Vec<Violation>,
}

/// Runs it on this thread, in a runtime that `paused` makes (see [`run`](super::run::run)). `memory` tells how many bytes
/// the process has allocated, if anybody knows. `seen` is shown each count when it is made.
pub fn run(
    course: &Course,
    paused: fn() -> tokio::runtime::Runtime,
    memory: fn() -> Option<u64>,
    mut seen: impl FnMut(&Figures) + 'static,
) -> Outcome {
    let course = course.clone();
    let system = actix_rt::System::with_tokio_rt(paused);
    system.block_on(async move {
        let mut run = Run::new(course, memory);
        run.go(&mut seen).await;
        run.outcome()
    })
}

struct Run {
    course: Course,
    memory: fn() -> Option<u64>,
    began: Instant,
    cluster: Cluster,
    shift: Rc<Shift>,
    figures: Vec<Figures>,
    /// Bytes that they take themselves.
    figures_bytes: u64,
    counts: BTreeMap<String, u64>,
}

impl Run {
    fn new(course: Course, memory: fn() -> Option<u64>) -> Self {
        let shape = Shape {
            nodes: course.nodes,
            starts_ms: vec![0; usize::from(course.nodes)],
            skews_ms: vec![0; usize::from(course.nodes)],
            tight: false,
            forget_after_ms: None,
            tombstones_max: None,
            shards: None,
        };
        let cluster = Cluster::new(&shape, course.seed);
        cluster.network.stop_judging();
        cluster.network.set_weather(Weather {
            delay_min_us: 1_000,
            delay_max_us: 1_000,
            ..Weather::FAIR
        });
        let shift = Rc::new(Shift::new(&cluster));
        Self {
            course,
            memory,
            began: Instant::now(),
            cluster,
            shift,
            figures: Vec::new(),
            figures_bytes: 0,
            counts: BTreeMap::new(),
        }
    }

    async fn go(&mut self, seen: &mut impl FnMut(&Figures)) {
        for node in 0..self.cluster.addresses.len() {
            self.cluster.start(node);
        }
        let workers: Vec<_> = (0..self.course.clients)
            .map(|n| actix_rt::spawn(Worker::new(n, &self.course, self.shift.clone()).work()))
            .collect();
        let last = self.course.count_after.last().copied().unwrap_or(0);
        for restart in 1..=last {
            self.restart(restart).await;
            if self.course.count_after.contains(&restart) {
                self.shift.pause(true);
                tokio::time::sleep(self.pause()).await;
                self.count(restart, seen).await;
                self.shift.pause(restart == last);
            }
        }
        if self.course.idle_week {
            tokio::time::sleep(Duration::from_secs(8 * 24 * 3_600)).await;
            self.count(last, seen).await;
        }
        for worker in workers {
            worker.abort();
        }
        for node in 0..self.cluster.addresses.len() {
            self.crash(node);
        }
    }

    fn pause(&self) -> Duration {
        REST + 5 * Duration::from_millis(self.course.request_every_ms)
    }

    /// Half of the time before, half of it after the restart; with the pause, if there is one, as long as without.
    async fn restart(&mut self, restart: u32) {
        let counts = self.course.count_after.contains(&restart);
        let pause = if counts { self.pause() } else { Duration::ZERO };
        let every = Duration::from_millis(self.course.restart_every_ms);
        let down = Duration::from_millis(self.course.down_ms);
        let node = (restart as usize - 1) % self.cluster.addresses.len();
        tokio::time::sleep(every / 2).await;
        self.crash(node);
        tokio::time::sleep(down).await;
        self.cluster.start(node);
        tokio::time::sleep((every / 2).saturating_sub(down + pause)).await;
    }

    fn crash(&mut self, node: usize) {
        self.cluster.crash(node);
        for ended in self.cluster.bury() {
            for (name, value) in samples(&ended.gateway().metrics_text()) {
                if let Some(name) = counted(name) {
                    *self.counts.entry(name).or_default() += value;
                }
            }
        }
    }

    async fn count(&mut self, restarts: u32, seen: &mut impl FnMut(&Figures)) {
        let mut sizes = figures::of_nodes(&self.cluster).await;
        self.shift.count(&mut sizes);
        if let Some(bytes) = (self.memory)() {
            let bytes = bytes.saturating_sub(self.figures_bytes);
            sizes.insert(figures::ALLOCATED.to_owned(), bytes);
        }
        let figures = Figures {
            after: self.began.elapsed(),
            restarts,
            sizes,
        };
        seen(&figures);
        let before = (self.memory)();
        self.figures.push(figures.clone());
        if let Some((before, after)) = before.zip((self.memory)()) {
            self.figures_bytes += after.saturating_sub(before);
        }
    }

    fn outcome(mut self) -> Outcome {
        self.shift.tally(&mut self.counts);
        let sent = self.cluster.network.tally().sent;
        self.counts
            .insert("messages between nodes".to_owned(), sent);
        Outcome {
            figures: self.figures,
            counts: self.counts,
            violations: self.shift.violations(),
        }
    }
}
