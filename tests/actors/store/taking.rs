//! What was taken over is applied bit by bit, and is to be seen at once.

use causet::core::inheritance::OlderWrites;
use causet::messages::causality::Outcome;
use causet::messages::store::{ApplyOlder, Collect};

use super::Stage;
use crate::fixtures::{OTHER_DOMAIN, dot, put, value, write};
use crate::support::{in_virtual_time, pass};
use causet::core::stamp::HlcTime;
use causet::core::write::Content;

/// Far more than one slice.
const KEYS: u64 = 50;

fn brought() -> ApplyOlder {
    let writes = (1..=KEYS).map(|counter| write(1, counter, &[])).collect();
    let domain = OTHER_DOMAIN;
    ApplyOlder {
        older: vec![OlderWrites { domain, writes }],
    }
}

#[test]
fn what_was_taken_over_is_read_at_once_though_it_is_applied_bit_by_bit() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.actor.tell(brought());
        let last = stage.read(&format!("k1-{KEYS}")).await;
        assert!(stage.metrics.keys.get() < 10, "most are to come");
        let Outcome::Found(seen) = last else {
            panic!("{last:?}");
        };
        assert_eq!(
            (seen.domain, seen.version.dot),
            (OTHER_DOMAIN, dot(1, KEYS))
        );
        pass(1_000).await;
        assert_eq!(stage.metrics.keys.get(), 50);
    });
}

/// Else the value would come back when it is applied.
#[test]
fn a_delete_of_what_was_taken_over_stays_until_all_of_that_is_applied() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.actor.tell(brought());
        let name = format!("k1-{KEYS}");
        stage
            .own(put(&name, dot(9, KEYS + 1), Content::Tombstone, &[]))
            .await;
        let upto = HlcTime {
            ms: KEYS + 1,
            count: 0,
        };
        stage.actor.tell(Collect { upto });
        pass(1_000).await;
        assert!(matches!(stage.read(&name).await, Outcome::Absent(None)));
        assert_eq!(stage.metrics.keys.get(), 49);
        assert_eq!(stage.metrics.tombstones_collected.get(), 1);
        stage
            .own(put(
                &name,
                dot(9, KEYS + 2),
                Content::Value(value("2")),
                &[],
            ))
            .await;
        assert_eq!(stage.metrics.keys.get(), 50);
    });
}
