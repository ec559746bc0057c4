//! Each actor alone, its neighbours replaced by probes, under virtual time.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod broadcaster;
mod causality;
mod fixtures;
mod peer_link;
mod store;
mod support;
mod view;
