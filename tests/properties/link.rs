//! The settle rule against its own words: data flows only over a link that has answered within the
//! break time, and for each outage of the peer's present life, only when its settling is over.

use causet::core::Millis;
use causet::core::link::{Link, LinkRules, Standing};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::names::life;

const RULES: LinkRules = LinkRules {
    break_ms: 500,
    outage_long_ms: 1_000,
    settle_ms: 2_500,
    settle_at_most_ms: 5_000,
};

#[derive(Debug, Clone, Copy)]
enum Happens {
    /// The peer answers a call.
    Answer,
    /// The peer answers in a new life.
    AnswerReborn,
    /// The peer's own call comes in, in a new life.
    Reborn,
}

/// Mostly a heartbeat's time apart; sometimes about as long as breaks a link, or longer.
fn any_history() -> impl Strategy<Value = Vec<(Millis, Happens)>> {
    let gap = prop_oneof![
        4 => 1_u64..300,
        2 => 490_u64..510,
        1 => 500_u64..1_000,
        1 => 990_u64..1_010,
        1 => 1_000_u64..8_000,
    ];
    let happens = prop_oneof![
        12 => Just(Happens::Answer),
        1 => Just(Happens::AnswerReborn),
        1 => Just(Happens::Reborn),
    ];
    vec((gap, happens), 1..40)
}

/// When the peer's present life has answered.
#[derive(Debug, Default)]
struct Answers(Vec<Millis>);

impl Answers {
    fn outages(&self) -> impl Iterator<Item = (Millis, Millis)> {
        let gaps = self.0.windows(2).map(|pair| (pair[0], pair[1]));
        gaps.filter(|(last, first)| first - last >= RULES.break_ms)
    }

    fn expected(&self, now: Millis) -> Standing {
        let settles_until = |(last, first): (Millis, Millis)| {
            let outage = first - last;
            let long = outage >= RULES.outage_long_ms;
            first + if long { RULES.settle_ms } else { 2 * outage }
        };
        let silent = self
            .0
            .last()
            .is_none_or(|last| now - last >= RULES.break_ms);
        if silent {
            Standing::Broken
        } else if self.outages().map(settles_until).any(|until| now < until) {
            Standing::Settling
        } else {
            Standing::Steady
        }
    }

    /// Whether a long outage has ended since `asked`, or a long silence goes on.
    fn out_since(&self, asked: Millis, now: Millis) -> bool {
        let is_long = |last: Millis, next: Millis| next - last >= RULES.outage_long_ms;
        let mut ended = self.outages().filter(|(_, first)| *first > asked);
        ended.any(|(last, first)| is_long(last, first))
            || self.0.last().is_none_or(|last| is_long(*last, now))
    }

    /// Whether the first answer after some outage was so long ago that a join may run all the same.
    fn long_on_trial(&self, now: Millis) -> bool {
        let mut trials = self.outages().map(|(_, first)| first);
        trials.any(|first| now - first >= RULES.settle_at_most_ms)
    }
}

proptest! {
    #[test]
    fn a_link_carries_data_exactly_when_the_rule_says(history in any_history()) {
        let mut link = Link::new(RULES);
        let mut answers = Answers::default();
        let (mut now, mut lives) = (0, 0);
        for (gap, happens) in history {
            for at in [now, now + gap / 2, now + gap - 1, now + gap] {
                let standing = link.standing(at);
                prop_assert_eq!(standing, answers.expected(at), "at {} after {:?}", at, &answers);
                let may_join = link.may_join(at);
                for asked in [0, at / 2, at.saturating_sub(700), at] {
                    let out = answers.out_since(asked, at);
                    prop_assert_eq!(link.was_out_since(asked, at), out, "asked at {}", asked);
                }
                match standing {
                    Standing::Steady => prop_assert!(may_join),
                    Standing::Settling => prop_assert!(!may_join || answers.long_on_trial(at)),
                    Standing::Broken => prop_assert!(!may_join),
                }
            }
            now += gap;
            match happens {
                Happens::Answer => {
                    link.answered(now, life(lives));
                    answers.0.push(now);
                }
                Happens::AnswerReborn => {
                    lives += 1;
                    link.answered(now, life(lives));
                    answers.0 = vec![now];
                }
                Happens::Reborn => {
                    lives += 1;
                    link.met(life(lives));
                    answers.0.clear();
                }
            }
        }
    }

    /// However a link flaps, five seconds after its first answer a join runs, if it answers at all; counted anew after
    /// each long outage, which is settled after for itself.
    #[test]
    fn a_flapping_link_is_joined_over_in_the_end(gaps in vec(500_u64..1_030, 1..30)) {
        let mut link = Link::new(RULES);
        link.answered(0, life(0));
        let (mut now, mut first) = (0, None);
        for gap in gaps {
            now += gap;
            link.answered(now, life(0));
            if gap >= RULES.outage_long_ms {
                first = Some(now);
            }
            let first = *first.get_or_insert(now);
            prop_assert_eq!(link.may_join(now), now - first >= RULES.settle_at_most_ms);
        }
    }
}
