//! Outbox, parking lot and causal buffer against naive models of themselves.

use causet::core::Millis;
use causet::core::causal_buffer::{BufferLimits, CausalBuffer};
use causet::core::clock::Clock;
use causet::core::outbox::{Outbox, OutboxLimits};
use causet::core::parking::ParkingLot;
use causet::core::write::Write;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::names::{any_clock, any_origin, any_write};

#[derive(Debug, Clone)]
enum OutboxStep {
    Push(Write),
    Next,
    Answered,
    Clear,
}

fn outbox_step() -> impl Strategy<Value = OutboxStep> {
    prop_oneof![
        8 => any_write().prop_map(OutboxStep::Push),
        4 => Just(OutboxStep::Next),
        3 => Just(OutboxStep::Answered),
        1 => Just(OutboxStep::Clear),
    ]
}

fn bytes(writes: &[Write]) -> usize {
    writes.iter().map(Write::weight).sum()
}

#[derive(Debug, Clone)]
enum LotStep {
    Park(Clock, Millis),
    Raise(causet::core::id::Origin, u64),
    Expire(Millis),
}

fn lot_step() -> impl Strategy<Value = LotStep> {
    prop_oneof![
        4 => (any_clock(), 1_u64..1_000).prop_map(|(need, wait)| LotStep::Park(need, wait)),
        4 => (any_origin(), 1_u64..5).prop_map(|(origin, counter)| LotStep::Raise(origin, counter)),
        1 => (1_u64..300).prop_map(LotStep::Expire),
    ]
}

proptest! {
    #[test]
    fn an_outbox_keeps_to_its_limits_and_to_the_order(steps in vec(outbox_step(), 1..60)) {
        let limits = OutboxLimits { writes: 4, bytes: 2_400, batch_writes: 3, batch_bytes: 900 };
        let mut outbox = Outbox::new(limits);
        let mut waiting: Vec<Write> = Vec::new();
        let mut in_flight = 0;
        for step in steps {
            match step {
                OutboxStep::Push(write) => {
                    waiting.push(write.clone());
                    let fits = waiting.len() <= limits.writes && bytes(&waiting) <= limits.bytes;
                    prop_assert_eq!(outbox.push(write).is_ok(), fits);
                    if !fits {
                        waiting.clear();
                    }
                }
                OutboxStep::Next => match outbox.next_batch() {
                    None => prop_assert!(in_flight > 0 || waiting.is_empty()),
                    Some(batch) => {
                        prop_assert_eq!(in_flight, 0, "one in flight");
                        let rest = waiting.split_off(batch.len());
                        prop_assert_eq!(&batch, &waiting);
                        waiting = rest;
                        let origin = batch[0].dot().origin;
                        prop_assert!(batch.iter().all(|write| write.dot().origin == origin));
                        prop_assert!(batch.len() <= limits.batch_writes);
                        prop_assert!(batch.len() == 1 || bytes(&batch) <= limits.batch_bytes);
                        in_flight = batch.len();
                    }
                },
                OutboxStep::Answered => {
                    outbox.answered();
                    in_flight = 0;
                }
                OutboxStep::Clear => {
                    outbox.clear();
                    waiting.clear();
                    in_flight = 0;
                }
            }
            prop_assert_eq!(outbox.len(), waiting.len() + in_flight);
        }
    }

    #[test]
    fn a_parked_request_leaves_when_it_is_covered_or_due_and_not_otherwise(
        steps in vec(lot_step(), 1..60),
    ) {
        let mut lot = ParkingLot::new(8);
        let mut parked: Vec<(usize, Clock, Millis)> = Vec::new();
        let (mut clock, mut now) = (Clock::new(), 0);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                LotStep::Park(need, wait) => {
                    let taken = clock.lacks_any(&need) && parked.len() < 8;
                    let result = lot.park(number, need.clone(), now + wait, &clock.clone().into());
                    prop_assert_eq!(result, if taken { Ok(()) } else { Err(number) });
                    if taken {
                        parked.push((number, need, now + wait));
                    }
                }
                LotStep::Raise(origin, counter) => {
                    clock.raise(origin, counter);
                    let covered = |request: &(usize, Clock, Millis)| !clock.lacks_any(&request.1);
                    let gone: Vec<_> = parked.iter().filter(|r| covered(r)).map(|r| r.0).collect();
                    prop_assert_eq!(lot.release(&clock.clone().into()), gone);
                    parked.retain(|request| !covered(request));
                }
                LotStep::Expire(ms) => {
                    now += ms;
                    let mut due: Vec<_> = parked.iter().filter(|r| r.2 <= now).collect();
                    due.sort_by_key(|(number, _, deadline)| (*deadline, *number));
                    let due: Vec<_> = due.into_iter().map(|r| r.0).collect();
                    prop_assert_eq!(lot.expire(now), due);
                    parked.retain(|request| request.2 > now);
                }
            }
            prop_assert_eq!(lot.len(), parked.len());
            prop_assert_eq!(lot.next_deadline(), parked.iter().map(|r| r.2).min());
        }
        let rest: Vec<usize> = parked.iter().map(|r| r.0).collect();
        prop_assert_eq!(lot.drain(), rest);
    }

    #[test]
    fn a_causal_buffer_never_holds_more_than_it_may(writes in vec(any_write(), 1..30)) {
        let limits = BufferLimits { writes: 5, bytes: 3_000 };
        let mut buffer = CausalBuffer::new(limits);
        let mut kept: Vec<Write> = Vec::new();
        for write in writes {
            let known = kept.iter().any(|k| k.dot() == write.dot());
            let fits = kept.len() < limits.writes && bytes(&kept) + write.weight() <= limits.bytes;
            prop_assert_eq!(buffer.park(write.clone()).is_ok(), known || fits);
            if !known && fits {
                kept.push(write);
            }
            prop_assert_eq!((buffer.writes(), buffer.bytes()), (kept.len(), bytes(&kept)));
        }
        for kept in &kept {
            let origin = kept.dot().origin;
            buffer.seal(origin.address, origin.incarnation.succeeding(0, 0));
        }
        prop_assert_eq!((buffer.writes(), buffer.bytes()), (0, 0));
    }
}
