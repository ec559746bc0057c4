//! §2: what clients see who roam between replicas, and what replicas agree on.

use std::thread;

use crate::support::waiting::PATIENCE;
use crate::support::{Cluster, Replica, V, eventually, until};

/// Rounds of a test that looks for a race.
const ROUNDS: usize = 50;

#[test]
fn a_client_reads_its_own_writes_at_every_replica() {
    let cluster = Cluster::of(3);
    let mut v = V::none();
    for round in 0..ROUNDS {
        let value = round.to_string();
        v = cluster[round % 3].ask_waiting_put("k", &value, &v);
        let found = cluster[(round + 1) % 3].get_waiting("k", &v).expect(200);
        assert_eq!(found.member("value").unwrap(), value);
        v = found.v();
    }
}

#[test]
fn a_client_never_reads_backwards() {
    let cluster = Cluster::of(2);
    let mut written = V::none();
    let mut seen: (usize, V) = (0, V::none());
    for round in 0..ROUNDS {
        written = cluster[0].put("k", &round.to_string(), &written).v();
        let found = cluster[(round + 1) % 2]
            .get_waiting("k", &seen.1)
            .having(200);
        // The other replica may not have the key yet, in the first round only.
        let Ok(found) = found else {
            assert_eq!(round, 0);
            continue;
        };
        let value = found.member("value").unwrap().parse().unwrap();
        assert!(value >= seen.0, "{value} after {seen:?}");
        seen = (value, found.v());
    }
}

#[test]
fn who_sees_the_answer_can_see_the_question() {
    let cluster = Cluster::of(3);
    for round in 0..ROUNDS {
        let (question, answer) = (format!("q{round}"), format!("a{round}"));
        let asked = cluster[0]
            .put(&question, "\"?\"", &V::none())
            .expect(201)
            .v();
        let read = cluster[1].get_waiting(&question, &asked).expect(200).v();
        cluster[1].put(&answer, "\"!\"", &read).expect(201);
        // A reader without any metadata polls for the answer where both arrive over different links.
        let found = eventually(PATIENCE, "the answer arrives", || {
            cluster[2].get(&answer, &V::none()).having(200)
        });
        cluster[2]
            .get(&question, &found.v())
            .expect_result(200, "found");
        cluster[2]
            .get(&question, &V::none())
            .expect_result(200, "found");
    }
}

#[test]
fn a_later_write_wins_over_what_its_client_had_read() {
    let cluster = Cluster::of(2);
    for round in 0..ROUNDS {
        let key = format!("k{round}");
        let first = cluster[0].put(&key, "1", &V::none()).expect(201).v();
        let second = cluster[1].ask_waiting_put(&key, "2", &first);
        let found = cluster[0].get_waiting(&key, &second).expect(200);
        assert_eq!(found.member("value").unwrap(), "2");
    }
    cluster.await_agreement(PATIENCE);
}

#[test]
fn a_delete_elsewhere_is_never_undone_by_what_it_deleted() {
    let cluster = Cluster::of(2);
    for round in 0..ROUNDS {
        let key = format!("k{round}");
        let put = cluster[0].put(&key, "1", &V::none()).expect(201).v();
        cluster[1].get_waiting(&key, &put).expect(200);
        let deleted = cluster[1]
            .delete(&key, &put)
            .expect_result(200, "deleted")
            .v();
        let answer = cluster[0].get_waiting(&key, &deleted);
        let v = answer.expect_error(404, "Key does not exist").v();
        assert!(v.covers(&deleted), "{v:?} {deleted:?}");
    }
    cluster.await_agreement(PATIENCE);
    let left: u64 = (0..ROUNDS)
        .map(|round| u64::from(cluster[1].get(&format!("k{round}"), &V::none()).status != 404))
        .sum();
    assert_eq!(left, 0);
}

#[test]
fn what_a_404_tells_is_not_forgotten_at_another_replica() {
    let cluster = Cluster::of(2);
    let put = cluster[0].put("k", "1", &V::none()).expect(201).v();
    cluster[1].get_waiting("k", &put).expect(200);
    cluster[0].delete("k", &put).expect(200);
    let told = cluster[0].get("k", &V::none()).expect(404).v();
    cluster[1]
        .get_waiting("k", &told)
        .expect_error(404, "Key does not exist");
}

