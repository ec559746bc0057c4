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
    /// A client's request for a key of the peer's shard.
    Forward,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Heartbeat, Self::Push, Self::Join, Self::Forward];

    /// Its route's last segment, also its metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Push => "push",
            Self::Join => "join",
            Self::Forward => "forward",
        }
    }
}

/// A call that brought no answer. The peer may or may not have acted on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody was reached: the peer has not acted on the call.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The connection broke.
    #[error("broken off: {0}")]
    BrokenOff(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The peer answered with this HTTP status; it has not acted on the call.
    #[error("refused with status {0}")]
    Refused(u16),
}

impl CallError {
    /// Whether the peer may have acted on the call all the same.
    pub fn may_have_acted(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Refused(_) => false,
            Self::BrokenOff(_) | Self::TimedOut(_) => true,
        }
    }
}

/// The gate to the network, used in one thread (so it need not be `Send`).
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
