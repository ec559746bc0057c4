//! Whether a link to a peer may be trusted with data: the settle rule.
//!
//! A link that was silent for [`LinkRules::break_ms`] is *broken*: only probes are sent over it. When
//! it answers again it is *settling* for a time that depends on how long it was out, and *steady*
//! after that. Damping keeps a flapping link from causing a storm of repairs. Both ends apply the
//! rule on their own: a receiver refuses batches on a link that it does not find steady, since the
//! kernel may deliver queued bytes after a heal. Only answers to one's own calls count, never time
//! alone, so a process that was itself stopped finds its links broken when it wakes.
//!
//! An answer that took long is judged by [`Link::was_out_since`]: the peer may have been busy with it
//! for a while, but what was asked before a long outage must not slip past the settling after it.

use super::Millis;
use super::id::Incarnation;

/// The times of the rule, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkRules {
    /// Silence after which a link is broken.
    pub break_ms: u64,
    /// An outage of at least this length is followed by the whole `settle_ms`, a shorter one by twice its length.
    pub outage_long_ms: u64,
    /// The longest settling.
    pub settle_ms: u64,
    /// A link that keeps breaking for short whiles as it settles is joined over all the same, this long
    /// after its first answer since it was steady, or since a long outage.
    pub settle_at_most_ms: u64,
}

/// What a link may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Never answered, or silent for too long: probes only.
    Broken,
    /// Answers again, but not for long enough: probes only.
    Settling,
    /// Data flows.
    Steady,
}

/// What an answer has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// The first answer ever, or the first of a new life: the link is steady at once.
    Fresh,
    /// The first answer after an outage of this many milliseconds.
    Answering(Millis),
}

/// One end's opinion of the link to one peer.
#[derive(Debug)]
pub struct Link {
    rules: LinkRules,
    peer_life: Incarnation,
    last_answer: Option<Millis>,
    /// Of whichever life.
    last_of_any: Option<Millis>,
    steady_from: Millis,
    /// When it first answered since it was last steady.
    trial_since: Option<Millis>,
    /// When the latest outage of at least `outage_long_ms` ended.
    long_outage_until: Option<Millis>,
}

impl Link {
    /// A link that has not answered yet.
    pub fn new(rules: LinkRules) -> Self {
        Self {
            rules,
            peer_life: Incarnation::UNKNOWN,
            last_answer: None,
            last_of_any: None,
            steady_from: 0,
            trial_since: None,
            long_outage_until: None,
        }
    }

    /// The peer, in this life, has answered a call.
    pub fn answered(&mut self, now: Millis, life: Incarnation) -> Change {
        let fresh = self.met(life);
        let last = self.last_answer.replace(now);
        self.last_of_any = Some(now);
        let Some(last) = last.filter(|_| !fresh) else {
            self.steady_from = now;
            return Change::Fresh;
        };
        let outage = now - last;
        if outage < self.rules.break_ms {
            if now >= self.steady_from {
                self.trial_since = None;
            }
            return Change::None;
        }
        // A short outage while a long one settles makes it settle no sooner.
        self.steady_from = self.steady_from.max(now + self.settling(outage));
        // A long outage is none of the trial: its end is settled after like any other.
        if outage >= self.rules.outage_long_ms {
            self.trial_since = Some(now);
            self.long_outage_until = Some(now);
        }
        self.trial_since.get_or_insert(now);
        Change::Answering(outage)
    }

    /// The peer was heard of in this life (its own call came in). A new life is served at once:
    /// whatever was settled or broken concerned the one before. True if it is new.
    pub fn met(&mut self, life: Incarnation) -> bool {
        let new = life > self.peer_life;
        if new {
            self.peer_life = life;
            self.last_answer = None;
            self.trial_since = None;
            self.long_outage_until = None;
        }
        new
    }

    fn settling(&self, outage: Millis) -> Millis {
        if outage >= self.rules.outage_long_ms {
            self.rules.settle_ms
        } else {
            (2 * outage).min(self.rules.settle_ms)
        }
    }

    /// What it may be used for.
    pub fn standing(&self, now: Millis) -> Standing {
        if self.silent(now) {
            Standing::Broken
        } else if now < self.steady_from {
            Standing::Settling
        } else {
            Standing::Steady
        }
    }

    /// Whether a join may run over it: steady, or on trial for so long that it must.
    pub fn may_join(&self, now: Millis) -> bool {
        let overdue = |since: Millis| now - since >= self.rules.settle_at_most_ms;
        match self.standing(now) {
            Standing::Steady => true,
            Standing::Settling => self.trial_since.is_some_and(overdue),
            Standing::Broken => false,
        }
    }

    /// Whether the answer to something asked at `asked` comes too late to be used: since then a silence
    /// of at least `outage_long_ms` has ended, or one goes on. The kernel may deliver after a
    /// cut what was asked for before it. Shorter silences are forgiven, though they break the link: a
    /// peer that is busy with the question answers nothing else meanwhile.
    pub fn was_out_since(&self, asked: Millis, now: Millis) -> bool {
        let out = |last: Millis| now - last >= self.rules.outage_long_ms;
        let has_been = self.long_outage_until.is_some_and(|until| until > asked);
        has_been || self.last_answer.is_none_or(out)
    }

