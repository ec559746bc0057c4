//! Incarnations: a node that was superseded numbers its writes anew.

use causet::core::clock::Clock;
use causet::core::id::{Dot, Origin};
use causet::core::metadata::Metadata;
use causet::messages::causality::OwnLifeSuperseded;
use causet::messages::view::ViewChanged;

use super::Stage;
use crate::fixtures::{address, clock, digest, dot, metadata, origin, reborn, write};
use crate::support::{in_virtual_time, pass};

/// A replica that has made one write, and then heard of a later life of itself.
async fn superseded(hear: impl AsyncFnOnce(&Stage)) -> (Stage, Origin) {
    let stage = Stage::serving().await;
    let _put = stage.put(Metadata::default());
    hear(&stage).await;
    pass(250).await;
    let renewed = stage.origin();
    (stage, renewed)
}

fn check(stage: &Stage, renewed: Origin) {
    assert!(renewed.incarnation > reborn(9).incarnation);
    let told = stage.renewed.borrow();
    let told: Vec<_> = told.iter().map(|renewed| renewed.incarnation).collect();
    assert_eq!(told, [renewed.incarnation], "the view was told once");
    assert_eq!(stage.metrics.incarnations_renewed.get(), 1);
}

#[test]
fn a_refused_push_that_names_a_later_life_leads_to_a_new_one_that_counts_from_1() {
    in_virtual_time(async {
        let incarnation = reborn(9).incarnation;
        let hear = async |stage: &Stage| stage.actor.tell(OwnLifeSuperseded { incarnation });
        let (stage, renewed) = superseded(hear).await;
        check(&stage, renewed);
        // What the life before has written stays covered.
        let _put = stage.put(metadata(&[(9, 1)]));
        pass(250).await;
        let first = Dot {
            origin: renewed,
            counter: 1,
        };
        assert_eq!(stage.applied(), [dot(9, 1), first]);
        let covered = stage.last_digest().covered;
        assert_eq!(
            *covered.clock(),
            Clock::from_iter([(origin(9), 1), (renewed, 1)])
        );
    });
}

#[test]
fn a_later_life_that_the_view_knows_leads_to_a_new_one() {
    in_virtual_time(async {
        let hear = async |stage: &Stage| {
            stage.actor.tell(ViewChanged {
                view: vec![address(9)],
                removed: false,
                members: vec![address(9)],
                incarnations: vec![(address(9), reborn(9).incarnation)],
                forgotten: Vec::new(),
            });
        };
        let (stage, renewed) = superseded(hear).await;
        check(&stage, renewed);
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
        });
        stage.status().await;
        assert_eq!(stage.metrics.buffer_writes.get(), 0);
        assert_eq!(stage.metrics.buffer_bytes.get(), 0);
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
