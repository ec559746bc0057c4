//! Whether a replica answers clients and peers, and why not; what it repairs itself by meanwhile.

use super::Millis;
use super::id::Domain;
use super::wire::{JoinRefusal, PushRefusal, Status};

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

/// What a digest of a peer may lead to here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mending {
    /// A join, if the peer has what is lacking here: [`Repair::consider`](super::repair::Repair::consider).
    ByLack,
    /// A join that brings all that the peer has: [`Repair::bootstrap`](super::repair::Repair::bootstrap).
    Whole,
    /// Nothing: it takes no writes now.
    No,
}

/// Whether what a peer has sent or asks for can be taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The domain that the peer means.
    pub theirs: Domain,
    /// The domain of this replica.
    pub own: Domain,
    /// Whether there is room for what is to be done.
    pub room: bool,
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

    /// Why a peer's push is not taken, if so. Nothing pushed is applied before the bootstrap join.
    pub fn refuses_push(&self, push: Admission) -> Option<PushRefusal> {
        match self.status() {
            Status::Starting | Status::Removed | Status::Stopping => Some(PushRefusal::NotServing),
            Status::Serving if push.theirs != push.own => Some(PushRefusal::OtherDomain),
            Status::Serving => (!push.room).then_some(PushRefusal::Overloaded),
        }
    }

    /// Why a peer's join is not answered, if so. A replica that is removed or on its way out is a source
    /// still, if it has caught up: it may be the only one that has some write.
    pub fn refuses_join(&self, join: Admission) -> Option<JoinRefusal> {
        if !self.has_caught_up() {
            Some(JoinRefusal::NotServing)
        } else if join.theirs != join.own {
            Some(JoinRefusal::OtherDomain)
        } else {
            (!join.room).then_some(JoinRefusal::Busy)
        }
    }

    /// Whether it has caught up since its start, or found nobody to catch up from.
    pub fn has_caught_up(&self) -> bool {
        self.starting_until.is_none()
    }

    /// What a digest of a peer may lead to.
    pub fn mending(&self) -> Mending {
        match self.status() {
            Status::Serving => Mending::ByLack,
            // The first live replica that is reached brings everything it has.
            Status::Starting => Mending::Whole,
            Status::Removed | Status::Stopping => Mending::No,
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

    /// It is born again: it waits for a live peer as at its start.
    pub fn start_again(&mut self, now: Millis) {
        self.starting_until = Some(now + self.grace_ms);
    }

    /// Whether it stands removed.
    pub fn is_removed(&self) -> bool {
        self.removed
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

    /// Starting, serving, removed, stopping.
    fn all_phases() -> [Serving; 4] {
        let starting = || Serving::starting(0, 500);
        let mut phases = [starting(), starting(), starting(), starting()];
        for phase in &mut phases[1..] {
            phase.caught_up();
        }
        phases[2].set_removed(true, 0);
        phases[3].stop();
        phases
    }

    #[test]
    fn a_push_is_taken_while_serving_a_join_is_answered_unless_starting() {
        let ours = Admission {
            theirs: Domain::UNSHARDED,
            own: Domain::UNSHARDED,
            room: true,
        };
        let foreign = Admission {
            theirs: Domain {
                shard: crate::core::id::ShardId(3),
                ..Domain::UNSHARDED
            },
            room: false,
            ..ours
        };
        let full = Admission {
            room: false,
            ..ours
        };
        let not_serving = Some(PushRefusal::NotServing);
        let starting = Some(JoinRefusal::NotServing);
        let phases = all_phases();
        let pushes = phases.each_ref().map(|phase| phase.refuses_push(ours));
        assert_eq!(pushes, [not_serving, None, not_serving, not_serving]);
        let joins = phases.each_ref().map(|phase| phase.refuses_join(ours));
        assert_eq!(joins, [starting, None, None, None]);
        for (admission, push, join) in [
            (foreign, PushRefusal::OtherDomain, JoinRefusal::OtherDomain),
            (full, PushRefusal::Overloaded, JoinRefusal::Busy),
        ] {
            assert_eq!(phases[1].refuses_push(admission), Some(push));
            assert_eq!(phases[1].refuses_join(admission), Some(join));
            assert_eq!(phases[0].refuses_push(admission), not_serving);
            assert_eq!(phases[0].refuses_join(admission), starting);
        }
    }

    #[test]
    fn one_that_was_removed_or_stopped_before_it_had_caught_up_is_no_source() {
        let ours = Admission {
            theirs: Domain::UNSHARDED,
            own: Domain::UNSHARDED,
            room: true,
        };
        let (mut removed, mut stopped) = (Serving::starting(0, 500), Serving::starting(0, 500));
        removed.set_removed(true, 0);
        stopped.stop();
        for serving in [removed, stopped] {
            assert!(!serving.has_caught_up());
            assert_eq!(serving.refuses_join(ours), Some(JoinRefusal::NotServing));
        }
    }

    #[test]
    fn it_repairs_itself_while_it_starts_or_serves() {
        let mending = all_phases().each_ref().map(Serving::mending);
        let expected = [Mending::Whole, Mending::ByLack, Mending::No, Mending::No];
        assert_eq!(mending, expected);
    }

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
