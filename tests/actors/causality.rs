//! `Causality` alone: store, broadcaster and view are probes that note what they are told.

mod clients;
mod ends;
mod lives;
mod peers;
mod states;
mod taking;

use std::sync::Arc;

use actix::Actor;
use actix::{Context, Handler};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::oneshot;

use causet::actors::causality::{Causality, CausalityEdges, CausalityParts, CausalityRules};
use causet::core::causal_buffer::BufferLimits;
use causet::core::causality::EndRules;
use causet::core::ended::EndedLimits;
use causet::core::id::{Dot, Origin};
use causet::core::metadata::Metadata;
use causet::core::sharding::map::ShardMap;
use causet::core::wire::{Digest, PushAnswer, Status};
use causet::core::write::Write;
use causet::messages::causality::{
    Answer, ClientReply, ClientRequest, Deliver, DigestReceived, Operation, Outcome, ReadStatus,
    Refusal,
};
use causet::messages::mailbox::{Edge, Mail};
use causet::messages::peers::{Beat, FetchJoin, Publish};
use causet::messages::store::{
    ApplyOlder, ApplyOwn, ApplyWrites, Collect, DropFrozen, Freeze, KeepAside, ProbeDelete,
    ReadDifference, ReadHandOver, ReadKey, ReadSummary, SetAside, SettleAside, TakeOwn,
};
use causet::messages::view::{ForgetLongestDown, IncarnationRenewed};
use causet::metrics::Metrics;
use causet::time::Uptime;

use crate::fixtures::{batch, dots, key, origin, value};
use crate::support::{Mailbox, SetClock, Told, pass, probe, probe_of_many, sum_of_messages};

sum_of_messages! {
    /// What the store is told, in one order.
    ToStore: ApplyOwn, ApplyWrites, ReadKey, ProbeDelete, ReadDifference, ReadSummary, Collect,
    SetAside, KeepAside, SettleAside, ApplyOlder, Freeze, TakeOwn, ReadHandOver, DropFrozen
}

sum_of_messages! {
    /// What the broadcaster is told, in one order.
    ToBroadcaster: Publish, Beat, FetchJoin
}

const WALL_MS: u64 = 1_000_000;

const RULES: CausalityRules = CausalityRules {
    buffer: BufferLimits {
        writes: 100,
        bytes: 1 << 20,
    },
    parked_max: 100,
    wait_max_ms: 20_000,
    wait_default_ms: 0,
    max_drift_ms: 60_000,
    heartbeat_ms: 250,
    bootstrap_ms: 500,
    ends: EndRules {
        ended: EndedLimits {
            finals: 100,
            keep_ms: 3_600_000,
        },
        margin_ms: 2_000,
    },
};

/// The actor, node 9, among probes.
struct Stage {
    actor: Mailbox<Causality>,
    store: Told<ToStore>,
    store_mail: Mailbox<crate::support::Probe<ToStore>>,
    broadcaster: Told<ToBroadcaster>,
    renewed: Told<IncarnationRenewed>,
    make_room: Told<ForgetLongestDown>,
    wall: Arc<SetClock>,
    metrics: Metrics,
}

impl Stage {
    fn starting() -> Self {
        Self::with(RULES)
    }

    fn with(rules: CausalityRules) -> Self {
        let (to_store, store) = probe_of_many::<ToStore>();
        let (to_broadcaster, broadcaster) = probe_of_many::<ToBroadcaster>();
        let (to_view, renewed) = probe();
        let (asking_for_room, make_room) = probe();
        let wall = Arc::new(SetClock::default());
        wall.set(WALL_MS);
        let metrics = Metrics::new();
        let parts = CausalityParts {
            origin: origin(9),
            map: ShardMap::implicit(),
            rules,
            edges: CausalityEdges {
                apply_own: to_store.edge(),
                apply: to_store.edge(),
                read: to_store.edge(),
                probe_delete: to_store.edge(),
                difference: to_store.edge(),
                summary: to_store.edge(),
                collect: to_store.edge(),
                set_aside: to_store.edge(),
                keep_aside: to_store.edge(),
                settle_aside: to_store.edge(),
                apply_older: to_store.edge(),
                freeze: to_store.edge(),
                take_own: to_store.edge(),
                hand_over: to_store.edge(),
                drop_frozen: to_store.edge(),
                publish: to_broadcaster.edge(),
                beat: to_broadcaster.edge(),
                fetch: to_broadcaster.edge(),
                renewed: to_view,
                make_room: asking_for_room,
            },
            metrics: metrics.clone(),
            uptime: Uptime::starting(),
            wall: wall.clone(),
            rng: ChaCha8Rng::seed_from_u64(1),
        };
        Self {
            actor: Mailbox::of(Causality::new(parts).start()),
            store,
            store_mail: to_store,
            broadcaster,
            renewed,
            make_room,
            wall,
            metrics,
        }
    }

