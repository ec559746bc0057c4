//! Which donors are asked for the keys that requests wait for.
//!
//! A donor hands over everything that it holds for a shard at once, which takes its time. A request for one key does not wait for that: the
//! key is asked for by itself, of the donors that may have had it, one after the other, together with whatever else is waited for by then.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::id::{Address, Key, Origin};

/// Keys that one question asks for, at most.
const KEYS_PER_QUESTION: usize = 128;

/// Keys that are asked for at once. Requests for one more wait for all that a donor has.
const KEYS_MAX: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Wanted {
    /// The keys that are waited for, and who has been asked for each.
    keys: BTreeMap<Key, BTreeSet<Origin>>,
    /// Who is being asked now.
    asking: BTreeMap<Address, Vec<Key>>,
}

impl Wanted {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request waits for this key.
    pub fn want(&mut self, key: &Key) {
        if self.keys.len() < KEYS_MAX && !self.keys.contains_key(key) {
            self.keys.insert(key.clone(), BTreeSet::new());
        }
    }

    /// Whether no key is waited for.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Only these are waited for still.
    pub fn keep(&mut self, waited_for: &BTreeSet<Key>) {
        self.keys.retain(|key, _| waited_for.contains(key));
    }

    /// What each of these donors is to be asked for now. A donor is asked one question at a time, and for a key once in its life; a key
    /// is asked for of one donor at a time.
    pub fn questions(
        &mut self,
        donors: impl Iterator<Item = Origin>,
        may_have: impl Fn(&Address, &Key) -> bool,
    ) -> Vec<(Origin, Vec<Key>)> {
        let under_way = self.asking.values().flatten();
        let mut under_way: BTreeSet<Key> = under_way.cloned().collect();
        let mut questions = Vec::new();
        for donor in donors {
            if self.asking.contains_key(&donor.address) {
                continue;
            }
            let due = self.keys.iter_mut().filter(|(key, asked)| {
                let new = !asked.contains(&donor) && !under_way.contains(*key);
                new && may_have(&donor.address, key)
            });
            let mut question = Vec::new();
            for (key, asked) in due.take(KEYS_PER_QUESTION) {
                asked.insert(donor);
                question.push(key.clone());
            }
            if !question.is_empty() {
                under_way.extend(question.iter().cloned());
                self.asking.insert(donor.address, question.clone());
                questions.push((donor, question));
            }
        }
        questions
    }

    /// A donor has answered, or cannot: then it may be asked for the same keys again.
    pub fn answered(&mut self, donor: Address, has_answered: bool) {
        let asked = self.asking.remove(&donor).unwrap_or_default();
        for key in asked.iter().filter(|_| !has_answered) {
            if let Some(asked) = self.keys.get_mut(key) {
                asked.retain(|origin| origin.address != donor);
            }
        }
    }

    /// Nothing is waited for, and no answer is heeded any more.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.asking.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::origin;

    fn key(n: usize) -> Key {
        Key::new(&format!("k{n}")).unwrap()
    }

    fn wanting(keys: usize) -> Wanted {
        let mut wanted = Wanted::new();
        for n in 0..keys {
            wanted.want(&key(n));
        }
        wanted
    }

    fn donors() -> impl Iterator<Item = Origin> {
        [origin(1), origin(2)].into_iter()
    }

    #[test]
    fn a_key_is_asked_for_of_one_donor_after_the_other_until_it_is_not_waited_for() {
        let mut wanted = wanting(1);
        let asked = |donor| vec![(donor, vec![key(0)])];
        assert_eq!(wanted.questions(donors(), |_, _| true), asked(origin(1)));
        assert_eq!(wanted.questions(donors(), |_, _| true), [], "under way");
        wanted.answered(origin(1).address, true);
        assert_eq!(wanted.questions(donors(), |_, _| true), asked(origin(2)));
        wanted.answered(origin(2).address, true);
        assert_eq!(wanted.questions(donors(), |_, _| true), [], "by all");
        wanted.keep(&BTreeSet::new());
        assert!(wanted.is_empty());
    }

    #[test]
    fn only_a_donor_that_may_have_had_the_key_is_asked() {
        let mut wanted = wanting(1);
        let second = |donor: &Address, _: &Key| *donor == origin(2).address;
        let questions = wanted.questions(donors(), second);
        assert_eq!(questions, [(origin(2), vec![key(0)])]);
    }

    #[test]
    fn who_could_not_answer_is_asked_again_and_so_is_a_later_life() {
        let mut wanted = wanting(1);
        let one = || [origin(1)].into_iter();
        let mut later = origin(1);
        later.incarnation = later.incarnation.succeeding(0, 0);
        for (donor, has_answered) in [(origin(1), false), (origin(1), true), (later, true)] {
            let donors = [donor].into_iter();
            let questions = wanted.questions(donors, |_, _| true);
            assert_eq!(questions, [(donor, vec![key(0)])]);
            wanted.answered(donor.address, has_answered);
        }
        assert_eq!(wanted.questions(one(), |_, _| true), []);
    }

    #[test]
    fn what_gathers_while_a_question_is_under_way_goes_with_the_next_one_up_to_a_limit() {
        let mut wanted = wanting(KEYS_PER_QUESTION + 2);
        let lengths = |questions: Vec<(Origin, Vec<Key>)>| {
            let lengths = questions.into_iter().map(|(_, keys)| keys.len());
            lengths.collect::<Vec<_>>()
        };
        let all = |wanted: &mut Wanted| lengths(wanted.questions(donors(), |_, _| true));
        assert_eq!(all(&mut wanted), [KEYS_PER_QUESTION, 2]);
        wanted.want(&key(KEYS_PER_QUESTION + 2));
        assert!(all(&mut wanted).is_empty(), "both are being asked");
        wanted.answered(origin(2).address, true);
        assert_eq!(all(&mut wanted), [1]);
    }

    #[test]
    fn no_more_keys_are_remembered_than_the_limit() {
        assert_eq!(wanting(KEYS_MAX + 1).keys.len(), KEYS_MAX);
    }
}
