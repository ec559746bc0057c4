use rand::SeedableRng;

use super::*;

const TIMING: Timing = Timing {
    probe_period_ms: 250,
    probe_rtt_ms: 80,
    suspicion_ms: 1_000,
};

fn identity(number: u8) -> Identity {
    let address = format!("10.10.0.{number}:8090").parse().unwrap();
    Identity::new(address, Incarnation::starting(1_000, u64::from(number)))
}

fn node(number: u8) -> Swim {
    let rng = ChaCha8Rng::seed_from_u64(u64::from(number));
    Swim::new(identity(number), TIMING, rng)
}

fn last_datagram(node: &mut Swim) -> Bytes {
    let datagrams = node.take_datagrams();
    datagrams.last().expect("something was sent").1.clone()
}

/// Carries datagrams between the two until none is left.
fn converse(a: &mut Swim, b: &mut Swim) {
    loop {
        let (from_a, from_b) = (a.take_datagrams(), b.take_datagrams());
        if from_a.is_empty() && from_b.is_empty() {
            return;
        }
        for (_, bytes) in from_a {
            b.receive(&Datagram::parse(&bytes).unwrap(), 0).unwrap();
        }
        for (_, bytes) in from_b {
            a.receive(&Datagram::parse(&bytes).unwrap(), 0).unwrap();
        }
    }
}

fn pair() -> (Swim, Swim) {
    let (mut a, mut b) = (node(1), node(2));
    a.announce(identity(2), 0);
    converse(&mut a, &mut b);
    assert_eq!(a.members().collect::<Vec<_>>(), [(identity(2), true)]);
    assert_eq!(b.members().collect::<Vec<_>>(), [(identity(1), true)]);
    (a, b)
}

fn gossip(from: Identity, to: Identity, updates: Vec<Member<Identity>>) -> Datagram {
    let header = Header {
        src: from,
        src_incarnation: 0,
        dst: to,
        message: Message::Gossip,
    };
    Datagram { header, updates }
}

#[test]
fn what_is_decoded_encodes_to_the_same_bytes() {
    let (mut a, _) = pair();
    a.advance(250);
    let bytes = last_datagram(&mut a);
    let datagram = Datagram::parse(&bytes).unwrap();
    assert!(datagram.updates.len() == 1, "a probe carries news");
    assert_eq!(datagram.encode().unwrap(), bytes);
}

#[test]
fn nobody_is_asked_for_a_detour_to_himself_in_another_life() {
    let mut swim = node(1);
    let mut detour = gossip(identity(3), identity(1), Vec::new());
    let target = Identity::new(identity(1).address, Incarnation::starting(500, 0));
    let probe_number = 0;
    detour.header.message = Message::PingReq {
        target,
        probe_number,
    };
    let refused = swim.receive(&detour, 0);
    assert_eq!(refused, Err(DatagramError::Ourselves));
    assert!(swim.take_datagrams().is_empty());
}

