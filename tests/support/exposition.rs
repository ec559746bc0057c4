//! Prometheus' text format, read strictly enough to notice what a scraper would refuse.

use std::collections::BTreeMap;

/// What `/metrics` said.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Family → type.
    pub(crate) families: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

/// One line.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

impl Exposition {
    /// Reads it; panics at the first line that is none.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let mut read = Self::default();
        assert!(text.ends_with('\n'), "the last line has no end");
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.strip_prefix("# ") {
                Some(comment) => read.comment(comment),
                None => read.sample(line),
            }
        }
        read
    }

    #[track_caller]
    fn comment(&mut self, comment: &str) {
        let Some(family) = comment.strip_prefix("TYPE ") else {
            return;
        };
        let (name, kind) = family.split_once(' ').expect("a type line");
        let known = ["counter", "gauge", "histogram", "summary", "untyped"];
        assert!(known.contains(&kind), "{comment}");
        let before = self.families.insert(name.to_owned(), kind.to_owned());
        assert_eq!(before, None, "two type lines for {name}");
    }

    #[track_caller]
    fn sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a sample line");
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, rest.strip_suffix('}').expect("closed labels")),
            None => (series, ""),
        };
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let plain = name.chars().all(|c| first(c) || c.is_ascii_digit());
        assert!(plain && name.starts_with(first), "{line}");
        assert!(self.has_type(name), "no type line before {line}");
        self.samples.push(Sample {
            name: name.to_owned(),
            labels: labels.to_owned(),
            value: value.parse().expect("a number"),
        });
    }

    fn has_type(&self, name: &str) -> bool {
        let parts = ["", "_bucket", "_sum", "_count"];
        let mut stems = parts.iter().filter_map(|part| name.strip_suffix(part));
        stems.any(|stem| self.families.contains_key(stem))
    }

    /// The families whose name contains all of these words.
    pub(crate) fn families_with(&self, words: &[&str]) -> Vec<&str> {
        let names = self.families.keys().map(String::as_str);
        names
            .filter(|name| words.iter().all(|w| name.contains(w)))
            .collect()
    }

    /// Sum of the samples whose name and labels contain all of these words, histograms left out
    /// but for their counts.
    pub(crate) fn sum(&self, words: &[&str]) -> f64 {
        let counts = |s: &&Sample| !s.name.ends_with("_bucket") && !s.name.ends_with("_sum");
        let matches = |s: &&Sample| {
            let has = |w: &&str| s.name.contains(*w) || s.labels.contains(*w);
            words.iter().all(has)
        };
        let chosen = self.samples.iter().filter(counts).filter(matches);
        chosen.map(|s| s.value).sum()
    }

    /// The gauges whose name has this word, each with the sum of its samples.
    pub(crate) fn gauges(&self, word: &str) -> Vec<(&str, f64)> {
        let gauges = self.families.iter().filter(|(_, kind)| *kind == "gauge");
        let names = gauges.map(|(name, _)| name.as_str());
        let names = names.filter(|name| name.contains(word));
        names.map(|name| (name, self.total(name))).collect()
    }

    fn total(&self, name: &str) -> f64 {
        let samples = self.samples.iter().filter(|s| s.name == name);
        samples.map(|s| s.value).sum()
    }
}
