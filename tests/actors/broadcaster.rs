//! `Broadcaster` alone: its links, the view and causality are probes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use actix::Actor;

use causet::actors::broadcaster::{Broadcaster, BroadcasterParts, LinkEdges};
use causet::core::clock::Clock;
use causet::core::coverage::Coverage;
use causet::core::id::Address;
use causet::core::roster::RosterEntry;
use causet::core::sharding::map::ShardMap;
use causet::core::stamp::HlcTime;
use causet::core::view::{ForgetMark, Heard, Member, Removal};
use causet::core::wire::{
    Digest, Heartbeat, HeartbeatAnswer, JoinRequest, PushAnswer, PushRefusal, Wants,
};
use causet::messages::causality::JoinEnded;
use causet::messages::peers::{
    Beat, FetchJoin, Flush, MarkRemoved, Publish, SendHeartbeat, TakeBatch, TakeHeartbeat,
};
use causet::messages::view::{MembersChanged, PeerHeard};
use causet::metrics::Metrics;

use crate::fixtures::{DOMAIN, address, batch, digest, dot, origin, write};
use crate::support::{
    Mailbox, Told, answered, in_virtual_time, pass, probe, probe_of_many, sum_of_messages,
};

sum_of_messages! {
    /// What a link is told, in one order.
    ToLink: SendHeartbeat, Publish, FetchJoin, TakeHeartbeat, TakeBatch, MarkRemoved, Flush
}

/// Every link that was ever started; a link that lives holds on to what it is told.
type Links = Rc<RefCell<BTreeMap<Address, Vec<Told<ToLink>>>>>;

struct Stage {
    actor: Mailbox<Broadcaster>,
    links: Links,
    heard: Told<PeerHeard>,
    joined: Told<JoinEnded>,
    metrics: Metrics,
}

impl Stage {
    fn new() -> Self {
        let links = Links::default();
        let (to_view, heard) = probe();
        let (to_causality, joined) = probe();
        let metrics = Metrics::new();
        let parts = BroadcasterParts {
            start_link: start_probe(links.clone()),
            heard: to_view,
            joined: to_causality,
            metrics: metrics.clone(),
        };
        Self {
            actor: Mailbox::of(Broadcaster::new(parts).start()),
            links,
            heard,
            joined,
            metrics,
        }
    }

    async fn with_members(numbers: &[u8]) -> Self {
        let stage = Self::new();
        stage.set_members(numbers).await;
        stage
    }

    async fn set_members(&self, numbers: &[u8]) {
        self.change_members(numbers, &[]).await;
    }

    /// The first of these keep the shard of this node, and so does it.
    async fn share_with(&self, peers: &[u8], others: &[u8]) {
        let member = |n: &u8, shard_peer| Member {
            address: address(*n),
            removed: false,
            shard_peer,
        };
        let peers = peers.iter().map(|n| member(n, true));
        let members = peers.chain(others.iter().map(|n| member(n, false)));
        self.actor.tell(MembersChanged {
            members: members.collect(),
            removals: Vec::new(),
            forgotten: Vec::new(),
            map: map(),
        });
        pass(1).await;
    }

    async fn change_members(&self, numbers: &[u8], removals: &[Removal]) {
        self.change_all(numbers, removals, &[]).await;
    }

    async fn change_all(&self, numbers: &[u8], removals: &[Removal], forgotten: &[ForgetMark]) {
        let removed = |address| removals.iter().any(|mark| mark.address == address);
        let members = numbers.iter().map(|&n| Member {
            address: address(n),
            removed: removed(address(n)),
            shard_peer: true,
        });
        self.actor.tell(MembersChanged {
            members: members.collect(),
            removals: removals.to_vec(),
            forgotten: forgotten.to_vec(),
            map: ShardMap::implicit(),
        });
        pass(1).await;
    }

    /// What the latest link to this peer is told.
    fn link(&self, n: u8) -> Told<ToLink> {
        self.links.borrow()[&address(n)].last().unwrap().clone()
    }

    /// Of all links ever started to this peer, how many there were and how many live.
    fn started_and_living(&self, n: u8) -> (usize, usize) {
        let links = self.links.borrow();
        let links = links.get(&address(n)).map_or(&[][..], Vec::as_slice);
        let living = links.iter().filter(|told| Rc::strong_count(told) > 1);
        (links.len(), living.count())
    }
}

fn start_probe(links: Links) -> Rc<dyn Fn(Address) -> LinkEdges> {
    Rc::new(move |peer| {
        let (link, told) = probe_of_many::<ToLink>();
        links.borrow_mut().entry(peer).or_default().push(told);
        LinkEdges {
            heartbeat: link.edge(),
            publish: link.edge(),
            fetch: link.edge(),
            take_heartbeat: link.edge(),
            take_batch: link.edge(),
            mark: link.edge(),
            flush: link.edge(),
        }
    })
}

fn mark(n: u8) -> ForgetMark {
    ForgetMark {
        address: address(n),
        incarnation: origin(n).incarnation,
        time: HlcTime { ms: 5, count: 0 },
        maker: origin(1),
        up: 2,
    }
}

