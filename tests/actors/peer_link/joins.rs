//! State differences: fetched page by page, passed on whole or not at all.

use causet::core::coverage::Coverage;
use causet::core::stamp::HlcTime;
use causet::core::wire::{JoinAnswer, JoinPage, JoinRefusal, JoinRequest, JoinRest, Wants};
use causet::core::write::Write;
use causet::messages::causality::JoinEnded;
use causet::messages::peers::FetchJoin;
use causet::transport::Call;

use super::{Open, Stage, ToCausality};
use crate::fixtures::{DOMAIN, address, clock, dot, dots, origin, write};
use crate::support::{in_virtual_time, pass};

fn page(writes: Vec<Write>, last: bool) -> JoinAnswer {
    JoinAnswer::Page(JoinPage {
        left: 0,
        older: Vec::new(),
        from: origin(1),
        covered: clock(&[(1, 9)]).into(),
        time: HlcTime { ms: 3, count: 0 },
        writes,
        rest: last.then(JoinRest::default),
    })
}

/// A steady link that has asked for page 0.
async fn asked() -> (Stage, Open) {
    let stage = Stage::steady().await;
    stage.actor.tell(FetchJoin {
        from: address(1),
        request: JoinRequest {
            wants: Wants::State,
            claims: Vec::new(),
            from: origin(9),
            domain: DOMAIN,
            covered: clock(&[(1, 1)]).into(),
            session: 4,
            page: 0,
        },
    });
    pass(1).await;
    let call = stage.only(Call::Join);
    assert_eq!(call.decode::<JoinRequest>().page, 0);
    (stage, call)
}

async fn next_page(stage: &Stage) -> Open {
    pass(1).await;
    assert!(ended(stage).is_none(), "nothing partial is passed on");
    stage.only(Call::Join)
}

fn ended(stage: &Stage) -> Option<JoinEnded> {
    let mut told = stage.causality.borrow_mut();
    let at = told
        .iter()
        .position(|m| matches!(m, ToCausality::JoinEnded(_)))?;
    match told.remove(at) {
        ToCausality::JoinEnded(ended) => Some(ended),
        _ => None,
    }
}

#[test]
fn all_pages_are_passed_on_together() {
    in_virtual_time(async {
        let (stage, first) = asked().await;
        first.answer(&page(vec![write(1, 2, &[])], false));
        let second = next_page(&stage).await;
        let request: JoinRequest = second.decode();
        assert_eq!((request.page, request.session), (1, 4));
        assert_eq!(request.covered, clock(&[(1, 1)]).into());
        second.answer(&page(vec![write(1, 9, &[])], true));
        pass(1).await;
        let ended = ended(&stage).expect("ended");
        let cut = ended.result.expect("complete");
        assert_eq!(ended.from, address(1));
        assert_eq!(dots(&cut.writes), [dot(1, 2), dot(1, 9)]);
        assert_eq!(
            (cut.from, cut.covered),
            (origin(1), clock(&[(1, 9)]).into())
        );
    });
}

/// Answers the second page by `answer`; the join has failed then, whatever the first brought.
fn fails_at_the_second_page(answer: impl FnOnce(Open)) {
    in_virtual_time(async {
        let (stage, first) = asked().await;
        first.answer(&page(vec![write(1, 2, &[])], false));
        answer(next_page(&stage).await);
        pass(1).await;
        let ended = ended(&stage).expect("ended");
        assert!(ended.from == address(1) && ended.result.is_err());
        assert_eq!(stage.open(Call::Join).len(), 0, "not asked again");
    });
}

#[test]
fn a_page_of_another_cut_fails_the_join() {
    fails_at_the_second_page(|call| {
        call.answer(&JoinAnswer::Page(JoinPage {
            left: 0,
            older: Vec::new(),
            from: origin(1),
            covered: clock(&[(1, 10)]).into(),
            time: HlcTime::ZERO,
            writes: Vec::new(),
            rest: Some(JoinRest::default()),
        }));
    });
}

#[test]
fn a_refused_page_fails_the_join() {
    fails_at_the_second_page(|call| {
        call.answer(&JoinAnswer::Refused(JoinRefusal::NoSuchPage));
    });
}

#[test]
fn a_lost_page_fails_the_join() {
    fails_at_the_second_page(Open::fail);
}

#[test]
fn a_malformed_page_fails_the_join() {
    fails_at_the_second_page(|call| call.answer_bytes(vec![1, 0xff]));
}

#[test]
fn a_page_that_does_not_come_in_time_fails_the_join() {
    in_virtual_time(async {
        let (stage, _unanswered) = asked().await;
        pass(1_990).await;
        assert!(ended(&stage).is_none());
        pass(10).await;
        assert!(ended(&stage).expect("ended").result.is_err());
    });
}

#[test]
fn a_join_ends_even_when_the_link_does() {
    in_virtual_time(async {
        let (stage, call) = asked().await;
        let causality = stage.causality.clone();
        drop(stage);
        pass(1).await;
        call.answer(&page(Vec::new(), true));
        pass(1).await;
        let told = causality.borrow();
        assert!(matches!(told.last(), Some(ToCausality::JoinEnded(_))));
    });
}

#[test]
fn an_empty_difference_is_a_whole_one() {
    in_virtual_time(async {
        let (stage, call) = asked().await;
        call.answer(&JoinAnswer::Page(JoinPage {
            left: 0,
            older: Vec::new(),
            from: origin(1),
            covered: Coverage::new(),
            time: HlcTime::ZERO,
            writes: Vec::new(),
            rest: Some(JoinRest::default()),
        }));
        pass(1).await;
        let cut = ended(&stage).expect("ended").result.expect("complete");
        assert!(cut.writes.is_empty());
    });
}

#[test]
fn a_page_that_comes_after_a_long_outage_fails_the_join() {
    in_virtual_time(async {
        let (stage, call) = asked().await;
        stage.cut();
        stage.run(1_250).await;
        stage.connect();
        stage.beat();
        pass(1).await;
        call.answer(&page(vec![write(1, 9, &[])], true));
        pass(1).await;
        assert!(ended(&stage).expect("ended").result.is_err());
    });
}

#[test]
fn a_page_that_comes_after_a_short_outage_is_used() {
    in_virtual_time(async {
        let (stage, call) = asked().await;
        stage.cut();
        stage.beat();
        pass(550).await;
        stage.connect();
        stage.beat();
        pass(1).await;
        assert!(!stage.may_join(), "it settles");
        call.answer(&page(vec![write(1, 9, &[])], true));
        pass(1).await;
        assert!(ended(&stage).expect("ended").result.is_ok());
    });
}
