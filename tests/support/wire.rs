//! Wires between replicas that can be cut and mended, without any right on the machine.
//!
//! A replica listens at one loopback address and gives its peers another one, at which a relay
//! passes on what comes, TCP and UDP. While the wire is cut datagrams are lost and bytes of
//! connections are held, as a kernel holds what it cannot send; mended, the held bytes arrive late,
//! which a replica must bear with.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use super::waiting::pause;

const WHOLE: u8 = 0;
const CUT: u8 = 1;
const GONE: u8 = 2;

/// How often a relay looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// All wires of one cluster. Dropped, they end.
#[derive(Debug)]
pub(crate) struct Wire(Arc<AtomicU8>);

impl Wire {
    /// Relays from `outer` to `inner` at each of the ports.
    pub(crate) fn between(outer: IpAddr, inner: IpAddr, ports: impl Iterator<Item = u16>) -> Self {
        let state = Arc::new(AtomicU8::new(WHOLE));
        for port in ports {
            let (from, to) = (SocketAddr::new(outer, port), SocketAddr::new(inner, port));
            let listener = TcpListener::bind(from).expect("the wire's TCP port");
            let socket = UdpSocket::bind(from).expect("the wire's UDP port");
            let relay = Relay {
                to,
                state: state.clone(),
            };
            let second = relay.clone();
            thread::spawn(move || relay.accept(&listener));
            thread::spawn(move || second.pass_datagrams(&socket));
        }
        Self(state)
    }

    /// Nothing passes from now on.
    pub(crate) fn cut(&self) {
        self.0.store(CUT, Ordering::SeqCst);
    }

    /// Everything passes again.
    pub(crate) fn mend(&self) {
        self.0.store(WHOLE, Ordering::SeqCst);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.0.store(GONE, Ordering::SeqCst);
    }
}

#[derive(Debug, Clone)]
struct Relay {
    to: SocketAddr,
    state: Arc<AtomicU8>,
}

impl Relay {
    fn is(&self, state: u8) -> bool {
        self.state.load(Ordering::SeqCst) == state
    }

    fn accept(&self, listener: &TcpListener) {
        listener
            .set_nonblocking(true)
            .expect("a listener that does not block");
        while !self.is(GONE) {
            match listener.accept() {
                Ok((stream, _)) => {
                    let relay = self.clone();
                    thread::spawn(move || relay.connect(stream));
                }
                Err(_) => pause(),
            }
        }
    }

    fn connect(&self, near: TcpStream) {
        self.hold();
        let Ok(far) = TcpStream::connect(self.to) else {
            return;
        };
        // A stream that broke meanwhile makes its pump end at once.
        let setup = |stream: &TcpStream| {
            let _ = stream.set_nonblocking(false);
            let _ = stream.set_nodelay(true);
            let _ = stream.set_read_timeout(Some(LOOK));
        };
        setup(&near);
        setup(&far);
        let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else {
            return;
        };
        let relay = self.clone();
        thread::spawn(move || relay.pump(far_too, near_too));
        self.pump(near, far);
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while !self.is(GONE) {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.hold();
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                Err(error) if is_timeout(error.kind()) => {}
                Err(_) => break,
            }
        }
        self.hold();
        // The end of one direction ends both: no replica half-closes a connection.
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    }

    fn pass_datagrams(&self, socket: &UdpSocket) {
        let timeout = socket.set_read_timeout(Some(LOOK));
        timeout.expect("a socket with a timeout");
        let mut buffer = vec![0; 64 << 10];
        while !self.is(GONE) {
            if let Ok(count) = socket.recv(&mut buffer)
                && self.is(WHOLE)
            {
                // A datagram that cannot be sent is a datagram lost.
                let _ = socket.send_to(&buffer[..count], self.to);
            }
        }
    }

    /// Waits while the wire is cut.
    fn hold(&self) {
        while self.is(CUT) {
            pause();
        }
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
