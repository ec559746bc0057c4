//! Who is forgotten, by whom, and what becomes of it.

use causet::core::roster::RosterEntry;
use causet::core::view::ForgetMark;
use causet::messages::view::ForgetLongestDown;

use super::*;

impl Stage {
    /// Node 1 among peers that were all seen up; it forgets after 8 s.
    async fn forgetful(size: u8) -> Self {
        let settings = config::Membership {
            forget_after_ms: 8_000,
            ..config::Membership::default()
        };
        let stage = Self::with(size, settings).once_all_are_up(size).await;
        stage.take_in_each_other(size).await;
        stage
    }

    /// All peers say that they take all for members.
    async fn take_in_each_other(&self, size: u8) {
        let entry = |number| RosterEntry {
            address: address(number),
            life: life(number),
            forgotten: false,
            outside: false,
        };
        let roster: Vec<RosterEntry> = (1..=size).map(entry).collect();
        for number in 2..=size {
            let roster = roster.clone();
            self.hear(Heard {
                roster,
                ..heard(number)
            })
            .await;
        }
    }

    async fn forget(&self, number: u8) -> RemoveOutcome {
        let address = address(number);
        let forget = |reply| RemoveReplica {
            address,
            forget: true,
            reply,
        };
        self.ask(forget).await
    }

    async fn hear(&self, heard: Heard) {
        self.tell(PeerHeard { heard });
        self.read_view().await;
    }

    /// Ends a peer and waits until it is missed.
    async fn lose(&mut self, number: u8) {
        let gone = address(number);
        self.peers.remove(&gone);
        let missed = |stage: &Self| !stage.views_told().last().unwrap().contains(&gone);
        self.run_until(5_000, missed).await;
    }

    fn last_told(&self) -> ViewChanged {
        self.views.borrow().last().unwrap().clone()
    }

    fn marks(&self) -> Vec<ForgetMark> {
        self.members.borrow().last().unwrap().forgotten.clone()
    }

    fn counted(&self, reason: &str) -> u64 {
        self.forgotten.with_label_values(&[reason]).get()
    }
}

fn mark(maker: u8, whom: u8, up: u16) -> ForgetMark {
    ForgetMark {
        address: address(whom),
        incarnation: life(whom),
        time: HlcTime {
            ms: 1_000_000,
            count: 0,
        },
        maker: origin(maker),
        up,
    }
}

#[test]
fn a_member_that_is_down_is_forgotten_by_an_operators_word() {
    in_virtual_time(async {
        let mut stage = Stage::with_all_up(3).await;
        stage.lose(3).await;
        assert_eq!(stage.remove(3).await, RemoveOutcome::NotInView);
        assert_eq!(stage.forget(9).await, RemoveOutcome::NotInView);
        assert_eq!(stage.forget(3).await, RemoveOutcome::Forgotten);
        let told = stage.last_told();
        assert_eq!(told.members, view(&[1, 2]));
        assert_eq!(told.forgotten, [(address(3), life(3))]);
        assert_eq!(stage.marks(), [mark(1, 3, 2)], "to be gossiped");
        let links = stage.members.borrow().last().unwrap().members.clone();
        assert_eq!(links.len(), 1, "no heartbeats to it");
        assert_eq!(stage.counted("operator"), 1);
        assert_eq!(stage.forget(3).await, RemoveOutcome::Forgotten);
        assert_eq!(stage.counted("operator"), 1);
    });
}

#[test]
fn a_live_member_that_is_forgotten_gets_heartbeats_that_say_so_until_it_is_down() {
    in_virtual_time(async {
        let mut stage = Stage::with_all_up(3).await;
        assert_eq!(stage.forget(3).await, RemoveOutcome::Forgotten);
        stage.run_for(5_000).await;
        assert_eq!(stage.read_view().await, view(&[1, 2]));
        let link = stage.members.borrow().last().unwrap().members[1];
        assert_eq!((link.address, link.removed), (address(3), true));
        assert_eq!(stage.last_told().members, view(&[1, 2, 3]));
        stage.peers.remove(&address(3));
        let gone = |stage: &Stage| stage.last_told().members == view(&[1, 2]);
        stage.run_until(5_000, gone).await;
    });
}

