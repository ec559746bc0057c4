//! The HTTP contract, row by row and rule by rule, asked of real replica processes.
//!
//! Written from the contract alone, without a look at the implementation: where a test here and the
//! code disagree, the contract decides. `docs/contract-tests.md` maps each row and rule to its
//! tests; [`table`] keeps that map true. Every test starts its own processes on ports of its own.
//! What takes a network of its own to show (many nodes, partitions of some of them) is shown
//! elsewhere.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failed test"
)]

#[allow(dead_code, reason = "every test crate uses its own part of it")]
#[path = "../support/mod.rs"]
mod support;

mod adding;
mod beyond;
mod bodies;
mod causality;
mod connections;
mod crashes;
mod cuts;
mod dealing;
mod deferral;
mod dependencies;
mod ends;
mod errors;
mod forgetting;
mod keys;
mod limits;
mod membership;
mod metadata;
mod removal;
mod resharding;
mod results;
mod roaming;
mod shards;
mod shutdown;
mod start;
mod status;
mod table;
mod timing;
mod values;
