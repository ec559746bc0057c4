//! `Store` alone: `Causality` is a probe.

mod taking;

use actix::Actor;

use causet::actors::store::{Store, StoreParts};
use causet::core::aside::{Present, Settled};
use causet::core::clock::Clock;
use causet::core::coverage::Coverage;
use causet::core::ended::Ended;
use causet::core::id::Dot;
use causet::core::join::{Cut, JoinLimits, Staged, Staging};
use causet::core::metadata::Metadata;
use causet::core::stamp::HlcTime;
use causet::core::wire::{JoinAnswer, JoinPage, JoinRefusal, JoinRequest, JoinRest, Wants};
use causet::core::write::{Content, Write};
use causet::messages::causality::{
    ClientReply, DeleteConfirmed, Outcome, Reissue, Seen, StoreFilled, TombstonesFilled,
};
use causet::messages::store::{
    ApplyOwn, ApplyWrites, Collect, KeepAside, ProbeDelete, ReadDifference, ReadKey, ReadSummary,
    SetAside, SettleAside,
};
use causet::metrics::Metrics;
use causet::time::Uptime;

use crate::fixtures::{DOMAIN, clock, dot, dots, key, metadata, origin, put, reborn, value, write};
use crate::support::{Mailbox, Told, in_virtual_time, pass, probe};

/// Weight of a write of a one-letter key with a one-letter value and no dependencies.
const WEIGHT: u64 = 192 + 2;

struct Stage {
    actor: Mailbox<Store>,
    confirmed: Told<DeleteConfirmed>,
    filled: Told<StoreFilled>,
    crowded: Told<TombstonesFilled>,
    reissued: Told<Reissue>,
    metrics: Metrics,
}

impl Stage {
    fn new() -> Self {
        Self::with(1 << 30)
    }

    fn with(bytes_max: u64) -> Self {
        let (confirm, confirmed) = probe();
        let (to_causality, filled) = probe();
        let (crowd, crowded) = probe();
        let (reissue, reissued) = probe();
        let metrics = Metrics::new();
        let parts = StoreParts {
            joins: JoinLimits {
                page_bytes: 500,
                sessions: 2,
                session_ms: 10_000,
            },
            bytes_max,
            tombstones_max: 2,
            confirm,
            filled: to_causality,
            crowded: crowd,
            reissue,
            metrics: metrics.clone(),
            uptime: Uptime::starting(),
        };
        Self {
            actor: Mailbox::of(Store::new(parts).start()),
            confirmed,
            filled,
            crowded,
            reissued,
            metrics,
        }
    }

    fn apply(&self, writes: Vec<Write>) {
        self.actor.tell(ApplyWrites { writes });
    }

    async fn own(&self, write: Write) -> Outcome {
        let domain = DOMAIN;
        let own = |reply| ApplyOwn {
            write,
            domain,
            reply: ClientReply::new(reply),
        };
        self.actor.ask(own).await.outcome
    }

    async fn read(&self, name: &str) -> Outcome {
        let (key, domain) = (key(name), DOMAIN);
        let read = |reply| ReadKey {
            key,
            domain,
            reply: ClientReply::new(reply),
        };
        self.actor.ask(read).await.outcome
    }

    async fn page(&self, asker: u8, session: u64, page: u32, have: &Clock) -> JoinAnswer {
        let ask = |reply| ReadDifference {
            request: JoinRequest {
                wants: Wants::State,
                claims: Vec::new(),
                from: origin(asker),
                domain: DOMAIN,
                covered: have.clone().into(),
                session,
                page,
            },
            from: origin(9),
            covered: clock(&[(1, 100)]).into(),
            time: HlcTime { ms: 7, count: 0 },
            rest: JoinRest::default(),
            reply,
        };
        self.actor.ask(ask).await
    }

    /// All pages; `between` is done before each but the first.
    async fn join(&self, asker: u8, have: &Clock, between: impl Fn(u32)) -> Cut {
        let (mut staging, mut page) = (Staging::new(), 0);
        loop {
            let answer = self.page(asker, 1, page, have).await;
            match staging.stage(page_of(answer)) {
                Staged::AskFor(next) => page = next,
                Staged::Complete(cut) => return cut,
                Staged::Inconsistent => panic!("pages of different cuts"),
            }
            between(page);
        }
    }
}

fn page_of(answer: JoinAnswer) -> JoinPage {
    match answer {
        JoinAnswer::Page(page) => page,
        JoinAnswer::Refused(refusal) => panic!("{refusal:?}"),
    }
}

/// The `counter`-th write of node 1: of key `k`.
fn put_k(counter: u64) -> Write {
    put("k", dot(1, counter), Content::Value(value("1")), &[])
}

fn delete_k(counter: u64) -> Write {
    put("k", dot(1, counter), Content::Tombstone, &[])
}

