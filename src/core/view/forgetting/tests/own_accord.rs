//! Forgetting of one's own accord: by age, and for room.

use super::*;

#[test]
fn a_member_down_for_the_time_set_is_forgotten_and_one_that_returns_begins_anew() {
    let mut node = alone_among_three();
    let mut third = [swim(3, 1_000)];
    let lost = run_forgetting(&mut node, 50_000);
    assert_eq!(forgets(&lost), []);
    third[0].renew(life(3_000), 0);
    meet(&mut node, &mut third[0], 50_000);
    let effects = run_with(&mut node, &mut third, 50_000, 100_000);
    assert_eq!(forgets(&effects), [(address(2), ForgetReason::Age)]);
    assert_eq!(members_and_forgotten(&node), (view(&[1, 3]), view(&[2])));
    let effects = run_forgetting(&mut node, 200_000);
    assert_eq!(forgets(&effects), [(address(3), ForgetReason::Age)]);
    assert_eq!(members_and_forgotten(&node), (view(&[1]), view(&[2, 3])));
}

#[test]
fn members_never_met_are_not_forgotten_by_age_since_it_may_be_this_node_that_is_cut_off() {
    let mut node = forgetful(2);
    assert_eq!(node.add(address(9), 0, 1).0, AddOutcome::Added);
    let effects = run_forgetting(&mut node, 10 * FORGET_AFTER_MS);
    assert_eq!(forgets(&effects), []);
    assert_eq!(members_and_forgotten(&node).0, view(&[1, 2]));
}

#[test]
fn the_smaller_side_of_a_cut_forgets_nobody_by_itself_and_of_equal_ones_that_with_the_first_does() {
    let mut smaller = alone_among_three();
    let effects = run_forgetting(&mut smaller, 10 * FORGET_AFTER_MS);
    assert_eq!(forgets(&effects), []);
    let end = 10 * FORGET_AFTER_MS;
    let why = Event::NoRoom(NoRoom::SmallerSide);
    assert_eq!(events(&smaller.make_room(end, end, 1)), [why]);
    // Two of four are up: this node, which may be the first of all, and node 2.
    for (mut down, size, forgets_them) in [
        ([swim(3, 1_000), swim(4, 1_000)], 4, true),
        ([swim(3, 1_000), before_all()], 3, false),
    ] {
        let mut node = forgetful(size);
        let mut up = [swim(2, 1_000)];
        for peer in down.iter_mut().chain(&mut up) {
            meet(&mut node, peer, 0);
        }
        let all = down.iter().chain(&up).map(|peer| {
            let identity = peer.identity();
            Origin {
                address: identity.address,
                incarnation: identity.incarnation,
            }
        });
        let all: Vec<Origin> = all.collect();
        take_in_each_other(&mut node, &all, 0);
        let effects = run_with(&mut node, &mut up, 0, FORGET_AFTER_MS + 30_000);
        assert_eq!(!forgets(&effects).is_empty(), forgets_them);
    }
}

#[test]
fn who_was_forgotten_and_has_returned_counts_once_all_members_have_taken_it_in() {
    // Else two sides of a cut, one of which takes in node 3 and the other node 4, could each be the larger one.
    let mut node = forgetful(4);
    hear_marks(&mut node, &[mark(2, 3, 2, 5), mark(2, 4, 2, 5)], 0);
    let said_by_second = |third: RosterEntry| Heard {
        roster: vec![
            entry(1, 1_000, false),
            entry(2, 1_000, false),
            third,
            entry(4, 1_000, true),
        ],
        ..heard(2, 1_000)
    };
    node.hear(&said_by_second(entry(3, 1_000, true)), 0);
    let mut back = [swim(3, 3_000)];
    meet(&mut node, &mut back[0], 10);
    let again = [origin(2, 1_000), origin(3, 3_000)];
    take_in(&mut node, &again[1..], &again, 10);
    let effects = run_with(&mut node, &mut back, 10, FORGET_AFTER_MS / 2);
    assert_eq!(members_and_forgotten(&node).0, view(&[1, 2, 3]));
    assert_eq!(node.view(), view(&[1, 3]), "node 2 is down");
    let why = Event::NoRoom(NoRoom::SmallerSide);
    let crowded = FORGET_AFTER_MS / 2;
    assert_eq!(events(&node.make_room(crowded, crowded, 1)), [why]);
    assert_eq!(forgets(&effects), []);
    // Node 2 had heard of it before it went down.
    node.hear(&said_by_second(entry(3, 3_000, false)), crowded);
    let end = 2 * FORGET_AFTER_MS;
    let effects = run_with(&mut node, &mut back, crowded, end);
    assert_eq!(forgets(&effects), [(address(2), ForgetReason::Age)]);
}

