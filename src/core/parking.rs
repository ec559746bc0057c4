//! Requests that wait until the clock covers what they depend on.
//!
//! Each waits for one missing entry at a time, by which it is found when the clock rises, so a
//! rising clock costs what it releases and not what is parked.

use std::collections::{BTreeMap, BTreeSet};

use super::Millis;
use super::clock::Clock;
use super::coverage::Coverage;
use super::id::{Incarnation, Origin};

/// Parked requests of type `T`.
#[derive(Debug)]
pub struct ParkingLot<T> {
    parked: BTreeMap<u64, Parked<T>>,
    /// (awaited entry, ticket)
    by_entry: BTreeSet<(Origin, u64, u64)>,
    by_deadline: BTreeSet<(Millis, u64)>,
    /// Those that no clock releases.
    apart: BTreeSet<u64>,
    next_ticket: u64,
    limit: usize,
}

#[derive(Debug)]
struct Parked<T> {
    need: Clock,
    /// The entry that it is found by; `None` for one that no clock releases.
    awaited: Option<(Origin, u64)>,
    deadline: Millis,
    request: T,
}

impl<T> ParkingLot<T> {
    /// A lot for `limit` requests.
    pub fn new(limit: usize) -> Self {
        Self {
            parked: BTreeMap::new(),
            by_entry: BTreeSet::new(),
            by_deadline: BTreeSet::new(),
            apart: BTreeSet::new(),
            next_ticket: 0,
            limit,
        }
    }

