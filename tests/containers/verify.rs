//! `causet verify`, in a container on the cluster's network, while replicas are killed, paused and cut off.

use crate::cluster::{A, B, C, CUT_BOUND, Cluster, START_BOUND};
use crate::docker;
use crate::time::now;

/// Long enough for the three faults and what follows from each, by the contract's bounds.
const SECONDS: &str = "--seconds=40";

#[test]
fn clients_see_no_anomaly_while_replicas_are_killed_paused_and_cut_off() {
    let Some(cluster) = Cluster::ready("verify") else {
        return;
    };
    // A replica that is killed takes along what it has not yet handed on.
    let run = cluster.run_verify(&[SECONDS, "--rate=300", "--allow-lost"]);

    cluster.kill(C);
    cluster.await_views(&[A, B], now(), CUT_BOUND);
    cluster.restart(C);
    cluster.await_full_views(now(), START_BOUND);

    docker::must(&["pause", &cluster.container(B)]);
    cluster.await_views(&[A, C], now(), CUT_BOUND);
    docker::must(&["unpause", &cluster.container(B)]);
    cluster.await_full_views(now(), CUT_BOUND);

    cluster.disconnect(A);
    cluster.await_views(&[B, C], now(), CUT_BOUND);
    cluster.reconnect(A);
    cluster.await_full_views(now(), CUT_BOUND);

    let running = docker::must(&["inspect", "--format", "{{.State.Running}}", &run]);
    assert_eq!(running, "true", "the faults fell into the clients' time");
    let code = docker::must(&["wait", &run]);
    let said = docker::logs(&run);
    println!("{said}");
    assert_eq!(code, "0", "{said}");
}
