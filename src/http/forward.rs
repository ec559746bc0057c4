//! Requests about a shard that this node does not keep: passed on, whole and unparsed, to a member of it.
//!
//! A request is passed on once: who gets it answers it or says why not, so it cannot go round, whatever maps the nodes go by. Who
//! does not answer is not asked again until its link answers, which heartbeats see to; so no client waits for it twice.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::MessageBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use bytes::Bytes;

use super::answer::{Problem, json};
use super::gateway::Gateway;
use super::kvs;
use crate::core::id::{Address, MapId, ShardId};
use crate::core::sharding::routing::Topology;
use crate::core::wire::{self, Asked, Forward, ForwardAnswer, KvsAnswer, KvsRequest, Status};
use crate::messages::causality::Refusal;
use crate::transport::{Call, CallError, PeerTransport};

/// How often the map may turn out to be another one while one request is on its way.
const MAPS_MAX: u32 = 4;

/// The entrance to one replica, with the ways to the others. One for each thread.
#[derive(Debug)]
pub struct Forwarder {
    gateway: Gateway,
    transport: Rc<dyn PeerTransport>,
    /// Counts requests, so that they take turns.
    turn: Cell<usize>,
}

/// How long a node that is asked by a later map than its own waits for that, in milliseconds: it was sent to it at the same time.
const BEHIND_MS: u64 = 500;

/// What asking one node has come to.
enum Attempt {
    /// This is the answer.
    Answered(ForwardAnswer),
    /// It was not done there; somebody else may be asked.
    NotDone,
    /// Nobody can tell whether it was done there.
    Unknown,
}

impl Forwarder {
    /// The entrance `gateway`, with `transport` as the way to others.
    pub fn new(gateway: Gateway, transport: Rc<dyn PeerTransport>) -> Self {
        Self {
            gateway,
            transport,
            turn: Cell::new(0),
        }
    }

    /// The entrance to this replica itself.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Answers a client's request, here or by a member of the key's shard.
    pub async fn kvs(&self, request: KvsRequest) -> KvsAnswer {
        let answered = self.route_kvs(request).await;
        let response = answered.unwrap_or_else(Problem::into_response);
        to_answer(response)
    }

    pub(super) async fn route_kvs(&self, request: KvsRequest) -> Result<HttpResponse, Problem> {
        let topology = self.gateway.topology();
        let shard = topology.map.shard_of(&request.key);
        let own = topology.is_own(shard);
        if own {
            let served = kvs::serve(&request, &self.gateway).await;
            if !(is_starting(&served) && topology.map.is_sharded()) {
                return served;
            }
        }
        let answered = self.ask_in_turn(request).await;
        // If nobody else can answer, that is what is to be told.
        answered.map_err(|problem| match problem {
            Problem::CannotForward { unknown: false } if own => STARTING,
            problem => problem,
        })
    }

    /// Has a client's request answered by another node.
    async fn ask_in_turn(&self, request: KvsRequest) -> Result<HttpResponse, Problem> {
        let limits = self.gateway.limits();
        let wait_ms = request.wait_ms.unwrap_or(limits.wait_default_ms);
        let wait_ms = wait_ms.min(limits.wait_max_ms);
        let waiting = |wait_ms| {
            let wait_ms = Some(wait_ms);
            let request = request.clone();
            Asked::Kvs(KvsRequest { wait_ms, ..request })
        };
        // First somebody who can do it at once is looked for.
        let answer = self.ask_members(waiting(0)).await?;
        match answer {
            ForwardAnswer::Kvs(refused) if is_refusal(&refused) && wait_ms > 0 => {
                relayed(self.ask_members(waiting(wait_ms)).await?)
            }
            answer => relayed(answer),
        }
    }

