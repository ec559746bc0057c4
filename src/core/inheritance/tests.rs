mod closing;
mod key_claims;

use super::*;
use crate::core::causal_buffer::BufferLimits;
use crate::core::causality::CausalState;
use crate::core::testing::{dot, origin, say};

fn map(n: u64) -> MapId {
    MapId {
        epoch: n,
        ..MapId::IMPLICIT
    }
}

fn deal(n: u64, shards: u32) -> Deal {
    Deal {
        since: map(n),
        shards,
    }
}

fn domain(n: u64, shard: u32) -> Domain {
    Domain {
        map: map(n),
        shard: crate::core::id::ShardId(shard),
    }
}

/// A key of this domain, if its map has so many shards.
fn key_of(domain: Domain, shards: u32) -> Key {
    let of = Deal {
        since: domain.map,
        shards,
    };
    let mut keys = (0..).map(|n| Key::new(&format!("k{n}")).unwrap());
    keys.find(|key| of.domain_of(key) == domain).unwrap()
}

fn later(n: u16) -> Origin {
    Origin {
        incarnation: origin(n).incarnation.succeeding(0, 0),
        ..origin(n)
    }
}

fn addresses(nodes: &[u16]) -> Vec<Address> {
    nodes.iter().map(|n| origin(*n).address).collect()
}

fn life(node: Origin) -> (Address, Incarnation) {
    (node.address, node.incarnation)
}

/// These, all of them keepers and up.
fn nodes(lives: &[Origin]) -> Nodes {
    Nodes {
        map: map(2),
        configured: lives.iter().map(|node| life(*node)).collect(),
        keepers: vec![lives.iter().map(|node| node.address).collect()],
        up: lives.iter().map(|node| node.address).collect(),
        ..Nodes::default()
    }
}

/// Node 1 of three, under map 2 with three shards; map 1 had two.
fn dealt() -> Inheritance {
    let mut dealt = Inheritance::new(origin(1).address, deal(2, 3), Some(deal(1, 2)));
    dealt.set_nodes(&nodes(&[origin(1), origin(2), origin(3)]));
    dealt
}

fn complete() -> Inheritance {
    let mut complete = dealt();
    for n in 1..=3 {
        complete.has_handed_over(origin(n));
    }
    complete
}

fn claim(domain: Domain, entries: &[(u16, u64)]) -> Claim {
    let entries = entries.iter().map(|(n, counter)| (origin(*n), *counter));
    Claim {
        before: None,
        domain,
        covered: entries.collect(),
        whole: false,
    }
}

fn need(entries: &[(u16, u64)]) -> Clock {
    let entries = entries.iter().map(|(n, counter)| (origin(*n), *counter));
    entries.collect()
}

/// A digest of this node under map `n`, whose hand-overs are `said`.
fn digest(node: Origin, n: u64, said: HandOvers) -> Digest {
    let limits = BufferLimits {
        writes: 1,
        bytes: 1,
    };
    let mut state = CausalState::new(node, domain(n, 0), limits);
    Digest {
        hand_overs: said,
        ..say(&mut state, 500 + u64::from(node.address.port()))
    }
}

fn holds() -> HandOvers {
    HandOvers {
        claims: Vec::new(),
        holds: vec![domain(1, 0), domain(1, 1)],
        ..HandOvers::default()
    }
}

/// All of `lives` have handed over to it.
fn has_all_of(lives: &[Origin]) -> HandOvers {
    HandOvers {
        complete: true,
        handed: lives.iter().map(|node| life(*node)).collect(),
        ..HandOvers::default()
    }
}

#[test]
fn all_have_handed_over_when_every_node_has_in_its_latest_life() {
    let mut inheritance = dealt();
    inheritance.has_handed_over(origin(1));
    inheritance.has_handed_over(origin(2));
    assert!(!inheritance.is_complete());
    assert_eq!(inheritance.waited_for(), addresses(&[3]));
    inheritance.has_handed_over(origin(3));
    assert!(inheritance.is_complete() && inheritance.waited_for().is_empty());
    inheritance.set_nodes(&nodes(&[origin(1), later(2), origin(3)]));
    assert!(!inheritance.is_complete(), "what its next life has");
    assert_eq!(inheritance.waited_for(), addresses(&[2]));
    inheritance.has_handed_over(later(2));
    inheritance.has_handed_over(origin(2));
    assert!(
        inheritance.is_complete(),
        "an earlier life's word is no step back"
    );
}

