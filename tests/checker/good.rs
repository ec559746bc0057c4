//! Histories that a correct store can produce, some of them surprising.

use causet::checker::{Absence, History, Operation, Outcome, check};

use crate::shorthand::{absent, delete, deleted, get, held, history, put, with};

fn accept(history: &History) {
    let report = check(history);
    assert!(report.holds(), "{report}");
}

#[test]
fn nothing_and_one_client_alone() {
    accept(&History::default());
    accept(&history(&[
        absent(1, "x", Absence::Initial),
        put(2, "x", "a").after(&[1]),
        get(3, "x", "a").after(&[2]),
        delete(4, "x").after(&[3]),
        deleted(5, "x", 4).after(&[4]),
        put(6, "x", "b").after(&[5]),
        get(7, "x", "b").after(&[6]),
    ]));
}

#[test]
fn who_starts_afresh_or_repeats_old_metadata_may_read_old_values() {
    accept(&history(&[
        put(1, "x", "a"),
        put(2, "x", "b").after(&[1]),
        get(3, "x", "b").after(&[2]),
        get(4, "x", "a"),
        get(5, "x", "a").after(&[1]),
        absent(6, "x", Absence::Initial),
    ]));
}

#[test]
fn concurrent_writes_may_win_either_way_but_once() {
    let writes = [put(1, "x", "a"), put(2, "x", "b")];
    for winner in ["a", "b"] {
        let mut operations = writes.to_vec();
        operations.push(get(3, "x", winner).after(&[1, 2]));
        operations.push(get(4, "x", winner).after(&[1, 2]));
        operations.push(get(5, "x", winner).after(&[3, 4]));
        accept(&history(&operations));
    }
}

#[test]
fn two_concurrent_writes_seen_one_after_the_other() {
    // Without the other write in his past, a reader says nothing about which one wins.
    accept(&history(&[
        put(1, "x", "a"),
        put(2, "x", "b"),
        get(3, "x", "a"),
        get(4, "x", "b").after(&[3]),
        get(5, "x", "b"),
    ]));
}

#[test]
fn causes_may_be_unseen_by_those_who_did_not_hear_of_them() {
    // The answer to y is read without its question by nobody; x alone may be stale for a stranger.
    accept(&history(&[
        put(1, "x", "question"),
        get(2, "x", "question"),
        put(3, "y", "answer").after(&[2]),
        get(4, "y", "answer"),
        get(5, "x", "question").after(&[4]),
        absent(6, "x", Absence::Initial),
    ]));
}

#[test]
fn writes_without_an_answer_may_have_happened_or_not() {
    let unanswered = || with(put(2, "x", "b").after(&[1]), Outcome::Unknown);
    let rest = |value| {
        [
            get(3, "x", value).after(&[1]),
            get(4, "x", value).after(&[3]),
        ]
    };
    for value in ["a", "b"] {
        let [one, other] = rest(value);
        accept(&history(&[put(1, "x", "a"), unanswered(), one, other]));
    }
    // The identity of a delete without an answer shows only in what reads report.
    let lost = with(delete(2, "x").after(&[1]), Outcome::Unknown);
    accept(&history(&[
        put(1, "x", "a"),
        lost,
        deleted(3, "x", 77).after(&[1]),
        deleted(4, "x", 77).after(&[3]),
    ]));
}

#[test]
fn refused_operations_count_but_mean_nothing() {
    let report = check(&history(&[
        put(1, "x", "a"),
        with(get(2, "x", "").after(&[1]), Outcome::Refused),
        with(put(3, "x", "b").after(&[1]), Outcome::Refused),
        put(4, "x", "b").after(&[1]),
        get(5, "x", "b").after(&[4]),
    ]));
    assert!(report.holds(), "{report}");
    assert_eq!((report.counts.refused, report.counts.puts), (2, 2));
}

#[test]
fn absence_without_a_name_is_explained_by_any_delete_that_can_be() {
    let unnamed = |id| absent(id, "x", Absence::Unnamed);
    // The initial state, for whoever has seen no write; a concurrent delete, for whoever has.
    let report = check(&history(&[
        put(1, "x", "a"),
        unnamed(2),
        delete(3, "x").after(&[1]),
        delete(4, "x").after(&[1]),
        unnamed(5).after(&[1]),
    ]));
    assert!(report.holds(), "{report}");
    let counts = report.counts;
    assert_eq!((counts.absent_initial, counts.absent_ambiguous), (1, 1));
    // The same delete cannot be read before it was made; another one can.
    accept(&history(&[
        put(1, "x", "a"),
        with(delete(2, "x").after(&[1]), Outcome::Unknown),
        unnamed(3).after(&[1]),
        put(4, "x", "b").after(&[3]),
        get(5, "x", "b").after(&[4]),
    ]));
}

#[test]
fn a_delete_that_found_nothing_is_a_read() {
    let nothing = |by: &str| Outcome::Absent(Absence::By(by.to_owned()));
    accept(&history(&[
        put(1, "x", "a"),
        delete(2, "x").after(&[1]),
        with(delete(3, "x").after(&[2]), nothing("A#2")),
    ]));
}

/// DELETEs that say "absent" and name no delete may have written, if another one came first that they had not seen.
#[test]
fn a_delete_that_another_one_overtook_may_have_written() {
    let nothing = |id, parents: &[u64]| {
        with(delete(id, "x"), Outcome::Absent(Absence::Unnamed)).after(parents)
    };
    // #4 wrote: it wins over b, though #3 does not, and b comes after #3.
    let mut operations = vec![
        put(1, "x", "a"),
        put(2, "y", "c"),
        delete(3, "x").after(&[1, 2]),
        nothing(4, &[1]),
        put(5, "x", "b").after(&[3]),
        absent(6, "x", Absence::Unnamed).after(&[5]),
    ];
    let report = check(&history(&operations));
    assert!(report.holds(), "{report}");
    assert_eq!(report.counts.absent_deleted, 1, "{report}");
    let mut quiet = history(&operations);
    quiet.final_states = vec![held("A", &[("x", None), ("y", Some("c"))])];
    accept(&quiet);
    // What it has not seen of #3 it need not know: not what #3 depends on, either.
    operations.push(absent(7, "y", Absence::Initial).after(&[4]));
    accept(&history(&operations));
}

#[test]
fn a_forgiven_write_is_not_missed() {
    let operations: [Operation; 3] = [
        put(1, "x", "a"),
        put(2, "x", "b").after(&[1]),
        get(3, "x", "a").after(&[2]),
    ];
    let mut lost = history(&operations);
    lost.final_states = vec![held("A", &[("x", Some("a"))])];
    assert!(!check(&lost).holds());
    lost.forgiven.insert(operations[1].id);
    accept(&lost);
}
