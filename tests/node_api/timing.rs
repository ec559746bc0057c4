//! §3: the table of timings, at default settings; the only tests with bounds on time, and they are the contract's.

use std::time::Duration;

use crate::support::waiting::{PATIENCE, now};
use crate::support::{Cluster, Launch, Replica, V, always, eventually, until};

/// A replica that is killed or cut off is gone from all views within this.
const GONE: Duration = Duration::from_secs(5);
/// A restarted one is in all views and caught up within this; so are all after the last start.
const BACK: Duration = Duration::from_secs(3);
/// After a reconnect no data flows for the first 2.5 s; a request that depends on it is still refused at this time.
const STILL_REFUSED: Duration = Duration::from_secs(2);
/// After a reconnect replicas have converged within this.
const CONVERGED: Duration = Duration::from_secs(5);
/// A cut that counts as long.
const LONG_CUT: Duration = Duration::from_secs(1);
/// A repair that rests on heartbeats comes a quarter of a second apart; a write that is pushed is there long before.
const FAR_BELOW_A_HEARTBEAT: Duration = Duration::from_millis(60);

#[test]
fn all_views_are_full_within_three_seconds_of_the_last_start() {
    let launches = (0..3).map(|_| Launch::new()).collect();
    let cluster = Cluster::launch(launches);
    // From here on the client waits for listeners as well: that is part of the bound.
    let started = now();
    let all = cluster.names();
    eventually(BACK, "all views are full", || {
        let get = crate::support::Request::new("GET", "/view");
        let view = |replica: &Replica| replica.try_ask(&get).ok().map(|answer| answer.json());
        let full = serde_json::json!({"view": all});
        let views: Vec<_> = cluster.iter().map(view).collect();
        if views.iter().all(|view| *view == Some(full.clone())) {
            Ok(())
        } else {
            Err(views)
        }
    });
    cluster.iter().for_each(Replica::await_ready);
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn full_views_stay_full() {
    let cluster = Cluster::of(3);
    let all = cluster.names();
    always(now(), GONE, || {
        for replica in cluster.iter() {
            assert_eq!(replica.view(), all);
        }
    });
}

#[test]
fn a_killed_replica_is_gone_from_all_views_within_five_seconds() {
    let mut cluster = Cluster::of(3);
    cluster[2].kill();
    cluster.await_views(GONE, &[0, 1], &[0, 1]);
}

#[test]
fn a_frozen_replica_is_gone_from_all_views_within_five_seconds_and_comes_back() {
    let cluster = Cluster::of(3);
    cluster[2].freeze();
    cluster.await_views(GONE, &[0, 1], &[0, 1]);
    let v = cluster[0].put("k", "1", &V::none()).expect(201).v();
    cluster[2].thaw();
    cluster.await_views(GONE, &[0, 1, 2], &[0, 1, 2]);
    eventually(CONVERGED, "it has caught up", || {
        cluster[2].get("k", &v).having(200)
    });
}

#[test]
fn a_restarted_replica_is_in_all_views_and_caught_up_within_three_seconds() {
    let mut cluster = Cluster::of(3);
    cluster[0].put("k", "1", &V::none()).expect(201);
    cluster[2].kill();
    cluster.await_views(GONE, &[0, 1], &[0, 1]);
    let v = cluster[0].put("k", "2", &V::none()).expect(200).v();
    cluster[2].restart();
    let restarted = now();
    let get = crate::support::replica::get("k", &v);
    eventually(BACK, "it has caught up", || {
        let answer = cluster[2].try_ask(&get).map_err(|e| e.to_string())?;
        answer.having(200).map_err(|other| format!("{other:?}"))
    });
    let left = BACK.saturating_sub(restarted.elapsed());
    cluster.await_views(left, &[0, 1, 2], &[0, 1, 2]);
}

#[test]
fn a_replica_restarted_before_anybody_missed_it_is_caught_up_within_three_seconds() {
    let mut cluster = Cluster::of(2);
    let v = cluster[1].put("k", "1", &V::none()).expect(201).v();
    cluster[0].get_waiting("k", &v).expect(200);
    for round in 0..3 {
        cluster[1].kill();
        cluster[1].restart();
        let get = crate::support::replica::get("k", &v);
        eventually(BACK, "it has caught up", || {
            let answer = cluster[1].try_ask(&get).map_err(|e| e.to_string())?;
            answer
                .having(200)
                .map_err(|other| format!("round {round}: {other:?}"))
        });
        cluster.await_views(BACK, &[0, 1], &[0, 1]);
    }
}

#[test]
fn a_write_reaches_the_others_at_once_and_not_on_a_timer() {
    let cluster = Cluster::of(2);
    let mut v = V::none();
    let mut delays: Vec<Duration> = (0..31)
        .map(|round| {
            v = cluster[0].put("k", &round.to_string(), &v).v();
            let written = now();
            until(PATIENCE, "it is there", || {
                cluster[1].get("k", &v).status == 200
            });
            written.elapsed()
        })
        .collect();
    delays.sort_unstable();
    assert!(delays[15] < FAR_BELOW_A_HEARTBEAT, "{delays:?}");
}

#[test]
fn a_replica_cut_off_sees_the_others_gone_within_five_seconds_and_takes_writes() {
    let (cluster, wire) = Cluster::on_a_wire(3);
    wire.cut();
    for i in 0..3 {
        let key = format!("k{i}");
        cluster[i]
            .put(&key, "1", &V::none())
            .expect_result(201, "created");
    }
    let cut = now();
    for i in 0..3 {
        let left = GONE.saturating_sub(cut.elapsed());
        cluster.await_views(left, &[i], &[i]);
        cluster[i].put("k", "2", &V::none());
    }
    wire.mend();
    cluster.await_views(GONE, &[0, 1, 2], &[0, 1, 2]);
    cluster.await_agreement(PATIENCE);
}

#[test]
fn after_a_reconnect_no_data_flows_at_first_and_all_has_converged_in_five_seconds() {
    let (cluster, wire) = Cluster::on_a_wire(2);
    let old = cluster[0].put("k", "1", &V::none()).expect(201).v();
    cluster[1].get_waiting("k", &old).expect(200);
    wire.cut();
    always(now(), LONG_CUT, || {
        cluster[1].get("k", &old).expect_result(200, "found");
    });
    let new = cluster[0].put("k", "2", &old).expect(200).v();
    wire.mend();
    let mended = now();
    always(mended, STILL_REFUSED, || {
        cluster[1].get("k", &new).expect(503);
        cluster[1].put("other", "1", &new).expect(503);
        let found = cluster[1].get("k", &old).expect_result(200, "found");
        assert_eq!(found.member("value").unwrap(), "1");
    });
    let left = CONVERGED.saturating_sub(mended.elapsed());
    let found = eventually(left, "it has converged", || {
        cluster[1].get("k", &new).having(200)
    });
    assert_eq!(found.member("value").unwrap(), "2");
    let left = CONVERGED.saturating_sub(mended.elapsed());
    cluster.await_views(left, &[0, 1], &[0, 1]);
}

#[test]
fn writes_on_both_sides_of_a_cut_converge() {
    let (cluster, wire) = Cluster::on_a_wire(2);
    wire.cut();
    let cut = now();
    let left = cluster[0].put("k", "\"left\"", &V::none()).expect(201).v();
    let right = cluster[1].put("k", "\"right\"", &V::none()).expect(201).v();
    cluster[0].put("only-left", "1", &left).expect(201);
    cluster[1].put("only-right", "1", &right).expect(201);
    always(cut, LONG_CUT, || {
        cluster[0].get("only-right", &V::none()).expect(404);
        cluster[0].get("k", &right).expect(503);
        cluster[1].get("k", &left).expect(503);
    });
    wire.mend();
    cluster.await_agreement(CONVERGED);
    let both = left.with(&right);
    let values: Vec<_> = cluster
        .iter()
        .map(|replica| replica.get("k", &both).expect(200).member("value").unwrap())
        .collect();
    assert_eq!(values[0], values[1]);
    for replica in cluster.iter() {
        replica.get("only-left", &both).expect_result(200, "found");
        replica.get("only-right", &both).expect_result(200, "found");
    }
}
