//! Forgetting, by operators and by marks of others.

mod own_accord;

use super::super::tests::*;
use super::super::*;
use super::TURN_MS;

const FORGET_AFTER_MS: u64 = 60_000;

/// Node 1 among nodes 1 to `size`, which forgets by age.
fn forgetful(size: u8) -> Membership {
    let parameters = Parameters {
        forget_after_ms: FORGET_AFTER_MS,
        ..PARAMETERS
    };
    node_with(parameters, size)
}

fn hear_marks(node: &mut Membership, marks: &[ForgetMark], now: Millis) -> Vec<Effect> {
    let heard = Heard {
        forgotten: marks.to_vec(),
        ..heard(2, 1_000)
    };
    node.hear(&heard, now)
}

fn entry(number: u8, ms: u64, forgotten: bool) -> RosterEntry {
    RosterEntry {
        address: address(number),
        life: if ms == 0 {
            Incarnation::UNKNOWN
        } else {
            life(ms)
        },
        forgotten,
        outside: false,
    }
}

fn hear_roster(node: &mut Membership, roster: &[RosterEntry], now: Millis) -> Vec<Effect> {
    let heard = Heard {
        roster: roster.to_vec(),
        ..heard(2, 1_000)
    };
    node.hear(&heard, now)
}

/// Each of `from` says that it takes all of `members`, and this node, for members.
fn take_in(node: &mut Membership, from: &[Origin], members: &[Origin], now: Millis) {
    let own = origin(1, 1_000);
    let entry = |of: &Origin| RosterEntry {
        address: of.address,
        life: of.incarnation,
        ..entry(1, 1_000, false)
    };
    let roster: Vec<RosterEntry> = [&own].into_iter().chain(members).map(entry).collect();
    for from in from {
        let heard = Heard {
            from: *from,
            roster: roster.clone(),
            ..heard(2, 1_000)
        };
        node.hear(&heard, now);
    }
}

fn firsts(numbers: &[u8]) -> Vec<Origin> {
    numbers
        .iter()
        .map(|number| origin(*number, 1_000))
        .collect()
}

fn take_in_each_other(node: &mut Membership, others: &[Origin], now: Millis) {
    take_in(node, others, others, now);
}

/// As the owner of the membership does, until `end`.
fn run_forgetting(node: &mut Membership, end: Millis) -> Vec<Effect> {
    let mut effects = Vec::new();
    while let Some(due) = node.next_due().filter(|due| *due <= end) {
        effects.extend(node.tick(due));
        effects.extend(node.forget_overdue(due, due));
    }
    effects
}

/// As that, with peers that live and answer.
fn run_with(node: &mut Membership, peers: &mut [Swim], from: Millis, end: Millis) -> Vec<Effect> {
    let mut effects = Vec::new();
    for now in (from..=end).step_by(10) {
        let mut new = run_forgetting(node, now);
        for peer in peers.iter_mut() {
            peer.advance(now);
            for (_, bytes) in peer.take_datagrams() {
                // What they say to each other is lost.
                new.extend(node.receive(&bytes, now).unwrap_or_default());
            }
            for effect in &new {
                if let Effect::Send { to, bytes } = effect
                    && *to == peer.identity().address
                {
                    peer.receive(&Datagram::parse(bytes).unwrap(), now).unwrap();
                }
            }
        }
        effects.extend(new);
    }
    effects
}

/// The members and the forgotten, as causality would be told now.
fn members_and_forgotten(node: &Membership) -> (Vec<Address>, Vec<Address>) {
    let told = node.told.iter().find_map(|effect| match effect {
        Effect::ViewChanged {
            members, forgotten, ..
        } => Some((members.clone(), forgotten.iter().map(|(a, _)| *a).collect())),
        _ => None,
    });
    told.expect("the state is given out at the start")
}

