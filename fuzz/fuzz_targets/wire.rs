//! Any bytes are a message between replicas or refused; what is taken survives being passed on.
//!
//! The first byte says as what the rest is read.

#![no_main]

use std::fmt::Debug;

use causet::core::clock::{Clock, Clocks};
use causet::core::id::Domain;
use causet::core::metadata::Metadata;
use causet::core::swim::Datagram;
use causet::core::view::Removal;
use causet::core::wire::{
    self, Batch, Digest, Forward, ForwardAnswer, Heartbeat, HeartbeatAnswer, JoinAnswer,
    JoinRequest, PushAnswer,
};
use causet::core::write::Write;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn passes_on<M>(bytes: &[u8]) -> Option<M>
where
    M: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let message = wire::decode::<M>(bytes).ok()?;
    let again = wire::encode(&message);
    assert_eq!(wire::decode::<M>(&again).as_ref(), Ok(&message));
    Some(message)
}

fn check_batch(bytes: &[u8]) {
    let Some(batch) = passes_on::<Batch>(bytes) else {
        return;
    };
    let from = batch.from;
    batch.writes.iter().cloned().for_each(check_write);
    if let Ok(batch) = batch.check() {
        let dots: Vec<_> = batch.writes.iter().map(Write::dot).collect();
        assert!(dots.iter().all(|dot| dot.origin == from && dot.counter > 0));
        assert!(dots.is_sorted_by(|a, b| a.counter < b.counter));
    }
}

/// A client that reads it gets metadata that is taken back.
fn check_write(write: Write) {
    let mut metadata = Metadata::default();
    metadata.observe(Domain::UNSHARDED, &write.version);
    assert_eq!(Metadata::from_json(&metadata.to_json()), Ok(metadata));
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    match kind % 14 {
        0 => drop(passes_on::<Heartbeat>(bytes)),
        1 => drop(passes_on::<HeartbeatAnswer>(bytes)),
        2 => check_batch(bytes),
        3 => drop(passes_on::<PushAnswer>(bytes)),
        4 => drop(passes_on::<JoinRequest>(bytes)),
        5 => drop(passes_on::<JoinAnswer>(bytes)),
        6 => drop(passes_on::<Digest>(bytes)),
        7 => drop(passes_on::<Write>(bytes).map(check_write)),
        8 => drop(passes_on::<Clock>(bytes)),
        9 => drop(passes_on::<Clocks>(bytes)),
        10 => drop(passes_on::<Removal>(bytes)),
        11 => drop(passes_on::<Forward>(bytes)),
        12 => drop(passes_on::<ForwardAnswer>(bytes)),
        _ => drop(Datagram::parse(bytes)),
    }
});
