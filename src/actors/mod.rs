//! The actors: shells that decode a message, call the core, perform its effects. No actor file imports another.

pub mod view;
