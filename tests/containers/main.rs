//! The published interface and the timing table of contract §3 on real containers.
//!
//! Each test has a cluster of its own, most of them of three: a docker network, fixed IPs, unique names, all of it
//! labelled and removed when the test ends, also by a panic. Requests run inside the asked
//! container's network, so that a replica that was cut off can be asked as well.
//!
//! `CAUSET_CONTAINER_IMAGE` names the image; where it is unset, `causet` is built first. Without
//! Docker the tests are skipped and say so, unless an image was named: then they fail.
//!
//! What is slept through is what the published interface itself waits; everything else is polled
//! with the contract's bound as the deadline. Upper bounds count from the return of the docker
//! command that made the change, lower bounds from its start, so that its own duration is never
//! held against the replica.

mod cluster;
mod connection;
mod deletes;
mod docker;
mod http;
mod image;
mod lost;
mod membership;
mod partition;
mod restart;
#[path = "../support/said.rs"]
mod said;
mod service;
mod shards;
mod time;
mod verify;
