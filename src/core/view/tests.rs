use super::*;
use crate::core::stamp::HlcTime;

pub(super) const PARAMETERS: Parameters = Parameters {
    timing: Timing {
        probe_period_ms: 250,
        probe_rtt_ms: 80,
        suspicion_ms: 1_000,
    },
    grace_ms: 10_000,
    forget_after_ms: 0,
    members_max: 20,
};

/// The node with this number.
pub(super) fn address(number: u8) -> Address {
    format!("10.10.0.{number}:8090")
        .parse()
        .expect("an address")
}

pub(super) fn life(ms: u64) -> Incarnation {
    Incarnation::starting(ms, 0)
}

pub(super) fn origin(number: u8, ms: u64) -> Origin {
    Origin {
        address: address(number),
        incarnation: life(ms),
    }
}

/// `maker` forgets node `whom`, both in life 1,000, with so many up at that time.
pub(super) fn mark(maker: u8, whom: u8, up: u16, ms: u64) -> ForgetMark {
    ForgetMark {
        address: address(whom),
        incarnation: life(1_000),
        time: HlcTime { ms, count: 0 },
        maker: origin(maker, 1_000),
        up,
    }
}

/// A heartbeat of this node in this life that knows nothing else.
pub(super) fn heard(number: u8, ms: u64) -> Heard {
    Heard {
        from: Origin {
            address: address(number),
            incarnation: life(ms),
        },
        removals: Vec::new(),
        forgotten: Vec::new(),
        roster: Vec::new(),
        map: None,
    }
}

fn heard_of(removals: &[Removal]) -> Heard {
    Heard {
        removals: removals.to_vec(),
        ..heard(2, 1_000)
    }
}

/// Node 1, in its first life, among nodes 1 to `size`, its start given out.
pub(super) fn node(size: u8) -> Membership {
    node_with(PARAMETERS, size)
}

pub(super) fn node_with(parameters: Parameters, size: u8) -> Membership {
    use rand::SeedableRng;
    let view: Vec<Address> = (1..=size).map(address).collect();
    let identity = Identity::new(address(1), life(1_000));
    let rng = ChaCha8Rng::seed_from_u64(1);
    let mut node = Membership::new(parameters, identity, &view, ShardMap::implicit(), rng, 0);
    node.tick(0);
    node
}

/// A peer's SWIM, to make datagrams with.
pub(super) fn swim(number: u8, ms: u64) -> Swim {
    use rand::SeedableRng;
    let identity = Identity::new(address(number), life(ms));
    Swim::new(identity, PARAMETERS.timing, ChaCha8Rng::seed_from_u64(2))
}

/// Lets the peer announce itself to `node`.
pub(super) fn meet(node: &mut Membership, peer: &mut Swim, now: Millis) -> Vec<Effect> {
    peer.announce(node.swim.identity(), now);
    let (_, bytes) = peer.take_datagrams().pop().expect("an announcement");
    node.receive(&bytes, now).expect("it is well-formed")
}

pub(super) fn events(effects: &[Effect]) -> Vec<Event> {
    let event = |effect: &Effect| match effect {
        Effect::Log(event) => Some(*event),
        _ => None,
    };
    effects.iter().filter_map(event).collect()
}

/// Whom this sends datagrams to.
pub(super) fn receivers(effects: &[Effect]) -> Vec<Address> {
    let to = |effect: &Effect| match effect {
        Effect::Send { to, .. } => Some(*to),
        _ => None,
    };
    effects.iter().filter_map(to).collect()
}

/// Runs `node` alone until `end` and gathers what it did.
pub(super) fn run(node: &mut Membership, end: Millis) -> Vec<Effect> {
    let mut effects = Vec::new();
    while let Some(due) = node.next_due().filter(|due| *due <= end) {
        effects.extend(node.tick(due));
    }
    effects
}

pub(super) fn view(numbers: &[u8]) -> Vec<Address> {
    numbers.iter().map(|number| address(*number)).collect()
}

#[test]
fn members_never_seen_stay_in_the_view_until_the_grace_ends_and_are_announced_to_ever_after() {
    let mut node = node(3);
    run(&mut node, 9_999);
    assert_eq!(node.view(), view(&[1, 2, 3]));
    let effects = run(&mut node, 10_000);
    assert_eq!(node.view(), view(&[1]));
    let expected = [Event::Unanswered(address(2)), Event::Unanswered(address(3))];
    assert_eq!(events(&effects), expected);
    let later = run(&mut node, 11_000);
    assert_eq!(receivers(&later).len(), 8, "two members, four rounds");
}

