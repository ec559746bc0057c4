//! How lives end, and what goes with them.

use std::sync::Arc;

use causet::core::clock::Clock;
use causet::core::coverage::Coverage;
use causet::core::ended::Lost;
use causet::core::id::{Dot, Origin};
use causet::core::metadata::Metadata;
use causet::core::roster::RosterEntry;
use causet::core::sharding::map::ShardMap;
use causet::core::stamp::HlcTime;
use causet::core::wire::{Digest, JoinAnswer, JoinRefusal, PushAnswer, PushRefusal, Status};
use causet::core::write::{Content, End, Write};
use causet::messages::causality::{
    Answer, ClientReply, DeleteConfirmed, Operation, Outcome, ReadJoin, Refusal, Seen,
    TombstonesFilled,
};
use causet::messages::store::ReadDifference;
use causet::messages::view::ViewChanged;
use tokio::sync::oneshot;

use super::peers::{cut, join_ended, request};
use super::{RULES, Stage, ToStore, WALL_MS, refusal};
use crate::fixtures::{
    DOMAIN, address, clock, digest, dot, end_of, key, metadata, origin, put, reborn, write,
};
use crate::support::{answered, in_virtual_time, pass};

const BEAT_MS: u64 = RULES.heartbeat_ms;
const MARGIN_MS: u64 = RULES.ends.margin_ms;

/// Who belongs, each in this life, and who of them is forgotten.
fn members(lives: &[Origin], forgotten: &[Origin]) -> ViewChanged {
    let of = |lives: &[Origin]| lives.iter().map(|o| (o.address, o.incarnation)).collect();
    ViewChanged {
        view: vec![address(9)],
        removed: false,
        members: lives.iter().map(|life| life.address).collect(),
        incarnations: of(lives),
        forgotten: of(forgotten),
        voids: 0,
        map: ShardMap::implicit(),
    }
}

/// Node 1 in its second life, 2 and 9 in their first.
fn lives() -> [Origin; 3] {
    [reborn(1), origin(2), origin(9)]
}

fn roster(lives: &[Origin]) -> Vec<RosterEntry> {
    let entry = |life: &Origin| RosterEntry {
        address: life.address,
        life: life.incarnation,
        forgotten: false,
        outside: false,
    };
    lives.iter().map(entry).collect()
}

/// What a member reports that has this, and knows the same lives.
fn report(from: Origin, covered: Clock) -> Digest {
    let far = HlcTime {
        ms: WALL_MS + 5_000,
        count: 0,
    };
    Digest {
        roster: roster(&lives()),
        promise: far,
        frontier: far,
        ..digest(from, covered)
    }
}

/// A replica among two others that has one write of node 1's first life, which is over.
async fn one_life_is_over() -> Stage {
    let stage = Stage::serving().await;
    stage.push(vec![write(1, 1, &[])]).await;
    stage.actor.tell(members(&lives(), &[]));
    stage
}

/// The marker by which node 2 ends that life, at counter 1.
fn marker() -> Write {
    put("-", dot(2, 1), end_of(1), &[(1, 1)])
}

/// A replica that was pushed this marker.
async fn told_of_an_end() -> Stage {
    let stage = one_life_is_over().await;
    assert_eq!(stage.push(vec![marker()]).await, PushAnswer::Admitted);
    stage
}

/// Takes from the store the read that it was asked for last, and answers it as one of an absent key.
fn read(stage: &Stage, answer: &mut oneshot::Receiver<Answer>) -> Answer {
    match stage.store.borrow_mut().pop() {
        Some(ToStore::ReadKey(read)) => read.reply.send(Outcome::Absent(None)),
        other => panic!("not a read: {other:?}"),
    }
    answered(answer).expect("an answer")
}

/// What the store is asked by a peer's join.
async fn difference(stage: &Stage) -> ReadDifference {
    let ask = |reply| ReadJoin {
        request: request(3),
        reply,
    };
    let _answered_by_the_store = stage.actor.request(ask);
    pass(1).await;
    match stage.store.borrow_mut().pop() {
        Some(ToStore::ReadDifference(asked)) => asked,
        other => panic!("not asked: {other:?}"),
    }
}

