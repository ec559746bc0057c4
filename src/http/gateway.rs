//! The actors as the HTTP layer sees them: one method for each thing that can be asked.
//!
//! A simulation uses the same gateway in place of HTTP.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::answer::Problem;
use super::budget::Budget;
use super::forward;
use super::shard;
use crate::config::Limits;
use crate::core::id::{Address, MapId, ShardId};
use crate::core::metadata::Metadata;
use crate::core::sharding::map::ShardMap;
use crate::core::sharding::routing::Topology;
use crate::core::wire::{self, Batch, Forward, Heartbeat, JoinRequest, Status, Wants, WireError};
use crate::messages::causality::{
    Answer, AwaitDeal, ClientReply, ClientRequest, Dealt, DigestReport, HandOverReport, Operation,
    Outcome, ReadDigest, ReadHandOvers, ReadJoin, ReadStatus, Refusal,
};
use crate::messages::mailbox::{Edge, Refused, Reply};
use crate::messages::peers::{TakeBatch, TakeHeartbeat};
use crate::messages::view::{
    AddOutcome, AddReplica, AwaitMap, Awaited, ChangeMap, MapChange, MapLearned, MapOutcome,
    ReadView, RemoveOutcome, RemoveReplica, TopologyReader,
};
use crate::metrics::{Metrics, as_gauge};
use crate::time::Uptime;
use crate::transport::Call;

/// Peers whose last complaint is remembered; beyond, all are forgotten and may be logged again.
const COMPLAINTS_MAX: usize = 1_024;
const COMPLAINT_EVERY_MS: u64 = 60_000;

/// Edges into the actor graph from outside.
#[derive(Debug, Clone)]
pub struct GatewayEdges {
    /// To `Causality`.
    pub client: Edge<ClientRequest>,
    /// To `Causality`.
    pub status: Edge<ReadStatus>,
    /// To `Causality`.
    pub digest: Edge<ReadDigest>,
    /// To `Causality`.
    pub dealt: Edge<AwaitDeal>,
    /// To `Causality`.
    pub hand_overs: Edge<ReadHandOvers>,
    /// To `Causality`.
    pub join: Edge<ReadJoin>,
    /// To `Broadcaster`.
    pub heartbeat: Edge<TakeHeartbeat>,
    /// To `Broadcaster`.
    pub batch: Edge<TakeBatch>,
    /// To `View`.
    pub view: Edge<ReadView>,
    /// To `View`.
    pub add: Edge<AddReplica>,
    /// To `View`.
    pub remove: Edge<RemoveReplica>,
    /// To `View`.
    pub learned: Edge<MapLearned>,
    /// To `View`.
    pub change_map: Edge<ChangeMap>,
    /// To `View`.
    pub await_map: Edge<AwaitMap>,
}

/// What a [`Gateway`] is made of.
#[derive(Debug)]
pub struct GatewayParts {
    /// Into the actor graph.
    pub edges: GatewayEdges,
    /// What requests are routed by.
    pub routes: TopologyReader,
    /// What clients may use up.
    pub limits: Limits,
    /// Longest body of a peer's message.
    pub peer_body_max: usize,
    /// Longest wait for the answer to a forwarded request, its parked time excluded, in milliseconds.
    pub forward_timeout_ms: u64,
    /// Where it counts.
    pub metrics: Metrics,
    /// Its time.
    pub uptime: Uptime,
}

/// The entrance to one replica. Cheap to clone; one for each thread.
#[derive(Debug, Clone)]
pub struct Gateway {
    edges: GatewayEdges,
    routes: TopologyReader,
    limits: Limits,
    peer_body_max: usize,
    forward_timeout_ms: u64,
    client_bodies: Budget,
    peer_bodies: Budget,
    metrics: Metrics,
    uptime: Uptime,
    complaints: Arc<Mutex<BTreeMap<Option<IpAddr>, u64>>>,
}

