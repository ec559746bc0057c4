//! How peers are reached: a call with an answer, a datagram without.
//!
//! [`PeerTransport`] is the only gate to the network, so that whole clusters of the real actors can
//! run over a simulated one. The node's own implementation is HTTP for calls and UDP for datagrams.

pub mod http_udp;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::future::LocalBoxFuture;

use crate::core::id::Address;

/// What a call asks of a peer; names the route below `/internal/v1/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Exchange of digests, at once the probe of the link.
    Heartbeat,
    /// A batch of writes in order.
    Push,
    /// A page of a state difference.
    Join,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Heartbeat, Self::Push, Self::Join];

    /// Its route's last segment, also its metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Push => "push",
            Self::Join => "join",
        }
    }
}

/// A call that brought no answer. The peer may or may not have acted on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody was reached, or the connection broke.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The peer answered with this HTTP status; it has not acted on the call.
    #[error("refused with status {0}")]
    Refused(u16),
}

/// The gate to the network, one per node, used by its actors only (so it need not be `Send`).
pub trait PeerTransport: fmt::Debug {
    /// Asks `to` and waits at most `timeout` for the answer.
    fn call(
        &self,
        to: Address,
        call: Call,
        body: Bytes,
        timeout: Duration,
    ) -> LocalBoxFuture<'static, Result<Bytes, CallError>>;

    /// Sends one datagram; loss is silent.
    fn datagram(&self, to: Address, bytes: Bytes);

    /// Closes what is open towards `to`, so that the next call is a fresh attempt.
    fn disconnect(&self, to: Address);
}
