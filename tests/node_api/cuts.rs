//! §3: replicas that cannot reach each other for a while, at default settings. Bounds are the contract's.

use std::time::Duration;

use crate::support::waiting::{PATIENCE, now};
use crate::support::{Cluster, V, always, eventually};

/// A replica that is cut off sees the others gone within this, and back within this.
const GONE: Duration = Duration::from_secs(5);
/// A cut that counts as long.
const LONG_CUT: Duration = Duration::from_secs(1);
/// No data flows in the first 2.5 s after a long cut: a dependency on it is refused up to here.
const STILL_REFUSED: Duration = Duration::from_secs(2);
/// After a reconnect replicas have converged within this.
const CONVERGED: Duration = Duration::from_secs(5);

#[test]
fn a_replica_cut_off_sees_the_others_gone_within_five_seconds_and_takes_writes() {
    let (cluster, wire) = Cluster::on_a_wire(3);
    wire.cut();
    let cut = now();
    for (i, replica) in cluster.iter().enumerate() {
        let key = format!("k{i}");
        replica
            .put(&key, "1", &V::none())
            .expect_result(201, "created");
    }
    for i in 0..3 {
        cluster.await_views(GONE.saturating_sub(cut.elapsed()), &[i], &[i]);
        cluster[i]
            .put("alone", &i.to_string(), &V::none())
            .expect(201);
    }
    wire.mend();
    cluster.await_views(GONE, &[0, 1, 2], &[0, 1, 2]);
    cluster.await_agreement(PATIENCE);
    for replica in cluster.iter() {
        for key in ["k0", "k1", "k2", "alone"] {
            replica.get(key, &V::none()).expect_result(200, "found");
        }
    }
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
    let missed = cluster[0].put("k", "2", &old).expect(200).v();
    wire.mend();
    let mended = now();
    let fresh = cluster[0].put("fresh", "1", &missed).expect(201).v();
    always(mended, STILL_REFUSED, || {
        for needed in [&missed, &fresh] {
            cluster[1].get("k", needed).expect(503);
            cluster[1].put("other", "1", needed).expect(503);
        }
        let found = cluster[1].get("k", &old).expect_result(200, "found");
        assert_eq!(found.member("value").unwrap(), "1");
    });
    let left = || CONVERGED.saturating_sub(mended.elapsed());
    let found = eventually(left(), "it has converged", || {
        cluster[1].get("k", &fresh).having(200)
    });
    assert_eq!(found.member("value").unwrap(), "2");
    cluster.await_views(left(), &[0, 1], &[0, 1]);
    cluster.await_agreement(left());
}

#[test]
fn writes_on_both_sides_of_a_cut_converge() {
    let (cluster, wire) = Cluster::on_a_wire(2);
    wire.cut();
    let cut = now();
    let one = cluster[0].put("k", "\"one\"", &V::none()).expect(201).v();
    let other = cluster[1].put("k", "\"other\"", &V::none()).expect(201).v();
    cluster[0].put("only-here", "1", &one).expect(201);
    cluster[1].put("only-there", "1", &other).expect(201);
    always(cut, LONG_CUT, || {
        cluster[0].get("only-there", &V::none()).expect(404);
        cluster[0].get("k", &other).expect(503);
        cluster[1].get("k", &one).expect(503);
    });
    wire.mend();
    cluster.await_agreement(CONVERGED);
    let both = one.with(&other);
    let read = |i: usize| cluster[i].get("k", &both).expect(200).member("value");
    assert_eq!(read(0), read(1));
    for replica in cluster.iter() {
        replica.get("only-here", &both).expect_result(200, "found");
        replica.get("only-there", &both).expect_result(200, "found");
    }
}

#[test]
fn what_was_deleted_during_a_cut_does_not_come_back_after_it() {
    let (cluster, wire) = Cluster::on_a_wire(2);
    let v = cluster[0].put("k", "1", &V::none()).expect(201).v();
    cluster[1].get_waiting("k", &v).expect(200);
    wire.cut();
    let deleted = cluster[0].delete("k", &v).expect(200).v();
    always(now(), LONG_CUT, || {
        cluster[1].get("k", &v).expect_result(200, "found");
    });
    wire.mend();
    cluster.await_agreement(CONVERGED);
    for replica in cluster.iter() {
        replica
            .get("k", &deleted)
            .expect_error(404, "Key does not exist");
        replica.get("k", &v).expect(404);
    }
}

#[test]
fn a_wire_that_flaps_loses_nothing() {
    let (cluster, wire) = Cluster::on_a_wire(2);
    let mut last = [V::none(), V::none()];
    for (round, cut_ms) in [50, 700, 200, 1_200, 20, 550].into_iter().enumerate() {
        let span = Duration::from_millis(cut_ms);
        for part in ["cut", "whole"] {
            if part == "cut" {
                wire.cut();
            } else {
                wire.mend();
            }
            for (i, v) in last.iter_mut().enumerate() {
                let key = format!("{part}-{round}-{i}");
                *v = cluster[i].put(&key, "1", v).expect(201).v();
                *v = cluster[i].put("shared", &round.to_string(), v).v();
            }
            always(now(), span, || {});
        }
    }
    cluster.await_agreement(PATIENCE);
    for replica in cluster.iter() {
        for v in &last {
            replica.get("shared", v).expect_result(200, "found");
        }
        let state = replica.state();
        assert_eq!(state[2], 6 * 2 * 2 + 1, "{state:?}");
    }
}
