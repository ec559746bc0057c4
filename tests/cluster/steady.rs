//! Long steady work with nodes that lose their memory: nothing gathers. `examples/steady.rs` does the same for a month.

use causet::sim::steady::{Course, Outcome, grown, run};

use crate::simulation::paused;

const COURSE: Course = Course {
    nodes: 3,
    seed: 5,
    clients: 4,
    keys_each: 16,
    request_every_ms: 1_000,
    restart_every_ms: 16_000,
    down_ms: 2_000,
    count_after: Vec::new(),
    idle_week: false,
};

/// Runs it, and checks that what is to leave no trace has happened.
fn outcome_of(course: &Course) -> Outcome {
    let outcome = run(course, paused, || None, |_| {});
    assert!(
        outcome.violations.is_empty(),
        "{course:?}: {:#?}",
        outcome.violations
    );
    let restarts = u64::from(*course.count_after.last().unwrap());
    for (name, at_least) in [
        ("lives_retired", restarts),
        ("tombstones_collected", restarts),
        ("repairs result=\"ok\"", restarts),
        ("deletes", restarts),
    ] {
        let count = outcome.counts.get(name).copied().unwrap_or(0);
        assert!(count >= at_least, "{name}: {count} of {at_least}");
    }
    outcome
}

fn assert_nothing_grows(outcome: &Outcome) {
    let first = &outcome.figures[0];
    for later in &outcome.figures[1..] {
        let names = grown(first, later);
        assert_eq!(names, [""; 0], "{first:#?} {later:#?}");
    }
}

#[test]
fn hours_of_writes_and_deletes_with_restarts_leave_nothing_behind() {
    let course = Course {
        keys_each: 40,
        restart_every_ms: 4 * 60_000,
        down_ms: 30_000,
        count_after: vec![6, 12, 18, 24],
        ..COURSE
    };
    assert_nothing_grows(&outcome_of(&course));
}

#[test]
fn a_hundred_restarts_leave_as_little_behind_as_ten() {
    let course = Course {
        count_after: vec![10, 100],
        ..COURSE
    };
    let outcome = outcome_of(&course);
    assert_nothing_grows(&outcome);
    let finals = |at: usize| outcome.figures[at].sizes["final counters of ended lives"];
    assert_eq!(
        (finals(0), finals(1)),
        (10, 100),
        "these are kept for a week"
    );
}
