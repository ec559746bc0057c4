use super::*;

#[test]
fn every_name_prints_back_to_the_text_it_was_parsed_from() {
    let domain = "3.1790000000000.10.10.0.2:8090/s12";
    assert_eq!(domain.parse::<Domain>().unwrap().to_string(), domain);
    let origin = "[fe80::1]:8090@1a2b";
    assert_eq!(origin.parse::<Origin>().unwrap().to_string(), origin);
    assert_eq!("0/s0".parse::<Domain>().unwrap(), Domain::UNSHARDED);
}

#[test]
fn second_spellings_and_unreachable_addresses_are_refused() {
    for text in [
        "10.0.0.1:0",
        "0.0.0.0:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "[ff02::1]:80",
        "10.0.0.1",
        "host:80",
        "",
    ] {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
    for text in ["0", "01", "A", "+1", ""] {
        assert!(text.parse::<Incarnation>().is_err(), "{text}");
    }
    for text in ["s", "s01", "0", "s+1", "s-1"] {
        assert!(text.parse::<ShardId>().is_err(), "{text}");
    }
    for text in [
        "",
        "01",
        "1.0",
        "1.02",
        "1.2.",
        "1.02.10.0.0.1:1",
        "1..10.0.0.1:1",
    ] {
        assert!(text.parse::<MapId>().is_err(), "{text}");
    }
}

#[test]
fn a_name_that_has_no_text_is_not_taken_from_a_peer_either() {
    let address: Address = "10.0.0.1:1".parse().unwrap();
    let taken = |bytes: Vec<u8>| postcard::from_bytes::<Dot>(&bytes).is_ok();
    let dot = |life: u64, counter: u64| postcard::to_stdvec(&((address, life), counter));
    assert!(taken(dot(1, 1).unwrap()) && taken(dot(1, Clock::COUNTER_MAX).unwrap()));
    assert!(!taken(dot(0, 1).unwrap()), "an unknown life");
    assert!(!taken(dot(1, 0).unwrap()), "no number");
    assert!(!taken(dot(1, Clock::COUNTER_MAX + 1).unwrap()), "no clock");
}

#[test]
fn addresses_sort_numerically() {
    let mut sorted: Vec<Address> = ["10.10.0.10:80", "10.10.0.2:9000", "10.10.0.2:80"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    sorted.sort();
    let texts: Vec<String> = sorted.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["10.10.0.2:80", "10.10.0.2:9000", "10.10.0.10:80"]);
}

#[test]
fn a_successor_is_later_even_when_the_wall_clock_was_set_back() {
    let life = Incarnation::starting(1_000_000, 77);
    assert!(life.succeeding(5, 0) > life);
    assert!(life.succeeding(2_000_000, 0) > life);
}

#[test]
fn fifty_characters_make_a_key_and_fifty_one_do_not() {
    assert!(Key::new(&"é".repeat(50)).is_some());
    assert!(Key::new(&"é".repeat(51)).is_none());
    assert!(Key::new("").is_none());
    let long = postcard::to_stdvec(&"e".repeat(51)).unwrap();
    assert!(postcard::from_bytes::<Key>(&long).is_err());
}
