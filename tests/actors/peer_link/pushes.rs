//! The outbox: batches, one in flight; no retries.

use causet::core::clock::Clock;
use causet::core::wire::{Digest, HeartbeatAnswer, PushAnswer, PushRefusal};
use causet::messages::peers::{Flush, Publish};
use causet::transport::Call;

use super::{Stage, ToCausality, starting};
use crate::fixtures::{OTHER_DOMAIN, clock, digest, origin, reborn, write};
use crate::support::{answered, in_virtual_time, pass};

#[test]
fn a_write_is_pushed_at_once_and_what_gathers_meanwhile_makes_the_next_batches() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1]).await;
        let (first, in_flight) = stage.pushed();
        assert_eq!(first, [1]);
        stage.publish(2..=5).await;
        assert_eq!(stage.open(Call::Push).len(), 0, "one in flight");
        in_flight.answer(&PushAnswer::Admitted);
        pass(1).await;
        let (second, in_flight) = stage.pushed();
        assert_eq!(second, [2, 3, 4]);
        in_flight.answer(&PushAnswer::Admitted);
        pass(1).await;
        let (third, in_flight) = stage.pushed();
        assert_eq!(third, [5]);
        in_flight.answer(&PushAnswer::Admitted);
        pass(1).await;
        assert_eq!(stage.open(Call::Push).len(), 0);
        assert_eq!(stage.outbox(), 0);
    });
}

#[test]
fn nothing_is_pushed_to_a_peer_that_has_not_said_that_it_takes_pushes() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.peer_says(starting(digest(origin(1), Clock::new())));
        stage.run(500).await;
        stage.publish([1]).await;
        assert_eq!(stage.open(Call::Push).len(), 0);
        // It serves now, and its own heartbeat says so.
        stage.take_heartbeat(digest(origin(1), Clock::new())).await;
        assert_eq!(stage.pushed().0, [1]);
    });
}

#[test]
fn what_is_on_its_way_is_said_with_every_heartbeat() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        let pushing = |stage: &Stage| stage.script().heartbeats.last().unwrap().pushing;
        stage.run(250).await;
        assert!(!pushing(&stage));
        stage.publish([1]).await;
        stage.run(250).await;
        assert!(pushing(&stage), "in flight");
        stage.pushed().1.answer(&PushAnswer::Admitted);
        pass(1).await;
        stage.run(250).await;
        assert!(!pushing(&stage));
    });
}

#[test]
fn a_full_outbox_is_emptied_and_asks_for_a_join_by_a_heartbeat_at_once() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1]).await;
        let in_flight = stage.pushed().1;
        stage.publish(2..=6).await;
        assert_eq!(stage.script().heartbeats.len(), 0);
        stage.publish([7]).await;
        let overflows = stage
            .metrics
            .outbox_overflows
            .with_label_values(&["10.0.0.1:8090"]);
        assert_eq!(overflows.get(), 1);
        let beats = stage.script().heartbeats.clone();
        assert_eq!(beats.len(), 1);
        assert!(!beats[0].pushing, "what was dropped is not on its way");
        in_flight.answer(&PushAnswer::Admitted);
        pass(1).await;
        assert_eq!(stage.open(Call::Push).len(), 0);
        stage.publish([8]).await;
        let (next, _in_flight) = stage.pushed();
        assert_eq!(next, [8], "it goes on with what comes next");
        let pushing = |stage: &Stage| stage.script().heartbeats.last().unwrap().pushing;
        stage.run(250).await;
        assert!(!pushing(&stage), "7 is still lacking");
        stage.peer_says(digest(origin(1), clock(&[(9, 7)])));
        stage.run(500).await;
        assert!(
            pushing(&stage),
            "a join has brought it, and 8 is on its way"
        );
    });
}

#[test]
fn a_refused_push_is_not_retried_and_ends_pushing_until_the_peer_takes_some_again() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1]).await;
        let refused = PushAnswer::Refused(PushRefusal::NotServing);
        stage.pushed().1.answer(&refused);
        pass(1).await;
        stage.publish([2]).await;
        assert_eq!(stage.open(Call::Push).len(), 0);
        stage.run(250).await;
        assert_eq!(stage.pushed().0, [2], "the first is a join's to bring");
    });
}

#[test]
fn a_push_without_answer_is_given_up_with_all_that_waited() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1]).await;
        let in_flight = stage.pushed().1;
        stage.publish([2]).await;
        in_flight.fail();
        pass(1).await;
        assert_eq!(stage.outbox(), 0);
        stage.run(500).await;
        assert_eq!(stage.open(Call::Push).len(), 0);
    });
}