#[test]
fn a_report_of_a_member_down_ends_its_grace() {
    let mut node = node(3);
    let (mut second, mut third) = (swim(2, 1_000), swim(3, 500));
    third.announce(second.identity(), 0);
    let (_, bytes) = third.take_datagrams().pop().unwrap();
    second
        .receive(&Datagram::parse(&bytes).unwrap(), 0)
        .unwrap();
    second.presume_all_down(0);
    meet(&mut node, &mut second, 10);
    assert_eq!(node.view(), view(&[1, 2, 3]), "nothing was said yet");
    second.take_datagrams();
    second.report_down(node.swim.identity());
    let (_, bytes) = second.take_datagrams().pop().unwrap();
    let effects = node.receive(&bytes, 20).unwrap();
    assert_eq!(events(&effects), [Event::Unanswered(address(3))]);
    assert_eq!(node.view(), view(&[1, 2]));
}

#[test]
fn a_lost_peer_is_one_event_and_its_return_another() {
    let mut node = node(2);
    let mut peer = swim(2, 1_000);
    let joined = meet(&mut node, &mut peer, 0);
    assert_eq!(events(&joined), [Event::Joined(address(2))]);
    let effects = run(&mut node, 60_000);
    assert_eq!(events(&effects), [Event::Lost(address(2))]);
    let mut restarted = swim(2, 2_000);
    let back = meet(&mut node, &mut restarted, 60_000);
    assert_eq!(events(&back), [Event::Back(address(2))]);
    let mut again = swim(2, 3_000);
    let restarted = meet(&mut node, &mut again, 60_001);
    assert_eq!(events(&restarted), [Event::Restarted(address(2))]);
}

#[test]
fn a_removed_member_stays_out_though_alive_until_it_restarts() {
    let mut node = node(2);
    let mut peer = swim(2, 1_000);
    meet(&mut node, &mut peer, 0);
    let (outcome, effects) = node.remove(address(2), 1, 5_000);
    assert_eq!(outcome, RemoveOutcome::Removed);
    assert_eq!(events(&effects), [Event::Removed(address(2))]);
    meet(&mut node, &mut peer, 2);
    assert_eq!(node.view(), view(&[1]));
    assert_eq!(
        node.remove(address(2), 3, 5_001).0,
        RemoveOutcome::NotInView
    );
    let effects = meet(&mut node, &mut swim(2, 2_000), 4);
    assert_eq!(events(&effects), [Event::Readmitted(address(2))]);
    assert_eq!(node.view(), view(&[1, 2]));
}

#[test]
fn a_removed_member_is_known_to_the_broadcaster_as_such_and_not_announced_to() {
    let mut node = node(2);
    let (_, effects) = node.remove(address(2), 0, 5_000);
    let removal = Removal {
        address: address(2),
        incarnation: Incarnation::UNKNOWN,
        time: HlcTime {
            ms: 5_000,
            count: 0,
        },
        removed: true,
    };
    assert!(effects.contains(&Effect::MembersChanged {
        members: vec![Member {
            address: address(2),
            removed: true,
            shard_peer: true,
        }],
        removals: vec![removal],
        forgotten: Vec::new(),
        map: ShardMap::implicit(),
    }));
    assert_eq!(receivers(&run(&mut node, 5_000)), []);
    meet(&mut node, &mut swim(2, 1), 5_000);
    assert_eq!(
        node.view(),
        view(&[1, 2]),
        "a first life is free of the mark"
    );
}

#[test]
fn a_put_takes_back_with_a_newer_mark_even_where_the_wall_clock_is_behind() {
    let mut node = node(2);
    meet(&mut node, &mut swim(2, 1_000), 0);
    node.remove(address(2), 1, 5_000);
    let (outcome, effects) = node.add(address(2), 2, 4_000);
    assert_eq!(outcome, AddOutcome::Added);
    assert_eq!(events(&effects), [Event::Readmitted(address(2))]);
    assert_eq!(node.view(), view(&[1, 2]));
    assert_eq!(node.add(address(2), 3, 4_000).0, AddOutcome::AlreadyPresent);
    let marks = node.removals.to_vec();
    assert_eq!(marks.len(), 1);
    assert_eq!(
        marks[0].time,
        HlcTime {
            ms: 5_000,
            count: 1
        }
    );
    assert!(!marks[0].removed);
}

