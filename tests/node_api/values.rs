//! §2: any JSON value is a value, and its text comes back as it was sent.

use crate::support::{Cluster, Launch, Replica, V};

const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "\"\"",
    "[]",
    "{}",
    "\"null\"",
    "\"\\u0000\"",
    "-1",
];

const NUMBERS: &[&str] = &[
    "1.0e+400",
    "12345678901234567890.10",
    "1E5",
    "1e5",
    "100000.0",
    "0.1000",
    "-0.0",
    "18446744073709551616",
    "0.30000000000000004440892098500626",
    "1e-400",
];

const TEXTS: &[&str] = &[
    r#""é""#,
    r#""\u00e9""#,
    r#""\ud83d\ude00""#,
    r#""😀""#,
    r#""\/ \" \\ \b\f\n\r\t""#,
    r#""\uD800""#,
    "\"\u{2028}\u{7f}\u{feff}\"",
];

const STRUCTURES: &[&str] = &[
    r#"{"b":1,"a":2}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"":{"":[]}}"#,
    r#"{"value":null,"causal-metadata":"mine"}"#,
    "[ 1 ,\t2 , { \"a\" : [ ] } ]",
    r#"[1,"1",1.0,true,null,[[]],{}]"#,
];

/// Writes the text as a value and reads it back.
#[track_caller]
fn assert_kept(replica: &Replica, text: &str) {
    let put = replica.put("k", text, &V::none());
    assert!([200, 201].contains(&put.status), "{text}: {put:?}");
    let found = replica.get("k", &put.v()).expect_result(200, "found");
    assert_eq!(found.member("value").as_deref(), Some(text));
}

#[track_caller]
fn assert_all_kept(texts: &[&str]) {
    let replica = Launch::new().start();
    for text in texts {
        assert_kept(&replica, text);
    }
}

/// A value of that depth, and its text.
fn nested(depth: usize, open: &str, close: &str) -> String {
    format!("{}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn null_zero_false_and_empty_things_are_values() {
    assert_all_kept(SCALARS);
}

#[test]
fn numbers_keep_their_digits() {
    assert_all_kept(NUMBERS);
}

#[test]
fn strings_keep_their_characters_and_escapes() {
    assert_all_kept(TEXTS);
}

#[test]
fn objects_keep_their_members_and_their_order() {
    assert_all_kept(STRUCTURES);
}

#[test]
fn values_come_back_the_same_from_another_replica() {
    let cluster = Cluster::of(2);
    for text in [SCALARS, NUMBERS, TEXTS, STRUCTURES].concat() {
        let put = cluster[0].put("k", text, &V::none());
        let found = cluster[1]
            .get_waiting("k", &put.v())
            .expect_result(200, "found");
        assert_eq!(found.member("value").as_deref(), Some(text));
    }
}

#[test]
fn values_come_back_the_same_from_a_replica_that_joined_later() {
    let first = Launch::new().start();
    let texts = [SCALARS, NUMBERS, TEXTS, STRUCTURES].concat();
    for (i, text) in texts.iter().enumerate() {
        first.put(&format!("k{i}"), text, &V::none()).expect(201);
    }
    let second = Launch::new().view(first.name()).start();
    for (i, text) in texts.iter().enumerate() {
        let found = second.get(&format!("k{i}"), &V::none()).expect(200);
        assert_eq!(found.member("value").as_deref(), Some(*text));
    }
}

#[test]
fn a_value_nested_128_deep_is_kept() {
    let mixed = format!("{}null{}", "[{\"a\":".repeat(64), "}]".repeat(64));
    let objects = format!("{}1{}", "{\"a\":".repeat(128), "}".repeat(128));
    assert_all_kept(&[&nested(128, "[", "]"), &mixed, &objects]);
}

#[test]
fn a_value_nested_129_deep_is_refused() {
    let replica = Launch::new().start();
    let objects = format!("{}1{}", "{\"a\":".repeat(129), "}".repeat(129));
    for text in [nested(129, "[", "]"), objects, nested(100_000, "[", "]")] {
        let answer = replica
            .put("k", &text, &V::none())
            .expect_error(400, "PUT request does not specify a value");
        assert!(
            answer.member("detail").unwrap().contains("128"),
            "{answer:?}"
        );
    }
    replica.get("k", &V::none()).expect(404);
}

#[test]
fn brackets_inside_strings_are_no_depth() {
    let shallow = format!("[\"{}\\\"[\"]", "[{".repeat(500));
    assert_all_kept(&[&shallow]);
}

#[test]
fn a_value_of_a_mebibyte_is_kept() {
    assert_all_kept(&[&format!("\"{}\"", "x".repeat(1 << 20))]);
}

#[test]
fn a_deep_value_travels_to_the_other_replicas() {
    let cluster = Cluster::of(2);
    let deep = nested(128, "[", "]");
    let put = cluster[0].put("k", &deep, &V::none()).expect(201);
    let found = cluster[1].get_waiting("k", &put.v()).expect(200);
    assert_eq!(found.member("value"), Some(deep));
}
