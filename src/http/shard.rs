//! `/shard/*`: contract §4.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::value::RawValue;

use super::answer::{Problem, json, json_list, json_text};
use super::body::ReshardBody;
use super::forward::Forwarder;
use super::gateway::Gateway;
use super::view;
use crate::core::id::{Address, MapId, ShardId};
use crate::core::inheritance::NodeStanding;
use crate::messages::causality::{Dealt, HandOverReport, Refusal};
use crate::messages::view::{MapChange, MapOutcome};

/// How often an added member may turn out not to be one, since another map was made at the same time, before the client is told to
/// try again.
const TRIES_MAX: u32 = 8;

pub(super) fn ids(gateway: &Gateway) -> HttpResponse {
    let ids = json_list(gateway.topology().map.shards());
    json(StatusCode::OK, format!(r#"{{"shard-ids":{ids}}}"#))
}

pub(super) fn of_this_node(gateway: &Gateway) -> HttpResponse {
    let topology = gateway.topology();
    let shard = topology.map.shard_of_node(topology.own);
    let shard = shard.map_or_else(|| "null".to_owned(), |id| json_text(&id.to_string()));
    json(StatusCode::OK, format!(r#"{{"node-shard-id":{shard}}}"#))
}

pub(super) fn members(id: &str, gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let members = gateway.topology().members(named(id)?);
    let members = json_list(members.ok_or(Problem::NoSuchShard)?);
    let body = format!(r#"{{"shard-members":{members}}}"#);
    Ok(json(StatusCode::OK, body))
}

pub(super) async fn key_count(id: &str, forwarder: &Forwarder) -> Result<HttpResponse, Problem> {
    let shard = named(id)?;
    if !forwarder.gateway().topology().map.has(shard) {
        return Err(Problem::NoSuchShard);
    }
    let keys = forwarder.key_count(shard).await?;
    let body = format!(r#"{{"shard-key-count":{keys}}}"#);
    Ok(json(StatusCode::OK, body))
}

pub(super) async fn add_member(
    id: &str,
    body: &[u8],
    gateway: &Gateway,
) -> Result<HttpResponse, Problem> {
    let node = view::named(body)?;
    done(add(node, named(id)?, gateway).await?)?;
    let body = r#"{"result":"node added to shard"}"#;
    Ok(json(StatusCode::OK, body))
}

/// Returns once every node in the view goes by a map by which it is so, or with the reason why it is not. Of maps that are made at the
/// same time one holds: so afterwards it is asked for again, on top of that one.
pub(super) async fn add(
    node: Address,
    shard: ShardId,
    gateway: &Gateway,
) -> Result<MapOutcome, Problem> {
    let change = MapChange::AddMember { node, shard };
    for _ in 0..TRIES_MAX {
        match gateway.change_map(change).await? {
            MapOutcome::Made(map) => gateway.await_map(map).await?,
            there @ MapOutcome::AlreadyThere(map) => {
                gateway.await_map(map).await?;
                return Ok(there);
            }
            refused => return Ok(refused),
        }
    }
    Err(Problem::OVERLOADED)
}

pub(super) async fn reshard(body: &[u8], gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let shards = shard_count(body)?;
    done(deal(shards, gateway).await?)?;
    Ok(json(StatusCode::OK, r#"{"result":"resharded"}"#))
}

/// What is left to be done after keys were dealt anew, as this node knows it.
pub(super) async fn status(gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let report = gateway.hand_overs().await?;
    let topology = gateway.topology();
    let standing = &report.standing;
    let text = |id: Option<MapId>| id.map(|id| id.to_string());
    let node = |node: &NodeStanding| {
        let shard = topology.map.shard_of_node(node.node);
        serde_json::json!({
            "socket-address": node.node.to_string(),
            "up": node.up,
            "shard-id": shard.map(|shard| shard.to_string()),
            "dealt-by": text(node.since),
            "holds-older-data": node.holds,
            "waits-for": node.waits_for.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    let status = serde_json::json!({
        "map": topology.map.id().to_string(),
        "dealt-by": standing.since.to_string(),
        "shard-count": standing.shards,
        "settled": standing.settled,
        "older-maps-closed": standing.closed,
        "nodes": standing.nodes.iter().map(node).collect::<Vec<_>>(),
        "this-node": {
            "socket-address": topology.own.to_string(),
            "dealt-ms-ago": report.age_ms,
            "keys-held-for-others": gateway.metrics().keys_frozen.get(),
            "hand-overs": hand_overs(topology.own, &report),
        },
    });
    Ok(json(StatusCode::OK, status.to_string()))
}

/// What each other node has handed over to this one, if this one keeps a shard.
fn hand_overs(own: Address, report: &HandOverReport) -> Vec<serde_json::Value> {
    let nodes = &report.standing.nodes;
    let mut this = nodes.iter().filter(|node| node.node == own && node.keeps);
    let Some(this) = this.next() else {
        return Vec::new();
    };
    let hand_over = |from: Address| {
        let taken = report.taken.iter().find(|(node, _)| *node == from);
        let taken = taken.map_or(0, |(_, keys)| *keys);
        let running = report.taking_over.filter(|it| it.from == from);
        let state = match running {
            Some(_) => "running",
            None if this.waits_for.contains(&from) => "due",
            None => "done",
        };
        serde_json::json!({
            "from": from.to_string(),
            "state": state,
            "for-ms": running.map(|it| report.now - it.began),
            "keys-moved": taken + running.map_or(0, |it| it.progress.arrived),
            "keys-left": running.map(|it| it.progress.left),
        })
    };
    let others = nodes.iter().map(|node| node.node);
    others.filter(|node| *node != own).map(hand_over).collect()
}

/// Returns once the nodes in the view have settled under a map with so many shards, or with the reason why they will not. Of maps that are
/// asked for at the same time one holds; if by that there are as many shards, it is that which was asked for.
pub(super) async fn deal(shards: usize, gateway: &Gateway) -> Result<MapOutcome, Problem> {
    let change = MapChange::Deal { shards };
    let mut map = match gateway.change_map(change).await? {
        MapOutcome::Made(map) => map,
        refused => return Ok(refused),
    };
    loop {
        gateway.await_map(map).await?;
        match gateway.dealt(map).await? {
            Dealt::Done => return Ok(MapOutcome::Made(map)),
            Dealt::Overloaded => return Err(Problem::OVERLOADED),
            Dealt::Superseded => {}
        }
        let deal = gateway.topology().map.deal();
        if usize::try_from(deal.shards) != Ok(shards) || deal.since <= map {
            return Err(Problem::Superseded);
        }
        map = deal.since;
    }
}

fn shard_count(body: &[u8]) -> Result<usize, Problem> {
    let body = ReshardBody::parse(body).map_err(|_| Problem::BadShardCount)?;
    let text = body.count.map_or("", RawValue::get);
    let whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // One that is too large to count with is too large for the nodes that there are.
    let count = text.parse().unwrap_or(usize::MAX);
    (whole && count > 0)
        .then_some(count)
        .ok_or(Problem::BadShardCount)
}

/// The map by which it is as it was asked for.
fn done(outcome: MapOutcome) -> Result<MapId, Problem> {
    match outcome {
        MapOutcome::Made(map) | MapOutcome::AlreadyThere(map) => Ok(map),
        MapOutcome::NoSuchShard => Err(Problem::NoSuchShard),
        MapOutcome::NotInView => Err(Problem::NotInView),
        MapOutcome::InAnotherShard => Err(Problem::InAnotherShard),
        MapOutcome::TooFewNodes => Err(Problem::TooFewNodes),
        MapOutcome::NoSay => Err(Problem::Refused(Refusal::Removed)),
    }
}

fn named(id: &str) -> Result<ShardId, Problem> {
    id.parse().map_err(|_| Problem::NoSuchShard)
}
