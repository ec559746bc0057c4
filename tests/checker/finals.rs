//! What the replicas held at quiet.

use causet::checker::{Absence, FinalState, Held, History, Kind, Operation, Outcome, check};

use crate::shorthand::{delete, get, held, history, put, with};

fn ending(operations: &[Operation], states: &[FinalState]) -> History {
    History {
        final_states: states.to_vec(),
        ..history(operations)
    }
}

fn accept(operations: &[Operation], states: &[FinalState]) {
    let report = check(&ending(operations, states));
    assert!(report.holds(), "{report}");
}

fn reject(operations: &[Operation], states: &[FinalState], kind: Kind) {
    let report = check(&ending(operations, states));
    assert_eq!(report.violations.len(), 1, "{report}");
    assert!(report.has(kind), "{report}");
}

fn chain() -> [Operation; 2] {
    [put(1, "x", "a"), put(2, "x", "b").after(&[1])]
}

#[test]
fn the_last_of_a_chain_and_any_of_concurrent_writes_are_accepted() {
    let b = held("B", &[("x", Some("b"))]);
    accept(&chain(), &[held("A", &[("x", Some("b"))]), b]);
    for value in ["a", "b"] {
        accept(
            &[put(1, "x", "a"), put(2, "x", "b")],
            &[held("A", &[("x", Some(value))])],
        );
    }
    accept(
        &[put(1, "x", "a"), delete(2, "x").after(&[1])],
        &[held("A", &[])],
    );
}

#[test]
fn a_write_without_an_answer_may_be_there_or_not() {
    let operations = [
        put(1, "x", "a"),
        with(put(2, "x", "b").after(&[1]), Outcome::Unknown),
    ];
    for value in ["a", "b"] {
        accept(&operations, &[held("A", &[("x", Some(value))])]);
    }
    let lost = with(delete(2, "x").after(&[1]), Outcome::Unknown);
    accept(&[put(1, "x", "a"), lost], &[held("A", &[])]);
}

#[test]
fn replicas_that_differ() {
    let states = [
        held("A", &[("x", Some("a"))]),
        held("B", &[("x", Some("b"))]),
    ];
    reject(
        &[put(1, "x", "a"), put(2, "x", "b")],
        &states,
        Kind::Divergence,
    );
    let states = [held("A", &[("x", Some("a"))]), held("B", &[])];
    let report = check(&ending(&[put(1, "x", "a")], &states));
    assert!(report.has(Kind::Divergence), "{report}");
}

#[test]
fn an_overwritten_value() {
    reject(&chain(), &[held("A", &[("x", Some("a"))])], Kind::LostWrite);
}

#[test]
fn nothing_where_something_was_acknowledged() {
    reject(&[put(1, "x", "a")], &[held("A", &[])], Kind::LostWrite);
    let initial = Held::Absent(Absence::Initial);
    let state = FinalState {
        replica: "A".to_owned(),
        held: [("x".to_owned(), initial)].into(),
    };
    reject(
        &[put(1, "x", "a")],
        std::slice::from_ref(&state),
        Kind::LostWrite,
    );
    reject(&[delete(1, "x")], &[state], Kind::LostWrite);
}

#[test]
fn a_write_without_an_answer_that_was_read_and_lost() {
    let operations = [
        put(1, "x", "a"),
        with(put(2, "x", "b").after(&[1]), Outcome::Unknown),
        get(3, "x", "b"),
    ];
    reject(
        &operations,
        &[held("A", &[("x", Some("a"))])],
        Kind::LostWrite,
    );
}

#[test]
fn a_winner_that_reads_saw_lose() {
    let operations = [
        put(1, "x", "a"),
        put(2, "x", "b"),
        get(3, "x", "b").after(&[1, 2]),
    ];
    accept(&operations, &[held("A", &[("x", Some("b"))])]);
    reject(
        &operations,
        &[held("A", &[("x", Some("a"))])],
        Kind::LostWrite,
    );
}

#[test]
fn a_resurrected_value_at_the_end() {
    let operations = [put(1, "x", "a"), delete(2, "x").after(&[1])];
    reject(
        &operations,
        &[held("A", &[("x", Some("a"))])],
        Kind::LostWrite,
    );
}

#[test]
fn what_nobody_wrote_there() {
    reject(
        &[put(1, "x", "a")],
        &[held("A", &[("x", Some("z"))])],
        Kind::ThinAirFinal,
    );
    reject(
        &[put(1, "x", "a")],
        &[held("A", &[("x", Some("a")), ("y", Some("a"))])],
        Kind::ThinAirFinal,
    );
}

#[test]
fn forgiven_writes_may_be_gone() {
    let mut history = ending(&chain(), &[held("A", &[("x", Some("a"))])]);
    history.forgiven.insert(history.operations[1].id);
    assert!(check(&history).holds());
    let mut history = ending(&[put(1, "x", "a")], &[held("A", &[])]);
    history.forgiven.insert(history.operations[0].id);
    assert!(check(&history).holds());
}