fn removal(n: u8) -> Removal {
    Removal {
        address: address(n),
        incarnation: origin(n).incarnation,
        time: HlcTime { ms: 5, count: 0 },
        removed: true,
    }
}

fn beat() -> Beat {
    let digest = Arc::new(digest(origin(9), Clock::new()));
    Beat { digest }
}

fn fetch(n: u8) -> FetchJoin {
    FetchJoin {
        from: address(n),
        request: JoinRequest {
            wants: Wants::State,
            claims: Vec::new(),
            from: origin(9),
            domain: DOMAIN,
            covered: Coverage::new(),
            session: 0,
            page: 0,
        },
    }
}

#[test]
fn a_write_goes_to_every_link_in_the_order_of_writing() {
    in_virtual_time(async {
        let stage = Stage::with_members(&[1, 2, 3]).await;
        for counter in 1..=2 {
            let write = write(9, counter, &[]);
            let domain = DOMAIN;
            stage.actor.tell(Publish { domain, write });
        }
        pass(1).await;
        for n in 1..=3 {
            let told = stage.link(n);
            let told = told.borrow();
            let published: Vec<_> = told
                .iter()
                .filter_map(|message| match message {
                    ToLink::Publish(publish) => Some(publish.write.dot()),
                    _ => None,
                })
                .collect();
            assert_eq!(published, [dot(9, 1), dot(9, 2)], "to {n}");
        }
    });
}

/// Of the nodes 1 to 4, in two shards.
fn map() -> ShardMap {
    let nodes: Vec<Address> = (1..=4).map(address).collect();
    ShardMap::first(&nodes, 2).unwrap()
}

#[test]
fn a_write_goes_to_the_members_of_the_same_shard_alone_and_the_map_to_all() {
    in_virtual_time(async {
        let stage = Stage::with_members(&[]).await;
        stage.share_with(&[1], &[2]).await;
        let (domain, write) = (DOMAIN, write(9, 1, &[]));
        stage.actor.tell(Publish { domain, write });
        let digest = Arc::new(digest(origin(9), Clock::new()));
        stage.actor.tell(Beat { digest });
        pass(1).await;
        let told = |n| {
            let mut told = (0, None);
            for message in stage.link(n).borrow().iter() {
                match message {
                    ToLink::Publish(_) => told.0 += 1,
                    ToLink::SendHeartbeat(beat) => told.1.clone_from(&beat.map),
                    _ => {}
                }
            }
            told
        };
        assert_eq!(told(1), (1, Some(Arc::new(map()))));
        assert_eq!(told(2), (0, Some(Arc::new(map()))));
    });
}

#[test]
fn another_map_is_told_at_once_and_the_same_one_is_not_told_again() {
    in_virtual_time(async {
        let stage = Stage::with_members(&[1, 2]).await;
        let digest = Arc::new(digest(origin(9), Clock::new()));
        stage.actor.tell(Beat { digest });
        pass(1).await;
        let maps = |n| -> Vec<Option<Arc<ShardMap>>> {
            let told = stage.link(n);
            let beats = told.borrow();
            let beats = beats.iter().filter_map(|message| match message {
                ToLink::SendHeartbeat(beat) => Some(beat.map.clone()),
                _ => None,
            });
            beats.collect()
        };
        let before = maps(2).len();
        stage.share_with(&[1], &[2]).await;
        stage.share_with(&[1, 2], &[]).await;
        assert_eq!(maps(1), maps(2));
        assert_eq!(maps(2)[before..], [Some(Arc::new(map()))]);
    });
}

#[test]
fn links_are_started_for_new_members_and_ended_for_those_that_are_none_any_more() {
    in_virtual_time(async {
        let stage = Stage::with_members(&[1, 2]).await;
        for n in [1, 2] {
            let peer = address(n).to_string();
            let gauge = &stage.metrics.link_state;
            gauge.with_label_values(&[&peer]).set(2);
        }
        stage.set_members(&[2, 3]).await;
        assert_eq!(stage.started_and_living(1), (1, 0));
        let metrics = stage.metrics.to_text();
        let is_shown = |n| metrics.contains(&address(n).to_string());
        assert_eq!((is_shown(1), is_shown(2)), (false, true));
        assert_eq!(stage.started_and_living(2), (1, 1), "left as it is");
        assert_eq!(stage.started_and_living(3), (1, 1));
        stage.set_members(&[1, 2, 3]).await;
        assert_eq!(stage.started_and_living(1), (2, 1));
    });
}

#[test]
fn a_new_link_gets_the_latest_heartbeat_at_once_and_all_get_the_next() {
    in_virtual_time(async {
        let stage = Stage::with_members(&[1]).await;
        stage.actor.tell(beat());
        stage
            .change_all(&[1, 2], &[removal(1)], &[mark(3), mark(4)])
            .await;
        let beats = |n| {
            let told = stage.link(n);
            let told = told.borrow();
            let marks = told.iter().filter_map(|message| match message {
                ToLink::SendHeartbeat(beat) => Some((beat.removals.len(), beat.forgotten.len())),
                _ => None,
            });
            marks.collect::<Vec<_>>()
        };
        assert_eq!(beats(1), [(0, 0)]);
        assert_eq!(beats(2), [(1, 2)], "with the marks");
        stage.actor.tell(beat());
        pass(1).await;
        let told = (beats(1), beats(2));
        assert_eq!(told, (vec![(0, 0), (1, 2)], vec![(1, 2), (1, 2)]));
    });
}