#[test]
fn a_node_that_is_down_or_was_never_heard_of_is_waited_for() {
    let mut inheritance = complete();
    let mut down = nodes(&[origin(1), origin(2), origin(3), origin(4)]);
    down.up = addresses(&[1, 2, 3]);
    inheritance.set_nodes(&down);
    assert!(!inheritance.is_complete());
    assert_eq!(inheritance.waited_for(), addresses(&[4]));
    let never = Origin {
        incarnation: Incarnation::UNKNOWN,
        ..origin(4)
    };
    inheritance.set_nodes(&nodes(&[origin(1), origin(2), origin(3), never]));
    assert!(!inheritance.is_complete());
    assert_eq!(inheritance.waited_for(), addresses(&[4]));
}

#[test]
fn a_node_that_is_forgotten_is_not_waited_for_and_what_it_wrote_is_met() {
    let mut inheritance = dealt();
    inheritance.has_handed_over(origin(1));
    inheritance.has_handed_over(origin(2));
    let group = need(&[(3, 7)]);
    let lacking = |inheritance: &Inheritance| inheritance.lacking(None, &domain(1, 0), &group);
    assert_eq!(lacking(&inheritance), group);
    let mut without = nodes(&[origin(1), origin(2)]);
    without.forgotten = vec![life(origin(3))];
    inheritance.set_nodes(&without);
    assert!(inheritance.is_complete());
    assert_eq!(lacking(&inheritance), Clock::new());
}

#[test]
fn under_a_first_map_only_those_count_who_say_that_they_hold_something() {
    let mut first = Inheritance::new(origin(1).address, deal(1, 2), None);
    first.set_nodes(&nodes(&[origin(1), origin(2), origin(3)]));
    assert!(first.is_complete() && first.is_whole());
    first.note(&digest(origin(3), 1, holds()));
    assert!(!first.is_complete());
    assert_eq!(first.waited_for(), addresses(&[3]));
    first.has_handed_over(origin(3));
    assert!(first.is_complete());
}

#[test]
fn an_entry_of_an_older_map_is_met_when_it_is_claimed_or_when_all_have_handed_over() {
    let mut inheritance = dealt();
    let lacking = |inheritance: &Inheritance, entries: &[(u16, u64)]| {
        inheritance.lacking(None, &domain(1, 0), &need(entries))
    };
    inheritance.claim(&claim(domain(1, 0), &[(2, 5)]));
    assert_eq!(lacking(&inheritance, &[(2, 5)]), Clock::new());
    assert_eq!(lacking(&inheritance, &[(2, 6), (2, 4)]), need(&[(2, 6)]));
    inheritance.has_handed_over(origin(2));
    inheritance.has_handed_over(origin(1));
    let relayed = "another one may have what it wrote, and it lacks itself";
    assert_eq!(
        lacking(&inheritance, &[(2, 6)]),
        need(&[(2, 6)]),
        "{relayed}"
    );
    inheritance.has_handed_over(origin(3));
    assert_eq!(lacking(&inheritance, &[(2, 6)]), Clock::new(), "it is lost");
    assert_eq!(lacking(&inheritance, &[(2, 6), (9, 1)]), need(&[(9, 1)]));
}

#[test]
fn a_claim_of_one_domain_says_nothing_about_another() {
    let mut inheritance = dealt();
    inheritance.claim(&claim(domain(1, 0), &[(2, 5)]));
    assert!(inheritance.covers(&domain(1, 0), &dot(2, 5)));
    assert!(!inheritance.covers(&domain(1, 0), &dot(2, 6)));
    assert!(!inheritance.covers(&domain(1, 1), &dot(2, 5)));
    assert!(!inheritance.covers(&domain(0, 0), &dot(2, 5)));
}

#[test]
fn claims_of_two_donors_are_one_and_of_the_present_map_none_is_taken() {
    let mut inheritance = dealt();
    inheritance.claim(&claim(domain(1, 0), &[(2, 5), (3, 1)]));
    inheritance.claim(&Claim {
        whole: true,
        ..claim(domain(1, 0), &[(2, 4), (3, 2)])
    });
    for present in [claim(domain(2, 0), &[(2, 9)]), claim(domain(3, 0), &[])] {
        inheritance.claim(&present);
    }
    let both = Claim {
        whole: true,
        ..claim(domain(1, 0), &[(2, 5), (3, 2)])
    };
    assert_eq!(inheritance.claims(), [both]);
}