#[test]
fn concurrent_writes_to_one_key_end_in_the_same_value_everywhere() {
    let cluster = Cluster::of(3);
    for round in 0..ROUNDS {
        let key = format!("k{round}");
        thread::scope(|scope| {
            for (i, replica) in cluster.iter().enumerate() {
                let key = &key;
                scope.spawn(move || {
                    let status = replica.put(key, &i.to_string(), &V::none()).status;
                    assert!([200, 201].contains(&status));
                });
            }
        });
    }
    cluster.await_agreement(PATIENCE);
    for round in 0..ROUNDS {
        let read = |replica: &Replica| {
            let found = replica.get(&format!("k{round}"), &V::none()).expect(200);
            found.member("value").unwrap()
        };
        let values: Vec<String> = cluster.iter().map(read).collect();
        assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
        assert!(["0", "1", "2"].contains(&values[0].as_str()), "{values:?}");
    }
}

#[test]
fn concurrent_puts_and_deletes_end_alike_everywhere() {
    let cluster = Cluster::of(2);
    for round in 0..ROUNDS {
        let key = format!("k{round}");
        let put = cluster[0].put(&key, "1", &V::none()).expect(201).v();
        cluster[1].get_waiting(&key, &put).expect(200);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Created, if the delete has got here first.
                let status = cluster[0].put(&key, "2", &put).status;
                assert!([200, 201].contains(&status));
            });
            scope.spawn(|| {
                let status = cluster[1].delete(&key, &put).status;
                assert_eq!(status, 200);
            });
        });
    }
    cluster.await_agreement(PATIENCE);
}

#[test]
fn a_client_that_keeps_only_the_newest_metadata_loses_nothing() {
    let cluster = Cluster::of(3);
    let mut v = V::none();
    for round in 0..ROUNDS {
        v = cluster[round % 3].ask_waiting_put(&format!("k{round}"), "1", &v);
    }
    for replica in cluster.iter() {
        for round in 0..ROUNDS {
            let key = format!("k{round}");
            replica.get_waiting(&key, &v).expect_result(200, "found");
        }
    }
}

#[test]
fn a_write_is_answered_without_waiting_for_replicas_that_do_not_answer() {
    let cluster = Cluster::of(3);
    cluster[1].freeze();
    cluster[2].freeze();
    let v = cluster[0]
        .put("k", "1", &V::none())
        .expect_result(201, "created")
        .v();
    let v = cluster[0]
        .put("k", "2", &v)
        .expect_result(200, "replaced")
        .v();
    let v = cluster[0].delete("k", &v).expect_result(200, "deleted").v();
    // They still count as up, so nobody had noticed anything when the writes were answered.
    assert_eq!(cluster[0].view(), cluster.names());
    cluster[1].thaw();
    cluster[2].thaw();
    cluster[1]
        .get_waiting("k", &v)
        .expect_error(404, "Key does not exist");
}

#[test]
fn the_last_replica_alive_takes_writes() {
    let mut cluster = Cluster::of(3);
    let v = cluster[1].put("before", "1", &V::none()).expect(201).v();
    cluster[0].get_waiting("before", &v).expect(200);
    cluster[1].kill();
    cluster[2].kill();
    let v = cluster[0]
        .put("at-once", "1", &v)
        .expect_result(201, "created")
        .v();
    until(PATIENCE, "it is alone", || {
        cluster[0].view() == cluster.names_of(&[0])
    });
    let v = cluster[0]
        .put("alone", "1", &v)
        .expect_result(201, "created")
        .v();
    cluster[0].get("before", &v).expect_result(200, "found");
    cluster[0].delete("alone", &v).expect_result(200, "deleted");
}

impl Replica {
    /// PUT that waits for what `v` depends on; the metadata of its answer.
    #[track_caller]
    fn ask_waiting_put(&self, key: &str, value: &str, v: &V) -> V {
        let request = crate::support::replica::put(key, value, v).header("Prefer", "wait=15");
        let answer = self.ask(&request);
        assert!([200, 201].contains(&answer.status), "{answer:?}");
        answer.v()
    }
}
