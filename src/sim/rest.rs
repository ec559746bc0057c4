//! What is judged once everything is as one: nobody says that there is more to come, and a write is everywhere at once.

use std::time::Duration;

use super::cluster::Cluster;
use super::run::Violation;
use crate::core::id::{Dot, Key};
use crate::core::metadata::Metadata;
use crate::core::write::Value;
use crate::messages::causality::{Operation, Outcome};

/// Longer than it takes every node to say to every other one how it is.
const REST: Duration = Duration::from_millis(600);

/// Within this a write is at every other node, on a fast network: no timer has a part in it (contract §3).
const AT_ONCE: Duration = Duration::from_millis(20);

/// The key that is written; no client uses it.
const KEY: &str = "at rest";

/// What is wrong with a cluster whose nodes agree, where nobody asks for anything and all links are steady.
pub(super) async fn judge(cluster: &Cluster) -> Vec<Violation> {
    tokio::time::sleep(REST).await;
    cluster.network.note_rest(REST);
    let mut violations = Vec::new();
    for node in 0..cluster.addresses.len() {
        if let Err((name, text)) = write_at(cluster, node).await {
            let name = name.to_owned();
            violations.push(Violation { name, text });
        }
    }
    violations
}

async fn write_at(cluster: &Cluster, node: usize) -> Result<(), (&'static str, String)> {
    let dot = write(cluster, node).await;
    let dot = dot.map_err(|why| ("write refused at rest", format!("n{node} answered {why}")))?;
    tokio::time::sleep(AT_ONCE).await;
    for other in 0..cluster.addresses.len() {
        let digest = cluster.digest(other).await;
        if digest.is_none_or(|digest| !digest.clock.covers(&dot)) {
            let ms = AT_ONCE.as_millis();
            let text = format!("n{other} did not have {dot}, a write of n{node}, after {ms} ms");
            return Err(("not pushed at once", text));
        }
    }
    Ok(())
}

async fn write(cluster: &Cluster, node: usize) -> Result<Dot, String> {
    let put = Key::new(KEY).zip(Value::new(&format!("\"n{node}\"")));
    let put = put.map(|(key, value)| Operation::Put { key, value });
    let (put, gateway) = put.zip(cluster.gateway(node)).ok_or("nothing")?;
    match gateway.request(put, Metadata::default(), None).await {
        Some(Outcome::Created(seen) | Outcome::Replaced(seen)) => Ok(seen.version.dot),
        other => Err(format!("{other:?}")),
    }
}
