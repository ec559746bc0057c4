//! What clients are answered, and when.

use causet::core::metadata::Metadata;
use causet::core::stamp::HlcTime;
use causet::core::write::Content;
use causet::messages::causality::{DeleteConfirmed, Operation, Outcome, Refusal, StoreFilled};

use super::{CausalityRules, RULES, Stage, ToStore, WALL_MS, put_k, refusal};
use crate::fixtures::{DOMAIN, clocks, dot, key, metadata, write};
use crate::support::{answered, in_virtual_time, pass};

fn unmet(entries: &[(u8, u64)]) -> Refusal {
    let missing = clocks(entries);
    Refusal::Unmet { missing }
}

#[test]
fn a_write_gets_the_next_dot_and_goes_to_the_store_and_to_the_peers() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let _first = stage.put(Metadata::default());
        let _second = stage.put(metadata(&[(9, 1)]));
        pass(1).await;
        assert_eq!(stage.applied(), [dot(9, 1), dot(9, 2)]);
        let published = stage.published();
        assert_eq!(crate::fixtures::dots(&published), stage.applied());
        let second = &published[1].version;
        assert_eq!(second.deps.as_ref(), &clocks(&[(9, 1)]));
        assert!(second.stamp() > published[0].version.stamp());
        assert_eq!(second.time.ms, WALL_MS);
    });
}

#[test]
fn a_read_with_unmet_dependencies_is_told_exactly_what_is_missing() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.push(vec![write(1, 1, &[])]).await;
        let need = metadata(&[(1, 1), (2, 4), (3, 1)]);
        let outcome = stage.get(need, 0).await.unwrap();
        assert_eq!(refusal(outcome), unmet(&[(2, 4), (3, 1)]));
        let told = stage.store.borrow();
        let reads = told.iter().filter(|m| matches!(m, ToStore::ReadKey(_)));
        assert_eq!(reads.count(), 0, "the store was not asked");
    });
}

#[test]
fn a_write_with_unmet_dependencies_is_refused_and_uses_up_no_dot() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let outcome = stage.put(metadata(&[(1, 1)])).await.unwrap();
        assert_eq!(refusal(outcome), unmet(&[(1, 1)]));
        let _made = stage.put(Metadata::default());
        pass(1).await;
        assert_eq!(stage.applied(), [dot(9, 1)]);
    });
}

#[test]
fn a_parked_read_goes_to_the_store_after_the_writes_that_it_waited_for() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let _read = stage.get(metadata(&[(1, 1), (2, 1)]), 1_000);
        stage.push(vec![write(2, 1, &[(1, 1)])]).await;
        assert_eq!(stage.metrics.parked_requests.get(), 1);
        stage.push(vec![write(1, 1, &[])]).await;
        pass(1).await;
        let told = stage.store.borrow();
        let [ToStore::ApplyWrites(apply), ToStore::ReadKey(_)] = &told[..] else {
            panic!("not the writes and then the read: {told:?}");
        };
        assert_eq!(crate::fixtures::dots(&apply.writes), [dot(1, 1), dot(2, 1)]);
        assert_eq!(stage.metrics.parked_requests.get(), 0);
    });
}

#[test]
fn a_parked_request_is_refused_at_its_deadline() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let mut read = stage.get(metadata(&[(1, 1)]), 300);
        pass(299).await;
        assert!(answered(&mut read).is_none());
        // It is answered within 10 ms of its deadline.
        pass(11).await;
        let outcome = answered(&mut read).expect("answered");
        assert_eq!(refusal(outcome), unmet(&[(1, 1)]));
    });
}

#[test]
fn each_parked_request_is_refused_at_its_own_deadline() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let waits = [500, 100, 300, 200, 400];
        let mut reads = waits.map(|wait_ms| stage.get(metadata(&[(1, 1)]), wait_ms));
        for now in (50..=550).step_by(100) {
            pass(if now == 50 { 50 } else { 100 }).await;
            for (read, wait_ms) in reads.iter_mut().zip(waits) {
                let due = (wait_ms..wait_ms + 100).contains(&now);
                assert_eq!(answered(read).is_some(), due, "{wait_ms} at {now}");
            }
        }
    });
}

#[test]
fn a_parked_write_of_a_client_that_has_gone_is_not_made() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let gone = stage.request(put_k(), metadata(&[(1, 1)]), Some(1_000));
        let _stays = stage.request(put_k(), metadata(&[(1, 1)]), Some(1_000));
        pass(1).await;
        drop(gone);
        stage.push(vec![write(1, 1, &[])]).await;
        pass(1).await;
        assert_eq!(stage.applied(), [dot(1, 1), dot(9, 1)]);
    });
}

#[test]
fn a_client_cannot_be_parked_for_longer_than_the_cap() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let mut read = stage.get(metadata(&[(1, 1)]), 3_600_000);
        pass(RULES.wait_max_ms - 1).await;
        assert!(answered(&mut read).is_none());
        pass(11).await;
        assert!(answered(&mut read).is_some());
    });
}

#[test]
fn a_request_that_asks_for_no_wait_waits_as_long_as_the_server_says() {
    in_virtual_time(async {
        let rules = CausalityRules {
            wait_default_ms: 400,
            ..RULES
        };
        let stage = Stage::serving_with(rules).await;
        let mut put = stage.put(metadata(&[(1, 1)]));
        let mut get = stage.get(metadata(&[(1, 1)]), 0);
        pass(399).await;
        assert!(answered(&mut get).is_some(), "0 means at once");
        assert!(answered(&mut put).is_none());
        stage.push(vec![write(1, 1, &[])]).await;
        pass(1).await;
        assert_eq!(stage.applied(), [dot(1, 1), dot(9, 1)]);
    });
}