fn collected(stage: &Stage) -> Vec<HlcTime> {
    let told = stage.store.borrow();
    let collected = told.iter().filter_map(|message| match message {
        ToStore::Collect(collect) => Some(collect.upto),
        _ => None,
    });
    collected.collect()
}

/// Makes the replica delete something; returns the stamp of that.
async fn delete(stage: &Stage) -> HlcTime {
    let _answer = stage.actor.request(|reply| DeleteConfirmed {
        key: key("k"),
        metadata: Metadata::default(),
        reply: ClientReply::new(reply),
    });
    pass(1).await;
    let published = stage.published();
    published.last().expect("a delete was made").version.time
}

/// A replica that is alone, and has collected a tombstone of its own.
async fn has_collected() -> Stage {
    let stage = Stage::serving().await;
    let deleted = delete(&stage).await;
    pass(MARGIN_MS + 2 * BEAT_MS).await;
    assert!(collected(&stage).last() >= Some(&deleted));
    stage
}

#[test]
fn the_end_of_a_life_is_made_known_by_one_marker_that_depends_on_all_its_writes() {
    in_virtual_time(async {
        let stage = one_life_is_over().await;
        stage.hear(report(reborn(1), clock(&[(1, 1)])), true).await;
        pass(BEAT_MS).await;
        assert_eq!(stage.published(), [], "node 2 has not reported");
        stage.hear(report(origin(2), clock(&[(1, 1)])), true).await;
        pass(5 * BEAT_MS).await;
        let published = stage.published();
        let [marker] = &published[..] else {
            panic!("not one marker: {published:?}");
        };
        assert_eq!(marker.dot(), dot(9, 1));
        assert_eq!(marker.version.content, end_of(1));
        let deps = marker.version.deps.get(&DOMAIN);
        assert_eq!(deps, Some(&clock(&[(1, 1)])));
        assert_eq!(stage.applied(), [dot(1, 1)], "it is not for the store");
        let covered = stage.last_digest().covered;
        assert_eq!(*covered.clock(), clock(&[(9, 1)]));
        assert_eq!(covered.floor(&address(1)), reborn(1).incarnation);
        assert_eq!(stage.metrics.lives_retired.get(), 1);
        assert_eq!(stage.metrics.lives_remembered.get(), 1);
    });
}

#[test]
fn a_life_goes_on_while_a_member_has_more_or_less_of_it_or_starts_or_knows_of_other_lives() {
    in_virtual_time(async {
        let same = || report(origin(2), clock(&[(1, 1)]));
        let mut more = same();
        more.covered = clock(&[(1, 2)]).into();
        let mut less = same();
        less.covered = Coverage::new();
        let mut other = same();
        other.roster[0].life = origin(1).incarnation;
        let mut starting = same();
        (starting.bootstrapped, starting.status) = (false, Status::Starting);
        for differs in [more, less, other, starting] {
            let stage = one_life_is_over().await;
            stage.hear(report(reborn(1), clock(&[(1, 1)])), false).await;
            stage.hear(differs.clone(), false).await;
            pass(5 * BEAT_MS).await;
            assert_eq!(stage.published(), [], "{differs:?}");
        }
    });
}

#[test]
fn a_life_of_which_nobody_has_anything_ends_without_a_marker() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.actor.tell(members(&lives(), &[]));
        let mut parked = stage.get(metadata(&[(1, 4)]), 10_000);
        for from in [reborn(1), origin(2)] {
            stage.hear(report(from, Clock::new()), true).await;
        }
        pass(BEAT_MS).await;
        assert_eq!(stage.published(), []);
        let floor = stage.last_digest().covered.floor(&address(1));
        assert_eq!(floor, reborn(1).incarnation);
        // Nobody can say that there was no such life: all have to give it up before the client is told.
        pass(BEAT_MS).await;
        assert_eq!(stage.metrics.parked_requests.get(), 1);
        let given_up = stage.last_digest().given_up;
        assert!(given_up.covers(&dot(1, 4)));
        for from in [reborn(1), origin(2)] {
            let given_up = given_up.clone();
            let heard = report(from, Clock::new());
            stage.hear(Digest { given_up, ..heard }, true).await;
        }
        pass(BEAT_MS).await;
        let answer = read(&stage, &mut parked);
        let (settled, lost) = answer.metadata(metadata(&[(1, 4)]));
        assert!(settled.clocks.is_empty());
        assert_eq!(lost, Lost::from([(origin(1), (1, 4))]));
    });
}

