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

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use support::replica::program;
use support::said::number_before;

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

    /// The number right before these words.
    #[track_caller]
    fn count(&self, words: &str) -> u64 {
        number_before(words, &self.stdout)
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

/// The command at work; killed where the test ends before it.
struct Running(Option<Child>);

impl Running {
    /// Starts it, and waits until its clients are at work.
    fn start(arguments: &[&str]) -> Self {
        let mut command = program();
        let command = command.arg("verify").args(arguments);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        // No byte beyond the line is taken: the rest is read at the end.
        let mut stderr = BufReader::with_capacity(1, child.stderr.as_mut().unwrap());
        stderr.read_line(&mut said).unwrap();
        let running = Self(Some(child));
        assert!(said.starts_with("the clients are at work; "), "{said}");
        running
    }

    /// As Ctrl-C does.
    fn interrupt(mut self) -> Ended {
        let child = self.0.take().unwrap();
        let mut kill = Command::new("sh");
        let kill = kill.args(["-c", "kill -s INT \"$0\"", &child.id().to_string()]);
        assert!(kill.status().unwrap().success());
        Ended::of(child.wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
