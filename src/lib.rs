//! causet: a causally consistent, replicated key-value store.
//!
//! Layers, each knowing only those before it: [`core`] (the protocol, pure) ← [`messages`] (what
//! actors say) ← [`actors`] (shells) ← `node` (the only wiring) ← `main`. [`transport`] is the gate to the
//! network, `http` the thin layer that speaks the public contract. Apart from these stand [`checker`], which
//! judges recorded histories, [`sim`], which runs whole clusters under virtual time, and [`verify`], which
//! drives a running one from outside.

pub mod actors;
pub mod checker;
pub mod config;
pub mod core;
pub mod http;
pub mod messages;
pub mod metrics;
pub mod node;
pub mod sim;
pub mod time;
pub mod transport;
pub mod verify;
