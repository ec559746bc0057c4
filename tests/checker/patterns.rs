//! Each bad pattern, and each error of identity, in the smallest history that has it.

use causet::checker::{
    Absence, Action, Guarantee, History, Kind, Operation, OperationId, Outcome, check,
};

use crate::shorthand::{absent, acknowledged, delete, deleted, get, history, put, with};

/// Exactly one violation, of this kind, shown by these operations.
fn reject(history: &History, kind: Kind, operations: &[u64]) -> String {
    let report = check(history);
    assert_eq!(report.violations.len(), 1, "{report}");
    let violation = &report.violations[0];
    assert_eq!(violation.kind, kind, "{report}");
    let expected: Vec<OperationId> = operations.iter().copied().map(OperationId).collect();
    assert_eq!(violation.operations, expected, "{report}");
    violation.to_string()
}

#[test]
fn cyclic_co_each_reads_what_was_written_after_it() {
    let told = reject(
        &history(&[
            get(1, "x", "a"),
            put(2, "y", "b").after(&[1]),
            get(3, "y", "b"),
            put(4, "x", "a").after(&[3]),
        ]),
        Kind::CyclicCo,
        &[1, 2, 3, 4],
    );
    assert!(
        told.contains("↓ its metadata was used by\n    #2 PUT y=b"),
        "{told}"
    );
    assert!(told.contains("↓ was read by\n    #3 GET y"), "{told}");
}

#[test]
fn thin_air_read_of_what_nobody_wrote() {
    reject(&history(&[get(1, "x", "a")]), Kind::ThinAirRead, &[1]);
}

#[test]
fn thin_air_read_of_what_was_refused() {
    let refused = with(put(1, "x", "a"), Outcome::Refused);
    reject(
        &history(&[refused, get(2, "x", "a")]),
        Kind::ThinAirRead,
        &[1, 2],
    );
}

#[test]
fn thin_air_read_of_a_delete_that_nobody_made() {
    reject(&history(&[deleted(1, "x", 9)]), Kind::ThinAirRead, &[1]);
    reject(
        &history(&[put(1, "x", "a"), deleted(2, "x", 1)]),
        Kind::ThinAirRead,
        &[1, 2],
    );
}

#[test]
fn thin_air_read_of_more_deletes_than_were_asked_for() {
    let lost = with(delete(1, "x"), Outcome::Unknown);
    let operations = [lost, deleted(2, "x", 8), deleted(3, "x", 9)];
    let report = check(&history(&operations));
    assert!(report.has(Kind::ThinAirRead), "{report}");
}

#[test]
fn write_co_init_read_of_a_key_that_the_reader_wrote() {
    let operations = [
        put(1, "x", "a"),
        absent(2, "x", Absence::Initial).after(&[1]),
    ];
    reject(&history(&operations), Kind::WriteCoInitRead, &[1, 2]);
}

#[test]
fn write_co_init_read_where_no_delete_explains_the_absence() {
    let unnamed = || absent(2, "x", Absence::Unnamed).after(&[1]);
    let operations = [put(1, "x", "a"), unnamed()];
    reject(&history(&operations), Kind::WriteCoInitRead, &[1, 2]);
    // A delete that comes after the read is no explanation.
    let operations = [put(1, "x", "a"), unnamed(), delete(3, "x").after(&[2])];
    reject(&history(&operations), Kind::WriteCoInitRead, &[1, 2]);
    // Nor is one that was overwritten by what the reader has seen.
    let operations = [
        delete(1, "x"),
        put(2, "x", "a").after(&[1]),
        absent(3, "x", Absence::Unnamed).after(&[2]),
    ];
    reject(&history(&operations), Kind::WriteCoInitRead, &[2, 3]);
}

/// A DELETE that says "absent" is no excuse for anybody, unless another DELETE can have come before it.
#[test]
fn write_co_init_read_where_a_delete_found_nothing() {
    let nothing = |id| with(delete(id, "x"), Outcome::Absent(Absence::Unnamed));
    let operations = [put(1, "x", "a"), nothing(2).after(&[1])];
    reject(&history(&operations), Kind::WriteCoInitRead, &[1, 2]);
    let operations = [
        put(1, "x", "a"),
        nothing(2),
        absent(3, "x", Absence::Unnamed).after(&[1]),
    ];
    reject(&history(&operations), Kind::WriteCoInitRead, &[1, 3]);
    // The other DELETE is in its past: it found nothing, rightly, and wrote nothing.
    let operations = [
        put(1, "x", "a"),
        delete(2, "x").after(&[1]),
        nothing(3).after(&[2]),
        put(4, "x", "b").after(&[2]),
        absent(5, "x", Absence::Unnamed).after(&[3, 4]),
    ];
    reject(&history(&operations), Kind::WriteCoInitRead, &[4, 5]);
    // It may have written; yet its own answer came before b.
    let operations = [
        put(1, "x", "a"),
        delete(2, "x").after(&[1]),
        nothing(3).after(&[1]),
        put(4, "x", "b").after(&[2, 3]),
        absent(5, "x", Absence::Unnamed).after(&[4]),
    ];
    reject(&history(&operations), Kind::WriteCoInitRead, &[4, 5]);
}

#[test]
fn resurrection_past_a_delete_that_said_absent_and_must_have_written() {
    let operations = [
        put(1, "x", "a"),
        delete(2, "x"),
        with(delete(3, "x"), Outcome::Absent(Absence::Unnamed)).after(&[1]),
        put(4, "x", "b").after(&[2]),
        absent(5, "x", Absence::Unnamed).after(&[4]),
        get(6, "x", "a").after(&[5]),
    ];
    reject(&history(&operations), Kind::Resurrection, &[1, 3, 5, 6]);
}