    /// How many keys a shard has; the shard must exist.
    pub(super) async fn key_count(&self, shard: ShardId) -> Result<u64, Problem> {
        let topology = self.gateway.topology();
        // Who has just been added, or is back, does not have them all.
        let own = topology.is_own(shard)
            && (!topology.map.is_sharded() || self.gateway.status().await? == Status::Serving);
        if own {
            let report = self.gateway.digest().await?;
            return Ok(report.summary.keys);
        }
        match self.ask_members(Asked::KeyCount(shard)).await? {
            ForwardAnswer::Keys(keys) => Ok(keys),
            _ => Err(Problem::CannotForward { unknown: false }),
        }
    }

    /// Asks one member after the other until one has an answer that is no refusal; else the first refusal is the answer. Who refuses after
    /// it was given time has the last word, or the client would wait as long for each.
    async fn ask_members(&self, ask: Asked) -> Result<ForwardAnswer, Problem> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let mut tried = BTreeSet::new();
        let mut refusal = None;
        let mut other_maps = 0;
        loop {
            let topology = self.gateway.topology();
            let shard = shard_of(&ask, &topology);
            let mut candidates = topology.candidates(shard, turn).into_iter();
            let Some(node) = candidates.find(|node| !tried.contains(node)) else {
                break;
            };
            tried.insert(node);
            match self.attempt(node, &ask, &topology).await {
                Attempt::Answered(ForwardAnswer::Kvs(answer)) if is_refusal(&answer) => {
                    refusal.get_or_insert(ForwardAnswer::Kvs(answer));
                    if wait_of(&ask) > 0 {
                        break;
                    }
                }
                Attempt::Answered(ForwardAnswer::OtherMap(map)) => {
                    other_maps += 1;
                    if other_maps > MAPS_MAX {
                        break;
                    }
                    if map.id() > topology.map.id() {
                        let id = map.id();
                        self.gateway.learn_map(map);
                        until_map(&self.gateway, id, self.gateway.forward_timeout_ms()).await;
                        tried.clear();
                    }
                }
                Attempt::Answered(ForwardAnswer::NotServing | ForwardAnswer::NotKept)
                | Attempt::NotDone => {}
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Unknown if ask.is_repeatable() => {}
                Attempt::Unknown => return Err(Problem::CannotForward { unknown: true }),
            }
        }
        refusal.ok_or(Problem::CannotForward { unknown: false })
    }

    /// One question to one node. It ends when the node falls silent, whatever time is left.
    async fn attempt(&self, node: Address, ask: &Asked, topology: &Topology) -> Attempt {
        let forward = Forward {
            map: topology.map.id(),
            ask: ask.clone(),
        };
        let limit = Duration::from_millis(self.gateway.forward_timeout_ms() + wait_of(ask));
        let body = wire::encode(&forward).into();
        let call = self.transport.call(node, Call::Forward, body, limit);
        let answer = tokio::select! {
            biased;
            answer = call => answer,
            () = self.until_silent(node) => Err(CallError::TimedOut(limit)),
        };
        let (outcome, attempt) = match answer.map(|bytes| wire::decode(&bytes)) {
            Ok(Ok(answer)) => (outcome_of(&answer), Attempt::Answered(answer)),
            Ok(Err(error)) => {
                log::debug!("answer of {node} to a forwarded request: {error}");
                self.gateway.count_malformed(Call::Forward);
                ("malformed", Attempt::Unknown)
            }
            Err(error) => {
                log::debug!("forwarding to {node}: {error}");
                if error.may_have_acted() {
                    self.transport.disconnect(node);
                    ("unanswered", Attempt::Unknown)
                } else {
                    ("unreachable", Attempt::NotDone)
                }
            }
        };
        let forwards = &self.gateway.metrics().forwards;
        forwards.with_label_values(&[outcome]).inc();
        attempt
    }

    async fn until_silent(&self, node: Address) {
        let mut routes = self.gateway.routes();
        let fell_silent = routes.wait_for(|topology| !topology.answers(node)).await;
        if fell_silent.is_err() {
            // The actors have stopped; the call has its own limit.
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until this node goes by this map or a later one, or for so long.
async fn until_map(gateway: &Gateway, id: MapId, limit_ms: u64) {
    let mut routes = gateway.routes();
    let known = routes.wait_for(|topology| topology.map.id() >= id);
    let limit = Duration::from_millis(limit_ms);
    // Whoever waits goes on with what it knows then.
    let _ = tokio::time::timeout(limit, known).await;
}

const STARTING: Problem = Problem::Refused(Refusal::Starting);

fn is_starting(served: &Result<HttpResponse, Problem>) -> bool {
    matches!(served, Err(problem) if *problem == STARTING)
}

fn shard_of(ask: &Asked, topology: &Topology) -> ShardId {
    match ask {
        Asked::Kvs(request) => topology.map.shard_of(&request.key),
        Asked::KeyCount(shard) => *shard,
    }
}

/// How long it may be parked, in milliseconds.
fn wait_of(ask: &Asked) -> u64 {
    match ask {
        Asked::Kvs(request) => request.wait_ms.unwrap_or(0),
        Asked::KeyCount(_) => 0,
    }
}

fn is_refusal(answer: &KvsAnswer) -> bool {
    answer.status == StatusCode::SERVICE_UNAVAILABLE.as_u16()
}

fn outcome_of(answer: &ForwardAnswer) -> &'static str {
    match answer {
        ForwardAnswer::Kvs(answer) if is_refusal(answer) => "refused",
        ForwardAnswer::Kvs(_) | ForwardAnswer::Keys(_) => "answered",
        ForwardAnswer::NotServing => "not_serving",
        ForwardAnswer::NotKept | ForwardAnswer::OtherMap(_) => "other_map",
    }
}

/// Answers what another node has passed on.
pub(super) async fn answer(forward: Forward, gateway: &Gateway) -> ForwardAnswer {
    // Who asks waits for no longer than its own limit, which is counted from before.
    let limit_ms = BEHIND_MS.min(gateway.forward_timeout_ms() / 2);
    until_map(gateway, forward.map, limit_ms).await;
    let topology = gateway.topology();
    if forward.map != topology.map.id() {
        return ForwardAnswer::OtherMap(topology.map.clone());
    }
    if !topology.is_own(shard_of(&forward.ask, &topology)) {
        return ForwardAnswer::NotKept;
    }
    match gateway.status().await {
        Ok(Status::Serving) => {}
        Ok(_) | Err(_) => return ForwardAnswer::NotServing,
    }
    match forward.ask {
        Asked::Kvs(request) => {
            let served = kvs::serve(&request, gateway).await;
            let response = served.unwrap_or_else(Problem::into_response);
            ForwardAnswer::Kvs(to_answer(response))
        }
        Asked::KeyCount(_) => match gateway.digest().await {
            Ok(report) => ForwardAnswer::Keys(report.summary.keys),
            Err(_) => ForwardAnswer::NotServing,
        },
    }
}

fn to_answer(response: HttpResponse) -> KvsAnswer {
    let status = response.status().as_u16();
    let metadata = response.headers().get(kvs::HEADER);
    let metadata = metadata.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    // All bodies of this layer are texts that are there already.
    let body = response.into_body().try_into_bytes().unwrap_or_default();
    KvsAnswer {
        status,
        body,
        metadata,
    }
}

fn relayed(answer: ForwardAnswer) -> Result<HttpResponse, Problem> {
    let ForwardAnswer::Kvs(answer) = answer else {
        return Err(Problem::CannotForward { unknown: false });
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = json(status, answer.body);
    let headers = response.headers_mut();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let metadata = answer.metadata.map(HeaderValue::from_maybe_shared);
    if let Some(Ok(metadata)) = metadata {
        headers.insert(kvs::HEADER, metadata);
    }
    Ok(response)
}
