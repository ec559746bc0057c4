//! What happens before all else in some plans, while nobody asks for anything else: stories that need more things in a row than
//! chance brings together.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Action, Fault, Kind, Lineage, Plan, Request, Timed};

/// How long a story takes; all the rest of the plan is later by as much.
const TAKES_MS: u64 = 18_000;
/// How long one of two that come back takes.
const RETURN_TAKES_MS: u64 = 21_000;

/// Tells a story in one of four plans that it fits into, and one of two that come back in one of four of the others. Drawn from a
/// source of its own: all the rest of a plan is what it is without it.
pub(super) fn add_story(plan: &mut Plan) {
    let mut rng = ChaCha8Rng::seed_from_u64(!plan.seed ^ 0x11FE);
    let told = rng.random_bool(0.25);
    if plan.kinds.contains(&Kind::LateStart) || plan.shape.tight {
        return;
    }
    if !told {
        rng = ChaCha8Rng::seed_from_u64(!plan.seed ^ 0x2FE1);
        if plan.shape.nodes < 4 || !rng.random_bool(0.25) {
            return;
        }
    }
    let takes_ms = if told { TAKES_MS } else { RETURN_TAKES_MS };
    plan.quiet_ms += takes_ms;
    let faults = plan.faults.iter_mut().map(|fault| &mut fault.at_ms);
    let requests = plan.operations.iter_mut().map(|request| &mut request.at_ms);
    let times = faults.chain(requests);
    times.for_each(|at_ms| *at_ms += takes_ms);
    let mut nodes: Vec<usize> = (0..usize::from(plan.shape.nodes)).collect();
    nodes.shuffle(&mut rng);
    let mut story = Story { plan, rng };
    if !told {
        let (forgotten, kept) = ([nodes[0], nodes[1]], [nodes[2], nodes[3]]);
        return if story.rng.random_bool(0.5) {
            story.add_two_that_come_back(forgotten, kept);
        } else {
            story.add_delete_that_comes_back_first(forgotten, kept[0]);
        };
    }
    match story.rng.random_range(0..3) {
        0 => story.add_unheard_of_life(nodes[0], nodes[1], nodes[2]),
        1 => story.add_late_write(nodes[0], nodes[1], nodes[2]),
        _ => story.add_old_report(nodes[0], nodes[1], nodes[2]),
    }
}

struct Story<'a> {
    plan: &'a mut Plan,
    rng: ChaCha8Rng,
}

