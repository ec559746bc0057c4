//! A report says which session guarantee broke.

use causet::checker::{Absence, Guarantee, Operation, check};

use crate::shorthand::{absent, delete, get, history, put};

fn breaks(operations: &[Operation], guarantee: Guarantee) {
    let report = check(&history(operations));
    assert_eq!(report.violations.len(), 1, "{report}");
    assert_eq!(report.violations[0].guarantee, Some(guarantee), "{report}");
}

#[test]
fn read_your_writes() {
    breaks(
        &[
            put(1, "x", "a"),
            put(2, "x", "b").after(&[1]),
            put(3, "y", "c").after(&[2]),
            get(4, "x", "a").after(&[3]),
        ],
        Guarantee::ReadYourWrites,
    );
    breaks(
        &[delete(1, "x"), absent(2, "x", Absence::Initial).after(&[1])],
        Guarantee::ReadYourWrites,
    );
}

#[test]
fn read_your_writes_through_metadata_that_was_handed_on_and_merged() {
    breaks(
        &[
            put(1, "x", "a"),
            put(2, "y", "b"),
            get(3, "y", "b").after(&[1, 2]),
            absent(4, "x", Absence::Initial).after(&[3]),
        ],
        Guarantee::ReadYourWrites,
    );
}

#[test]
fn monotonic_reads() {
    breaks(
        &[
            put(1, "x", "a"),
            get(2, "x", "a"),
            absent(3, "x", Absence::Initial).after(&[2]),
        ],
        Guarantee::MonotonicReads,
    );
}

#[test]
fn monotonic_writes() {
    breaks(
        &[
            put(1, "x", "a"),
            put(2, "y", "b").after(&[1]),
            get(3, "y", "b"),
            absent(4, "x", Absence::Initial).after(&[3]),
        ],
        Guarantee::MonotonicWrites,
    );
}

#[test]
fn writes_follow_reads() {
    breaks(
        &[
            put(1, "x", "question"),
            get(2, "x", "question"),
            put(3, "y", "answer").after(&[2]),
            get(4, "y", "answer"),
            absent(5, "x", Absence::Initial).after(&[4]),
        ],
        Guarantee::WritesFollowReads,
    );
}

#[test]
fn over_several_lineages_the_first_step_decides() {
    let chain = |start: &[Operation]| {
        let mut operations = start.to_vec();
        operations.extend([
            get(10, "y", "b"),
            put(11, "z", "c").after(&[10]),
            get(12, "z", "c"),
            absent(13, "x", Absence::Initial).after(&[12]),
        ]);
        operations
    };
    let own = [put(1, "x", "a"), put(3, "y", "b").after(&[1])];
    breaks(&chain(&own), Guarantee::MonotonicWrites);
    let other = [
        put(1, "x", "a"),
        get(2, "x", "a"),
        put(3, "y", "b").after(&[2]),
    ];
    breaks(&chain(&other), Guarantee::WritesFollowReads);
}
