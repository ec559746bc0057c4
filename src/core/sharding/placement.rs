//! Key → shard: jump consistent hash over XXH3-64 of the key's bytes.
//!
//! Both are part of the protocol: nodes that disagreed would look for one key in two places. From `n` to `n + 1` shards only
//! one key in `n + 1` moves, all of them to the new shard. Lamping & Veach, "A Fast, Minimal Memory, Consistent Hash
//! Algorithm" (2014); XXH3 by Yann Collet, with seed 0.

use xxhash_rust::xxh3::xxh3_64;

use crate::core::id::{Key, ShardId};

/// The shard of `key` among `shards` of them (at least 1).
pub fn shard_of(key: &Key, shards: u32) -> ShardId {
    ShardId(jump(xxh3_64(key.as_str().as_bytes()), shards))
}

/// Whether a key of the first of these shards, of so many, can be one of the other among so many: keys go to added shards only, and out of
/// removed ones only.
pub fn may_pass((from, of): (ShardId, u32), (to, among): (ShardId, u32)) -> bool {
    from == to || (among > of && to.0 >= of) || (among < of && from.0 >= among)
}

/// The bucket of a hash among `buckets` of them (at least 1): below `buckets`, and the same for `buckets + 1` or else `buckets`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the algorithm is defined on doubles; what is cast back is positive, and below 2^32 wherever it is used"
)]
fn jump(mut hash: u64, buckets: u32) -> u32 {
    debug_assert!(buckets > 0, "no bucket to be in");
    let (mut bucket, mut next) = (0_u64, 0_u64);
    while next < u64::from(buckets) {
        bucket = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let stride = (1_u64 << 31) as f64 / ((hash >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * stride) as u64;
    }
    bucket as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn shards_of(keys: u32, shards: u32) -> Vec<u32> {
        let name = |n| key(&format!("key{n}"));
        (0..keys).map(|n| shard_of(&name(n), shards).0).collect()
    }

    fn counts(placed: &[u32], shards: u32) -> Vec<u32> {
        let of = |shard| placed.iter().filter(|at| **at == shard).count();
        let counts = (0..shards).map(of);
        counts.map(|n| u32::try_from(n).unwrap()).collect()
    }

    #[test]
    fn the_place_of_a_key_never_changes_between_versions() {
        // Wire format: to change one of these is to lose keys.
        for (text, hash, places) in GOLDEN {
            assert_eq!(xxh3_64(text.as_bytes()), *hash, "{text}");
            let placed = [1, 2, 3, 4, 5, 8, 16, 64, 1_000].map(|n| shard_of(&key(text), n).0);
            assert_eq!(placed, *places, "{text}");
        }
    }

    #[test]
    fn jump_agrees_with_values_computed_elsewhere() {
        for (hash, buckets, expected) in JUMPS {
            assert_eq!(jump(*hash, *buckets), *expected, "{hash} among {buckets}");
        }
    }

    /// Every one of so many shards gets its share of the keys, less or more by so many percent at most.
    fn assert_shares(keys: u32, shards: std::ops::RangeInclusive<u32>, percent: u32) {
        for shards in shards {
            let share = keys / shards;
            for count in counts(&shards_of(keys, shards), shards) {
                let off = count.abs_diff(share);
                assert!(
                    off * 100 < percent * share,
                    "{count} of {share} in {shards} shards"
                );
            }
        }
    }

    #[test]
    fn of_six_hundred_keys_every_shard_gets_its_share_within_a_quarter() {
        assert_shares(600, 2..=5, 25);
    }

    #[test]
    fn of_a_hundred_thousand_keys_every_shard_gets_its_share_within_three_percent() {
        assert_shares(100_000, 2..=8, 3);
    }

    #[test]
    fn more_shards_take_keys_only_into_the_new_one_and_fewer_only_out_of_the_old_one() {
        let steps = [2, 3, 4, 3].map(|shards| (shards, shards_of(100_000, shards)));
        for pair in steps.windows(2) {
            let ((before, old), (after, new)) = (&pair[0], &pair[1]);
            let (fewer, more) = (before.min(after), before.max(after));
            let moved = old.iter().zip(new).filter(|(from, to)| from != to);
            let mut count = 0_u32;
            for (from, to) in moved {
                count += 1;
                let joined = if after > before { to } else { from };
                assert_eq!(joined, fewer, "a key that need not move has moved");
            }
            let share = 100_000 / more;
            let off = count.abs_diff(share);
            assert!(off * 100 <= 3 * share, "{count} of {share}");
        }
    }

    #[test]
    fn every_way_that_a_key_takes_is_one_that_it_may_take_and_the_others_are_few() {
        for (of, among) in [(1, 4), (2, 3), (3, 2), (4, 2), (3, 3)] {
            let taken = shards_of(10_000, of).into_iter();
            let taken: BTreeSet<_> = taken.zip(shards_of(10_000, among)).collect();
            let ways = (0..of).flat_map(|from| (0..among).map(move |to| (from, to)));
            let open =
                |(from, to): &(u32, u32)| may_pass((ShardId(*from), of), (ShardId(*to), among));
            assert_eq!(ways.filter(open).collect::<BTreeSet<_>>(), taken);
        }
    }

    /// Hashes as `xxhsum -H3` prints them.
    const GOLDEN: &[(&str, u64, [u32; 9])] = &[
        (
            "key0",
            0x74d9_35ed_0202_1ec6,
            [0, 1, 1, 1, 1, 1, 10, 33, 949],
        ),
        (
            "key599",
            0xbb8d_efd6_19bd_0513,
            [0, 0, 2, 2, 2, 7, 7, 23, 986],
        ),
        ("a", 0xe6c6_32b6_1e96_4e1f, [0, 1, 1, 1, 1, 1, 14, 14, 350]),
        (
            "a/b",
            0x48f7_1e94_7586_0604,
            [0, 1, 2, 2, 2, 7, 14, 14, 761],
        ),
        (
            "schl\u{fc}ssel",
            0x1aca_8ef6_171a_20de,
            [0, 0, 0, 0, 0, 0, 13, 49, 249],
        ),
    ];

    /// By an independent implementation of the paper's listing.
    const JUMPS: &[(u64, u32, u32)] = &[
        (0, 1, 0),
        (0, 7, 0),
        (1, 2, 0),
        (256, 1_024, 520),
        (10_863_919_174_838_991, 11, 6),
        (2_016_238_256_797_177_309, 11, 3),
        (1_673_758_223_894_951_030, 11, 5),
        (3_735_928_559, 666, 285),
        (0, 1_000, 0),
        (18_446_744_073_709_551_615, 128, 92),
    ];
}
