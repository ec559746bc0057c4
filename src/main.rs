//! The `causet` command: arguments and environment → settings → node → exit code.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