fn seen(seen: &Seen) -> Dot {
    seen.version.dot
}

#[test]
fn a_read_finds_the_writes_that_were_queued_before_it() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.apply((1..=50).map(|counter| write(1, counter, &[])).collect());
        stage.apply(vec![put_k(51), put_k(52)]);
        // Nothing was handled yet: the read is told right behind.
        let read = stage.read("k").await;
        assert!(matches!(read, Outcome::Found(s) if seen(&s) == dot(1, 52)));
    });
}

#[test]
fn an_own_write_is_answered_by_what_it_did_to_the_key() {
    in_virtual_time(async {
        let stage = Stage::new();
        let outcome = stage.own(put_k(1)).await;
        assert!(matches!(outcome, Outcome::Created(s) if seen(&s) == dot(1, 1)));
        let outcome = stage.own(put_k(2)).await;
        assert!(matches!(outcome, Outcome::Replaced(s) if seen(&s) == dot(1, 2)));
        let outcome = stage.own(delete_k(3)).await;
        assert!(matches!(outcome, Outcome::Deleted(s) if seen(&s) == dot(1, 3)));
        // A second client's delete that was confirmed before the first was made.
        let outcome = stage.own(delete_k(4)).await;
        assert!(matches!(outcome, Outcome::Overtaken(s) if seen(&s) == dot(1, 4)));
        let outcome = stage.own(put_k(5)).await;
        assert!(matches!(outcome, Outcome::Created(s) if seen(&s) == dot(1, 5)));
    });
}

#[test]
fn a_read_of_a_deleted_key_brings_its_tombstone_and_of_an_unknown_one_nothing() {
    in_virtual_time(async {
        let stage = Stage::new();
        assert!(matches!(stage.read("k").await, Outcome::Absent(None)));
        stage.apply(vec![delete_k(2), put_k(1)]);
        let read = stage.read("k").await;
        assert!(matches!(read, Outcome::Absent(Some(s)) if seen(&s) == dot(1, 2)));
    });
}

#[test]
fn a_delete_is_confirmed_where_the_key_exists_and_answered_where_it_does_not() {
    in_virtual_time(async {
        let stage = Stage::new();
        let probe = || {
            stage.actor.request(|reply| ProbeDelete {
                key: key("k"),
                domain: DOMAIN,
                metadata: metadata(&[(1, 1)]),
                reply: ClientReply::new(reply),
            })
        };
        let absent = probe().await.unwrap().outcome;
        assert!(matches!(absent, Outcome::Absent(None)));
        stage.apply(vec![put_k(1)]);
        let _confirmed = probe();
        pass(1).await;
        let confirmed: Metadata = stage.confirmed.borrow()[0].metadata.clone();
        assert_eq!(confirmed, metadata(&[(1, 1)]));
        stage.apply(vec![delete_k(2)]);
        let absent = probe().await.unwrap().outcome;
        assert!(matches!(absent, Outcome::Absent(Some(s)) if seen(&s) == dot(1, 2)));
        assert_eq!(stage.confirmed.borrow().len(), 1);
    });
}

#[test]
fn a_difference_is_of_one_moment_however_many_pages_it_has_and_whatever_is_written_meanwhile() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.apply((1..=9).map(|counter| write(1, counter, &[])).collect());
        let before: Vec<Dot> = (4..=9).map(|counter| dot(1, counter)).collect();
        let cut = stage
            .join(2, &clock(&[(1, 3)]), |page| {
                let next = 9 + u64::from(page);
                let overwritten = put("k1-9", dot(1, next), Content::Tombstone, &[]);
                stage.apply(vec![overwritten]);
            })
            .await;
        assert_eq!(dots(&cut.writes), before);
        assert_eq!(
            (cut.from, cut.covered),
            (origin(9), clock(&[(1, 100)]).into())
        );
        let now = stage.join(3, &clock(&[(1, 3)]), |_| {}).await;
        assert_ne!(dots(&now.writes), before, "the store did move on");
    });
}

#[test]
fn a_page_asked_for_again_is_the_same() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.apply((1..=9).map(|counter| write(1, counter, &[])).collect());
        let first = stage.page(2, 1, 0, &Clock::new()).await;
        stage.apply(vec![write(1, 10, &[])]);
        assert_eq!(stage.page(2, 1, 0, &Clock::new()).await, first);
        let new = page_of(stage.page(2, 2, 0, &Clock::new()).await);
        assert!(
            new.rest.is_none(),
            "another session of the same asker begins anew"
        );
    });
}

