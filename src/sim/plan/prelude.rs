//! What happens before all else in some plans, while nobody asks for anything else: stories that need more things in a row than
//! chance brings together.

use rand::RngExt;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Action, Fault, Kind, Lineage, Plan, Request, Timed};

/// How long it takes; all the rest of the plan is later by as much.
const TAKES_MS: u64 = 14_000;

/// In one of eight plans that it fits into: a life that a member has never heard of deletes what that member has. Drawn from a source
/// of its own: all the rest of a plan is what it is without it.
pub(super) fn add_unheard_of_life(plan: &mut Plan) {
    let mut rng = ChaCha8Rng::seed_from_u64(!plan.seed ^ 0x11FE);
    if !rng.random_bool(0.125) || plan.kinds.contains(&Kind::LateStart) || plan.shape.tight {
        return;
    }
    plan.quiet_ms += TAKES_MS;
    let times = plan.faults.iter_mut().map(|fault| &mut fault.at_ms);
    let requests = plan.operations.iter_mut().map(|request| &mut request.at_ms);
    times.chain(requests).for_each(|at_ms| *at_ms += TAKES_MS);
    let mut nodes: Vec<usize> = (0..usize::from(plan.shape.nodes)).collect();
    nodes.shuffle(&mut rng);
    tell(plan, &mut rng, [nodes[0], nodes[1], nodes[2]]);
}

/// The one that is cut off has the value of the writer. It meets the maker only in a life after the one that deletes it, and is cut
/// off again at once, so that all its links have to settle when it is back: it reports before it has everything.
fn tell(plan: &mut Plan, rng: &mut ChaCha8Rng, [maker, cut_off, writer]: [usize; 3]) {
    let group_of = |node| u8::from(usize::from(node) == cut_off);
    let apart: Vec<u8> = (0..plan.shape.nodes).map(group_of).collect();
    let deleted_ms = 3_500 + rng.random_range(0..500);
    let met_ms = deleted_ms + 2_000;
    let apart_ms = met_ms + rng.random_range(120..240);
    let back_ms = apart_ms + rng.random_range(1_100..2_000);
    for (at_ms, what) in [
        (2_000, Fault::Split(apart.clone())),
        (2_100, Fault::Crash(maker)),
        (2_200, Fault::Start(maker)),
        (deleted_ms + 1_000, Fault::Crash(maker)),
        (deleted_ms + 1_100, Fault::Start(maker)),
        (met_ms, Fault::Heal),
        (apart_ms, Fault::Split(apart)),
        (back_ms, Fault::Heal),
    ] {
        plan.faults.push(Timed { at_ms, what });
    }
    for (at_ms, node, action) in [
        (1_000, writer, Action::Put),
        (deleted_ms, maker, Action::Delete),
    ] {
        let what = Request {
            client: 0,
            node,
            key: 0,
            action,
            lineage: Lineage::Fresh,
            wait_s: None,
            elsewhere_ms: None,
        };
        plan.operations.push(Timed { at_ms, what });
    }
}
