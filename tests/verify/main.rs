//! `causet verify` as an operator meets it: against clusters of real replicas, and against servers that only
//! pretend to be one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(
    dead_code,
    unused_imports,
    reason = "every test crate uses its own part of it"
)]
#[path = "../support/mod.rs"]
mod support;

mod clusters;
mod pretender;
mod pretenders;
mod refusals;

use std::process::Output;

use support::replica::program;

/// What the command printed, and its exit code. It ends by itself: its time is bounded.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    /// The verdict on one claim.
    #[track_caller]
    fn claim(&self, name: &str) -> &str {
        let mut lines = self.stdout.lines();
        let line = lines.find_map(|line| line.trim_start().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{}", self.stdout))
            .trim_start()
    }
}

fn verify(arguments: &[&str]) -> Ended {
    let mut command = program();
    Ended::of(command.arg("verify").args(arguments).output().unwrap())
}