#[test]
fn nobody_waits_for_a_forgotten_member_and_its_life_ends() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.push(vec![write(1, 1, &[])]).await;
        let lives = [origin(1), origin(2), origin(9)];
        stage.actor.tell(members(&lives, &[origin(1)]));
        let mut of_2 = report(origin(2), clock(&[(1, 1)]));
        of_2.roster = roster(&lives);
        of_2.roster[0].forgotten = true;
        stage.hear(of_2, true).await;
        pass(BEAT_MS).await;
        let (address, below) = (address(1), origin(1).incarnation.next());
        let ended = End {
            address,
            below,
            gone: false,
        };
        let ended = Content::Ended(Box::new(ended));
        assert_eq!(stage.published()[0].version.content, ended);
        assert_eq!(stage.last_digest().covered.floor(&address), below);
    });
}

#[test]
fn a_pushed_marker_raises_the_floor_and_lets_go_who_had_named_the_ended_life() {
    in_virtual_time(async {
        let stage = one_life_is_over().await;
        let need = metadata(&[(1, 3)]);
        let mut parked = stage.get(need.clone(), 10_000);
        pass(1).await;
        assert_eq!(stage.metrics.parked_requests.get(), 1);
        assert_eq!(stage.push(vec![marker()]).await, PushAnswer::Admitted);
        pass(1).await;
        assert_eq!(stage.metrics.parked_requests.get(), 0);
        assert_eq!(stage.applied(), [dot(1, 1)], "it is not for the store");
        let (settled, lost) = read(&stage, &mut parked).metadata(need);
        assert_eq!(*settled.clocks, *metadata(&[(2, 1)]).clocks);
        assert_eq!(lost, Lost::from([(origin(1), (2, 3))]));
        assert_eq!(stage.metrics.lost_named.get(), 1);
        pass(BEAT_MS).await;
        let covered = stage.last_digest().covered;
        assert_eq!(covered.floor(&address(1)), reborn(1).incarnation);
        assert_eq!(*covered.clock(), clock(&[(2, 1)]));
    });
}

#[test]
fn a_marker_waits_for_all_writes_that_it_ends() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.push(vec![marker()]).await;
        let floor = |stage: &Stage| stage.last_digest().covered.floor(&address(1));
        pass(BEAT_MS).await;
        assert!(floor(&stage) < reborn(1).incarnation);
        assert_eq!(stage.metrics.buffer_writes.get(), 1);
        stage.push(vec![write(1, 1, &[])]).await;
        pass(BEAT_MS).await;
        assert_eq!(floor(&stage), reborn(1).incarnation);
        assert_eq!(stage.applied(), [dot(1, 1)]);
    });
}

#[test]
fn a_write_depends_on_the_marker_in_the_place_of_what_has_ended() {
    in_virtual_time(async {
        let stage = told_of_an_end().await;
        let mut put = stage.put(metadata(&[(1, 3)]));
        pass(1).await;
        let told = stage.store.borrow_mut().pop();
        let Some(ToStore::ApplyOwn(own)) = told else {
            panic!("not a write: {told:?}");
        };
        let deps = own.write.version.deps.get(&DOMAIN).cloned();
        assert_eq!(deps, Some(clock(&[(2, 1)])));
        let (domain, version) = (DOMAIN, own.write.version.clone());
        own.reply.send(Outcome::Created(Seen { domain, version }));
        let answer = answered(&mut put).expect("an answer");
        let (settled, lost) = answer.metadata(metadata(&[(1, 3)]));
        assert_eq!(lost, Lost::from([(origin(1), (2, 3))]));
        let named = settled.clocks.get(&DOMAIN).cloned();
        assert_eq!(named, Some(clock(&[(2, 1), (9, 1)])));
    });
}

