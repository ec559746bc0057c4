//! §1 to §3 under crashes: what is written survives as long as anybody has it.

use std::thread;

use crate::support::replica::get;
use crate::support::waiting::PATIENCE;
use crate::support::{Cluster, Launch, Replica, V, eventually, until};

#[test]
fn writes_of_a_dead_replica_reach_all_through_those_that_have_them() {
    let mut cluster = Cluster::of(3);
    cluster[2].freeze();
    let mut v = V::none();
    for i in 0..50 {
        v = cluster[0].put(&format!("k{i}"), "1", &v).expect(201).v();
    }
    cluster[1].get_waiting("k49", &v).expect(200);
    cluster[0].kill();
    cluster[2].thaw();
    let found = eventually(PATIENCE, "they arrive", || {
        cluster[2].get("k49", &v).having(200)
    });
    for i in 0..50 {
        cluster[2]
            .get(&format!("k{i}"), &found.v())
            .expect_result(200, "found");
    }
}

#[test]
fn a_replica_that_keeps_crashing_does_not_disturb_the_others() {
    let mut cluster = Cluster::of(3);
    let mut v = V::none();
    for round in 0..5 {
        cluster[2].kill();
        for i in 0..40 {
            let key = format!("k{round}-{i}");
            // It follows the writes of the other one: a 503 is a wait, never a failure.
            let put = crate::support::replica::put(&key, "1", &v).header("Prefer", "wait=15");
            v = cluster[i % 2].ask(&put).expect_result(201, "created").v();
            if i == 20 {
                cluster[2].restart();
            }
        }
        cluster[2].await_ready();
    }
    cluster.await_whole();
    cluster.await_agreement(PATIENCE);
    cluster[2].get("k4-39", &v).expect_result(200, "found");
}

#[test]
fn a_replica_that_crashes_while_it_writes_reuses_no_name_of_a_write() {
    let mut cluster = Cluster::of(2);
    let mut seen = Vec::new();
    for round in 0..4 {
        for i in 0..10 {
            let (key, value) = (format!("k{i}"), format!("{round}"));
            let v = cluster[1].put(&key, &value, &V::none()).v();
            seen.push((key, round, v));
        }
        let (key, _, v) = seen.last().unwrap();
        cluster[0].get_waiting(key, v).expect(200);
        cluster[1].kill();
        cluster[1].restart();
        cluster[1].await_ready();
    }
    cluster.await_agreement(PATIENCE);
    for (key, round, v) in &seen {
        for replica in cluster.iter() {
            let found = replica.get_waiting(key, v).expect_result(200, "found");
            let value: i32 = found.member("value").unwrap().parse().unwrap();
            assert_eq!(value, 3, "{key} of round {round} came back");
        }
    }
}

#[test]
fn newcomers_that_start_together_take_the_one_with_the_data_for_their_source() {
    let first = Launch::new().start();
    let v = first.put("k", "1", &V::none()).expect(201).v();
    let (second, third) = (Launch::new(), Launch::new());
    let all = [&second, &third].map(|launch| launch.address().to_string());
    let view = format!("{},{},{}", all[0], all[1], first.name());
    let newcomers = [second.view(view.clone()).spawn(), third.view(view).spawn()];
    for newcomer in &newcomers {
        let served = eventually(PATIENCE, "the newcomer serves", || {
            let answer = newcomer.try_ask(&get("k", &V::none()));
            answer.ok().filter(|answer| answer.status != 503).ok_or(())
        });
        assert_eq!(served.expect(200).member("value").unwrap(), "1");
        newcomer.get("k", &v).expect_result(200, "found");
    }
}

/// About 8 MiB in values of many sizes: several pages of a join.
fn fill(replica: &Replica) {
    for i in 0..400 {
        let value = format!("\"{}\"", "x".repeat(i * 100));
        replica
            .put(&format!("k{i}"), &value, &V::none())
            .expect(201);
    }
}

#[test]
fn a_newcomer_takes_over_much_data_while_writes_go_on() {
    let first = Launch::new().start();
    fill(&first);
    let newcomer = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..300 {
                first
                    .put(&format!("k{i}"), &i.to_string(), &V::none())
                    .expect(200);
                first
                    .put(&format!("new{i}"), &i.to_string(), &V::none())
                    .expect(201);
            }
        });
        let newcomer = Launch::new().view(first.name()).start();
        // Ready means that it has at least what was there before it came.
        newcomer.get("k399", &V::none()).expect_result(200, "found");
        writer.join().unwrap();
        newcomer
    });
    until(PATIENCE, "both hold the same", || {
        first.state() == newcomer.state()
    });
    for i in 0..300 {
        let found = newcomer.get(&format!("new{i}"), &V::none()).expect(200);
        assert_eq!(found.member("value").unwrap(), i.to_string());
    }
}

#[test]
fn a_value_of_the_largest_size_reaches_the_others() {
    let cluster = Cluster::of(2);
    let value = format!("\"{}\"", "x".repeat((8 << 20) - 1_000));
    let v = cluster[0].put("k", &value, &V::none()).expect(201).v();
    let found = cluster[1].get_waiting("k", &v).expect(200);
    assert!(
        found.member("value") == Some(value),
        "it has changed on its way"
    );
    let v = cluster[1].put("after", "1", &v).expect(201).v();
    cluster[0].get_waiting("after", &v).expect(200);
}

#[test]
fn a_replica_that_was_down_and_not_deleted_comes_back_though_its_deletion_was_asked() {
    let mut cluster = Cluster::of(2);
    let name = cluster[1].name();
    cluster[1].kill();
    cluster.await_views(PATIENCE, &[0], &[0]);
    let answer = cluster[0].ask_view("DELETE", &name);
    answer.expect_error(404, "View has no such replica");
    cluster[1].restart();
    cluster.await_whole();
}

#[test]
fn buffers_outboxes_and_parked_requests_are_empty_again_after_a_burst() {
    let cluster = Cluster::of(3);
    thread::scope(|scope| {
        for (i, replica) in cluster.iter().enumerate() {
            scope.spawn(move || {
                let mut connection = replica.connect();
                for n in 0..300 {
                    let key = format!("k{}", (n * (i + 1)) % 100);
                    let put = crate::support::replica::put(&key, &n.to_string(), &V::none());
                    let status = connection.ask(&put).unwrap().status;
                    assert!([200, 201].contains(&status));
                }
            });
        }
    });
    cluster.await_agreement(PATIENCE);
    for replica in cluster.iter() {
        for word in ["buffer", "outbox", "parked"] {
            until(
                PATIENCE,
                &format!("every gauge of {word} is back at 0"),
                || {
                    let metrics = replica.metrics();
                    metrics.gauges(word).iter().all(|(_, value)| *value < 0.5)
                },
            );
        }
    }
}