fn forgets(effects: &[Effect]) -> Vec<(Address, ForgetReason)> {
    let events = events(effects).into_iter();
    events
        .filter_map(|event| match event {
            Event::Forgets(mark, reason) => Some((mark.address, reason)),
            _ => None,
        })
        .collect()
}

/// A cluster of three that has lost node 3 at about 20 s, and node 2 as well.
fn alone_among_three() -> Membership {
    let mut node = forgetful(3);
    meet(&mut node, &mut swim(2, 1_000), 0);
    meet(&mut node, &mut swim(3, 1_000), 0);
    take_in_each_other(&mut node, &firsts(&[2, 3]), 0);
    run_forgetting(&mut node, 20_000);
    assert_eq!(node.view(), view(&[1]));
    node
}

#[test]
fn an_operator_forgets_a_member_that_is_down_and_it_is_no_member_any_more() {
    let mut node = alone_among_three();
    let (outcome, effects) = node.forget(address(3), 20_000, 5_000);
    assert_eq!(outcome, RemoveOutcome::Forgotten);
    assert_eq!(forgets(&effects), [(address(3), ForgetReason::Operator)]);
    let (members, forgotten) = members_and_forgotten(&node);
    assert_eq!((members, forgotten), (view(&[1, 2]), view(&[3])));
    let made = mark(1, 3, 1, 5_000);
    assert_eq!(node.marks.to_vec(), [made]);
    assert!(node.removals.cover(address(3), life(1_000)), "as by DELETE");
    assert_eq!(node.view(), view(&[1]), "and out by an operator's word");
}

#[test]
fn to_forget_again_changes_nothing_and_strangers_cannot_be_forgotten() {
    let mut node = alone_among_three();
    node.forget(address(3), 20_000, 5_000);
    let marks = node.marks.clone();
    let again = node.forget(address(3), 20_001, 6_000);
    assert_eq!(again, (RemoveOutcome::Forgotten, Vec::new()));
    assert_eq!(node.marks, marks);
    let stranger = node.forget(address(9), 20_001, 6_000);
    assert_eq!(stranger, (RemoveOutcome::NotInView, Vec::new()));
    assert_eq!(
        node.remove(address(3), 20_002, 6_000).0,
        RemoveOutcome::NotInView
    );
}

#[test]
fn a_live_member_that_is_forgotten_is_removed_and_stays_known_while_it_is_up() {
    let mut node = node(2);
    let mut peer = swim(2, 1_000);
    meet(&mut node, &mut peer, 0);
    node.forget(address(2), 1, 5_000);
    assert_eq!(node.view(), view(&[1]));
    assert_eq!(members_and_forgotten(&node), (view(&[1, 2]), view(&[2])));
    run(&mut node, 20_000);
    assert_eq!(members_and_forgotten(&node), (view(&[1]), view(&[2])));
    assert!(!node.is_configured(address(2)), "it is down now");
}

#[test]
fn a_node_can_be_told_to_forget_itself() {
    let mut node = node(1);
    let (outcome, effects) = node.forget(address(1), 0, 1);
    assert_eq!(outcome, RemoveOutcome::Forgotten);
    assert!(effects.contains(&Effect::ViewChanged {
        view: Vec::new(),
        removed: true,
        members: view(&[1]),
        incarnations: vec![(address(1), life(1_000))],
        forgotten: vec![(address(1), life(1_000))],
        voids: 0,
        map: ShardMap::implicit(),
    }));
    let other = node.add(address(9), 1, 1).0;
    assert_eq!(other, AddOutcome::Added);
    assert_eq!(node.forget(address(9), 2, 1).0, RemoveOutcome::NoSay);
    node.renew(life(2_000), 3);
    assert_eq!(node.forget(address(9), 4, 1).0, RemoveOutcome::Forgotten);
}

