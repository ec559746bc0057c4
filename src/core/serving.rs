//! Whether a replica answers clients, and why not.

use super::Millis;
use super::wire::Status;

/// The phases of a replica's life. It starts, until it has caught up from a live peer or none has
/// answered for long enough; it serves; it stops. An operator may take it out of the view meanwhile.
#[derive(Debug)]
pub struct Serving {
    /// Until when a live peer is waited for; `None` once caught up.
    starting_until: Option<Millis>,
    grace_ms: u64,
    removed: bool,
    stopping: bool,
}

impl Serving {
    /// Starting, and waiting for a live peer for `grace_ms`.
    pub fn starting(now: Millis, grace_ms: u64) -> Self {
        Self {
            starting_until: Some(now + grace_ms),
            grace_ms,
            removed: false,
            stopping: false,
        }
    }

    /// What it does for clients.
    pub fn status(&self) -> Status {
        if self.stopping {
            Status::Stopping
        } else if self.removed {
            Status::Removed
        } else if self.starting_until.is_some() {
            Status::Starting
        } else {
            Status::Serving
        }
    }

    /// Whether a live peer was waited for in vain. A removed replica waits for none, nor does one on its way out.
    pub fn waited_in_vain(&self, now: Millis) -> bool {
        !self.removed && !self.stopping && self.starting_until.is_some_and(|until| now >= until)
    }

    /// A live peer was reached, but the join from it failed: wait for another one, or for it again.
    pub fn wait_again(&mut self, now: Millis) {
        let until = now + self.grace_ms;
        self.starting_until = self.starting_until.map(|_| until);
    }

    /// It has what there is to have. True if it had been starting.
    pub fn caught_up(&mut self) -> bool {
        self.starting_until.take().is_some()
    }

    /// An operator's mark on this replica was set or taken back. Taken back before it had caught up, it
    /// looks for a live peer for the whole time again.
    pub fn set_removed(&mut self, removed: bool, now: Millis) {
        let taken_back = std::mem::replace(&mut self.removed, removed) && !removed;
        if taken_back {
            self.wait_again(now);
        }
    }

    /// On its way out; there is no way back.
    pub fn stop(&mut self) {
        self.stopping = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_serves_when_caught_up_or_when_nobody_answered() {
        let mut serving = Serving::starting(100, 500);
        assert_eq!(serving.status(), Status::Starting);
        assert!(!serving.waited_in_vain(599) && serving.waited_in_vain(600));
        serving.wait_again(600);
        assert!(!serving.waited_in_vain(1_099) && serving.waited_in_vain(1_100));
        assert!(serving.caught_up() && !serving.caught_up());
        assert_eq!(serving.status(), Status::Serving);
        serving.wait_again(600);
        assert_eq!(serving.status(), Status::Serving, "it does not start again");
    }

    #[test]
    fn a_replica_removed_while_it_starts_goes_on_starting_when_it_is_back() {
        let mut serving = Serving::starting(0, 500);
        serving.set_removed(true, 100);
        assert!(!serving.waited_in_vain(9_000));
        serving.set_removed(false, 9_000);
        assert_eq!(serving.status(), Status::Starting);
        assert!(!serving.waited_in_vain(9_499) && serving.waited_in_vain(9_500));
    }

    #[test]
    fn a_replica_stopped_while_it_starts_never_serves() {
        let mut serving = Serving::starting(0, 500);
        serving.stop();
        assert!(!serving.waited_in_vain(9_000));
        assert_eq!(serving.status(), Status::Stopping);
    }

    #[test]
    fn a_removed_replica_serves_again_when_the_mark_is_taken_back() {
        let mut serving = Serving::starting(0, 500);
        serving.caught_up();
        serving.set_removed(true, 0);
        assert_eq!(serving.status(), Status::Removed);
        serving.set_removed(false, 0);
        assert_eq!(serving.status(), Status::Serving);
        serving.stop();
        assert_eq!(serving.status(), Status::Stopping);
    }
}
