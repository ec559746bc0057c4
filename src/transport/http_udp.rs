//! The real network: calls are HTTP POSTs, datagrams go over UDP, both to the replica's one port.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::Duration;

use awc::error::SendRequestError;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::{Call, CallError, PeerTransport};
use crate::core::id::Address;

/// Idle connections are closed by this side before the peer's server would, or a request would now
/// and then meet a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(15);

/// HTTP by awc and UDP by tokio.
#[derive(Debug)]
pub struct HttpUdp {
    socket: Option<UdpSocket>,
    clients: RefCell<BTreeMap<Address, Client>>,
    answer_max_bytes: usize,
}

/// One client for each peer, so that what is open towards it can be closed.
struct Client(awc::Client);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl HttpUdp {
    /// Sends datagrams from `socket`, which does not block; answers of more than `answer_max_bytes`
    /// are errors.
    pub fn new(socket: UdpSocket, answer_max_bytes: usize) -> Self {
        Self {
            socket: Some(socket),
            ..Self::without_datagrams(answer_max_bytes)
        }
    }

    /// For calls alone; datagrams are lost.
    pub fn without_datagrams(answer_max_bytes: usize) -> Self {
        Self {
            socket: None,
            clients: RefCell::default(),
            answer_max_bytes,
        }
    }

    fn client(&self, peer: Address) -> awc::Client {
        let mut clients = self.clients.borrow_mut();
        let client = clients.entry(peer).or_insert_with(|| Client(new_client()));
        client.0.clone()
    }
}

fn new_client() -> awc::Client {
    let connector = awc::Connector::new().conn_keep_alive(IDLE);
    awc::Client::builder()
        .connector(connector)
        // The whole call has one limit, set around it.
        .disable_timeout()
        .disable_redirects()
        .no_default_headers()
        .finish()
}

/// Where a call goes, below `/internal/`.
pub fn path(call: Call) -> String {
    format!("/internal/v{}/{}", crate::core::wire::PROTOCOL, call.name())
}

impl PeerTransport for HttpUdp {
    fn call(
        &self,
        to: Address,
        call: Call,
        body: Bytes,
        timeout: Duration,
    ) -> LocalBoxFuture<'static, Result<Bytes, CallError>> {
        let request = self.client(to).post(format!("http://{to}{}", path(call)));
        let answer_max_bytes = self.answer_max_bytes;
        let exchange = async move {
            let mut answer = request.send_body(body).await.map_err(call_error)?;
            let bytes = answer.body().limit(answer_max_bytes).await;
            let bytes = bytes.map_err(|error| CallError::BrokenOff(error.to_string()))?;
            match answer.status().as_u16() {
                200 => Ok(bytes),
                status => Err(CallError::Refused(status)),
            }
        };
        let limited = async move {
            let answer = tokio::time::timeout(timeout, exchange).await;
            answer.unwrap_or(Err(CallError::TimedOut(timeout)))
        };
        limited.boxed_local()
    }

    fn datagram(&self, to: Address, bytes: Bytes) {
        // Datagrams may get lost; one that cannot be sent now is as good as lost.
        let Some(socket) = &self.socket else {
            return;
        };
        if let Err(error) = socket.send_to(&bytes, to.socket()) {
            log::debug!("datagram to {to}: {error}");
        }
    }

    fn disconnect(&self, to: Address) {
        self.clients.borrow_mut().remove(&to);
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function to map errors with"
)]
fn call_error(error: SendRequestError) -> CallError {
    match error {
        SendRequestError::Connect(_) => CallError::Unreachable(error.to_string()),
        _ => CallError::BrokenOff(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_datagram_of_a_fresh_socket_is_sent() {
        actix_rt::System::new().block_on(async {
            let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
            let to = Address::try_from(receiver.local_addr().unwrap()).unwrap();
            let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
            sender.set_nonblocking(true).unwrap();
            HttpUdp::new(sender, 1).datagram(to, Bytes::from_static(b"hello"));
            let mut buffer = [0; 16];
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"hello");
        });
    }
}
