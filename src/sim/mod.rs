//! Whole clusters of the real actors in one thread, under virtual time, on a simulated network.
//!
//! A [`plan::Plan`] is made from one seed: how many nodes with which limits, what the network does, which
//! faults happen when, and what clients ask whom. Nothing else decides anything, so the same plan gives the
//! same history, event for event. Parts of a plan can be left out and the rest still means the same, which
//! is how a failing one is shortened ([`shrink`]).
//!
//! What is simulated: the transport and both clocks. What is real: everything that `Node::start` wires.
//! A paused node is one whose messages and requests stand still in both directions; its timers go on, unlike
//! those of a stopped process.

mod asking;
pub mod batch;
mod broken;
pub mod clients;
pub mod clock;
pub mod cluster;
mod forwards;
mod made;
mod named;
pub mod network;
pub mod plan;
mod recall;
mod rest;
pub mod run;
mod samples;
pub mod shrink;
pub mod steady;
mod traffic;
pub mod watch;