#[test]
fn a_detour_to_a_life_that_cannot_be_is_refused() {
    let mut detour = gossip(identity(3), identity(1), Vec::new());
    for incarnation in [Incarnation::UNKNOWN, Incarnation::starting(1 << 50, 0)] {
        let address = identity(2).address;
        detour.header.message = Message::PingReq {
            target: Identity::new(address, incarnation),
            probe_number: 0,
        };
        let refused = Datagram::parse(&detour.encode().unwrap());
        assert_eq!(refused, Err(DatagramError::Implausible(address)));
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let (mut a, _) = pair();
    a.advance(250);
    let bytes = last_datagram(&mut a);
    let bare = postcard::to_stdvec(&Datagram::parse(&bytes).unwrap().header).unwrap();
    for length in (0..bytes.len()).filter(|length| *length != bare.len()) {
        assert!(Datagram::parse(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Datagram::parse(&longer), Err(DatagramError::Malformed));
    let giant = vec![0; DATAGRAM_MAX + 1];
    assert_eq!(Datagram::parse(&giant), Err(DatagramError::TooLong(1_401)));
}

#[test]
fn an_announcement_with_anything_behind_it_is_refused() {
    let mut a = node(1);
    a.announce(identity(2), 0);
    let bytes = [&last_datagram(&mut a)[..], &[0, 0]].concat();
    assert_eq!(Datagram::parse(&bytes), Err(DatagramError::Malformed));
}

#[test]
fn an_address_that_nobody_can_have_is_refused() {
    // Port zero: the last byte of the encoded address.
    let good = postcard::to_stdvec(&identity(1).address).unwrap();
    let bad = [&good[..5], &[0]].concat();
    assert!(postcard::from_bytes::<Address>(&good).is_ok());
    let datagram = gossip(identity(1), identity(2), Vec::new());
    let bytes = datagram.encode().unwrap();
    let bytes = [&bad, &bytes[good.len()..]].concat();
    assert_eq!(Datagram::parse(&bytes), Err(DatagramError::Malformed));
}

#[test]
fn lives_that_cannot_be_are_refused() {
    let last = Incarnation::starting(1 << 50, 0);
    for life in [Incarnation::UNKNOWN, last] {
        let odd = Identity::new(identity(3).address, life);
        let bad = Err(DatagramError::Implausible(odd.address));
        let from_odd = gossip(odd, identity(2), Vec::new()).encode().unwrap();
        assert_eq!(Datagram::parse(&from_odd), bad);
        let about_odd = gossip(identity(1), identity(2), vec![Member::alive(odd)]);
        assert_eq!(Datagram::parse(&about_odd.encode().unwrap()), bad);
    }
}

#[test]
fn a_refused_datagram_changes_nothing() {
    let (mut a, _) = pair();
    let down = vec![Member::down(identity(2))];
    let elsewhere = gossip(identity(3), identity(4), down.clone());
    let ourselves = gossip(identity(1), identity(1), down.clone());
    let mut detour = gossip(identity(3), identity(1), down);
    detour.header.message = Message::PingReq {
        target: identity(1),
        probe_number: 1,
    };
    for datagram in [&elsewhere, &ourselves, &detour] {
        assert!(a.receive(datagram, 0).is_err());
        assert_eq!(a.members().collect::<Vec<_>>(), [(identity(2), true)]);
        assert_eq!(a.take_datagrams(), []);
    }
}

#[test]
fn who_is_declared_down_though_alive_renews_its_bump_and_probes_on() {
    let (mut a, _) = pair();
    let down = gossip(identity(2), identity(1), vec![Member::down(identity(1))]);
    a.receive(&down, 0).unwrap();
    let renewed = Identity {
        bump: 1,
        ..identity(1)
    };
    assert_eq!(a.identity(), renewed);
    a.take_datagrams();
    a.advance(250);
    let probe = Datagram::parse(&last_datagram(&mut a)).unwrap();
    assert!(matches!(probe.header.message, Message::Ping(_)));
    assert_eq!(probe.sender(), renewed);
}

#[test]
fn a_later_life_replaces_the_earlier_and_an_earlier_one_never_returns() {
    let (mut a, mut b) = pair();
    let later = Incarnation::starting(2_000, 0);
    b.renew(later, 0);
    converse(&mut a, &mut b);
    let expected = [(Identity::new(identity(2).address, later), true)];
    assert_eq!(a.members().collect::<Vec<_>>(), expected);
    b.renew(identity(2).incarnation, 0);
    assert_eq!(b.identity().incarnation, later);
    let stale = gossip(identity(2), identity(1), Vec::new());
    a.receive(&stale, 0).unwrap();
    assert_eq!(a.members().collect::<Vec<_>>(), expected);
}

#[test]
fn who_begins_a_new_life_tells_everybody_who_is_up_at_once() {
    let (mut a, _) = pair();
    for number in 3..=9 {
        let alive = Member::new(identity(number), 0, State::Alive);
        let told = gossip(identity(2), identity(1), vec![alive]);
        a.receive(&told, 0).unwrap();
    }
    a.take_datagrams();
    a.renew(identity(1).incarnation.next(), 0);
    let told = a.take_datagrams().into_iter().map(|(to, _)| to);
    let told: BTreeSet<Address> = told.collect();
    let everybody = (2..=9).map(|number| identity(number).address);
    assert_eq!(told, everybody.collect());
}

#[test]
fn a_member_that_is_up_lives_on_as_it_says_and_one_that_is_down_stays_so() {
    let (mut a, _) = pair();
    let later = Identity::new(identity(2).address, identity(2).incarnation.next());
    a.meet(later, 0);
    assert_eq!(a.members().collect::<Vec<_>>(), [(later, true)]);
    a.meet(identity(2), 0);
    assert_eq!(a.members().collect::<Vec<_>>(), [(later, true)]);
    a.presume_all_down(0);
    let next = Identity::new(later.address, later.incarnation.next());
    a.meet(next, 0);
    assert_eq!(a.members().collect::<Vec<_>>(), [(later, false)]);
}

#[test]
fn timers_due_together_fire_in_the_order_of_foca_then_of_their_setting() {
    let mut node = node(1);
    let probe = |token| Timer::ProbeRandomMember(token);
    let detour = Timer::SendIndirectProbe {
        probed_id: identity(2),
        token: 0,
    };
    for (number, timer) in [(1, probe(9)), (2, detour.clone()), (3, probe(8))] {
        node.timers.insert((100, timer, number));
    }
    let order: Vec<u64> = node.timers.iter().map(|(.., number)| *number).collect();
    assert_eq!(order, [2, 1, 3]);
    assert_eq!(node.next_due(), Some(100));
}

#[test]
fn a_goodbye_reaches_everybody_and_nothing_calls_back() {
    let mut a = node(1);
    for number in 2..=30 {
        let hello = gossip(identity(number), identity(1), Vec::new());
        a.receive(&hello, 0).unwrap();
    }
    a.take_datagrams();
    a.leave(0);
    let goodbyes = a.take_datagrams();
    let mut told: Vec<Address> = goodbyes.iter().map(|(to, _)| *to).collect();
    told.sort_unstable();
    let expected: Vec<Address> = (2..=30).map(|number| identity(number).address).collect();
    assert_eq!(told, expected);
    for (_, bytes) in goodbyes {
        let goodbye = Datagram::parse(&bytes).unwrap();
        assert!(goodbye.updates.contains(&Member::down(identity(1))));
    }
    let mut undead = gossip(identity(2), identity(1), Vec::new());
    undead.header.message = Message::TurnUndead;
    a.receive(&undead, 0).unwrap();
    a.announce(identity(2), 0);
    a.advance(10_000);
    assert_eq!(a.take_datagrams(), []);
    assert_eq!((a.identity(), a.next_due()), (identity(1), None));
}

#[test]
fn the_report_of_the_down_says_nothing_of_sender_and_receiver() {
    let (mut a, _) = pair();
    let down = (1..=60).map(|number| Member::down(identity(number)));
    // News about the receiver itself are left out here: they would make it renew.
    let down = down.filter(|member| *member.id() != identity(1)).collect();
    a.receive(&gossip(identity(70), identity(1), down), 0)
        .unwrap();
    a.take_datagrams();
    a.report_down(identity(5));
    let reports = a.take_datagrams();
    let subjects: BTreeSet<Address> = reports
        .iter()
        .flat_map(|(_, bytes)| {
            let report = Datagram::parse(bytes).unwrap();
            report.subjects().map(|s| s.address).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(subjects.len(), 58, "60 less sender and receiver");
    assert!(!subjects.contains(&identity(1).address) && !subjects.contains(&identity(5).address));
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        if let Ok(datagram) = Datagram::parse(&bytes) {
            let _ = node(1).receive(&datagram, 0);
        }
    }

    #[test]
    fn a_datagram_with_one_byte_changed_never_panics(at in 0usize..200, byte in proptest::num::u8::ANY) {
        let (mut a, mut b) = pair();
        a.advance(250);
        let mut bytes = last_datagram(&mut a).to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(datagram) = Datagram::parse(&bytes) {
            let _ = b.receive(&datagram, 250);
        }
    }
}
