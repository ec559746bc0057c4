//! `PeerLink` alone: the test plays the peer, causality is a probe.

mod joins;
mod pushes;
mod steadiness;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Actor;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use causet::actors::peer_link::{PeerLink, PeerLinkEdges, PeerLinkParts, PeerLinkRules};
use causet::core::clock::Clock;
use causet::core::id::{Address, Dot};
use causet::core::link::LinkRules;
use causet::core::outbox::OutboxLimits;
use causet::core::wire::{
    self, Batch, Digest, Heartbeat, HeartbeatAnswer, PushAnswer, PushRefusal, Status,
};
use causet::messages::causality::{
    Deliver, DigestReceived, ExchangeDigest, JoinAdvanced, JoinEnded, OwnLifeSuperseded,
};
use causet::messages::peers::{MarkRemoved, Publish, SendHeartbeat, TakeBatch, TakeHeartbeat};
use causet::messages::view::LinkTurned;
use causet::metrics::Metrics;
use causet::time::Uptime;
use causet::transport::{Call, CallError, PeerTransport};

use crate::fixtures::{DOMAIN, address, batch, digest, dots, origin, write};
use crate::support::{Mailbox, Told, answered, pass, probe, probe_of_many, sum_of_messages};

sum_of_messages! {
    /// What causality is told, in one order.
    ToCausality: Deliver, ExchangeDigest, DigestReceived, JoinAdvanced, JoinEnded, OwnLifeSuperseded
}

const RULES: PeerLinkRules = PeerLinkRules {
    link: LinkRules {
        break_ms: 500,
        outage_long_ms: 1_000,
        settle_ms: 2_500,
        settle_at_most_ms: 5_000,
    },
    outbox: OutboxLimits {
        writes: 5,
        bytes: 1 << 20,
        batch_writes: 3,
        batch_bytes: 1 << 20,
    },
    call_timeout: Duration::from_secs(2),
};

/// A call that the test has not answered yet.
#[derive(Debug)]
struct Open {
    body: Bytes,
    answer: oneshot::Sender<Result<Bytes, CallError>>,
}

impl Open {
    fn decode<M: DeserializeOwned>(&self) -> M {
        wire::decode(&self.body).expect("well-formed")
    }

    fn answer<M: Serialize>(self, message: &M) {
        self.answer_bytes(wire::encode(message));
    }

    fn answer_bytes(self, bytes: Vec<u8>) {
        let answered = self.answer.send(Ok(bytes.into()));
        assert!(answered.is_ok(), "the call is still awaited");
    }

    /// Nothing will come of it.
    fn fail(self) {
        let error = CallError::Unreachable("the test says so".to_owned());
        assert!(self.answer.send(Err(error)).is_ok(), "still awaited");
    }
}

/// The peer, node 1, as the network shows it. Heartbeats it answers by itself.
#[derive(Debug, Default)]
struct Script {
    /// What it answers heartbeats with; nothing if cut off.
    digest: Option<Digest>,
    /// When which heartbeat came in.
    heartbeats: Vec<Digest>,
    /// Calls that wait for the test's answer; they time out as any call does.
    open: Vec<(Call, Open)>,
    disconnects: usize,
}

#[derive(Debug, Clone, Default)]
struct Peer(Rc<RefCell<Script>>);

impl PeerTransport for Peer {
    fn call(
        &self,
        to: Address,
        call: Call,
        body: Bytes,
        timeout: Duration,
    ) -> LocalBoxFuture<'static, Result<Bytes, CallError>> {
        assert_eq!(to, address(1));
        let (answer, answered) = oneshot::channel();
        let mut script = self.0.borrow_mut();
        let open = Open { body, answer };
        let digest = script.digest.clone();
        match (call, digest) {
            (Call::Heartbeat, digest) => {
                script.heartbeats.push(open.decode::<Heartbeat>().digest);
                match digest {
                    Some(digest) => open.answer(&HeartbeatAnswer::Digest(digest)),
                    None => script.open.push((call, open)),
                }
            }
            _ => script.open.push((call, open)),
        }
        let timed_out = Err(CallError::TimedOut(timeout));
        async move {
            match tokio::time::timeout(timeout, answered).await {
                Ok(Ok(answer)) => answer,
                _ => timed_out,
            }
        }
        .boxed_local()
    }

    fn datagram(&self, _: Address, _: Bytes) {
        panic!("a link sends no datagrams");
    }

    fn disconnect(&self, peer: Address) {
        assert_eq!(peer, address(1));
        self.0.borrow_mut().disconnects += 1;
    }
}

/// The actor, on node 9, and its peer, node 1.
struct Stage {
    actor: Mailbox<PeerLink>,
    peer: Peer,
    causality: Told<ToCausality>,
    turns: Told<LinkTurned>,
    metrics: Metrics,
}

impl Stage {
    /// A link to a peer that would answer, but was not called yet.
    fn new() -> Self {
        let (to_causality, causality) = probe_of_many::<ToCausality>();
        let (turned, turns) = probe();
        let peer = Peer::default();
        let metrics = Metrics::new();
        let parts = PeerLinkParts {
            rules: RULES,
            edges: PeerLinkEdges {
                deliver: to_causality.edge(),
                exchange: to_causality.edge(),
                digest: to_causality.edge(),
                advanced: to_causality.edge(),
                joined: to_causality.edge(),
                superseded: to_causality.edge(),
                turned,
            },
            transport: Rc::new(peer.clone()),
            metrics: metrics.clone(),
            uptime: Uptime::starting(),
        };
        let stage = Self {
            actor: Mailbox::of(PeerLink::new(address(1), parts).start()),
            peer,
            causality,
            turns,
            metrics,
        };
        stage.connect();
        stage
    }

