//! Ports that no two tests share, in whatever processes they run.
//!
//! A port is held by a lock on a file named after it, so it stays its test's own while the replica
//! behind it is down, and comes free when the test ends, however that happens. Ports lie below the
//! range from which the system takes the ports of outgoing connections, so that none of those
//! gets in the way of a restart.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// A port, TCP and UDP, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Port {
    /// The port.
    pub(crate) number: u16,
    _lock: File,
}

impl Port {
    /// A port that is free on all interfaces and that no other test holds.
    pub(crate) fn take() -> Self {
        let start = std::process::id().wrapping_mul(37) % u32::from(COUNT);
        let start = u16::try_from(start).expect("below COUNT");
        (0..COUNT)
            .map(|step| FIRST + (start + step) % COUNT)
            .find_map(Self::lock)
            .expect("one of 20,000 ports is free")
    }

    fn lock(number: u16) -> Option<Self> {
        let directory = std::env::temp_dir().join("causet-test-ports");
        std::fs::create_dir_all(&directory).expect("the directory of port locks");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join(number.to_string()))
            .expect("a port's lock file");
        match file.try_lock() {
            Ok(()) if is_free(number) => Some(Self {
                number,
                _lock: file,
            }),
            Ok(()) | Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => panic!("cannot lock port {number}: {error}"),
        }
    }
}

fn is_free(number: u16) -> bool {
    let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, number));
    let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, number));
    tcp.is_ok() && udp.is_ok()
}