#[test]
fn one_request_more_than_may_be_parked_is_refused_at_once() {
    in_virtual_time(async {
        let rules = CausalityRules {
            parked_max: 2,
            ..RULES
        };
        let stage = Stage::serving_with(rules).await;
        let need = metadata(&[(1, 1)]);
        let mut reads = [(); 3].map(|()| stage.get(need.clone(), 1_000));
        pass(1).await;
        let refused: Vec<bool> = reads.iter_mut().map(|r| answered(r).is_some()).collect();
        assert_eq!(refused, [false, false, true]);
        assert_eq!(stage.metrics.parked_requests.get(), 2);
    });
}

#[test]
fn a_chain_of_parked_writes_each_waiting_for_the_one_before_is_released_to_its_end() {
    in_virtual_time(async {
        let length = 10_000;
        let rules = CausalityRules {
            parked_max: 10_000,
            ..RULES
        };
        let stage = Stage::serving_with(rules).await;
        let wait = Some(10_000);
        let chain = 1..=length;
        let _parked: Vec<_> = chain
            .map(|counter| stage.request(put_k(), metadata(&[(9, counter)]), wait))
            .collect();
        let _first = stage.put(Metadata::default());
        pass(1).await;
        let last = stage.applied().last().copied();
        assert_eq!(last, Some(dot(9, length + 1)));
        assert_eq!(stage.metrics.parked_requests.get(), 0);
    });
}

#[test]
fn a_delete_is_probed_first_and_becomes_a_write_when_confirmed() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let operation = Operation::Delete { key: key("k") };
        let mut answer = stage.request(operation, Metadata::default(), None);
        pass(1).await;
        let probed = stage.store.borrow_mut().pop();
        let Some(ToStore::ProbeDelete(probe)) = probed else {
            panic!("not probed: {probed:?}");
        };
        assert_eq!((probe.domain, stage.applied().len()), (DOMAIN, 0));
        stage.actor.tell(DeleteConfirmed {
            key: probe.key,
            metadata: probe.metadata,
            reply: probe.reply,
        });
        pass(1).await;
        let published = stage.published();
        assert_eq!(published[0].version.content, Content::Tombstone);
        assert_eq!(stage.applied(), [dot(9, 1)]);
        assert!(answered(&mut answer).is_none(), "that is the store's to do");
    });
}

#[test]
fn a_check_is_answered_by_the_clock_alone() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let met = stage.request(Operation::Check, Metadata::default(), None);
        assert!(matches!(met.await.unwrap().outcome, Outcome::Met));
        let need = metadata(&[(1, 1)]);
        let outcome = stage.request(Operation::Check, need, None).await;
        assert_eq!(refusal(outcome.unwrap()), unmet(&[(1, 1)]));
        assert_eq!(stage.store.borrow().len(), 0);
    });
}

#[test]
fn a_full_store_refuses_put_alone() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.actor.tell(StoreFilled { full: true });
        let outcome = stage.put(Metadata::default()).await.unwrap();
        assert_eq!(refusal(outcome), Refusal::StoreFull);
        let _get = stage.get(Metadata::default(), 0);
        let operation = Operation::Delete { key: key("k") };
        let _delete = stage.request(operation, Metadata::default(), None);
        pass(1).await;
        assert!(matches!(
            stage.store.borrow()[..],
            [ToStore::ReadKey(_), ToStore::ProbeDelete(_)]
        ));
        stage.actor.tell(StoreFilled { full: false });
        let _put = stage.put(Metadata::default());
        pass(1).await;
        assert_eq!(stage.applied(), [dot(9, 1)]);
    });
}

#[test]
fn a_stamp_too_far_ahead_of_the_wall_clock_refuses_a_write_and_no_read() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let stamped = |ahead_ms| Metadata {
            time: HlcTime {
                ms: WALL_MS + ahead_ms,
                count: 0,
            },
            ..Metadata::default()
        };
        let outcome = stage.put(stamped(60_001)).await.unwrap();
        let skew = Refusal::ClockSkew { ahead_ms: 60_001 };
        assert_eq!(refusal(outcome), skew);
        let _read = stage.get(stamped(60_001), 0);
        let _put = stage.put(stamped(60_000));
        pass(1).await;
        let told = stage.store.borrow();
        let [ToStore::ReadKey(_), ToStore::ApplyOwn(own)] = &told[..] else {
            panic!("not the read and one write: {told:?}");
        };
        assert!(own.write.version.time > stamped(60_000).time);
    });
}

#[test]
fn no_room_in_the_stores_mailbox_is_overload_until_there_is_room() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let crowd = stage.crowd_the_store().await;
        let outcome = stage.put(Metadata::default()).await.unwrap();
        assert_eq!(refusal(outcome), Refusal::Overloaded);
        drop(crowd);
        let _put = stage.put(Metadata::default());
        pass(1).await;
        assert_eq!(stage.applied(), [dot(9, 1)]);
    });
}

#[test]
fn a_stamp_that_this_replica_has_reached_itself_is_no_skew_when_the_wall_clock_was_set_back() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.wall.set(WALL_MS + 3_600_000);
        let _first = stage.put(Metadata::default());
        pass(1).await;
        stage.wall.set(WALL_MS);
        let written = stage.published()[0].version.time;
        let seen = Metadata {
            time: written,
            ..metadata(&[(9, 1)])
        };
        let _second = stage.put(seen);
        pass(1).await;
        assert_eq!(stage.applied(), [dot(9, 1), dot(9, 2)]);
        assert!(stage.published()[1].version.time > written);
    });
}