    /// Whether the peer can be asked something now with hope for an answer. That it has begun a new life, of which no answer has come yet, does
    /// not speak against it.
    pub fn answers(&self, now: Millis) -> bool {
        let last = self.last_of_any;
        last.is_some_and(|last| now - last < self.rules.break_ms)
    }

    /// The latest life of the peer that was met.
    pub fn peer_life(&self) -> Incarnation {
        self.peer_life
    }

    fn silent(&self, now: Millis) -> bool {
        self.last_answer
            .is_none_or(|last| now - last >= self.rules.break_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: LinkRules = LinkRules {
        break_ms: 500,
        outage_long_ms: 1_000,
        settle_ms: 2_500,
        settle_at_most_ms: 5_000,
    };

    fn life(ms: u64) -> Incarnation {
        Incarnation::starting(ms, 0)
    }

    /// A link that was answered every 250 ms up to `now`.
    fn steady_until(now: Millis) -> Link {
        let mut link = Link::new(RULES);
        for at in (0..=now).step_by(250) {
            link.answered(at, life(1));
        }
        link
    }

    #[test]
    fn the_first_answer_makes_a_link_steady_at_once() {
        let mut link = Link::new(RULES);
        assert_eq!(link.standing(0), Standing::Broken);
        assert_eq!(link.answered(40, life(1)), Change::Fresh);
        assert_eq!(link.standing(40), Standing::Steady);
    }

    #[test]
    fn a_new_life_has_to_answer_before_data_flows_but_can_be_asked() {
        let mut link = steady_until(1_000);
        link.met(life(2));
        assert_eq!(link.standing(1_100), Standing::Broken);
        assert!(link.answers(1_100) && !link.answers(1_500));
        assert_eq!(link.answered(1_600, life(2)), Change::Fresh);
        assert!(link.answers(1_600));
    }

    #[test]
    fn half_a_second_of_silence_breaks_it() {
        let link = steady_until(1_000);
        assert_eq!(link.standing(1_499), Standing::Steady);
        assert_eq!(link.standing(1_500), Standing::Broken);
    }

    #[test]
    fn after_a_long_outage_no_data_flows_for_two_and_a_half_seconds() {
        let mut link = steady_until(1_000);
        assert_eq!(link.answered(2_200, life(1)), Change::Answering(1_200));
        for at in (2_450..4_700).step_by(250) {
            link.answered(at, life(1));
            assert_eq!(link.standing(at), Standing::Settling, "{at}");
            assert!(!link.may_join(at), "{at}");
        }
        link.answered(4_700, life(1));
        assert_eq!(link.standing(4_700), Standing::Steady);
    }

    #[test]
    fn after_a_short_outage_it_settles_for_twice_its_length() {
        let mut link = steady_until(1_000);
        assert_eq!(link.answered(1_600, life(1)), Change::Answering(600));
        for at in [1_850, 2_100, 2_350, 2_600] {
            assert_eq!(link.standing(at), Standing::Settling);
            link.answered(at, life(1));
        }
        assert_eq!(link.standing(2_800), Standing::Steady);
    }

    #[test]
    fn a_flapping_link_is_joined_over_five_seconds_after_its_first_answer() {
        let mut link = steady_until(1_000);
        let mut at = 2_000;
        while at < 7_000 {
            link.answered(at, life(1));
            assert!(!link.may_join(at), "{at}");
            at += 600;
        }
        link.answered(at, life(1));
        assert_eq!(link.standing(at), Standing::Settling);
        assert!(link.may_join(at));
    }

    #[test]
    fn an_answer_outlives_a_short_silence_but_no_long_one() {
        let asked = 1_100;
        let mut link = steady_until(1_000);
        assert!(!link.was_out_since(asked, 1_999), "silent for 999 ms");
        assert!(link.was_out_since(asked, 2_000), "and for 1,000");
        link.answered(1_900, life(1));
        assert_eq!(link.standing(1_900), Standing::Settling);
        assert!(!link.was_out_since(asked, 1_900), "out for 900 ms");
        link.answered(2_900, life(1));
        assert!(link.was_out_since(asked, 2_900), "out for 1,000 ms");
        assert!(!link.was_out_since(2_900, 2_900), "that was before");
    }

    #[test]
    fn a_link_that_never_answered_was_out() {
        assert!(Link::new(RULES).was_out_since(0, 0));
        let mut link = steady_until(1_000);
        link.met(life(9));
        assert!(link.was_out_since(900, 1_000), "in this life");
    }

    #[test]
    fn a_long_outage_while_it_settles_is_settled_after_however_long_ago_the_first_one_was() {
        let mut link = steady_until(1_000);
        link.answered(3_000, life(1));
        let mut at = 9_000;
        link.answered(at, life(1));
        while at < 11_500 {
            assert!(!link.may_join(at), "{at}");
            at += 250;
            link.answered(at, life(1));
        }
        assert_eq!(link.standing(at), Standing::Steady);
    }

    #[test]
    fn a_new_life_is_served_at_once() {
        let mut link = steady_until(1_000);
        assert!(link.met(life(9)), "its own heartbeat came in");
        assert_eq!(link.answered(9_000, life(9)), Change::Fresh);
        assert_eq!(link.standing(9_000), Standing::Steady);
        assert!(!link.met(life(1)), "the life before is not news");
    }
}
