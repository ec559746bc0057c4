//! `/view`: contract §3.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::answer::{Problem, json, json_text};
use super::body::ViewBody;
use super::gateway::Gateway;
use crate::core::id::Address;
use crate::messages::view::{AddOutcome, RemoveOutcome};

pub(super) async fn read(gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let view = gateway.view().await?;
    let texts: Vec<String> = view.iter().map(|a| json_text(&a.to_string())).collect();
    let body = format!(r#"{{"view":[{}]}}"#, texts.join(","));
    Ok(json(StatusCode::OK, body))
}

pub(super) async fn add(body: &[u8], gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let (address, _) = parse(body)?;
    let (status, result) = match gateway.add_replica(address).await? {
        AddOutcome::Added => (StatusCode::CREATED, "added"),
        AddOutcome::AlreadyPresent => (StatusCode::OK, "already present"),
        AddOutcome::TooMany => return Err(Problem::ViewIsFull),
    };
    Ok(json(status, format!(r#"{{"result":"{result}"}}"#)))
}

pub(super) async fn remove(body: &[u8], gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let (address, forget) = parse(body)?;
    if forget {
        // To remove without forgetting would be to do less than was asked, in silence.
        return Err(Problem::CannotForget);
    }
    match gateway.remove_replica(address).await? {
        RemoveOutcome::Removed => Ok(json(StatusCode::OK, r#"{"result":"deleted"}"#.to_owned())),
        RemoveOutcome::NotInView => Err(Problem::NotInView),
    }
}

fn parse(body: &[u8]) -> Result<(Address, bool), Problem> {
    let body = ViewBody::parse(body).map_err(|_| Problem::BadAddress)?;
    let text = body
        .address
        .and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let address = text.and_then(|text| text.parse().ok());
    let forget = body.forget.is_some_and(|raw| raw.get() == "true");
    Ok((address.ok_or(Problem::BadAddress)?, forget))
}
