//! The settle rule (contract §3), on both ends of a link.

use causet::core::clock::Clock;
use causet::messages::peers::MarkRemoved;
use causet::transport::Call;

use super::{Stage, ToCausality, UNSTEADY};
use crate::fixtures::{digest, dot, origin, reborn};
use crate::support::{in_virtual_time, pass};

#[test]
fn no_batch_is_taken_before_the_peer_has_answered_a_call() {
    in_virtual_time(async {
        let stage = Stage::new();
        // That it calls says nothing about whether it can be called.
        stage.take_heartbeat(digest(origin(1), Clock::new())).await;
        stage.script().digest = None;
        assert_eq!(stage.take_batch().await, Some(UNSTEADY));
        stage.connect();
        stage.run(250).await;
        assert_eq!(stage.take_batch().await, None);
        assert_eq!(stage.delivered(), [dot(1, 1)]);
    });
}

#[test]
fn half_a_second_of_silence_breaks_a_link_and_all_that_waited_is_dropped() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1, 2]).await;
        assert_eq!(stage.outbox(), 2);
        stage.cut();
        // The last answer was 250 ms ago.
        stage.run(249).await;
        assert_eq!((stage.outbox(), stage.script().disconnects), (2, 0));
        stage.run(251).await;
        assert_eq!((stage.outbox(), stage.script().disconnects), (0, 1));
        let _in_flight = stage.open(Call::Push);
        stage.publish([3]).await;
        stage.run(1_000).await;
        assert_eq!(stage.open(Call::Push).len(), 0);
        assert_eq!((stage.outbox(), stage.script().disconnects), (0, 1));
        assert_eq!(stage.take_batch().await, Some(UNSTEADY));
        assert!(!stage.script().heartbeats.is_empty(), "it is still probed");
    });
}

#[test]
fn the_view_is_told_when_the_peer_falls_silent_and_when_it_answers_though_no_data_may_flow_yet() {
    in_virtual_time(async {
        let stage = Stage::new();
        let told = |stage: &Stage| -> Vec<bool> {
            stage.turns.borrow().iter().map(|t| t.answers).collect()
        };
        stage.cut();
        stage.run(250).await;
        assert_eq!(told(&stage), [false], "it has never answered");
        stage.connect();
        stage.run(500).await;
        assert_eq!(told(&stage), [false, true]);
        stage.cut();
        stage.run(2_000).await;
        assert_eq!(told(&stage), [false, true, false]);
        stage.connect();
        stage.run(500).await;
        assert_eq!(told(&stage), [false, true, false, true]);
        assert_eq!(stage.take_batch().await, Some(UNSTEADY));
    });
}

#[test]
fn no_data_flows_either_way_for_2_5_s_after_a_long_outage() {
    in_virtual_time(async {
        let stage = Stage::healed_after(1_500).await;
        stage.publish([1]).await;
        for _ in 0..9 {
            assert_eq!(stage.take_batch().await, Some(UNSTEADY));
            assert!(!stage.may_join());
            stage.beat();
            stage.take_heartbeat(digest(origin(1), Clock::new())).await;
            stage.publish([2]).await;
            assert_eq!(stage.open(Call::Push).len(), 0);
            assert!(!stage.script().heartbeats.last().unwrap().admits);
            pass(247).await;
        }
        assert_eq!(stage.take_batch().await, Some(UNSTEADY));
        stage.run(250).await;
        assert_eq!(stage.take_batch().await, None);
        stage.run(250).await;
        assert!(stage.may_join());
        assert!(stage.script().heartbeats.last().unwrap().admits);
        stage.publish([3]).await;
        assert_eq!(
            stage.pushed().0,
            [3],
            "what came before is a join's to bring"
        );
    });
}

#[test]
fn after_a_short_outage_data_flows_again_after_twice_its_length() {
    in_virtual_time(async {
        let stage = Stage::healed_after(750).await;
        stage.run(1_250).await;
        assert_eq!(stage.take_batch().await, Some(UNSTEADY));
        stage.run(250).await;
        assert_eq!(stage.take_batch().await, None);
    });
}

#[test]
fn a_short_outage_while_it_settles_makes_it_settle_no_sooner() {
    in_virtual_time(async {
        let stage = Stage::healed_after(1_500).await;
        pass(500).await;
        stage.run(1_250).await;
        // 1,750 ms after the first answer; twice the length of the second outage is over.
        assert_eq!(stage.take_batch().await, Some(UNSTEADY));
        assert!(!stage.may_join());
    });
}

#[test]
fn a_new_life_that_announces_itself_is_served_at_once() {
    in_virtual_time(async {
        let stage = Stage::healed_after(1_500).await;
        assert_eq!(stage.take_batch().await, Some(UNSTEADY));
        stage.peer_says(digest(reborn(1), Clock::new()));
        stage.take_heartbeat(digest(reborn(1), Clock::new())).await;
        // It was called back without waiting for the next heartbeat.
        assert_eq!(stage.take_batch().await, None);
        assert!(stage.may_join());
        stage.publish([1]).await;
        assert_eq!(stage.pushed().0, [1]);
    });
}

#[test]
fn the_announcement_of_a_new_life_drops_what_waited_for_the_one_before() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.publish([1, 2]).await;
        let _in_flight = stage.pushed().1;
        stage
            .take_heartbeat(super::starting(digest(reborn(1), Clock::new())))
            .await;
        assert_eq!(stage.outbox(), 0);
        stage.publish([3]).await;
        assert_eq!(stage.open(Call::Push).len(), 0);
    });
}

#[test]
fn a_heartbeat_of_an_earlier_life_changes_nothing_about_the_link() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.peer_says(digest(reborn(1), Clock::new()));
        stage.run(500).await;
        stage
            .take_heartbeat(super::starting(digest(origin(1), Clock::new())))
            .await;
        stage.publish([1]).await;
        assert_eq!(stage.pushed().0, [1], "the present life takes pushes");
    });
}

#[test]
fn causality_is_told_with_every_heartbeat_what_the_link_may_be_used_for() {
    in_virtual_time(async {
        let stage = Stage::healed_after(1_500).await;
        let told_of = |stage: &Stage| {
            let told = stage.causality.borrow_mut().pop();
            match told {
                Some(ToCausality::ExchangeDigest(exchange)) => (exchange.may_join, exchange.steady),
                other => panic!("not told but {other:?}"),
            }
        };
        stage.take_heartbeat(digest(origin(1), Clock::new())).await;
        assert_eq!(told_of(&stage), (false, false));
        stage.run(3_000).await;
        stage.take_heartbeat(digest(origin(1), Clock::new())).await;
        assert_eq!(told_of(&stage), (true, true));
    });
}

#[test]
fn a_link_that_ends_leaves_no_gauges_and_no_connection_behind() {
    in_virtual_time(async {
        let stage = Stage::steady().await;
        stage.actor.tell(MarkRemoved { removed: false });
        let (peer, metrics) = (stage.peer.clone(), stage.metrics.clone());
        assert!(metrics.to_text().contains("causet_link_state{peer="));
        drop(stage);
        pass(1).await;
        assert_eq!(peer.0.borrow().disconnects, 1);
        assert!(!metrics.to_text().contains("causet_link_state{peer="));
    });
}
