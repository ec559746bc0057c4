//! Random runs of the model store: accepted if it is correct, rejected soon if it is not.

use causet::checker::{Kind, Report, check};
use proptest::prelude::*;

use crate::model::{Bug, Plan, run};

const SEEDS: u64 = 40;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_correct_store_is_never_accused(
        seed in any::<u64>(),
        operations in 1..150_u64,
        keys in 1..5_usize,
        delivery in 0.01..0.5,
        named in any::<bool>(),
    ) {
        let report = check(&run(Plan { seed, operations, keys, delivery, bug: Bug::None, named }));
        prop_assert!(report.holds(), "{report}");
    }
}

/// Two runs per seed, one on two hot keys and one on many: the reports of those that were rejected, by seed.
fn caught(bug: Bug, named: bool) -> Vec<Vec<Report>> {
    let report = |seed, keys, delivery| {
        check(&run(Plan {
            seed,
            operations: 250,
            keys,
            delivery,
            bug,
            named,
        }))
    };
    let both = |seed| [report(seed, 2, 0.1), report(seed, 40, 0.05)];
    let rejected = |seed| both(seed).into_iter().filter(|report| !report.holds());
    (0..SEEDS).map(|seed| rejected(seed).collect()).collect()
}

fn count(caught: &[Vec<Report>]) -> usize {
    caught.iter().filter(|reports| !reports.is_empty()).count()
}

#[test]
fn every_bug_of_the_store_that_shows_is_caught_within_a_few_seeds() {
    let bugs = [
        (Bug::ReadsUnchecked, 35, 35),
        (Bug::ReadForgotten, 20, 10),
        (Bug::WriteForgotten, 35, 35),
        (Bug::OlderVersion, 35, 35),
        (Bug::WriteLost, 28, 25),
        (Bug::TimeIgnoresPast, 35, 35),
        (Bug::ArrivalWins, 35, 35),
        (Bug::TombstoneDropped, 35, 20),
        (Bug::DeleteSkipped, 35, 35),
    ];
    for (bug, at_least, at_least_unnamed) in bugs {
        let (named, unnamed) = (count(&caught(bug, true)), count(&caught(bug, false)));
        println!(
            "{bug:?}: caught with {named} of {SEEDS} seeds, {unnamed} if deletes are not named"
        );
        assert!(
            named >= at_least && unnamed >= at_least_unnamed,
            "{bug:?}: {named}, {unnamed}"
        );
    }
    assert_eq!(count(&caught(Bug::None, true)), 0);
    // What clients cannot see is no violation: see the bug's own line.
    assert_eq!(count(&caught(Bug::DeliveryUnchecked, true)), 0);
}

#[test]
fn what_is_caught_has_the_name_of_the_bug() {
    let has = |bug, kind: Kind| {
        let reports = caught(bug, true);
        let shown = reports.iter().flatten().any(|report| report.has(kind));
        assert!(shown, "{bug:?} never shows as {kind}");
    };
    has(Bug::DeleteSkipped, Kind::Resurrection);
    has(Bug::TombstoneDropped, Kind::WriteCoInitRead);
    has(Bug::ArrivalWins, Kind::CyclicCf);
    has(Bug::ArrivalWins, Kind::Divergence);
    has(Bug::WriteLost, Kind::LostWrite);
    has(Bug::OlderVersion, Kind::WriteCoRead);
    has(Bug::ReadsUnchecked, Kind::WriteCoInitRead);
}
