//! What clients carry: merging, the JSON form, and hybrid time.

use std::sync::Arc;

use causet::core::metadata::Metadata;
use causet::core::stamp::HlcTime;
use causet::core::wire;
use causet::core::write::{Value, Write};
use proptest::prelude::*;

use crate::names::{any_domain, any_json, any_metadata, any_time, any_write};

fn merged(a: &Metadata, b: &Metadata) -> Metadata {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

proptest! {
    #[test]
    fn metadata_survives_its_json_form_and_any_library_that_reads_and_writes_it(
        metadata in any_metadata(),
    ) {
        let json = metadata.to_json();
        prop_assert_eq!(Metadata::from_json(&json), Ok(metadata.clone()));
        // Members in another order, spaces between them.
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        let printed = serde_json::to_string_pretty(&parsed).unwrap();
        prop_assert_eq!(Metadata::from_json(&printed), Ok(metadata));
    }

    #[test]
    fn merging_metadata_loses_nothing(a in any_metadata(), b in any_metadata()) {
        let both = merged(&a, &b);
        prop_assert_eq!(&both, &merged(&b, &a));
        prop_assert_eq!(&merged(&both, &a), &both);
        prop_assert!(both.time >= a.time && both.time >= b.time);
    }

    #[test]
    fn what_was_observed_covers_the_write_and_all_that_it_depends_on(
        before in any_metadata(), write in any_write(), domain in any_domain(),
    ) {
        let mut after = before.clone();
        after.observe(domain, &write.version);
        let version = Metadata {
            time: write.version.time,
            clocks: Arc::clone(&write.version.deps),
        };
        prop_assert_eq!(&merged(&after, &before), &after);
        prop_assert_eq!(&merged(&after, &version), &after);
        prop_assert!(after.clocks.get(&domain).unwrap().covers(&write.dot()));
    }

    #[test]
    fn hybrid_time_rises_above_all_that_was_seen_and_keeps_up_with_the_wall_clock(
        own in any_time(), seen in any_time(), wall_ms in 0_u64..1 << 50,
    ) {
        let now = own.tick(seen, wall_ms);
        prop_assert!(now > own && now > seen && now.ms >= wall_ms);
        // It runs ahead of all three by no more than it must.
        let latest = own.ms.max(seen.ms).max(wall_ms);
        let next = HlcTime { ms: latest + 1, count: 0 };
        prop_assert!(now <= next);
    }

    #[test]
    fn writes_survive_the_wire(write in any_write()) {
        prop_assert_eq!(wire::decode::<Write>(&wire::encode(&write)), Ok(write));
    }

    #[test]
    fn a_value_keeps_its_text_over_the_wire(json in any_json(), space in "[ \t\r\n]{0,3}") {
        let text = format!("{space}{json}{space}");
        let value = Value::new(&text).unwrap();
        let passed: Value = wire::decode(&wire::encode(&value)).unwrap();
        prop_assert_eq!(passed.json(), text);
    }
}

#[test]
fn a_value_as_deep_as_allowed_passes_the_wire() {
    let text = "[".repeat(Value::MAX_DEPTH) + &"]".repeat(Value::MAX_DEPTH);
    let value = Value::new(&text).unwrap();
    assert_eq!(wire::decode(&wire::encode(&value)), Ok(value));
}
