//! The `causet` command as an operator meets it: processes, exit codes, what is printed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cluster;
mod forget;
mod health;
mod help;
mod replica;
mod settings;
mod support;
