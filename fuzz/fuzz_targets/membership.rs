//! Any datagrams and marks leave a membership within its limits, and what it sends is understood.

#![no_main]

use arbitrary::Arbitrary;
use causet::core::id::{Address, Incarnation, MapId};
use causet::core::sharding::map::ShardMap;
use causet::core::swim::{DATAGRAM_MAX, Datagram, Timing};
use causet::core::view::{
    Effect, FORGET_MARKS_MAX, ForgetMark, Heard, Membership, Parameters, Removal,
};
use causet_fuzz::messages::{AnyDatagram, AnyHeard, us};
use causet_fuzz::names::{WALL_MS, address};
use causet_fuzz::{assert_understood, received};
use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const MEMBERS_MAX: usize = 3;

#[derive(Arbitrary, Debug)]
enum Step {
    Datagram(AnyDatagram),
    Raw(Vec<u8>),
    Hear(AnyHeard),
    Add(u8),
    Remove(u8),
    Forget(u8),
    ForgetLongestDown,
    /// As the ordering point does when it learns of a later life of its own.
    Renew,
    Wait(u16),
    Leave,
}

struct Node {
    membership: Membership,
    now: u64,
    life: Incarnation,
    claimed: Incarnation,
    /// The map that was told last.
    map: MapId,
}

impl Node {
    fn take(&mut self, step: Step) {
        let (membership, now) = (&mut self.membership, self.now);
        let effects = match step {
            Step::Datagram(datagram) => {
                let bytes = datagram.bytes(us());
                membership.receive(&bytes, now).unwrap_or_default()
            }
            Step::Raw(bytes) => membership.receive(&bytes, now).unwrap_or_default(),
            Step::Hear(heard) => {
                let Heard {
                    from,
                    removals,
                    forgotten,
                    roster,
                    map,
                } = heard.into();
                let heard = Heard {
                    from,
                    removals: removals.iter().filter_map(received::<Removal>).collect(),
                    forgotten: forgotten
                        .iter()
                        .filter_map(received::<ForgetMark>)
                        .collect(),
                    roster: roster.iter().filter_map(received).collect(),
                    map: map.as_ref().and_then(received),
                };
                membership.hear(&heard, now)
            }
            Step::Add(n) => membership.add(address(n), now, WALL_MS).1,
            Step::Remove(n) => membership.remove(address(n), now, WALL_MS).1,
            Step::Forget(n) => membership.forget(address(n), now, WALL_MS).1,
            Step::ForgetLongestDown => membership.make_room(1_000, now, WALL_MS),
            // Once it has left, a new life changes nothing.
            Step::Renew if self.claimed > self.life && membership.next_due().is_some() => {
                self.life = self.claimed.succeeding(WALL_MS, 1);
                membership.renew(self.life, now)
            }
            Step::Renew => Vec::new(),
            Step::Wait(ms) => return self.wait(u64::from(ms % 4_096)),
            Step::Leave => membership.leave(now),
        };
        self.check(&effects);
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some(due) = self.membership.next_due().filter(|due| *due <= until) {
            assert!(due >= self.now, "time does not go back");
            self.now = due;
            let effects = self.membership.tick(due);
            self.check(&effects);
            let effects = self.membership.forget_overdue(due, WALL_MS);
            self.check(&effects);
            assert!(
                self.membership.next_due() > Some(due),
                "what was due is done"
            );
        }
        self.now = until;
    }

    fn check(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Send { to, bytes } => {
                    assert_ne!(*to, address(0));
                    assert!(bytes.len() <= DATAGRAM_MAX);
                    Datagram::parse(bytes).expect("what is sent is understood");
                }
                Effect::Log(_) => {}
                Effect::MembersChanged {
                    members,
                    removals,
                    forgotten,
                    map,
                } => {
                    assert_understood(map);
                    assert!(members.len() < MEMBERS_MAX);
                    assert!(members.is_sorted_by(|a, b| a.address < b.address));
                    assert!(removals.len() <= 2 * MEMBERS_MAX);
                    removals.iter().for_each(assert_understood);
                    assert!(forgotten.len() <= FORGET_MARKS_MAX);
                    forgotten.iter().for_each(assert_understood);
                }
                Effect::ViewChanged {
                    view,
                    removed,
                    members,
                    incarnations,
                    forgotten,
                    voids: _,
                    map,
                } => {
                    assert!(map.id() >= self.map);
                    self.map = map.id();
                    check_view(view, *removed);
                    assert!(members.contains(&address(0)) && members.len() <= MEMBERS_MAX);
                    assert!(members.is_sorted_by(|a, b| a < b));
                    assert!(forgotten.is_sorted_by(|a, b| a.0 < b.0));
                    let own = incarnations.iter().find(|(a, _)| *a == address(0));
                    self.claimed = own.expect("its own is known").1;
                    assert!(self.claimed >= self.life);
                }
            }
        }
        check_view(
            &self.membership.view(),
            !self.membership.view().contains(&address(0)),
        );
    }
}

fn check_view(view: &[Address], removed: bool) {
    assert_eq!(view.contains(&address(0)), !removed);
    assert!(view.is_sorted_by(|a, b| a < b));
    assert!(view.len() <= MEMBERS_MAX);
}

fuzz_target!(|steps: Vec<Step>| {
    let parameters = Parameters {
        timing: Timing {
            probe_period_ms: 250,
            probe_rtt_ms: 80,
            suspicion_ms: 1_000,
        },
        grace_ms: 1_000,
        forget_after_ms: 5_000,
        members_max: MEMBERS_MAX,
    };
    let rng = ChaCha8Rng::seed_from_u64(7);
    let mut node = Node {
        membership: Membership::new(
            parameters,
            us(),
            &[address(1)],
            ShardMap::implicit(),
            rng,
            0,
        ),
        now: 0,
        life: us().incarnation,
        claimed: us().incarnation,
        map: MapId::IMPLICIT,
    };
    node.wait(0);
    steps.into_iter().take(40).for_each(|step| node.take(step));
});