#[test]
fn write_co_read_of_an_overwritten_value() {
    let told = reject(
        &history(&[
            put(1, "x", "a"),
            put(2, "x", "b").after(&[1]),
            get(3, "x", "b"),
            get(4, "x", "a").after(&[3]),
        ]),
        Kind::WriteCoRead,
        &[1, 2, 3, 4],
    );
    let first = "WriteCORead (monotonic reads): x was read as a (PUT #1), although b (PUT #2), which came after it";
    assert!(told.starts_with(first), "{told}");
}

#[test]
fn write_co_read_of_a_delete_that_was_overwritten() {
    let operations = [
        delete(1, "x"),
        put(2, "x", "a").after(&[1]),
        deleted(3, "x", 1).after(&[2]),
    ];
    reject(&history(&operations), Kind::WriteCoRead, &[1, 2, 3]);
}

#[test]
fn resurrection_of_a_deleted_value() {
    let operations = [
        put(1, "x", "a"),
        delete(2, "x").after(&[1]),
        get(3, "x", "a").after(&[2]),
    ];
    reject(&history(&operations), Kind::Resurrection, &[1, 2, 3]);
}

#[test]
fn resurrection_past_a_delete_that_only_an_unnamed_absence_shows() {
    let operations = [
        put(1, "x", "a"),
        delete(2, "x").after(&[1]),
        absent(3, "x", Absence::Unnamed).after(&[1]),
        get(4, "x", "a").after(&[3]),
    ];
    reject(&history(&operations), Kind::Resurrection, &[1, 2, 3, 4]);
}

#[test]
fn resurrection_past_a_delete_without_an_answer() {
    let operations = [
        put(1, "x", "a"),
        with(delete(2, "x").after(&[1]), Outcome::Unknown),
        deleted(3, "x", 2).after(&[1]),
        get(4, "x", "a").after(&[3]),
    ];
    reject(&history(&operations), Kind::Resurrection, &[1, 2, 3, 4]);
}

#[test]
fn cyclic_cf_of_two_readers_before_whom_different_writes_win() {
    let operations = [
        put(1, "x", "a"),
        put(2, "x", "b"),
        get(3, "x", "a").after(&[1, 2]),
        get(4, "x", "b").after(&[1, 2]),
    ];
    let told = reject(&history(&operations), Kind::CyclicCf, &[1, 4, 2, 3]);
    assert!(told.contains("which saw this win over it"), "{told}");
}

#[test]
fn cyclic_cf_over_two_keys() {
    // Each of two clients overwrites one key and reads the other as if the other's overwriting had lost.
    let operations = [
        put(1, "x", "x1"),
        put(2, "y", "y1"),
        put(3, "y", "y2").after(&[1]),
        put(4, "x", "x2").after(&[2]),
        get(5, "x", "x1").after(&[1, 4]),
        get(6, "y", "y1").after(&[2, 3]),
    ];
    let report = check(&history(&operations));
    assert!(report.has(Kind::CyclicCf), "{report}");
}

#[test]
fn cyclic_cf_of_one_lineage_that_goes_back_and_forth() {
    let operations = [
        put(1, "x", "a"),
        get(2, "x", "a"),
        put(3, "x", "b"),
        get(4, "x", "b").after(&[2]),
        get(5, "x", "a").after(&[4]),
    ];
    let report = check(&history(&operations));
    assert!(report.has(Kind::CyclicCf), "{report}");
    assert!(report.breaks(Guarantee::MonotonicReads), "{report}");
}

#[test]
fn a_value_of_another_key() {
    let operations = [put(1, "x", "a"), get(2, "y", "a")];
    reject(&history(&operations), Kind::ForeignRead, &[1, 2]);
    let operations = [delete(1, "x"), deleted(2, "y", 1)];
    reject(&history(&operations), Kind::ForeignRead, &[1, 2]);
}

#[test]
fn an_identity_used_twice() {
    let again = with(put(2, "y", "b"), acknowledged("A#1"));
    reject(
        &history(&[put(1, "x", "a"), again]),
        Kind::ReusedIdentity,
        &[1, 2],
    );
}

#[test]
fn histories_that_cannot_be() {
    let malformed: [&[Operation]; 6] = [
        &[put(1, "x", "a"), put(1, "x", "b")],
        &[put(1, "x", "a"), put(2, "x", "a")],
        &[put(1, "x", "a").after(&[2]), put(2, "x", "b")],
        &[put(1, "x", "a").after(&[1])],
        &[
            with(put(1, "x", "a"), Outcome::Refused),
            get(2, "y", "b").after(&[1]),
        ],
        &[Operation::new(1, "x", Action::Get, acknowledged("A#1"))],
    ];
    for operations in malformed {
        let report = check(&history(operations));
        assert!(report.has(Kind::Malformed), "{report}");
    }
}

#[test]
fn a_report_has_the_metadata_the_clients_and_the_times() {
    let mut read = get(2, "x", "a");
    read.client = "c7".to_owned();
    read.replica = "10.0.0.1:80".to_owned();
    (read.start_ms, read.end_ms) = (12, Some(15));
    read.metadata = r#"{"clocks":{}}"#.to_owned();
    let told = check(&history(&[read])).to_string();
    let line = r#"#2 GET x by c7 at 10.0.0.1:80 [12–15 ms] → a, sent {"clocks":{}}"#;
    assert!(told.contains(line), "{told}");
}
