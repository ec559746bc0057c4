//! Incarnations: a node whose life is over is born again, with nothing but what it sets aside.

use causet::core::aside::Settled;
use causet::core::clock::Clock;
use causet::core::coverage::Coverage;
use causet::core::id::{Dot, Origin};
use causet::core::metadata::Metadata;
use causet::core::sharding::map::ShardMap;
use causet::core::wire::{PushAnswer, PushRefusal, Status};
use causet::core::write::{Content, Write};
use causet::messages::causality::{JoinEnded, OwnLifeSuperseded, Refusal, Reissue};
use causet::messages::store::{DropFrozen, Freeze, SettleAside};
use causet::messages::view::ViewChanged;

use super::peers::{cut, join_ended};
use super::{Stage, ToStore, refusal};
use crate::fixtures::{
    DOMAIN, address, clock, digest, dot, dots, end_of, metadata, origin, put, reborn, value, write,
};
use crate::support::{answered, in_virtual_time, pass};

/// A replica that has made one write, and then heard of a later life of itself.
async fn superseded(hear: impl AsyncFnOnce(&Stage)) -> (Stage, Origin) {
    let stage = Stage::serving().await;
    let _put = stage.put(Metadata::default());
    hear(&stage).await;
    pass(250).await;
    let renewed = stage.origin();
    (stage, renewed)
}

/// One that was told so by a peer that refused its push.
async fn born_again() -> (Stage, Origin) {
    let incarnation = reborn(9).incarnation;
    superseded(async |stage: &Stage| stage.actor.tell(OwnLifeSuperseded { incarnation })).await
}

/// One that has caught up since from node 2, which has this write of its own.
async fn caught_up(has: Write) -> (Stage, Origin) {
    let (stage, renewed) = born_again().await;
    let bootstrap = digest(origin(2), clock(&[(2, has.dot().counter)]));
    stage.hear(bootstrap, true).await;
    stage.actor.tell(JoinEnded {
        asker: renewed,
        ..join_ended(2, Ok(cut(origin(2), vec![has])))
    });
    assert_eq!(stage.status().await, Status::Serving);
    (stage, renewed)
}

fn check(stage: &Stage, renewed: Origin) {
    assert!(renewed.incarnation > reborn(9).incarnation);
    let told = stage.renewed.borrow();
    let told: Vec<_> = told.iter().map(|renewed| renewed.incarnation).collect();
    assert_eq!(told, [renewed.incarnation], "the view was told once");
    assert_eq!(stage.metrics.incarnations_renewed.get(), 1);
    let own = stage.last_digest();
    assert_eq!((own.status, own.bootstrapped), (Status::Starting, false));
    assert_eq!(own.covered, Coverage::new());
    assert_eq!(set_aside(stage), 1, "the store was told once");
}

fn set_aside(stage: &Stage) -> usize {
    let told = stage.store.borrow();
    told.iter()
        .filter(|m| matches!(m, ToStore::SetAside(_)))
        .count()
}

/// By what the store was last told to look at what it has set aside.
fn last_settling(stage: &Stage) -> Option<SettleAside> {
    let told = stage.store.borrow();
    told.iter().rev().find_map(|message| match message {
        ToStore::SettleAside(settle) => Some(settle.clone()),
        _ => None,
    })
}

fn settlings(stage: &Stage) -> usize {
    let told = stage.store.borrow();
    told.iter()
        .filter(|m| matches!(m, ToStore::SettleAside(_)))
        .count()
}

/// The dots that the store was told to keep aside still.
fn kept_aside(stage: &Stage) -> Vec<Dot> {
    let told = stage.store.borrow();
    let kept = told.iter().flat_map(|message| match message {
        ToStore::KeepAside(keep) => dots(&keep.settled.reissue),
        _ => Vec::new(),
    });
    kept.collect()
}

/// The store's answer to the last time that it was told to look.
fn reissue(stage: &Stage, writes: Vec<Write>) -> Reissue {
    let settling = last_settling(stage).expect("the store was told to look");
    Reissue {
        by: settling.by,
        settled: Settled {
            reissue: writes,
            lost: Vec::new(),
        },
        given_up: settling.present.given_up,
    }
}

