//! `--help` and `--version`.

use causet::config::{Kind, SETTINGS};

use crate::support::{causet, run};

#[actix_rt::test]
async fn help_shows_flag_variable_default_and_unit_of_every_setting() {
    let help = run(causet(&["replica", "--help"])).await;
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for setting in SETTINGS {
        let unit = match &setting.kind {
            Kind::Number(number) => format!(" {}", number.unit.name()),
            _ => String::new(),
        };
        let (variable, default) = (setting.variable, setting.default_text());
        let said = format!("[env: {variable}] [default: {default}{unit}]");
        assert!(
            help.stdout.contains(&format!("--{} <", setting.flag)),
            "--{}",
            setting.flag
        );
        assert!(
            help.stdout.contains(&said),
            "{said} is missing in\n{}",
            help.stdout
        );
    }
}

#[actix_rt::test]
async fn help_never_shows_the_values_of_the_environment() {
    let mut command = causet(&["replica", "--help"]);
    command
        .env("VIEW", "10.1.2.3:4567")
        .env("CAUSET_LOG", "trace,marker=off");
    let help = run(command).await.stdout;
    assert!(!help.contains("4567") && !help.contains("marker"), "{help}");
}

#[actix_rt::test]
async fn help_names_the_commands_and_what_no_command_means() {
    for arguments in [["--help"], ["-h"]] {
        let help = run(causet(&arguments)).await;
        assert_eq!(help.code, Some(0));
        for command in ["replica", "cluster", "health", "forget", "verify"] {
            assert!(
                help.stdout.contains(&format!("\n  {command} ")),
                "{}",
                help.stdout
            );
        }
    }
    let cluster = run(causet(&["cluster", "--help"])).await.stdout;
    for said in [
        "--nodes",
        "[env: CAUSET_NODES",
        "[default: 3]",
        "--base-port",
        "[env: CAUSET_BASE_PORT",
        "[default: 8090]",
    ] {
        assert!(cluster.contains(said), "{said} is missing in\n{cluster}");
    }
}

#[actix_rt::test]
async fn the_version_is_that_of_the_package() {
    let version = run(causet(&["--version"])).await;
    assert_eq!(version.code, Some(0));
    assert_eq!(
        version.stdout,
        format!("causet {}\n", env!("CARGO_PKG_VERSION"))
    );
}
