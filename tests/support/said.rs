//! Numbers in what a command has printed.

/// The number right before the first `words`, as in "12 refused".
#[track_caller]
pub(crate) fn number_before(words: &str, text: &str) -> u64 {
    let words = format!(" {words}");
    let before = text.split_once(&words).map(|(before, _)| before);
    let before = before.unwrap_or_else(|| panic!("no{words} in\n{text}"));
    let start = before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number = before[start..].parse();
    number.unwrap_or_else(|_| panic!("no number before{words} in\n{text}"))
}
