//! The promises that somebody has seen broken.

use std::collections::BTreeMap;

use super::run::Violation;

/// Of each promise the first time that it was seen broken, which says enough.
#[derive(Debug, Default)]
pub(super) struct Broken(BTreeMap<&'static str, String>);

impl Broken {
    /// Takes note that this promise was broken, unless it was before.
    pub(super) fn note(&mut self, name: &'static str, text: impl FnOnce() -> String) {
        self.0.entry(name).or_insert_with(text);
    }

    /// What was noted.
    pub(super) fn violations(&self) -> impl Iterator<Item = Violation> + '_ {
        self.0.iter().map(|(name, text)| Violation {
            name: (*name).to_owned(),
            text: text.clone(),
        })
    }
}
