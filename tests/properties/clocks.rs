//! A clock is a join semilattice, and comparing agrees with joining.

use causet::core::clock::{Clock, Clocks, Relation};
use causet::core::wire;
use proptest::prelude::*;

use crate::names::{any_clock, any_clocks, any_domain, any_origin};

fn merged(a: &Clock, b: &Clock) -> Clock {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

fn merged_groups(a: &Clocks, b: &Clocks) -> Clocks {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

fn mirrored(relation: Relation) -> Relation {
    match relation {
        Relation::Before => Relation::After,
        Relation::After => Relation::Before,
        same => same,
    }
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        a in any_clock(), b in any_clock(), c in any_clock(),
    ) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(&merged(&a, &a), &a);
    }

    #[test]
    fn merging_covers_what_either_covers_and_nothing_else(
        a in any_clock(), b in any_clock(), origin in any_origin(),
    ) {
        let both = merged(&a, &b);
        prop_assert_eq!(both.get(&origin), a.get(&origin).max(b.get(&origin)));
        for (origin, counter) in both.iter() {
            prop_assert_eq!(counter, a.get(&origin).max(b.get(&origin)));
        }
    }

    #[test]
    fn comparing_agrees_with_merging(a in any_clock(), b in any_clock()) {
        let both = merged(&a, &b);
        let expected = match (both == a, both == b) {
            (true, true) => Relation::Equal,
            (true, false) => Relation::After,
            (false, true) => Relation::Before,
            (false, false) => Relation::Concurrent,
        };
        prop_assert_eq!(a.relation(&b), expected);
        prop_assert_eq!(b.relation(&a), mirrored(expected));
    }

    #[test]
    fn what_is_lacking_is_the_least_that_covers_the_need(have in any_clock(), need in any_clock()) {
        let lacking = have.lacking(&need);
        prop_assert_eq!(merged(&have, &lacking), merged(&have, &need));
        for (origin, counter) in lacking.iter() {
            prop_assert!(have.get(&origin) < counter && need.get(&origin) == counter);
        }
        prop_assert_eq!(have.lacks_any(&need), !lacking.is_empty());
        prop_assert_eq!(have.first_lacking(&need), lacking.iter().next());
    }

    #[test]
    fn groups_are_merged_domain_by_domain(a in any_clocks(), b in any_clocks(), c in any_clocks(), domain in any_domain()) {
        let both = merged_groups(&a, &b);
        prop_assert_eq!(&both, &merged_groups(&b, &a));
        prop_assert_eq!(merged_groups(&both, &c), merged_groups(&a, &merged_groups(&b, &c)));
        prop_assert_eq!(&merged_groups(&a, &a), &a);
        let of = |clocks: &Clocks| clocks.get(&domain).cloned().unwrap_or_default();
        prop_assert_eq!(of(&both), merged(&of(&a), &of(&b)));
    }

    #[test]
    fn clocks_survive_the_wire(clock in any_clock(), clocks in any_clocks()) {
        prop_assert_eq!(wire::decode::<Clock>(&wire::encode(&clock)), Ok(clock));
        prop_assert_eq!(wire::decode::<Clocks>(&wire::encode(&clocks)), Ok(clocks));
    }
}
