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
use crate::messages::causality::Refusal;
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
    let change = MapChange::Deal { shards };
    let map = done(gateway.change_map(change).await?)?;
    gateway.await_map(map).await?;
    // Here the hand-over of data is to be waited for.
    Ok(json(StatusCode::OK, r#"{"result":"resharded"}"#))
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
