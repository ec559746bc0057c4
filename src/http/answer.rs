//! Every answer that is not the one asked for: its status and its JSON body, exactly as the contract
//! has them.

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};

use crate::core::metadata::clocks_to_json;
use crate::messages::causality::Refusal;

/// A request that was not done. In every case nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("No such route")]
    NoSuchRoute,
    #[error("Method not allowed")]
    MethodNotAllowed,
    #[error("Request body is not a JSON object")]
    NotAnObject { detail: String },
    #[error("causal-metadata is malformed")]
    MalformedMetadata { detail: String },
    #[error("PUT request does not specify a value")]
    NoValue { detail: String },
    #[error("Key is too long")]
    KeyTooLong,
    #[error("Key is not valid UTF-8")]
    KeyNotUtf8,
    /// With the metadata that covers the delete which this reports, and the members that name what is lost and the shard.
    #[error("Key does not exist")]
    NoSuchKey {
        metadata: String,
        lost: String,
        shard: String,
    },
    #[error("Value is too large")]
    TooLarge { limit: usize },
    #[error("Request body did not arrive in time")]
    TooSlow,
    #[error("Request body broke off")]
    BrokenOff { detail: String },
    #[error("socket-address is missing or malformed")]
    BadAddress,
    #[error("View has no such replica")]
    NotInView,
    #[error("View has as many replicas as it may have")]
    ViewIsFull,
    #[error("forget is malformed")]
    BadForget,
    #[error("Replica was itself forgotten; try again later")]
    NoSay,
    #[error("No such shard")]
    NoSuchShard,
    #[error("Node is in another shard")]
    InAnotherShard,
    #[error("shard-count is missing or malformed")]
    BadShardCount,
    #[error("Not enough nodes to provide fault tolerance with requested shard count")]
    TooFewNodes,
    /// Nobody who keeps the key's shard has answered, or nobody knows whether a write was done.
    #[error("Cannot forward request")]
    CannotForward { unknown: bool },
    #[error("Peer message is not understood")]
    BadPeerMessage { detail: String },
    #[error("Replica is stopping or has failed")]
    Gone,
    #[error("{}", refusal_text(.0))]
    Refused(Refusal),
}

fn refusal_text(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Unmet { .. } => "Causal dependencies not satisfied; try again later",
        Refusal::Starting => "Replica is starting",
        Refusal::Removed => "Replica was removed from the view",
        Refusal::Stopping => "Replica is shutting down",
        Refusal::ClockSkew { .. } => {
            "Clock skew: the metadata's stamp is too far ahead of this replica's clock"
        }
        Refusal::StoreFull => "Store is full",
        Refusal::Overloaded => "Overloaded; try again later",
    }
}

impl Problem {
    pub(super) const OVERLOADED: Self = Self::Refused(Refusal::Overloaded);

    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchRoute | Self::NoSuchKey { .. } | Self::NotInView | Self::NoSuchShard => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAnObject { .. }
            | Self::MalformedMetadata { .. }
            | Self::NoValue { .. }
            | Self::KeyTooLong
            | Self::KeyNotUtf8
            | Self::BrokenOff { .. }
            | Self::BadAddress
            | Self::BadForget
            | Self::InAnotherShard
            | Self::BadShardCount
            | Self::TooFewNodes
            | Self::BadPeerMessage { .. } => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Refused(Refusal::StoreFull) => StatusCode::INSUFFICIENT_STORAGE,
            Self::ViewIsFull
            | Self::NoSay
            | Self::Gone
            | Self::CannotForward { .. }
            | Self::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Further members of the body, each with its comma before it.
    fn members(&self) -> String {
        match self {
            Self::NotAnObject { detail }
            | Self::MalformedMetadata { detail }
            | Self::NoValue { detail }
            | Self::BrokenOff { detail }
            | Self::BadPeerMessage { detail } => format!(r#","detail":{}"#, json_text(detail)),
            Self::NoSuchKey {
                metadata,
                lost,
                shard,
            } => {
                format!(r#"{shard},"causal-metadata":{metadata}{lost}"#)
            }
            Self::CannotForward { unknown: true } => {
                r#","detail":"a node that was asked has not answered; the write may have been done""#
                    .to_owned()
            }
            Self::TooLarge { limit } => format!(r#","limit-bytes":{limit}"#),
            Self::Refused(Refusal::Unmet { missing }) => {
                format!(r#","missing":{}"#, clocks_to_json(missing))
            }
            Self::Refused(Refusal::ClockSkew { ahead_ms }) => format!(r#","ahead-ms":{ahead_ms}"#),
            _ => String::new(),
        }
    }

    /// Whether the rest of the request was left unread, so that the connection cannot go on.
    fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::TooLarge { .. }
                | Self::TooSlow
                | Self::BrokenOff { .. }
                | Self::Refused(Refusal::Overloaded)
        )
    }

    pub(super) fn into_response(self) -> HttpResponse {
        let body = format!(
            r#"{{"error":{}{}}}"#,
            json_text(&self.to_string()),
            self.members()
        );
        let mut response = json(self.status(), body);
        let headers = response.headers_mut();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.ends_connection() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A JSON answer from its text.
pub(super) fn json(status: StatusCode, body: impl MessageBody + 'static) -> HttpResponse {
    let mut response = HttpResponse::with_body(status, BoxBody::new(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// These as a JSON array of strings.
pub(super) fn json_list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let texts = items.into_iter().map(|item| json_text(&item.to_string()));
    format!("[{}]", texts.collect::<Vec<_>>().join(","))
}

/// A text as a JSON string.
pub(super) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
