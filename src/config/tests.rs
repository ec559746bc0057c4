//! What operators write, and what they are told.

use std::collections::BTreeSet;

use super::*;

const ADDRESS: (&str, &str) = ("SOCKET_ADDRESS", "10.10.0.2:8090");

/// Texts by the name of their flag (with dashes) or variable.
fn given(texts: &[(&str, &str)]) -> Vec<Given> {
    let given = texts.iter().map(|(name, text)| {
        let by_flag = |setting: &&Setting| name.strip_prefix("--") == Some(setting.flag);
        let named = |setting: &&Setting| by_flag(setting) || setting.variable == *name;
        let setting = SETTINGS.iter().find(named).expect("a name in the table");
        let is_flag = by_flag(&setting);
        Given {
            flag: setting.flag,
            from: if is_flag {
                Source::Flag(setting.flag)
            } else {
                Source::Variable(setting.variable)
            },
            text: (*text).to_owned(),
        }
    });
    given.collect()
}

fn validated(texts: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::validated(&given(texts))
}

/// What is said to `texts` beside a good address.
fn refusal(texts: &[(&str, &str)]) -> String {
    let texts = [&[ADDRESS], texts].concat();
    let error = validated(&texts).expect_err("these texts are wrong");
    error.to_string()
}

#[test]
fn an_address_alone_is_a_replica_alone_with_every_default() {
    let address = ADDRESS.1.parse().unwrap();
    let settings = validated(&[ADDRESS]).unwrap();
    assert_eq!(settings, Settings::new(address, vec![]));
    assert_eq!(settings.view, [address]);
}

#[test]
fn the_view_is_sorted_holds_this_replica_and_each_address_once() {
    let view = "10.10.0.10:8090, 10.10.0.9:8090,10.10.0.10:8090";
    let settings = validated(&[ADDRESS, ("VIEW", view)]).unwrap();
    let texts: Vec<String> = settings.view.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["10.10.0.2:8090", "10.10.0.9:8090", "10.10.0.10:8090"]
    );
}

#[test]
fn shards_are_dealt_to_the_nodes_of_the_view_if_there_are_enough() {
    let view = (
        "VIEW",
        "10.10.0.2:8090,10.10.0.3:8090,10.10.0.4:8090,10.10.0.5:8090",
    );
    let settings = validated(&[ADDRESS, view, ("SHARD_COUNT", "2")]).unwrap();
    assert_eq!(settings.shard_count, Some(2));
    assert_eq!(settings.shard_map().unwrap().count(), 2);
    let one = validated(&[ADDRESS, view, ("SHARD_COUNT", "1")]).unwrap();
    assert!(one.shard_map().unwrap().is_sharded());
    let none = validated(&[ADDRESS, view]).unwrap();
    assert!(!none.shard_map().unwrap().is_sharded());
}

#[test]
fn a_replica_needs_an_address_and_a_view_does_not_give_it_one() {
    let alone = validated(&[]).unwrap_err().to_string();
    assert!(
        alone.starts_with("SOCKET_ADDRESS is not set; expected the IP:PORT"),
        "{alone}"
    );
    let with_view = validated(&[("--view", "10.10.0.2:8090")]).unwrap_err();
    let with_view = with_view.to_string();
    assert!(
        with_view.starts_with("SOCKET_ADDRESS is not set, but --view is; expected"),
        "{with_view}"
    );
}

