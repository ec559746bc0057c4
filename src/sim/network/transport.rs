//! The gate of one life of a node to the simulated network.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::Network;
use crate::core::id::Address;
use crate::transport::{Call, CallError, PeerTransport};

#[derive(Debug)]
pub(super) struct Transport {
    pub(super) me: Address,
    pub(super) life: u64,
    pub(super) network: Network,
}

impl Transport {
    fn is_over(&self) -> bool {
        let state = self.network.0.borrow();
        state.lives.get(&self.me) != Some(&self.life) || !state.nodes.contains_key(&self.me)
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
        if self.is_over() {
            return std::future::pending().boxed_local();
        }
        self.network.look(self.me);
        let exchange = self.network.clone().call(self.me, to, call, body);
        async move {
            let answered = tokio::time::timeout(timeout, exchange).await;
            answered.unwrap_or(Err(CallError::TimedOut(timeout)))
        }
        .boxed_local()
    }

    fn datagram(&self, to: Address, bytes: Bytes) {
        if self.is_over() {
            return;
        }
        self.network.look(self.me);
        if self.network.is_doubled() {
            actix_rt::spawn(self.network.clone().send(self.me, to, bytes.clone()));
        }
        actix_rt::spawn(self.network.clone().send(self.me, to, bytes));
    }

    fn disconnect(&self, _: Address) {}
}
