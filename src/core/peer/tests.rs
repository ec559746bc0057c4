use super::*;
use crate::core::coverage::Coverage;
use crate::core::inheritance::HandOvers;
use crate::core::stamp::HlcTime;
use crate::core::testing::{origin, write};
use crate::core::wire::Wants;
use crate::core::wire::{JoinRest, Status};

const LINK: LinkRules = LinkRules {
    break_ms: 500,
    outage_long_ms: 1_000,
    settle_ms: 2_500,
    settle_at_most_ms: 5_000,
};

const OUTBOX: OutboxLimits = OutboxLimits {
    writes: 2,
    bytes: 1 << 20,
    batch_writes: 10,
    batch_bytes: 1 << 20,
};

const UNSHARDED: Domain = Domain::UNSHARDED;

const ADMITTED: Option<PushAnswer> = Some(PushAnswer::Admitted);

/// What node 1 says: it serves, and covers node 9's writes up to this.
fn digest(covered: u64) -> Digest {
    Digest {
        hand_overs: HandOvers::default(),
        from: origin(1),
        domain: UNSHARDED,
        roster: Vec::new(),
        covered: Coverage::from_iter([(origin(9), covered)]),
        promise: HlcTime::ZERO,
        status: Status::Serving,
        pushing: true,
        admits: true,
        bootstrapped: true,
        frontier: HlcTime::ZERO,
        aside: false,
        given_up: crate::core::given_up::GivenUp::new(),
    }
}

/// The same in a later life.
fn reborn(mut digest: Digest) -> Digest {
    digest.from.incarnation = digest.from.incarnation.succeeding(0, 0);
    digest
}

/// Node 1, not heard of yet.
fn peer() -> Peer {
    Peer::new(origin(1).address, LINK, OUTBOX)
}

fn answer(peer: &mut Peer, digest: Digest, now: Millis) -> Change {
    match peer.answered(HeartbeatAnswer::Digest(digest), now) {
        Answered::Digest { change, .. } => change,
        other => panic!("no answer but {other:?}"),
    }
}

/// It has answered at 0 and takes pushes.
fn steady() -> Peer {
    let mut peer = peer();
    assert_eq!(answer(&mut peer, digest(0), 0), Change::Fresh);
    assert_eq!(peer.look(0), Turn::None);
    peer
}

fn publish(peer: &mut Peer, counter: u64, now: Millis) -> Published {
    peer.publish(UNSHARDED, write(9, counter), now)
}

/// The counters of the batch that is to be sent now.
fn pushed(peer: &mut Peer, now: Millis) -> Option<(Flight, Vec<u64>)> {
    let Push { flight, batch } = peer.next_push(now)?;
    let counters = batch.writes.iter().map(|w| w.dot().counter);
    Some((flight, counters.collect()))
}

/// A steady peer with write 1 in flight and write 2 waiting.
fn busy() -> (Peer, Flight) {
    let mut peer = steady();
    assert_eq!(publish(&mut peer, 1, 10), Published::Waiting);
    let (flight, counters) = pushed(&mut peer, 10).unwrap();
    assert_eq!(counters, [1]);
    publish(&mut peer, 2, 20);
    (peer, flight)
}

fn says(peer: &Peer, now: Millis) -> (bool, bool) {
    let mut digest = digest(0);
    peer.fill_in(&mut digest, now);
    (digest.pushing, digest.admits)
}

#[test]
fn batches_follow_one_another_while_the_peer_admits_them() {
    let (mut peer, flight) = busy();
    assert_eq!(pushed(&mut peer, 20), None, "one in flight");
    assert!(!peer.is_flushed(20));
    let admitted = Pushed::Admitted(Change::None);
    assert_eq!(peer.push_answered(flight, ADMITTED, 30), admitted);
    let (flight, counters) = pushed(&mut peer, 30).unwrap();
    assert_eq!(counters, [2]);
    peer.push_answered(flight, ADMITTED, 40);
    assert!(peer.is_flushed(40));
    assert_eq!(peer.standing(530), Standing::Steady, "answers at 30 and 40");
}

