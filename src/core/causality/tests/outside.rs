//! Nodes that keep other shards: what those of one shard agree on about them, and not without them.

use super::*;
use crate::core::id::ShardId;
use crate::core::inheritance::Nodes;

const ELSEWHERE: Domain = Domain {
    shard: ShardId(1),
    ..Domain::UNSHARDED
};

fn next(origin: Origin) -> Origin {
    let incarnation = origin.incarnation.next();
    Origin {
        incarnation,
        ..origin
    }
}

/// Nodes 1 and 2, which keep one shard, and know of a third node outside of it.
fn pair() -> [CausalState; 2] {
    let addresses = [1, 2].map(|n| origin(n).address);
    [1, 2].map(|n| {
        let mut state = state(n);
        state.set_outside(vec![origin(3).address]);
        state.set_members(&addresses, &[]);
        for n in [1, 2, 3] {
            state.learn_life(origin(n));
        }
        state
    })
}

/// Each hears the other, and does what a heartbeat does. What they make has arrived by then.
fn exchange([one, two]: &mut [CausalState; 2]) {
    let said = [say(one, 0), say(two, 0)];
    one.heed(&said[1]);
    two.heed(&said[0]);
    let markers = one.end_lives(0);
    if !markers.is_empty() {
        two.deliver(batch(markers)).unwrap();
    }
    two.end_lives(0);
}

/// Node 3 says that it lives in this life, elsewhere.
fn hear_from_elsewhere(pair: &mut [CausalState; 2], life: Origin) {
    let mut third = CausalState::new(life, ELSEWHERE, LIMITS);
    for state in pair {
        state.heed(&say(&mut third, 0));
    }
}

#[test]
fn what_a_node_wrote_in_a_shard_that_it_has_left_comes_to_an_end_with_that_life() {
    let mut pair = pair();
    for state in &mut pair {
        state.deliver(batch(vec![write(3, 1)])).unwrap();
    }
    exchange(&mut pair);
    assert!(pair.iter().all(|it| !it.covered().has_ended(&origin(3))));
    hear_from_elsewhere(&mut pair, next(origin(3)));
    exchange(&mut pair);
    for state in &pair {
        assert!(state.covered().has_ended(&origin(3)));
        assert_eq!(state.ended().counter(&origin(3)), Some(1));
    }
}

#[test]
fn what_a_node_promised_in_a_shard_that_it_has_left_holds_no_tombstones_back_after_that_life() {
    let mut pair = pair();
    let promises = |state: &CausalState| {
        let rest = state.rest();
        rest.promises.iter().any(|(of, _)| *of == origin(3))
    };
    // It has written nothing, and only node 1 has ever heard it there.
    let said = say(&mut state(3), 0);
    assert!(pair[0].heed(&said));
    exchange(&mut pair);
    assert!(promises(&pair[0]), "it may be added once more");
    hear_from_elsewhere(&mut pair, next(origin(3)));
    exchange(&mut pair);
    assert!(!promises(&pair[0]));
    assert_eq!(pair[0].covered().floors(), pair[1].covered().floors());
}

#[test]
fn what_a_node_wrote_in_a_shard_that_it_has_left_ends_when_it_is_forgotten() {
    let mut pair = pair();
    for state in &mut pair {
        state.deliver(batch(vec![write(3, 1)])).unwrap();
        state.set_outside(Vec::new());
        let members = [1, 2].map(|n| origin(n).address);
        state.set_members(&members, &[(origin(3).address, origin(3).incarnation)]);
    }
    exchange(&mut pair);
    assert!(pair.iter().all(|it| it.covered().has_ended(&origin(3))));
}

#[test]
fn nothing_is_agreed_on_before_every_node_of_the_cluster_was_heard() {
    let mut pair = pair();
    let lives = [1, 2, 3].map(|n| (origin(n).address, origin(n).incarnation));
    let nodes = Nodes {
        configured: lives.to_vec(),
        ..Nodes::default()
    };
    let earlier = Origin {
        incarnation: Incarnation::starting(1, 0),
        ..origin(2)
    };
    let mut named = Metadata::default();
    let clocks = Arc::make_mut(&mut named.clocks);
    let dot = Dot {
        origin: earlier,
        counter: 1,
    };
    clocks.cover(Domain::UNSHARDED, dot);
    let ask = |pair: &mut [CausalState; 2]| {
        for _ in 0..4 {
            exchange(pair);
            for state in pair.iter_mut() {
                if let Some(missing) = state.unmet(None, &named) {
                    state.wish_given_up(&missing);
                }
                state.give_up();
            }
        }
        pair.iter().all(|state| state.unmet(None, &named).is_none())
    };
    for state in &mut pair {
        state.set_nodes(&nodes);
    }
    // Both may have been restarted, and node 3 have been added to their shard by what they have forgotten.
    assert!(!ask(&mut pair));
    assert!(pair.iter().all(|it| !it.covered().has_ended(&earlier)));
    // One of them alone knows whether it was: it has not been restarted, and has heard node 3 before.
    let mut third = CausalState::new(origin(3), ELSEWHERE, LIMITS);
    pair[0].heed(&say(&mut third, 0));
    assert!(!ask(&mut pair), "the other one does not");
    hear_from_elsewhere(&mut pair, origin(3));
    assert!(ask(&mut pair), "now it is lost");
}