#[test]
fn a_delete_says_what_is_lost_whether_there_is_something_to_delete_or_not() {
    in_virtual_time(async {
        let stage = told_of_an_end().await;
        let lost = Lost::from([(origin(1), (2, 3))]);
        for is_there in [false, true] {
            let operation = Operation::Delete { key: key("k") };
            let mut answer = stage.request(operation, metadata(&[(1, 3)]), None);
            pass(1).await;
            let told = stage.store.borrow_mut().pop();
            let Some(ToStore::ProbeDelete(probe)) = told else {
                panic!("not probed: {told:?}");
            };
            if is_there {
                stage.actor.tell(DeleteConfirmed {
                    key: probe.key,
                    metadata: probe.metadata,
                    reply: probe.reply,
                });
                pass(1).await;
                let told = stage.store.borrow_mut().pop();
                let Some(ToStore::ApplyOwn(own)) = told else {
                    panic!("not a write: {told:?}");
                };
                let (domain, version) = (DOMAIN, own.write.version.clone());
                own.reply.send(Outcome::Deleted(Seen { domain, version }));
            } else {
                probe.reply.send(Outcome::Absent(None));
            }
            let answer = answered(&mut answer).expect("an answer");
            assert_eq!(answer.metadata(metadata(&[(1, 3)])).1, lost);
        }
        assert_eq!(stage.metrics.lost_named.get(), 2);
    });
}

#[test]
fn what_all_have_of_an_ended_life_is_not_lost_and_the_next_life_is_asked_for_as_ever() {
    in_virtual_time(async {
        let stage = told_of_an_end().await;
        let mut get = stage.get(metadata(&[(1, 1)]), 0);
        pass(1).await;
        let answer = read(&stage, &mut get);
        assert_eq!(answer.metadata(metadata(&[(1, 1)])).1, Lost::new());
        assert_eq!(stage.metrics.lost_named.get(), 0);
        let (origin, mut later) = (reborn(1), Metadata::default());
        Arc::make_mut(&mut later.clocks).cover(DOMAIN, Dot { origin, counter: 1 });
        let refused = stage.get(later, 0).await.unwrap();
        assert!(matches!(refusal(refused), Refusal::Unmet { .. }));
    });
}

#[test]
fn what_was_settled_by_a_marker_is_refused_by_who_has_lost_its_memory() {
    in_virtual_time(async {
        let stage = told_of_an_end().await;
        let mut get = stage.get(metadata(&[(1, 1)]), 0);
        pass(1).await;
        let (settled, _) = read(&stage, &mut get).metadata(metadata(&[(1, 1)]));
        let empty = Stage::serving().await;
        let refused = empty.get(settled, 0).await.unwrap();
        assert!(matches!(refusal(refused), Refusal::Unmet { .. }));
    });
}

#[test]
fn a_join_brings_floors_and_what_is_remembered_below_them() {
    in_virtual_time(async {
        let source = told_of_an_end().await;
        let asked = difference(&source).await;
        let stage = Stage::serving().await;
        let mut parked = stage.get(metadata(&[(1, 2)]), 10_000);
        stage.hear(digest(origin(2), clock(&[(2, 1)])), true).await;
        let mut joined = cut(origin(2), vec![write(1, 1, &[])]);
        (joined.covered, joined.rest) = (asked.covered, asked.rest);
        // It was cut by node 2, not by another node 9.
        joined.covered = Coverage::from(clock(&[(2, 1)]));
        joined.covered.end(address(1), reborn(1).incarnation);
        stage.actor.tell(join_ended(2, Ok(joined)));
        pass(1).await;
        let (_, lost) = read(&stage, &mut parked).metadata(metadata(&[(1, 2)]));
        assert_eq!(lost, Lost::from([(origin(1), (2, 2))]));
        assert_eq!(stage.applied(), [dot(1, 1)]);
    });
}

#[test]
fn a_join_is_refused_to_who_is_outlived_or_forgotten() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.actor.tell(members(&lives(), &[origin(2)]));
        for asker in [1, 2] {
            let ask = |reply| ReadJoin {
                request: request(asker),
                reply,
            };
            let answer = stage.actor.ask(ask).await;
            assert_eq!(answer, JoinAnswer::Refused(JoinRefusal::Superseded));
        }
        assert_eq!(difference(&stage).await.from, origin(9));
    });
}