#[test]
fn a_push_that_fails_gives_up_all_that_waits_until_the_peer_admits_some_again() {
    let refused = PushAnswer::Refused(PushRefusal::NotServing);
    for failure in [None, Some(refused)] {
        let (mut peer, flight) = busy();
        assert_eq!(peer.push_answered(flight, failure, 30), Pushed::GivenUp);
        assert_eq!(peer.waiting(), 0);
        publish(&mut peer, 3, 40);
        assert_eq!(pushed(&mut peer, 40), None);
        assert!(peer.is_flushed(40), "it cannot be emptied");
        answer(&mut peer, digest(0), 50);
        assert_eq!(pushed(&mut peer, 50).unwrap().1, [3]);
    }
}

/// Whatever ends a flight: nothing waits, and its answer comes too late.
fn gives_up(end: impl FnOnce(&mut Peer)) -> Peer {
    let (mut peer, flight) = busy();
    end(&mut peer);
    assert_eq!(peer.waiting(), 0);
    let now = 9_000;
    assert_eq!(peer.push_answered(flight, ADMITTED, now), Pushed::Late);
    peer
}

#[test]
fn silence_an_outage_a_new_life_and_a_removal_give_up_what_waits() {
    gives_up(|peer| {
        assert_eq!(peer.look(499), Turn::None);
        assert_eq!(peer.look(500), Turn::Broke);
        assert_eq!(peer.look(600), Turn::None, "said once");
    });
    gives_up(|peer| {
        assert_eq!(answer(peer, digest(0), 600), Change::Answering(600));
        assert_eq!(peer.look(600), Turn::None);
        answer(peer, digest(0), 1_000);
        answer(peer, digest(0), 1_400);
        assert_eq!(peer.look(1_400), Turn::None);
        answer(peer, digest(0), 1_800);
        assert_eq!(peer.look(1_800), Turn::Steadied);
    });
    gives_up(|peer| assert_eq!(peer.called(&reborn(digest(0))), Caller::NewLife));
    gives_up(|peer| peer.set_removed(true));
}

#[test]
fn nothing_waits_for_a_peer_that_is_removed_or_not_steady() {
    let mut peer = steady();
    peer.set_removed(true);
    assert_eq!(publish(&mut peer, 1, 10), Published::Skipped);
    peer.set_removed(false);
    assert_eq!(publish(&mut peer, 2, 10), Published::Waiting);
    let mut silent = steady();
    assert_eq!(publish(&mut silent, 1, 500), Published::Skipped);
}

#[test]
fn what_an_overflow_dropped_is_not_said_to_be_on_its_way_until_the_peer_has_it() {
    let (mut peer, flight) = busy();
    publish(&mut peer, 3, 20);
    assert_eq!(says(&peer, 20), (true, true));
    assert_eq!(publish(&mut peer, 4, 20), Published::Overflow);
    assert_eq!(says(&peer, 20), (false, true));
    peer.push_answered(flight, ADMITTED, 30);
    publish(&mut peer, 5, 30);
    answer(&mut peer, digest(1), 40);
    assert_eq!(says(&peer, 40), (false, true), "4 is lacking still");
    answer(&mut peer, digest(4), 50);
    assert_eq!(says(&peer, 50), (true, true), "a join has brought it");
}

#[test]
fn another_domain_leaves_the_writes_of_the_one_before_behind() {
    let (mut peer, flight) = busy();
    let other = Domain {
        shard: crate::core::id::ShardId(3),
        ..UNSHARDED
    };
    peer.publish(other, write(9, 1), 30);
    let Push { batch, .. } = peer.next_push(30).unwrap();
    assert_eq!((batch.domain, batch.writes.len()), (other, 1));
    assert_eq!(peer.push_answered(flight, ADMITTED, 30), Pushed::Late);
}

