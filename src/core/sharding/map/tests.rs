use super::*;
use crate::core::testing::origin;

fn nodes(names: &[u16]) -> Vec<Address> {
    names.iter().map(|n| origin(*n).address).collect()
}

fn first(names: &[u16], shards: usize) -> ShardMap {
    ShardMap::first(&nodes(names), shards).unwrap()
}

#[test]
fn nodes_are_dealt_in_turn_by_address_whatever_the_order_they_are_named_in() {
    let map = first(&[10, 2, 5, 9, 3], 2);
    let shard = |n| map.shard_of_node(origin(n).address);
    let (s0, s1) = (Some(ShardId(0)), Some(ShardId(1)));
    assert_eq!([2, 3, 5, 9, 10].map(shard), [s0, s1, s0, s1, s0]);
    assert_eq!(map, first(&[2, 3, 5, 9, 10], 2));
    assert_eq!(shard(7), None);
    assert_eq!(map.domain_of(origin(7).address).shard, ShardId::NONE);
    let peers = |one, other| map.share(origin(one).address, origin(other).address);
    assert!(peers(2, 10) && !peers(2, 3) && !peers(7, 8));
}

#[test]
fn every_shard_has_two_nodes_or_there_is_no_map() {
    let refused = |names: &[u16], shards| ShardMap::first(&nodes(names), shards).is_err();
    assert!(refused(&[1], 1) && refused(&[1, 2, 3], 2) && refused(&[1, 2], 0));
    assert!(refused(&[1, 1, 2], 2) && !refused(&[1, 2, 3], 1));
    let error = ShardMap::first(&nodes(&[1, 2, 3]), 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 shards need 2 nodes each, and there are 3 nodes"
    );
}

#[test]
fn different_first_maps_have_different_ids_and_all_supersede_the_implicit_one() {
    let maps = [
        first(&[1, 2, 3, 4], 2),
        first(&[1, 2, 3, 4], 1),
        first(&[1, 2, 3, 5], 2),
    ];
    for map in &maps {
        assert!(map.id() > ShardMap::implicit().id());
    }
    assert_ne!(maps[0].id(), maps[1].id());
    assert_ne!(maps[0].id(), maps[2].id());
}

#[test]
fn everybody_keeps_the_one_shard_of_a_cluster_that_was_told_of_none() {
    let map = ShardMap::implicit();
    assert_eq!(map.shard_of_node(origin(9).address), Some(ShardId(0)));
    assert_eq!(map.shards().collect::<Vec<_>>(), [ShardId(0)]);
    assert_eq!(map.domain_of(origin(9).address), Domain::UNSHARDED);
    assert!(!map.keeps(origin(9).address, ShardId(1)));
}

fn made(wall_ms: u64) -> Made {
    let by = origin(2).address;
    Made { by, wall_ms }
}

fn dealt(map: &ShardMap) -> Vec<Vec<Address>> {
    map.shards.clone()
}

#[test]
fn a_node_keeps_its_shard_wherever_even_shares_allow_it() {
    let all: Vec<u16> = (1..=7).collect();
    let two = first(&all, 2);
    let three = two.dealt_anew(&nodes(&all), 3, made(9)).unwrap();
    let expected = [nodes(&[1, 3, 5]), nodes(&[2, 4]), nodes(&[6, 7])];
    assert_eq!(dealt(&three), expected);
    assert!(three.id() > two.id());
    assert_eq!(three.before(), Some(two.deal()));
    assert_eq!(three.deal().since, three.id());
    let back = three.dealt_anew(&nodes(&all), 2, made(10)).unwrap();
    assert_eq!(dealt(&back), [nodes(&[1, 3, 5, 6]), nodes(&[2, 4, 7])]);
    let without = back.dealt_anew(&nodes(&[1, 2, 4, 5, 7]), 2, made(11));
    let expected = [nodes(&[1, 5]), nodes(&[2, 4, 7])];
    assert_eq!(dealt(&without.unwrap()), expected, "who is away keeps none");
    assert!(two.dealt_anew(&nodes(&all), 4, made(9)).is_err());
}

