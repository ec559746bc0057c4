use super::*;
use crate::core::ended::EndedLimits;
use crate::core::inheritance::HandOvers;
use crate::core::testing::{dot, origin, say, write, write_after};
use crate::core::wire::{Collected, JoinRest};
use crate::core::write::End;

mod outside;

const LIMITS: BufferLimits = BufferLimits {
    writes: 10,
    bytes: 1 << 20,
};

fn state(n: u16) -> CausalState {
    CausalState::new(origin(n), Domain::UNSHARDED, LIMITS)
}

fn batch(writes: Vec<Write>) -> Batch {
    Batch {
        from: writes[0].dot().origin,
        domain: Domain::UNSHARDED,
        writes,
    }
}

fn put(state: &mut CausalState, metadata: &mut Metadata, wall_ms: u64) -> Write {
    let key = Key::new("k").unwrap();
    let write = state.write(key, Content::Tombstone, metadata.clone(), wall_ms);
    metadata.observe(state.domain(), &write.version);
    write
}

#[test]
fn a_write_is_stamped_above_what_its_client_saw_whatever_the_wall_clock_says() {
    let (mut ahead, mut behind) = (state(1), state(2));
    let mut metadata = Metadata::default();
    let first = put(&mut ahead, &mut metadata, 9_000);
    behind.deliver(batch(vec![first.clone()])).unwrap();
    let second = put(&mut behind, &mut metadata, 10);
    assert!(second.version.stamp() > first.version.stamp());
    assert_eq!(behind.unmet(None, &metadata), None);
    assert!(ahead.unmet(None, &metadata).is_some());
}

#[test]
fn an_early_write_waits_and_is_delivered_after_what_it_depends_on() {
    let mut state = state(9);
    let early = state.deliver(batch(vec![write_after(2, 1, &[dot(1, 1)])]));
    assert_eq!((early.unwrap().parked, state.buffer().writes()), (1, 1));
    let delivery = state.deliver(batch(vec![write(1, 1)])).unwrap();
    let dots: Vec<Dot> = delivery.ready.iter().map(Write::dot).collect();
    assert_eq!(dots, [dot(1, 1), dot(2, 1)]);
    let again = state.deliver(batch(vec![write(1, 1)])).unwrap();
    assert_eq!((again.duplicates, again.ready.len()), (1, 0));
}

#[test]
fn a_gap_of_one_origin_holds_back_its_later_writes() {
    let mut state = state(9);
    let delivery = state.deliver(batch(vec![write(1, 2), write(1, 3)]));
    assert_eq!(delivery.unwrap().parked, 2);
    assert_eq!(state.covered().get(&origin(1)), 0);
}

#[test]
fn a_join_covers_and_releases_what_waited_for_it() {
    let mut state = state(9);
    state.deliver(batch(vec![write(1, 3)])).unwrap();
    let cut = Cut {
        older: Vec::new(),
        from: origin(2),
        covered: Coverage::from_iter([(origin(1), 2)]),
        time: HlcTime { ms: 77, count: 0 },
        writes: vec![write(1, 2)],
        rest: JoinRest::default(),
    };
    let dots: Vec<Dot> = state
        .join(cut)
        .unwrap()
        .writes
        .iter()
        .map(Write::dot)
        .collect();
    assert_eq!(dots, [dot(1, 2), dot(1, 3)]);
    assert_eq!(state.covered().get(&origin(1)), 3);
    assert!(state.time().ms >= 77);
}

/// The first has a value; the second has seen it deleted and has collected the tombstone.
#[test]
fn who_began_with_what_was_deleted_elsewhere_does_not_keep_it() {
    let covered = |counter| Coverage::from_iter([(origin(1), counter)]);
    let time = |ms| HlcTime { ms, count: 0 };
    let first = |promised, whole| Cut {
        older: Vec::new(),
        from: origin(2),
        covered: covered(1),
        time: time(77),
        writes: vec![write(1, 1)],
        rest: JoinRest {
            promises: vec![(origin(1), time(promised))],
            whole: time(whole),
            ..JoinRest::default()
        },
    };
    let second = || Cut {
        older: Vec::new(),
        from: origin(3),
        covered: covered(2),
        time: time(77),
        writes: Vec::new(),
        rest: JoinRest {
            collected: Some(Collected {
                time: time(9),
                covered: covered(2),
            }),
            ..JoinRest::default()
        },
    };
    let mut stale = state(9);
    stale.join(first(1, 1)).unwrap();
    assert_eq!(stale.join(second()), Err(Unusable::LeftOut));
    for (promised, whole) in [(9, 1), (1, 9)] {
        let mut has_all = state(9);
        has_all.join(first(promised, whole)).unwrap();
        assert_eq!(
            has_all.join(second()),
            Ok(Joined::default()),
            "the tombstone, too"
        );
    }
    assert_eq!(
        state(9).join(second()),
        Ok(Joined::default()),
        "it has nothing"
    );
}

