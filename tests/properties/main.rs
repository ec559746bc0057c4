//! Laws of the core, tried on random cases: clocks, histories, joins, stamps, queues, links, parsers.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on fails")]

mod clocks;
mod cluster;
mod coverage;
mod ends;
mod forgetting;
mod histories;
mod link;
mod metadata;
mod names;
mod parsers;
mod queues;