impl Story<'_> {
    /// A life that a member has never heard of deletes what that member has. It meets the maker only in its next life, and is cut off
    /// again at once, so that all its links have to settle when it is back: it reports before it has everything.
    fn add_unheard_of_life(&mut self, maker: usize, cut_off: usize, writer: usize) {
        let deleted_ms = 3_500 + self.rng.random_range(0..500);
        let met_ms = deleted_ms + 2_000;
        let apart_ms = met_ms + self.rng.random_range(120..240);
        let back_ms = apart_ms + self.rng.random_range(1_100..2_000);
        self.request(1_000, writer, Action::Put);
        self.fault(2_000, self.apart(cut_off));
        self.fault(2_100, Fault::Crash(maker));
        self.fault(2_200, Fault::Start(maker));
        self.request(deleted_ms, maker, Action::Delete);
        self.fault(deleted_ms + 1_000, Fault::Crash(maker));
        self.fault(deleted_ms + 1_100, Fault::Start(maker));
        self.fault(met_ms, Fault::Heal);
        self.fault(apart_ms, self.apart(cut_off));
        self.fault(back_ms, Fault::Heal);
    }

    /// A node that is alone restarts with its clock set back, and writes a key that was deleted later by its clock. Of the others
    /// one has collected the tombstone by then, the other one has not: it has missed the last report.
    fn add_late_write(&mut self, alone: usize, collects: usize, misses: usize) {
        let by_ms = 7_000;
        let deleted_ms = 6_000 + self.rng.random_range(0..250);
        let missed_ms = deleted_ms + self.rng.random_range(100..2_500);
        self.request(4_000, collects, Action::Put);
        self.request(deleted_ms, collects, Action::Delete);
        self.fault(missed_ms, Fault::Cut(alone, misses));
        self.fault(deleted_ms + 3_000, self.apart(alone));
        self.fault(deleted_ms + 3_100, Fault::Crash(alone));
        self.fault(deleted_ms + 3_100, Fault::ClockJump(alone, -by_ms));
        self.fault(deleted_ms + 3_200, Fault::Start(alone));
        self.request(deleted_ms + 4_500, alone, Action::Put);
        let back_ms = deleted_ms + self.rng.random_range(6_000..7_000);
        self.fault(back_ms, Fault::Heal);
        self.fault(TAKES_MS, Fault::ClockJump(alone, by_ms));
    }

    /// The keeper alone has the last write of a life. The others have met the next one and heard of the keeper before that write:
    /// that it had then all that they have says nothing.
    fn add_old_report(&mut self, maker: usize, keeper: usize, asked: usize) {
        let written_ms = 3_500 + self.rng.random_range(0..500);
        self.request(1_000, maker, Action::Put);
        self.fault(2_000, self.apart_both(maker, keeper));
        self.request(written_ms, maker, Action::Put);
        self.fault(written_ms + 1_000, Fault::Crash(maker));
        self.fault(written_ms + 1_000, Fault::Heal);
        self.fault(written_ms + 1_000, self.apart(keeper));
        self.fault(written_ms + 1_100, Fault::Start(maker));
        self.request_of(0, Lineage::Own, written_ms + 4_500, asked, Action::Get);
        self.fault(written_ms + 5_000, Fault::Heal);
    }

    /// Two have the same write, which nobody else has, and are forgotten. One comes back, and a client overwrites what it reads there; the
    /// other one comes back later, to a member that knows nothing of that.
    fn add_two_that_come_back(&mut self, forgotten: [usize; 2], kept: [usize; 2]) {
        let ([first, second], [asked, lonely]) = (forgotten, kept);
        let back_ms = 13_000 + self.rng.random_range(0..500);
        self.fault(2_000, self.apart_both(first, second));
        self.request(2_500, first, Action::Put);
        self.fault(4_000, Fault::Forget(asked, first));
        self.fault(4_100, Fault::Forget(asked, second));
        self.fault(7_500, Fault::Heal);
        self.fault(7_500, self.groups(&[second], &[lonely]));
        self.fault(7_600, Fault::Add(asked, first));
        self.request_of(1, Lineage::Fresh, 12_000, first, Action::Get);
        self.request_of(1, Lineage::Own, 12_500, first, Action::Put);
        self.fault(back_ms, Fault::Heal);
        self.fault(back_ms, self.apart_both(second, lonely));
        self.fault(back_ms + 100, Fault::Add(lonely, second));
        self.fault(back_ms + 6_500, Fault::Heal);
    }

    /// Two have the same write, which nobody else has; then they are cut off from each other, too, and a client deletes it at the second. Both
    /// are forgotten. The second comes back, and its delete is collected; then the first one comes back with the value.
    fn add_delete_that_comes_back_first(&mut self, forgotten: [usize; 2], asked: usize) {
        let [first, second] = forgotten;
        let deleted_ms = 3_200 + self.rng.random_range(0..300);
        self.fault(2_000, self.apart_both(first, second));
        self.request(2_500, first, Action::Put);
        self.fault(3_000, Fault::Cut(first, second));
        self.fault(3_000, Fault::Cut(second, first));
        self.request_of(1, Lineage::Fresh, deleted_ms, second, Action::Get);
        self.request_of(1, Lineage::Own, deleted_ms + 100, second, Action::Delete);
        self.fault(4_000, Fault::Forget(asked, first));
        self.fault(4_100, Fault::Forget(asked, second));
        self.fault(6_000, Fault::Heal);
        self.fault(6_000, self.apart(first));
        self.fault(6_100, Fault::Add(asked, second));
        self.fault(16_000, Fault::Heal);
        self.fault(16_100, Fault::Add(asked, first));
    }

    fn apart(&self, node: usize) -> Fault {
        self.apart_both(node, node)
    }

    fn apart_both(&self, one: usize, other: usize) -> Fault {
        self.groups(&[one, other], &[])
    }

    /// Two groups, and the rest.
    fn groups(&self, one: &[usize], other: &[usize]) -> Fault {
        let group_of = |node| match usize::from(node) {
            node if one.contains(&node) => 1,
            node if other.contains(&node) => 2,
            _ => 0,
        };
        Fault::Split((0..self.plan.shape.nodes).map(group_of).collect())
    }

    fn fault(&mut self, at_ms: u64, what: Fault) {
        self.plan.faults.push(Timed { at_ms, what });
    }

    /// By a client that has seen nothing. All requests are of one key.
    fn request(&mut self, at_ms: u64, node: usize, action: Action) {
        self.request_of(0, Lineage::Fresh, at_ms, node, action);
    }

    fn request_of(
        &mut self,
        client: usize,
        lineage: Lineage,
        at_ms: u64,
        node: usize,
        action: Action,
    ) {
        let what = Request {
            client,
            node,
            key: 0,
            action,
            lineage,
            wait_s: None,
            elsewhere_ms: None,
        };
        self.plan.operations.push(Timed { at_ms, what });
    }
}
