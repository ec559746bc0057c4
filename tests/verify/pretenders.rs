//! Servers that are no causal stores are found out, and by name.

use crate::pretender::{Fault, start, start_all};
use crate::{Ended, verify};

fn run(fault: Fault, more: &[&str]) -> Ended {
    run_at(&start(fault).to_string(), more)
}

fn run_at(nodes: &str, more: &[&str]) -> Ended {
    let mut arguments = vec!["--nodes", nodes, "--seconds=2", "--rate=300", "--settle=1"];
    arguments.extend(more);
    verify(&arguments)
}

#[test]
fn stale_reads_break_read_your_writes_and_the_operations_are_named() {
    let ended = run(Fault::Stale, &[]).with(1);
    assert!(
        ended.claim("read your writes").starts_with("BROKEN"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.claim("causal convergence").starts_with("BROKEN"),
        "{}",
        ended.stdout
    );
    let named = "VIOLATION WriteCORead (read your writes): ";
    let violation = ended.stdout.split_once(named).map(|(_, told)| told);
    let told = violation.unwrap_or_else(|| panic!("{}", ended.stdout));
    assert!(
        told.contains("    #") && told.contains(" PUT verify-") && told.contains(" GET verify-"),
        "{told}"
    );
    assert!(
        ended.stderr.ends_with("causet: not all held\n"),
        "{}",
        ended.stderr
    );
}

/// As a replica that keeps its data in memory does when it is killed and comes back alone.
#[test]
fn lost_writes_are_told_apart_and_may_be_allowed() {
    let ended = run(Fault::Forgets(300), &["--keys=300"]).with(1);
    assert_eq!(ended.claim("causal convergence"), "held");
    assert!(
        ended.claim("no write lost").starts_with("BROKEN: "),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("VIOLATION lost write: "),
        "{}",
        ended.stdout
    );
    assert_eq!(ended.claim("every node caught up"), "held");
    let ended = run(Fault::Forgets(300), &["--keys=300", "--allow-lost"]).with(0);
    assert!(
        ended.claim("no write lost").starts_with("BROKEN: "),
        "{}",
        ended.stdout
    );
}

/// What one node refuses for ever and another serves is not lost, and no kill excuses it.
#[test]
fn a_node_that_never_catches_up_is_told_from_a_loss() {
    let [one, other] = start_all([Fault::Forgets(u64::MAX), Fault::Refuses]);
    let ended = run_at(&format!("{one},{other}"), &["--allow-lost"]).with(1);
    assert_eq!(ended.claim("replicas agree at quiet"), "held");
    assert_eq!(ended.claim("no write lost"), "held");
    let behind = ended.claim("every node caught up");
    assert!(behind.starts_with("BROKEN: "), "{}", ended.stdout);
    assert!(behind.contains("refused, though another node served"));
    assert!(ended.count("refused") > 0, "{}", ended.stdout);
}

#[test]
fn one_that_answers_nothing_that_a_replica_would_is_refused_at_once() {
    let ended = run(Fault::Broken, &[]).with(1);
    assert!(
        ended.stderr.starts_with("causet: no node answers: ")
            && ended.stderr.contains("GET answered 500"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stdout, "");
}