/// A view of this node alone, with this life of its own known, and these lives forgotten.
fn view_changed(life: Origin, forgotten: &[Origin]) -> ViewChanged {
    ViewChanged {
        view: vec![address(9)],
        removed: false,
        members: vec![address(9)],
        incarnations: vec![(address(9), life.incarnation)],
        forgotten: forgotten
            .iter()
            .map(|o| (o.address, o.incarnation))
            .collect(),
        voids: 0,
        map: ShardMap::implicit(),
    }
}

#[test]
fn a_refused_push_that_names_a_later_life_leads_to_a_new_one_with_nothing() {
    in_virtual_time(async {
        let (stage, renewed) = born_again().await;
        check(&stage, renewed);
    });
}

#[test]
fn a_later_life_that_the_view_knows_leads_to_a_new_one() {
    in_virtual_time(async {
        let hear = async |stage: &Stage| stage.actor.tell(view_changed(reborn(9), &[]));
        let (stage, renewed) = superseded(hear).await;
        check(&stage, renewed);
    });
}

#[test]
fn a_new_life_is_later_even_when_the_wall_clock_was_set_back() {
    in_virtual_time(async {
        let hear = async |stage: &Stage| {
            stage.wall.set(3);
            let incarnation = reborn(9).incarnation;
            stage.actor.tell(OwnLifeSuperseded { incarnation });
        };
        let (stage, renewed) = superseded(hear).await;
        check(&stage, renewed);
    });
}

#[test]
fn an_earlier_or_the_present_life_is_no_news() {
    in_virtual_time(async {
        let hear = async |stage: &Stage| {
            let incarnation = origin(9).incarnation;
            stage.actor.tell(OwnLifeSuperseded { incarnation });
            stage.hear(digest(origin(1), clock(&[(9, 1)])), true).await;
        };
        let (stage, own) = superseded(hear).await;
        assert_eq!(own, origin(9));
        assert_eq!(stage.renewed.borrow().len(), 0);
        assert_eq!(set_aside(&stage), 0);
    });
}

#[test]
fn who_is_forgotten_is_born_again_but_only_once_it_is_taken_back() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.actor.tell(ViewChanged {
            removed: true,
            ..view_changed(origin(9), &[origin(9)])
        });
        pass(1_000).await;
        assert_eq!((stage.origin(), set_aside(&stage)), (origin(9), 0));
        stage.actor.tell(view_changed(origin(9), &[origin(9)]));
        pass(130).await;
        assert!(stage.origin().incarnation > origin(9).incarnation);
        assert_eq!(set_aside(&stage), 1);
        // The mark stands for the life that it was made for; the present one is not meant.
        let present = stage.origin();
        stage.actor.tell(view_changed(present, &[origin(9)]));
        pass(130).await;
        assert_eq!((stage.origin(), set_aside(&stage)), (present, 1));
    });
}

#[test]
fn who_held_others_for_forgotten_that_are_not_is_born_again() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.actor.tell(view_changed(origin(9), &[origin(1)]));
        pass(10).await;
        assert_eq!(set_aside(&stage), 0);
        // The mark was dropped: there were too many.
        stage.actor.tell(view_changed(origin(9), &[]));
        pass(10).await;
        assert_eq!(set_aside(&stage), 0);
        stage.actor.tell(ViewChanged {
            voids: 1,
            ..view_changed(origin(9), &[])
        });
        pass(130).await;
        assert!(stage.origin().incarnation > origin(9).incarnation);
        assert_eq!(set_aside(&stage), 1);
    });
}

#[test]
fn a_marker_that_ends_this_nodes_own_life_is_not_taken_and_leads_to_a_new_one() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let marker = put("-", dot(1, 1), end_of(9), &[]);
        let answer = stage.push(vec![marker]).await;
        assert_eq!(answer, PushAnswer::Refused(PushRefusal::NotServing));
        assert_eq!(stage.status().await, Status::Starting);
        assert_eq!(set_aside(&stage), 1);
    });
}

#[test]
fn who_has_more_of_an_ended_life_than_was_agreed_on_is_born_again() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.push(vec![write(1, 1, &[]), write(1, 2, &[])]).await;
        let marker = put("-", dot(2, 1), end_of(1), &[(1, 1)]);
        let answer = stage.push(vec![marker]).await;
        assert_eq!(answer, PushAnswer::Refused(PushRefusal::NotServing));
        assert_eq!(stage.status().await, Status::Starting);
        assert_eq!(set_aside(&stage), 1);
    });
}

