//! Starting, serving, removed, stopping: what is taken and answered in each.

use causet::core::clock::Clock;
use causet::core::coverage::Coverage;
use causet::core::join::Cut;
use causet::core::metadata::Metadata;
use causet::core::sharding::map::ShardMap;
use causet::core::stamp::HlcTime;
use causet::core::wire::{
    Digest, JoinAnswer, JoinRefusal, JoinRequest, JoinRest, PushAnswer, PushRefusal, Status, Wants,
};
use causet::messages::causality::{
    ClientReply, DeleteConfirmed, Drain, ExchangeDigest, JoinEnded, ReadJoin, Refusal,
};
use causet::messages::view::ViewChanged;

use super::{Stage, refusal};
use crate::fixtures::{DOMAIN, address, clock, digest, dot, key, metadata, origin, write};
use crate::support::{answered, in_virtual_time, pass};

const NOT_SERVING: PushAnswer = PushAnswer::Refused(PushRefusal::NotServing);

fn starting_peer(n: u8) -> Digest {
    Digest {
        status: Status::Starting,
        bootstrapped: false,
        ..digest(origin(n), clock(&[(n, 1)]))
    }
}

fn view_changed(removed: bool) -> ViewChanged {
    ViewChanged {
        view: vec![address(9)],
        removed,
        members: vec![address(9)],
        incarnations: vec![(address(9), origin(9).incarnation)],
        forgotten: Vec::new(),
        voids: 0,
        map: ShardMap::implicit(),
    }
}

#[test]
fn nothing_is_taken_and_nobody_is_answered_while_starting() {
    in_virtual_time(async {
        let stage = Stage::starting();
        assert_eq!(stage.status().await, Status::Starting);
        assert_eq!(stage.push(vec![write(1, 1, &[])]).await, NOT_SERVING);
        let get = stage.get(Metadata::default(), 1_000).await.unwrap();
        assert_eq!(refusal(get), Refusal::Starting);
        let put = stage.put(Metadata::default()).await.unwrap();
        assert_eq!(refusal(put), Refusal::Starting);
        let ask = |reply| ReadJoin {
            request: JoinRequest {
                wants: Wants::State,
                claims: Vec::new(),
                from: origin(2),
                domain: DOMAIN,
                covered: Coverage::new(),
                session: 0,
                page: 0,
            },
            reply,
        };
        let refused = JoinAnswer::Refused(JoinRefusal::NotServing);
        assert_eq!(stage.actor.ask(ask).await, refused);
        assert_eq!(stage.store.borrow().len(), 0);
        let own = stage.last_digest();
        assert_eq!((own.status, own.admits), (Status::Starting, false));
    });
}

#[test]
fn it_serves_500_ms_after_the_start_if_nobody_answers() {
    in_virtual_time(async {
        let stage = Stage::starting();
        stage.hear(starting_peer(1), true).await;
        pass(498).await;
        assert_eq!(stage.status().await, Status::Starting);
        pass(2).await;
        assert_eq!(stage.status().await, Status::Serving);
        assert_eq!(stage.asked(), [], "a starting peer is no source");
        let own = stage.last_digest();
        assert_eq!((own.status, own.admits), (Status::Serving, true), "told");
    });
}

#[test]
fn it_takes_over_all_that_the_first_serving_peer_has_and_serves_only_then() {
    in_virtual_time(async {
        let stage = Stage::starting();
        stage.hear(starting_peer(1), true).await;
        stage.hear(digest(origin(4), Clock::new()), false).await;
        stage.hear(digest(origin(2), clock(&[(2, 1)])), true).await;
        stage.hear(digest(origin(3), Clock::new()), true).await;
        assert_eq!(stage.asked(), [address(2)]);
        // It waits for the join, however long that takes.
        pass(1_500).await;
        assert_eq!(stage.status().await, Status::Starting);
        let cut = Cut {
            older: Vec::new(),
            from: origin(2),
            covered: clock(&[(2, 1), (5, 3)]).into(),
            time: HlcTime {
                ms: super::WALL_MS + 5,
                count: 0,
            },
            writes: vec![write(2, 1, &[]), write(5, 3, &[])],
            rest: JoinRest::default(),
        };
        stage.actor.tell(JoinEnded {
            wants: Wants::State,
            from: address(2),
            asker: origin(9),
            result: Ok(cut),
        });
        assert_eq!(stage.status().await, Status::Serving);
        let _put = stage.put(metadata(&[(2, 1), (5, 3)]));
        pass(1).await;
        assert_eq!(stage.applied(), [dot(2, 1), dot(5, 3), dot(9, 1)]);
        let stamped = stage.published()[0].version.time;
        assert!(
            stamped.ms >= super::WALL_MS + 5,
            "above all that it learned"
        );
    });
}

