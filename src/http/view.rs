//! `/view`: contract §3.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::value::RawValue;

use super::answer::{Problem, json, json_list};
use super::body::ViewBody;
use super::gateway::Gateway;
use crate::core::id::Address;
use crate::messages::view::{AddOutcome, RemoveOutcome};

pub(super) async fn read(gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let view = gateway.view().await?;
    let body = format!(r#"{{"view":{}}}"#, json_list(view));
    Ok(json(StatusCode::OK, body))
}

pub(super) async fn add(body: &[u8], gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let address = named(body)?;
    let (status, result) = match gateway.add_replica(address).await? {
        AddOutcome::Added => (StatusCode::CREATED, "added"),
        AddOutcome::AlreadyPresent => (StatusCode::OK, "already present"),
        AddOutcome::TooMany => return Err(Problem::ViewIsFull),
    };
    Ok(json(status, format!(r#"{{"result":"{result}"}}"#)))
}

pub(super) async fn remove(body: &[u8], gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let body = parse(body)?;
    let (address, forget) = (address(&body)?, forget(&body)?);
    let result = match gateway.remove_replica(address, forget).await? {
        RemoveOutcome::Removed => "deleted",
        RemoveOutcome::Forgotten => "forgotten",
        RemoveOutcome::NotInView => return Err(Problem::NotInView),
        RemoveOutcome::NoSay => return Err(Problem::NoSay),
    };
    Ok(json(StatusCode::OK, format!(r#"{{"result":"{result}"}}"#)))
}

/// The replica that a body names.
pub(super) fn named(body: &[u8]) -> Result<Address, Problem> {
    address(&parse(body)?)
}

fn parse(body: &[u8]) -> Result<ViewBody<'_>, Problem> {
    ViewBody::parse(body).map_err(|_| Problem::BadAddress)
}

fn address(body: &ViewBody<'_>) -> Result<Address, Problem> {
    let text = body
        .address
        .and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let address = text.and_then(|text| text.parse().ok());
    address.ok_or(Problem::BadAddress)
}

/// Strictly: whoever writes `"true"` or `1` must not get less, or more, than was meant.
fn forget(body: &ViewBody<'_>) -> Result<bool, Problem> {
    match body.forget.map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::BadForget),
    }
}