#[test]
fn what_is_parked_is_refused_at_rebirth_and_so_is_what_comes_until_it_has_caught_up() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        let mut parked = stage.get(metadata(&[(1, 1)]), 10_000);
        let incarnation = reborn(9).incarnation;
        stage.actor.tell(OwnLifeSuperseded { incarnation });
        stage.status().await;
        let outcome = answered(&mut parked).expect("answered at once");
        assert_eq!(refusal(outcome), Refusal::Starting);
        let put = stage.put(Metadata::default()).await.unwrap();
        assert_eq!(refusal(put), Refusal::Starting);
        let pushed = stage.push(vec![write(1, 1, &[])]).await;
        assert_eq!(pushed, PushAnswer::Refused(PushRefusal::NotServing));
    });
}

#[test]
fn nothing_is_taken_from_a_join_that_an_earlier_life_had_asked_for() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.hear(digest(origin(2), clock(&[(2, 1)])), true).await;
        assert_eq!(stage.asked(), [address(2)]);
        let incarnation = reborn(9).incarnation;
        stage.actor.tell(OwnLifeSuperseded { incarnation });
        let late = cut(origin(2), vec![write(2, 1, &[])]);
        stage.actor.tell(join_ended(2, Ok(late)));
        assert_eq!(stage.status().await, Status::Starting);
        assert_eq!(stage.applied(), []);
        // It asks anew, for everything.
        stage.hear(digest(origin(2), clock(&[(2, 1)])), true).await;
        let asked = stage.fetches().pop().unwrap().request;
        assert_eq!(
            (asked.from, asked.covered),
            (stage.origin(), Coverage::new())
        );
        stage.actor.tell(join_ended(2, Err("late".to_owned())));
        stage.hear(digest(origin(3), clock(&[(3, 1)])), true).await;
        assert_eq!(stage.asked(), [address(2); 2], "the new join runs still");
    });
}

#[test]
fn what_was_set_aside_is_looked_at_once_all_is_caught_up_and_not_before() {
    in_virtual_time(async {
        let (stage, _) = born_again().await;
        pass(300).await;
        assert_eq!(settlings(&stage), 0);
        let (stage, renewed) = caught_up(write(2, 1, &[])).await;
        let settling = last_settling(&stage).expect("told at once");
        assert_eq!(settling.by, renewed);
        assert_eq!(*settling.present.covered.clock(), clock(&[(2, 1)]));
        // Once decided about, it is looked at no more.
        stage.actor.tell(reissue(&stage, Vec::new()));
        pass(1_000).await;
        assert_eq!(settlings(&stage), 1);
    });
}

#[test]
fn what_nobody_else_has_is_written_again_in_its_order_under_new_names() {
    in_virtual_time(async {
        let (stage, renewed) = caught_up(write(2, 1, &[])).await;
        let of_old = |counter, deps: &[(u8, u64)]| {
            put("k", dot(9, counter), Content::Value(value("7")), deps)
        };
        let writes = vec![of_old(3, &[(2, 1)]), of_old(4, &[])];
        stage.actor.tell(reissue(&stage, writes.clone()));
        pass(1).await;
        let anew = |counter| Dot {
            origin: renewed,
            counter,
        };
        assert_eq!(stage.applied(), [dot(9, 1), dot(2, 1), anew(1), anew(2)]);
        let published: Vec<Write> = stage.published().split_off(1);
        assert_eq!(dots(&published), [anew(1), anew(2)]);
        for (old, new) in writes.iter().zip(&published) {
            assert_eq!(
                (&new.key, &new.version.content),
                (&old.key, &old.version.content)
            );
            let deps = new.version.deps.get(&crate::fixtures::DOMAIN);
            assert_eq!(deps, Some(&clock(&[(2, 1)])), "all that is here");
            assert!(new.version.stamp() > old.version.stamp());
        }
        assert!(published[1].version.stamp() > published[0].version.stamp());
        assert_eq!(stage.metrics.writes_reissued.get(), 2);
        assert_eq!(kept_aside(&stage), []);
        pass(1_000).await;
        assert_eq!(settlings(&stage), 1, "nothing is left aside");
    });
}

