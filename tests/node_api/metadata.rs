//! §2: metadata on its way in and out: spellings of none, malformed, in a header, too far ahead.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::replica::put;
use crate::support::{Cluster, Launch, Replica, Request, V};

const MALFORMED: &str = "causal-metadata is malformed";

/// Metadata beyond this many bytes comes in the body alone.
const HEADER_MAX: usize = 8 << 10;

/// Every way to say "no dependencies" in a body.
const NONE: &[&str] = &[
    "",
    "{}",
    r#"{"causal-metadata":null}"#,
    r#"{"causal-metadata":"null"}"#,
    r#"{"causal-metadata":{}}"#,
    r#"{"causal-metadata":""}"#,
    r#"{"causal-metadata": { } }"#,
];

#[test]
fn all_spellings_of_no_dependencies_are_taken_by_get_and_delete() {
    let replica = Launch::new().start();
    for body in NONE {
        replica
            .put("k", "1", &V::none())
            .expect_result(201, "created");
        let get = Request::new("GET", "/kvs/k").body(*body);
        replica.ask(&get).expect_result(200, "found");
        let delete = Request::new("DELETE", "/kvs/k").body(*body);
        replica.ask(&delete).expect_result(200, "deleted");
    }
}

#[test]
fn all_spellings_of_no_dependencies_are_taken_by_put() {
    let replica = Launch::new().start();
    replica.put("k", "0", &V::none()).expect(201);
    for body in &NONE[2..] {
        let body = body.replacen('{', r#"{"value":1,"#, 1);
        let put = Request::new("PUT", "/kvs/k").body(body);
        replica.ask(&put).expect_result(200, "replaced");
    }
    let without = Request::new("PUT", "/kvs/k").body(r#"{"value":1}"#);
    replica.ask(&without).expect_result(200, "replaced");
}

#[test]
fn a_get_and_a_delete_without_any_body_have_no_dependencies() {
    let replica = Launch::new().start();
    replica.put("k", "1", &V::none()).expect(201);
    let found = replica.fetch("/kvs/k").expect_result(200, "found");
    found.v();
    let delete = Request::new("DELETE", "/kvs/k");
    replica.ask(&delete).expect_result(200, "deleted");
}

/// Shapes that no replica ever sent.
fn malformed_shapes() -> Vec<String> {
    let mut shapes: Vec<String> = [
        "1",
        "0",
        "true",
        "false",
        "[]",
        "[null]",
        "\"abc\"",
        "\"{}\"",
        "\" \"",
        r#"{"unknown":1}"#,
        r#"{"clocks":1}"#,
        r#"{"stamp":[0,0],"clocks":null}"#,
        r#"{"stamp":[0,0],"clocks":[]}"#,
        r#"{"stamp":7,"clocks":{}}"#,
        r#"{"stamp":[7],"clocks":{}}"#,
        r#"{"stamp":[7,0,0],"clocks":{}}"#,
        r#"{"stamp":["7",0],"clocks":{}}"#,
        r#"{"stamp":[-7,0],"clocks":{}}"#,
        r#"{"stamp":[1.5,0],"clocks":{}}"#,
        r#"{"stamp":[18446744073709551616,0],"clocks":{}}"#,
        r#"{"stamp":[1,0],"clocks":{"0/s0":1}}"#,
        r#"{"stamp":[1,0],"clocks":{"0/s0":["127.0.0.1:1@1"]}}"#,
    ]
    .map(str::to_owned)
    .into();
    let domains = [
        "", "s0", "0", "0/0", "0/s00", "0/s-1", "00/s0", "x/s0", "1.02/s0",
    ];
    let origins = [
        "",
        "@",
        "127.0.0.1:1",
        "127.0.0.1:1@",
        "127.0.0.1@1",
        "a:1@1",
        "127.0.0.1:1@0",
        "127.0.0.1:1@G",
        "127.0.0.1:1@01",
        "127.0.0.1:0@1",
    ];
    let counters = ["-1", "1.5", "\"1\"", "null", "18446744073709551616", "[1]"];
    let entry = |domain: &str, origin: &str, counter: &str| {
        format!(r#"{{"stamp":[1,0],"clocks":{{"{domain}":{{"{origin}":{counter}}}}}}}"#)
    };
    shapes.extend(domains.map(|domain| entry(domain, "127.0.0.1:1@1", "1")));
    shapes.extend(origins.map(|origin| entry("0/s0", origin, "1")));
    shapes.extend(counters.map(|counter| entry("0/s0", "127.0.0.1:1@1", counter)));
    shapes.push(format!("{}{}", "[".repeat(50_000), "]".repeat(50_000)));
    shapes
}

#[test]
fn malformed_metadata_is_refused_whatever_its_shape() {
    let replica = Launch::new().start();
    replica.put("k", "1", &V::none()).expect(201);
    let mut taken = Vec::new();
    for shape in malformed_shapes() {
        let v = V::raw(shape);
        for answer in [
            replica.get("k", &v),
            replica.put("k", "2", &v),
            replica.delete("k", &v),
        ] {
            let error = answer.member("error").unwrap_or_default();
            if answer.status != 400 || error != format!("{MALFORMED:?}") {
                taken.push((v.text()[..v.text().len().min(100)].to_owned(), answer));
            }
        }
    }
    assert!(taken.is_empty(), "not refused as malformed: {taken:#?}");
    assert_eq!(replica.get("k", &V::none()).member("value").unwrap(), "1");
}

fn with_header(replica: &Replica, method: &str, key: &str, v: &str) -> crate::support::Answer {
    let request = Request::new(method, &format!("/kvs/{key}")).header("Causal-Metadata", v);
    replica.ask(&match method {
        "PUT" => request.body(r#"{"value":1}"#),
        _ => request,
    })
}

#[test]
fn metadata_may_come_in_a_header_and_comes_back_in_it_and_in_the_body() {
    let replica = Launch::new().start();
    let mut v = "null".to_owned();
    for (method, status) in [
        ("PUT", 201),
        ("GET", 200),
        ("PUT", 200),
        ("DELETE", 200),
        ("GET", 404),
        ("DELETE", 404),
    ] {
        let answer = with_header(&replica, method, "k", &v).expect(status);
        let header = answer
            .header("causal-metadata")
            .expect("the header in the answer");
        let json: serde_json::Value = serde_json::from_str(header).unwrap();
        assert_eq!(json, answer.json()["causal-metadata"]);
        assert!(V::raw(header).covers(&answer.v()) && answer.v().covers(&V::raw(header)));
        v = header.to_owned();
    }
}

#[test]
fn dependencies_in_a_header_count_as_those_in_a_body() {
    let replica = Launch::new().start();
    let v = replica.put("k", "1", &V::none()).expect(201).v();
    let unmet = v.of_the_next_write();
    for method in ["GET", "PUT", "DELETE"] {
        with_header(&replica, method, "k", unmet.text())
            .expect_error(503, "Causal dependencies not satisfied; try again later");
    }
}

#[test]
fn a_header_may_say_no_dependencies_in_every_spelling() {
    let replica = Launch::new().start();
    replica.put("k", "1", &V::none()).expect(201);
    for none in ["null", "\"null\"", "{}", "\"\"", ""] {
        with_header(&replica, "GET", "k", none).expect_result(200, "found");
    }
}

#[test]
fn a_malformed_header_is_refused() {
    let replica = Launch::new().start();
    for bad in ["7", "{", "nonsense", "[]", "{} {}"] {
        with_header(&replica, "GET", "k", bad).expect_error(400, MALFORMED);
        with_header(&replica, "PUT", "k", bad).expect_error(400, MALFORMED);
    }
    let bytes = b"GET /kvs/k HTTP/1.1\r\nHost: r\r\nCausal-Metadata: \xff\xfe\r\n\r\n";
    let mut connection = replica.connect();
    connection.send(bytes).unwrap();
    connection.answer().unwrap().expect_error(400, MALFORMED);
}

/// Metadata of about this many bytes, all of it about another shard.
fn foreign(bytes: usize) -> V {
    let entry = |i: usize| (format!("127.0.0.9:{}@{:x}", 1_000 + i, 1_u64 << 50), 1);
    let entries: Vec<_> = (0..).map(entry).take(bytes / 33).collect();
    let entries: Vec<_> = entries.iter().map(|(o, n)| (o.as_str(), *n)).collect();
    V::in_domain("0/s1", &entries)
}

#[test]
fn metadata_beyond_eight_kibibytes_comes_in_the_body_alone() {
    let replica = Launch::new().start();
    for (bytes, in_header) in [
        (1_000, true),
        (7_000, true),
        (9_000, false),
        (12_000, false),
    ] {
        let v = foreign(bytes);
        let answer = with_header(&replica, "PUT", "k", v.text());
        assert!([200, 201].contains(&answer.status), "{bytes}: {answer:?}");
        assert!(answer.v().covers(&v), "{bytes}: something was lost");
        let within = answer.v().text().len() <= HEADER_MAX;
        assert_eq!(within, in_header, "the test's own sizes are right");
        assert_eq!(
            answer.header("causal-metadata").is_some(),
            in_header,
            "{bytes}"
        );
    }
}

/// A shard that this replica is not in.
const OTHER_SHARD: &str = "0/s4";

#[test]
fn groups_of_other_shards_pass_through_unchanged() {
    let replica = Launch::new().start();
    let own = replica.put("k", "1", &V::none()).expect(201).v();
    let other = V::in_domain(OTHER_SHARD, &[("127.0.0.9:1@1f", 7), ("127.0.0.8:1@2", 9)]);
    let v = own.with(&other);
    let theirs = |answer: crate::support::Answer| answer.v().clocks().get(OTHER_SHARD).cloned();
    let sent = other.clocks().get(OTHER_SHARD).cloned();
    assert_eq!(theirs(replica.get("k", &v).expect(200)), sent);
    assert_eq!(theirs(replica.put("k", "2", &v).expect(200)), sent);
    assert_eq!(theirs(replica.get("absent", &v).expect(404)), sent);
    assert_eq!(theirs(replica.delete("k", &v).expect(200)), sent);
}

/// The same JSON with the members of every object in the opposite order and white space between.
fn written_otherwise(json: &serde_json::Value) -> String {
    use serde_json::Value::{Array, Object};
    let list = |parts: Vec<String>| parts.join(" , ");
    match json {
        Object(members) => {
            let member = |(name, value)| format!("{name:?} : {}", written_otherwise(value));
            format!("{{ {} }}", list(members.iter().rev().map(member).collect()))
        }
        Array(items) => format!(
            "[ {} ]",
            list(items.iter().map(written_otherwise).collect())
        ),
        other => other.to_string(),
    }
}

#[test]
fn metadata_that_a_client_has_parsed_and_written_again_is_the_same() {
    let cluster = Cluster::of(3);
    let mut v = V::none();
    for (i, replica) in cluster.iter().enumerate() {
        let put = put("k", &i.to_string(), &v).header("Prefer", "wait=15");
        v = replica.ask(&put).v();
    }
    assert_eq!(v.clocks()["0/s0"].len(), 3, "{v:?}");
    let v = v.with(&V::in_domain(
        "0/s4",
        &[("127.0.0.9:9@1", 7), ("127.0.0.10:9@1", 8)],
    ));
    let json = serde_json::from_str(v.text()).unwrap();
    let again = V::raw(written_otherwise(&json));
    assert_ne!(again.text(), v.text());
    for replica in cluster.iter() {
        let found = replica.get_waiting("k", &again).expect_result(200, "found");
        assert!(found.v().covers(&v), "{found:?}");
        replica
            .get_waiting("k", &V::raw(json.to_string()))
            .expect(200);
    }
}

fn wall_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test of the wall clock itself")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[test]
fn a_write_whose_metadata_is_too_far_ahead_in_time_is_refused() {
    let replica = Launch::new().start();
    replica.put("k", "1", &V::none()).expect(201);
    let hour = u64::try_from(Duration::from_secs(3_600).as_millis()).unwrap();
    let v = V::stamped(wall_ms() + hour);
    for answer in [replica.put("k", "2", &v), replica.delete("k", &v)] {
        let error = answer.expect(503).member("error").unwrap();
        assert!(
            error.starts_with("\"Clock skew: the metadata's stamp"),
            "{error}"
        );
    }
    replica.get("k", &v).expect_result(200, "found");
    assert_eq!(replica.get("k", &V::none()).member("value").unwrap(), "1");
}

#[test]
fn a_write_is_stamped_above_what_its_metadata_saw() {
    let replica = Launch::new().start();
    let v = V::stamped(wall_ms() + 30_000);
    let written = replica.put("k", "1", &v).expect(201).v();
    assert!(written.stamp() > v.stamp(), "{written:?} {v:?}");
    let next = replica.put("k", "2", &V::none()).expect(200).v();
    assert!(next.stamp() > written.stamp(), "{next:?} {written:?}");
    assert_eq!(replica.get("k", &V::none()).member("value").unwrap(), "2");
}

#[test]
fn dependencies_in_a_second_header_count_as_those_in_the_first() {
    let replica = Launch::new().start();
    let v = r#"{"stamp":[1,0],"clocks":{"0/s0":{"127.0.0.9:9@1":1}}}"#;
    let request = Request::new("GET", "/kvs/k")
        .header("Causal-Metadata", "null")
        .header("Causal-Metadata", v);
    replica.ask(&request).expect(503);
}
