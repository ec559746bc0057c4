//! The text format of Plume and AWDIT.

use causet::checker::{Absence, Kind, Outcome, check, text};
use proptest::prelude::*;

use crate::model::{Bug, Plan, run};
use crate::shorthand::{absent, delete, deleted, get, history, put, with};

#[test]
fn each_operation_is_a_transaction_and_each_step_of_metadata_is_seen() {
    let written = text::write(&history(&[
        put(1, "x", "a"),
        get(2, "x", "a").after(&[1]),
        absent(3, "x", Absence::Initial),
        delete(4, "x").after(&[1, 3]),
        with(put(5, "x", "b"), Outcome::Refused),
        deleted(6, "x", 4).after(&[2]),
    ]));
    // Keys: 0 is x, 1 is read by all, 2 is the metadata of #1 that #4 used besides that of #3.
    let expected = "\
w(0,1,0,0)
w(1,2,0,0)
r(1,2,1,1)
w(0,3,1,1)
w(2,3,1,1)
r(0,3,1,2)
r(1,2,2,3)
r(0,1,2,3)
r(2,3,2,4)
w(0,6,2,4)
r(0,6,1,5)
w(0,8,0,-1)
";
    assert_eq!(written.as_deref(), Ok(expected));
}

#[test]
fn what_others_wrote_is_read_and_checked() {
    let good = "w(0,1,0,0)\nr(0,1,1,1)\nw(1,1,1,2)\nr(1,1,2,3)\nr(0,1,2,3)\nr(7,0,2,4)\n";
    let report = check(&text::read(good).unwrap());
    assert!(report.holds(), "{report}");
    assert_eq!(
        (
            report.counts.puts,
            report.counts.found,
            report.counts.absent
        ),
        (2, 3, 1)
    );
    let bad = "w(0,1,0,0)\nr(0,1,1,1)\nw(1,1,1,2)\nr(1,1,2,3)\nr(0,0,2,3)\n";
    assert!(check(&text::read(bad).unwrap()).has(Kind::WriteCoInitRead));
    let aborted = "w(0,1,0,-1)\nr(0,1,1,1)\nr(0,5,1,-1)\n";
    assert!(check(&text::read(aborted).unwrap()).has(Kind::ThinAirRead));
}

#[test]
fn what_is_not_of_the_format_is_refused_with_its_line() {
    for line in [
        "",
        "x(0,1,2,3)",
        "w 0 1 2 3",
        "w(0,1,2)",
        "w(0,1,2,3,4)",
        "w(0,-1,2,3)",
        "r(0,1,2,-2)",
        "w(0,+1,2,3)",
        "é(1)",
        "w(0,1,2,3) ",
    ] {
        let error = text::read(&format!("w(0,1,0,0)\n{line}\n")).unwrap_err();
        assert_eq!(error.line, 2, "{line:?}: {error}");
    }
}

#[test]
fn a_history_that_cannot_be_is_not_written() {
    assert!(text::write(&history(&[get(1, "x", "a").after(&[7])])).is_err());
}

#[test]
fn the_examples_of_the_documentation_are_what_is_printed() {
    let page = include_str!("../../docs/checkers.md");
    let example = history(&[
        put(1, "x", "a"),
        absent(2, "x", Absence::Initial).after(&[1]),
    ]);
    let report = check(&example).to_string();
    assert!(page.contains(&report), "{report}");
    let example = history(&[
        put(1, "x", "a"),
        absent(2, "x", Absence::Initial),
        get(3, "x", "a").after(&[1, 2]),
    ]);
    let written = text::write(&example).unwrap();
    assert!(page.contains(&written), "{written}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_text_of_a_history_is_judged_as_the_history_is(
        seed in any::<u64>(),
        operations in 1..60_u64,
        named in any::<bool>(),
        bug in proptest::sample::select(vec![Bug::None, Bug::ReadForgotten, Bug::OlderVersion, Bug::TombstoneDropped]),
    ) {
        let mut history = run(Plan { seed, operations, keys: 2, delivery: 0.1, bug, named });
        history.final_states.clear();
        let (direct, text) = (check(&history), text::write(&history));
        let read = check(&text::read(&text.unwrap()).unwrap());
        prop_assert_eq!(direct.holds(), read.holds(), "{}\n{}", direct, read);
    }
}
