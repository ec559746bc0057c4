//! What the actors say to each other: types only.
//!
//! Commands are imperative, queries are `Read*`, events are past tense. Each message says who sends
//! it and what holds after its answer. Requests that await an answer carry a
//! [`Reply`](mailbox::Reply) and go down the ranks only (http → causality → store); events go up
//! and await nothing, so no cycle of waits can form. A reply travels with its message: whoever
//! decides answers, and nobody in between waits.

pub mod causality;
pub mod lifecycle;
pub mod mailbox;
pub mod peers;
pub mod store;
pub mod view;
