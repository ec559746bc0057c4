//! What nodes count, read from their metrics.

/// The samples of a text in Prometheus' format, those with whole values.
pub(super) fn samples(text: &str) -> impl Iterator<Item = (&str, u64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name, value.parse().ok()?))
    })
}

/// A sample's name without its labels.
pub(super) fn family(name: &str) -> &str {
    name.split('{').next().unwrap_or(name)
}

/// The name under which a counter is summed up, without the peer; `None` for what is no counter.
pub(super) fn counted(name: &str) -> Option<String> {
    let family = family(name);
    let plain = family.strip_prefix("causet_")?.strip_suffix("_total")?;
    let labels = name.split(['{', ',', '}']).skip(1);
    let labels = labels.filter(|label| !label.is_empty() && !label.starts_with("peer="));
    let labels: Vec<&str> = labels.collect();
    Some(if labels.is_empty() {
        plain.to_owned()
    } else {
        format!("{plain} {}", labels.join(" "))
    })
}
