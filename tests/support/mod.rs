//! What the tests of real replica processes share.
//!
//! A test crate takes it in with
//! `#[allow(dead_code)] #[path = "../support/mod.rs"] mod support;`.
//! Everything here knows the replica only from outside: its program, its settings, its HTTP
//! contract. The one place that knows the inner shape of metadata is [`metadata`], for tests that
//! must forge a dependency.

pub(crate) mod cluster;
pub(crate) mod exposition;
pub(crate) mod http;
pub(crate) mod metadata;
pub(crate) mod ports;
pub(crate) mod replica;
pub(crate) mod said;
pub(crate) mod waiting;
pub(crate) mod wire;

pub(crate) use cluster::Cluster;
pub(crate) use http::{Answer, Connection, Request};
pub(crate) use metadata::V;
pub(crate) use replica::{Launch, Replica};
pub(crate) use waiting::{always, eventually, until};