#[test]
fn what_is_written_again_lets_go_who_waited_for_it() {
    in_virtual_time(async {
        let (stage, renewed) = caught_up(write(2, 1, &[])).await;
        let mut need = metadata(&[]);
        let named = Dot {
            origin: renewed,
            counter: 1,
        };
        std::sync::Arc::make_mut(&mut need.clocks).cover(crate::fixtures::DOMAIN, named);
        let _read = stage.get(need, 1_000);
        pass(1).await;
        let reads = || {
            let told = stage.store.borrow();
            told.iter().any(|m| matches!(m, ToStore::ReadKey(_)))
        };
        assert!(!reads());
        stage.actor.tell(reissue(&stage, vec![write(9, 3, &[])]));
        pass(1).await;
        assert!(reads());
    });
}

#[test]
fn what_was_decided_before_something_was_given_up_stays_aside_and_is_looked_at_again() {
    in_virtual_time(async {
        let (stage, _) = caught_up(write(2, 1, &[])).await;
        let mut decided = reissue(&stage, vec![write(9, 3, &[])]);
        decided.given_up.lost.raise(origin(4), 0, 1);
        stage.actor.tell(decided);
        pass(1).await;
        assert_eq!(kept_aside(&stage), [dot(9, 3)]);
        assert_eq!(stage.applied(), [dot(9, 1), dot(2, 1)]);
        pass(260).await;
        assert_eq!(settlings(&stage), 2, "it is looked at again");
    });
}

#[test]
fn what_the_store_said_to_an_earlier_life_is_not_heeded_and_nothing_is_forgotten_by_it() {
    in_virtual_time(async {
        let (stage, renewed) = caught_up(write(2, 1, &[])).await;
        let late = [
            reissue(&stage, vec![write(9, 3, &[])]),
            reissue(&stage, Vec::new()),
        ];
        let incarnation = renewed.incarnation.next();
        stage.actor.tell(OwnLifeSuperseded { incarnation });
        let applied = stage.applied();
        for late in late {
            stage.actor.tell(late);
        }
        stage.status().await;
        assert_eq!(set_aside(&stage), 2);
        assert_eq!(kept_aside(&stage), [dot(9, 3)], "nothing is given up");
        assert_eq!(stage.applied(), applied);
        // Nobody answers: it serves. What its earlier life had joined may still come by itself, and is waited for.
        pass(700).await;
        assert_eq!(stage.status().await, Status::Serving);
        assert_eq!(settlings(&stage), 1);
        stage.push(vec![write(2, 1, &[])]).await;
        pass(260).await;
        assert_eq!(last_settling(&stage).unwrap().by, stage.origin());
        assert_eq!(settlings(&stage), 2);
    });
}

#[test]
fn what_is_set_aside_when_keys_are_dealt_anew_is_given_up_also_by_who_has_not_caught_up() {
    in_virtual_time(async {
        let (stage, renewed) = born_again().await;
        assert_eq!(
            (stage.status().await, set_aside(&stage)),
            (Status::Starting, 1)
        );
        stage.store.borrow_mut().clear();
        stage.actor.tell(ViewChanged {
            map: ShardMap::first(&[address(2), address(9)], 1).unwrap(),
            ..view_changed(renewed, &[])
        });
        pass(1).await;
        // It lets go of what is aside with what it froze, and goes on with nothing.
        let told = stage.store.borrow();
        let told: Vec<_> = told
            .iter()
            .map(|message| match message {
                ToStore::Freeze(Freeze { share: None, .. }) => "frozen",
                ToStore::DropFrozen(DropFrozen {
                    given_up: true,
                    domain: Some(DOMAIN),
                }) => "given up",
                ToStore::SetAside(_) => "with nothing",
                _ => "else",
            })
            .collect();
        assert_eq!(told, ["frozen", "given up", "with nothing"]);
    });
}

#[test]
fn the_gauges_of_the_buffer_follow_what_a_new_life_of_a_peer_drops() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        for peer in [1, 2] {
            stage.push(vec![write(peer, 2, &[])]).await;
        }
        assert_eq!(stage.metrics.buffer_writes.get(), 2);
        stage.hear(digest(reborn(1), Clock::new()), true).await;
        assert_eq!(stage.metrics.buffer_writes.get(), 1);
        stage.actor.tell(ViewChanged {
            view: vec![address(9)],
            removed: false,
            members: vec![address(2), address(9)],
            incarnations: vec![(address(2), reborn(2).incarnation)],
            forgotten: Vec::new(),
            voids: 0,
            map: ShardMap::implicit(),
        });
        stage.status().await;
        assert_eq!(stage.metrics.buffer_writes.get(), 0);
        assert_eq!(stage.metrics.buffer_bytes.get(), 0);
    });
}
