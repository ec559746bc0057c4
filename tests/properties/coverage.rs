//! Laws of what is covered: clocks with floors are sets of writes, of which whole lives may be in.

use std::collections::BTreeSet;

use causet::core::clock::{Clock, Relation};
use causet::core::coverage::Coverage;
use causet::core::id::{Address, Dot, Origin};
use causet::core::wire;
use proptest::prelude::*;

use crate::names::{any_clock, any_coverage, any_origin, life};

/// Lives and counters beyond all that the strategies make, so that floors cover something that no clock counts.
const LIVES: u8 = 5;
const COUNTERS: u64 = 8;

/// All writes there are.
fn universe() -> impl Iterator<Item = Dot> {
    let names = (0..4).flat_map(|n| {
        let v6 = format!("[fe80::{n}]:9000").parse().unwrap();
        [crate::names::address(n), v6]
    });
    let origins = names.flat_map(|address: Address| {
        (0..LIVES).map(move |n| Origin {
            address,
            incarnation: life(n),
        })
    });
    origins.flat_map(|origin| (1..=COUNTERS).map(move |counter| Dot { origin, counter }))
}

/// The writes covered.
fn model(covered: &Coverage) -> BTreeSet<Dot> {
    universe().filter(|dot| covered.covers(dot)).collect()
}

fn needed(need: &Clock) -> BTreeSet<Dot> {
    universe().filter(|dot| need.covers(dot)).collect()
}

fn merged(a: &Coverage, b: &Coverage) -> Coverage {
    let mut both = a.clone();
    both.merge(b);
    both
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent_and_is_the_union(
        a in any_coverage(), b in any_coverage(), c in any_coverage(),
    ) {
        let both = merged(&a, &b);
        prop_assert_eq!(&both, &merged(&b, &a));
        prop_assert_eq!(&merged(&a, &a), &a);
        prop_assert_eq!(merged(&both, &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(&merged(&a, &Coverage::new()), &a);
        let union: BTreeSet<Dot> = model(&a).union(&model(&b)).copied().collect();
        prop_assert_eq!(model(&both), union);
    }

    #[test]
    fn the_relation_is_that_of_the_sets(a in any_coverage(), b in any_coverage()) {
        let (of_a, of_b) = (model(&a), model(&b));
        let expected = match (of_b.is_subset(&of_a), of_a.is_subset(&of_b)) {
            (true, true) => Relation::Equal,
            (true, false) => Relation::After,
            (false, true) => Relation::Before,
            (false, false) => Relation::Concurrent,
        };
        // A life that is over and of which nothing was there to be covered is no write, but it is known.
        let same_floors = merged(&a, &b).floors() == a.floors() && a.floors() == b.floors();
        if same_floors {
            prop_assert_eq!(a.relation(&b), expected);
        }
        prop_assert_eq!(a.is_behind(&b), merged(&a, &b) != a);
        if !a.is_behind(&b) {
            prop_assert!(of_b.is_subset(&of_a));
        }
        prop_assert_eq!(a.relation(&b) == Relation::Equal, a == b);
    }

    #[test]
    fn what_is_lacking_is_what_the_sets_lack(have in any_coverage(), need in any_clock()) {
        let lacking = have.lacking(&need);
        prop_assert_eq!(have.lacks_any(&need), !needed(&need).is_subset(&model(&have)));
        prop_assert_eq!(have.lacks_any(&need), !lacking.is_empty());
        prop_assert_eq!(have.first_lacking(&need), lacking.iter().next());
        let filled = merged(&have, &lacking.clone().into());
        prop_assert!(!filled.lacks_any(&need));
        prop_assert_eq!(filled, merged(&have, &need.into()));
        for (origin, counter) in lacking.iter() {
            prop_assert!(have.get(&origin) < counter && !have.has_ended(&origin));
        }
    }

    #[test]
    fn the_end_of_lives_covers_them_whole_and_no_other(
        before in any_coverage(), next in any_origin(), counter in 1_u64..9,
    ) {
        let mut covered = before.clone();
        covered.end(next.address, next.incarnation);
        let ends = |dot: &Dot| {
            dot.origin.address == next.address && dot.origin.incarnation < next.incarnation
        };
        let expected: BTreeSet<Dot> =
            universe().filter(|dot| ends(dot) || before.covers(dot)).collect();
        prop_assert_eq!(model(&covered), expected);
        prop_assert!(covered.clock().iter().all(|(origin, _)| !covered.has_ended(&origin)));
        // No counter brings an ended life back.
        let ended = covered.clone();
        for dot in universe().filter(|dot| ended.has_ended(&dot.origin)) {
            covered.raise(dot.origin, counter);
        }
        prop_assert_eq!(&covered, &ended);
        // And no earlier floor is put in the place of a later one.
        covered.end(next.address, life(0));
        prop_assert_eq!(covered, ended);
    }

    #[test]
    fn coverage_survives_the_wire(covered in any_coverage()) {
        prop_assert_eq!(wire::decode::<Coverage>(&wire::encode(&covered)), Ok(covered));
    }
}
