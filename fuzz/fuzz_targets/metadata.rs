//! Any text is client metadata or refused, and what is taken means one thing only.
//!
//! Two texts, separated by a newline.

#![no_main]

use causet::core::metadata::Metadata;
use causet_fuzz::assert_understood;
use libfuzzer_sys::fuzz_target;

/// The metadata, if it is any, after the checks of one.
fn read(text: &str) -> Option<Metadata> {
    let metadata = Metadata::from_json(text).ok()?;
    let printed = metadata.to_json();
    assert_eq!(Metadata::from_json(&printed).as_ref(), Ok(&metadata));
    let blanks = format!(" \t{text}\r ");
    assert_eq!(Metadata::from_json(&blanks).as_ref(), Ok(&metadata));
    let json: serde_json::Value = serde_json::from_str(&printed).expect("what is printed is JSON");
    let members = json.as_object().expect("an object");
    assert!(members.len() == 2 && members["stamp"].is_array() && members["clocks"].is_object());
    assert_understood(&*metadata.clocks);
    if metadata != Metadata::default() {
        serde_json::from_str::<serde_json::Value>(text).expect("what is taken is JSON");
    }
    Some(metadata)
}

fn merged(a: &Metadata, b: &Metadata) -> Metadata {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

fuzz_target!(|text: &str| {
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    let (Some(a), Some(b)) = (read(first), read(second)) else {
        return;
    };
    let both = merged(&a, &b);
    assert_eq!(both, merged(&b, &a));
    assert_eq!(both, merged(&both, &a), "merging twice adds nothing");
    assert_eq!(Metadata::from_json(&both.to_json()), Ok(both));
});
