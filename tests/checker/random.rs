//! Random runs of the model store: accepted if it is correct, rejected soon if it is not.

use causet::checker::{Kind, Report, check};
use proptest::prelude::*;

use crate::model::{Bug, Plan, run};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_correct_store_is_never_accused(
        seed in any::<u64>(),
        operations in 1..150_u64,
        keys in 1..5_usize,
        named in any::<bool>(),
    ) {
        let report = check(&run(Plan { seed, operations, keys, bug: Bug::None, named }));
        prop_assert!(report.holds(), "{report}");
    }
}

/// Of 100 runs of 120 operations each, those with a violation, and their reports.
fn caught(bug: Bug, named: bool) -> Vec<Report> {
    let plan = |seed| Plan {
        seed,
        operations: 120,
        keys: 3,
        bug,
        named,
    };
    let reports = (0..100).map(|seed| check(&run(plan(seed))));
    reports.filter(|report| !report.holds()).collect()
}

#[test]
fn every_bug_of_the_store_is_caught_in_most_runs() {
    let bugs = [
        (Bug::ReadsUnchecked, 70, 50),
        (Bug::ReadForgotten, 0, 0),
        (Bug::WriteForgotten, 0, 0),
        (Bug::DeliveryUnchecked, 0, 0),
        (Bug::OlderVersion, 0, 0),
        (Bug::WriteLost, 0, 0),
        (Bug::TimeIgnoresPast, 0, 0),
        (Bug::ArrivalWins, 0, 0),
        (Bug::TombstoneDropped, 0, 0),
        (Bug::DeleteSkipped, 0, 0),
    ];
    for (bug, at_least, at_least_unnamed) in bugs {
        let (named, unnamed) = (caught(bug, true).len(), caught(bug, false).len());
        println!("{bug:?}: caught in {named} of 100 runs, {unnamed} if deletes are not named");
        assert!(
            named >= at_least && unnamed >= at_least_unnamed,
            "{bug:?}: {named}, {unnamed}"
        );
    }
    assert!(caught(Bug::None, true).is_empty());
}

#[test]
fn what_is_caught_has_the_name_of_the_bug() {
    let has = |bug, kind: Kind| {
        let reports = caught(bug, true);
        let count = reports.iter().filter(|report| report.has(kind)).count();
        assert!(count > 0, "{bug:?} never shows as {kind}");
    };
    has(Bug::DeleteSkipped, Kind::Resurrection);
    has(Bug::TombstoneDropped, Kind::WriteCoInitRead);
    has(Bug::ArrivalWins, Kind::CyclicCf);
    has(Bug::ArrivalWins, Kind::Divergence);
    has(Bug::WriteLost, Kind::LostWrite);
    has(Bug::OlderVersion, Kind::WriteCoRead);
    has(Bug::ReadsUnchecked, Kind::WriteCoInitRead);
}