/// What it knew when it started, nobody, and what present lives promise, says nothing about lives that were over before.
#[test]
fn who_has_just_started_does_not_claim_to_have_had_everything() {
    let rules = EndRules {
        ended: EndedLimits {
            finals: 10,
            keep_ms: 1_000,
        },
        margin_ms: 0,
    };
    let mut starting = state(9);
    starting.promise(7_000);
    starting.frontier(0, 7_000, &rules);
    assert_eq!(starting.rest().whole, HlcTime::ZERO, "it knows of nobody");
    starting.set_members(&[origin(2).address], &[]);
    let mut member = state(2);
    member.join(second_hand()).unwrap();
    starting.heed(&say(&mut member, 6_000));
    starting.frontier(0, 7_000, &rules);
    assert_eq!(starting.rest().whole, HlcTime::ZERO, "it lacks that");
    let missing = Cut {
        older: Vec::new(),
        from: origin(2),
        ..second_hand()
    };
    starting.join(missing).unwrap();
    starting.frontier(0, 7_000, &rules);
    let at = HlcTime {
        ms: 6_000,
        count: 0,
    };
    assert_eq!(starting.rest().whole, at);
}

/// A write of a life that is over, from who still had it.
fn second_hand() -> Cut {
    Cut {
        older: Vec::new(),
        from: origin(3),
        covered: [(origin(1), 1)].into_iter().collect(),
        time: HlcTime { ms: 77, count: 0 },
        writes: vec![write(1, 1)],
        rest: JoinRest {
            promises: vec![(
                origin(1),
                HlcTime {
                    ms: 9_000,
                    count: 0,
                },
            )],
            ..JoinRest::default()
        },
    }
}

/// It has had everything, but has taken a write of an isolated life since, stamped below what the other one had collected by then.
#[test]
fn who_has_taken_a_late_write_is_born_again_when_it_meets_what_was_collected_before() {
    let time = |ms| HlcTime { ms, count: 0 };
    let covered = |counter| Coverage::from_iter([(origin(1), counter)]);
    let from = |counter, rest| Cut {
        older: Vec::new(),
        from: origin(2),
        covered: covered(counter),
        time: time(77),
        writes: Vec::new(),
        rest,
    };
    let collected = JoinRest {
        collected: Some(Collected {
            time: time(9),
            covered: covered(2),
        }),
        ..JoinRest::default()
    };
    let whole = JoinRest {
        whole: time(9),
        ..JoinRest::default()
    };
    for (late, joined) in [
        (false, Ok(Joined::default())),
        (true, Err(Unusable::LeftOut)),
    ] {
        let mut state = state(9);
        state.join(from(1, whole.clone())).unwrap();
        if late {
            state.deliver(batch(vec![write(3, 1)])).unwrap();
        }
        assert_eq!(state.join(from(2, collected.clone())), joined);
    }
}

#[test]
fn an_origin_never_heard_of_is_unmet_and_another_shards_is_not_checked() {
    let state = state(9);
    let mut metadata = Metadata::default();
    let other_shard = Domain {
        shard: crate::core::id::ShardId(3),
        ..Domain::UNSHARDED
    };
    Arc::make_mut(&mut metadata.clocks).cover(other_shard, dot(1, 5));
    assert_eq!(state.unmet(None, &metadata), None);
    Arc::make_mut(&mut metadata.clocks).cover(Domain::UNSHARDED, dot(1, 1));
    let unmet = state.unmet(None, &metadata).unwrap();
    assert_eq!(unmet.iter().count(), 1);
    assert_eq!(unmet.get(&Domain::UNSHARDED).unwrap().get(&origin(1)), 1);
}

#[test]
fn a_group_of_a_shard_that_does_not_exist_is_not_handed_on_to_readers() {
    let mut state = state(9);
    let mut metadata = Metadata::default();
    put(&mut state, &mut metadata, 5);
    let nowhere = Domain {
        shard: crate::core::id::ShardId(7),
        ..Domain::UNSHARDED
    };
    Arc::make_mut(&mut metadata.clocks).cover(nowhere, dot(1, 5));
    let write = put(&mut state, &mut metadata, 6);
    assert_eq!(write.version.deps.get(&nowhere), None);
    let own = write.version.deps.get(&Domain::UNSHARDED);
    assert_eq!(own.map(|clock| clock.get(&origin(9))), Some(1));
}

#[test]
fn a_superseded_life_is_refused_and_its_parked_writes_are_dropped() {
    let mut state = state(9);
    state.deliver(batch(vec![write(1, 2)])).unwrap();
    let later = origin(1).incarnation.succeeding(0, 0);
    state.learn_life(Origin {
        incarnation: later,
        ..origin(1)
    });
    assert_eq!(state.buffer().writes(), 0);
    let refused = state.deliver(batch(vec![write(1, 1)]));
    assert_eq!(refused, Err(Untaken::Superseded(later)));
}

