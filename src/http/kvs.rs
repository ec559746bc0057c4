//! `/kvs/<key>`: contract §2, in its order of checks.

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::answer::{Problem, json};
use super::body::ClientBody;
use super::forward::Forwarder;
use super::gateway::Gateway;
use crate::core::ended::Lost;
use crate::core::id::{Key, MapId};
use crate::core::metadata::Metadata;
use crate::core::wire::{KvsMethod, KvsRequest};
use crate::core::write::{Content, Value};
use crate::messages::causality::{Answer, Operation, Outcome};

/// Metadata longer than this goes into the body alone: many clients and proxies refuse more in a header.
const HEADER_MAX_BYTES: usize = 8 << 10;

pub(super) const HEADER: HeaderName = HeaderName::from_static("causal-metadata");

/// Answers one request, here or by whom it concerns.
pub(super) async fn answer(
    request: &HttpRequest,
    raw_key: &str,
    body: Bytes,
    forwarder: &Forwarder,
) -> Result<HttpResponse, Problem> {
    let metadata = request.headers().get_all(HEADER);
    let asked = |key| KvsRequest {
        method: method(request.method()),
        key,
        body,
        metadata: metadata
            .map(|value| Bytes::copy_from_slice(value.as_bytes()))
            .collect(),
        wait_ms: preferred_wait(request),
    };
    match key(raw_key) {
        Ok(key) => forwarder.route_kvs(asked(key)).await,
        // No shard has it, so what else is wrong with the request is found here.
        Err(problem) => {
            let asked = asked(Key::placeholder());
            perform(&asked, Some(problem), forwarder.gateway()).await
        }
    }
}

fn method(method: &Method) -> KvsMethod {
    match *method {
        Method::PUT => KvsMethod::Put,
        Method::DELETE => KvsMethod::Delete,
        _ => KvsMethod::Get,
    }
}

fn key(raw: &str) -> Result<Key, Problem> {
    let decoded = percent_decode_str(raw).decode_utf8();
    let decoded = decoded.map_err(|_| Problem::KeyNotUtf8)?;
    Key::new(&decoded).ok_or(Problem::KeyTooLong)
}

/// Answers a request whose key this replica keeps.
pub(super) async fn serve(
    request: &KvsRequest,
    gateway: &Gateway,
) -> Result<HttpResponse, Problem> {
    perform(request, None, gateway).await
}