#[test]
fn a_bad_address_is_quoted() {
    for text in [
        "",
        "host:80",
        "10.10.0.2",
        "10.10.0.2:0",
        "0.0.0.0:8090",
        ":8090",
        "[fe80::1%1]:80",
    ] {
        let error = validated(&[("SOCKET_ADDRESS", text)])
            .unwrap_err()
            .to_string();
        let start = format!("SOCKET_ADDRESS: {text:?} is not an address; expected IP:PORT");
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn of_a_view_the_wrong_entry_is_quoted() {
    let table = [
        ("10.10.0.2:8090,nonsense,10.10.0.4:8090", "nonsense"),
        (
            "10.10.0.2:8090;10.10.0.3:8090",
            "10.10.0.2:8090;10.10.0.3:8090",
        ),
        ("10.10.0.2:8090,", ""),
        ("", ""),
    ];
    for (view, entry) in table {
        let start = format!("VIEW: {entry:?} is not an address; expected IP:PORT");
        assert!(refusal(&[("VIEW", view)]).starts_with(&start), "{view:?}");
    }
}

#[test]
fn numbers_are_whole_within_their_bounds_and_bare() {
    let table = [
        (
            "CAUSET_HEARTBEAT_MS",
            "250ms",
            "is not a whole number; expected milliseconds from 10 to 86400000",
        ),
        (
            "CAUSET_HEARTBEAT_MS",
            "",
            "is not a whole number; expected milliseconds",
        ),
        (
            "CAUSET_HEARTBEAT_MS",
            " 250",
            "is not a whole number; expected milliseconds",
        ),
        (
            "--heartbeat-ms",
            "-5",
            "is not a whole number; expected milliseconds",
        ),
        (
            "--heartbeat-ms",
            "+5",
            "is not a whole number; expected milliseconds",
        ),
        (
            "--heartbeat-ms",
            "1e3",
            "is not a whole number; expected milliseconds",
        ),
        (
            "--heartbeat-ms",
            "0",
            "is out of bounds; expected milliseconds from 10",
        ),
        (
            "--heartbeat-ms",
            "99999999999999999999999",
            "is out of bounds; expected milliseconds from 10",
        ),
        (
            "--body-max-bytes",
            "0",
            "is out of bounds; expected bytes from 1 to 1073741824",
        ),
        (
            "CAUSET_OUTBOX_MAX_WRITES",
            "0",
            "is out of bounds; expected writes from 1",
        ),
        (
            "SHARD_COUNT",
            "0",
            "is not a number of shards; expected a whole number of at least 1",
        ),
        ("SHARD_COUNT", "two", "is not a number of shards; expected"),
        ("SHARD_COUNT", "", "is not a number of shards; expected"),
        (
            "SHARD_COUNT",
            "2",
            "shards need two nodes each, and VIEW has 1 nodes; expected nothing, or a longer VIEW",
        ),
        (
            "CAUSET_LISTEN",
            "eth0",
            "is not an IP address; expected an IP address of this machine",
        ),
        (
            "CAUSET_LOG",
            "inof",
            "is not a log filter; expected LEVEL or MODULE=LEVEL",
        ),
        ("--log", "causet=loud", "is not a log filter; expected"),
    ];
    for (name, text, said) in table {
        let error = refusal(&[(name, text)]);
        let start = format!("{name}: {text:?} {said}");
        assert!(
            error.starts_with(&start),
            "{error}\nshould start with\n{start}"
        );
    }
}

#[test]
fn more_shards_than_there_are_nodes_for_are_refused() {
    let view = "10.10.0.2:8090,10.10.0.3:8090,10.10.0.4:8090,10.10.0.5:8090";
    let error = refusal(&[("VIEW", view), ("SHARD_COUNT", "3")]);
    let said = "SHARD_COUNT: \"3\" shards need two nodes each, and VIEW has 4 nodes; expected at most 2, or a longer VIEW";
    assert_eq!(error, said);
}

#[test]
fn a_log_directive_that_the_logger_would_pass_over_is_refused() {
    for directive in ["causet=debug=info", "a/b=info"] {
        let refused = refusal(&[("--log", directive)]);
        assert!(refused.contains("is not a log filter"), "{refused}");
    }
}

#[test]
fn of_several_log_directives_the_wrong_one_is_quoted() {
    assert!(validated(&[ADDRESS, ("--log", "warn,causet=DEBUG,actix_web=off")]).is_ok());
    assert!(refusal(&[("--log", "warn,causet")]).starts_with("--log: \"causet\" is not"));
}

#[test]
fn numbers_that_do_not_fit_together_are_told_with_both_names() {
    let table: &[(&[(&str, &str)], &str)] = &[
        (
            &[("--heartbeat-ms", "251")],
            "--heartbeat-ms: \"251\" does not fit --link-break-ms = 500",
        ),
        (
            &[("CAUSET_LINK_BREAK_MS", "499")],
            "CAUSET_LINK_BREAK_MS: \"499\" does not fit --heartbeat-ms = 250",
        ),
        (
            &[("CAUSET_HEARTBEAT_MS", "100"), ("--link-break-ms", "199")],
            "CAUSET_HEARTBEAT_MS: \"100\" does not fit --link-break-ms = 199",
        ),
        (
            &[("--settle-ms", "5001")],
            "--settle-ms: \"5001\" does not fit --settle-at-most-ms = 5000",
        ),
        (
            &[("--batch-max-writes", "10001")],
            "--batch-max-writes: \"10001\" does not fit --outbox-max-writes = 10000",
        ),
        (
            &[("--outbox-max-bytes", "1000000")],
            "--outbox-max-bytes: \"1000000\" does not fit --batch-max-bytes",
        ),
        (
            &[("--buffer-max-bytes", "2000000")],
            "--buffer-max-bytes: \"2000000\" does not fit --body-max-bytes",
        ),
        (
            &[("--body-max-bytes", "67108865")],
            "--body-max-bytes: \"67108865\" does not fit --outbox-max-bytes",
        ),
        (
            &[("--store-max-bytes", "8388607")],
            "--store-max-bytes: \"8388607\" does not fit --body-max-bytes",
        ),
        (
            &[("--probe-rtt-ms", "250")],
            "--probe-rtt-ms: \"250\" does not fit --probe-period-ms = 250",
        ),
        (
            &[("--suspicion-ms", "249")],
            "--suspicion-ms: \"249\" does not fit --probe-period-ms",
        ),
        (
            &[("CAUSET_WAIT_DEFAULT_MS", "20001")],
            "CAUSET_WAIT_DEFAULT_MS: \"20001\" does not fit --wait-max-ms",
        ),
    ];
    for (texts, said) in table {
        let error = refusal(texts);
        assert!(
            error.starts_with(said),
            "{error}\nshould start with\n{said}"
        );
        assert!(error.contains("; expected "), "{error}");
    }
}

#[test]
fn a_view_of_more_members_than_allowed_is_refused() {
    let error = refusal(&[("VIEW", "10.10.0.3:1,10.10.0.4:1"), ("--members-max", "2")]);
    assert!(
        error.starts_with("VIEW: \"10.10.0.3:1,10.10.0.4:1\" names 3 replicas"),
        "{error}"
    );
}

#[test]
fn whatever_is_in_a_value_it_is_told_in_one_short_line() {
    let nasty = format!("a\nb\r\u{1b}[31m{}", "x".repeat(100_000));
    for setting in SETTINGS {
        let error = Settings::validated(&[
            Given {
                flag: "socket-address",
                from: Source::Flag("socket-address"),
                text: ADDRESS.1.to_owned(),
            },
            Given {
                flag: setting.flag,
                from: Source::Variable(setting.variable),
                text: nasty.clone(),
            },
        ]);
        // The first text given for a setting counts, so the address itself is fine here.
        let Err(error) = error else {
            assert_eq!(setting.flag, "socket-address");
            continue;
        };
        let line = error.to_string();
        assert!(
            line.starts_with(&format!("{}: \"a\\nb", setting.variable)),
            "{line}"
        );
        assert!(
            line.chars().all(|c| !c.is_control()) && line.len() < 400,
            "{line}"
        );
    }
}

#[test]
fn every_field_of_the_settings_is_in_the_table_and_goes_to_its_own_place() {
    let defaults = validated(&[ADDRESS]).unwrap();
    let shown = format!("{defaults:#?}");
    let groups = ["address", "view", "replication", "membership", "limits"];
    let fields = shown
        .lines()
        .filter_map(|line| line.trim().split_once(": "));
    let fields = fields.map(|(name, _)| name.replace('_', "-"));
    let fields: BTreeSet<String> = fields
        .filter(|name| !groups.contains(&name.as_str()))
        .collect();
    let flags = SETTINGS.iter().map(|setting| setting.flag.to_owned());
    let texts = ["socket-address", "view"];
    let flags: BTreeSet<String> = flags
        .filter(|flag| !texts.contains(&flag.as_str()))
        .collect();
    assert_eq!(fields, flags);

    for setting in SETTINGS {
        let Kind::Number(number) = &setting.kind else {
            continue;
        };
        let mut settings = defaults.clone();
        let other = number.range.end() - 1;
        number.set(&mut settings, other);
        assert_eq!(number.get(&settings), other, "--{}", setting.flag);
        let field = format!("{}: {other},", setting.flag.replace('-', "_"));
        assert!(
            format!("{settings:#?}").contains(&field),
            "--{} sets another field",
            setting.flag
        );
    }
}

#[test]
fn names_follow_one_rule_and_defaults_are_within_bounds() {
    let defaults = validated(&[ADDRESS]).unwrap();
    for setting in SETTINGS {
        let capitals = setting.flag.replace('-', "_").to_uppercase();
        let of_the_contract = ["socket-address", "view", "shard-count"].contains(&setting.flag);
        let prefix = if of_the_contract { "" } else { "CAUSET_" };
        assert_eq!(setting.variable, format!("{prefix}{capitals}"));
        if let Kind::Number(number) = &setting.kind {
            assert!(
                number.range.contains(&number.get(&defaults)),
                "--{}",
                setting.flag
            );
        }
    }
}
