//! §2: what a key is.

use crate::support::{Cluster, Launch, V};

#[test]
fn a_key_of_fifty_characters_is_fine_and_one_of_fifty_one_is_too_long() {
    let replica = Launch::new().start();
    for character in ["k", "%C3%A9", "%F0%9F%98%80", "%2F", "%00"] {
        let fine = character.repeat(50);
        let v = replica
            .put(&fine, "1", &V::none())
            .expect_result(201, "created")
            .v();
        replica.get(&fine, &v).expect_result(200, "found");
        let long = character.repeat(51);
        replica
            .put(&long, "1", &v)
            .expect_error(400, "Key is too long");
        replica.get(&long, &v).expect_error(400, "Key is too long");
        replica
            .delete(&long, &v)
            .expect_error(400, "Key is too long");
    }
}

#[test]
fn a_very_long_key_is_too_long() {
    let replica = Launch::new().start();
    let long = "k".repeat(5_000);
    replica
        .put(&long, "1", &V::none())
        .expect_error(400, "Key is too long");
}

#[test]
fn keys_that_differ_after_decoding_are_different_keys() {
    let keys = [
        "a",
        "A",
        "a%2Fb",
        "%2F",
        "%2Fa",
        "a%2F",
        "%00",
        "a%00",
        "%20",
        "a%20b",
        "a+b",
        "%25",
        "%252F",
        "%2500",
        "a%2Bb%2B",
        "%3F",
        "%23",
        "%22",
        "%5C",
        "%7B%7D",
        "%0A",
        "%C3%A9",
        "e%CC%81",
        "%F0%9F%98%80",
        "%EF%BF%BD",
        "%2E",
        "%2E%2E",
        ".hidden",
        "a:b@c",
        "~",
        "%7F",
    ];
    let replica = Launch::new().start();
    for (i, key) in keys.iter().enumerate() {
        let put = replica.put(key, &i.to_string(), &V::none());
        assert_eq!(put.status, 201, "{key}: {put:?}");
    }
    for (i, key) in keys.iter().enumerate() {
        let found = replica.get(key, &V::none()).expect(200);
        assert_eq!(found.member("value").unwrap(), i.to_string(), "{key}");
    }
}

#[test]
fn spellings_that_decode_to_the_same_text_are_the_same_key() {
    let replica = Launch::new().start();
    for (one, other) in [
        ("a", "%61"),
        ("%2f", "%2F"),
        ("%c3%a9", "%C3%A9"),
        ("-_.~", "%2D%5F%2E%7E"),
        ("%2b", "+"),
    ] {
        let v = replica
            .put(one, &format!("{one:?}"), &V::none())
            .expect(201)
            .v();
        let found = replica.get(other, &v).expect_result(200, "found");
        assert_eq!(found.member("value").unwrap(), format!("{one:?}"));
        replica.delete(other, &v).expect_result(200, "deleted");
        replica.get(one, &V::none()).expect(404);
    }
}

#[test]
fn a_key_that_is_not_utf_8_is_refused() {
    let replica = Launch::new().start();
    for key in [
        "%FF",
        "a%80",
        "%C3",
        "%C3%28",
        "%ED%A0%80",
        "%F5%80%80%80",
        "%C0%AF",
    ] {
        let error = "Key is not valid UTF-8";
        replica.put(key, "1", &V::none()).expect_error(400, error);
        replica.get(key, &V::none()).expect_error(400, error);
        replica.delete(key, &V::none()).expect_error(400, error);
    }
}

#[test]
fn strange_keys_reach_the_other_replicas_as_they_are() {
    let cluster = Cluster::of(2);
    for key in ["a%2Fb", "%00", "%252F", "%F0%9F%98%80", "%20", "%22%5C"] {
        let put = cluster[0]
            .put(key, &format!("{key:?}"), &V::none())
            .expect(201);
        let found = cluster[1].get_waiting(key, &put.v()).expect(200);
        assert_eq!(found.member("value").unwrap(), format!("{key:?}"));
    }
}
