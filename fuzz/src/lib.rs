//! What the fuzz targets share: names and messages made from arbitrary bytes, and one node of the real
//! actors under virtual time.

pub mod messages;
pub mod names;
pub mod world;

use std::fmt::Debug;

use causet::core::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The message as its receiver gets it; `None` if no receiver takes it.
pub fn received<M: Serialize + DeserializeOwned>(message: &M) -> Option<M> {
    wire::decode(&wire::encode(message)).ok()
}

/// A message of a replica's own making is one that every replica understands.
///
/// # Panics
/// If it is not.
pub fn assert_understood<M: Serialize + DeserializeOwned + PartialEq + Debug>(message: &M) {
    assert_eq!(wire::decode(&wire::encode(message)).as_ref(), Ok(message));
}