#[test]
fn marks_agree_whatever_the_order_in_which_they_arrive() {
    let mark = |ms, removed| Removal {
        address: address(2),
        incarnation: life(1_000),
        time: HlcTime { ms, count: 0 },
        removed,
    };
    let marks = [mark(1, true), mark(3, false), mark(2, true), mark(3, true)];
    let merged = |order: [usize; 4]| {
        let mut node = node(2);
        for index in order {
            node.hear(&heard_of(&[marks[index]]), 0);
        }
        (node.removals.to_vec(), node.view())
    };
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        assert_eq!(merged(order), (vec![mark(3, true)], view(&[1])));
    }
}

#[test]
fn a_mark_from_no_time_that_can_be_is_ignored() {
    let mut node = node(2);
    let mark = Removal {
        address: address(1),
        incarnation: life(9_000),
        time: HlcTime {
            ms: u64::MAX,
            count: u32::MAX,
        },
        removed: true,
    };
    node.hear(&heard_of(&[mark]), 0);
    assert_eq!(node.view(), view(&[1, 2]));
    assert_eq!(node.remove(address(2), 1, 1).0, RemoveOutcome::Removed);
}

#[test]
fn an_added_address_that_never_answers_is_in_the_view_for_a_grace_and_then_forgotten() {
    let mut node = node(1);
    run(&mut node, 60_000);
    let (outcome, effects) = node.add(address(9), 60_000, 1);
    assert_eq!(outcome, AddOutcome::Added);
    assert_eq!(receivers(&effects), [address(9)]);
    run(&mut node, 69_999);
    assert_eq!(node.view(), view(&[1, 9]));
    let effects = run(&mut node, 70_000);
    assert_eq!(events(&effects), [Event::Unanswered(address(9))]);
    assert_eq!(node.view(), view(&[1]));
    assert!(effects.contains(&Effect::MembersChanged {
        members: Vec::new(),
        removals: Vec::new(),
        forgotten: Vec::new(),
        map: ShardMap::implicit(),
    }));
    assert_eq!(receivers(&run(&mut node, 80_000)), []);
}

#[test]
fn a_lost_member_that_is_added_is_awaited_although_it_is_still_reported_down() {
    let mut node = node(2);
    meet(&mut node, &mut swim(2, 1_000), 0);
    run(&mut node, 20_000);
    assert_eq!(node.view(), view(&[1]));
    assert_eq!(node.add(address(2), 20_000, 1).0, AddOutcome::Added);
    run(&mut node, 29_999);
    assert_eq!(node.view(), view(&[1, 2]));
    run(&mut node, 30_000);
    assert_eq!(node.view(), view(&[1]));
    assert_eq!(node.peers.len(), 1, "it stays configured");
}

#[test]
fn a_removal_that_arrives_after_a_rebirth_holds_and_one_that_arrives_after_a_restart_does_not() {
    let on = |ms| Removal {
        address: address(1),
        incarnation: life(ms),
        time: HlcTime { ms: 1, count: 0 },
        removed: true,
    };
    let mut reborn = node(2);
    reborn.renew(life(2_000), 0);
    let effects = reborn.hear(&heard_of(&[on(1_000)]), 1);
    assert!(events(&effects).contains(&Event::Removed(address(1))));
    assert_eq!(
        reborn.removals.to_vec(),
        [on(2_000)],
        "as others are to know it"
    );
    assert_eq!(reborn.view(), view(&[2]));
    reborn.renew(life(3_000), 2);
    assert_eq!(
        reborn.view(),
        view(&[2]),
        "nor does one more rebirth end it"
    );
    // This one was restarted with its clock set back, and is told of the life before.
    let mut restarted = node(2);
    restarted.renew(life(3_000), 0);
    restarted.hear(&heard_of(&[on(2_000)]), 1);
    assert_eq!(restarted.view(), view(&[1, 2]));
}

#[test]
fn a_node_removes_itself_and_takes_itself_back() {
    let mut node = node(1);
    assert_eq!(node.add(address(1), 0, 1).0, AddOutcome::AlreadyPresent);
    let (outcome, effects) = node.remove(address(1), 0, 1);
    assert_eq!(outcome, RemoveOutcome::Removed);
    assert_eq!(events(&effects), [Event::Removed(address(1))]);
    assert!(effects.contains(&Effect::ViewChanged {
        view: Vec::new(),
        removed: true,
        members: view(&[1]),
        incarnations: vec![(address(1), life(1_000))],
        forgotten: Vec::new(),
        voids: 0,
        map: ShardMap::implicit(),
    }));
    assert_eq!(node.remove(address(1), 1, 1).0, RemoveOutcome::NotInView);
    assert_eq!(node.add(address(1), 2, 1).0, AddOutcome::Added);
    assert_eq!(node.view(), view(&[1]));
}

