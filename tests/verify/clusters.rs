//! Clusters of real replicas pass, also while they are disturbed.

use std::path::PathBuf;

use causet::checker::{check, text};

use crate::support::waiting::PATIENCE;
use crate::support::{Cluster, V};
use crate::{Running, verify};

fn nodes(cluster: &Cluster) -> String {
    let urls: Vec<String> = cluster
        .iter()
        .map(|replica| format!("http://{}", replica.client_address()))
        .collect();
    urls.join(",")
}

const CLAIMS: [&str; 10] = [
    "causal convergence",
    "read your writes",
    "monotonic reads",
    "monotonic writes",
    "writes follow reads",
    "no resurrection",
    "nothing from thin air",
    "replicas agree at quiet",
    "every node caught up",
    "no write lost",
];

#[test]
fn a_cluster_passes_and_its_history_can_be_read_by_others() {
    let cluster = Cluster::of(3);
    let file =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("history-{}", std::process::id()));
    let path = file.to_string_lossy();
    let ended = verify(&[
        "--nodes",
        &nodes(&cluster),
        "--seconds=3",
        "--rate=300",
        "--history",
        &path,
    ])
    .with(0);
    for claim in CLAIMS {
        assert_eq!(ended.claim(claim), "held", "{claim}");
    }
    assert!(ended.stderr.ends_with("checking\n"), "{}", ended.stderr);
    let read = text::read(&std::fs::read_to_string(&file).unwrap()).unwrap();
    std::fs::remove_file(&file).unwrap();
    let report = check(&read);
    assert!(report.holds(), "{report}");
    assert!(
        report.counts.puts > 0 && report.counts.reads_from > 0,
        "{report}"
    );
}

#[test]
fn it_leaves_no_keys_behind_and_runs_beside_others() {
    let cluster = Cluster::of(2);
    let (first, second) = std::thread::scope(|scope| {
        let [first, second] = [1, 2].map(|seed| {
            let (nodes, seed) = (nodes(&cluster), format!("--seed={seed}"));
            scope.spawn(move || verify(&["--nodes", &nodes, &seed, "--seconds=1", "--rate=200"]))
        });
        (first.join().unwrap(), second.join().unwrap())
    });
    cluster.await_agreement(PATIENCE);
    for ended in [first.with(0), second.with(0)] {
        let name = ended
            .stdout
            .split_once("2 nodes; keys ")
            .and_then(|(_, rest)| rest.split_once('…'));
        let (name, _) = name.unwrap_or_else(|| panic!("{}", ended.stdout));
        for number in 0..64 {
            let answer = cluster[1].get(&format!("{name}0-k{number}"), &V::none());
            answer.expect_error(404, "Key does not exist");
        }
    }
}

#[test]
fn a_cluster_passes_while_a_replica_is_frozen_and_comes_back() {
    let cluster = Cluster::of(3);
    let run = Running::start(&["--nodes", &nodes(&cluster), "--seconds=600", "--rate=300"]);
    cluster[1].freeze();
    cluster.await_views(PATIENCE, &[0, 2], &[0, 2]);
    cluster[1].thaw();
    cluster.await_views(PATIENCE, &[0, 1, 2], &[0, 1, 2]);
    let late = cluster[0].put("late", "1", &V::none()).v();
    cluster[1].get_waiting("late", &late).expect(200);
    // That was all: the clients need not go on for ten minutes.
    let ended = run.interrupt().with(0);
    let said = &ended.stderr;
    assert!(said.contains("stopping the clients\n"), "{said}");
    for count in ["PUTs", "DELETEs", "reads of a value", "refused"] {
        assert!(ended.count(count) > 0, "{count}: {}", ended.stdout);
    }
}
