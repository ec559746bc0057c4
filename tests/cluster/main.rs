//! Whole clusters of the real actors in one thread: simulated network, virtual time, one seed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cut_and_heal;
mod dealing;
mod handed_over;
mod seeds;
mod shards;
mod simulation;
mod steady;
mod stories;
