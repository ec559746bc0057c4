//! Who is complete, what is ready, and when what is held may go.

use super::*;

#[test]
fn a_keeper_is_complete_once_those_of_its_shard_say_the_same_and_claim_nothing_more() {
    let all = [origin(1), origin(2), origin(3)];
    let mut inheritance = complete();
    let mut in_one_shard = nodes(&all);
    in_one_shard.peers = addresses(&[1, 2]);
    inheritance.set_nodes(&in_one_shard);
    assert!(!inheritance.is_complete(), "2 has said nothing");
    inheritance.note(&digest(origin(2), 2, has_all_of(&all[..2])));
    assert!(!inheritance.is_complete(), "2 waits for 3");
    let of_a_donor_that_is_over = claim(domain(1, 0), &[(9, 5)]);
    let said = HandOvers {
        claims: vec![of_a_donor_that_is_over.clone()],
        ..has_all_of(&all)
    };
    inheritance.note(&digest(origin(2), 2, said));
    assert!(!inheritance.is_complete(), "2 has what 1 has not");
    inheritance.claim(&of_a_donor_that_is_over);
    assert!(inheritance.is_complete());
    in_one_shard.configured.remove(1);
    let mut without = complete();
    without.set_nodes(&in_one_shard);
    assert!(without.is_complete(), "a forgotten one is not waited for");
}

#[test]
fn who_meets_a_shard_that_has_closed_older_maps_is_not_complete_before_it_has_joined() {
    let all = [origin(1), origin(2), origin(3)];
    let closed = HandOvers {
        closed: true,
        ..has_all_of(&all)
    };
    let mut in_one_shard = nodes(&all);
    in_one_shard.peers = addresses(&[1, 2]);
    let mut inheritance = complete();
    inheritance.set_nodes(&in_one_shard);
    let says_closed = digest(origin(2), 2, closed);
    inheritance.note(&says_closed);
    let why = "what 2 has of older maps it does not say any more";
    assert!(!inheritance.is_complete(), "{why}");
    assert!(inheritance.lacks_from(&says_closed));
    let mut joined = inheritance.clone();
    joined.merge(&Inherited {
        closed: Some(Closed {
            map: deal(2, 3).since,
            lives: all.iter().map(|node| life(*node)).collect(),
        }),
        ..Inherited::default()
    });
    assert!(joined.is_complete() && !joined.lacks_from(&says_closed));
    let mut was_there = complete();
    was_there.set_nodes(&in_one_shard);
    was_there.note(&digest(origin(2), 2, has_all_of(&all)));
    was_there.note(&says_closed);
    assert!(was_there.is_complete(), "it had shown its claims before");
}

#[test]
fn a_key_is_ready_when_its_past_is_here_back_to_somebody_who_had_everything() {
    let (two, one) = (domain(2, 0), domain(1, 0));
    let of = |domain, shards| key_of(domain, shards);
    let mut inheritance = Inheritance::new(origin(1).address, deal(3, 1), Some(deal(2, 1)));
    inheritance.set_nodes(&nodes(&[origin(1), origin(2)]));
    let key = of(one, 2);
    assert!(!inheritance.is_ready(&key));
    inheritance.claim(&Claim {
        before: Some(deal(1, 2)),
        ..claim(two, &[(2, 1)])
    });
    let gave = "its donor had nothing of the map before that";
    assert!(!inheritance.is_ready(&key), "{gave}");
    inheritance.claim(&claim(one, &[(2, 4)]));
    assert!(inheritance.is_ready(&key));
    let other = of(domain(1, 1), 2);
    assert!(!inheritance.is_ready(&other));
    inheritance.claim(&Claim {
        whole: true,
        before: Some(deal(1, 2)),
        ..claim(two, &[(2, 1)])
    });
    assert!(inheritance.is_ready(&other), "a donor had everything");
}

#[test]
fn what_is_held_goes_when_every_keeper_names_its_holder_and_waits_for_nobody() {
    let all = [origin(1), origin(2), origin(3)];
    let mut inheritance = complete();
    inheritance.set_holds(vec![domain(1, 0)]);
    assert!(!inheritance.may_let_go(origin(1)));
    inheritance.note(&digest(origin(2), 2, has_all_of(&all)));
    inheritance.note(&digest(origin(3), 2, has_all_of(&all[1..])));
    assert!(!inheritance.may_let_go(origin(1)), "3 lacks it");
    inheritance.note(&digest(origin(3), 2, has_all_of(&all)));
    assert!(inheritance.may_let_go(origin(1)));
    assert!(!inheritance.may_let_go(later(1)), "in another life");
    inheritance.set_holds(Vec::new());
    assert!(!inheritance.may_let_go(origin(1)), "it holds nothing");
}

