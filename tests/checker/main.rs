//! The checkers of recorded histories: they accept what a correct store can do and reject each thing it cannot.

mod brute_force;
mod finals;
mod good;
mod model;
mod patterns;
mod random;
mod sessions;
mod shorthand;
mod text;