#[test]
fn a_group_of_an_older_map_concerns_only_keys_that_were_of_its_shard() {
    let inheritance = dealt();
    let group = need(&[(2, 5)]);
    let lacking = |key, of| inheritance.lacking(Some(key), &of, &group);
    let (of_0, of_1) = (key_of(domain(1, 0), 2), key_of(domain(1, 1), 2));
    assert_eq!(lacking(&of_0, domain(1, 0)), group);
    assert_eq!(lacking(&of_1, domain(1, 0)), Clock::new());
    assert_eq!(lacking(&of_1, domain(1, 1)), group);
    let unknown = "how keys were dealt then is not known";
    assert_eq!(lacking(&of_0, domain(0, 0)), group, "{unknown}");
    assert_eq!(lacking(&of_1, domain(0, 0)), group, "{unknown}");
    assert_eq!(lacking(&of_1, domain(3, 0)), group, "nor what comes later");
}

#[test]
fn a_deal_is_learned_from_donors_and_one_to_no_shards_is_not() {
    let mut inheritance = dealt();
    let of_0 = key_of(domain(0, 0), 2);
    let elsewhere = domain(0, 1);
    let group = need(&[(2, 5)]);
    for (shards, lacking) in [(0, group.clone()), (2, Clock::new())] {
        inheritance.merge(&Inherited {
            deals: vec![deal(0, shards)],
            ..Inherited::default()
        });
        assert_eq!(
            inheritance.lacking(Some(&of_0), &elsewhere, &group),
            lacking
        );
    }
    assert!(inheritance.exists(&elsewhere) && !inheritance.exists(&domain(0, 2)));
    assert!(inheritance.exists(&domain(2, 2)) && !inheritance.exists(&domain(2, 3)));
    assert!(!inheritance.exists(&domain(3, 0)));
}

#[test]
fn a_key_is_ready_when_one_of_its_last_keepers_has_handed_over_or_all_nodes_have() {
    let mut inheritance = dealt();
    let (of_0, of_1) = (key_of(domain(1, 0), 2), key_of(domain(1, 1), 2));
    assert!(!inheritance.is_ready(&of_0) && !inheritance.is_ready(&of_1));
    inheritance.claim(&claim(domain(1, 0), &[(2, 5)]));
    assert!(inheritance.is_ready(&of_0) && !inheritance.is_ready(&of_1));
    assert!(complete().is_ready(&of_1), "nobody has had it");
    let first = Inheritance::new(origin(1).address, deal(1, 2), None);
    assert!(first.is_ready(&of_1), "nothing was before");
}

#[test]
fn who_says_under_the_same_map_that_it_holds_nothing_has_handed_over() {
    let mut inheritance = dealt();
    inheritance.note(&digest(origin(2), 1, HandOvers::default()));
    assert!(!inheritance.has_from(origin(2)), "by another map");
    inheritance.note(&digest(origin(2), 2, holds()));
    assert!(!inheritance.has_from(origin(2)));
    inheritance.note(&digest(later(2), 2, HandOvers::default()));
    assert!(inheritance.has_from(later(2)) && inheritance.has_from(origin(2)));
    assert!(!inheritance.has_from(origin(3)));
}

#[test]
fn only_what_somebody_holds_who_is_heeded_is_taken_over_and_once() {
    let mut inheritance = dealt();
    assert!(inheritance.wants(&digest(origin(2), 2, holds())));
    assert!(!inheritance.wants(&digest(origin(2), 1, holds())));
    assert!(!inheritance.wants(&digest(origin(2), 2, HandOvers::default())));
    inheritance.has_handed_over(origin(2));
    assert!(!inheritance.wants(&digest(origin(2), 2, holds())));
    assert!(inheritance.wants(&digest(later(2), 2, holds())));
    inheritance.set_nodes(&nodes(&[origin(1), origin(2), later(3)]));
    assert!(!inheritance.wants(&digest(origin(3), 2, holds())));
}

#[test]
fn the_word_of_a_life_that_is_forgotten_or_has_a_successor_does_not_count() {
    let mut inheritance = dealt();
    assert!(inheritance.is_valid(origin(2)) && inheritance.is_valid(later(2)));
    inheritance.set_nodes(&nodes(&[origin(1), later(2)]));
    assert!(!inheritance.is_valid(origin(2)) && inheritance.is_valid(later(2)));
    let mut without = nodes(&[origin(1)]);
    without.forgotten = vec![life(origin(2))];
    inheritance.set_nodes(&without);
    assert!(!inheritance.is_valid(origin(2)) && inheritance.is_valid(later(2)));
}

