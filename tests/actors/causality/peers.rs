//! What peers push, say and are asked for.

use causet::core::causal_buffer::BufferLimits;
use causet::core::clock::Clock;
use causet::core::coverage::Coverage;
use causet::core::id::Origin;
use causet::core::join::Cut;
use causet::core::stamp::HlcTime;
use causet::core::wire::{
    Digest, HeartbeatAnswer, JoinAnswer, JoinRefusal, JoinRequest, JoinRest, PushAnswer,
    PushRefusal, Status, Wants,
};
use causet::core::write::Write;
use causet::messages::causality::{Deliver, ExchangeDigest, JoinEnded, ReadDigest, ReadJoin};

use super::{CausalityRules, RULES, Stage, ToStore};
use crate::fixtures::{
    OTHER_DOMAIN, address, batch, clock, digest, dot, metadata, origin, reborn, write,
};
use crate::support::{answered, in_virtual_time, pass};

pub(super) fn cut(from: Origin, writes: Vec<Write>) -> Cut {
    Cut {
        older: Vec::new(),
        from,
        covered: writes
            .iter()
            .map(|w| (w.dot().origin, w.dot().counter))
            .collect(),
        time: HlcTime { ms: 50, count: 0 },
        writes,
        rest: JoinRest::default(),
    }
}

pub(super) fn join_ended(from: u8, result: Result<Cut, String>) -> JoinEnded {
    JoinEnded {
        wants: Wants::State,
        from: address(from),
        asker: origin(9),
        result,
    }
}

pub(super) fn request(asker: u8) -> JoinRequest {
    JoinRequest {
        wants: Wants::State,
        claims: Vec::new(),
        from: origin(asker),
        domain: crate::fixtures::DOMAIN,
        covered: Coverage::new(),
        session: 1,
        page: 0,
    }
}

#[test]
fn writes_pushed_out_of_order_reach_the_store_in_causal_order() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let third = write(3, 1, &[(2, 1)]);
        assert_eq!(stage.push(vec![third]).await, PushAnswer::Admitted);
        stage.push(vec![write(2, 1, &[(1, 2)])]).await;
        stage.push(vec![write(1, 2, &[])]).await;
        assert_eq!(stage.applied(), []);
        assert_eq!(stage.metrics.buffer_writes.get(), 3);
        stage.push(vec![write(1, 1, &[])]).await;
        pass(1).await;
        assert_eq!(
            stage.applied(),
            [dot(1, 1), dot(1, 2), dot(2, 1), dot(3, 1)]
        );
        assert_eq!(stage.metrics.buffer_writes.get(), 0);
    });
}

#[test]
fn a_batch_pushed_twice_is_applied_once() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        for _ in 0..2 {
            let pushed = stage.push(vec![write(1, 1, &[]), write(1, 2, &[])]).await;
            assert_eq!(pushed, PushAnswer::Admitted);
        }
        pass(1).await;
        assert_eq!(stage.applied(), [dot(1, 1), dot(1, 2)]);
        assert_eq!(stage.metrics.writes_duplicate.get(), 2);
    });
}

#[test]
fn a_push_is_refused_from_another_domain_and_where_the_store_has_no_room() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let mut foreign = batch(vec![write(1, 1, &[])]);
        foreign.domain = OTHER_DOMAIN;
        let deliver = |reply| Deliver {
            batch: foreign,
            removed: false,
            reply,
        };
        let refused = stage.actor.ask(deliver).await;
        assert_eq!(refused, PushAnswer::Refused(PushRefusal::OtherDomain));
        let crowd = stage.crowd_the_store().await;
        let refused = stage.push(vec![write(1, 1, &[])]).await;
        assert_eq!(refused, PushAnswer::Refused(PushRefusal::Overloaded));
        drop(crowd);
        stage.push(vec![write(1, 1, &[])]).await;
        pass(1).await;
        assert_eq!(stage.applied(), [dot(1, 1)]);
    });
}

#[test]
fn a_digest_that_is_ahead_leads_to_one_join_at_a_time() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.push(vec![write(2, 1, &[])]).await;
        let ahead = digest(origin(1), clock(&[(1, 3)]));
        stage.hear(ahead.clone(), true).await;
        stage.hear(ahead, true).await;
        stage.hear(digest(origin(2), clock(&[(2, 5)])), true).await;
        assert_eq!(stage.asked(), [address(1)]);
        let asked = stage.fetches().remove(0).request;
        assert_eq!((asked.from, asked.page), (origin(9), 0));
        assert_eq!(*asked.covered.clock(), clock(&[(2, 1)]));
        stage.actor.tell(join_ended(1, Err("lost".to_owned())));
        stage.hear(digest(origin(2), clock(&[(2, 5)])), true).await;
        assert_eq!(stage.asked(), [address(1), address(2)]);
        let sessions: Vec<u64> = stage.fetches().iter().map(|f| f.request.session).collect();
        assert_ne!(sessions[0], sessions[1]);
    });
}