#[test]
fn of_one_that_was_never_met_the_lives_begun_by_then_are_forgotten() {
    let mut node = node(2);
    let forgot = node.forget(address(2), 0, 5_000).0;
    assert_eq!(forgot, RemoveOutcome::Forgotten);
    assert_eq!(members_and_forgotten(&node), (view(&[1]), view(&[2])));
    assert!(node.forgotten.covers(address(2), life(4_999)));
    assert!(!node.forgotten.covers(address(2), life(5_001)));
    meet(&mut node, &mut swim(2, 5_001), 1);
    assert_eq!(node.view(), view(&[1, 2]));
    assert_eq!(members_and_forgotten(&node).0, view(&[1, 2]));
}

#[test]
fn a_put_takes_the_forgotten_back_and_awaits_it_though_it_is_known_to_be_down() {
    let mut node = alone_among_three();
    node.forget(address(3), 20_000, 5_000);
    let (outcome, effects) = node.add(address(3), 21_000, 5_000);
    assert_eq!(outcome, AddOutcome::Added);
    assert_eq!(receivers(&effects), [address(3)]);
    run_forgetting(&mut node, 30_999);
    assert_eq!(node.view(), view(&[1, 3]));
    assert_eq!(
        members_and_forgotten(&node).0,
        view(&[1, 2]),
        "none to wait for"
    );
    run_forgetting(&mut node, 31_000);
    assert_eq!(node.view(), view(&[1]));
    assert!(!node.is_configured(address(3)));
}

#[test]
fn a_forgotten_member_that_returns_is_met_as_any_stranger() {
    let mut node = alone_among_three();
    hear_marks(&mut node, &[mark(2, 3, 2, 5)], 20_000);
    assert!(!node.is_configured(address(3)));
    let same_life = meet(&mut node, &mut swim(3, 1_000), 21_000);
    assert!(
        receivers(&same_life).contains(&address(3)),
        "it learns that it counts as down"
    );
    let effects = meet(&mut node, &mut swim(3, 2_000), 21_001);
    assert_eq!(events(&effects), [Event::Joined(address(3))]);
    assert_eq!(node.view(), view(&[1, 3]));
    assert_eq!(members_and_forgotten(&node).0, view(&[1, 2, 3]));
}

#[test]
fn a_forgotten_member_that_is_up_is_no_member_once_it_is_down() {
    let mut node = forgetful(2);
    hear_marks(&mut node, &[mark(3, 2, 2, 5)], 0);
    assert_eq!(members_and_forgotten(&node).0, view(&[1]));
    assert_eq!(node.view(), view(&[1, 2]), "it may come within its grace");
    meet(&mut node, &mut swim(2, 1_000), 1);
    assert_eq!(members_and_forgotten(&node), (view(&[1, 2]), view(&[2])));
    run_forgetting(&mut node, 60_000);
    assert_eq!(node.view(), view(&[1]));
    assert!(!node.is_configured(address(2)));
}

#[test]
fn news_that_the_forgotten_is_down_do_not_bring_it_back() {
    let mut node = forgetful(1);
    let (mut second, mut third) = (swim(2, 1_000), swim(3, 1_000));
    third.announce(second.identity(), 0);
    let (_, bytes) = third.take_datagrams().pop().unwrap();
    second
        .receive(&Datagram::parse(&bytes).unwrap(), 0)
        .unwrap();
    second.presume_all_down(0);
    second.take_datagrams();
    second.report_down(node.swim.identity());
    let (_, report) = second.take_datagrams().pop().unwrap();
    hear_marks(&mut node, &[mark(2, 3, 2, 5)], 0);
    node.receive(&report, 1).unwrap();
    assert!(!node.is_configured(address(3)));
    assert!(node.swim.members().all(|(i, _)| i.address != address(3)));
}