#[test]
fn nothing_is_taken_from_the_answer_of_who_knows_a_later_life_of_the_asker() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.hear(digest(origin(2), clock(&[(2, 1)])), true).await;
        let mut joined = cut(origin(2), vec![write(2, 1, &[])]);
        joined.covered.end(address(9), reborn(9).incarnation);
        stage.actor.tell(join_ended(2, Ok(joined)));
        assert_eq!(stage.status().await, Status::Starting);
        assert_eq!(stage.applied(), []);
        pass(BEAT_MS).await;
        assert!(stage.origin().incarnation > reborn(9).incarnation);
    });
}

#[test]
fn tombstones_go_once_all_have_had_them_for_the_margin_and_not_before() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.actor.tell(members(&lives(), &[]));
        let deleted = delete(&stage).await;
        for from in [reborn(1), origin(2)] {
            stage.hear(report(from, clock(&[(9, 1)])), true).await;
        }
        // That all agree is seen at a heartbeat.
        pass(MARGIN_MS).await;
        assert!(collected(&stage).last() < Some(&deleted));
        pass(2 * BEAT_MS).await;
        assert_eq!(collected(&stage).last(), Some(&deleted));
        pass(5 * BEAT_MS).await;
        let times = collected(&stage)
            .iter()
            .filter(|upto| **upto == deleted)
            .count();
        assert_eq!(times, 1, "once");
    });
}

#[test]
fn tombstones_stay_while_a_member_is_silent_or_behind_or_knows_of_other_lives_and_it_is_named() {
    in_virtual_time(async {
        let same = || report(origin(2), clock(&[(9, 1)]));
        let mut behind = same();
        behind.frontier.ms = WALL_MS - 1;
        let mut other = same();
        other.roster[0].life = origin(1).incarnation;
        for differs in [None, Some(behind), Some(other)] {
            let stage = Stage::serving().await;
            stage.actor.tell(members(&lives(), &[]));
            let deleted = delete(&stage).await;
            stage.hear(report(reborn(1), clock(&[(9, 1)])), true).await;
            if let Some(differs) = differs.clone() {
                stage.hear(differs, true).await;
            }
            stage.wall.set(WALL_MS + 2 * MARGIN_MS);
            pass(2 * MARGIN_MS).await;
            let gone = |stage: &Stage| collected(stage).last() >= Some(&deleted);
            assert!(!gone(&stage), "{differs:?}");
            let held_back = format!("held_back_by{{member=\"{}\"}} 1", address(2));
            let shown = stage.metrics.to_text();
            assert!(shown.contains(&held_back), "{differs:?}: {shown}");
            stage.hear(same(), true).await;
            pass(MARGIN_MS + 2 * BEAT_MS).await;
            assert!(gone(&stage), "{differs:?}");
            assert!(!stage.metrics.to_text().contains("held_back_by{"));
        }
    });
}

#[test]
fn room_is_asked_for_while_there_are_too_many_tombstones_and_somebody_holds_them_back() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.actor.tell(members(&lives(), &[]));
        // Until all were heard it may be one of another shard that is in the way.
        for other in [reborn(1), origin(2)] {
            stage.hear(digest(other, clock(&[])), false).await;
        }
        let asked = |stage: &Stage| std::mem::take(&mut *stage.make_room.borrow_mut());
        let full = |full| stage.actor.tell(TombstonesFilled { full });
        full(true);
        pass(4 * BEAT_MS).await;
        assert_eq!(asked(&stage).len(), 0, "nothing is held back");
        delete(&stage).await;
        pass(4 * BEAT_MS).await;
        let times: Vec<u64> = asked(&stage).iter().map(|ask| ask.crowded_ms).collect();
        assert_eq!(times, [0, BEAT_MS, 2 * BEAT_MS, 3 * BEAT_MS]);
        assert_eq!(stage.metrics.tombstones_crowded.get(), 1);
        // A delete is a write as ever, whatever waits.
        delete(&stage).await;
        full(false);
        asked(&stage);
        pass(4 * BEAT_MS).await;
        assert_eq!(asked(&stage).len(), 0);
        assert_eq!(stage.metrics.tombstones_crowded.get(), 0);
        full(true);
        pass(BEAT_MS).await;
        assert_eq!(asked(&stage)[0].crowded_ms, 0, "counted anew");
    });
}

