//! The command line. Every setting is a flag and a variable; the flag wins.
//!
//! Exit codes: 0 as asked, 1 it did not work, 2 it was not asked rightly (nothing was started).

mod cluster;
mod forget;
mod health;
mod probe;
mod replica;
mod settings;
mod signals;
mod verify;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use causet::config::{SETTINGS, Setting, Settings};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use self::settings::SettingsArgs;

/// It did not work.
const FAILED: u8 = 1;
/// It was not asked rightly.
const MISUSED: u8 = 2;

/// A causally consistent, replicated key-value store.
///
/// Without a command: `replica` when `SOCKET_ADDRESS` is set, else `cluster`.
#[derive(Debug, Parser)]
#[command(name = "causet", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one replica until SIGTERM or SIGINT
    #[command(next_line_help = true)]
    Replica(ReplicaArgs),
    /// Run several replicas on this machine, to try things out, until Ctrl-C
    Cluster(cluster::ClusterArgs),
    /// Say by the exit code whether the replica on this machine lives
    Health(health::HealthArgs),
    /// Have a cluster no longer wait for a replica that is gone
    Forget(forget::ForgetArgs),
    /// Put a running cluster to the test: is it causally consistent?
    Verify(verify::VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct ReplicaArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Stop when standard input ends: a replica then never outlives the process that started it.
    #[arg(long, hide = true)]
    stop_on_stdin_eof: bool,
}

/// Does what the command line asks; returns when that is done.
pub(crate) fn run() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let replica = is_replica_meant(&arguments);
    let arguments = with_default_command(arguments, replica);
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match cli.command {
        Command::Replica(args) => run_replica(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Forget(args) => forget::run(&args),
        Command::Verify(args) => verify::run(&args),
    }
}

fn run_replica(args: &ReplicaArgs) -> ExitCode {
    match Settings::validated(&args.settings.given) {
        Ok(settings) => replica::run(
            args.settings.with_rust_log(settings),
            args.stop_on_stdin_eof,
        ),
        Err(error) => fail(MISUSED, &error),
    }
}

/// Whoever gives one of the contract's settings means a replica, also where the others are forgotten.
fn is_replica_meant(arguments: &[OsString]) -> bool {
    let of_the_contract = SETTINGS
        .iter()
        .filter(|setting| !setting.variable.starts_with("CAUSET_"));
    let flags = arguments
        .iter()
        .filter_map(|argument| argument.to_str()?.strip_prefix("--"));
    let is_given = |setting: &Setting| {
        let is_flag = |flag: &str| flag.split('=').next() == Some(setting.flag);
        std::env::var_os(setting.variable).is_some() || flags.clone().any(is_flag)
    };
    of_the_contract.into_iter().any(is_given)
}

/// Adds the command that is meant where none is written, so that its flags can be written all the same.
fn with_default_command(mut arguments: Vec<OsString>, replica: bool) -> Vec<OsString> {
    let first = arguments.get(1).map(|argument| argument.to_string_lossy());
    let meant = match first.as_deref() {
        None => true,
        Some("-h" | "--help" | "-V" | "--version") => false,
        Some(argument) => argument.starts_with('-'),
    };
    if meant {
        let command = if replica { "replica" } else { "cluster" };
        arguments.insert(arguments.len().min(1), command.into());
    }
    arguments
}

/// Prints help and version where asked for; anything else clap has to say becomes one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // A reader that went away (`causet --help | head -1`) is no error.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.trim().is_empty());
    let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    fail(MISUSED, &format_args!("{line} (see causet --help)"))
}

/// Says in one line on standard error why it ends.
fn fail(code: u8, reason: &dyn Display) -> ExitCode {
    // Where nobody listens any more the exit code says it alone.
    let _ = writeln!(std::io::stderr(), "causet: {reason}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(arguments: &[&str], replica: bool) -> Vec<String> {
        let arguments = arguments.iter().map(OsString::from).collect();
        let completed = with_default_command(arguments, replica);
        completed
            .iter()
            .map(|a| a.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn the_command_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_line_without_a_command_means_a_replica_or_a_cluster() {
        assert_eq!(completed(&["causet"], true), ["causet", "replica"]);
        assert_eq!(completed(&["causet"], false), ["causet", "cluster"]);
        assert_eq!(
            completed(&["causet", "--log", "warn"], true),
            ["causet", "replica", "--log", "warn"]
        );
        for written in [
            &["causet", "--help"],
            &["causet", "-V"],
            &["causet", "health"],
        ] {
            assert_eq!(completed(written, true), written);
        }
    }
}
