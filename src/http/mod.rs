//! The thin layer that speaks HTTP: parses, asks the actors, answers. Holds no protocol state.
//!
//! Routes are matched on the raw path, since a key may hold any character, percent-encoded. The
//! body is always read, also of GET: a request whose body is left unread costs its connection.

mod answer;
mod body;
mod budget;
pub mod forward;
pub mod gateway;
mod internal;
mod kvs;
mod operator;
mod shard;
mod view;

use actix_web::http::Method;
use actix_web::http::header::{ALLOW, CONTENT_LENGTH, HeaderValue};
use actix_web::web::{self, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use answer::Problem;
use forward::Forwarder;

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    Kvs { raw_key: &'a str },
    View,
    Shard(ShardRoute<'a>),
    Health,
    Ready,
    Metrics,
    Digest,
    Peer(crate::transport::Call),
}

/// Below `/shard/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShardRoute<'a> {
    Ids,
    OfThisNode,
    Members(&'a str),
    KeyCount(&'a str),
    AddMember(&'a str),
    Reshard,
}

impl<'a> ShardRoute<'a> {
    fn of(name: &'a str, id: Option<&'a str>) -> Option<Self> {
        match (name, id) {
            ("ids", None) => Some(Self::Ids),
            ("node-shard-id", None) => Some(Self::OfThisNode),
            ("members", Some(id)) => Some(Self::Members(id)),
            ("key-count", Some(id)) => Some(Self::KeyCount(id)),
            ("add-member", Some(id)) => Some(Self::AddMember(id)),
            ("reshard", None) => Some(Self::Reshard),
            _ => None,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Ids => "/shard/ids",
            Self::OfThisNode => "/shard/node-shard-id",
            Self::Members(_) => "/shard/members",
            Self::KeyCount(_) => "/shard/key-count",
            Self::AddMember(_) => "/shard/add-member",
            Self::Reshard => "/shard/reshard",
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Ids | Self::OfThisNode | Self::Members(_) | Self::KeyCount(_) => "GET",
            Self::AddMember(_) | Self::Reshard => "PUT",
        }
    }
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/');
        let route = match (segments.next()?, segments.next(), segments.next()) {
            ("kvs", Some(raw_key), None) if !raw_key.is_empty() => Self::Kvs { raw_key },
            ("view", None, None) => Self::View,
            ("shard", Some(name), id) if segments.next().is_none() => {
                Self::Shard(ShardRoute::of(name, id)?)
            }
            ("health", None, None) => Self::Health,
            ("ready", None, None) => Self::Ready,
            ("metrics", None, None) => Self::Metrics,
            ("internal", Some("v1"), Some(name)) if segments.next().is_none() => match name {
                "digest" => Self::Digest,
                name => Self::Peer(internal::call_named(name)?),
            },
            _ => return None,
        };
        Some(route)
    }

    /// Its label in the metrics.
    fn label(self) -> &'static str {
        match self {
            Self::Kvs { .. } => "/kvs",
            Self::View => "/view",
            Self::Shard(route) => route.label(),
            Self::Health => "/health",
            Self::Ready => "/ready",
            Self::Metrics => "/metrics",
            Self::Digest => "/internal/v1/digest",
            Self::Peer(call) => call.name(),
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Kvs { .. } | Self::View => "GET, PUT, DELETE",
            Self::Shard(route) => route.allow(),
            Self::Health | Self::Ready | Self::Metrics | Self::Digest => "GET",
            Self::Peer(_) => "POST",
        }
    }
}

/// Adds every route of a replica to an actix-web application.
pub fn configure(config: &mut ServiceConfig, forwarder: Forwarder) {
    config
        .app_data(web::Data::new(forwarder))
        .default_service(web::to(answer_request));
}

async fn answer_request(
    request: HttpRequest,
    payload: Payload,
    forwarder: web::Data<Forwarder>,
) -> HttpResponse {
    let gateway = forwarder.gateway();
    let timer = tokio::time::Instant::now();
    let path = request.uri().path().to_owned();
    let route = Route::of(&path);
    let answered = dispatch(route, &request, payload, &forwarder).await;
    let response = answered.unwrap_or_else(Problem::into_response);
    let label = route.map_or("other", Route::label);
    gateway.count(label, request.method().as_str(), response.status().as_u16());
    gateway.time(label, timer.elapsed());
    response
}

async fn dispatch(
    route: Option<Route<'_>>,
    request: &HttpRequest,
    payload: Payload,
    forwarder: &Forwarder,
) -> Result<HttpResponse, Problem> {
    let gateway = forwarder.gateway();
    let limit = match route {
        Some(Route::Peer(_)) => gateway.peer_body_max(),
        _ => gateway.limits().body_max_bytes,
    };
    let declared = request.headers().get(CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse().ok());
    let timeout_ms = gateway.limits().client_timeout_ms;
    let for_peer = matches!(route, Some(Route::Peer(_)));
    let mut held = gateway.body_budget(for_peer).part();
    let body = body::read(payload, declared, limit, timeout_ms, &mut held).await?;
    let route = route.ok_or(Problem::NoSuchRoute)?;
    match (route, request.method()) {
        (Route::Kvs { raw_key }, &(Method::GET | Method::PUT | Method::DELETE)) => {
            kvs::answer(request, raw_key, body, forwarder).await
        }
        (Route::Shard(ShardRoute::Ids), &Method::GET) => Ok(shard::ids(gateway)),
        (Route::Shard(ShardRoute::OfThisNode), &Method::GET) => Ok(shard::of_this_node(gateway)),
        (Route::Shard(ShardRoute::Members(id)), &Method::GET) => shard::members(id, gateway),
        (Route::Shard(ShardRoute::KeyCount(id)), &Method::GET) => {
            shard::key_count(id, forwarder).await
        }
        (Route::Shard(ShardRoute::AddMember(id)), &Method::PUT) => {
            shard::add_member(id, &body, gateway).await
        }
        (Route::Shard(ShardRoute::Reshard), &Method::PUT) => shard::reshard(&body, gateway).await,
        (Route::View, &Method::GET) => view::read(gateway).await,
        (Route::View, &Method::PUT) => view::add(&body, gateway).await,
        (Route::View, &Method::DELETE) => view::remove(&body, gateway).await,
        (Route::Health, &Method::GET) => Ok(operator::health()),
        (Route::Ready, &Method::GET) => operator::ready(gateway).await,
        (Route::Metrics, &Method::GET) => Ok(operator::metrics(gateway)),
        (Route::Digest, &Method::GET) => operator::digest(gateway).await,
        (Route::Peer(call), &Method::POST) => internal::answer(call, request, body, gateway).await,
        (route, _) => Ok(method_not_allowed(route)),
    }
}

fn method_not_allowed(route: Route<'_>) -> HttpResponse {
    let mut response = Problem::MethodNotAllowed.into_response();
    let allow = HeaderValue::from_static(route.allow());
    response.headers_mut().insert(ALLOW, allow);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_segment_that_is_not_empty() {
        assert_eq!(
            Route::of("/kvs/a%2Fb"),
            Some(Route::Kvs { raw_key: "a%2Fb" })
        );
        for path in [
            "/kvs",
            "/kvs/",
            "/kvs/a/b",
            "/kvs/a/",
            "/view/",
            "/",
            "",
            "/internal/v1",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