/// Why a peer's message has no answer; nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerProblem {
    /// It is no message of this protocol.
    #[error(transparent)]
    NotUnderstood(#[from] WireError),
    /// Too much waits here.
    #[error("overloaded")]
    Overloaded,
    /// The actors have stopped.
    #[error("stopped")]
    Gone,
}

impl Gateway {
    /// An entrance made of these.
    pub fn new(parts: GatewayParts) -> Self {
        let GatewayParts {
            edges,
            routes,
            limits,
            peer_body_max,
            forward_timeout_ms,
            metrics,
            uptime,
        } = parts;
        Self {
            edges,
            routes,
            limits,
            peer_body_max,
            forward_timeout_ms,
            client_bodies: Budget::with_limit(limits.bodies_max_bytes),
            peer_bodies: Budget::with_limit(limits.bodies_max_bytes),
            metrics,
            uptime,
            complaints: Arc::default(),
        }
    }

    /// What requests are routed by now.
    pub fn topology(&self) -> Arc<Topology> {
        self.routes.borrow().clone()
    }

    /// A reader of its own, to wait for changes with.
    pub(super) fn routes(&self) -> TopologyReader {
        self.routes.clone()
    }

    pub(super) fn forward_timeout_ms(&self) -> u64 {
        self.forward_timeout_ms
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A peer goes by this map.
    pub(super) fn learn_map(&self, map: ShardMap) {
        // If too much waits there, the next heartbeat brings it.
        let _ = self.edges.learned.offer(MapLearned { map });
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Clients and peers have a budget each, so that neither can starve the other.
    pub(super) fn body_budget(&self, for_peer: bool) -> &Budget {
        if for_peer {
            &self.peer_bodies
        } else {
            &self.client_bodies
        }
    }

    pub(super) fn peer_body_max(&self) -> usize {
        self.peer_body_max
    }

    /// Asks for a client's operation; waits as long as it may be parked.
    ///
    /// # Errors
    /// When the actors have stopped.
    pub(super) async fn client(
        &self,
        operation: Operation,
        metadata: Metadata,
        wait_ms: Option<u64>,
    ) -> Result<Answer, Problem> {
        self.request(operation, metadata, wait_ms)
            .await
            .ok_or(Problem::Gone)
    }

    /// A client's operation, as [`ClientRequest`] has it; refused with [`Refusal::Overloaded`] where
    /// too much waits. `None` when the actors have stopped.
    pub async fn request(
        &self,
        operation: Operation,
        metadata: Metadata,
        wait_ms: Option<u64>,
    ) -> Option<Answer> {
        let asked = self.ask(&self.edges.client, |reply| ClientRequest {
            operation,
            metadata,
            wait_ms,
            reply: ClientReply::new(reply),
        });
        match asked.await {
            Ok(answer) => Some(answer),
            Err(Unasked::Overloaded) => Some(Answer::of(Outcome::Refused(Refusal::Overloaded))),
            Err(Unasked::Gone) => None,
        }
    }

    pub(super) async fn view(&self) -> Result<Vec<Address>, Problem> {
        Ok(self
            .ask(&self.edges.view, |reply| ReadView { reply })
            .await?)
    }

    /// Asks for a replica to be taken into the view; `None` as for [`Gateway::read_view`].
    pub async fn add(&self, address: Address) -> Option<AddOutcome> {
        self.add_replica(address).await.ok()
    }

    /// Asks for a replica to be taken out of the view; `None` as for [`Gateway::read_view`].
    pub async fn remove(&self, address: Address) -> Option<RemoveOutcome> {
        self.remove_replica(address, false).await.ok()
    }

    /// Asks for a replica to be forgotten; `None` as for [`Gateway::read_view`].
    pub async fn forget(&self, address: Address) -> Option<RemoveOutcome> {
        self.remove_replica(address, true).await.ok()
    }

    pub(super) async fn add_replica(&self, address: Address) -> Result<AddOutcome, Problem> {
        Ok(self
            .ask(&self.edges.add, |reply| AddReplica { address, reply })
            .await?)
    }

    pub(super) async fn remove_replica(
        &self,
        address: Address,
        forget: bool,
    ) -> Result<RemoveOutcome, Problem> {
        let remove = |reply| RemoveReplica {
            address,
            forget,
            reply,
        };
        Ok(self.ask(&self.edges.remove, remove).await?)
    }

    /// Asks for a member to be added to a shard, and waits until it is so at every node in the view; `None` as for
    /// [`Gateway::read_view`].
    pub async fn add_member(&self, node: Address, shard: ShardId) -> Option<MapOutcome> {
        shard::add(node, shard, self).await.ok()
    }

    /// Asks for shards to be dealt anew, and waits until the nodes in the view have settled under that map; `None` if another number was
    /// asked for at the same time, or as for [`Gateway::read_view`].
    pub async fn reshard(&self, shards: usize) -> Option<MapOutcome> {
        shard::deal(shards, self).await.ok()
    }

    pub(super) async fn change_map(&self, change: MapChange) -> Result<MapOutcome, Problem> {
        Ok(self
            .ask(&self.edges.change_map, |reply| ChangeMap { change, reply })
            .await?)
    }

    /// Waits until every node in the view goes by this map or a later one.
    pub(super) async fn await_map(&self, id: MapId) -> Result<(), Problem> {
        let awaited = self.ask(&self.edges.await_map, |reply| AwaitMap { id, reply });
        match awaited.await? {
            Awaited::Everywhere => Ok(()),
            Awaited::Overloaded => Err(Problem::OVERLOADED),
        }
    }

    pub(super) async fn status(&self) -> Result<Status, Problem> {
        Ok(self
            .ask(&self.edges.status, |reply| ReadStatus { reply })
            .await?)
    }

    pub(super) async fn digest(&self) -> Result<DigestReport, Problem> {
        Ok(self
            .ask(&self.edges.digest, |reply| ReadDigest { reply })
            .await?)
    }

    /// Waits until the nodes that are up have settled under the map that deals keys since `since`, or another one holds.
    ///
    /// # Errors
    /// When too many wait for that, or the actors have stopped.
    pub(super) async fn dealt(&self, since: MapId) -> Result<Dealt, Problem> {
        let asked = self.ask(&self.edges.dealt, |reply| AwaitDeal { since, reply });
        Ok(asked.await?)
    }

    pub(super) async fn hand_overs(&self) -> Result<HandOverReport, Problem> {
        let asked = self.ask(&self.edges.hand_overs, |reply| ReadHandOvers { reply });
        Ok(asked.await?)
    }

    /// The replicas believed up; `None` when the actors have stopped or are overloaded.
    pub async fn read_view(&self) -> Option<Vec<Address>> {
        self.view().await.ok()
    }

    /// What this replica has; `None` when the actors have stopped or are overloaded.
    pub async fn read_digest(&self) -> Option<DigestReport> {
        self.digest().await.ok()
    }

    /// How far hand-overs are; `None` when the actors have stopped or are overloaded.
    pub async fn read_hand_overs(&self) -> Option<HandOverReport> {
        self.hand_overs().await.ok()
    }

    /// Answers a peer's message.
    ///
    /// # Errors
    /// [`PeerProblem`]; the message has changed nothing.
    pub async fn peer_call(&self, call: Call, body: &[u8]) -> Result<Bytes, PeerProblem> {
        match call {
            Call::Heartbeat => {
                let heartbeat: Heartbeat = self.understand(call, body)?;
                let take = |reply| TakeHeartbeat { heartbeat, reply };
                encoded(self.ask(&self.edges.heartbeat, take).await)
            }
            Call::Push => {
                let batch: Batch = self.understand(call, body)?;
                let batch = batch.check().inspect_err(|_| self.count_malformed(call))?;
                let take = |reply| TakeBatch { batch, reply };
                encoded(self.ask(&self.edges.batch, take).await)
            }
            Call::Join => {
                let request: JoinRequest = self.understand(call, body)?;
                let hands_over = request.wants != Wants::State;
                let read = |reply| ReadJoin { request, reply };
                let answer = encoded(self.ask(&self.edges.join, read).await)?;
                if hands_over {
                    let bytes = &self.metrics.hand_over_bytes;
                    bytes.inc_by(answer.len() as u64);
                }
                Ok(answer)
            }
            Call::Forward => {
                let forward: Forward = self.understand(call, body)?;
                Ok(wire::encode(&forward::answer(forward, self).await).into())
            }
        }
    }

    /// Sends a message with a place for its answer, and waits for that.
    async fn ask<M: Send + 'static, T>(
        &self,
        edge: &Edge<M>,
        message: impl FnOnce(Reply<T>) -> M,
    ) -> Result<T, Unasked> {
        let (reply, answer) = oneshot::channel();
        match edge.offer(message(reply)) {
            Ok(()) => answer.await.map_err(|_| Unasked::Gone),
            Err(Refused::Full(_)) => {
                let refused = &self.metrics.refused;
                refused.with_label_values(&["overloaded"]).inc();
                Err(Unasked::Overloaded)
            }
            Err(Refused::Closed) => Err(Unasked::Gone),
        }
    }

    fn understand<M: DeserializeOwned>(&self, call: Call, body: &[u8]) -> Result<M, WireError> {
        wire::decode(body).inspect_err(|_| self.count_malformed(call))
    }

    pub(super) fn count_malformed(&self, call: Call) {
        let malformed = &self.metrics.peer_messages_malformed;
        malformed.with_label_values(&[call.name()]).inc();
    }

    /// Logs a message that was not understood, once a minute for each peer.
    pub(super) fn log_malformed(&self, call: Call, peer: Option<IpAddr>, error: &WireError) {
        let now = self.uptime.now();
        let mut complaints = self.complaints.lock().expect("nothing panics holding it");
        if complaints.len() >= COMPLAINTS_MAX {
            complaints.clear();
        }
        let last = complaints.get(&peer).copied();
        if last.is_none_or(|last| now - last >= COMPLAINT_EVERY_MS) {
            complaints.insert(peer, now);
            let peer = peer.map_or_else(|| "somebody".to_owned(), |ip| ip.to_string());
            log::warn!("a {} from {peer} is not understood: {error}", call.name());
        }
    }

    pub(super) fn count(&self, route: &str, method: &str, status: u16) {
        // Methods are free text: unknown ones share a label, so that nobody can grow the metrics.
        let known = ["GET", "PUT", "DELETE", "POST", "HEAD", "OPTIONS", "PATCH"];
        let method = known.into_iter().find(|m| *m == method).unwrap_or("other");
        let requests = &self.metrics.requests;
        let labels = [route, method, &status.to_string()];
        requests.with_label_values(&labels).inc();
    }

    pub(super) fn time(&self, route: &str, took: Duration) {
        let latency = self.metrics.latency.with_label_values(&[route]);
        latency.observe(took.as_secs_f64());
    }

    /// How often this replica was born again.
    pub fn renewals(&self) -> u64 {
        self.metrics.incarnations_renewed.get()
    }

    /// Everything that is counted, in Prometheus text.
    pub fn metrics_text(&self) -> String {
        let budgets = [("client", &self.client_bodies), ("peer", &self.peer_bodies)];
        for (whose, budget) in budgets {
            let gauge = self.metrics.body_bytes.with_label_values(&[whose]);
            gauge.set(as_gauge(budget.held()));
        }
        self.metrics.to_text()
    }
}

fn encoded<M: Serialize>(answer: Result<M, Unasked>) -> Result<Bytes, PeerProblem> {
    match answer {
        Ok(answer) => Ok(wire::encode(&answer).into()),
        Err(Unasked::Overloaded) => Err(PeerProblem::Overloaded),
        Err(Unasked::Gone) => Err(PeerProblem::Gone),
    }
}

/// A question that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unasked {
    Overloaded,
    Gone,
}

impl From<Unasked> for Problem {
    fn from(unasked: Unasked) -> Self {
        match unasked {
            Unasked::Overloaded => Self::OVERLOADED,
            Unasked::Gone => Self::Gone,
        }
    }
}
