//! Sets of small numbers, for transitive closures: 64 members to a word.

/// A set of numbers below the bound given at its making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// The empty set; members must be below `bound`.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            words: vec![0; bound.div_ceil(64)],
        }
    }

    pub(super) fn insert(&mut self, member: usize) {
        self.words[member / 64] |= 1 << (member % 64);
    }

    pub(super) fn remove(&mut self, member: usize) {
        self.words[member / 64] &= !(1 << (member % 64));
    }

    pub(super) fn contains(&self, member: usize) -> bool {
        self.words[member / 64] >> (member % 64) & 1 == 1
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
    }

    pub(super) fn remove_all(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine &= !theirs;
        }
    }

    pub(super) fn keep_all(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine &= theirs;
        }
    }

    /// Removes the members that are not `wanted`.
    pub(super) fn retain(&mut self, wanted: impl Fn(usize) -> bool) {
        let unwanted: Vec<usize> = self.iter().filter(|m| !wanted(*m)).collect();
        for member in unwanted {
            self.remove(member);
        }
    }

    /// Whether the two have a member in common.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    pub(super) fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The largest member.
    pub(super) fn highest(&self) -> Option<usize> {
        let word = self.words.iter().rposition(|w| *w != 0)?;
        Some(word * 64 + 63 - self.words[word].leading_zeros() as usize)
    }

    /// The members, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as usize;
                (rest != 0).then(|| {
                    rest &= rest - 1;
                    index * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_at_the_edges_of_words_are_kept_apart() {
        let mut set = Bits::new(130);
        for member in [0, 63, 64, 127, 128, 129] {
            set.insert(member);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 127, 128, 129]);
        assert_eq!((set.len(), set.highest()), (6, Some(129)));
        set.remove(129);
        assert!(!set.contains(129) && set.contains(128));
        assert_eq!(Bits::new(130).highest(), None);
    }

    #[test]
    fn union_difference_and_intersection_act_on_every_word() {
        let of = |members: &[usize]| {
            let mut set = Bits::new(200);
            for member in members {
                set.insert(*member);
            }
            set
        };
        let mut set = of(&[1, 100]);
        set.add_all(&of(&[100, 199]));
        assert_eq!(set, of(&[1, 100, 199]));
        set.remove_all(&of(&[1]));
        assert_eq!(set, of(&[100, 199]));
        assert!(set.meets(&of(&[199])) && !set.meets(&of(&[1])));
        set.keep_all(&of(&[1, 199]));
        assert_eq!(set, of(&[199]));
    }
}
