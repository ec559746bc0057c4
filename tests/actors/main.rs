//! Each actor alone, its neighbours replaced by probes, under virtual time.

#![allow(missing_docs, reason = "tests are named by sentences")]

mod support;
mod view;
