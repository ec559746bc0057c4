//! §3: the table of timings at default settings, but for cuts. Bounds are the contract's.

use std::time::Duration;

use crate::support::waiting::{PATIENCE, now};
use crate::support::{Cluster, Launch, Replica, V, always, eventually, until};

/// A replica that is killed or cut off is gone from all views within this.
const GONE: Duration = Duration::from_secs(5);
/// A restarted one is in all views and caught up within this; so are all after the last start.
const BACK: Duration = Duration::from_secs(3);
/// A replica that is reached again has converged within this.
const CONVERGED: Duration = Duration::from_secs(5);
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
