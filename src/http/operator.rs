//! For operators, probes and tools: contract §5.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};

use super::answer::{Problem, json};
use super::gateway::Gateway;
use crate::core::wire::Status;
use crate::messages::causality::Refusal;

/// The process lives.
pub(super) fn health() -> HttpResponse {
    json(StatusCode::OK, r#"{"status":"up"}"#.to_owned())
}

/// Clients are answered.
pub(super) async fn ready(gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let refusal = match gateway.status().await? {
        Status::Serving => {
            return Ok(json(StatusCode::OK, r#"{"status":"ready"}"#.to_owned()));
        }
        Status::Starting => Refusal::Starting,
        Status::Removed => Refusal::Removed,
        Status::Stopping => Refusal::Stopping,
    };
    Err(Problem::Refused(refusal))
}

/// Everything that is counted.
pub(super) fn metrics(gateway: &Gateway) -> HttpResponse {
    let mut response = HttpResponse::Ok().body(gateway.metrics_text());
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, format);
    response
}

/// What this replica has, to compare replicas by.
pub(super) async fn digest(gateway: &Gateway) -> Result<HttpResponse, Problem> {
    let report = gateway.digest().await?;
    let entries = report.covered.clock().iter();
    let clock: Vec<String> = entries.map(|(o, n)| format!(r#""{o}":{n}"#)).collect();
    let floors = report.covered.floors().iter();
    let floors: Vec<String> = floors.map(|(a, i)| format!(r#""{a}":"{i}""#)).collect();
    let sizes = report.summary;
    let body = format!(
        r#"{{"domain":"{}","clock":{{{}}},"floors":{{{}}},"hash":"{:016x}","keys":{},"tombstones":{},"bytes":{}}}"#,
        report.domain,
        clock.join(","),
        floors.join(","),
        sizes.hash,
        sizes.keys,
        sizes.tombstones,
        sizes.bytes
    );
    Ok(json(StatusCode::OK, body))
}
