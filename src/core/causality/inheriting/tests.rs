use super::*;
use crate::core::causal_buffer::BufferLimits;
use crate::core::causality::EndRules;
use crate::core::clock::{Clock, Clocks};
use crate::core::coverage::Coverage;
use crate::core::ended::EndedLimits;
use crate::core::id::{Address, Dot, Key, MapId, ShardId};
use crate::core::inheritance::{Closed, HandOvers, Inherited};
use crate::core::metadata::Metadata;
use crate::core::stamp::HlcTime;
use crate::core::testing::{dot, origin, say, write};
use crate::core::wire::JoinRest;
use crate::core::write::Write;

const LIMITS: BufferLimits = BufferLimits {
    writes: 10,
    bytes: 1 << 20,
};

const RULES: EndRules = EndRules {
    ended: EndedLimits {
        finals: 10,
        keep_ms: 1_000,
    },
    margin_ms: 0,
};

const BEFORE: Deal = Deal {
    since: MapId::IMPLICIT,
    shards: 1,
};

const NOW: Deal = Deal {
    since: MapId {
        epoch: 2,
        ..MapId::IMPLICIT
    },
    shards: 1,
};

const ENTERED: Domain = Domain {
    map: NOW.since,
    ..Domain::UNSHARDED
};

/// Node `n`, which had a write of its own and one of node 7's, has just gone on under the present map.
fn entered(n: u16) -> CausalState {
    let mut state = CausalState::new(origin(n), Domain::UNSHARDED, LIMITS);
    let key = Key::new("k").unwrap();
    let own = state.write(key, Content::Tombstone, Metadata::default(), 5);
    assert_eq!(own.dot(), dot(n, 1));
    state.enter(ENTERED, (NOW, Some(BEFORE)), 5, 0);
    state
}

fn nodes(lives: &[Origin], forgotten: &[Origin]) -> Nodes {
    let life = |node: &Origin| (node.address, node.incarnation);
    let addresses: Vec<Address> = lives.iter().map(|node| node.address).collect();
    Nodes {
        map: ENTERED.map,
        peers: Vec::new(),
        configured: lives.iter().map(life).collect(),
        forgotten: forgotten.iter().map(life).collect(),
        keepers: vec![addresses.clone()],
        up: addresses,
    }
}

fn claim(entries: &[(u16, u64)]) -> Claim {
    let entries = entries.iter().map(|(n, counter)| (origin(*n), *counter));
    Claim {
        before: None,
        domain: Domain::UNSHARDED,
        covered: entries.collect(),
        whole: true,
    }
}

/// What this donor hands over: the second write of node 7 is a key's winner.
fn hand_over(from: Origin) -> Cut {
    Cut {
        from,
        covered: Coverage::new(),
        time: HlcTime::ZERO,
        writes: Vec::new(),
        older: vec![OlderWrites {
            domain: Domain::UNSHARDED,
            writes: vec![write(7, 2)],
        }],
        rest: JoinRest {
            inherited: Inherited {
                claims: vec![claim(&[(7, 2)])],
                ..Inherited::default()
            },
            ..JoinRest::default()
        },
    }
}

fn dots(older: &[OlderWrites]) -> Vec<Dot> {
    let writes = older.iter().flat_map(|older| &older.writes);
    writes.map(Write::dot).collect()
}

fn naming(entries: &[(u16, u64)]) -> Metadata {
    let mut clocks = Clocks::new();
    for (n, counter) in entries {
        clocks.cover(Domain::UNSHARDED, dot(*n, *counter));
    }
    Metadata {
        time: HlcTime { ms: 1, count: 0 },
        clocks: Arc::new(clocks),
    }
}

/// All of these say that all of them have handed over to them.
fn close(state: &mut CausalState, lives: &[Origin]) -> bool {
    for life in lives {
        let mut other = CausalState::new(*life, ENTERED, LIMITS);
        let handed = lives.iter().map(|life| (life.address, life.incarnation));
        let mut digest = say(&mut other, 900);
        digest.hand_overs = HandOvers {
            complete: true,
            handed: handed.collect(),
            ..HandOvers::default()
        };
        state.note_hand_overs(&digest);
    }
    state.close_older_maps()
}

#[test]
fn who_goes_on_under_another_map_numbers_its_writes_from_one_in_a_life_of_its_own() {
    let mut state = entered(1);
    let (life, time) = (state.origin(), state.time());
    assert!(life.incarnation > origin(1).incarnation);
    assert_eq!(
        (state.domain(), state.covered()),
        (ENTERED, &Coverage::new())
    );
    let key = Key::new("k").unwrap();
    let first = state.write(key, Content::Tombstone, Metadata::default(), 0);
    assert_eq!((first.dot().origin, first.dot().counter), (life, 1));
    assert!(first.version.time > time, "hybrid time goes on");
}