#[test]
fn a_reader_that_goes_away_keeps_others_out_for_ten_seconds_and_one_that_ends_does_not() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.apply((1..=9).map(|counter| write(1, counter, &[])).collect());
        for ended in [4, 5, 6, 7] {
            stage.join(ended, &Clock::new(), |_| {}).await;
        }
        let none = Clock::new();
        stage.page(2, 1, 0, &none).await;
        stage.page(3, 1, 0, &none).await;
        let busy = JoinAnswer::Refused(JoinRefusal::Busy);
        assert_eq!(stage.page(4, 2, 0, &none).await, busy);
        assert_eq!(stage.metrics.join_sessions.get(), 2);
        pass(9_000).await;
        assert!(page_of(stage.page(2, 1, 1, &none).await).rest.is_none());
        pass(1_000).await;
        page_of(stage.page(4, 2, 0, &none).await);
        let over = JoinAnswer::Refused(JoinRefusal::NoSuchPage);
        assert_eq!(stage.page(3, 1, 1, &none).await, over);
        page_of(stage.page(2, 1, 2, &none).await);
    });
}

#[test]
fn the_limit_is_reported_once_for_each_crossing() {
    in_virtual_time(async {
        let stage = Stage::with(2 * WEIGHT);
        let full = |stage: &Stage| {
            let told = stage.filled.borrow();
            told.iter().map(|filled| filled.full).collect::<Vec<_>>()
        };
        let one = |counter, name: &str| put(name, dot(1, counter), Content::Value(value("1")), &[]);
        stage.own(one(1, "a")).await;
        stage.apply(vec![one(2, "a")]);
        pass(1).await;
        assert_eq!(full(&stage), [false; 0]);
        stage.own(one(3, "b")).await;
        stage.own(one(4, "c")).await;
        stage.apply(vec![one(5, "d")]);
        pass(1).await;
        assert_eq!(full(&stage), [true]);
        assert_eq!(stage.metrics.store_bytes.get(), 4 * WEIGHT.cast_signed());
    });
}

#[test]
fn falling_below_the_limit_is_reported_too() {
    in_virtual_time(async {
        let stage = Stage::with(WEIGHT);
        stage.apply(vec![put_k(1)]);
        stage.apply(vec![delete_k(2)]);
        stage.apply(vec![put_k(3)]);
        pass(1).await;
        let told = stage.filled.borrow();
        let told: Vec<bool> = told.iter().map(|filled| filled.full).collect();
        assert_eq!(told, [true, false, true]);
    });
}

#[test]
fn a_report_says_what_the_store_holds_at_that_moment() {
    in_virtual_time(async {
        let stage = Stage::new();
        let report = || {
            stage.actor.ask(|reply| ReadSummary {
                origin: origin(9),
                domain: DOMAIN,
                covered: clock(&[(1, 2)]).into(),
                ended: Ended::new(),
                reply,
            })
        };
        stage.apply(vec![put_k(1), write(1, 2, &[])]);
        let first = report().await;
        assert_eq!((first.summary.keys, first.summary.tombstones), (2, 0));
        assert_eq!(first.covered, clock(&[(1, 2)]).into());
        stage.apply(vec![delete_k(3)]);
        let second = report().await;
        assert_eq!((second.summary.keys, second.summary.tombstones), (1, 1));
        assert_ne!(first.summary.hash, second.summary.hash);
        assert_eq!(stage.metrics.tombstones.get(), 1);
    });
}

fn present(covered: Coverage, collected_ms: u64) -> Present {
    Present {
        given_up: causet::core::given_up::GivenUp::new(),
        domain: DOMAIN,
        covered,
        ended: Ended::new(),
        collected: HlcTime {
            ms: collected_ms,
            count: 0,
        },
    }
}

/// Covers these writes, and every life of node 1 up to the one of the tests.
fn node_1_is_over(entries: &[(u8, u64)]) -> Coverage {
    let mut covered = Coverage::from(clock(entries));
    covered.end(origin(1).address, reborn(1).incarnation);
    covered
}

#[test]
fn that_there_are_as_many_tombstones_as_may_be_is_reported_and_that_there_are_fewer() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.apply(vec![delete_k(1)]);
        stage.apply(vec![delete_k(2)]);
        pass(1).await;
        assert!(stage.crowded.borrow().is_empty(), "one key is deleted");
        stage.apply(vec![put("other", dot(1, 3), Content::Tombstone, &[])]);
        stage.apply(vec![put("third", dot(1, 4), Content::Tombstone, &[])]);
        let upto = HlcTime { ms: 3, count: 0 };
        stage.actor.tell(Collect { upto });
        pass(1).await;
        let told: Vec<bool> = stage
            .crowded
            .borrow()
            .iter()
            .map(|told| told.full)
            .collect();
        assert_eq!(told, [true, false]);
    });
}

