//! Plans from seeds for clusters with shards: clients roam over all nodes, which pass on what others keep.

use causet::sim::batch::Batch;
use causet::sim::plan::Plan;
use causet::sim::run::run;

use crate::simulation::paused;

/// Seeds that every run begins with.
const PINNED: std::ops::Range<u64> = 61..81;

#[test]
fn pinned_seeds_with_shards_break_no_promise_and_between_them_everything_happens() {
    let mut batch = Batch::default();
    for seed in PINNED {
        let plan = Plan::with_shards(seed);
        batch.add(&plan, run(&plan, paused));
    }
    assert!(batch.failures.is_empty(), "{:#?}", batch.failures);
    assert_eq!(batch.never_happened(), [""; 0]);
}

/// Seeds with reshards; 22, 27, 35 and 36 have found faults.
const DEALT: [u64; 10] = [4, 5, 9, 14, 22, 27, 35, 36, 40, 58];

#[test]
fn pinned_seeds_with_reshards_break_no_promise() {
    let mut batch = Batch::default();
    for seed in DEALT {
        let plan = Plan::with_reshards(seed);
        batch.add(&plan, run(&plan, paused));
    }
    assert!(batch.failures.is_empty(), "{:#?}", batch.failures);
    let deals = ["shards dealt anew", "keys_taken_over", "late hand-overs"];
    assert!(deals.iter().all(|name| batch.counts[*name] > 0));
}

#[test]
fn the_same_plan_with_shards_gives_the_same_events_twice() {
    let plan = Plan::with_shards(7);
    let (first, again) = (run(&plan, paused), run(&plan, paused));
    assert_eq!(again.events, first.events);
    assert_eq!(again.counts, first.counts);
}