#[test]
fn the_forgotten_make_room_for_others_in_all_that_is_kept() {
    let parameters = Parameters {
        members_max: 3,
        ..PARAMETERS
    };
    let mut node = node_with(parameters, 1);
    let mut now = 0;
    for number in 2..100 {
        let effects = meet(&mut node, &mut swim(number, 1_000), now);
        assert!(events(&effects).contains(&Event::Joined(address(number))));
        run(&mut node, now + 10_000);
        now += 10_000;
        assert_eq!(node.view(), view(&[1]));
        let (outcome, _) = node.forget(address(number), now, now);
        assert_eq!(outcome, RemoveOutcome::Forgotten);
        assert_eq!(node.peers.len(), 0);
        assert!(node.swim.members().count() <= 3);
        assert!(node.removals.to_vec().len() <= 3);
    }
}

#[test]
fn marks_are_taken_over_whoever_sends_them() {
    let mut node = alone_among_three();
    let outlived = Heard {
        forgotten: vec![mark(2, 3, 2, 5)],
        ..heard(2, 1)
    };
    let effects = node.hear(&outlived, 20_000);
    let event = Event::Forgotten {
        address: address(3),
        life: life(1_000),
        maker: origin(2, 1_000),
    };
    assert_eq!(events(&effects), [event]);
    assert_eq!(events(&node.hear(&outlived, 20_001)), [], "it is known now");
}

#[test]
fn a_mark_that_turns_out_void_leaves_its_member_a_member() {
    let mut node = alone_among_three();
    hear_marks(&mut node, &[mark(2, 3, 1, 5)], 20_000);
    assert_eq!(members_and_forgotten(&node), (view(&[1, 2]), view(&[3])));
    let effects = hear_marks(&mut node, &[mark(4, 2, 2, 9)], 20_001);
    let forgotten = Event::Forgotten {
        address: address(2),
        life: life(1_000),
        maker: origin(4, 1_000),
    };
    let expected = [forgotten, Event::Remembered(address(3))];
    assert_eq!(events(&effects), expected);
    assert_eq!(members_and_forgotten(&node), (view(&[1, 3]), view(&[2])));
    assert_eq!(node.voids, 1);
}

#[test]
fn a_mark_that_is_dropped_because_there_are_too_many_was_not_void() {
    let mut node = alone_among_three();
    let one_more = u32::try_from(FORGET_MARKS_MAX).unwrap() + 1;
    let marks: Vec<ForgetMark> = (0..one_more)
        .map(|n| {
            let ip = std::net::Ipv4Addr::from(0x0A14_0000 + n);
            let address = format!("{ip}:8090").parse().unwrap();
            ForgetMark {
                address,
                ..mark(2, 3, 1, 5 + u64::from(n))
            }
        })
        .collect();
    for (n, marks) in marks.chunks(100).enumerate() {
        hear_marks(&mut node, marks, 20_000 + n as Millis);
    }
    assert!(!node.forgotten.covers(marks[0].address, life(1_000)));
    assert!(node.forgotten.covers(marks[1].address, life(1_000)));
    assert_eq!(node.voids, 0);
}

#[test]
fn two_that_have_forgotten_each_other_still_find_each_other() {
    let mut node = alone_among_three();
    let marks = [mark(2, 3, 2, 5), mark(3, 2, 2, 6), mark(1, 2, 3, 4)];
    hear_marks(&mut node, &marks, 20_000);
    assert_eq!(members_and_forgotten(&node), (view(&[1, 3]), view(&[2])));
    hear_marks(&mut node, &[mark(1, 3, 3, 4)], 20_000);
    assert_eq!(members_and_forgotten(&node).0, view(&[1]));
    let to = receivers(&run(&mut node, 20_000 + 6 * ANNOUNCE_MS));
    let times = |number| to.iter().filter(|a| **a == address(number)).count();
    assert!(to.len() <= 6, "at most one in each round: {to:?}");
    assert!(times(2) >= 2 && times(3) >= 2, "each in turn: {to:?}");
}