#[test]
fn what_was_handed_over_is_claimed_and_is_no_part_of_the_clock() {
    let mut state = entered(1);
    let taken = state.take_over(hand_over(origin(2))).unwrap();
    assert_eq!(dots(&taken), [dot(7, 2)]);
    assert_eq!(state.covered(), &Coverage::new());
    assert!(state.inherited().covers(&Domain::UNSHARDED, &dot(7, 2)));
    assert!(state.inherited().has_from(origin(2)));
    assert!(state.time() >= write(7, 2).version.time);
    assert_eq!(state.unmet(None, &naming(&[(7, 2)])), None);
    assert!(state.unmet(None, &naming(&[(7, 3)])).is_some());
}

/// The key was deleted since, and its tombstone collected.
#[test]
fn what_is_claimed_by_the_time_that_a_hand_over_arrives_is_not_applied() {
    let mut state = entered(1);
    let mut other = hand_over(origin(3));
    other.older.clear();
    other.rest.inherited.claims = vec![claim(&[(7, 2), (3, 1)])];
    state.take_over(other).unwrap();
    let late = state.take_over(hand_over(origin(2))).unwrap();
    assert_eq!(dots(&late), []);
    let again = state.take_over(hand_over(origin(2))).unwrap();
    assert_eq!(dots(&again), []);
}

#[test]
fn nothing_is_taken_over_from_a_life_that_is_forgotten_or_over() {
    let later = Origin {
        incarnation: origin(2).incarnation.succeeding(0, 0),
        ..origin(2)
    };
    for known in [
        nodes(&[origin(1)], &[origin(2)]),
        nodes(&[origin(1), later], &[]),
    ] {
        let mut state = entered(1);
        state.set_nodes(&known);
        assert_eq!(state.take_over(hand_over(origin(2))), Err(DonorOutlived));
        assert!(!state.inherited().has_from(origin(2)));
        assert!(state.inherited().claims().is_empty());
        assert!(state.take_over(hand_over(later)).is_ok());
    }
}

/// Node 1, of a cluster of three, knows that what was before map 1 is closed.
fn closed() -> CausalState {
    let mut state = entered(1);
    let lives = [state.origin(), origin(2), origin(3)];
    state.set_nodes(&nodes(&lives, &[]));
    state.take_over_own([claim(&[(1, 1)])]);
    state.take_over(hand_over(origin(2))).unwrap();
    state.take_over(hand_over(origin(3))).unwrap();
    state.end_lives(900);
    assert!(close(&mut state, &lives));
    state
}

#[test]
fn who_has_forgotten_a_map_lacks_what_clients_have_seen_under_it_though_older_groups_have_left_their_metadata()
 {
    let state = closed();
    let mut metadata = naming(&[(2, 9)]);
    state.settlement().settle(&mut metadata);
    assert_eq!(state.unmet(None, &metadata), None);
    // It is restarted where it reaches nobody, and goes by what its settings say.
    let restarted = CausalState::new(origin(1), Domain::UNSHARDED, LIMITS);
    let missing = restarted.unmet(None, &metadata);
    assert!(missing.is_some(), "{}", metadata.to_json());
}

#[test]
fn that_there_is_a_map_stays_named_where_all_that_was_written_under_it_has_ended() {
    let mut state = closed();
    let mut metadata = naming(&[(2, 9)]);
    let clocks = Arc::make_mut(&mut metadata.clocks);
    clocks.cover(state.domain(), dot(2, 1));
    let named = |state: &CausalState, metadata: &Metadata| {
        let mut settled = metadata.clone();
        state.settlement().settle(&mut settled);
        let named = settled.clocks.iter().map(|(domain, _)| *domain);
        named.collect::<Vec<_>>()
    };
    assert_eq!(named(&state, &metadata), [state.domain()]);
    // Nobody had anything of it, so there is no marker.
    state.set_members(&[], &[(origin(2).address, origin(2).incarnation)]);
    state.end_lives(900);
    assert!(state.covered().has_ended(&origin(2)));
    let of_none = Domain {
        shard: ShardId::NONE,
        ..state.domain()
    };
    assert_eq!(named(&state, &metadata), [of_none]);
}

#[test]
fn what_is_no_shard_of_any_map_is_kept_with_no_version() {
    let mut state = closed();
    let mut metadata = Metadata::default();
    let unknown = Domain {
        map: MapId {
            stamp: 7,
            ..MapId::IMPLICIT
        },
        shard: ShardId::NONE,
    };
    Arc::make_mut(&mut metadata.clocks).cover(unknown, dot(9, 1));
    let key = Key::new("k").unwrap();
    let write = state.write(key, Content::Tombstone, metadata, 0);
    assert!(write.version.deps.is_empty());
}

