//! Laws of forget marks: replicas that know the same marks agree on who is forgotten, and somebody always goes on.

use causet::core::id::Address;
use causet::core::view::{ForgetMark, ForgetMarks, Forgotten};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::names::{any_mark, origin};

fn merged<'a>(marks: impl IntoIterator<Item = &'a ForgetMark>) -> ForgetMarks {
    let mut all = ForgetMarks::default();
    for mark in marks {
        all.merge(*mark);
    }
    all
}

/// Marks of which none is about its own maker's address: those that nobody makes but an operator.
fn marks_on_others() -> impl Strategy<Value = Vec<ForgetMark>> {
    let on_other = any_mark().prop_filter("about its maker", |m| m.address != m.maker.address);
    vec(on_other, 1..20)
}

/// As the rule has it: with more up first, then the earlier, then by maker and address.
fn in_order(marks: &ForgetMarks) -> Vec<ForgetMark> {
    let mut marks = marks.to_vec();
    marks.sort_by_key(|m| (u16::MAX - m.up, m.time, m.maker, m.address));
    marks
}

fn covers(forgotten: &Forgotten, mark: &ForgetMark) -> bool {
    forgotten.covers(mark.address, mark.incarnation)
}

fn is_maker_forgotten(forgotten: &Forgotten, mark: &ForgetMark) -> bool {
    forgotten.covers(mark.maker.address, mark.maker.incarnation)
}

proptest! {
    #[test]
    fn the_order_of_merging_does_not_matter(
        (marks, shuffled) in vec(any_mark(), 0..30)
            .prop_flat_map(|marks| (Just(marks.clone()), Just(marks).prop_shuffle())),
        again in 0_usize..30,
    ) {
        let one = merged(&marks);
        let other = merged(shuffled.iter().chain(shuffled.iter().take(again)));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.effective(), other.effective());
        let (here, there) = marks.split_at(marks.len() / 2);
        let mut joined = merged(there);
        for mark in merged(here).to_vec() {
            joined.merge(mark);
        }
        prop_assert_eq!(joined, one);
    }

    /// Each mark takes effect or is void, as the marks before it have it.
    #[test]
    fn a_mark_takes_effect_unless_its_maker_was_forgotten_before(marks in vec(any_mark(), 0..20)) {
        let all = merged(&marks);
        let mut before = ForgetMarks::default();
        for mark in in_order(&all) {
            let forgotten = before.effective();
            let void = is_maker_forgotten(&forgotten, &mark);
            before.merge(mark);
            if void {
                prop_assert_eq!(before.effective(), forgotten);
            } else {
                prop_assert!(covers(&before.effective(), &mark));
            }
        }
        prop_assert_eq!(before.effective(), all.effective());
    }

    #[test]
    fn the_maker_of_the_last_mark_that_takes_effect_is_forgotten_by_nobody(marks in marks_on_others()) {
        let all = merged(&marks);
        let mut before = ForgetMarks::default();
        let mut last = None;
        for mark in in_order(&all) {
            if !is_maker_forgotten(&before.effective(), &mark) {
                last = Some(mark);
            }
            before.merge(mark);
        }
        let last = last.expect("the first mark takes effect");
        prop_assert!(!is_maker_forgotten(&all.effective(), &last));
    }

    /// The members of two sides of a cut, some of whom forget all of the other side, each at its own time.
    #[test]
    fn of_two_sides_that_forget_each_other_one_goes_on_whole(
        split in 1_u8..5,
        makers in vec((0_u8..6, 1_u64..9), 1..6),
    ) {
        let (left, right): (Vec<u8>, Vec<u8>) = (0..6).partition(|n| *n < split);
        let mut all = ForgetMarks::default();
        for (maker, ms) in makers {
            let (side, other) = if maker < split { (&left, &right) } else { (&right, &left) };
            for whom in other {
                all.merge(ForgetMark {
                    address: origin(*whom).address,
                    incarnation: origin(*whom).incarnation,
                    time: causet::core::stamp::HlcTime { ms, count: u32::from(*whom) },
                    maker: origin(maker),
                    up: u16::try_from(side.len()).unwrap(),
                });
            }
        }
        let forgotten = all.effective();
        let gone: Vec<Address> = forgotten.iter().map(|(address, ..)| address).collect();
        let addresses = |side: &[u8]| side.iter().map(|n| origin(*n).address).collect::<Vec<_>>();
        prop_assert!(gone == addresses(&left) || gone == addresses(&right), "{:?}", gone);
    }
}
