//! Whole clusters of the real actors in one thread: simulated network, virtual time, one seed.

mod cut_and_heal;
mod network;
mod simulation;