#[test]
fn a_node_that_is_born_again_has_nothing_and_reuses_no_dot() {
    let mut state = state(1);
    let mut metadata = Metadata::default();
    put(&mut state, &mut metadata, 5);
    let later = origin(1).incarnation.succeeding(0, 0);
    state.learn_life(Origin {
        incarnation: later,
        ..origin(1)
    });
    assert_eq!(state.successor(origin(1)), Some(later));
    let time = state.time();
    let born = state.be_reborn(5, 3);
    assert!(born.incarnation > later);
    assert_eq!(state.successor(born), None);
    assert_eq!(state.covered(), &Coverage::new());
    assert!(
        state.unmet(None, &metadata).is_some(),
        "its own writes, too"
    );
    let first = put(&mut state, &mut Metadata::default(), 5);
    assert_eq!((first.dot().origin, first.dot().counter), (born, 1));
    assert!(first.version.time > time, "hybrid time goes on");
}

#[test]
fn a_life_that_nobody_has_lived_is_outlived_and_not_told_of() {
    let mut state = state(1);
    let told = origin(1).incarnation.next();
    state.be_outlived(told);
    assert_eq!(state.successor(origin(1)), Some(told));
    assert_eq!(state.lives().roster()[0].life, origin(1).incarnation);
    assert!(state.be_reborn(0, 0).incarnation > told);
    assert_eq!(state.successor(state.origin()), None);
}

const ENDS: EndRules = EndRules {
    ended: crate::core::ended::EndedLimits {
        finals: 10,
        keep_ms: 1_000_000,
    },
    margin_ms: 2_000,
};

fn report(state: &mut CausalState, now: u64, wall_ms: u64) -> crate::core::wire::Digest {
    crate::core::wire::Digest {
        hand_overs: HandOvers::default(),
        from: state.origin(),
        domain: state.domain(),
        covered: state.covered().clone(),
        promise: state.promise(wall_ms),
        status: crate::core::wire::Status::Serving,
        pushing: false,
        admits: true,
        bootstrapped: true,
        roster: state.lives().roster(),
        frontier: state.frontier(now, wall_ms, &ENDS),
        aside: false,
        given_up: state.given_up().clone(),
    }
}

/// Node 2, its clock slow by this much, restarts alone as soon as a delete of node 1's is collected there, and its clock is set back by
/// almost the margin. What it writes then is not stamped below what was collected.
fn restart_alone(slow_ms: u64) {
    let (mut one, mut two) = (state(1), state(2));
    for (state, other) in [(&mut one, 2), (&mut two, 1)] {
        state.learn_life(origin(other));
        state.set_members(&[origin(1).address, origin(2).address], &[]);
    }
    let mut now = 100_000;
    let deleted = put(&mut one, &mut Metadata::default(), now);
    two.deliver(batch(vec![deleted.clone()])).unwrap();
    while one.collected() < deleted.version.time {
        now += 100;
        assert!(now < 110_000 + slow_ms, "it is never collected");
        let (of_one, of_two) = (
            report(&mut one, now, now),
            report(&mut two, now, now - slow_ms),
        );
        one.heed(&of_two);
        two.heed(&of_one);
        let _ = one.collect(of_one.frontier, &ENDS);
    }
    let set_back = now - slow_ms - (ENDS.margin_ms - 100);
    let alone = put(&mut state(2), &mut Metadata::default(), set_back);
    assert!(alone.version.time > one.collected());
}

#[test]
fn who_restarts_alone_with_its_clock_set_back_by_less_than_the_margin_writes_nothing_late() {
    restart_alone(0);
}

#[test]
fn nor_does_who_restarts_alone_with_a_clock_that_is_slow() {
    restart_alone(30_000);
}

#[test]
fn a_life_that_is_known_by_its_promise_alone_is_a_life_that_its_node_must_outlive() {
    let mut state = state(9);
    let earlier = Origin {
        incarnation: Incarnation::starting(1, 0),
        ..origin(1)
    };
    let cut = Cut {
        older: Vec::new(),
        from: origin(2),
        covered: Coverage::new(),
        time: HlcTime::ZERO,
        writes: Vec::new(),
        rest: JoinRest {
            promises: vec![(origin(1), HlcTime { ms: 9, count: 0 })],
            ..JoinRest::default()
        },
    };
    state.join(cut).unwrap();
    assert!(state.successor(earlier) >= Some(origin(1).incarnation));
    let answerer = Origin {
        incarnation: Incarnation::starting(1, 0),
        ..origin(2)
    };
    assert!(state.successor(answerer) >= Some(origin(2).incarnation));
}

/// Found by fuzzing: what a replica says must be understood by others, whatever somebody has sent it.
#[test]
fn an_end_below_the_first_of_all_lives_is_remembered_under_no_name_that_others_refuse() {
    let mut state = state(9);
    let mut marker = write(1, 1);
    Arc::make_mut(&mut marker.version).content = Content::Ended(Box::new(End {
        address: origin(2).address,
        below: Incarnation::UNKNOWN.next(),
        gone: false,
    }));
    state.deliver(batch(vec![marker])).unwrap();
    let rest = state.rest();
    let bytes = postcard::to_stdvec(&rest).unwrap();
    assert_eq!(postcard::from_bytes::<JoinRest>(&bytes), Ok(rest));
}
