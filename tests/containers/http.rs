//! Just enough HTTP to ask a replica one thing over any byte stream.

use serde_json::{Value, json};

/// What a replica answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The body; `null` where it is empty or not JSON.
    pub(crate) body: Value,
}

impl Answer {
    /// The metadata that the client passes on with its next request.
    pub(crate) fn metadata(&self) -> Value {
        let metadata = self.body.get("causal-metadata");
        metadata
            .unwrap_or_else(|| panic!("{self:?} has no metadata"))
            .clone()
    }

    pub(crate) fn error(&self) -> Option<&str> {
        self.body.get("error")?.as_str()
    }

    pub(crate) fn value(&self) -> Option<&Value> {
        self.body.get("value")
    }

    /// Whether this is a refusal for want of causal dependencies.
    pub(crate) fn is_unsatisfied(&self) -> bool {
        self.status == 503
            && self.error() == Some("Causal dependencies not satisfied; try again later")
    }
}

/// One request as bytes, without a body where that is `null`. In HTTP/1.0, whose answers end with the connection and are never chunked.
pub(crate) fn request(method: &str, path: &str, body: &Value) -> Vec<u8> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.0\r\nHost: replica\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The answer that `bytes` hold; `None` where they hold no whole head.
pub(crate) fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    })
}

/// The body of a GET or DELETE with that metadata.
pub(crate) fn reading(metadata: &Value) -> Value {
    json!({ "causal-metadata": metadata })
}

/// The body of a PUT of `value` with that metadata.
pub(crate) fn writing(value: &str, metadata: &Value) -> Value {
    json!({ "value": value, "causal-metadata": metadata })
}