#[test]
fn older_maps_are_closed_when_every_keeper_says_that_all_have_handed_over_to_it() {
    let all = [origin(1), origin(2), origin(3)];
    let mut inheritance = complete();
    inheritance.note(&digest(origin(2), 2, has_all_of(&all)));
    assert!(!inheritance.close_if_complete(), "one has said nothing yet");
    inheritance.note(&digest(origin(3), 2, has_all_of(&all[..2])));
    assert!(!inheritance.close_if_complete(), "one lacks something");
    let waits = HandOvers {
        complete: false,
        ..has_all_of(&all)
    };
    inheritance.note(&digest(origin(3), 2, waits));
    assert!(!inheritance.close_if_complete(), "one knows of more nodes");
    inheritance.note(&digest(origin(3), 2, has_all_of(&all)));
    assert!(inheritance.close_if_complete() && !inheritance.close_if_complete());
    let closed = inheritance.closed().unwrap();
    assert!(all.iter().all(|life| closed.accounts_for(life)));
    assert!(!closed.accounts_for(&later(2)) && !closed.accounts_for(&origin(4)));
    assert!(closed.satisfies(&domain(1, 1), &need(&[(1, 9), (3, 9)])));
    assert!(!closed.satisfies(&domain(1, 1), &need(&[(1, 9), (4, 1)])));
    assert!(!closed.satisfies(&domain(2, 1), &need(&[(1, 9)])));
    assert!(inheritance.is_whole());
}

#[test]
fn nothing_is_closed_while_a_keeper_is_down_or_was_heard_in_another_life_or_under_another_map() {
    let all = [origin(1), origin(2), origin(3)];
    let heard = |third: Origin, map| {
        let mut inheritance = complete();
        inheritance.note(&digest(origin(2), 2, has_all_of(&all)));
        inheritance.note(&digest(third, map, has_all_of(&all)));
        inheritance
    };
    assert!(heard(origin(3), 2).close_if_complete());
    assert!(!heard(origin(3), 1).close_if_complete());
    assert!(!heard(later(3), 2).close_if_complete());
    let mut down = nodes(&all);
    down.up = addresses(&[1, 2]);
    let mut inheritance = heard(origin(3), 2);
    inheritance.set_nodes(&down);
    assert!(!inheritance.close_if_complete());
}

#[test]
fn nothing_is_closed_while_a_keeper_has_less_than_this_one_of_a_node() {
    let mut inheritance = dealt();
    let lives = [origin(1), origin(2), later(3)];
    inheritance.set_nodes(&nodes(&lives));
    for life in lives {
        inheritance.has_handed_over(life);
    }
    inheritance.note(&digest(
        origin(2),
        2,
        has_all_of(&[origin(1), origin(2), origin(3)]),
    ));
    inheritance.note(&digest(later(3), 2, has_all_of(&lives)));
    assert!(!inheritance.close_if_complete());
    inheritance.note(&digest(origin(2), 2, has_all_of(&lives)));
    assert!(inheritance.close_if_complete());
}

#[test]
fn who_keeps_no_shard_closes_older_maps_by_the_keepers_words_alone() {
    let mut inheritance = dealt();
    let mut nodes = nodes(&[origin(1), origin(2), origin(3)]);
    nodes.keepers = vec![addresses(&[2, 3])];
    inheritance.set_nodes(&nodes);
    let all = [origin(1), origin(2), origin(3)];
    inheritance.note(&digest(origin(2), 2, has_all_of(&all)));
    assert!(!inheritance.close_if_complete());
    inheritance.note(&digest(origin(3), 2, has_all_of(&all[1..])));
    assert!(!inheritance.close_if_complete(), "not what it holds itself");
    inheritance.note(&digest(origin(3), 2, has_all_of(&all)));
    assert!(inheritance.close_if_complete());
}

