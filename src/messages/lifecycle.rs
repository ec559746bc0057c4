//! To every actor.

/// node → every actor: end at once, answering nothing more, as a crash would end it. The actors hold
/// edges to each other, so they do not end by themselves.
#[derive(Debug, Clone, Copy)]
pub struct Halt;
