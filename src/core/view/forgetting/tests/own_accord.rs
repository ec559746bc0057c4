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
    assert_eq!(smaller.forget_longest_down(10 * FORGET_AFTER_MS, 1), []);
    // Two of four are up: this node, which may be the first of all, and node 2.
    let before_all = Identity::new("10.9.0.1:8090".parse().unwrap(), life(1_000));
    let rng = rand::SeedableRng::seed_from_u64(3);
    let first = Swim::new(before_all, PARAMETERS.timing, rng);
    for (mut down, size, forgets_them) in [
        ([swim(3, 1_000), swim(4, 1_000)], 4, true),
        ([swim(3, 1_000), first], 3, false),
    ] {
        let mut node = forgetful(size);
        let mut up = [swim(2, 1_000)];
        for peer in down.iter_mut().chain(&mut up) {
            meet(&mut node, peer, 0);
        }
        let effects = run_with(&mut node, &mut up, 0, FORGET_AFTER_MS + 30_000);
        assert_eq!(!forgets(&effects).is_empty(), forgets_them);
    }
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
    assert_eq!(node.forget_longest_down(end, 1), []);
}

#[test]
fn members_that_are_up_take_turns_so_that_one_mark_is_enough() {
    let first = Identity::new("10.9.0.1:8090".parse().unwrap(), life(1_000));
    let rng = rand::SeedableRng::seed_from_u64(3);
    let mut peers = [Swim::new(first, PARAMETERS.timing, rng)];
    let mut node = forgetful(3);
    meet(&mut node, &mut peers[0], 0);
    let turn = FORGET_AFTER_MS + TURN_MS;
    let effects = run_with(&mut node, &mut peers, 0, turn - 10);
    assert_eq!(forgets(&effects), [], "another is up that comes before it");
    hear_marks(&mut node, &[mark(2, 3, 3, 5)], turn - 10);
    let effects = run_with(&mut node, &mut peers, turn, turn + ANNOUNCE_MS);
    assert_eq!(forgets(&effects), [(address(2), ForgetReason::Age)]);
}

#[test]
fn the_member_that_has_been_down_for_longest_is_forgotten_first_if_any_is_down() {
    let mut node = node(5);
    assert_eq!(node.forget_longest_down(0, 1), [], "awaited");
    meet(&mut node, &mut swim(2, 1_000), 0);
    meet(&mut node, &mut swim(3, 1_000), 0);
    run(&mut node, 9_000);
    meet(&mut node, &mut swim(3, 2_000), 9_000);
    run(&mut node, 20_000);
    for number in [4, 5] {
        meet(&mut node, &mut swim(number, 1_000), 20_000);
    }
    // The third was lost in its second life, after the second.
    let mut order = Vec::new();
    for now in [20_000, 20_001, 20_002] {
        order.extend(forgets(&node.forget_longest_down(now, now)));
    }
    let reason = ForgetReason::Room;
    assert_eq!(order, [(address(2), reason), (address(3), reason)]);
}

#[test]
fn a_node_that_was_removed_or_forgotten_forgets_nobody_by_itself() {
    let mut removed = alone_among_three();
    removed.remove(address(1), 20_000, 1);
    let mut forgotten = alone_among_three();
    hear_marks(&mut forgotten, &[mark(2, 1, 2, 1)], 20_000);
    for mut node in [removed, forgotten] {
        assert_eq!(node.forget_longest_down(20_001, 1), []);
        assert_eq!(forgets(&run_forgetting(&mut node, 200_000)), []);
    }
}