#[test]
fn that_there_is_a_map_is_not_named_beside_what_was_written_under_it() {
    let mut state = closed();
    let mut metadata = naming(&[(2, 9)]);
    state.settlement().settle(&mut metadata);
    let groups = |metadata: &Metadata| metadata.clocks.iter().count();
    assert_eq!(groups(&metadata), 1);
    let key = Key::new("k").unwrap();
    let write = state.write(key, Content::Tombstone, metadata.clone(), 0);
    assert!(write.version.deps.is_empty(), "no write is meant by it");
    metadata.observe(state.domain(), &write.version);
    state.settlement().settle(&mut metadata);
    let named: Vec<_> = metadata.clocks.iter().map(|(domain, _)| *domain).collect();
    assert_eq!(named, [state.domain()]);
}

#[test]
fn what_clients_know_of_older_maps_is_named_until_every_keeper_has_all() {
    let mut state = entered(1);
    let own = state.origin();
    let lives = [own, origin(2), origin(3)];
    state.set_nodes(&nodes(&lives, &[]));
    state.take_over_own([claim(&[(1, 1)])]);
    state.take_over(hand_over(origin(2))).unwrap();
    state.take_over(hand_over(origin(3))).unwrap();
    assert!(state.inherited().is_complete());
    // As in every heartbeat.
    state.end_lives(900);
    let settled = |state: &CausalState, entries: &[(u16, u64)]| {
        let mut metadata = naming(entries);
        state.settlement().settle(&mut metadata);
        metadata.clocks.get(&Domain::UNSHARDED).cloned()
    };
    let named: Clock = [(origin(2), 9)].into_iter().collect();
    let other = "another keeper may not have it";
    assert_eq!(settled(&state, &[(2, 9)]), Some(named), "{other}");
    assert!(close(&mut state, &lives));
    assert_eq!(settled(&state, &[(2, 9)]), None);
    let never: Clock = [(origin(2), 9), (origin(8), 1)].into_iter().collect();
    let of_never = settled(&state, &[(2, 9), (8, 1)]);
    assert_eq!(of_never, Some(never), "who has not handed over");
}

#[test]
fn tombstones_are_kept_until_all_have_handed_over_and_hold_nothing() {
    let mut state = entered(1);
    let own = state.origin();
    state.set_members(&[own.address], &[]);
    state.set_nodes(&nodes(&[own, origin(2)], &[]));
    state.take_over_own([claim(&[(1, 1)])]);
    state.promise(1_000);
    let mut other = CausalState::new(origin(2), ENTERED, LIMITS);
    let mut digest = say(&mut other, 900);
    digest.hand_overs.holds = vec![Domain::UNSHARDED];
    state.note_hand_overs(&digest);
    assert_eq!(state.frontier(0, 1_000, &RULES), HlcTime::ZERO);
    state.take_over(hand_over(origin(2))).unwrap();
    assert_eq!(state.frontier(0, 1_000, &RULES), HlcTime::ZERO);
    digest.hand_overs.holds = Vec::new();
    state.note_hand_overs(&digest);
    assert_eq!(state.frontier(0, 1_000, &RULES), digest.promise);
}

#[test]
fn who_is_born_again_has_nothing_of_older_maps_either() {
    let mut state = entered(1);
    state.take_over(hand_over(origin(2))).unwrap();
    state.be_reborn(5, 1);
    assert_eq!(state.domain(), ENTERED);
    assert!(state.unmet(None, &naming(&[(7, 2)])).is_some());
    assert!(!state.inherited().has_from(origin(2)));
    let again = state.take_over(hand_over(origin(2))).unwrap();
    assert_eq!(dots(&again), [dot(7, 2)]);
}

/// Node 1 was restarted, and reaches node 2, which keeps another shard: that one has seen the older maps closed, and still holds what it had
/// written alone.
#[test]
fn that_older_maps_are_closed_is_told_by_another_keeper_of_the_shard_and_by_no_donor() {
    let mut state = CausalState::new(origin(1), ENTERED, LIMITS);
    state.set_deal(NOW, Some(BEFORE));
    let mut cut = hand_over(origin(2));
    cut.rest.inherited.closed = Some(Closed {
        map: NOW.since,
        lives: vec![(origin(7).address, origin(7).incarnation)],
    });
    state.take_over(cut.clone()).unwrap();
    assert!(state.inherited().closed().is_none());
    let why = "another keeper of its shard has that";
    assert!(state.unmet(None, &naming(&[(7, 9)])).is_some(), "{why}");
    state.join(cut).unwrap();
    assert!(state.inherited().closed().is_some());
    assert_eq!(state.unmet(None, &naming(&[(7, 9)])), None);
}

