//! `causet forget`: has a cluster no longer wait for a replica, after it has said what that gives up.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use causet::core::id::Address;
use causet::verify::Node;
use serde::Deserialize;

use super::{FAILED, MISUSED, fail, probe};

/// A replica that lives answers within milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Have a cluster no longer wait for a replica that is gone.
///
/// As long as a replica is only down, the others wait for it: requests that depend on writes that only it holds get
/// 503, and deleted keys leave tombstones that are kept for it. A replica that is forgotten is waited for no
/// longer, at any of the others. One that is down for a day is forgotten by itself (--forget-after-ms of `causet replica`).
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(super) struct ForgetArgs {
    /// The replica to forget, as the view names it
    #[arg(value_name = "IP:PORT")]
    address: Address,
    /// Where a replica that goes on takes requests; it tells the others
    #[arg(
        long,
        value_name = "http://HOST:PORT",
        default_value = "http://127.0.0.1:8090"
    )]
    node: Node,
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
}

const AFTER: &str = "\
Example: the replica at 10.10.0.4:8090 is gone for good; one that lives takes requests at port 8082 of this machine:

  causet forget 10.10.0.4:8090 --node http://127.0.0.1:8082

Exit codes: 0 it is forgotten, 1 it is not, or nobody knows, 2 bad arguments, or nobody there to ask and no --yes.";

/// 0 once the replica is forgotten.
pub(super) fn run(args: &ForgetArgs) -> ExitCode {
    if !args.yes && !io::stdin().is_terminal() {
        let reason = "standard input is no terminal to ask at: say --yes if it is meant";
        return fail(MISUSED, &reason);
    }
    let (address, node) = (args.address, &args.node);
    let system = actix_rt::System::new();
    let up = match system.block_on(read_view(node)) {
        Ok(view) => view.contains(&address),
        Err(reason) => return fail(FAILED, &reason),
    };
    say(&consequences(address, node, up));
    if !args.yes && !is_agreed(address, &mut io::stdin().lock()) {
        return fail(FAILED, &"nothing was done");
    }
    match system.block_on(forget(address, node)) {
        Ok(()) => {
            // Where nobody listens any more the exit code says it alone.
            let _ = writeln!(io::stdout(), "{address} is forgotten");
            ExitCode::SUCCESS
        }
        Err(reason) => fail(FAILED, &reason),
    }
}

/// What is given up, and how the replica stands now.
fn consequences(address: Address, node: &Node, up: bool) -> String {
    let stands = if up {
        format!("{address} is up, as {node} sees it. It will answer no client any more.")
    } else {
        format!("{address} is not in the view of {node}: it is down, or was removed.")
    };
    format!(
        "{stands} To forget it means:
- Writes that only it holds are missing until it returns, and lost if it does not, or not with its memory.
- Deletes are no longer kept for it. If it returns, it begins anew: it takes over what the others have, and writes
  anew what they lack.
- It is out of all views until it restarts, or PUT /view names it."
    )
}

/// Whether whoever reads this says yes; anything else is a no.
fn is_agreed(address: Address, input: &mut impl BufRead) -> bool {
    let mut err = io::stderr();
    let _ = write!(err, "Forget {address}? [y/N] ").and_then(|()| err.flush());
    let mut line = String::new();
    let read = input.read_line(&mut line).is_ok();
    let answer = line.trim();
    read && (answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"))
}

async fn read_view(node: &Node) -> Result<Vec<Address>, String> {
    #[derive(Deserialize)]
    struct View {
        view: Vec<Address>,
    }
    let answer = ask(node, "GET", "").await?;
    let view = serde_json::from_str::<View>(&answer.body);
    match view {
        Ok(View { view }) if answer.status == 200 => Ok(view),
        _ => Err(format!(
            "{node} answers as no replica does: {}",
            shown(&answer)
        )),
    }
}

async fn forget(address: Address, node: &Node) -> Result<(), String> {
    let body = format!(r#"{{"socket-address":"{address}","forget":true}}"#);
    let answer = ask(node, "DELETE", &body).await?;
    match answer.status {
        200 => Ok(()),
        404 => Err(format!("{node} knows no replica {address}")),
        _ => Err(format!("{address} is not forgotten: {}", shown(&answer))),
    }
}

async fn ask(node: &Node, method: &str, body: &str) -> Result<probe::Answer, String> {
    let to = node.to_string();
    let asked = probe::ask(&to, (method, "/view"), body);
    match tokio::time::timeout(ANSWER_WITHIN, asked).await {
        Err(_) => Err(format!("no answer from {node} within {ANSWER_WITHIN:?}")),
        Ok(Err(error)) => Err(format!("no answer from {node}: {error}")),
        Ok(Ok(answer)) => Ok(answer),
    }
}

/// Status and error text of an answer, or its beginning where it has none.
fn shown(answer: &probe::Answer) -> String {
    #[derive(Deserialize)]
    struct Problem {
        error: String,
    }
    let problem = serde_json::from_str::<Problem>(&answer.body);
    let text = problem.map_or_else(|_| answer.body.clone(), |problem| problem.error);
    let line = text.lines().next().unwrap_or_default();
    let line: String = line.chars().take(120).collect();
    format!("{} {line}", answer.status)
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        let address = "10.10.0.4:8090".parse().unwrap();
        for (typed, agreed) in [
            ("y\n", true),
            (" YES \n", true),
            ("\n", false),
            ("", false),
            ("no\n", false),
            ("yy\n", false),
        ] {
            assert_eq!(
                is_agreed(address, &mut typed.as_bytes()),
                agreed,
                "{typed:?}"
            );
        }
    }

    #[test]
    fn the_reason_of_a_refusal_is_shown_in_one_line() {
        let answer = |body: &str| probe::Answer {
            status: 503,
            body: body.to_owned(),
        };
        assert_eq!(
            shown(&answer(r#"{"error":"Overloaded"}"#)),
            "503 Overloaded"
        );
        assert_eq!(shown(&answer("<html>\n</html>")), "503 <html>");
    }
}