#[test]
fn no_join_over_an_unsteady_link_nor_from_a_peer_that_has_nothing_new() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.hear(digest(origin(1), clock(&[(1, 3)])), false).await;
        stage.hear(digest(origin(2), Clock::new()), true).await;
        let foreign = Digest {
            domain: OTHER_DOMAIN,
            ..digest(origin(3), clock(&[(3, 3)]))
        };
        stage.hear(foreign, true).await;
        assert_eq!(stage.asked(), []);
    });
}

#[test]
fn what_is_on_its_way_is_waited_for_and_what_was_dropped_is_not() {
    in_virtual_time(async {
        let rules = CausalityRules {
            buffer: BufferLimits {
                writes: 1,
                bytes: 1 << 20,
            },
            ..RULES
        };
        let stage = Stage::serving_with(rules).await;
        let pushing = Digest {
            pushing: true,
            ..digest(origin(1), clock(&[(1, 3)]))
        };
        stage.hear(pushing.clone(), true).await;
        assert_eq!(stage.asked(), []);
        stage.push(vec![write(1, 2, &[]), write(1, 3, &[])]).await;
        assert_eq!(stage.metrics.writes_dropped.get(), 1);
        stage.hear(pushing, true).await;
        assert_eq!(stage.asked(), [address(1)]);
    });
}

#[test]
fn a_join_is_applied_before_the_requests_that_waited_for_it_are_answered() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let _read = stage.get(metadata(&[(1, 1), (1, 2)]), 1_000);
        stage.push(vec![write(1, 2, &[])]).await;
        stage.hear(digest(origin(2), clock(&[(2, 1)])), true).await;
        let joined = cut(origin(2), vec![write(1, 1, &[]), write(2, 1, &[])]);
        stage.actor.tell(join_ended(2, Ok(joined)));
        pass(1).await;
        assert_eq!(stage.applied(), [dot(1, 1), dot(2, 1), dot(1, 2)]);
        let told = stage.store.borrow();
        assert!(matches!(
            told[..],
            [ToStore::ApplyWrites(_), ToStore::ReadKey(_)]
        ));
    });
}

#[test]
fn the_answer_of_an_outlived_life_is_not_joined() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let old = digest(origin(1), clock(&[(1, 1)]));
        stage.hear(old, true).await;
        stage.hear(digest(reborn(1), Clock::new()), true).await;
        let joined = cut(origin(1), vec![write(1, 1, &[])]);
        stage.actor.tell(join_ended(1, Ok(joined)));
        pass(1).await;
        assert_eq!(stage.applied(), []);
        let failed = stage.metrics.repairs.with_label_values(&["failed"]);
        assert_eq!(failed.get(), 1);
    });
}

#[test]
fn nothing_pushed_by_an_outlived_life_is_delivered() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.push(vec![write(1, 2, &[])]).await;
        stage.hear(digest(reborn(1), Clock::new()), true).await;
        let refused = stage.push(vec![write(1, 1, &[])]).await;
        let superseded = PushRefusal::Superseded(reborn(1).incarnation);
        assert_eq!(refused, PushAnswer::Refused(superseded));
        stage.hear(digest(origin(2), clock(&[(1, 1)])), true).await;
        let joined = cut(origin(2), vec![write(1, 1, &[])]);
        stage.actor.tell(join_ended(2, Ok(joined)));
        pass(1).await;
        assert_eq!(stage.applied(), [dot(1, 1)], "joins alone bring it");
    });
}

#[test]
fn a_peer_gets_this_nodes_digest_which_admits_pushes_over_a_steady_link_only() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.push(vec![write(1, 1, &[])]).await;
        for steady in [true, false] {
            let exchange = |reply| ExchangeDigest {
                digest: digest(origin(1), Clock::new()),
                may_join: steady,
                steady,
                removed: false,
                reply,
            };
            let answer = stage.actor.ask(exchange).await;
            let HeartbeatAnswer::Digest(own) = answer else {
                panic!("no digest");
            };
            assert_eq!((own.from, own.admits), (origin(9), steady));
            assert_eq!(
                (own.covered.clock(), own.status),
                (&clock(&[(1, 1)]), Status::Serving)
            );
        }
    });
}