#[test]
fn a_failed_bootstrap_is_tried_again_and_given_up_500_ms_after_the_last_failure() {
    in_virtual_time(async {
        let stage = Stage::starting();
        let peer = digest(origin(2), clock(&[(2, 1)]));
        for _ in 0..2 {
            stage.hear(peer.clone(), true).await;
            pass(1_000).await;
            stage.actor.tell(JoinEnded {
                wants: Wants::State,
                from: address(2),
                asker: origin(9),
                result: Err("lost".to_owned()),
            });
        }
        assert_eq!(stage.asked(), [address(2), address(2)]);
        pass(490).await;
        assert_eq!(stage.status().await, Status::Starting);
        // It looks at every half heartbeat.
        pass(150).await;
        assert_eq!(stage.status().await, Status::Serving);
    });
}

#[test]
fn it_waits_for_a_peer_that_answers_until_the_link_to_it_may_be_used() {
    in_virtual_time(async {
        let stage = Stage::starting();
        for _ in 0..20 {
            stage.hear(digest(origin(2), Clock::new()), false).await;
            pass(250).await;
        }
        assert_eq!(stage.status().await, Status::Starting);
        stage.hear(digest(origin(2), Clock::new()), true).await;
        assert_eq!(stage.asked(), [address(2)]);
    });
}

#[test]
fn it_does_not_wait_for_a_peer_that_it_hears_and_cannot_reach() {
    in_virtual_time(async {
        let stage = Stage::starting();
        for _ in 0..3 {
            let exchange = |reply| ExchangeDigest {
                digest: digest(origin(2), Clock::new()),
                may_join: false,
                steady: false,
                removed: false,
                reply,
            };
            stage.actor.ask(exchange).await;
            pass(200).await;
        }
        assert_eq!(stage.status().await, Status::Serving);
    });
}

#[test]
fn a_stop_answers_what_is_parked_and_takes_no_more() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let mut parked = stage.get(metadata(&[(1, 1)]), 10_000);
        stage.actor.ask(|reply| Drain { reply }).await;
        let outcome = answered(&mut parked).expect("answered before the drain is");
        assert_eq!(refusal(outcome), Refusal::Stopping);
        let put = stage.put(Metadata::default()).await.unwrap();
        assert_eq!(refusal(put), Refusal::Stopping);
        let confirmed = stage.actor.ask(|reply| DeleteConfirmed {
            key: key("k"),
            metadata: Metadata::default(),
            reply: ClientReply::new(reply),
        });
        assert_eq!(refusal(confirmed.await), Refusal::Stopping);
        assert_eq!(stage.push(vec![write(1, 1, &[])]).await, NOT_SERVING);
        pass(1).await;
        assert_eq!(stage.applied(), []);
        assert_eq!(stage.last_digest().status, Status::Stopping);
    });
}

#[test]
fn a_removed_replica_answers_nobody_until_it_is_back() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let mut parked = stage.get(metadata(&[(1, 1)]), 10_000);
        stage.actor.tell(view_changed(true));
        assert_eq!(stage.status().await, Status::Removed);
        let outcome = answered(&mut parked).expect("answered at once");
        assert_eq!(refusal(outcome), Refusal::Removed);
        let put = stage.put(Metadata::default()).await.unwrap();
        assert_eq!(refusal(put), Refusal::Removed);
        assert_eq!(stage.push(vec![write(1, 1, &[])]).await, NOT_SERVING);
        stage.hear(digest(origin(1), clock(&[(1, 1)])), true).await;
        assert_eq!(stage.asked(), [], "it repairs itself when it is back");
        stage.actor.tell(view_changed(false));
        let _put = stage.put(Metadata::default());
        stage.hear(digest(origin(1), clock(&[(1, 1)])), true).await;
        assert_eq!(stage.applied(), [dot(9, 1)]);
        assert_eq!(stage.asked(), [address(1)]);
    });
}

#[test]
fn a_replica_removed_while_it_starts_catches_up_before_it_serves() {
    in_virtual_time(async {
        let stage = Stage::starting();
        stage.actor.tell(view_changed(true));
        pass(5_000).await;
        assert_eq!(stage.status().await, Status::Removed);
        stage.actor.tell(view_changed(false));
        // One heartbeat later it would have seen that the time for a bootstrap is long over.
        pass(260).await;
        assert_eq!(stage.status().await, Status::Starting);
        stage.hear(digest(origin(1), clock(&[(1, 1)])), true).await;
        assert_eq!(stage.asked(), [address(1)]);
    });
}

#[test]
fn heartbeats_go_on_twice_as_fast_while_starting() {
    in_virtual_time(async {
        let stage = Stage::starting();
        let beats = |stage: &Stage| {
            let told = stage.broadcaster.borrow();
            let beats = told
                .iter()
                .filter(|m| matches!(m, super::ToBroadcaster::Beat(_)));
            beats.count()
        };
        pass(499).await;
        assert_eq!(beats(&stage), 4, "at 0, 125, 250 and 375 ms");
        let stage = Stage::serving().await;
        pass(1_000).await;
        assert_eq!(beats(&stage), 4);
    });
}
