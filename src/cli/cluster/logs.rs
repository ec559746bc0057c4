//! What the replicas log, each line behind the address of who wrote it.
//!
//! A terminal that stands still must not hold up a replica: their pipes are always read, and lines that
//! the terminal does not take in time are counted instead of kept.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use causet::core::id::Address;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStderr;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Lines that wait for the terminal; beyond, they are dropped and counted.
const LINES_MAX: usize = 1_000;
/// A longer line is shown as several.
const LINE_MAX_BYTES: u64 = 8 << 10;
/// How long the end of the cluster waits for the terminal to take what is left.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

/// Merges the logs of all replicas into this process's standard error.
#[derive(Debug)]
pub(super) struct Logs {
    queue: Queue,
    printed: oneshot::Receiver<()>,
}

/// Lines on their way to the thread that prints them.
#[derive(Debug, Clone)]
struct Queue {
    lines: SyncSender<String>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    /// Never blocks.
    fn push(&self, line: String) {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Logs {
    /// Starts the thread that prints; a thread, since a terminal may block it.
    pub(super) fn start() -> std::io::Result<Self> {
        let (lines, to_print) = sync_channel(LINES_MAX);
        let (finished, printed) = oneshot::channel();
        let queue = Queue {
            lines,
            dropped: Arc::default(),
        };
        let dropped = Arc::clone(&queue.dropped);
        let thread = std::thread::Builder::new().name("logs".to_owned());
        thread.spawn(move || {
            print_all(&to_print, &dropped);
            let _ = finished.send(());
        })?;
        Ok(Self { queue, printed })
    }

    /// Prints a line of the cluster's own.
    pub(super) fn say(&self, line: &str) {
        self.queue.push(format!("causet: {line}\n"));
    }

    /// Prints what the replica at `address` writes to `stderr`, until that ends.
    pub(super) fn follow(&self, address: Address, stderr: ChildStderr) {
        let queue = self.queue.clone();
        actix_rt::spawn(async move {
            let mut stderr = BufReader::new(stderr);
            while let Some(line) = next_line(&mut stderr).await {
                queue.push(format!("{address} | {line}\n"));
            }
        });
    }

    /// Returns when all that was logged is printed; call it when the replicas have ended.
    pub(super) async fn finish(self) {
        drop(self.queue);
        let _ = timeout(FINISH_WITHIN, self.printed).await;
    }
}

async fn next_line(stderr: &mut BufReader<ChildStderr>) -> Option<String> {
    let mut line = Vec::new();
    let read = stderr
        .take(LINE_MAX_BYTES)
        .read_until(b'\n', &mut line)
        .await;
    read.is_ok_and(|bytes| bytes > 0)
        .then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn print_all(lines: &Receiver<String>, dropped: &AtomicU64) {
    while let Ok(line) = lines.recv() {
        let mut stderr = std::io::stderr().lock();
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(stderr, "causet: {lost} lines of log were not shown");
        }
        // A terminal that is gone is no reason to end the cluster.
        let _ = stderr.write_all(line.as_bytes());
    }
}
