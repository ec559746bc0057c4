//! Writes that die with the only replica that had them: told to those who have seen them, and to nobody else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{A, B, C, CUT_BOUND, Cluster, START_BOUND};
use crate::connection::Connection;
use crate::http::{Answer, reading, writing};
use crate::time::{now, within};

/// For the agreement that a life is over: a few heartbeats of all members.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn writes_that_died_with_a_cut_off_replica_are_503_until_it_is_back_and_then_lost_and_nobody_else_notices()
 {
    let Some(cluster) = Cluster::ready("lost") else {
        return;
    };
    let shared = cluster.put(A, "k", "shared", &Value::Null).metadata();
    for replica in [B, C] {
        cluster.await_value(replica, ("k", "shared"), &shared, (now(), CUT_BOUND));
    }
    let ports = [B, C].map(|replica| cluster.published(replica));
    let over = AtomicBool::new(false);
    let done = thread::scope(|scope| {
        // One stays with each of the others, and one goes from the one to the other.
        let bystanders = [("b", &ports[..1]), ("c", &ports[1..]), ("roaming", &ports)];
        let bystanders = bystanders.map(|(name, ports)| {
            let (shared, over) = (&shared, &over);
            scope.spawn(move || stand_by(name, ports, shared, over))
        });
        // They must end before a failure is passed on.
        let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lose_and_be_told(&cluster, &shared);
        }));
        over.store(true, Ordering::SeqCst);
        let done = bystanders.map(ScopedJoinHandle::join);
        story.unwrap_or_else(|failure| std::panic::resume_unwind(failure));
        done.map(|rounds| rounds.unwrap_or_else(|failure| std::panic::resume_unwind(failure)))
    });
    println!("rounds of five requests by those who had not seen the lost writes: {done:?}");
    assert!(done.iter().all(|rounds| *rounds > 0), "{done:?}");
}

fn lose_and_be_told(cluster: &Cluster, shared: &Value) {
    cluster.disconnect(A);
    cluster.await_views(&[B, C], now(), CUT_BOUND);
    let unseen = cluster.put(A, "k", "unseen", shared);
    assert_eq!(unseen.status, 200, "{unseen:?}");
    let unseen = cluster.put(A, "gone", "unseen", &unseen.metadata());
    assert_eq!(unseen.status, 201, "{unseen:?}");
    let unseen = unseen.metadata();
    let origin = await_refused(cluster, &unseen);

    cluster.kill(A);
    let still = await_refused(cluster, &unseen);
    assert_eq!(still, origin, "it may come back");

    // The address first, then the process: as if the machine had been switched off and on.
    cluster.reconnect(A);
    cluster.restart(A);
    let restarted = now();
    cluster.await_full_views(restarted, START_BOUND);
    let lost = json!({ &origin: [2, 3] });
    for replica in cluster.all() {
        let told = await_told(cluster, replica, &unseen);
        assert_eq!(told.value(), Some(&json!("shared")), "{told:?}");
        assert_eq!(told.body["lost"], lost, "{told:?}");
        println!(
            "replica {replica}: told {:?} after the start",
            now() - restarted
        );
        let after = told.metadata();
        assert!(!names(&after, &origin), "{after}");
        let again = cluster.get(replica, "k", &after);
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!(again.body["lost"], Value::Null, "told twice: {again:?}");
        let absent = cluster.get(replica, "gone", &unseen);
        assert_eq!(absent.status, 404, "{absent:?}");
        assert_eq!(absent.body["lost"], lost, "{absent:?}");
        assert!(!names(&absent.metadata(), &origin), "{absent:?}");
    }
    // What is written in that knowledge is as good as any other write.
    let written = cluster.put(A, "k", "after", &unseen);
    assert_eq!(written.status, 200, "{written:?}");
    assert_eq!(written.body["lost"], lost, "{written:?}");
    for replica in cluster.all() {
        let (value, metadata) = (("k", "after"), written.metadata());
        cluster.await_value(replica, value, &metadata, (now(), CUT_BOUND));
    }
}

/// Asserts that the others refuse whoever has seen the writes, and name what they lack: the origin of them.
fn await_refused(cluster: &Cluster, unseen: &Value) -> String {
    let refusals = [B, C].map(|replica| {
        let refusals = [
            cluster.get(replica, "k", unseen),
            cluster.get(replica, "gone", unseen),
            cluster.put(replica, "other", "refused", unseen),
            cluster.delete(replica, "k", unseen),
        ];
        for refusal in &refusals {
            assert!(refusal.is_unsatisfied(), "{refusal:?}");
            assert_eq!(refusal.body["missing"], refusals[0].body["missing"]);
        }
        refusals[0].body["missing"].clone()
    });
    assert_eq!(refusals[0], refusals[1]);
    let groups = refusals[0].as_object().expect("what is missing, by group");
    let group = groups.values().next().and_then(Value::as_object);
    let mut entries = group.into_iter().flatten();
    let (origin, counter) = entries.next().expect("an origin is named");
    assert_eq!(counter, 3, "{groups:?}");
    assert!(entries.next().is_none() && groups.len() == 1, "{groups:?}");
    origin.clone()
}

/// Polls until the replica serves whoever has seen the writes; before that it refuses, and nothing else.
fn await_told(cluster: &Cluster, replica: usize, unseen: &Value) -> Answer {
    let mut told = None;
    within(now(), PATIENCE, || {
        let answer = cluster.get(replica, "k", unseen);
        if answer.status == 503 {
            return Err(format!("replica {replica} answers {answer:?}"));
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        told = Some(answer);
        Ok(())
    });
    told.expect("it was told")
}

/// Whether metadata names an origin, whatever form it has.
fn names(metadata: &Value, origin: &str) -> bool {
    metadata.to_string().contains(origin)
}

/// Writes, reads and deletes at these replicas, one after the other, until it is over. Everything must go as if
/// nothing had happened; the number of rounds.
fn stand_by(name: &str, ports: &[String], shared: &Value, over: &AtomicBool) -> usize {
    let mut replicas: Vec<Connection> = ports.iter().map(|port| Connection::to(port)).collect();
    let mut known = shared.clone();
    let (own, mut round) = (format!("/kvs/{name}"), 0);
    while !over.load(Ordering::SeqCst) {
        let value = format!("{name} {round}");
        let steps = [
            ("PUT", own.as_str(), 201, None),
            ("GET", &own, 200, Some(&value)),
            ("DELETE", &own, 200, None),
            ("GET", &own, 404, None),
            ("GET", "/kvs/k", 200, None),
        ];
        for (step, (method, path, status, read)) in steps.into_iter().enumerate() {
            let body = match method {
                "PUT" => writing(&value, &known),
                _ => reading(&known),
            };
            let at = (round + step) % replicas.len();
            let answer = replicas[at].ask(method, path, &body);
            let expected = answer.status == status && answer.body["lost"].is_null();
            assert!(expected, "{name}: {method} {path} {body}: {answer:?}");
            if let Some(value) = read {
                assert_eq!(answer.value(), Some(&json!(value)), "{name}: {answer:?}");
            }
            known = answer.metadata();
        }
        round += 1;
    }
    round
}