#[test]
fn what_was_closed_under_the_map_before_is_met_for_the_keys_that_were_handed_over() {
    let mut inheritance = dealt();
    let mut whole = claim(domain(1, 0), &[(2, 5)]);
    whole.whole = true;
    inheritance.merge(&Inherited {
        deals: vec![deal(0, 1)],
        // The other donor had perhaps lost its memory since.
        claims: vec![whole, claim(domain(1, 1), &[(2, 5)])],
        closed: Some(Closed {
            map: map(1),
            lives: vec![life(origin(2))],
        }),
        ..Inherited::default()
    });
    assert!(inheritance.closed().is_none(), "that is another map");
    let (of_0, of_1) = (key_of(domain(1, 0), 2), key_of(domain(1, 1), 2));
    let lacking =
        |key, entries: &[(u16, u64)]| inheritance.lacking(Some(key), &domain(0, 0), &need(entries));
    assert_eq!(lacking(&of_0, &[(2, 9), (3, 9)]), need(&[(3, 9)]));
    assert_eq!(lacking(&of_1, &[(2, 9)]), need(&[(2, 9)]));
    assert_eq!(
        inheritance.lacking(None, &domain(0, 0), &need(&[(2, 9)])),
        need(&[(2, 9)]),
        "without a key it may concern those that are not here"
    );
}

#[test]
fn tombstones_stay_until_all_have_handed_over_and_promised_not_to_write_below_them() {
    let mut inheritance = dealt();
    let at = |n: u16| digest(origin(n), 2, holds()).promise;
    for n in 2..=3 {
        inheritance.note(&digest(origin(n), 2, holds()));
        inheritance.has_handed_over(origin(n));
        assert_eq!(inheritance.frontier(), HlcTime::ZERO);
    }
    inheritance.has_handed_over(origin(1));
    let held = "what is held is handed over once more under the next map";
    assert_eq!(inheritance.frontier(), HlcTime::ZERO, "{held}");
    for n in 2..=3 {
        inheritance.note(&digest(origin(n), 2, HandOvers::default()));
    }
    assert_eq!(inheritance.frontier(), at(2).min(at(3)));
    inheritance.set_holds(vec![domain(1, 0)]);
    assert_eq!(inheritance.frontier(), HlcTime::ZERO, "{held}");
    inheritance.set_holds(Vec::new());
    inheritance.set_nodes(&nodes(&[origin(1), origin(2), later(3)]));
    inheritance.has_handed_over(later(3));
    assert_eq!(
        inheritance.frontier(),
        HlcTime::ZERO,
        "its next life has promised nothing"
    );
}

#[test]
fn a_cluster_has_settled_when_all_that_are_up_go_by_the_map_and_have_what_the_others_had() {
    let all = [origin(1), origin(2), origin(3)];
    let mut inheritance = complete();
    assert!(!inheritance.is_settled(), "nobody has said anything");
    inheritance.note(&digest(origin(2), 2, has_all_of(&all)));
    inheritance.note(&digest(origin(3), 1, has_all_of(&all)));
    assert!(!inheritance.is_settled(), "one goes by another map");
    inheritance.note(&digest(origin(3), 2, has_all_of(&all[1..])));
    assert!(!inheritance.is_settled(), "one lacks something");
    inheritance.note(&digest(origin(3), 2, has_all_of(&all)));
    assert!(inheritance.is_settled());
    inheritance.set_holds(vec![domain(1, 0)]);
    assert!(!inheritance.is_settled(), "this one holds something still");
    let mut down = nodes(&[origin(1), origin(2), origin(3), origin(4)]);
    down.up = addresses(&[1, 2, 3]);
    inheritance.set_nodes(&down);
    assert!(inheritance.is_settled(), "for one that is down");
}

#[test]
fn who_begins_anew_has_nothing_and_knows_how_keys_were_dealt() {
    let mut inheritance = complete();
    inheritance.claim(&claim(domain(1, 0), &[(2, 5)]));
    inheritance.begin_anew();
    assert!(!inheritance.is_complete() && inheritance.claims().is_empty());
    assert_eq!(inheritance.inherited().deals, [deal(1, 2)]);
    inheritance.deal_anew(deal(4, 1), Some(deal(3, 2)));
    let known = [deal(1, 2), deal(2, 3), deal(3, 2)];
    assert_eq!(inheritance.inherited().deals, known);
    assert!(!inheritance.is_complete());
}

#[test]
fn what_a_keeper_has_another_one_of_its_shard_can_take_over_whole() {
    let mut one = complete();
    one.claim(&claim(domain(1, 0), &[(2, 5)]));
    let mut other = dealt();
    other.merge(&one.inherited());
    assert_eq!(other.inherited(), one.inherited());
    assert!(other.is_complete());
}
