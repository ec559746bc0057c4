//! The protocol, pure: no actors, no runtime, no I/O, no clock, no randomness of its own.
//!
//! Everything here is a function of its arguments. Time comes in as [`Millis`] (monotonic) or as
//! wall-clock milliseconds, randomness as a seeded generator, and effects go out as data that the
//! actors perform. Nothing is decided by the iteration order of a hash map. So one seed replays
//! one history, and every rule can be tested without a network.

pub mod agreement;
pub mod aside;
pub mod causal_buffer;
pub mod causality;
pub mod clock;
pub mod coverage;
pub mod ended;
pub mod frontier;
pub mod frozen;
pub mod given_up;
pub mod id;
pub mod inheritance;
pub mod join;
pub mod link;
pub mod metadata;
pub mod outbox;
pub mod parking;
pub mod peer;
pub mod remains;
pub mod repair;
pub mod roster;
pub mod serving;
pub mod sharding;
mod sharing;
pub mod stamp;
pub mod store;
pub mod swim;
pub mod taking;
#[cfg(test)]
pub(crate) mod testing;
pub mod view;
pub mod wire;
pub mod write;

/// Milliseconds on a monotonic clock whose zero is the start of the node.
pub type Millis = u64;
