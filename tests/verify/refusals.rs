//! What cannot be done is told in one line.

use crate::support::ports;
use crate::verify;

#[test]
fn bad_arguments_are_told_by_name_in_one_line() {
    let table: &[(&[&str], &str)] = &[
        (
            &[],
            "causet: the following required arguments were not provided: --nodes ",
        ),
        (
            &["--nodes", "https://a:1"],
            "causet: invalid value 'https://a:1' for '--nodes ",
        ),
        (
            &["--nodes", "a:1", "--seconds", "0"],
            "causet: invalid value '0' for '--seconds ",
        ),
        (
            &["--nodes", "a:1", "--clients", "x"],
            "causet: invalid value 'x' for '--clients ",
        ),
        (
            &["--nodes", "a:1", "--rate", "100000"],
            "causet: --rate 100000 for --seconds 60 makes more than 500000 requests",
        ),
        (
            &["--nodes", "a:1", "--history", "/nowhere/at/all"],
            "causet: --history: cannot write /nowhere/at/all: ",
        ),
    ];
    for (arguments, said) in table {
        let ended = verify(arguments).with(2);
        assert!(
            ended.stderr.starts_with(said),
            "{}should start with\n{said}",
            ended.stderr
        );
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.lines().count()),
            ("", 1),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn where_nobody_answers_it_says_what_came_of_asking() {
    let node = format!("127.0.0.1:{}", ports::take());
    let ended = verify(&["--nodes", &node]).with(1);
    assert!(
        ended
            .stderr
            .starts_with(&format!("causet: no node answers: {node} (")),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stdout, "");
}

#[test]
fn help_teaches_by_an_example() {
    let ended = verify(&["--help"]).with(0);
    for said in [
        "  causet verify --nodes http://127.0.0.1:8082,",
        "Exit codes: 0 ",
        "--allow-lost",
        "--history",
    ] {
        assert!(
            ended.stdout.contains(said),
            "{said} is missing in\n{}",
            ended.stdout
        );
    }
}