#[test]
fn who_kept_no_shard_and_is_added_to_one_does_not_have_what_was_closed_before() {
    let mut state = CausalState::new(origin(1), Domain::UNSHARDED, LIMITS);
    let none = Domain {
        shard: ShardId::NONE,
        ..ENTERED
    };
    state.enter(none, (NOW, Some(BEFORE)), 5, 0);
    let own = state.origin();
    let mut known = nodes(&[own, origin(2)], &[]);
    known.keepers = vec![vec![origin(2).address]];
    state.set_nodes(&known);
    assert!(close(&mut state, &[own, origin(2)]));
    state.enter(ENTERED, (NOW, Some(BEFORE)), 6, 0);
    assert!(state.inherited().closed().is_none());
    assert!(state.unmet(None, &naming(&[(2, 9)])).is_some());
}

#[test]
fn a_floor_of_the_domain_that_was_left_claims_nothing() {
    let mut state = CausalState::new(origin(1), Domain::UNSHARDED, LIMITS);
    let mut covered: Coverage = [(origin(3), 2)].into_iter().collect();
    covered.end(origin(2).address, origin(2).incarnation.next());
    let cut = Cut {
        covered,
        ..hand_over(origin(3))
    };
    state.join(cut).unwrap();
    assert!(state.covered().has_ended(&origin(2)));
    let claim = state.claim();
    assert!(claim.covered.covers(&dot(3, 2)), "{claim:?}");
    let why = "who agreed on its end may never have had what it had written";
    assert!(!claim.covered.covers(&dot(2, 1)), "{why}");
}

#[test]
fn a_key_that_was_handed_over_by_itself_is_taken_alone_and_not_once_all_is_here() {
    let mut state = entered(1);
    let key = write(7, 2).key;
    let keys = std::slice::from_ref(&key);
    let mut cut = hand_over(origin(2));
    cut.older[0].writes.push(write(7, 3));
    let (taken, too_many) = state.take_keys(cut.clone(), keys).unwrap();
    assert_eq!((dots(&taken), too_many), (vec![dot(7, 2)], 0));
    assert!(state.time() >= write(7, 2).version.time);
    assert_eq!(state.unmet(Some(&key), &naming(&[(7, 2)])), None);
    let other = Key::new("other").unwrap();
    assert!(state.unmet(Some(&other), &naming(&[(7, 2)])).is_some());
    assert!(!state.inherited().has_from(origin(2)));
    // It may have been deleted since, and its tombstone collected.
    state.take_over(hand_over(origin(2))).unwrap();
    let (late, _) = state.take_keys(cut.clone(), keys).unwrap();
    assert_eq!(dots(&late), []);
}

/// What its donor has of still older maps than the one that it claims.
#[test]
fn a_key_that_comes_by_itself_after_all_else_is_not_applied_though_nothing_claims_it() {
    let mut state = entered(1);
    let mut cut = hand_over(origin(2));
    let between = MapId {
        epoch: 1,
        ..MapId::IMPLICIT
    };
    cut.rest.inherited.claims[0].domain.map = between;
    assert_eq!(dots(&state.take_over(cut.clone()).unwrap()), [dot(7, 2)]);
    assert!(!state.inherited().covers(&Domain::UNSHARDED, &dot(7, 2)));
    let (late, _) = state.take_keys(cut, &[write(7, 2).key]).unwrap();
    let why = "it may have been deleted since";
    assert_eq!(dots(&late), [], "{why}");
}

#[test]
fn what_a_node_had_is_handed_over_when_keys_are_dealt_anew_unless_its_life_is_over() {
    let of = |map, shard| Domain { map, shard };
    let own = |shard| of(MapId::IMPLICIT, ShardId(shard));
    let dealt = of(NOW.since, ShardId(1));
    let life = origin(1).incarnation;
    for (from, to, serves, mark, leaving) in [
        (own(0), dealt, true, None, Leaving::HandOver),
        (own(0), dealt, false, None, Leaving::GiveUp),
        (own(0), dealt, true, Some(life), Leaving::GiveUpAll),
        (own(0), own(1), true, None, Leaving::GiveUp),
        (own(0), own(1), true, Some(life), Leaving::GiveUpAll),
        (
            of(MapId::IMPLICIT, ShardId::NONE),
            own(1),
            true,
            None,
            Leaving::GiveUp,
        ),
    ] {
        let state = CausalState::new(origin(1), from, LIMITS);
        assert_eq!(state.leaving(to, serves, mark), leaving, "{from} to {to}");
    }
    let mut state = CausalState::new(origin(1), own(0), LIMITS);
    state.be_outlived(life.succeeding(0, 0));
    assert_eq!(state.leaving(dealt, true, None), Leaving::GiveUpAll);
}
