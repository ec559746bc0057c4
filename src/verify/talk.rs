//! The client's side of contract §2: one request, and what is known afterwards.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use awc::error::SendRequestError;
use awc::http::{Method, Uri};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Who has not taken a connection by then is as good as down.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// On top of what the request allows the replica to wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Answers are as small as the values here, but for their metadata.
const ANSWER_MAX_BYTES: usize = 4 << 20;
/// Idle connections are closed by this side before a replica would.
const IDLE: Duration = Duration::from_secs(5);

/// Where a replica takes requests: `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    authority: String,
}

/// A text that is not where a replica takes requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected http://HOST:PORT")]
pub struct NotANode;

impl FromStr for Node {
    type Err = NotANode;

    /// The scheme may be left out.
    fn from_str(text: &str) -> Result<Self, NotANode> {
        let text = text.trim();
        let authority = text.strip_prefix("http://").unwrap_or(text);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let uri: Uri = format!("http://{authority}/")
            .parse()
            .map_err(|_| NotANode)?;
        let whole = uri
            .authority()
            .is_some_and(|parsed| parsed.as_str() == authority);
        if !whole || uri.port_u16().is_none() || authority.contains('@') {
            return Err(NotANode);
        }
        Ok(Self {
            authority: authority.to_owned(),
        })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Needs no percent-encoding.
    pub(super) key: &'a str,
    /// A string that JSON does not escape; for PUT.
    pub(super) value: Option<&'a str>,
    /// JSON texts, of which the second goes into the header: the replica joins them.
    pub(super) metadata: (&'a str, Option<&'a str>),
    /// May be parked for so long.
    pub(super) wait_s: Option<u64>,
}

impl<'a> Ask<'a> {
    /// GET without dependencies.
    pub(super) fn read(key: &'a str) -> Self {
        Self {
            method: Method::GET,
            key,
            value: None,
            metadata: ("null", None),
            wait_s: None,
        }
    }
}

/// What a replica answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The JSON text, as it came; `None` if the body has none or is no JSON object.
    pub(super) metadata: Option<String>,
    /// The value read; what is not a string is kept as JSON text.
    pub(super) value: String,
    /// Whether it says that nobody knows whether the write was done.
    pub(super) maybe_done: bool,
}

/// What is known after a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// There was an answer.
    Answered(Answer),
    /// No connection: the replica never saw it.
    Unsent(String),
    /// It may or may not have been done.
    Unanswered(String),
}

/// The HTTP client.
pub(super) struct Talk(awc::Client);

impl Talk {
    pub(super) fn new() -> Self {
        let connector = awc::Connector::new();
        // As many connections as there are clients.
        let connector = connector
            .limit(0)
            .timeout(CONNECT_WITHIN)
            .conn_keep_alive(IDLE);
        let client = awc::Client::builder().connector(connector);
        // The whole request has one limit, set around it.
        Self(
            client
                .disable_timeout()
                .disable_redirects()
                .no_default_headers()
                .finish(),
        )
    }

    pub(super) async fn ask(&self, node: &Node, ask: Ask<'_>) -> Reply {
        let within = ANSWER_WITHIN + Duration::from_secs(ask.wait_s.unwrap_or(0));
        let answer = tokio::time::timeout(within, self.exchange(node, ask)).await;
        answer.unwrap_or_else(|_| Reply::Unanswered(format!("no answer within {within:?}")))
    }

    async fn exchange(&self, node: &Node, ask: Ask<'_>) -> Reply {
        let url = format!("http://{node}/kvs/{}", ask.key);
        let mut request = self.0.request(ask.method, url);
        request = request.insert_header(("Content-Type", "application/json"));
        if let Some(metadata) = ask.metadata.1 {
            request = request.insert_header(("Causal-Metadata", metadata));
        }
        if let Some(seconds) = ask.wait_s {
            request = request.insert_header(("Prefer", format!("wait={seconds}")));
        }
        let mut answer = match request.send_body(body(ask.value, ask.metadata.0)).await {
            Ok(answer) => answer,
            Err(error @ (SendRequestError::Connect(_) | SendRequestError::Url(_))) => {
                return Reply::Unsent(error.to_string());
            }
            Err(error) => return Reply::Unanswered(error.to_string()),
        };
        match answer.body().limit(ANSWER_MAX_BYTES).await {
            Ok(bytes) => Reply::Answered(parse(answer.status().as_u16(), &bytes)),
            Err(error) => Reply::Unanswered(error.to_string()),
        }
    }
}

fn body(value: Option<&str>, metadata: &str) -> String {
    match value {
        Some(value) => format!(r#"{{"value":"{value}","causal-metadata":{metadata}}}"#),
        None => format!(r#"{{"causal-metadata":{metadata}}}"#),
    }
}

#[derive(Deserialize, Default)]
struct Members {
    #[serde(rename = "causal-metadata")]
    metadata: Option<Box<RawValue>>,
    value: Option<Box<RawValue>>,
    detail: Option<Box<RawValue>>,
}

fn parse(status: u16, body: &[u8]) -> Answer {
    let members: Members = serde_json::from_slice(body).unwrap_or_default();
    let text = members.value.as_deref().map_or("null", RawValue::get);
    Answer {
        status,
        metadata: members.metadata.map(|metadata| metadata.get().to_owned()),
        value: serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()),
        maybe_done: status == 503 && members.detail.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_hosts_with_ports_and_nothing_more() {
        for (text, shown) in [
            ("http://127.0.0.1:8082", "127.0.0.1:8082"),
            ("http://alice:80/", "alice:80"),
            (" [::1]:8090", "[::1]:8090"),
        ] {
            assert_eq!(
                text.parse::<Node>().map(|n| n.to_string()),
                Ok(shown.to_owned())
            );
        }
        for text in [
            "",
            "alice",
            "https://a:1",
            "http://a:1/kvs",
            "http://a:b",
            "a:1?x",
            "u@a:1",
            "a:",
        ] {
            assert_eq!(text.parse::<Node>(), Err(NotANode), "{text:?}");
        }
    }

    #[test]
    fn values_and_metadata_are_taken_from_answers() {
        let answer = parse(
            200,
            br#"{"result":"found","value":"a","causal-metadata":{"s": [1]}}"#,
        );
        assert_eq!(answer.value, "a");
        assert_eq!(answer.metadata.as_deref(), Some(r#"{"s": [1]}"#));
        assert_eq!(parse(200, br#"{"value":[1, 2]}"#).value, "[1, 2]");
        assert_eq!(parse(502, b"<html>").metadata, None);
    }
}
