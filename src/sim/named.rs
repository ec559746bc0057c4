//! What metadata must name, and must not, where lives have ended: a rule of the judge's own, since what is judged must not be
//! its own judge.
//!
//! A life that goes on is named by its own counter. One that has ended is not named at all: the marker of its address is, or, if
//! the marker's maker has ended since, the marker of that one's address, and so on. Where there is none, nothing is.

use std::collections::BTreeSet;

use crate::core::clock::Clock;
use crate::core::ended::Settlement;
use crate::core::id::{Dot, Origin};

/// What stands in for a life that has ended, if anything does.
fn stand_in(origin: &Origin, settlement: &Settlement) -> Option<Dot> {
    let (mut address, mut met) = (origin.address, BTreeSet::new());
    while met.insert(address) {
        let marker = settlement.ended().marker(&address)?;
        if !settlement.floors().has_ended(&marker.origin) {
            return Some(marker);
        }
        address = marker.origin.address;
    }
    None
}

/// What of `need` is not named in `given`, nor stood in for, in words.
pub(super) fn too_little(given: &Clock, need: &Clock, settlement: &Settlement) -> Option<String> {
    need.iter().find_map(|(origin, counter)| {
        let must = if settlement.floors().has_ended(&origin) {
            stand_in(&origin, settlement)?
        } else {
            Dot { origin, counter }
        };
        let names = given.get(&must.origin) >= must.counter;
        (!names).then(|| format!("for {origin}#{counter} it must name {must}"))
    })
}

/// A life that is named though it has ended, in words.
pub(super) fn ended(given: &Clock, settlement: &Settlement) -> Option<String> {
    let mut origins = given.iter().map(|(origin, _)| origin);
    let ended = origins.find(|origin| settlement.floors().has_ended(origin));
    ended.map(|origin| format!("{origin} has ended"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::coverage::Coverage;
    use crate::core::ended::Ended;
    use crate::core::id::Domain;
    use crate::core::testing::{dot, origin};

    fn clock(entries: &[(u16, u64)]) -> Clock {
        entries.iter().map(|&(n, c)| (origin(n), c)).collect()
    }

    /// Of 1 and 2 the lives have ended: 2 had made the marker of 1, and 3 that of 2. 4 has ended without a marker.
    fn settlement() -> Settlement {
        let (mut covered, mut memory) = (Coverage::new(), Ended::new());
        for (n, marker) in [(1, dot(2, 9)), (2, dot(3, 4))] {
            memory.note(origin(n).address, &clock(&[(n, 9)]), marker, 0, true);
        }
        for n in [1, 2, 4] {
            covered.end(origin(n).address, origin(n).incarnation.next());
        }
        Settlement::new(origin(9), Domain::UNSHARDED, &covered, &memory)
    }

    #[test]
    fn a_marker_of_a_life_that_goes_on_stands_in_for_what_has_ended() {
        let lacks = |given: &[(u16, u64)], need: &[(u16, u64)]| {
            too_little(&clock(given), &clock(need), &settlement()).is_some()
        };
        assert!(lacks(&[(3, 3)], &[(1, 1)]) && !lacks(&[(3, 4)], &[(1, 1)]));
        assert!(!lacks(&[], &[(4, 7)]), "there is no marker");
        assert!(lacks(&[(5, 1)], &[(5, 2)]) && !lacks(&[(5, 2)], &[(5, 2)]));
    }

    #[test]
    fn an_ended_life_is_not_named() {
        assert!(ended(&clock(&[(3, 1), (2, 1)]), &settlement()).is_some());
        assert!(ended(&clock(&[(3, 1)]), &settlement()).is_none());
    }
}