    /// Parks `request` until what is `covered`, as it grows, includes `need`, at most until `deadline`.
    ///
    /// # Errors
    /// Gives the request back when the lot is full, or when nothing is missing.
    pub fn park(
        &mut self,
        request: T,
        need: Clock,
        deadline: Millis,
        covered: &Coverage,
    ) -> Result<(), T> {
        let Some(awaited) = covered.first_lacking(&need) else {
            return Err(request);
        };
        if self.is_full() {
            return Err(request);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.by_entry.insert((awaited.0, awaited.1, ticket));
        self.by_deadline.insert((deadline, ticket));
        let parked = Parked {
            need,
            awaited: Some(awaited),
            deadline,
            request,
        };
        self.parked.insert(ticket, parked);
        Ok(())
    }

    /// Parks a request that lacks nothing of any clock and is to wait for something else, at most until `deadline`.
    ///
    /// # Errors
    /// Gives the request back when the lot is full.
    pub fn park_apart(&mut self, request: T, deadline: Millis) -> Result<(), T> {
        if self.is_full() {
            return Err(request);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.apart.insert(ticket);
        self.by_deadline.insert((deadline, ticket));
        let parked = Parked {
            need: Clock::new(),
            awaited: None,
            deadline,
            request,
        };
        self.parked.insert(ticket, parked);
        Ok(())
    }

    /// Those that no clock releases.
    pub fn apart(&self) -> impl Iterator<Item = &T> {
        let parked = self.apart.iter().filter_map(|t| self.parked.get(t));
        parked.map(|parked| &parked.request)
    }

    /// Takes out those of them that need not wait any longer, in the order they were parked.
    pub fn release_apart(&mut self, mut is_met: impl FnMut(&T) -> bool) -> Vec<T> {
        let parked = &self.parked;
        let met = |ticket: &u64| parked.get(ticket).is_some_and(|p| is_met(&p.request));
        let met: Vec<u64> = self.apart.iter().copied().filter(met).collect();
        met.into_iter().filter_map(|t| self.take(t)).collect()
    }

    /// Takes out every request whose need is `covered`, in the order they were parked.
    pub fn release(&mut self, covered: &Coverage) -> Vec<T> {
        if self.parked.is_empty() {
            return Vec::new();
        }
        let mut tickets: Vec<u64> = Vec::new();
        for (origin, counter) in covered.clock().iter() {
            let met = (origin, 0, 0)..=(origin, counter, u64::MAX);
            tickets.extend(self.by_entry.range(met).map(|(_, _, ticket)| ticket));
        }
        for &(address, below) in covered.floors() {
            let life = |incarnation| Origin {
                address,
                incarnation,
            };
            let met = (life(Incarnation::UNKNOWN), 0, 0)..(life(below), 0, 0);
            tickets.extend(self.by_entry.range(met).map(|(_, _, ticket)| ticket));
        }
        tickets.sort_unstable();
        let released = |ticket| self.release_or_wait_on(ticket, covered);
        tickets.into_iter().filter_map(released).collect()
    }

    fn release_or_wait_on(&mut self, ticket: u64, covered: &Coverage) -> Option<T> {
        let parked = self.parked.get_mut(&ticket)?;
        let met = parked.awaited?;
        match covered.first_lacking(&parked.need) {
            None => self.take(ticket),
            Some(awaited) => {
                parked.awaited = Some(awaited);
                self.by_entry.remove(&(met.0, met.1, ticket));
                self.by_entry.insert((awaited.0, awaited.1, ticket));
                None
            }
        }
    }

    /// Takes out every request whose deadline is not after `now`, earliest first.
    pub fn expire(&mut self, now: Millis) -> Vec<T> {
        let due: Vec<u64> = self
            .by_deadline
            .range(..=(now, u64::MAX))
            .map(|(_, ticket)| *ticket)
            .collect();
        due.into_iter().filter_map(|t| self.take(t)).collect()
    }

    /// Takes out everything, in the order it was parked.
    pub fn drain(&mut self) -> Vec<T> {
        let tickets: Vec<u64> = self.parked.keys().copied().collect();
        tickets.into_iter().filter_map(|t| self.take(t)).collect()
    }

    /// Drops the requests that nobody waits for any more.
    pub fn retain(&mut self, mut awaited: impl FnMut(&T) -> bool) {
        let gone =
            |(ticket, parked): (&u64, &Parked<T>)| (!awaited(&parked.request)).then_some(*ticket);
        let gone: Vec<u64> = self.parked.iter().filter_map(gone).collect();
        for ticket in gone {
            self.take(ticket);
        }
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Whether no more can be parked.
    pub fn is_full(&self) -> bool {
        self.parked.len() >= self.limit
    }

    /// Requests parked now.
    pub fn len(&self) -> usize {
        self.parked.len()
    }

    /// Whether none is parked.
    pub fn is_empty(&self) -> bool {
        self.parked.is_empty()
    }

    fn take(&mut self, ticket: u64) -> Option<T> {
        let parked = self.parked.remove(&ticket)?;
        if let Some((origin, counter)) = parked.awaited {
            self.by_entry.remove(&(origin, counter, ticket));
        }
        self.apart.remove(&ticket);
        self.by_deadline.remove(&(parked.deadline, ticket));
        Some(parked.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::origin;

    fn coverage(entries: &[(u16, u64)]) -> Coverage {
        clock(entries).into()
    }

    fn clock(entries: &[(u16, u64)]) -> Clock {
        entries.iter().map(|&(n, c)| (origin(n), c)).collect()
    }

    #[test]
    fn a_request_that_lacks_nothing_waits_apart_until_it_is_found_to_be_met_or_its_deadline() {
        let mut lot = ParkingLot::new(2);
        lot.park_apart("a", 100).unwrap();
        lot.park_apart("b", 50).unwrap();
        assert_eq!(lot.park_apart("c", 50), Err("c"), "full");
        assert!(lot.release(&coverage(&[(1, 5)])).is_empty());
        assert_eq!(lot.expire(50), ["b"]);
        assert!(lot.release_apart(|_| false).is_empty());
        assert_eq!(lot.release_apart(|request| *request == "a"), ["a"]);
        assert!(lot.is_empty() && lot.next_deadline().is_none());
    }

    #[test]
    fn a_request_leaves_when_the_last_of_its_needs_is_covered() {
        let mut lot = ParkingLot::new(2);
        let need = clock(&[(1, 2), (2, 1)]);
        lot.park("a", need, 100, &Coverage::new()).unwrap();
        assert!(lot.release(&coverage(&[(1, 5)])).is_empty());
        assert_eq!(lot.release(&coverage(&[(1, 5), (2, 1)])), ["a"]);
        assert!(lot.is_empty() && lot.next_deadline().is_none());
    }

    #[test]
    fn a_full_lot_gives_the_request_back() {
        let mut lot = ParkingLot::new(1);
        let need = clock(&[(1, 1)]);
        lot.park("a", need.clone(), 100, &Coverage::new()).unwrap();
        assert_eq!(lot.park("b", need, 100, &Coverage::new()), Err("b"));
    }

    #[test]
    fn requests_that_nobody_waits_for_make_room() {
        let mut lot = ParkingLot::new(2);
        for name in ["stays", "gone"] {
            lot.park(name, clock(&[(1, 1)]), 100, &Coverage::new())
                .unwrap();
        }
        lot.retain(|name| *name != "gone");
        assert!(!lot.is_full());
        assert_eq!(lot.release(&coverage(&[(1, 1)])), ["stays"]);
        assert_eq!(lot.next_deadline(), None);
    }

    #[test]
    fn what_is_due_expires_and_the_rest_waits_on() {
        let mut lot = ParkingLot::new(9);
        for (name, deadline) in [("late", 300), ("early", 100), ("due", 200)] {
            let need = clock(&[(1, 1)]);
            lot.park(name, need, deadline, &Coverage::new()).unwrap();
        }
        assert_eq!(lot.expire(200), ["early", "due"]);
        assert_eq!(lot.next_deadline(), Some(300));
        assert_eq!(lot.drain(), ["late"]);
        assert_eq!(lot.len(), 0);
    }
}