/// Neither is configured at the other any more, so no heartbeat tells them that they were forgotten.
#[test]
fn two_that_operators_have_had_forget_each_other_still_find_each_other_and_stay_out() {
    let mut node = alone_among_three();
    node.forget(address(3), 20_000, 5_000);
    let to = receivers(&run(&mut node, 20_000 + 2 * ANNOUNCE_MS));
    assert!(to.contains(&address(3)), "{to:?}");
    run_with(&mut node, &mut [swim(3, 1_000)], 21_000, 23_000);
    assert!(node.is_configured(address(3)), "heartbeats tell it");
    assert_eq!(node.view(), view(&[1]));
    meet(&mut node, &mut swim(3, 2_000), 23_000);
    assert_eq!(node.view(), view(&[1, 3]), "a later life is free");
}

#[test]
fn members_that_peers_know_become_members_although_they_are_down() {
    let mut node = node(2);
    let effects = hear_roster(&mut node, &[entry(5, 700, false), entry(6, 0, false)], 10);
    let to = receivers(&effects);
    assert!(to.contains(&address(5)) && to.contains(&address(6)));
    assert_eq!(node.view(), view(&[1, 2]), "down, and not awaited");
    assert_eq!(members_and_forgotten(&node).0, view(&[1, 2, 5, 6]));
    let lives: Vec<Incarnation> = [5, 6].map(|n| node.incarnation(address(n))).into();
    assert_eq!(lives, [life(700), Incarnation::UNKNOWN]);
    run(&mut node, 60_000);
    assert_eq!(members_and_forgotten(&node).0, view(&[1, 2, 5, 6]));
    hear_roster(
        &mut node,
        &[entry(5, 800, false), entry(1, 3_000, false)],
        60_000,
    );
    assert_eq!(node.incarnation(address(5)), life(800));
    assert_eq!(node.own_claimed, life(3_000));
}

#[test]
fn an_added_address_is_a_member_only_where_a_peer_knows_it_as_one() {
    let mut node = node(1);
    node.add(address(9), 0, 1);
    assert_eq!(members_and_forgotten(&node).0, view(&[1]));
    hear_roster(&mut node, &[entry(9, 0, false)], 1);
    run(&mut node, 60_000);
    assert!(members_and_forgotten(&node).0.contains(&address(9)));
}

#[test]
fn forgotten_lives_do_not_come_back_through_rosters() {
    let mut node = alone_among_three();
    hear_marks(&mut node, &[mark(2, 3, 2, 5)], 20_000);
    for known in [
        entry(3, 1_000, false),
        entry(3, 0, false),
        entry(3, 2_000, true),
    ] {
        hear_roster(&mut node, &[known], 20_001);
        assert!(!node.is_configured(address(3)), "{known:?}");
    }
    hear_roster(&mut node, &[entry(3, 2_000, false)], 20_002);
    assert!(node.is_configured(address(3)), "a later life is free");
}

#[test]
fn a_roster_beyond_the_limit_or_with_lives_that_cannot_be_is_left_alone() {
    let parameters = Parameters {
        members_max: 4,
        ..PARAMETERS
    };
    let mut node = node_with(parameters, 2);
    let impossible = RosterEntry {
        life: Incarnation::starting((1 << 51) - 1, 0),
        ..entry(3, 0, false)
    };
    hear_roster(&mut node, &[impossible], 0);
    let many: Vec<RosterEntry> = (3..30).map(|n| entry(n, 1_000, false)).collect();
    hear_roster(&mut node, &many, 0);
    assert_eq!(members_and_forgotten(&node).0, view(&[1, 2, 3, 4]));
    assert_eq!(node.incarnation(address(3)), life(1_000));
}

#[test]
fn a_node_that_stops_forgets_nobody() {
    let mut node = alone_among_three();
    node.leave(20_000);
    assert_eq!(node.forget_overdue(500_000, 1), []);
    assert_eq!(forgets(&node.make_room(500_000, 500_000, 1)), []);
}
