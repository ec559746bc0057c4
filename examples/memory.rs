//! Measures what a key costs in memory: the bytes that a replica's store allocates for each of many keys of 20 bytes
//! with values of 100.
//!
//! ```sh
//! cargo run --release --example memory -- --keys 1000000
//! ```
//!
//! What a version depends on is kept with it, so it matters how clients write: without metadata, all with the same metadata, or each
//! write after the one before. Versions come into the store by a client's request, by a push, or by a join. "Apart" is what it
//! would cost if no version shared its dependencies with others.

use std::sync::Arc;

use causet::core::causal_buffer::BufferLimits;
use causet::core::causality::CausalState;
use causet::core::clock::Clocks;
use causet::core::coverage::Coverage;
use causet::core::id::{Domain, Dot, Incarnation, Key, Origin};
use causet::core::join::Cut;
use causet::core::metadata::Metadata;
use causet::core::stamp::HlcTime;
use causet::core::store::Store;
use causet::core::wire::{self, Batch, JoinPage, JoinRest};
use causet::core::write::{Content, Value, Write};
use clap::Parser;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const KEY_BYTES: usize = 20;
const VALUE_BYTES: usize = 100;
/// Writes in a batch or a page.
const BATCH: u64 = 1_000;
const WALL_MS: u64 = 1_800_000_000_000;

/// Measures what a key costs in memory.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many keys
    #[arg(long, default_values_t = [100_000, 1_000_000])]
    keys: Vec<u64>,
}

/// How clients write.
#[derive(Debug, Clone, Copy)]
enum Habit {
    /// Without metadata.
    Fresh,
    /// All with the same, which names a write of each of three replicas.
    Alike,
    /// Each after the one before, at one replica, having observed two others.
    Chain,
}

/// How versions come into the store.
#[derive(Debug, Clone, Copy)]
enum Way {
    Request,
    Push,
    Join,
    /// As by requests, but each version keeps dependencies of its own.
    Apart,
}

fn origin(n: u8) -> Origin {
    let address = std::net::SocketAddr::from(([10, 10, 0, n], 8_090));
    Origin {
        address: address.try_into().expect("an address"),
        incarnation: Incarnation::starting(WALL_MS, n.into()),
    }
}

fn replica(n: u8) -> CausalState {
    let limits = BufferLimits {
        writes: 1,
        bytes: 1,
    };
    CausalState::new(origin(n), Domain::UNSHARDED, limits)
}

/// One write of each of the replicas 2 to 4 was joined by this one.
fn met(state: &mut CausalState) {
    let cut = Cut {
        older: Vec::new(),
        from: origin(9),
        covered: (2..=4).map(|n| (origin(n), 1)).collect(),
        time: HlcTime {
            ms: WALL_MS,
            count: 0,
        },
        writes: Vec::new(),
        rest: JoinRest::default(),
    };
    state.join(cut).expect("nothing speaks against it");
}

/// A client, and the replica that it writes to.
struct Source {
    state: CausalState,
    habit: Habit,
    /// As the client carries it: as JSON.
    metadata: String,
}

impl Source {
    fn new(habit: Habit) -> Self {
        let mut state = replica(1);
        met(&mut state);
        let mut clocks = Clocks::new();
        let named = match habit {
            Habit::Fresh => 2..2,
            Habit::Alike => 2..5,
            Habit::Chain => 2..4,
        };
        for n in named {
            let (origin, counter) = (origin(n), 1);
            clocks.cover(Domain::UNSHARDED, Dot { origin, counter });
        }
        let metadata = Metadata {
            time: HlcTime {
                ms: WALL_MS,
                count: 0,
            },
            clocks: Arc::new(clocks),
        };
        Self {
            state,
            habit,
            metadata: metadata.to_json(),
        }
    }

