//! A simulated network: delays, loses and cuts by seed, and remembers all of it as one hash.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use causet::core::id::Address;
use causet::node::Node;
use causet::transport::{Call, CallError, PeerTransport};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

/// The network that all nodes share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Network(Rc<RefCell<State>>);

struct State {
    rng: ChaCha8Rng,
    nodes: BTreeMap<Address, Rc<Node>>,
    /// Ordered pairs between which nothing passes.
    cut: BTreeSet<(Address, Address)>,
    began: Instant,
    events: DefaultHasher,
    count: u64,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(State {
            rng: ChaCha8Rng::seed_from_u64(seed),
            nodes: BTreeMap::new(),
            cut: BTreeSet::new(),
            began: Instant::now(),
            events: DefaultHasher::new(),
            count: 0,
        })))
    }

    /// The gate of one node to this network.
    pub(crate) fn transport(&self, me: Address) -> Rc<dyn PeerTransport> {
        let network = self.clone();
        Rc::new(Transport { me, network })
    }

    pub(crate) fn attach(&self, address: Address, node: Rc<Node>) {
        self.0.borrow_mut().nodes.insert(address, node);
    }

    pub(crate) fn detach(&self, address: Address) -> Option<Rc<Node>> {
        self.0.borrow_mut().nodes.remove(&address)
    }

    /// From now on nothing passes between `one` and the others, in both directions.
    pub(crate) fn cut_off(&self, one: Address, others: &[Address]) {
        let mut state = self.0.borrow_mut();
        for &other in others.iter().filter(|other| **other != one) {
            state.cut.insert((one, other));
            state.cut.insert((other, one));
        }
    }

    pub(crate) fn heal(&self) {
        self.0.borrow_mut().cut.clear();
    }

    /// How many events there were, and the hash of them all in their order.
    pub(crate) fn history(&self) -> (u64, u64) {
        let state = self.0.borrow();
        (state.count, state.events.finish())
    }

    /// Takes note of a passage and says how long it takes; `None` if it does not arrive.
    fn pass(&self, from: Address, to: Address, what: &str, bytes: &[u8]) -> Option<Duration> {
        let mut state = self.0.borrow_mut();
        let passes = !state.cut.contains(&(from, to));
        let delay = Duration::from_micros(state.rng.random_range(100..3_000));
        let at = state.began.elapsed();
        let event = (at, from.to_string(), to.to_string(), what, bytes, passes);
        event.hash(&mut state.events);
        state.count += 1;
        passes.then_some(delay)
    }

    fn node(&self, address: Address) -> Option<Rc<Node>> {
        self.0.borrow().nodes.get(&address).cloned()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

#[derive(Debug)]
struct Transport {
    me: Address,
    network: Network,
}

/// One way of a call or datagram; a lost one is never heard of again.
async fn travel(network: &Network, from: Address, to: Address, what: &str, bytes: &[u8]) {
    match network.pass(from, to, what, bytes) {
        Some(delay) => tokio::time::sleep(delay).await,
        None => std::future::pending().await,
    }
}

impl PeerTransport for Transport {
    fn call(
        &self,
        to: Address,
        call: Call,
        body: Bytes,
        timeout: Duration,
    ) -> LocalBoxFuture<'static, Result<Bytes, CallError>> {
        let (network, me) = (self.network.clone(), self.me);
        let exchange = async move {
            travel(&network, me, to, call.name(), &body).await;
            let refused = || CallError::Unreachable("connection refused".to_owned());
            let node = network.node(to).ok_or_else(refused)?;
            let answer = node.gateway().peer_call(call, &body).await;
            let answer = answer.map_err(|_| CallError::Refused(400))?;
            travel(&network, to, me, call.name(), &answer).await;
            Ok(answer)
        };
        async move {
            let answered = tokio::time::timeout(timeout, exchange).await;
            answered.unwrap_or(Err(CallError::TimedOut(timeout)))
        }
        .boxed_local()
    }

    fn datagram(&self, to: Address, bytes: Bytes) {
        let (network, me) = (self.network.clone(), self.me);
        if let Some(delay) = network.pass(me, to, "datagram", &bytes) {
            actix_rt::spawn(async move {
                tokio::time::sleep(delay).await;
                if let Some(node) = network.node(to) {
                    node.datagram(bytes);
                }
            });
        }
    }

    fn disconnect(&self, _: Address) {}
}
