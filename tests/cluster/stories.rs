//! Plans written by hand: what random ones meet too rarely.

use causet::sim::network::Weather;
use causet::sim::plan::{Action, Fault, Lineage, Plan, Request, Shape, Timed};
use causet::sim::run::{Verdict, run};

use crate::simulation::paused;

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;

/// So many nodes with good clocks on a fast network, and nothing else but this. Requests are of one key; the client's first one is made with
/// nothing observed, the others with all that it has.
fn tell(nodes: u8, faults: Vec<(u64, Fault)>, requests: &[(u64, usize, usize, Action)]) -> Verdict {
    run(&plan(nodes, faults, requests), paused)
}

fn plan(nodes: u8, faults: Vec<(u64, Fault)>, requests: &[(u64, usize, usize, Action)]) -> Plan {
    let timed = |(at_ms, what)| Timed { at_ms, what };
    let request = |&(at_ms, client, node, action)| Timed {
        at_ms,
        what: Request {
            client,
            node,
            key: 0,
            action,
            lineage: Lineage::Own,
            wait_s: None,
            elsewhere_ms: None,
        },
    };
    Plan {
        kinds: [].into(),
        shape: Shape {
            nodes,
            starts_ms: (0..u64::from(nodes)).map(|n| 10 * n).collect(),
            skews_ms: vec![0; usize::from(nodes)],
            tight: false,
            forget_after_ms: None,
            tombstones_max: None,
            shards: None,
        },
        weather: Weather::FAIR,
        quiet_ms: 22_000,
        faults: faults.into_iter().map(timed).collect(),
        operations: requests.iter().map(request).collect(),
        ..Plan::from_seed(1)
    }
}

/// B has the value; a life of A that B never hears of deletes it at C. B is back, but what it lacks does not flow yet over links
/// that have to settle: the tombstone must not go before B has it.
#[test]
fn a_delete_by_a_life_that_a_member_never_heard_of_waits_for_that_member() {
    let b_apart = || Fault::Split(vec![0, 1, 0]);
    for heal_ms in [7_400, 7_550, 7_700] {
        let faults = vec![
            (2_000, b_apart()),
            (2_100, Fault::Crash(A)),
            (2_200, Fault::Start(A)),
            (5_200, Fault::Crash(A)),
            (5_300, Fault::Start(A)),
            // B meets the last life of A, and is cut off again before it has anything of it.
            (6_000, Fault::Heal),
            (6_200, b_apart()),
            (heal_ms, Fault::Heal),
        ];
        let requests = [(1_000, 0, C, Action::Put), (4_200, 1, A, Action::Delete)];
        let verdict = tell(3, faults, &requests);
        assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
        let collected = verdict.counts.get("tombstones_collected");
        assert_eq!(collected, Some(&3), "{B} has collected it, too");
    }
}

/// A and B have a value that nobody else has, and are forgotten. A comes back first, and a client overwrites what it reads there; B comes back
/// to D, which knows nothing of that.
#[test]
fn of_two_forgotten_replicas_with_the_same_value_only_one_brings_it_back() {
    let faults = vec![
        (2_000, Fault::Split(vec![1, 1, 0, 0])),
        (4_000, Fault::Forget(C, A)),
        (4_100, Fault::Forget(C, B)),
        (7_500, Fault::Heal),
        (7_500, Fault::Split(vec![0, 1, 0, 2])),
        (7_600, Fault::Add(C, A)),
        (13_000, Fault::Heal),
        (13_000, Fault::Split(vec![0, 1, 0, 1])),
        (13_100, Fault::Add(D, B)),
        (19_500, Fault::Heal),
    ];
    let requests = [
        (2_500, 0, A, Action::Put),
        (12_000, 1, A, Action::Get),
        (12_500, 1, A, Action::Put),
    ];
    let verdict = tell(4, faults, &requests);
    assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    assert_eq!(verdict.counts.get("incarnations_renewed"), Some(&2));
}

/// The same, but B has deleted the value before, and comes back first: its DELETE is collected before A is back with the value.
#[test]
fn a_value_does_not_come_back_after_the_delete_of_another_forgotten_replica() {
    let faults = vec![
        (2_000, Fault::Split(vec![1, 1, 0, 0])),
        (3_000, Fault::Cut(A, B)),
        (3_000, Fault::Cut(B, A)),
        (4_000, Fault::Forget(C, A)),
        (4_100, Fault::Forget(C, B)),
        (6_000, Fault::Heal),
        (6_000, Fault::Split(vec![1, 0, 0, 0])),
        (6_100, Fault::Add(C, B)),
        (16_000, Fault::Heal),
        (16_100, Fault::Add(C, A)),
    ];
    let requests = [
        (2_500, 0, A, Action::Put),
        (3_300, 1, B, Action::Get),
        (3_400, 1, B, Action::Delete),
    ];
    let verdict = tell(4, faults, &requests);
    assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    let counted = |name: &str| verdict.counts.get(name).copied().unwrap_or_default();
    assert_eq!(counted("writes_reissued"), 1, "the DELETE alone");
    assert!(counted("tombstones_collected") >= 3);
}

/// A delete is known to A and B alone, C and D have the value. C is cut off with D, which starts there with what C has, while the others forget
/// C and then B, and collect. B and C come back and hear of D first: all three must be born again when they meet the others.
#[test]
fn who_starts_beside_a_forgotten_replica_does_not_bring_back_what_was_deleted() {
    let faults = vec![
        (1_900, Fault::Crash(D)),
        (12_000, Fault::Split(vec![2, 2, 0, 2, 1, 1])),
        (19_700, Fault::Heal),
        (21_700, Fault::Split(vec![0, 2, 1, 1, 0, 0])),
        (26_700, Fault::Start(D)),
    ];
    let requests = [(11_200, 0, C, Action::Put), (18_900, 0, B, Action::Delete)];
    let mut plan = plan(6, faults, &requests);
    plan.shape.forget_after_ms = Some(3_400);
    plan.quiet_ms = 60_000;
    let verdict = run(&plan, paused);
    assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    let collected = verdict.counts.get("tombstones_collected").copied();
    assert!(collected >= Some(3), "{collected:?}");
}
