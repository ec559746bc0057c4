//! Tiny histories decided by the definition of causal convergence itself, against the bad patterns.
//!
//! The definition (Bouajjani et al., POPL 2017): there is a total order of all operations and within it a
//! causal order, containing the program order, such that each read returns what the last write of its key (in
//! the total order) of those in its causal past wrote.

use causet::checker::{Absence, Action, History, Kind, Operation, Outcome, check};
use proptest::prelude::*;

use crate::shorthand::{absent, delete, deleted, get, history, put, with};

/// Whether the history is explained, if some of the DELETEs that were answered with "absent" have written.
fn explained(operations: &[Operation]) -> bool {
    let may_have_written = |o: &Operation| {
        o.action == Action::Delete && o.outcome == Outcome::Absent(Absence::Unnamed)
    };
    let open: Vec<usize> = (0..operations.len())
        .filter(|place| may_have_written(&operations[*place]))
        .collect();
    (0..1_u32 << open.len()).any(|written| {
        let mut operations = operations.to_vec();
        for (bit, place) in open.iter().enumerate() {
            if written >> bit & 1 == 1 {
                operations[*place].outcome = OVERTAKEN;
            }
        }
        explained_as_it_is(&operations)
    })
}

/// Of a DELETE that wrote although it said "absent". No other operation of these histories is acknowledged so.
const OVERTAKEN: Outcome = Outcome::Acknowledged { identity: None };

/// Whether some total order, and some causal order within it, explain the history.
fn explained_as_it_is(operations: &[Operation]) -> bool {
    let count = operations.len();
    let place = |id: u64| {
        operations
            .iter()
            .position(|o| o.id.0 == id)
            .unwrap_or(count)
    };
    let parents: Vec<Vec<usize>> = operations
        .iter()
        .map(|o| o.parents.iter().map(|p| place(p.0)).collect())
        .collect();
    let mut order: Vec<usize> = (0..count).collect();
    let mut pasts = vec![0; count];
    some_permutation(&mut order, 0, &mut |order| {
        some_causal_order(operations, &parents, order, 0, &mut pasts)
    })
}

fn some_permutation(
    order: &mut [usize],
    from: usize,
    found: &mut impl FnMut(&[usize]) -> bool,
) -> bool {
    if from == order.len() {
        return found(order);
    }
    (from..order.len()).any(|other| {
        order.swap(from, other);
        let done = some_permutation(order, from + 1, found);
        order.swap(from, other);
        done
    })
}

/// Chooses the past of the operation at `position`: a set of earlier ones that is closed, has its parents,
/// and explains its answer.
fn some_causal_order(
    operations: &[Operation],
    parents: &[Vec<usize>],
    order: &[usize],
    position: usize,
    pasts: &mut [u32],
) -> bool {
    let Some(current) = order.get(position).copied() else {
        return true;
    };
    let mut sets = 0..1_u32 << position;
    sets.any(|chosen| {
        let members = || {
            (0..position)
                .filter(move |p| chosen >> p & 1 == 1)
                .map(|p| order[p])
        };
        let past = members().fold(0, |set, member| set | 1 << member);
        let closed = members().all(|member| pasts[member] & !past == 0);
        let complete = parents[current]
            .iter()
            .all(|parent| past >> parent & 1 == 1);
        let key = &operations[current].key;
        let last_at =
            (0..position).rfind(|p| chosen >> p & 1 == 1 && writes(&operations[order[*p]], key));
        let last = last_at.map(|p| order[p]);
        // Another DELETE, unseen, had won by then over all that this one had seen.
        let overtaken = (last_at.map_or(0, |p| p + 1)..position).any(|p| {
            let other = &operations[order[p]];
            chosen >> p & 1 == 0 && other.action == Action::Delete && writes(other, key)
        });
        pasts[current] = past;
        closed
            && complete
            && (operations[current].outcome != OVERTAKEN || overtaken)
            && returns(&operations[current], last.map(|m| &operations[m]))
            && some_causal_order(operations, parents, order, position + 1, pasts)
    })
}

fn writes(operation: &Operation, key: &str) -> bool {
    operation.key == key && matches!(operation.outcome, Outcome::Acknowledged { .. })
}

fn returns(read: &Operation, last: Option<&Operation>) -> bool {
    match (&read.outcome, last) {
        (Outcome::Found { value }, Some(write)) => {
            write.action
                == Action::Put {
                    value: value.clone(),
                }
        }
        (Outcome::Found { .. } | Outcome::Absent(Absence::By(_)), None) => false,
        (Outcome::Absent(Absence::Initial), last) => last.is_none(),
        (Outcome::Absent(Absence::Unnamed), last) => {
            last.is_none_or(|w| w.action == Action::Delete)
        }
        (Outcome::Absent(Absence::By(name)), Some(write)) => {
            write.outcome
                == Outcome::Acknowledged {
                    identity: Some(name.clone()),
                }
                && write.action == Action::Delete
        }
        _ => true,
    }
}

/// One operation of a tiny history: what it does, on which of two keys, whom it reads from (a place, or
/// beyond the end for the initial state), and a bit for each parent.
type Choice = (u8, bool, usize, u8);

fn build(choices: &[Choice], named: bool) -> History {
    let key = |second: bool| if second { "y" } else { "x" };
    let does = |place: usize| {
        choices
            .get(place)
            .map(|(action, second, ..)| (action % 5, *second))
    };
    let one = |(place, choice): (usize, &Choice)| {
        let (action, second, source, bits) = *choice;
        let (id, key) = (place as u64, key(second));
        let unnamed = !named && source % 2 == 0;
        let operation = match (action % 5, does(source)) {
            (0 | 1, _) => put(id, key, &format!("v{id}")),
            (2, _) => delete(id, key),
            (_, Some((0 | 1, same))) if same == second => get(id, key, &format!("v{source}")),
            (_, Some((2, same))) if same == second && !unnamed => deleted(id, key, source as u64),
            _ if unnamed && bits >= 128 => with(delete(id, key), Outcome::Absent(Absence::Unnamed)),
            _ if unnamed => absent(id, key, Absence::Unnamed),
            _ => absent(id, key, Absence::Initial),
        };
        let parents: Vec<u64> = (0..id).filter(|parent| bits >> parent & 1 == 1).collect();
        operation.after(&parents)
    };
    let operations: Vec<Operation> = choices.iter().enumerate().map(one).collect();
    history(&operations)
}

fn choices(most: usize) -> impl Strategy<Value = Vec<Choice>> {
    let choice = (0..5_u8, any::<bool>(), 0..most + 1, any::<u8>());
    proptest::collection::vec(choice, 1..=most)
}

fn accused(history: &History) -> bool {
    let report = check(history);
    assert!(!report.has(Kind::Malformed), "{report}");
    !report.holds()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_bad_patterns_decide_as_the_definition_does(choices in choices(5)) {
        let history = build(&choices, true);
        prop_assert_eq!(accused(&history), !explained(&history.operations), "{}", check(&history));
    }

    #[test]
    fn reads_that_name_no_delete_never_make_a_false_accusation(choices in choices(5)) {
        let history = build(&choices, false);
        prop_assert!(!accused(&history) || !explained(&history.operations), "{}", check(&history));
    }
}

#[test]
fn the_definition_itself_tells_good_from_bad() {
    let good = [put(0, "x", "v0"), get(1, "x", "v0").after(&[0])];
    let bad = [
        put(0, "x", "v0"),
        absent(1, "x", Absence::Initial).after(&[0]),
    ];
    assert!(explained(&good) && !explained(&bad));
}
