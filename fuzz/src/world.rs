//! One node of the real actors, in this thread, under a clock that moves when nothing else can.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::{System, SystemRunner};
use bytes::Bytes;
use causet::config::Settings;
use causet::core::id::Address;
use causet::core::swim::Datagram;
use causet::core::wire;
use causet::core::wire::{Batch, Forward, Heartbeat, JoinRequest};
use causet::node::{Node, World};
use causet::time::WallClock;
use causet::transport::{Call, CallError, PeerTransport};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::names::{WALL_MS, address};

/// Wall time that stands still.
#[derive(Debug)]
struct Stopped;

impl WallClock for Stopped {
    fn now_ms(&self) -> u64 {
        WALL_MS
    }
}

/// Answers each call with the next that is held ready for its kind; nobody is reached where none is.
#[derive(Debug, Default)]
pub struct Peers(RefCell<[VecDeque<Bytes>; Call::ALL.len()]>);

impl Peers {
    /// Holds an answer ready.
    pub fn will_answer(&self, call: Call, answer: Vec<u8>) {
        self.0.borrow_mut()[call as usize].push_back(answer.into());
    }
}

/// What a node sends is understood by every other.
fn check_sent(call: Call, body: &[u8]) {
    match call {
        Call::Heartbeat => drop(wire::decode::<Heartbeat>(body).expect("a heartbeat")),
        Call::Push => {
            let batch = wire::decode::<Batch>(body).expect("a batch");
            drop(batch.check().expect("a consistent batch"));
        }
        Call::Join => drop(wire::decode::<JoinRequest>(body).expect("a join request")),
        Call::Forward => drop(wire::decode::<Forward>(body).expect("a request")),
    }
}

impl PeerTransport for Peers {
    fn call(
        &self,
        _: Address,
        call: Call,
        body: Bytes,
        _: Duration,
    ) -> LocalBoxFuture<'static, Result<Bytes, CallError>> {
        check_sent(call, &body);
        let answer = self.0.borrow_mut()[call as usize].pop_front();
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            answer.ok_or_else(|| CallError::Unreachable("nobody there".to_owned()))
        }
        .boxed_local()
    }

    fn datagram(&self, _: Address, bytes: Bytes) {
        Datagram::parse(&bytes).expect("a datagram");
    }

    fn disconnect(&self, _: Address) {}
}

/// A node at the first address, with the limits set low so that they are met.
pub fn start(view: &[Address], peers: Rc<Peers>) -> Node {
    let mut settings = Settings::new(address(0), view.to_vec());
    settings.limits.body_max_bytes = 2_048;
    settings.limits.parked_max = 2;
    settings.limits.store_max_bytes = 8_192;
    settings.replication.buffer_max_writes = 4;
    settings.replication.outbox_max_writes = 3;
    settings.replication.batch_max_writes = 2;
    settings.replication.batch_max_bytes = 1_024;
    settings.replication.join_sessions_max = 1;
    settings.membership.members_max = 3;
    let world = World {
        transport: peers,
        wall: Arc::new(Stopped),
        seed: 7,
    };
    Node::start(&settings, world)
}

/// Runs a story with a system of its own thread, made once; each story starts and [ends](end) its nodes.
pub fn run(story: impl Future<Output = ()> + 'static) {
    thread_local! {
        static SYSTEM: SystemRunner = System::with_tokio_rt(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .expect("a runtime")
        });
    }
    SYSTEM.with(|system| system.block_on(story));
}

/// Stops a node and lets its actors go.
pub async fn end(node: Node) {
    node.halt();
    drop(node);
    tokio::time::sleep(Duration::from_secs(21)).await;
}
