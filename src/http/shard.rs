//! `/shard/*`: contract §4.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::answer::{Problem, json, json_list, json_text};
use super::forward::Forwarder;
use super::gateway::Gateway;
use crate::core::id::ShardId;

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

fn named(id: &str) -> Result<ShardId, Problem> {
    id.parse().map_err(|_| Problem::NoSuchShard)
}
