//! Which shard a key belongs to, and which nodes keep that shard (design §7).
//!
//! [`placement`] is a function of key and number of shards alone, so every node knows the shard of every key; [`map`] says
//! who keeps it; [`routing`] says whom to ask.

pub mod map;
pub mod placement;
pub mod routing;