#[test]
fn only_the_peers_own_answer_in_its_present_life_is_one() {
    let mut peer = peer();
    assert_eq!(peer.called(&reborn(digest(0))), Caller::NewLife);
    assert_eq!(peer.called(&reborn(digest(0))), Caller::Known);
    assert_eq!(peer.called(&digest(0)), Caller::Outlived);
    let mut foreign = digest(0);
    foreign.from = origin(2);
    for unusable in [
        HeartbeatAnswer::Unknown,
        HeartbeatAnswer::Digest(foreign),
        HeartbeatAnswer::Digest(digest(0)),
    ] {
        assert_eq!(peer.answered(unusable, 10), Answered::Unusable);
        assert_eq!(peer.standing(10), Standing::Broken);
    }
    let later = origin(9).incarnation;
    let superseded = peer.answered(HeartbeatAnswer::Superseded(later), 10);
    assert_eq!(superseded, Answered::Superseded(later));
    assert_eq!(answer(&mut peer, reborn(digest(0)), 10), Change::Fresh);
}

#[test]
fn its_own_call_proves_nothing_about_the_way_to_it() {
    let mut peer = peer();
    peer.called(&digest(0));
    let unsteady = Some(PushRefusal::Unsteady);
    assert_eq!(peer.refuses_batch(0), unsteady);
    assert_eq!(says(&peer, 0), (false, false));
    assert_eq!(publish(&mut peer, 1, 0), Published::Skipped);
    answer(&mut peer, digest(0), 10);
    assert_eq!(peer.refuses_batch(10), None);
    assert_eq!(peer.refuses_batch(510), unsteady);
}

fn page(counter: u64, last: bool) -> JoinAnswer {
    JoinAnswer::Page(JoinPage {
        older: Vec::new(),
        left: 0,
        from: origin(1),
        covered: [(origin(1), 9)].into_iter().collect(),
        time: HlcTime::ZERO,
        writes: vec![write(1, counter)],
        rest: last.then(JoinRest::default),
    })
}

fn fetch(now: Millis) -> Fetch {
    let request = JoinRequest {
        wants: Wants::State,
        claims: Vec::new(),
        from: origin(9),
        domain: UNSHARDED,
        covered: Coverage::new(),
        session: 7,
        page: 0,
    };
    Fetch::new(request, now)
}

fn failed(fetched: Fetched) -> FetchError {
    match fetched {
        Fetched::Ended(Err(error)) => error,
        other => panic!("not failed but {other:?}"),
    }
}

#[test]
fn a_join_is_fetched_page_by_page_and_used_whole() {
    let peer = steady();
    let Fetched::Ask(next) = peer.fetched(fetch(10), Ok(page(1, false)), 20) else {
        panic!("more is to come");
    };
    assert_eq!((next.request().session, next.request().page), (7, 1));
    let Fetched::Ended(Ok(cut)) = peer.fetched(next, Ok(page(2, true)), 30) else {
        panic!("all is here");
    };
    assert_eq!(cut.writes, [write(1, 1), write(1, 2)]);
}

#[test]
fn a_join_that_is_refused_or_not_answered_has_failed() {
    let peer = steady();
    let busy = Ok(JoinAnswer::Refused(JoinRefusal::Busy));
    let refused = failed(peer.fetched(fetch(10), busy, 20));
    assert_eq!(refused, FetchError::Refused(JoinRefusal::Busy));
    let lost = failed(peer.fetched(fetch(10), Err("lost".to_owned()), 20));
    assert_eq!(lost, FetchError::NoAnswer("lost".to_owned()));
}

#[test]
fn a_page_may_take_long_but_none_is_used_after_a_long_outage() {
    let mut peer = steady();
    let ask = |peer: &Peer, now| match peer.fetched(fetch(100), Ok(page(1, false)), now) {
        Fetched::Ask(_) => Ok(()),
        Fetched::Ended(result) => Err(result.expect_err("no last page")),
    };
    assert_eq!(peer.look(700), Turn::Broke, "the peer is busy");
    assert_eq!(ask(&peer, 700), Ok(()));
    answer(&mut peer, digest(0), 700);
    assert_eq!(peer.standing(700), Standing::Settling);
    assert_eq!(ask(&peer, 700), Ok(()));
    assert_eq!(ask(&peer, 1_700), Err(FetchError::LinkWasOut));
    answer(&mut peer, digest(0), 1_700);
    assert_eq!(ask(&peer, 1_700), Err(FetchError::LinkWasOut));
}
