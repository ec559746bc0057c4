//! The actors: shells that decode a message, call the core, perform its effects.
//!
//! ```text
//! client ──▶ http ──▶ Causality ──▶ Store
//!              │        │   ▲
//!              │        ▼   │ deliveries, digests, joins
//!              │    Broadcaster ──▶ PeerLink (one per member) ──▶ peers
//!              └──▶ View ◀──▶ peers (SWIM)
//! ```
//!
//! No actor file imports another: an actor knows its neighbours as edges, which `node` ties.

pub mod broadcaster;
pub mod causality;
pub mod peer_link;
pub mod store;
pub mod view;