#[test]
fn a_keeper_that_is_forgotten_does_not_keep_older_maps_open() {
    let all = [origin(1), origin(2), origin(3)];
    let mut inheritance = complete();
    inheritance.note(&digest(origin(2), 2, has_all_of(&all)));
    assert!(!inheritance.close_if_complete(), "3 has said nothing");
    let mut without = nodes(&all[..2]);
    without.keepers = vec![addresses(&[1, 2, 3])];
    without.forgotten = vec![life(origin(3))];
    inheritance.set_nodes(&without);
    assert!(inheritance.close_if_complete());
}

#[test]
fn a_claim_whose_map_follows_itself_is_not_taken() {
    let mut inheritance = dealt();
    for before in [deal(1, 2), deal(2, 2), deal(0, 0)] {
        inheritance.claim(&Claim {
            before: Some(before),
            ..claim(domain(1, 0), &[(2, 5)])
        });
    }
    assert!(inheritance.claims().is_empty());
    assert!(!inheritance.is_ready(&key_of(domain(1, 0), 2)));
}

/// Nodes 3 and 4 kept a shard, and are forgotten: what was to be theirs is with nobody but those who hold it.
#[test]
fn nothing_is_let_go_or_closed_while_a_shard_has_no_keeper_left() {
    let left = [origin(1), origin(2)];
    let mut inheritance = dealt();
    let mut nodes = nodes(&left);
    nodes.keepers = vec![addresses(&[1, 2]), addresses(&[3, 4])];
    nodes.peers = addresses(&[2]);
    nodes.forgotten = vec![life(origin(3)), life(origin(4))];
    inheritance.set_nodes(&nodes);
    for node in left {
        inheritance.has_handed_over(node);
    }
    inheritance.note(&digest(origin(2), 2, has_all_of(&left)));
    inheritance.set_holds(vec![domain(1, 0)]);
    assert!(inheritance.is_complete());
    assert!(!inheritance.may_let_go(origin(1)) && !inheritance.close_if_complete());
    nodes.keepers = vec![addresses(&[1, 2, 3, 4])];
    inheritance.set_nodes(&nodes);
    assert!(inheritance.may_let_go(origin(1)) && inheritance.close_if_complete());
}

#[test]
fn a_key_that_was_ready_when_older_maps_were_closed_stays_so() {
    let all = [origin(1), origin(2), origin(3)];
    let mut inheritance = complete();
    for node in &all[1..] {
        inheritance.note(&digest(*node, 2, has_all_of(&all)));
    }
    assert!(inheritance.close_if_complete());
    let never = Origin {
        incarnation: Incarnation::UNKNOWN,
        ..origin(4)
    };
    let mut more = nodes(&[all[0], all[1], all[2], never]);
    more.keepers = vec![addresses(&[1, 2, 3])];
    inheritance.set_nodes(&more);
    assert!(!inheritance.is_complete());
    assert!(inheritance.is_ready(&key_of(domain(1, 0), 2)));
}

/// What it holds is handed over once more under the next map.
#[test]
fn under_a_first_map_too_tombstones_stay_while_somebody_holds_something() {
    let mut first = Inheritance::new(origin(1).address, deal(1, 2), None);
    first.set_nodes(&nodes(&[origin(1), origin(2), origin(3)]));
    assert!(first.frontier() > HlcTime::ZERO);
    first.note(&digest(origin(3), 1, holds()));
    first.has_handed_over(origin(3));
    assert!(first.is_complete());
    assert_eq!(first.frontier(), HlcTime::ZERO);
    let nothing = digest(origin(3), 1, HandOvers::default());
    first.note(&nothing);
    assert!(first.frontier() > HlcTime::ZERO);
    first.set_holds(vec![domain(0, 0)]);
    assert_eq!(first.frontier(), HlcTime::ZERO, "this one does");
}

#[test]
fn a_node_that_was_not_heard_since_the_start_is_named_until_it_is_or_is_forgotten() {
    let mut started = dealt();
    assert_eq!(started.unheard(), Some(origin(2).address));
    started.note(&digest(origin(2), 2, holds()));
    assert_eq!(started.unheard(), Some(origin(3).address));
    let mut forgotten = started.clone();
    forgotten.set_nodes(&nodes(&[origin(1), origin(2)]));
    assert_eq!(forgotten.unheard(), None);
    let going_by = |n| HandOvers {
        goes_by: map(n),
        ..holds()
    };
    started.note(&digest(origin(3), 2, going_by(3)));
    let its_map = "its map may name another keeper of this shard";
    assert_eq!(started.unheard(), Some(origin(3).address), "{its_map}");
    started.note(&digest(origin(3), 1, going_by(1)));
    assert_eq!(started.unheard(), None);
}

#[test]
fn that_there_was_an_older_map_lacks_nothing_and_that_there_is_a_later_one_does() {
    let of = |n| Domain {
        shard: ShardId::NONE,
        ..domain(n, 0)
    };
    let lacking = |n| dealt().lacking(None, &of(n), &need(&[(9, 1)]));
    assert!(lacking(1).is_empty());
    assert_eq!(lacking(3), need(&[(9, 1)]));
}