#[test]
fn every_link_is_told_whether_its_peer_stands_removed() {
    in_virtual_time(async {
        let stage = Stage::with_members(&[1, 2]).await;
        stage.change_members(&[1, 2], &[removal(2)]).await;
        let marks = |n| {
            let told = stage.link(n);
            let told = told.borrow();
            let marks = told.iter().filter_map(|message| match message {
                ToLink::MarkRemoved(mark) => Some(mark.removed),
                _ => None,
            });
            marks.collect::<Vec<_>>()
        };
        assert_eq!(marks(1), [false, false]);
        assert_eq!(marks(2), [false, true]);
    });
}

#[test]
fn a_heartbeat_of_an_unknown_peer_is_reported_to_the_view_and_answered_so() {
    in_virtual_time(async {
        let stage = Stage::with_members(&[1]).await;
        let entry = RosterEntry {
            address: address(6),
            life: origin(6).incarnation,
            forgotten: false,
            outside: false,
        };
        let heartbeat = Heartbeat {
            digest: Digest {
                roster: vec![entry],
                ..digest(origin(5), Clock::new())
            },
            removals: vec![removal(3)],
            forgotten: vec![mark(4)],
            map: Some(map()),
        };
        let answer = stage.actor.ask(|reply| TakeHeartbeat { heartbeat, reply });
        assert_eq!(answer.await, HeartbeatAnswer::Unknown);
        pass(1).await;
        let heard = stage.heard.borrow();
        assert_eq!(heard.len(), 1);
        let expected = Heard {
            from: origin(5),
            removals: vec![removal(3)],
            forgotten: vec![mark(4)],
            roster: vec![entry],
            map: Some(map()),
        };
        assert_eq!(heard[0].heard, expected);
    });
}

#[test]
fn a_heartbeat_of_a_member_goes_to_its_link_and_to_the_view() {
    in_virtual_time(async {
        let stage = Stage::with_members(&[1, 2]).await;
        let heartbeat = Heartbeat {
            digest: digest(origin(2), Clock::new()),
            removals: Vec::new(),
            forgotten: Vec::new(),
            map: None,
        };
        let mut answer = stage
            .actor
            .request(|reply| TakeHeartbeat { heartbeat, reply });
        pass(1).await;
        assert!(answered(&mut answer).is_none(), "its link answers");
        let told = stage.link(2);
        let told = told.borrow();
        let Some(ToLink::TakeHeartbeat(take)) = told.last() else {
            panic!("not told: {told:?}");
        };
        assert_eq!(take.heartbeat.digest.from, origin(2));
        assert_eq!(stage.heard.borrow()[0].heard.from, origin(2));
    });
}

#[test]
fn a_batch_goes_to_the_link_it_came_over_and_is_refused_from_an_unknown_peer() {
    in_virtual_time(async {
        let stage = Stage::with_members(&[1]).await;
        let take = |n| {
            let batch = batch(vec![write(n, 1, &[])]);
            stage.actor.request(|reply| TakeBatch { batch, reply })
        };
        let unknown = take(5).await.unwrap();
        assert_eq!(unknown, PushAnswer::Refused(PushRefusal::Unknown));
        let _answer = take(1);
        pass(1).await;
        let told = stage.link(1);
        assert!(matches!(told.borrow().last(), Some(ToLink::TakeBatch(_))));
    });
}

#[test]
fn a_join_is_fetched_over_the_link_and_has_failed_at_once_where_there_is_none() {
    in_virtual_time(async {
        let stage = Stage::with_members(&[1, 2]).await;
        stage.actor.tell(fetch(2));
        stage.actor.tell(fetch(5));
        pass(1).await;
        let told = stage.link(2);
        assert!(matches!(told.borrow().last(), Some(ToLink::FetchJoin(_))));
        let joined = stage.joined.borrow();
        assert_eq!(joined.len(), 1);
        assert!(joined[0].from == address(5) && joined[0].result.is_err());
    });
}

#[test]
fn a_flush_is_answered_when_all_links_have_answered_or_are_gone() {
    in_virtual_time(async {
        let stage = Stage::with_members(&[1, 2]).await;
        let mut flushed = stage.actor.request(|reply| Flush { reply });
        pass(1).await;
        let flush = |n| match stage.link(n).borrow_mut().pop() {
            Some(ToLink::Flush(flush)) => flush,
            other => panic!("not flushed but {other:?}"),
        };
        flush(1).reply.send(()).unwrap();
        pass(1_000).await;
        assert!(answered(&mut flushed).is_none());
        drop(flush(2));
        pass(1).await;
        assert!(answered(&mut flushed).is_some());
    });
}

#[test]
fn a_flush_without_peers_is_answered_at_once() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.actor.ask(|reply| Flush { reply }).await;
    });
}
