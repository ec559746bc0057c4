//! After keys were dealt anew: what donors hand over, all at once and key by key.

use tokio::sync::oneshot;

use causet::core::clock::Clock;
use causet::core::coverage::Coverage;
use causet::core::id::{Domain, Key, Origin};
use causet::core::inheritance::{Claim, HandOvers, Inherited, OlderWrites};
use causet::core::join::{Cut, Progress};
use causet::core::metadata::Metadata;
use causet::core::sharding::map::{Made, ShardMap};
use causet::core::stamp::HlcTime;
use causet::core::wire::{JoinRest, Wants};
use causet::core::write::{Content, Write};
use causet::messages::causality::{
    Answer, HandOverReport, JoinAdvanced, JoinEnded, Operation, ReadHandOvers, Refusal,
};
use causet::messages::view::ViewChanged;

use super::{Stage, ToStore, WALL_MS, refusal};
use crate::fixtures::{address, digest, dot, origin, put, value};
use crate::support::{answered, in_virtual_time, pass};

const NODES: [u8; 6] = [1, 2, 3, 4, 5, 9];

/// Nodes 1, 3 and 5 keep shard 0, the others shard 1.
fn first() -> ShardMap {
    ShardMap::first(&NODES.map(address), 2).unwrap()
}

/// Node 9 keeps shard 2, with node 5.
fn second() -> ShardMap {
    let made = Made {
        wall_ms: WALL_MS,
        by: address(2),
    };
    first().dealt_anew(&NODES.map(address), 3, made).unwrap()
}

/// A key that was in shard 0, and is in shard 2 now.
fn moved() -> Key {
    let keys = (0..).map(|n| Key::new(&format!("k{n}")).unwrap());
    let mut moved = keys.filter(|key| first().shard_of(key).0 == 0);
    moved.find(|key| second().shard_of(key).0 == 2).unwrap()
}

/// Shard 0 of the first map.
fn left() -> Domain {
    first().domain_of(address(1))
}

fn goes_by(map: ShardMap) -> ViewChanged {
    ViewChanged {
        view: NODES.map(address).to_vec(),
        removed: false,
        members: NODES.map(address).to_vec(),
        incarnations: NODES.map(|n| (address(n), origin(n).incarnation)).to_vec(),
        forgotten: Vec::new(),
        voids: 0,
        map,
    }
}

/// Goes by the second map, and was a keeper by the first one.
async fn dealt_anew() -> Stage {
    let stage = Stage::serving().await;
    stage.actor.tell(goes_by(first()));
    stage.actor.tell(goes_by(second()));
    pass(1).await;
    stage.store.borrow_mut().clear();
    stage
}

/// This node holds what there was of shard 0.
async fn hear_donor(stage: &Stage, n: u8) {
    let mut digest = digest(origin(n), Clock::new());
    digest.domain = second().domain_of(address(n));
    digest.hand_overs = HandOvers {
        holds: vec![left()],
        ..HandOvers::default()
    };
    stage.hear(digest, true).await;
}

fn asks_for(stage: &Stage, wait_ms: u64) -> oneshot::Receiver<Answer> {
    let get = Operation::Get { key: moved() };
    stage.request(get, Metadata::default(), Some(wait_ms))
}

/// Who was asked for single keys, one after the other, and for which.
fn asked(stage: &Stage) -> Vec<(u8, Vec<Key>)> {
    let fetches = stage.fetches().into_iter();
    let asked = fetches.filter_map(|fetch| match fetch.request.wants {
        Wants::Keys(keys) => {
            let node = NODES.into_iter().find(|n| address(*n) == fetch.from);
            Some((node.unwrap(), keys))
        }
        Wants::State | Wants::HandOver => None,
    });
    asked.collect()
}

fn written() -> Write {
    let content = Content::Value(value("1"));
    put(moved().as_str(), dot(1, 4), content, &[])
}

fn handed_over(from: Origin) -> Cut {
    let claim = Claim {
        domain: left(),
        covered: [(origin(1), 4)].into_iter().collect(),
        whole: true,
        before: None,
    };
    Cut {
        from,
        covered: Coverage::new(),
        time: HlcTime::ZERO,
        writes: Vec::new(),
        older: vec![OlderWrites {
            domain: left(),
            writes: vec![written()],
        }],
        rest: JoinRest {
            inherited: Inherited {
                claims: vec![claim],
                ..Inherited::default()
            },
            ..JoinRest::default()
        },
    }
}

