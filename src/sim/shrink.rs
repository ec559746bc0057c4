//! Shortens a failing plan: leaves out faults and requests while the failure persists.
//!
//! Delta debugging (Zeller & Hildebrandt 2002): first halves are left out, then smaller and smaller parts,
//! down to single events. What remains is not the smallest plan that fails, but none of its events can be
//! left out alone.

use super::plan::Plan;

/// The parts of a plan that are left out piece by piece.
#[derive(Debug, Clone, Copy)]
enum Part {
    Faults,
    Operations,
}

/// The shortest plan found that `fails` like `plan`, after at most `tries_max` trials.
pub fn shrink(plan: &Plan, tries_max: usize, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let mut tries = 0;
    loop {
        let before = size(&best);
        for part in [Part::Operations, Part::Faults] {
            shrink_part(&mut best, part, tries_max, &mut tries, &mut fails);
        }
        if size(&best) == before || tries >= tries_max {
            return best;
        }
    }
}

fn size(plan: &Plan) -> usize {
    plan.faults.len() + plan.operations.len()
}

fn len(plan: &Plan, part: Part) -> usize {
    match part {
        Part::Faults => plan.faults.len(),
        Part::Operations => plan.operations.len(),
    }
}

fn shrink_part(
    best: &mut Plan,
    part: Part,
    tries_max: usize,
    tries: &mut usize,
    fails: &mut impl FnMut(&Plan) -> bool,
) {
    let mut piece = len(best, part).div_ceil(2);
    while piece > 0 {
        let mut from = 0;
        while from < len(best, part) && *tries < tries_max {
            let shorter = without(best, part, from, piece);
            *tries += 1;
            if fails(&shorter) {
                *best = shorter;
            } else {
                from += piece;
            }
        }
        piece /= 2;
    }
}

fn without(plan: &Plan, part: Part, from: usize, count: usize) -> Plan {
    let mut shorter = plan.clone();
    let to = (from + count).min(len(plan, part));
    match part {
        Part::Faults => drop(shorter.faults.drain(from..to)),
        Part::Operations => drop(shorter.operations.drain(from..to)),
    }
    shorter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_failure_needs_remains() {
        let plan = Plan::from_seed(3);
        let (first, last) = (plan.operations[17].clone(), plan.operations[401].clone());
        let needed = |p: &Plan| p.operations.contains(&first) && p.operations.contains(&last);
        let short = shrink(&plan, 10_000, needed);
        assert_eq!(short.operations, [first.clone(), last.clone()]);
        assert!(short.faults.is_empty());
    }
}