#[test]
fn no_node_moves_that_need_not() {
    let all: Vec<u16> = (1..=12).collect();
    let mut map = first(&all, 2);
    // From 6 6 to 4 4 4, to 3 3 3 3, and back.
    for (shards, must) in [(3, 4), (4, 3), (3, 3), (2, 4), (2, 0)] {
        let next = map.dealt_anew(&nodes(&all), shards, made(9)).unwrap();
        let shard = |map: &ShardMap, n| map.shard_of_node(origin(n).address);
        let moved = all.iter().filter(|n| shard(&map, **n) != shard(&next, **n));
        assert_eq!(moved.count(), must, "to {shards}");
        map = next;
    }
}

#[test]
fn a_cluster_that_was_told_of_no_shards_can_be_dealt_out() {
    let implicit = ShardMap::implicit();
    let map = implicit.dealt_anew(&nodes(&[1, 2, 3, 4, 5]), 2, made(9));
    let map = map.unwrap();
    assert_eq!(dealt(&map), [nodes(&[1, 2, 3]), nodes(&[4, 5])]);
    let before = map.before().unwrap();
    let key = Key::new("k").unwrap();
    assert_eq!(before.domain_of(&key), Domain::UNSHARDED);
    let later = map.id() > first(&[1, 2, 3, 4], 2).id();
    assert!(later, "a map that somebody asked for holds before settings");
}

#[test]
fn a_member_is_added_without_any_key_moving() {
    let map = first(&[1, 2, 3, 4], 2);
    let (node, s1) = (origin(9).address, ShardId(1));
    let next = map.with_member(node, s1, made(9)).unwrap();
    assert_eq!(dealt(&next), [nodes(&[1, 3]), nodes(&[2, 4, 9])]);
    assert!(next.id() > map.id());
    let dealt = map.dealt_anew(&nodes(&[1, 2, 3, 4]), 1, made(3)).unwrap();
    assert!(dealt.id() > next.id(), "whenever it is made");
    assert_eq!(next.deal(), map.deal());
    assert_eq!(
        next.domain_of(node).map,
        map.domain_of(origin(2).address).map
    );
    assert_eq!(next.with_member(node, ShardId(0), made(10)), None);
    assert_eq!(map.with_member(node, ShardId(2), made(9)), None);
    let implicit = ShardMap::implicit();
    assert_eq!(implicit.with_member(node, ShardId(0), made(9)), None);
}

#[test]
fn a_map_survives_the_round_trip_and_one_that_contradicts_itself_is_refused() {
    let decode =
        |map: &ShardMap| postcard::from_bytes::<ShardMap>(&postcard::to_stdvec(map).unwrap());
    let map = first(&[1, 2, 3, 4], 2);
    assert_eq!(decode(&map), Ok(map.clone()));
    assert_eq!(decode(&ShardMap::implicit()), Ok(ShardMap::implicit()));
    let mut other_id = map.clone();
    other_id.id.stamp += 1;
    let mut unsorted = map.clone();
    unsorted.shards[0].reverse();
    let mut twice = map.clone();
    twice.shards[1] = twice.shards[0].clone();
    let mut thin = map.clone();
    thin.shards[0].pop();
    let next = map
        .dealt_anew(&nodes(&[1, 2, 3, 4]), 1, made(9))
        .unwrap()
        .with_member(origin(5).address, ShardId(0), made(10))
        .unwrap();
    assert_eq!(decode(&next), Ok(next.clone()));
    let mut from_nowhere = next.clone();
    from_nowhere.before = None;
    let mut from_itself = next;
    from_itself.before = Some(from_itself.deal());
    let mut claimed = map;
    claimed.id.maker = Some(origin(1).address);
    for bad in [
        other_id,
        unsorted,
        twice,
        thin,
        claimed,
        from_nowhere,
        from_itself,
    ] {
        assert!(decode(&bad).is_err(), "{bad:?}");
    }
}