    fn write(&mut self, n: u64) -> Write {
        let key = Key::new(&format!("{n:0>KEY_BYTES$}")).expect("a short key");
        let text = format!("\"{n:0>width$}\"", width = VALUE_BYTES - 2);
        let value = Value::new(&text).expect("a flat value");
        let mut metadata = Metadata::from_json(&self.metadata).expect("as it was given");
        let sent = metadata.clone();
        let content = Content::Value(value);
        let write = self.state.write(key, content, sent, WALL_MS);
        if matches!(self.habit, Habit::Chain) {
            metadata.observe(Domain::UNSHARDED, &write.version);
            self.metadata = metadata.to_json();
        }
        write
    }
}

/// Fills a store with so many keys, and returns it.
fn filled(keys: u64, habit: Habit, way: Way) -> Store {
    let mut source = Source::new(habit);
    let mut receiver = replica(5);
    met(&mut receiver);
    let mut store = Store::new();
    for first in (0..keys).step_by(usize::try_from(BATCH).unwrap_or(1)) {
        let numbers = first..keys.min(first + BATCH);
        let writes = numbers.map(|n| source.write(n)).collect();
        for write in passed(writes, way, &mut receiver) {
            // A version made here is held by the broadcaster as well when the store takes it.
            let held = matches!(way, Way::Request | Way::Apart).then(|| write.clone());
            store.apply(write);
            drop(held);
        }
    }
    store
}

fn passed(mut writes: Vec<Write>, way: Way, receiver: &mut CausalState) -> Vec<Write> {
    let from = origin(1);
    match way {
        Way::Request => writes,
        Way::Push => {
            let domain = Domain::UNSHARDED;
            let batch = Batch {
                from,
                domain,
                writes,
            };
            let batch = wire::decode(&wire::encode(&batch)).expect("its own bytes");
            receiver.deliver(batch).expect("in order").ready
        }
        Way::Join => {
            let last = writes.last().map_or(0, |write| write.dot().counter);
            let mut covered: Coverage = receiver.covered().clone();
            covered.raise(from, last);
            let page = JoinPage {
                older: Vec::new(),
                left: 0,
                from,
                covered,
                time: receiver.time(),
                writes,
                rest: Some(JoinRest::default()),
            };
            let page: JoinPage = wire::decode(&wire::encode(&page)).expect("its own bytes");
            let cut = Cut {
                older: Vec::new(),
                from,
                covered: page.covered,
                time: page.time,
                writes: page.writes,
                rest: JoinRest::default(),
            };
            receiver
                .join(cut)
                .expect("nothing speaks against it")
                .writes
        }
        Way::Apart => {
            for write in &mut writes {
                let version = Arc::make_mut(&mut write.version);
                version.deps = Arc::new(version.deps.as_ref().clone());
            }
            writes
        }
    }
}

fn main() {
    let arguments = Arguments::parse();
    let payload = KEY_BYTES + VALUE_BYTES;
    println!("{KEY_BYTES} bytes of key and {VALUE_BYTES} of value, {payload} in all");
    println!(
        "{:>9}  {:<6} {:<8} {:>10}  {:>9}",
        "keys", "habit", "way", "bytes/key", "x payload"
    );
    for keys in arguments.keys {
        for habit in [Habit::Fresh, Habit::Alike, Habit::Chain] {
            for way in [Way::Request, Way::Push, Way::Join, Way::Apart] {
                measure(keys, habit, way);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for a human")]
fn measure(keys: u64, habit: Habit, way: Way) {
    let before = ALLOCATED.current_usage();
    let store = filled(keys, habit, way);
    let bytes = (ALLOCATED.current_usage() - before) as f64 / keys as f64;
    assert_eq!(store.summary().keys, keys, "all keys are there");
    let ratio = bytes / (KEY_BYTES + VALUE_BYTES) as f64;
    let (habit, way) = (format!("{habit:?}"), format!("{way:?}"));
    println!("{keys:>9}  {habit:<6} {way:<8} {bytes:>10.0}  {ratio:>9.1}");
}