#[test]
fn tombstones_go_up_to_the_stamp_that_it_is_told_and_the_sizes_with_them() {
    in_virtual_time(async {
        let stage = Stage::with(WEIGHT);
        let other = put("other", dot(1, 3), Content::Tombstone, &[]);
        stage.apply(vec![delete_k(2), other]);
        let upto = HlcTime { ms: 2, count: 0 };
        stage.actor.tell(Collect { upto });
        assert!(matches!(stage.read("k").await, Outcome::Absent(None)));
        let other = stage.read("other").await;
        assert!(matches!(other, Outcome::Absent(Some(s)) if seen(&s) == dot(1, 3)));
        assert_eq!(stage.metrics.tombstones_collected.get(), 1);
        assert_eq!(stage.metrics.tombstones.get(), 1);
        let upto = HlcTime { ms: 9, count: 0 };
        stage.actor.tell(Collect { upto });
        stage.read("k").await;
        assert_eq!(stage.metrics.store_bytes.get(), 0);
        let full: Vec<bool> = stage.filled.borrow().iter().map(|told| told.full).collect();
        assert_eq!(full, [true, false]);
    });
}

#[test]
fn what_is_set_aside_is_read_and_joined_by_nobody() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.apply((1..=9).map(|counter| write(1, counter, &[])).collect());
        stage.apply(vec![put_k(10)]);
        stage.page(2, 1, 0, &Clock::new()).await;
        assert_eq!(stage.metrics.join_sessions.get(), 1);
        stage.actor.tell(SetAside);
        assert!(matches!(stage.read("k").await, Outcome::Absent(None)));
        assert_eq!(stage.metrics.writes_aside.get(), 10);
        assert_eq!(stage.metrics.store_bytes.get(), 0);
        assert_eq!(stage.metrics.join_sessions.get(), 0);
        // The cut that was begun is of a life that is over.
        let over = JoinAnswer::Refused(JoinRefusal::NoSuchPage);
        assert_eq!(stage.page(2, 1, 1, &Clock::new()).await, over);
        let cut = stage.join(3, &Clock::new(), |_| {}).await;
        assert_eq!(dots(&cut.writes), []);
    });
}

#[test]
fn what_was_set_aside_and_is_nobody_elses_is_handed_out_once_and_as_a_whole_in_the_order_of_its_stamps()
 {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.apply(vec![put_k(5), write(1, 3, &[]), write(2, 9, &[])]);
        stage.actor.tell(SetAside);
        let settle = |covered| SettleAside {
            by: origin(9),
            present: present(covered, 0),
        };
        stage.actor.tell(settle(node_1_is_over(&[(2, 9)])));
        stage.actor.tell(settle(node_1_is_over(&[(2, 9)])));
        pass(1).await;
        let told = stage.reissued.borrow();
        assert!(told.iter().all(|reissue| reissue.by == origin(9)));
        let told: Vec<_> = told.iter().map(|r| dots(&r.settled.reissue)).collect();
        assert_eq!(told, [vec![dot(1, 3), dot(1, 5)], vec![]]);
        assert_eq!(stage.metrics.writes_aside.get(), 0);
    });
}

#[test]
fn what_was_overwritten_meanwhile_is_not_handed_out() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.apply(vec![put_k(5)]);
        stage.actor.tell(SetAside);
        stage.apply(vec![put("k", dot(2, 6), Content::Tombstone, &[])]);
        stage.actor.tell(SettleAside {
            by: origin(9),
            present: present(node_1_is_over(&[(2, 6)]), 0),
        });
        pass(1).await;
        let told = stage.reissued.borrow();
        assert_eq!(told[0].settled, Settled::default());
    });
}

#[test]
fn what_cannot_be_told_from_a_deleted_value_is_handed_out_as_lost() {
    in_virtual_time(async {
        let stage = Stage::new();
        stage.apply(vec![put_k(5), write(1, 6, &[])]);
        stage.actor.tell(SetAside);
        stage.actor.tell(SettleAside {
            by: origin(9),
            present: present(node_1_is_over(&[]), 5),
        });
        pass(1).await;
        let settled = &stage.reissued.borrow()[0].settled;
        assert_eq!(dots(&settled.reissue), [dot(1, 6)]);
        assert_eq!(dots(&settled.lost), [dot(1, 5)]);
    });
}

#[test]
fn what_could_not_be_written_again_yet_is_aside_still() {
    in_virtual_time(async {
        let stage = Stage::new();
        let settled = Settled {
            reissue: vec![put_k(5)],
            lost: Vec::new(),
        };
        stage.actor.tell(KeepAside { settled });
        assert!(matches!(stage.read("k").await, Outcome::Absent(None)));
        assert_eq!(stage.metrics.writes_aside.get(), 1);
        stage.actor.tell(SettleAside {
            by: origin(9),
            present: present(node_1_is_over(&[]), 0),
        });
        pass(1).await;
        assert_eq!(
            dots(&stage.reissued.borrow()[0].settled.reissue),
            [dot(1, 5)]
        );
    });
}
