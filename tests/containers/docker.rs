//! The docker command line, and the removal of what tests leave behind.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Label on everything that a test makes; its value is the [`owner`].
const LABEL: &str = "causet.test.owner";

/// Whether there is a Docker that answers.
pub(crate) fn is_available() -> bool {
    run(&["version", "--format", "{{.Server.Version}}"]).is_ok()
}

/// Runs `docker` with these arguments; its standard output, trimmed, or the text of its failure.
pub(crate) fn run(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).output();
    finish(arguments, output)
}

/// As [`run`], where failure means that the test cannot go on.
pub(crate) fn must(arguments: &[&str]) -> String {
    run(arguments).unwrap_or_else(|failure| panic!("{failure}"))
}

/// The last lines that a container has logged, on either of its outputs.
pub(crate) fn logs(container: &str) -> String {
    let output = Command::new("docker")
        .args(["logs", "--tail", "40", container])
        .output();
    output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    )
}

/// As [`run`], with `input` on its standard input and the output as it came.
pub(crate) fn run_with_input(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("docker {}: {error}", arguments.join(" ")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ended without reading says more by its exit code than by this error.
        let _ = stdin.write_all(input);
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("docker {}: {}", arguments.join(" "), output.status))
    }
}

fn finish(arguments: &[&str], output: std::io::Result<Output>) -> Result<String, String> {
    let command = || format!("docker {}", arguments.join(" "));
    let output = output.map_err(|error| format!("{}: {error}", command()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        let reason = String::from_utf8_lossy(&output.stderr);
        Err(format!(
            "{}: {} {}",
            command(),
            output.status,
            reason.trim()
        ))
    }
}

/// Who makes things now: this machine and this process.
fn owner() -> String {
    format!("{}/{}", hostname(), std::process::id())
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

/// The `--label` argument of everything that a test makes.
pub(crate) fn label() -> String {
    format!("{LABEL}={}", owner())
}

/// Removes what test processes of this machine that are gone have left: killed ones, that is,
/// since all others clean up. What belongs to a living process stays.
pub(crate) fn sweep() {
    remove_dead(&["ps", "--all"], &["rm", "--force", "--volumes"], "{{.ID}}");
    remove_dead(&["network", "ls"], &["network", "rm"], "{{.ID}}");
}

fn remove_dead(list: &[&str], remove: &[&str], id: &str) {
    let filter = format!("label={LABEL}");
    let format = format!("{id} {{{{.Label \"{LABEL}\"}}}}");
    let listed = must(&[list, &["--filter", &filter, "--format", &format]].concat());
    for (id, owner) in listed.lines().filter_map(|line| line.split_once(' ')) {
        if is_gone(owner) {
            // Another test's sweep may have been faster.
            let _ = run(&[remove, &[id]].concat());
        }
    }
}

fn is_gone(owner: &str) -> bool {
    owner.split_once('/').is_some_and(|(host, pid)| {
        host == hostname() && !std::path::Path::new("/proc").join(pid).exists()
    })
}
