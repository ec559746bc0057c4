//! Being asked to stop: SIGINT and SIGTERM.
//!
//! The process may be number 1 of a container, for which the kernel has no default handlers.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both ways to end a command from outside, other than by force.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on the signals do not end the process by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
