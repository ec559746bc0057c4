//! Plans written by hand: what random ones meet too rarely.

use causet::sim::network::Weather;
use causet::sim::plan::{Action, Fault, Lineage, Plan, Request, Shape, Timed};
use causet::sim::run::{Verdict, run};

use crate::simulation::paused;

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// Three nodes with good clocks on a fast network, and nothing else but this.
fn tell(faults: Vec<(u64, Fault)>, requests: &[(u64, usize, Action)]) -> Verdict {
    let timed = |(at_ms, what)| Timed { at_ms, what };
    let request = |&(at_ms, node, action)| Timed {
        at_ms,
        what: Request {
            client: 0,
            node,
            key: 0,
            action,
            lineage: Lineage::Fresh,
            wait_s: None,
            elsewhere_ms: None,
        },
    };
    let plan = Plan {
        kinds: [].into(),
        shape: Shape {
            nodes: 3,
            starts_ms: vec![0, 10, 20],
            skews_ms: vec![0; 3],
            tight: false,
            forget_after_ms: None,
            tombstones_max: None,
        },
        weather: Weather::FAIR,
        quiet_ms: 20_000,
        faults: faults.into_iter().map(timed).collect(),
        operations: requests.iter().map(request).collect(),
        ..Plan::from_seed(1)
    };
    run(&plan, paused)
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
        let requests = [(1_000, C, Action::Put), (4_200, A, Action::Delete)];
        let verdict = tell(faults, &requests);
        assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
        let collected = verdict.counts.get("tombstones_collected");
        assert_eq!(collected, Some(&3), "{B} has collected it, too");
    }
}
