//! Ports that no two tests share, in whatever processes they run.
//!
//! A port is held by a lock on a file named after it, until the process that runs the tests ends. So it
//! stays its test's own while the replica behind it is down, and it is not given to the next test
//! while replicas of the last one, which die one after the other, still look for each other there.
//! Ports lie below the range from which the system takes the ports of outgoing connections, so
//! that none of those gets in the way of a restart.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Mutex;

const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// The locks of all ports that tests of this process were given.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port, TCP and UDP, that is free on all interfaces and that no other test was given.
pub(crate) fn take() -> u16 {
    // Processes that run tests begin far from each other, and so seldom meet at all.
    let start = std::process::id().wrapping_mul(37) % u32::from(COUNT);
    let start = u16::try_from(start).expect("below COUNT");
    let mut held = HELD.lock().expect("nobody panics while holding this");
    let (port, lock) = (0..COUNT)
        .map(|step| FIRST + (start + step) % COUNT)
        .find_map(|port| lock(port).map(|lock| (port, lock)))
        .expect("one of 20,000 ports is free");
    held.push(lock);
    port
}

fn lock(port: u16) -> Option<File> {
    let directory = std::env::temp_dir().join("causet-test-ports");
    std::fs::create_dir_all(&directory).expect("the directory of port locks");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join(port.to_string()))
        .expect("a port's lock file");
    match file.try_lock() {
        Ok(()) if is_free(port) => Some(file),
        Ok(()) | Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => panic!("cannot lock port {port}: {error}"),
    }
}

fn is_free(port: u16) -> bool {
    let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
    tcp.is_ok() && udp.is_ok()
}