#[test]
fn the_answer_to_a_push_that_was_given_up_is_not_taken_for_that_of_a_later_one() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1]).await;
        let given_up = stage.pushed().1;
        stage.mark(true).await;
        stage.mark(false).await;
        stage.publish([2]).await;
        let (counters, _in_flight) = stage.pushed();
        assert_eq!(counters, [2]);
        given_up.answer(&PushAnswer::Admitted);
        stage.publish([3]).await;
        assert_eq!(stage.open(Call::Push).len(), 0, "2 is still in flight");
    });
}

#[test]
fn a_peer_that_knows_a_later_life_of_this_node_is_reported() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1]).await;
        let later = reborn(9).incarnation;
        let refused = PushAnswer::Refused(PushRefusal::Superseded(later));
        stage.pushed().1.answer(&refused);
        pass(1).await;
        let told = stage.causality.borrow();
        let Some(ToCausality::OwnLifeSuperseded(superseded)) = told.last() else {
            panic!("not told: {told:?}");
        };
        assert_eq!(superseded.incarnation, later);
    });
}

#[test]
fn a_removed_peer_gets_no_writes_until_it_is_back() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1]).await;
        stage.publish([2]).await;
        let _in_flight = stage.pushed().1;
        stage.mark(true).await;
        assert_eq!(stage.outbox(), 0);
        stage.publish([3]).await;
        stage.run(1_000).await;
        assert_eq!(stage.open(Call::Push).len(), 0);
        stage.mark(false).await;
        stage.publish([4]).await;
        assert_eq!(stage.pushed().0, [4]);
    });
}

#[test]
fn a_new_domain_leaves_the_writes_of_the_old_one_behind() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1]).await;
        let _in_flight = stage.pushed().1;
        stage.publish([2]).await;
        stage.actor.tell(Publish {
            domain: OTHER_DOMAIN,
            write: write(9, 1, &[]),
        });
        pass(1).await;
        let batch: causet::core::wire::Batch = stage.only(Call::Push).decode();
        assert_eq!((batch.domain, batch.writes.len()), (OTHER_DOMAIN, 1));
    });
}

#[test]
fn what_is_no_answer_is_counted_and_taken_for_none() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1]).await;
        stage.pushed().1.answer_bytes(vec![9, 0]);
        pass(1).await;
        assert_eq!((stage.malformed(Call::Push), stage.outbox()), (1, 0));
        stage.cut();
        stage.beat();
        pass(1).await;
        let beat = stage.only(Call::Heartbeat);
        beat.answer_bytes(b"<html>".to_vec());
        pass(1).await;
        assert_eq!(stage.malformed(Call::Heartbeat), 1);
        assert_eq!(stage.causality.borrow().len(), 0);
        stage.run(500).await;
        assert_eq!(stage.take_batch().await, Some(super::UNSTEADY), "broken");
    });
}

#[test]
fn an_answer_of_somebody_else_or_of_an_earlier_life_is_none() {
    in_virtual_time(async {
        let stage = Stage::new();
        for no_answer in [
            HeartbeatAnswer::Unknown,
            HeartbeatAnswer::Digest(digest(origin(2), Clock::new())),
        ] {
            stage.cut();
            stage.beat();
            pass(1).await;
            stage.only(Call::Heartbeat).answer(&no_answer);
            pass(1).await;
        }
        let later: Digest = digest(reborn(1), Clock::new());
        stage.take_heartbeat(later).await;
        stage.connect();
        stage.run(250).await;
        let told = stage.causality.borrow();
        assert!(
            matches!(told[..], [ToCausality::ExchangeDigest(_)]),
            "{told:?}"
        );
    });
}

#[test]
fn a_flush_is_answered_when_the_outbox_is_empty() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.actor.ask(|reply| Flush { reply }).await;
        stage.publish(1..=4).await;
        let mut flushed = stage.actor.request(|reply| Flush { reply });
        for batch in [vec![1], vec![2, 3, 4]] {
            pass(1).await;
            assert!(answered(&mut flushed).is_none());
            let (counters, push) = stage.pushed();
            assert_eq!(counters, batch);
            push.answer(&PushAnswer::Admitted);
        }
        pass(1).await;
        assert!(answered(&mut flushed).is_some());
    });
}

#[test]
fn a_flush_is_answered_when_the_outbox_cannot_be_emptied() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1]).await;
        let mut flushed = stage.actor.request(|reply| Flush { reply });
        pass(1).await;
        assert!(answered(&mut flushed).is_none());
        stage.pushed().1.fail();
        pass(1).await;
        assert!(answered(&mut flushed).is_some());
        // Now the peer is not known to take anything.
        stage.publish([2]).await;
        assert!(stage.outbox() > 0);
        stage.actor.ask(|reply| Flush { reply }).await;
    });
}
