//! What is judged once everything is as one: nobody says that there is more to come, a write is everywhere at once, and
//! where its maker cannot bring it others do.

use std::time::Duration;

use tokio::time::Instant;

use super::cluster::Cluster;
use super::run::Violation;
use crate::core::id::{Dot, Key};
use crate::core::metadata::Metadata;
use crate::core::write::Value;
use crate::http::gateway::Gateway;
use crate::messages::causality::{Operation, Outcome};

/// Longer than it takes every node to say to every other one how it is.
const REST: Duration = Duration::from_millis(600);

/// Within this a write is at every other node, on a fast network: no timer has a part in it (contract §3).
const AT_ONCE: Duration = Duration::from_millis(20);

/// Within this a write is at a node that its maker cannot reach: others say in their heartbeats that they have it, and
/// a lack that lasts for another one is fetched (design §4). Before that a join may have to be given up that was just asked of
/// the maker, which takes 2 s, or a difference let go that somebody has not read to its end, which takes 3 s.
const BY_OTHERS: Duration = Duration::from_millis(4_500);

/// What the key begins with that is written; no client uses such a one.
const KEY: &str = "at rest";

/// What is wrong with a cluster whose nodes agree, where nobody asks for anything and all links are steady.
pub(super) async fn judge(cluster: &Cluster) -> Vec<Violation> {
    tokio::time::sleep(REST).await;
    cluster.network.note_rest(REST);
    let mut violations = Vec::new();
    let mut note = |result: Result<(), (&str, String)>| {
        if let Err((name, text)) = result {
            let name = name.to_owned();
            violations.push(Violation { name, text });
        }
    };
    for (_, members) in cluster.shards() {
        for node in &members {
            note(is_pushed(cluster, *node, &members).await);
        }
        // Of two there is no third to bring it.
        if let [first, _, .., last] = members[..] {
            let (one, other) = (cluster.addresses[first], cluster.addresses[last]);
            cluster.network.cut(one, other);
            cluster.network.cut(other, one);
            note(is_relayed(cluster, first, last).await);
        }
    }
    violations
}

async fn is_pushed(
    cluster: &Cluster,
    node: usize,
    members: &[usize],
) -> Result<(), (&'static str, String)> {
    let dot = write(cluster, node).await?;
    tokio::time::sleep(AT_ONCE).await;
    for other in members {
        if !has(cluster, *other, &dot).await {
            let ms = AT_ONCE.as_millis();
            let text = format!("n{other} did not have {dot}, a write of n{node}, after {ms} ms");
            return Err(("not pushed at once", text));
        }
    }
    Ok(())
}

/// A write of the one node, from which nothing gets to the other.
async fn is_relayed(
    cluster: &Cluster,
    maker: usize,
    other: usize,
) -> Result<(), (&'static str, String)> {
    let dot = write(cluster, maker).await?;
    let began = Instant::now();
    while !has(cluster, other, &dot).await {
        if began.elapsed() > BY_OTHERS {
            let ms = BY_OTHERS.as_millis();
            let text =
                format!("n{other} did not have {dot} from others than n{maker} after {ms} ms");
            return Err(("not relayed", text));
        }
        tokio::time::sleep(AT_ONCE).await;
    }
    Ok(())
}

async fn has(cluster: &Cluster, node: usize, dot: &Dot) -> bool {
    let digest = cluster.digest(node).await;
    digest.is_some_and(|digest| digest.covered.covers(dot))
}

async fn write(cluster: &Cluster, node: usize) -> Result<Dot, (&'static str, String)> {
    let refused = |answer: String| {
        (
            "write refused at rest",
            format!("n{node} answered {answer}"),
        )
    };
    let gateway = cluster.gateway(node);
    let topology = gateway.as_ref().map(Gateway::topology);
    // One that the node keeps.
    let keys = (0..).map_while(|n| Key::new(&format!("{KEY} {n}")));
    let key = topology.and_then(|topology| {
        let mut own = keys.filter(|key| topology.is_own(topology.map.shard_of(key)));
        own.next()
    });
    let put = key.zip(Value::new(&format!("\"n{node}\"")));
    let put = put.map(|(key, value)| Operation::Put { key, value });
    let asked = put.zip(gateway);
    let (put, gateway) = asked.ok_or_else(|| refused("nothing".to_owned()))?;
    let answer = gateway.request(put, Metadata::default(), None).await;
    match answer.map(|answer| answer.outcome) {
        Some(Outcome::Created(seen) | Outcome::Replaced(seen)) => Ok(seen.version.dot),
        other => Err(refused(format!("{other:?}"))),
    }
}