#[test]
fn tombstones_stay_while_this_replica_lacks_writes_of_a_life_that_goes_on() {
    in_virtual_time(async {
        let stage = Stage::serving().await;
        stage.actor.tell(members(&lives(), &[]));
        let deleted = delete(&stage).await;
        stage.hear(report(reborn(1), clock(&[(9, 1)])), false).await;
        // What node 2 promises counts once its first write is here.
        let mut ahead = report(origin(2), clock(&[(2, 1), (9, 1)]));
        stage.hear(ahead.clone(), false).await;
        pass(2 * MARGIN_MS).await;
        assert!(collected(&stage).last() < Some(&deleted));
        let held_back = format!("held_back_by{{member=\"{}\"}} 1", address(9));
        assert!(stage.metrics.to_text().contains(&held_back));
        let mut first = write(2, 1, &[]);
        Arc::make_mut(&mut first.version).time.ms = WALL_MS + 500;
        stage.push(vec![first]).await;
        ahead.promise.ms += 1;
        stage.hear(ahead, false).await;
        pass(MARGIN_MS + 2 * BEAT_MS).await;
        assert_eq!(collected(&stage).last(), Some(&deleted));
    });
}

#[test]
fn who_has_not_caught_up_does_not_say_that_it_has_what_others_have_written() {
    in_virtual_time(async {
        for (written, says) in [(1, false), (0, true)] {
            let stage = Stage::with(RULES);
            stage.actor.tell(members(&lives(), &[]));
            for from in [reborn(1), origin(2)] {
                let mut covered = Clock::new();
                covered.raise(from, written);
                stage.hear(report(from, covered), true).await;
            }
            pass(MARGIN_MS + 2 * BEAT_MS).await;
            assert_eq!(stage.status().await, Status::Starting);
            let frontier = stage.last_digest().frontier;
            assert_eq!(frontier > HlcTime::ZERO, says, "{written} written each");
        }
    });
}

#[test]
fn a_push_from_before_what_was_collected_is_refused_whole() {
    in_virtual_time(async {
        let stage = has_collected().await;
        let mut later = write(1, 2, &[]);
        Arc::make_mut(&mut later.version).time.ms = 2 * WALL_MS;
        let refused = stage.push(vec![write(1, 1, &[]), later]).await;
        assert_eq!(refused, PushAnswer::Refused(PushRefusal::Late));
        pass(1).await;
        assert_eq!(stage.applied(), [dot(9, 1)]);
        assert_eq!(stage.metrics.buffer_writes.get(), 0);
    });
}

#[test]
fn a_join_that_brings_what_is_older_than_what_was_collected_is_taken_of_who_has_seen_that() {
    in_virtual_time(async {
        let stage = has_collected().await;
        let late = || cut(origin(1), vec![write(1, 1, &[])]);
        stage.hear(digest(origin(1), clock(&[(1, 1)])), true).await;
        stage.actor.tell(join_ended(1, Ok(late())));
        assert_eq!(stage.status().await, Status::Serving);
        assert_eq!(stage.applied(), [dot(9, 1)]);
        stage.hear(digest(origin(1), clock(&[(1, 1)])), true).await;
        let mut judged = late();
        judged.covered.merge(&stage.last_digest().covered);
        stage.actor.tell(join_ended(1, Ok(judged)));
        pass(1).await;
        assert_eq!(stage.applied(), [dot(9, 1), dot(1, 1)]);
    });
}

#[test]
fn who_holds_what_is_older_than_what_another_has_collected_is_born_again() {
    in_virtual_time(async {
        let mut rest = difference(&has_collected().await).await.rest;
        let collected = rest.collected.as_mut().expect("it has collected");
        // It was collected at node 2, without the write of node 3 that this one has.
        collected.covered = clock(&[(2, 1)]).into();
        for (has, is_left_out) in [(None, false), (Some(write(3, 1, &[])), true)] {
            let stage = Stage::serving().await;
            if let Some(write) = has {
                stage.push(vec![write]).await;
            }
            stage.hear(digest(origin(2), clock(&[(2, 1)])), true).await;
            let mut joined = cut(origin(2), Vec::new());
            joined.covered = clock(&[(2, 1)]).into();
            joined.rest = rest.clone();
            stage.actor.tell(join_ended(2, Ok(joined)));
            let born_again = stage.status().await == Status::Starting;
            assert_eq!(born_again, is_left_out);
        }
    });
}
