//! `causet verify`, in a container on the cluster's network, while replicas are killed, paused and cut off.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::{A, B, C, CUT_BOUND, Cluster};
use crate::docker;
use crate::said::number_before;
use crate::time::{now, within};

const D: usize = 3;
const E: usize = 4;

/// For the clients' start, and for their end with all that is judged then.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill,
    Pause,
    Cut,
}

impl Fault {
    fn begin(self, cluster: &Cluster, replica: usize) {
        match self {
            Self::Kill => cluster.kill(replica),
            Self::Pause => cluster.pause(replica),
            Self::Cut => cluster.disconnect(replica),
        }
    }

    fn end(self, cluster: &Cluster, replica: usize) {
        match self {
            Self::Kill => cluster.restart(replica),
            Self::Pause => cluster.unpause(replica),
            Self::Cut => cluster.reconnect(replica),
        }
    }
}

use Fault::{Cut, Kill, Pause};

#[test]
fn clients_of_three_see_no_anomaly_while_each_is_killed_paused_or_cut_off() {
    let rounds: [&[_]; 3] = [&[(Kill, C)], &[(Pause, B)], &[(Cut, A)]];
    put_to_the_test(3, "verify", &rounds);
}

#[test]
fn clients_of_five_see_no_anomaly_while_two_at_a_time_are_killed_paused_or_cut_off() {
    let rounds: [&[_]; 3] = [
        &[(Kill, E), (Pause, D)],
        &[(Cut, A), (Kill, C)],
        &[(Pause, B), (Cut, D)],
    ];
    put_to_the_test(5, "verify-five", &rounds);
}

/// Lets these faults happen at once, until the others have noticed; ends when all are back and have caught up with
/// what is written then. Before that clients meet refusals, which is what this is about.
fn go_through(cluster: &Cluster, faults: &[(Fault, usize)], value: &str) {
    for (fault, replica) in faults {
        fault.begin(cluster, *replica);
    }
    let hit = |replica: &usize| faults.iter().any(|(_, hit)| hit == replica);
    let others: Vec<usize> = cluster.all().filter(|replica| !hit(replica)).collect();
    cluster.await_views(&others, now(), CUT_BOUND);
    for (fault, replica) in faults {
        fault.end(cluster, *replica);
    }
    let ended = now();
    cluster.await_full_views(ended, CUT_BOUND);
    let written = cluster.put(others[0], "after", value, &Value::Null);
    let written = written.metadata();
    for (_, replica) in faults {
        cluster.await_value(*replica, ("after", value), &written, (ended, CUT_BOUND));
    }
}

/// Runs the clients while the rounds of faults go by, and judges what they saw.
fn put_to_the_test(size: usize, test: &str, rounds: &[&[(Fault, usize)]]) {
    let Some(cluster) = Cluster::ready_of(size, test) else {
        return;
    };
    // A replica that is killed takes along what it has not yet handed on. The clients are stopped when all is over,
    // long before their time; so little time that all they do goes into one history.
    let run = cluster.run_verify(&["--seconds=60", "--rate=330", "--clients=32", "--allow-lost"]);
    within(now(), PATIENCE, || {
        let said = docker::logs(&run);
        let started = said.contains("the clients are at work; ");
        started.then_some(()).ok_or(said)
    });

    for (number, faults) in rounds.iter().enumerate() {
        go_through(&cluster, faults, &format!("round {number}"));
    }

    // Fails if they are done already: then the last faults did not fall into their time.
    docker::must(&["kill", "--signal=TERM", &run]);
    let code = docker::must(&["wait", &run]);
    let said = docker::must(&["logs", &run]);
    println!("{said}");
    assert_eq!(code, "0", "{said}");
    assert!(said.starts_with(&format!("{size} nodes; keys ")), "{said}");
    for happened in [
        "PUTs",
        "DELETEs",
        "reads of a value",
        "refused",
        "after waiting",
    ] {
        assert!(number_before(happened, &said) > 0, "{happened}: {said}");
    }
    let failed = ["not sent for want of a connection", "without an answer"];
    let failed = failed.map(|how| number_before(how, &said));
    assert!(
        failed.iter().sum::<u64>() > 0,
        "nobody noticed the faults: {said}"
    );
}