#[test]
fn who_has_not_heard_a_member_since_it_started_forgets_nobody_by_itself() {
    // It may have been started with a longer VIEW than those who are down, and by that they may be the larger side.
    let mut node = forgetful(4);
    let all = firsts(&[2, 3, 4]);
    take_in(&mut node, &all[..2], &all, 0);
    let mut up = [swim(2, 1_000), swim(3, 1_000)];
    let effects = run_with(&mut node, &mut up, 0, 2 * FORGET_AFTER_MS);
    assert_eq!(forgets(&effects), []);
    assert_eq!(node.view(), view(&[1, 2, 3]));
    take_in(&mut node, &all[2..], &all, 2 * FORGET_AFTER_MS);
    let end = 5 * FORGET_AFTER_MS;
    let effects = run_with(&mut node, &mut up, 2 * FORGET_AFTER_MS, end);
    assert_eq!(forgets(&effects), [(address(4), ForgetReason::Age)]);
}

#[test]
fn without_a_time_set_nobody_is_forgotten_by_age() {
    let mut node = node(2);
    let effects = run_forgetting(&mut node, 1_000_000);
    assert_eq!(forgets(&effects), []);
    assert_eq!(members_and_forgotten(&node).0, view(&[1, 2]));
}

#[test]
fn a_live_member_is_not_forgotten_by_itself_removed_or_not() {
    let mut node = forgetful(3);
    let mut peers = [swim(2, 1_000), swim(3, 1_000)];
    run_with(&mut node, &mut peers, 0, 1_000);
    node.remove(address(3), 1_000, 1);
    let end = 2 * FORGET_AFTER_MS;
    let effects = run_with(&mut node, &mut peers, 1_010, end);
    assert_eq!(forgets(&effects), []);
    assert_eq!(node.view(), view(&[1, 2]));
    let why = Event::NoRoom(NoRoom::NobodyDown);
    assert_eq!(events(&node.make_room(end, end, 1)), [why]);
}

/// Comes before all others, and is not in `VIEW`.
fn before_all() -> Swim {
    let identity = Identity::new("10.9.0.1:8090".parse().unwrap(), life(1_000));
    let rng = rand::SeedableRng::seed_from_u64(3);
    Swim::new(identity, PARAMETERS.timing, rng)
}

/// Nodes 2 and 3, and the one before all.
fn others() -> [Origin; 3] {
    let first = before_all().identity();
    let first = Origin {
        address: first.address,
        incarnation: first.incarnation,
    };
    [origin(2, 1_000), origin(3, 1_000), first]
}

#[test]
fn members_that_are_up_take_turns_so_that_one_mark_is_enough() {
    let mut peers = [before_all()];
    let mut node = forgetful(3);
    meet(&mut node, &mut peers[0], 0);
    take_in_each_other(&mut node, &others(), 0);
    let turn = FORGET_AFTER_MS + TURN_MS;
    let effects = run_with(&mut node, &mut peers, 0, turn - 10);
    assert_eq!(forgets(&effects), [], "another is up that comes before it");
    hear_marks(&mut node, &[mark(2, 3, 3, 5)], turn - 10);
    take_in_each_other(&mut node, &others(), turn - 10);
    let effects = run_with(&mut node, &mut peers, turn, turn + ANNOUNCE_MS);
    assert_eq!(forgets(&effects), [(address(2), ForgetReason::Age)]);
}

/// Node 1 among five; 2 was lost before 3, which began a second life meanwhile, and 4 and 5 have just come up.
fn with_two_down() -> Membership {
    let mut node = node(5);
    meet(&mut node, &mut swim(2, 1_000), 0);
    meet(&mut node, &mut swim(3, 1_000), 0);
    let all = firsts(&[2, 3, 4, 5]);
    take_in(&mut node, &all[..2], &all, 0);
    run(&mut node, 9_000);
    meet(&mut node, &mut swim(3, 2_000), 9_000);
    run(&mut node, 20_000);
    for number in [4, 5] {
        meet(&mut node, &mut swim(number, 1_000), 20_000);
    }
    take_in(&mut node, &all[2..], &all, 20_000);
    node
}

