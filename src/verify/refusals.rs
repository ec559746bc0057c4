//! For how long clients were refused.

use std::collections::BTreeMap;

use crate::checker::{History, Outcome};

/// The longest time, in milliseconds, that one client saw nothing but refusals of one key: from when it sent the first until it had the
/// last, with no other answer between.
pub(super) fn longest_ms(histories: &[History]) -> u64 {
    histories.iter().map(longest_of).max().unwrap_or(0)
}

fn longest_of(history: &History) -> u64 {
    let mut refused_since: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut longest = 0;
    for operation in &history.operations {
        let of = (operation.client.as_str(), operation.key.as_str());
        // A request that was never sent has no end.
        let Some(end_ms) = operation.end_ms else {
            continue;
        };
        if operation.outcome == Outcome::Refused {
            let since = refused_since.entry(of).or_insert(operation.start_ms);
            longest = longest.max(end_ms.saturating_sub(*since));
        } else {
            refused_since.remove(&of);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::{Action, Operation};

    #[test]
    fn refusals_of_one_key_in_a_row_count_from_the_first_to_the_last() {
        let operation = |client: &str, key: &str, (start_ms, end_ms), outcome: &Outcome| {
            let mut operation = Operation::new(start_ms, key, Action::Get, outcome.clone());
            operation.client = client.to_owned();
            operation.start_ms = start_ms;
            operation.end_ms = Some(end_ms);
            operation
        };
        let (refused, found) = (Outcome::Refused, Outcome::Found { value: "v".into() });
        let operations = vec![
            operation("a", "k", (10, 12), &refused),
            operation("b", "k", (11, 13), &found),
            operation("a", "l", (20, 21), &found),
            operation("a", "k", (30, 35), &refused),
            operation("a", "k", (40, 41), &found),
            operation("a", "k", (90, 91), &refused),
        ];
        let history = History {
            operations,
            ..History::default()
        };
        assert_eq!(longest_ms(&[history]), 25);
    }
}