fn ended(stage: &Stage, n: u8, wants: Wants, result: Result<Cut, String>) {
    stage.actor.tell(JoinEnded {
        from: address(n),
        asker: stage.origin(),
        wants,
        result,
    });
}

/// What the store was told since keys were dealt anew: to apply what is older, and to read.
fn told(stage: &Stage) -> Vec<&'static str> {
    let told = stage.store.borrow();
    let told = told.iter().filter_map(|message| match message {
        ToStore::ApplyOlder(_) => Some("apply"),
        ToStore::ReadKey(_) => Some("read"),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_key_that_a_request_waits_for_is_asked_for_by_itself_while_all_else_is_on_its_way() {
    in_virtual_time(async {
        let stage = dealt_anew().await;
        hear_donor(&stage, 1).await;
        assert_eq!(
            stage.fetches().last().unwrap().request.wants,
            Wants::HandOver
        );
        let _waiting = asks_for(&stage, 0);
        pass(1).await;
        assert_eq!(asked(&stage), [(1, vec![moved()])]);
        assert_eq!(told(&stage), Vec::<&str>::new());
        let keys = Wants::Keys(vec![moved()]);
        ended(&stage, 1, keys, Ok(handed_over(origin(1))));
        pass(1).await;
        assert_eq!(told(&stage), ["apply", "read"], "in this order");
        let counted = &stage.metrics.key_hand_overs;
        assert_eq!(counted.with_label_values(&["ok"]).get(), 1);
    });
}

#[test]
fn a_key_is_asked_for_of_the_next_donor_when_the_first_one_cannot_answer() {
    in_virtual_time(async {
        let stage = dealt_anew().await;
        let _waiting = asks_for(&stage, 0);
        pass(1).await;
        assert_eq!(asked(&stage), [], "nobody is known to hold it");
        hear_donor(&stage, 1).await;
        hear_donor(&stage, 3).await;
        let keys = || Wants::Keys(vec![moved()]);
        ended(&stage, 1, keys(), Err("busy".to_owned()));
        pass(1).await;
        assert_eq!(asked(&stage), [(1, vec![moved()]), (3, vec![moved()])]);
        ended(&stage, 3, keys(), Ok(handed_over(origin(3))));
        pass(1).await;
        assert_eq!(told(&stage), ["apply", "read"]);
    });
}

#[test]
fn a_request_for_a_key_that_no_donor_brings_is_refused_after_a_second() {
    in_virtual_time(async {
        let stage = dealt_anew().await;
        let mut waiting = asks_for(&stage, 0);
        pass(999).await;
        assert!(waiting.try_recv().is_err());
        pass(2).await;
        let answer = answered(&mut waiting).unwrap();
        assert_eq!(refusal(answer), Refusal::HandingOver);
        hear_donor(&stage, 1).await;
        assert_eq!(asked(&stage), [], "nobody waits for it any more");
    });
}

#[test]
fn a_hand_over_tells_how_far_it_is_and_what_it_has_brought() {
    in_virtual_time(async {
        let stage = dealt_anew().await;
        hear_donor(&stage, 1).await;
        let report =
            async || -> HandOverReport { stage.actor.ask(|reply| ReadHandOvers { reply }).await };
        let progress = Progress {
            arrived: 70,
            left: 30,
        };
        stage.actor.tell(JoinAdvanced {
            from: address(1),
            asker: stage.origin(),
            wants: Wants::HandOver,
            progress,
        });
        pass(9).await;
        let taking_over = report().await.taking_over.unwrap();
        assert_eq!(
            (taking_over.from, taking_over.progress),
            (address(1), progress)
        );
        ended(&stage, 1, Wants::HandOver, Ok(handed_over(origin(1))));
        pass(1).await;
        let report = report().await;
        assert_eq!(
            (report.taking_over, report.taken),
            (None, vec![(address(1), 1)])
        );
    });
}