#[test]
fn for_room_the_member_that_has_been_down_for_longest_is_forgotten_first() {
    let mut node = with_two_down();
    let mut order = Vec::new();
    for now in [20_000, 20_000 + TURN_MS, 20_000 + 2 * TURN_MS] {
        order.extend(forgets(&node.make_room(now, now, now)));
    }
    let reason = ForgetReason::Room;
    assert_eq!(order, [(address(2), reason), (address(3), reason)]);
}

#[test]
fn for_room_somebody_is_forgotten_once_there_was_none_for_a_turn_and_the_next_one_after_another() {
    let mut node = with_two_down();
    let now = 20_000;
    assert_eq!(
        node.make_room(TURN_MS - 1, now, 1),
        [],
        "not for long enough"
    );
    assert_eq!(forgets(&node.make_room(TURN_MS, now, 1)).len(), 1);
    for (now, others) in [(now + TURN_MS - 1, 0), (now + TURN_MS, 1)] {
        assert_eq!(forgets(&node.make_room(now, now, 1)).len(), others);
    }
    // One that has just gone down may be back at once.
    let mut node = node_with(PARAMETERS, 3);
    let mut peers = [swim(2, 1_000), swim(3, 1_000)];
    take_in_each_other(&mut node, &firsts(&[2, 3]), 0);
    run_with(&mut node, &mut peers, 0, 1_000);
    let [up, _] = peers;
    let mut up = [up];
    let gone = |node: &Membership| node.view() == view(&[1, 2]);
    let since = (1_010..).step_by(10).find(|now| {
        run_with(&mut node, &mut up, *now, *now);
        gone(&node)
    });
    let since = since.expect("it is missed");
    assert_eq!(node.make_room(60_000, since + TURN_MS - 1, 1), []);
    assert_eq!(
        forgets(&node.make_room(60_000, since + TURN_MS, 1)).len(),
        1
    );
}

#[test]
fn for_room_members_that_are_up_take_turns() {
    let mut peers = [before_all()];
    let mut node = node(3);
    for number in [2, 3] {
        meet(&mut node, &mut swim(number, 1_000), 0);
    }
    meet(&mut node, &mut peers[0], 0);
    take_in_each_other(&mut node, &others(), 0);
    run_with(&mut node, &mut peers, 0, 20_000);
    assert_eq!(
        node.make_room(2 * TURN_MS - 1, 30_000, 1),
        [],
        "another one comes before it"
    );
    assert_eq!(forgets(&node.make_room(2 * TURN_MS, 30_000, 1)).len(), 1);
}

#[test]
fn a_node_that_was_removed_or_forgotten_forgets_nobody_by_itself() {
    let mut removed = alone_among_three();
    removed.remove(address(1), 20_000, 1);
    let mut forgotten = alone_among_three();
    hear_marks(&mut forgotten, &[mark(2, 1, 2, 1)], 20_000);
    for mut node in [removed, forgotten] {
        let why = Event::NoRoom(NoRoom::SmallerSide);
        assert_eq!(events(&node.make_room(90_000, 90_000, 1)), [why]);
        assert_eq!(forgets(&run_forgetting(&mut node, 200_000)), []);
    }
}

#[test]
fn removal_marks_on_those_who_were_forgotten_by_age_are_bounded() {
    let parameters = Parameters {
        forget_after_ms: FORGET_AFTER_MS,
        members_max: 2,
        ..PARAMETERS
    };
    let mut node = node_with(parameters, 1);
    let mut now = 0;
    for number in 2..7 {
        meet(&mut node, &mut swim(number, 1_000), now);
        take_in_each_other(&mut node, &firsts(&[number]), now);
        assert_eq!(
            node.remove(address(number), now, now).0,
            RemoveOutcome::Removed
        );
        now += FORGET_AFTER_MS + 20_000;
        let effects = run_forgetting(&mut node, now);
        assert_eq!(forgets(&effects), [(address(number), ForgetReason::Age)]);
    }
    let marked: Vec<Address> = node
        .removals
        .to_vec()
        .iter()
        .map(|mark| mark.address)
        .collect();
    assert_eq!(marked, view(&[5, 6]), "the latest");
}
