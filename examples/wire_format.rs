//! What a batch of writes costs on the wire: postcard, which replicas speak, beside JSON.
//!
//! `cargo run --release --example wire_format` prints bytes and the time to encode and decode one batch
//! of 100 writes, for small and for large values. Times vary with the machine; the ratios hardly do.

use std::hint::black_box;
use std::time::Duration;

use causet::core::causal_buffer::BufferLimits;
use causet::core::causality::CausalState;
use causet::core::id::{Address, Domain, Incarnation, Key, Origin};
use causet::core::metadata::Metadata;
use causet::core::wire::{self, Batch, JoinRest};
use causet::core::write::{Content, Value};

const WRITES: u64 = 100;
const ROUNDS: u32 = 2_000;
const WALL_MS: u64 = 1_790_000_000_000;

fn main() {
    println!("one batch of {WRITES} writes, each of a client that has seen all three replicas\n");
    for value_bytes in [16, 1_024] {
        let batch = batch(value_bytes);
        let (json, postcard) = (json(&batch), postcard(&batch));
        println!("values of {value_bytes} bytes");
        json.print("JSON");
        postcard.print("postcard");
        println!(
            "  JSON / postcard: {:.1} times the bytes, {:.1} times the time\n",
            ratio(json.bytes, postcard.bytes),
            json.took.as_secs_f64() / postcard.took.as_secs_f64(),
        );
    }
}

/// What one format makes of a batch.
struct Cost {
    bytes: usize,
    /// To encode and decode it once.
    took: Duration,
}

impl Cost {
    fn print(&self, name: &str) {
        println!("  {name:8} {:7} bytes {:9.1?}", self.bytes, self.took);
    }
}

fn json(batch: &Batch) -> Cost {
    let encode = || serde_json::to_vec(batch).expect("a batch is JSON");
    measure(batch, encode, |bytes| {
        serde_json::from_slice(bytes).expect("what was just encoded")
    })
}

fn postcard(batch: &Batch) -> Cost {
    let encode = || wire::encode(batch);
    measure(batch, encode, |bytes| {
        wire::decode(bytes).expect("what was just encoded")
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "it measures this machine, outside of any runtime"
)]
fn measure(batch: &Batch, encode: impl Fn() -> Vec<u8>, decode: impl Fn(&[u8]) -> Batch) -> Cost {
    assert_eq!(decode(&encode()), *batch, "it survives the round trip");
    let start = std::time::Instant::now();
    for _ in 0..ROUNDS {
        black_box(decode(black_box(&encode())));
    }
    Cost {
        bytes: encode().len(),
        took: start.elapsed() / ROUNDS,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes of a few hundred kilobytes"
)]
fn ratio(a: usize, b: usize) -> f64 {
    a as f64 / b as f64
}

/// The writes of one client that wrote at two other replicas before.
fn batch(value_bytes: usize) -> Batch {
    let mut metadata = Metadata::default();
    for port in [8092, 8091] {
        put(&mut replica(port), &mut metadata, 0, value_bytes);
    }
    // Only the last replica's own state is pushed; that it has seen the others' writes is assumed.
    let mut state = replica(8090);
    let assumed = causet::core::join::Cut {
        older: Vec::new(),
        from: state.origin(),
        covered: metadata
            .clocks
            .get(&Domain::UNSHARDED)
            .cloned()
            .unwrap_or_default()
            .into(),
        time: metadata.time,
        writes: Vec::new(),
        rest: JoinRest::default(),
    };
    state.join(assumed).expect("nothing has ended");
    let writes = (0..WRITES).map(|number| put(&mut state, &mut metadata, number, value_bytes));
    Batch {
        writes: writes.collect(),
        from: state.origin(),
        domain: state.domain(),
    }
}

fn replica(port: u16) -> CausalState {
    let socket = std::net::SocketAddr::from(([10, 10, 0, 2], port));
    let origin = Origin {
        address: Address::try_from(socket).expect("peers can reach it"),
        incarnation: Incarnation::starting(WALL_MS, port.into()),
    };
    let limits = BufferLimits {
        writes: 1,
        bytes: 1,
    };
    CausalState::new(origin, Domain::UNSHARDED, limits)
}

fn put(
    state: &mut CausalState,
    metadata: &mut Metadata,
    number: u64,
    value_bytes: usize,
) -> causet::core::write::Write {
    let key = Key::new(&format!("key{number}")).expect("short enough");
    // A long number: as text inside JSON it needs no escapes, which is kind to JSON.
    let value = Value::new(&"7".repeat(value_bytes)).expect("not nested");
    let write = state.write(
        key,
        Content::Value(value),
        metadata.clone(),
        WALL_MS + number,
    );
    metadata.observe(state.domain(), &write.version);
    write
}