#[test]
fn a_heartbeat_of_an_unknown_address_makes_it_a_member_that_is_announced_to_at_once() {
    let mut node = node(1);
    let effects = node.hear(&heard(5, 700), 10);
    assert_eq!(receivers(&effects), [address(5)]);
    assert_eq!(
        node.view(),
        view(&[1]),
        "a heartbeat alone does not make it up"
    );
    assert!(effects.contains(&Effect::ViewChanged {
        view: view(&[1]),
        removed: false,
        members: view(&[1, 5]),
        incarnations: vec![(address(1), life(1_000)), (address(5), life(700))],
        forgotten: Vec::new(),
        voids: 0,
        map: ShardMap::implicit(),
    }));
    run(&mut node, 60_000);
    assert_eq!(node.peers.len(), 1, "it was met, so it stays");
}

#[test]
fn a_later_life_claimed_for_this_node_is_passed_on_and_a_renewal_follows_it() {
    let mut node = node(2);
    let mut peer = swim(2, 1_000);
    let claimed = Identity::new(address(1), life(9_000));
    peer.announce(claimed, 0);
    let (_, bytes) = peer.take_datagrams().pop().unwrap();
    let effects = node.receive(&bytes, 0).unwrap();
    let told = |incarnation| Effect::ViewChanged {
        view: view(&[1, 2]),
        removed: false,
        members: view(&[1, 2]),
        incarnations: vec![(address(1), incarnation), (address(2), life(1_000))],
        forgotten: Vec::new(),
        voids: 0,
        map: ShardMap::implicit(),
    };
    assert!(effects.contains(&told(life(9_000))));
    assert_eq!(node.swim.identity().incarnation, life(1_000));
    let effects = node.renew(life(9_001), 1);
    assert!(effects.contains(&told(life(9_001))));
    assert_eq!(node.swim.identity().incarnation, life(9_001));
}

#[test]
fn beyond_the_limit_newcomers_are_refused_and_news_of_them_dropped() {
    let limited = Parameters {
        members_max: 3,
        ..PARAMETERS
    };
    let mut node = node_with(limited, 2);
    let mut peer = swim(2, 1_000);
    meet(&mut node, &mut peer, 0);
    assert_eq!(node.add(address(3), 0, 1).0, AddOutcome::Added);
    assert_eq!(node.add(address(4), 0, 1).0, AddOutcome::TooMany);
    node.hear(&heard(4, 1_000), 0);
    let mut stranger = swim(4, 1_000);
    stranger.announce(node.swim.identity(), 0);
    let (_, bytes) = stranger.take_datagrams().pop().unwrap();
    let refused = node.receive(&bytes, 0);
    assert_eq!(refused, Err(DatagramError::TooManyMembers(address(4))));
    // The second node knows the fourth and says so.
    let mut hello = swim(4, 1_000);
    hello.announce(peer.identity(), 0);
    let (_, bytes) = hello.take_datagrams().pop().unwrap();
    peer.receive(&Datagram::parse(&bytes).unwrap(), 0).unwrap();
    peer.take_datagrams();
    peer.presume_all_down(0);
    peer.report_down(node.swim.identity());
    let (_, bytes) = peer.take_datagrams().pop().unwrap();
    node.receive(&bytes, 0).unwrap();
    assert_eq!(node.view(), view(&[1, 2, 3]));
    assert!(!node.is_configured(address(4)));
}

#[test]
fn a_process_that_was_stopped_does_not_take_itself_for_cut_off() {
    let mut node = node(2);
    meet(&mut node, &mut swim(2, 1_000), 0);
    let effects = node.tick(60_000);
    assert_eq!(events(&effects), []);
    assert_eq!(node.view(), view(&[1, 2]));
}

#[test]
fn after_the_goodbye_nothing_is_due_sent_or_changed() {
    let mut node = node(2);
    let mut peer = swim(2, 1_000);
    meet(&mut node, &mut peer, 0);
    assert_eq!(receivers(&node.leave(1)), [address(2)]);
    assert_eq!(node.next_due(), None);
    assert_eq!(meet(&mut node, &mut peer, 2), []);
    assert_eq!(node.tick(60_000), []);
    assert_eq!(node.hear(&heard(5, 700), 3), []);
    assert_eq!(node.view(), view(&[1, 2]));
}