#[test]
fn a_peers_join_is_cut_by_the_store_at_the_clock_of_that_moment() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.push(vec![write(1, 1, &[])]).await;
        let ask = |reply| ReadJoin {
            request: request(2),
            reply,
        };
        let _answer = stage.actor.request(ask);
        stage.push(vec![write(1, 2, &[])]).await;
        pass(1).await;
        let told = stage.store.borrow();
        let [_, ToStore::ReadDifference(difference), _] = &told[..] else {
            panic!("not asked between the writes: {told:?}");
        };
        assert_eq!(*difference.covered.clock(), clock(&[(1, 1)]));
        assert_eq!(difference.from, origin(9));
    });
}

#[test]
fn a_join_is_refused_from_another_domain_and_where_the_store_has_no_room() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let foreign = JoinRequest {
            domain: OTHER_DOMAIN,
            ..request(2)
        };
        let ask = |request| |reply| ReadJoin { request, reply };
        let answer = stage.actor.ask(ask(foreign)).await;
        assert_eq!(answer, JoinAnswer::Refused(JoinRefusal::OtherDomain));
        let crowd = stage.crowd_the_store().await;
        let answer = stage.actor.ask(ask(request(2))).await;
        assert_eq!(answer, JoinAnswer::Refused(JoinRefusal::Busy));
        drop(crowd);
        let mut answer = stage.actor.request(ask(request(2)));
        pass(1).await;
        assert!(answered(&mut answer).is_none(), "that is the store's to do");
    });
}

#[test]
fn a_digest_report_is_completed_by_the_store_at_the_clock_of_that_moment() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.push(vec![write(1, 1, &[])]).await;
        let _report = stage.actor.request(|reply| ReadDigest { reply });
        pass(1).await;
        let told = stage.store.borrow();
        let Some(ToStore::ReadSummary(ask)) = told.last() else {
            panic!("not asked: {told:?}");
        };
        assert_eq!(*ask.covered.clock(), clock(&[(1, 1)]));
    });
}

#[test]
fn a_join_that_brings_no_write_still_releases_the_requests_that_its_clock_covers() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        // The write that is waited for was overwritten by one that is known here already.
        stage.push(vec![write(2, 1, &[])]).await;
        let mut get = stage.get(metadata(&[(1, 1)]), 20_000);
        stage
            .hear(digest(origin(2), clock(&[(1, 1), (2, 1)])), true)
            .await;
        pass(250).await;
        stage
            .hear(digest(origin(2), clock(&[(1, 1), (2, 1)])), true)
            .await;
        assert_eq!(stage.asked(), [address(2)]);
        let overwritten = Cut {
            older: Vec::new(),
            covered: clock(&[(1, 1), (2, 1)]).into(),
            ..cut(origin(2), Vec::new())
        };
        stage.actor.tell(join_ended(2, Ok(overwritten)));
        pass(1).await;
        let reads = || matches!(stage.store.borrow().last(), Some(ToStore::ReadKey(_)));
        assert!(reads(), "the request was let go when the clock rose");
        assert!(answered(&mut get).is_none(), "it is the store that answers");
    });
}

#[test]
fn a_removed_peer_is_not_told_that_its_life_is_over() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.hear(digest(reborn(1), Clock::new()), true).await;
        for (removed, pushed) in [
            (false, PushRefusal::Superseded(reborn(1).incarnation)),
            (true, PushRefusal::NotServing),
        ] {
            let exchange = |reply| ExchangeDigest {
                digest: digest(origin(1), Clock::new()),
                may_join: true,
                steady: true,
                removed,
                reply,
            };
            let answer = stage.actor.ask(exchange).await;
            let told = matches!(answer, HeartbeatAnswer::Superseded(_));
            assert_eq!(told, !removed, "{answer:?}");
            let deliver = |reply| Deliver {
                batch: batch(vec![write(1, 1, &[])]),
                removed,
                reply,
            };
            let answer = stage.actor.ask(deliver).await;
            assert_eq!(answer, PushAnswer::Refused(pushed));
        }
        assert_eq!(stage.applied(), []);
    });
}

#[test]
fn a_heartbeat_of_an_outlived_life_is_answered_with_the_later_one() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.hear(digest(reborn(1), Clock::new()), true).await;
        let exchange = |reply| ExchangeDigest {
            digest: digest(origin(1), clock(&[(1, 1)])),
            may_join: true,
            steady: true,
            removed: false,
            reply,
        };
        let answer = stage.actor.ask(exchange).await;
        assert_eq!(answer, HeartbeatAnswer::Superseded(reborn(1).incarnation));
        assert_eq!(stage.asked(), []);
    });
}