    /// A replica that has waited in vain for a live peer, and serves.
    async fn serving() -> Self {
        Self::serving_with(RULES).await
    }

    async fn serving_with(rules: CausalityRules) -> Self {
        let stage = Self::with(rules);
        pass(rules.bootstrap_ms + 1).await;
        assert_eq!(stage.status().await, Status::Serving);
        stage.broadcaster.borrow_mut().clear();
        stage
    }

    async fn status(&self) -> Status {
        self.actor.ask(|reply| ReadStatus { reply }).await
    }

    fn request(
        &self,
        operation: Operation,
        metadata: Metadata,
        wait_ms: Option<u64>,
    ) -> oneshot::Receiver<Answer> {
        self.actor.request(|reply| ClientRequest {
            operation,
            metadata,
            wait_ms,
            reply: ClientReply::new(reply),
        })
    }

    /// A GET of `k` by a client that depends on these.
    fn get(&self, metadata: Metadata, wait_ms: u64) -> oneshot::Receiver<Answer> {
        self.request(Operation::Get { key: key("k") }, metadata, Some(wait_ms))
    }

    fn put(&self, metadata: Metadata) -> oneshot::Receiver<Answer> {
        self.request(put_k(), metadata, None)
    }

    async fn push(&self, writes: Vec<Write>) -> PushAnswer {
        let batch = batch(writes);
        let deliver = |reply| Deliver {
            batch,
            removed: false,
            reply,
        };
        self.actor.ask(deliver).await
    }

    /// A peer's digest comes in over a link that may be used for joins, or may not.
    async fn hear(&self, digest: Digest, may_join: bool) {
        self.actor.tell(DigestReceived { digest, may_join });
        // Its answer comes after the digest was considered, and what that led to was told before.
        self.status().await;
        pass(1).await;
    }

    /// The dots that the store was told to apply, in order.
    fn applied(&self) -> Vec<Dot> {
        let told = self.store.borrow();
        let applied = told.iter().flat_map(|message| match message {
            ToStore::ApplyWrites(apply) => dots(&apply.writes),
            ToStore::ApplyOwn(own) => vec![own.write.dot()],
            _ => Vec::new(),
        });
        applied.collect()
    }

    /// The writes that the broadcaster was told to push.
    fn published(&self) -> Vec<Write> {
        let told = self.broadcaster.borrow();
        let published = told.iter().filter_map(|message| match message {
            ToBroadcaster::Publish(publish) => Some(publish.write.clone()),
            _ => None,
        });
        published.collect()
    }

    /// The joins that the broadcaster was told to fetch.
    fn fetches(&self) -> Vec<FetchJoin> {
        let told = self.broadcaster.borrow();
        let fetches = told.iter().filter_map(|message| match message {
            ToBroadcaster::FetchJoin(fetch) => Some(fetch.clone()),
            _ => None,
        });
        fetches.collect()
    }

    fn asked(&self) -> Vec<causet::core::id::Address> {
        self.fetches().iter().map(|fetch| fetch.from).collect()
    }

    /// The digest of the latest heartbeat.
    fn last_digest(&self) -> Digest {
        let told = self.broadcaster.borrow();
        let beats = told.iter().rev().find_map(|message| match message {
            ToBroadcaster::Beat(beat) => Some(beat.digest.as_ref().clone()),
            _ => None,
        });
        beats.expect("a heartbeat was sent")
    }

    fn origin(&self) -> Origin {
        self.last_digest().from
    }

    /// Fills the store's mailbox until what is returned is dropped.
    async fn crowd_the_store(&self) -> Crowd {
        let hoarder = Hoarder(Told::default());
        let hoard = hoarder.0.clone();
        let edge = Edge::new(&hoarder.start(), &self.store_mail.depth);
        while edge.offer(()).is_ok() {}
        pass(1).await;
        Crowd { hoard }
    }
}

fn put_k() -> Operation {
    Operation::Put {
        key: key("k"),
        value: value("\"v\""),
    }
}

fn refusal(answer: Answer) -> Refusal {
    match answer.outcome {
        Outcome::Refused(refusal) => refusal,
        other => panic!("not refused but {other:?}"),
    }
}

/// Keeps its mail unopened, so that it counts as waiting.
struct Hoarder(Told<Mail<()>>);

impl Actor for Hoarder {
    type Context = Context<Self>;
}

impl Handler<Mail<()>> for Hoarder {
    type Result = ();

    fn handle(&mut self, mail: Mail<()>, _: &mut Context<Self>) {
        self.0.borrow_mut().push(mail);
    }
}

struct Crowd {
    hoard: Told<Mail<()>>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.hoard.borrow_mut().clear();
    }
}