    /// A link that has been steady for a while, and nobody was told anything yet.
    async fn steady() -> Self {
        let stage = Self::new();
        stage.run(750).await;
        stage.causality.borrow_mut().clear();
        stage.script().heartbeats.clear();
        stage
    }

    /// A link that was cut off for `outage` ms, reckoned from the last answer, and whose peer has just
    /// answered again.
    async fn healed_after(outage: u64) -> Self {
        let stage = Self::steady().await;
        stage.cut();
        stage.run(outage - 750).await;
        // Until no call of before is awaited any more.
        pass(500).await;
        stage.causality.borrow_mut().clear();
        stage.connect();
        stage.beat();
        pass(1).await;
        stage
    }

    fn script(&self) -> std::cell::RefMut<'_, Script> {
        self.peer.0.borrow_mut()
    }

    fn connect(&self) {
        self.script().digest = Some(digest(origin(1), Clock::new()));
    }

    /// From now on the peer answers with this.
    fn peer_says(&self, digest: Digest) {
        self.script().digest = Some(digest);
    }

    fn cut(&self) {
        self.script().digest = None;
    }

    fn beat(&self) {
        self.actor.tell(SendHeartbeat {
            digest: Arc::new(digest(origin(9), Clock::new())),
            removals: Arc::from([]),
            forgotten: Arc::from([]),
            map: None,
        });
    }

    /// A heartbeat now and every 250 ms; the last one 250 ms before the end.
    async fn run(&self, ms: u64) {
        for _ in 0..ms / 250 {
            self.beat();
            pass(250).await;
        }
        pass(ms % 250).await;
    }

    /// This node has made these writes.
    async fn publish(&self, counters: impl IntoIterator<Item = u64>) {
        for counter in counters {
            let write = write(9, counter, &[]);
            let domain = DOMAIN;
            self.actor.tell(Publish { domain, write });
        }
        pass(1).await;
    }

    /// The open calls of this kind, oldest first.
    fn open(&self, call: Call) -> Vec<Open> {
        let mut script = self.script();
        let mut open = Vec::new();
        for (kind, call_open) in std::mem::take(&mut script.open) {
            if kind == call {
                open.push(call_open);
            } else {
                script.open.push((kind, call_open));
            }
        }
        open
    }

    /// The only call of this kind that is open.
    fn only(&self, call: Call) -> Open {
        let mut open = self.open(call);
        assert_eq!(open.len(), 1, "{open:?}");
        open.remove(0)
    }

    /// Counters of the only batch in flight, and its call.
    fn pushed(&self) -> (Vec<u64>, Open) {
        let push = self.only(Call::Push);
        let batch: Batch = push.decode();
        assert_eq!((batch.from, batch.domain), (origin(9), DOMAIN));
        let counters = dots(&batch.writes).iter().map(|d| d.counter).collect();
        (counters, push)
    }

    /// What the peer's batch is answered with, `None` if it went on to causality.
    async fn take_batch(&self) -> Option<PushAnswer> {
        let batch = batch(vec![write(1, 1, &[])]);
        let mut answer = self.actor.request(|reply| TakeBatch { batch, reply });
        pass(1).await;
        answered(&mut answer)
    }

    async fn take_heartbeat(&self, digest: Digest) {
        let heartbeat = Heartbeat {
            digest,
            removals: Vec::new(),
            forgotten: Vec::new(),
            map: None,
        };
        let _answer = self
            .actor
            .request(|reply| TakeHeartbeat { heartbeat, reply });
        pass(1).await;
    }

    async fn mark(&self, removed: bool) {
        self.actor.tell(MarkRemoved { removed });
        pass(1).await;
    }

    /// Whether joins may run, as causality was told with the latest digest.
    fn may_join(&self) -> bool {
        let told = self.causality.borrow();
        let may_join = told.iter().rev().find_map(|message| match message {
            ToCausality::DigestReceived(received) => Some(received.may_join),
            _ => None,
        });
        may_join.expect("a digest was passed on")
    }

    fn delivered(&self) -> Vec<Dot> {
        let told = self.causality.borrow();
        let delivered = told.iter().flat_map(|message| match message {
            ToCausality::Deliver(deliver) => dots(&deliver.batch.writes),
            _ => Vec::new(),
        });
        delivered.collect()
    }

    fn malformed(&self, call: Call) -> u64 {
        let malformed = &self.metrics.peer_messages_malformed;
        malformed.with_label_values(&[call.name()]).get()
    }

    fn outbox(&self) -> i64 {
        let peer = address(1).to_string();
        self.metrics.outbox_writes.with_label_values(&[&peer]).get()
    }
}

const UNSTEADY: PushAnswer = PushAnswer::Refused(PushRefusal::Unsteady);

fn starting(digest: Digest) -> Digest {
    Digest {
        status: Status::Starting,
        admits: false,
        ..digest
    }
}