#[test]
fn this_node_itself_can_be_forgotten_here_or_by_a_peer() {
    in_virtual_time(async {
        let stage = Stage::with_all_up(2).await;
        assert_eq!(stage.forget(1).await, RemoveOutcome::Forgotten);
        let told = stage.last_told();
        assert!(told.removed);
        assert_eq!(told.forgotten, [(address(1), life(1))]);
        assert_eq!(stage.forget(2).await, RemoveOutcome::NoSay);

        let stage = Stage::with_all_up(2).await;
        let forgotten = vec![mark(2, 1, 1)];
        stage
            .hear(Heard {
                forgotten,
                ..heard(2)
            })
            .await;
        let told = stage.last_told();
        assert_eq!(told.forgotten, [(address(1), life(1))]);
        assert!(!told.removed, "only an operator removes");
    });
}

#[test]
fn a_member_down_for_the_time_set_is_forgotten_and_a_live_or_removed_one_is_not() {
    in_virtual_time(async {
        let mut stage = Stage::forgetful(4).await;
        stage.lose(3).await;
        assert_eq!(stage.remove(4).await, RemoveOutcome::Removed);
        stage.run_for(7_000).await;
        assert_eq!(stage.last_told().forgotten, []);
        let forgotten = |stage: &Stage| stage.last_told().forgotten == [(address(3), life(3))];
        stage.run_until(2_000, forgotten).await;
        assert_eq!(stage.last_told().members, view(&[1, 2, 4]));
        stage.run_for(20_000).await;
        assert_eq!(stage.marks().len(), 1);
        assert_eq!(stage.counted("age"), 1);
    });
}

#[test]
fn the_one_that_has_been_down_for_longest_is_forgotten_to_make_room() {
    in_virtual_time(async {
        let mut stage = Stage::with_all_up(5).await;
        stage.take_in_each_other(5).await;
        let crowded = ForgetLongestDown { crowded_ms: 60_000 };
        stage.tell(crowded);
        assert_eq!(stage.read_view().await, view(&[1, 2, 3, 4, 5]));
        assert_eq!(stage.marks(), [], "nobody is down");
        stage.lose(4).await;
        stage.lose(2).await;
        for expected in [&[4][..], &[2, 4]] {
            stage.run_for(6_000).await;
            stage.tell(crowded);
            stage.tell(crowded);
            stage.read_view().await;
            let told = stage.last_told().forgotten;
            let forgotten: Vec<Address> = told.iter().map(|(address, _)| *address).collect();
            assert_eq!(forgotten, view(expected));
        }
        assert_eq!(stage.counted("room"), 2);
    });
}

#[test]
fn a_forgotten_member_that_returns_with_its_memory_is_up_again_and_told_so() {
    in_virtual_time(async {
        let mut stage = Stage::forgetful(2).await;
        let kept = stage.peers.remove(&address(2)).unwrap();
        let forgotten = |stage: &Stage| stage.last_told().members == view(&[1]);
        stage.run_until(20_000, forgotten).await;
        // It has forgotten this node as well, and so says nothing by itself.
        stage.peers.insert(address(2), kept);
        let up = |stage: &Stage| stage.last_told().view == view(&[1, 2]);
        stage.run_until(3_000, up).await;
        let told = stage.last_told();
        assert_eq!(told.members, view(&[1, 2]));
        assert_eq!(told.forgotten, [(address(2), life(2))]);
        let links = stage.members.borrow().last().unwrap().clone();
        assert_eq!((links.members.len(), links.forgotten.len()), (1, 1));
    });
}

#[test]
fn what_peers_know_of_members_that_are_down_is_passed_on_unless_they_are_forgotten() {
    in_virtual_time(async {
        let stage = Stage::with_all_up(2).await;
        let entry = |number, forgotten| RosterEntry {
            address: address(number),
            life: life(number),
            forgotten,
            outside: false,
        };
        let roster = vec![entry(5, false), entry(6, true), entry(7, false)];
        stage
            .hear(Heard {
                forgotten: vec![mark(2, 7, 2)],
                roster,
                ..heard(2)
            })
            .await;
        let told = stage.last_told();
        assert_eq!(told.members, view(&[1, 2, 5]));
        assert!(told.incarnations.contains(&(address(5), life(5))));
        assert_eq!(told.view, view(&[1, 2]));
    });
}