/// `bad_key` is what is wrong with the key, if anything.
async fn perform(
    request: &KvsRequest,
    bad_key: Option<Problem>,
    gateway: &Gateway,
) -> Result<HttpResponse, Problem> {
    let no_object = |detail| match request.method {
        KvsMethod::Put => Problem::NoValue { detail },
        KvsMethod::Get | KvsMethod::Delete => Problem::NotAnObject { detail },
    };
    let body = ClientBody::parse(&request.body).map_err(no_object)?;
    let metadata = metadata_of(&body, &request.metadata)?;
    // What is wrong with the rest is reported after the check of the dependencies.
    let operation = operation(request, &body);
    let (operation, problem) = match (operation, bad_key) {
        (Err(problem), _) | (Ok(_), Some(problem)) => (Operation::Check, Some(problem)),
        (Ok(operation), None) => (operation, None),
    };
    let asked = gateway.client(operation, metadata.clone(), request.wait_ms);
    let answer = asked.await?;
    match problem {
        Some(problem) if matches!(answer.outcome, Outcome::Met) => Err(problem),
        _ => {
            // By the map that it was performed under, which may not be the present one any more.
            let domain = answer.settlement.domain();
            let shard = domain.filter(|domain| domain.map != MapId::IMPLICIT);
            let shard = shard.map(|domain| format!(r#","shard-id":"{}""#, domain.shard));
            let shard = shard.unwrap_or_default();
            respond(answer, metadata, !request.metadata.is_empty(), shard)
        }
    }
}

fn metadata_of(body: &ClientBody<'_>, headers: &[Bytes]) -> Result<Metadata, Problem> {
    let malformed = |detail: String| Problem::MalformedMetadata { detail };
    let parse = |text| Metadata::from_json(text).map_err(|error| malformed(error.to_string()));
    let mut metadata = body
        .metadata
        .map_or_else(|| Ok(Metadata::default()), |m| parse(m.get()))?;
    for header in headers {
        let text = std::str::from_utf8(header).map_err(|error| malformed(error.to_string()))?;
        metadata.merge(&parse(text)?);
    }
    Ok(metadata)
}

fn operation(request: &KvsRequest, body: &ClientBody<'_>) -> Result<Operation, Problem> {
    let key = request.key.clone();
    let raw = match (request.method, body.value) {
        (KvsMethod::Get, _) => return Ok(Operation::Get { key }),
        (KvsMethod::Delete, _) => return Ok(Operation::Delete { key }),
        (KvsMethod::Put, Some(raw)) => raw,
        (KvsMethod::Put, None) => {
            let detail = "the body has no member \"value\"".to_owned();
            return Err(Problem::NoValue { detail });
        }
    };
    let value = Value::new(raw.get()).ok_or_else(|| Problem::NoValue {
        detail: format!("the value is nested deeper than {}", Value::MAX_DEPTH),
    })?;
    Ok(Operation::Put { key, value })
}

/// The `wait` preference of RFC 7240 in milliseconds. One that is malformed is ignored, as that RFC has it.
fn preferred_wait(request: &HttpRequest) -> Option<u64> {
    let lines = request.headers().get_all("prefer");
    let texts = lines.filter_map(|line| line.to_str().ok());
    let preferences = texts.flat_map(|text| text.split(',')).map(str::trim);
    let waits = preferences.filter_map(|preference| {
        let (name, seconds) = preference.split(';').next()?.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait
            .then(|| seconds.trim().parse::<u64>().ok())
            .flatten()
    });
    // Of several, the first counts (RFC 7240, section 2).
    waits.map(|seconds| seconds.saturating_mul(1_000)).next()
}

/// `shard` is the member that names the key's shard, with its comma before it; nothing where there are no shards.
fn respond(
    answer: Answer,
    sent: Metadata,
    in_header: bool,
    shard: String,
) -> Result<HttpResponse, Problem> {
    let (metadata, lost) = answer.metadata(sent);
    let (metadata, lost) = (metadata.to_json(), lost_member(&lost));
    let (status, result, seen) = match answer.outcome {
        Outcome::Created(seen) => (StatusCode::CREATED, "created", seen),
        Outcome::Replaced(seen) => (StatusCode::OK, "replaced", seen),
        Outcome::Deleted(seen) => (StatusCode::OK, "deleted", seen),
        Outcome::Found(seen) => (StatusCode::OK, "found", seen),
        Outcome::Absent(_) | Outcome::Overtaken(_) => {
            return Ok(absent(&metadata, lost, shard, in_header));
        }
        Outcome::Refused(refusal) => return Err(Problem::Refused(refusal)),
        Outcome::Met => return Err(Problem::Gone),
    };
    let value = match (&seen.version.content, result) {
        (Content::Value(value), "found") => format!(r#","value":{}"#, value.json()),
        _ => String::new(),
    };
    let body =
        format!(r#"{{"result":"{result}"{value}{shard},"causal-metadata":{metadata}{lost}}}"#);
    let mut response = json(status, body);
    set_header(&mut response, &metadata, in_header);
    Ok(response)
}

/// The member `"lost"`, with its comma before it; nothing if nothing is lost.
fn lost_member(lost: &Lost) -> String {
    if lost.is_empty() {
        return String::new();
    }
    let ranges = lost.iter();
    let ranges: Vec<String> = ranges
        .map(|(origin, (from, to))| format!(r#""{origin}":[{from},{to}]"#))
        .collect();
    format!(r#","lost":{{{}}}"#, ranges.join(","))
}

fn absent(metadata: &str, lost: String, shard: String, in_header: bool) -> HttpResponse {
    let problem = Problem::NoSuchKey {
        metadata: metadata.to_owned(),
        lost,
        shard,
    };
    let mut response = problem.into_response();
    set_header(&mut response, metadata, in_header);
    response
}

fn set_header(response: &mut HttpResponse, metadata: &str, wanted: bool) {
    let fits = wanted && metadata.len() <= HEADER_MAX_BYTES;
    if let (true, Ok(value)) = (fits, HeaderValue::from_str(metadata)) {
        response.headers_mut().insert(HEADER, value);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_wait_preference_is_found_among_others_and_ignored_when_malformed() {
        let wait = |text: &str| {
            let request = TestRequest::default().insert_header(("prefer", text));
            preferred_wait(&request.to_http_request())
        };
        assert_eq!(wait("wait=5"), Some(5_000));
        assert_eq!(wait("respond-async, Wait = 2"), Some(2_000));
        assert_eq!(wait("wait=0"), Some(0));
        for text in ["wait", "wait=", "wait=-1", "wait=x", "handling=lenient"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }
}
