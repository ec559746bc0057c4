//! Any request of a client gets an answer of the contract, and a value comes back as it was sent.
//!
//! Each line is a request: method, path, `Causal-Metadata` and `Prefer` header (empty: none) and body,
//! separated by tabs. `$V` stands for the newest metadata answered.

#![no_main]

use std::collections::BTreeMap;
use std::rc::Rc;

use actix_web::http::header::HeaderValue;
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, dev::Service, dev::ServiceResponse};
use bytes::Bytes;
use causet::core::metadata::Metadata;
use causet::http;
use causet_fuzz::world::{Peers, end, run, start};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

const ERRORS: &[&str] = &[
    "Causal dependencies not satisfied; try again later",
    "Clock skew: the metadata's stamp is too far ahead of this replica's clock",
    "Forgetting a replica is not available in this version",
    "Key does not exist",
    "Key is not valid UTF-8",
    "Key is too long",
    "Method not allowed",
    "No such route",
    "PUT request does not specify a value",
    "Peer message is not understood",
    "Replica was removed from the view",
    "Request body is not a JSON object",
    "Store is full",
    "Value is too large",
    "View has as many replicas as it may have",
    "View has no such replica",
    "causal-metadata is malformed",
    "socket-address is missing or malformed",
];

type Members = BTreeMap<String, Box<RawValue>>;

#[derive(Debug, Clone)]
struct Request {
    method: Method,
    path: String,
    metadata: Option<HeaderValue>,
    prefer: Option<HeaderValue>,
    body: Vec<u8>,
}

impl Request {
    /// The request of a line; `None` where a server would not have got this far.
    fn parse(line: &[u8], newest: &str) -> Option<Self> {
        let mut fields = line.splitn(5, |byte| *byte == b'\t');
        let mut field = || fields.next().unwrap_or_default();
        let header = |text: Vec<u8>| {
            let given = !text.is_empty();
            given.then(|| HeaderValue::from_bytes(&text).ok()).flatten()
        };
        let method = Method::from_bytes(field()).ok()?;
        let path = std::str::from_utf8(field()).ok()?;
        let uri = Uri::try_from(path).ok()?;
        Some(Self {
            method,
            path: uri.path().starts_with('/').then(|| path.to_owned())?,
            metadata: header(filled(field(), newest)),
            prefer: header(field().to_vec()),
            body: filled(field(), newest),
        })
    }

    fn to_test(&self) -> TestRequest {
        let mut request = TestRequest::with_uri(&self.path).method(self.method.clone());
        if let Some(metadata) = &self.metadata {
            request = request.insert_header(("causal-metadata", metadata.clone()));
        }
        if let Some(prefer) = &self.prefer {
            request = request.insert_header(("prefer", prefer.clone()));
        }
        request.set_payload(self.body.clone())
    }

    /// The members of its body by another reader; `None` if that takes it for no object.
    fn members(&self) -> Option<Members> {
        serde_json::from_slice(&self.body).ok()
    }

    fn is_for_a_key(&self) -> bool {
        self.path.starts_with("/kvs/")
    }
}

/// `text` with every `$V` replaced.
fn filled(text: &[u8], newest: &str) -> Vec<u8> {
    let mut filled = Vec::new();
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"$V") {
            filled.extend(newest.as_bytes());
            rest = after;
        } else {
            filled.push(*byte);
            rest = after;
        }
    }
    filled
}

/// The members of an answer, checked as far as that goes without its request.
fn check_answer(path: &str, status: StatusCode, body: &Bytes) -> Members {
    let text = matches!(path, "/metrics") || path.starts_with("/internal/v1/");
    if status.is_success() && text {
        return Members::new();
    }
    let Ok(members) = serde_json::from_slice::<Members>(body) else {
        panic!("{status}: no JSON object: {body:?}");
    };
    match status.as_u16() {
        200 | 201 => assert!(!members.contains_key("error")),
        400 | 404 | 405 | 413 | 501 | 503 | 507 => {
            let error: String = serde_json::from_str(members["error"].get()).expect("a text");
            assert!(ERRORS.contains(&error.as_str()), "{error}");
        }
        _ => panic!("{status}: {body:?}"),
    }
    members
}

/// What the request named as observed; `None` where the two readers might differ.
fn named(request: &Request) -> Option<Metadata> {
    let members = request.members()?;
    let in_body = members.get("causal-metadata");
    let mut metadata = Metadata::from_json(in_body.map_or("", |raw| raw.get())).ok()?;
    if let Some(header) = &request.metadata {
        metadata.merge(&Metadata::from_json(header.to_str().ok()?).ok()?);
    }
    Some(metadata)
}

/// V' covers V.
fn check_metadata(request: &Request, answered: &str) {
    let answered = Metadata::from_json(answered).expect("metadata is taken back");
    if let Some(named) = named(request) {
        let mut both = answered.clone();
        both.merge(&named);
        assert_eq!(both, answered, "it covers what the request named");
    }
}

/// What the node has answered, and the service that asks it.
struct Client<S> {
    service: S,
    newest: String,
}

impl<S, B> Client<S>
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: actix_web::body::MessageBody,
{
    async fn ask(&mut self, request: &Request) -> (StatusCode, Members) {
        let response = call_service(&self.service, request.to_test().to_request()).await;
        let status = response.status();
        let uri: Uri = request.path.parse().expect("parsed before");
        let members = check_answer(uri.path(), status, &read_body(response).await);
        if let Some(metadata) = members.get("causal-metadata") {
            check_metadata(request, metadata.get());
            metadata.get().clone_into(&mut self.newest);
        }
        (status, members)
    }

    /// Asks, and reads back what was written.
    async fn ask_and_check(&mut self, request: &Request) {
        let (status, answer) = self.ask(request).await;
        if !request.is_for_a_key() || !status.is_success() {
            return;
        }
        match request.method {
            Method::PUT => self.expect(request, StatusCode::OK).await,
            Method::DELETE => self.expect(request, StatusCode::NOT_FOUND).await,
            _ => assert!(answer.contains_key("value")),
        }
    }

    async fn expect(&mut self, written: &Request, status: StatusCode) {
        let read = Request {
            method: Method::GET,
            metadata: None,
            prefer: None,
            body: format!(r#"{{"causal-metadata":{}}}"#, self.newest).into_bytes(),
            path: written.path.clone(),
        };
        if read.body.len() > 2_048 {
            return;
        }
        let (got, answer) = self.ask(&read).await;
        assert_eq!(got, status, "after {written:?}");
        let Some(sent) = written.members().filter(|_| got == StatusCode::OK) else {
            return;
        };
        assert_eq!(sent["value"].get(), answer["value"].get());
    }
}

async fn story(input: Vec<u8>) {
    let node = start(&[], Rc::new(Peers::default()));
    let forwarder = node.forwarder();
    let app = App::new().configure(move |config| http::configure(config, forwarder));
    let mut client = Client {
        service: init_service(app).await,
        newest: "null".to_owned(),
    };
    // It serves once nobody has answered for a while.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for line in input.split(|byte| *byte == b'\n').take(8) {
        if let Some(request) = Request::parse(line, &client.newest) {
            client.ask_and_check(&request).await;
        }
    }
    assert!(node.gateway().read_digest().await.is_some(), "it lives");
    drop(client);
    end(node).await;
}

fuzz_target!(|input: &[u8]| {
    run(story(input.to_vec()));
});
