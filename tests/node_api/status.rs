//! GET `/shard/status`, ours.

use serde_json::{Value, json};

use crate::support::waiting::PATIENCE;
use crate::support::{Cluster, Replica, Request, V, eventually, until};

fn status(replica: &Replica) -> Value {
    replica.fetch("/shard/status").expect(200).json()
}

#[test]
fn the_status_says_that_all_is_settled_and_by_which_map() {
    let cluster = Cluster::with_settings(4, &[("shard-count", "2")]);
    cluster[0].put("k", "1", &V::none()).expect(201);
    let reshard = Request::new("PUT", "/shard/reshard").body(r#"{"shard-count":1}"#);
    cluster[1].ask(&reshard).expect(200);
    let is_done = |node: &Value| {
        let waits_for_nobody = node["waits-for"] == json!([]);
        node["shard-id"] == "s0" && node["holds-older-data"] == false && waits_for_nobody
    };
    for replica in cluster.iter() {
        // What it says of others it has heard from them.
        let status = eventually(PATIENCE, "all is closed", || {
            let status = status(replica);
            let nodes = status["nodes"].as_array().unwrap();
            let closed = status["settled"] == true && status["older-maps-closed"] == true;
            if closed && nodes.len() == 4 && nodes.iter().all(is_done) {
                Ok(status)
            } else {
                Err(status)
            }
        });
        assert_eq!(status["shard-count"], 1);
        assert_eq!(status["map"], status["dealt-by"]);
        let hand_overs = &status["this-node"]["hand-overs"];
        let hand_overs = hand_overs.as_array().unwrap();
        assert_eq!(hand_overs.len(), 3, "of each other node");
        let done = |it: &Value| it["state"] == "done" && it["keys-left"].is_null();
        assert!(hand_overs.iter().all(done), "{status}");
    }
}

#[test]
fn the_status_names_who_is_waited_for() {
    let mut cluster = Cluster::with_settings(5, &[("shard-count", "2")]);
    cluster[0].put("k", "1", &V::none()).expect(201);
    let away = cluster[4].name();
    cluster[4].kill();
    until(PATIENCE, "it is out of the views", || {
        (0..4).all(|n| !cluster[n].view().contains(&away))
    });
    let reshard = Request::new("PUT", "/shard/reshard").body(r#"{"shard-count":2}"#);
    cluster[0].ask(&reshard).expect(200);
    eventually(PATIENCE, "all keepers wait for it alone", || {
        let now = status(&cluster[0]);
        assert_eq!(now["older-maps-closed"], false, "{now}");
        let nodes = now["nodes"].as_array().unwrap();
        let mut keepers = nodes.iter().filter(|node| node["up"] == true);
        let wait = keepers.all(|keeper| keeper["waits-for"] == json!([away]));
        let hand_overs = now["this-node"]["hand-overs"].as_array().unwrap();
        let due = hand_overs.iter().filter(|it| it["state"] == "due");
        let due: Vec<&Value> = due.map(|it| &it["from"]).collect();
        let wait = wait && due == [&json!(away)];
        if wait { Ok(()) } else { Err(now) }
    });
    cluster[4].restart();
    cluster[4].await_ready();
    eventually(PATIENCE, "nobody is waited for", || {
        let now = status(&cluster[0]);
        if now["older-maps-closed"] == true {
            Ok(())
        } else {
            Err(now)
        }
    });
}
