//! One node of the real actors under whatever peers send and answer: it lives, what it sends is
//! understood, and its clients are served as long as they are to be.

#![no_main]

use std::rc::Rc;
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use causet::core::id::{Key, ShardId};
use causet::core::metadata::Metadata;
use causet::core::wire::{
    self, Batch, ForwardAnswer, Heartbeat, HeartbeatAnswer, JoinAnswer, JoinRequest, PushAnswer,
};
use causet::core::write::Value;
use causet::http::gateway::PeerProblem;
use causet::messages::causality::Operation;
use causet::messages::view::MapOutcome;
use causet::node::Node;
use causet::transport::Call;
use causet_fuzz::messages::{
    AnyBatch, AnyDatagram, AnyHeartbeat, AnyHeartbeatAnswer, AnyJoinAnswer, AnyJoinRequest,
    AnyPushAnswer, us,
};
use causet_fuzz::names::{AnyKey, address};
use causet_fuzz::world::{Peers, end, run, start};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Step {
    Heartbeat(AnyHeartbeat),
    Push(AnyBatch),
    Asked(AnyJoinRequest),
    RawCall(u8, Vec<u8>),
    Datagram(AnyDatagram),
    RawDatagram(Vec<u8>),
    AnswersHeartbeat(AnyHeartbeatAnswer),
    AnswersPush(AnyPushAnswer),
    AnswersJoin(AnyJoinAnswer),
    AnswersRaw(u8, Vec<u8>),
    Put(AnyKey, u16),
    Get(AnyKey),
    Delete(AnyKey),
    Add(u8),
    Remove(u8),
    AddMember(u8, u8),
    Reshard(u8),
    Wait(u16),
}

fn call_of(n: u8) -> Call {
    Call::ALL[usize::from(n) % Call::ALL.len()]
}

/// What the present client has observed, all of it here.
async fn take(step: Step, node: &Node, peers: &Peers, client: &mut Metadata) {
    match step {
        Step::Heartbeat(it) => {
            peer(node, Call::Heartbeat, &wire::encode(&Heartbeat::from(it))).await
        }
        Step::Push(it) => peer(node, Call::Push, &wire::encode(&Batch::from(it))).await,
        Step::Asked(it) => peer(node, Call::Join, &wire::encode(&JoinRequest::from(it))).await,
        Step::RawCall(n, bytes) => peer(node, call_of(n), &bytes).await,
        Step::Datagram(it) => node.datagram(it.bytes(us()).into()),
        Step::RawDatagram(bytes) => node.datagram(bytes.into()),
        Step::AnswersHeartbeat(it) => {
            peers.will_answer(Call::Heartbeat, wire::encode(&HeartbeatAnswer::from(it)));
        }
        Step::AnswersPush(it) => peers.will_answer(Call::Push, wire::encode(&PushAnswer::from(it))),
        Step::AnswersJoin(it) => peers.will_answer(Call::Join, wire::encode(&JoinAnswer::from(it))),
        Step::AnswersRaw(n, bytes) => peers.will_answer(call_of(n), bytes),
        Step::Put(key, bytes) => put(node, key.into(), usize::from(bytes), client).await,
        Step::Get(key) => ask(node, Operation::Get { key: key.into() }, client).await,
        Step::Delete(key) => ask(node, Operation::Delete { key: key.into() }, client).await,
        Step::Add(n) => drop(node.gateway().add(address(n)).await.expect("it lives")),
        Step::Remove(n) => drop(node.gateway().remove(address(n)).await.expect("it lives")),
        Step::AddMember(n, shard) => {
            let shard = ShardId(u32::from(shard % 4));
            impatiently(node.gateway().add_member(address(n), shard)).await;
        }
        Step::Reshard(shards) => {
            impatiently(node.gateway().reshard(usize::from(shards % 4))).await;
        }
        Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(u64::from(ms % 8_192))).await,
    }
}

/// Others have to agree, and may never do.
async fn impatiently(change: impl Future<Output = Option<MapOutcome>>) {
    let _ = tokio::time::timeout(Duration::from_millis(100), change).await;
}

async fn put(node: &Node, key: Key, bytes: usize, client: &mut Metadata) {
    let json = format!("\"{}\"", "x".repeat(bytes % 1_024));
    let value = Value::new(&json).expect("not nested");
    ask(node, Operation::Put { key, value }, client).await;
}

/// A peer's message is answered by one that the peer understands, or refused as none.
async fn peer(node: &Node, call: Call, body: &[u8]) {
    let understood = |answer: Bytes| match call {
        Call::Heartbeat => wire::decode::<HeartbeatAnswer>(&answer).map(drop),
        Call::Push => wire::decode::<PushAnswer>(&answer).map(drop),
        Call::Join => wire::decode::<JoinAnswer>(&answer).map(drop),
        Call::Forward => wire::decode::<ForwardAnswer>(&answer).map(drop),
    };
    match node.gateway().peer_call(call, body).await {
        Ok(answer) => understood(answer).expect("an answer to this call"),
        Err(PeerProblem::NotUnderstood(_)) => {}
        Err(problem) => panic!("{problem}"),
    }
}

async fn ask(node: &Node, operation: Operation, client: &mut Metadata) {
    let answer = node
        .gateway()
        .request(operation, client.clone(), None)
        .await;
    let answer = answer.expect("it lives");
    let (metadata, lost) = answer.metadata(client.clone());
    assert!(lost.values().all(|(from, to)| 1 <= *from && from <= to));
    assert_eq!(
        Metadata::from_json(&metadata.to_json()).as_ref(),
        Ok(&metadata)
    );
    *client = metadata;
}

/// Whatever happened, it answers, and takes itself for removed only if it says so.
async fn lives(node: &Node) {
    let gateway = node.gateway();
    let view = gateway.read_view().await.expect("it lives");
    assert!(view.len() <= 3 && view.is_sorted());
    gateway.read_digest().await.expect("it lives");
    gateway.metrics_text();
}

fuzz_target!(|steps: Vec<Step>| {
    run(async {
        let peers = Rc::new(Peers::default());
        let node = start(&[address(1)], peers.clone());
        let mut client = Metadata::default();
        for step in steps.into_iter().take(40) {
            take(step, &node, &peers, &mut client).await;
        }
        lives(&node).await;
        end(node).await;
    });
});
