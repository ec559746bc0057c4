//! Bad settings end the process at once with one line (contract §1).

use crate::support::{causet, run};

type Variables = &'static [(&'static str, &'static str)];

async fn refusal(arguments: &[&str], variables: Variables) -> String {
    let mut command = causet(arguments);
    command.envs(variables.iter().copied());
    let ended = run(command).await;
    let shown = format!("{arguments:?} {variables:?}: {ended:?}");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(2), ""),
        "{shown}"
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{shown}");
    ended.stderr
}

#[actix_rt::test]
async fn bad_values_are_told_by_name_value_and_expectation_in_one_line() {
    const GOOD: (&str, &str) = ("SOCKET_ADDRESS", "127.0.0.1:9");
    let table: &[(&[&str], Variables, &str)] = &[
        (
            &["replica"],
            &[],
            "causet: SOCKET_ADDRESS is not set; expected ",
        ),
        (
            &[],
            &[("VIEW", "10.10.0.2:8090")],
            "causet: SOCKET_ADDRESS is not set, but VIEW is; expected ",
        ),
        (
            &[],
            &[("SHARD_COUNT", "1")],
            "causet: SOCKET_ADDRESS is not set; expected ",
        ),
        (
            &[],
            &[("SOCKET_ADDRESS", "alice:8090")],
            "causet: SOCKET_ADDRESS: \"alice:8090\" is not an address; expected IP:PORT",
        ),
        (
            &[],
            &[("SOCKET_ADDRESS", "")],
            "causet: SOCKET_ADDRESS: \"\" is not an address; expected IP:PORT",
        ),
        (
            &[],
            &[GOOD, ("VIEW", "10.10.0.2:8090,bob")],
            "causet: VIEW: \"bob\" is not an address; expected IP:PORT",
        ),
        (
            &[],
            &[GOOD, ("SHARD_COUNT", "0")],
            "causet: SHARD_COUNT: \"0\" is not a number of shards; expected ",
        ),
        (
            &[],
            &[GOOD, ("SHARD_COUNT", "2")],
            "causet: SHARD_COUNT: \"2\" shards need two nodes each",
        ),
        (
            &[],
            &[GOOD, ("CAUSET_SETTLE_MS", "2.5s")],
            "causet: CAUSET_SETTLE_MS: \"2.5s\" is not a whole number; expected milliseconds",
        ),
        (
            &["--settle-ms=-1"],
            &[GOOD],
            "causet: --settle-ms: \"-1\" is not a whole number; expected milliseconds",
        ),
        (
            &["replica", "--settle-ms", "-1"],
            &[GOOD],
            "causet: --settle-ms: \"-1\" is not a whole number",
        ),
        (
            &["--settle-ms", "x"],
            &[GOOD, ("CAUSET_SETTLE_MS", "1")],
            "causet: --settle-ms: \"x\" is not",
        ),
        (
            &[],
            &[GOOD, ("CAUSET_PROBE_RTT_MS", "300")],
            "causet: CAUSET_PROBE_RTT_MS: \"300\" does not fit --probe-period-ms = 250; expected ",
        ),
        (
            &[],
            &[GOOD, ("CAUSET_LOG", "loud")],
            "causet: CAUSET_LOG: \"loud\" is not a log filter; expected ",
        ),
        (
            &["--socket-address", "a\nb"],
            &[],
            "causet: --socket-address: \"a\\nb\" is not an address",
        ),
        (
            &["cluster", "--nodes", "0"],
            &[],
            "causet: --nodes: \"0\" is out of bounds; expected replicas from 1 to 12",
        ),
        (
            &["--nodes", "13"],
            &[],
            "causet: --nodes: \"13\" is out of bounds; expected replicas from 1 to 12",
        ),
        (
            &["cluster"],
            &[("CAUSET_NODES", "three")],
            "causet: CAUSET_NODES: \"three\" is not a whole number",
        ),
        (
            &[],
            &[("CAUSET_BASE_PORT", "65535")],
            "causet: CAUSET_BASE_PORT: \"65535\" is out of bounds",
        ),
        (
            &["cluster"],
            &[("CAUSET_SETTLE_MS", "x")],
            "causet: CAUSET_SETTLE_MS: \"x\" is not a whole number",
        ),
        (
            &["cluster", "--log", "loud"],
            &[],
            "causet: --log: \"loud\" is not a log filter",
        ),
        (
            &["replica", "--sockets"],
            &[],
            "causet: unexpected argument '--sockets' found (see causet --help)",
        ),
        (
            &["replicate"],
            &[],
            "causet: unrecognized subcommand 'replicate' (see causet --help)",
        ),
        (
            &["replica", "--view"],
            &[],
            "causet: a value is required for '--view ",
        ),
    ];
    for (arguments, variables, said) in table {
        let line = refusal(arguments, variables).await;
        assert!(line.starts_with(said), "{line}should start with\n{said}");
    }
}

#[actix_rt::test]
async fn bytes_that_are_no_text_are_refused_by_name() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let mut command = causet(&[]);
    command.env("SOCKET_ADDRESS", OsStr::from_bytes(b"\xff\xfe:1"));
    let ended = run(command).await;
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .starts_with("causet: SOCKET_ADDRESS: \"\u{fffd}\u{fffd}:1\" is not an address"),
        "{ended:?}"
    );
}
