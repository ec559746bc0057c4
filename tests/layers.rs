//! The source tree keeps to its arrows: each layer knows only those before it (`src/lib.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may name which modules of the crate. A file belongs to the first line that its path below
/// `src/` begins with. What no line names, such as `main.rs`, stands outside of the layers.
const ARROWS: &[(&str, &[&str])] = &[
    ("core/", &["core"]),
    ("messages/", &["core", "messages"]),
    ("transport/", &["core", "transport"]),
    ("config", &["config", "core"]),
    ("time.rs", &["core"]),
    ("metrics.rs", &["core", "messages"]),
    (
        "actors/",
        &["config", "core", "messages", "metrics", "time", "transport"],
    ),
    (
        "http/",
        &[
            "config",
            "core",
            "http",
            "messages",
            "metrics",
            "time",
            "transport",
        ],
    ),
    (
        "node",
        &[
            "actors",
            "config",
            "core",
            "http",
            "messages",
            "metrics",
            "time",
            "transport",
        ],
    ),
    ("checker/", &["checker"]),
    (
        "sim/",
        &[
            "checker",
            "config",
            "core",
            "http",
            "messages",
            "node",
            "sim",
            "time",
            "transport",
        ],
    ),
    ("verify/", &["checker", "time", "verify"]),
    (
        "cli/",
        &["checker", "cli", "config", "core", "node", "verify"],
    ),
];

/// Crates that do I/O, run tasks or read clocks: none of the core's business.
const NOT_IN_CORE: &[&str] = &[
    "actix",
    "actix_rt",
    "actix_web",
    "awc",
    "futures",
    "log",
    "prometheus",
    "socket2",
    "tokio",
];

/// The one file of the core that has a `HashMap`; it never walks through it.
const HAS_HASH_MAP: &str = "core/store.rs";

const LINES_MAX: usize = 500;

#[derive(Debug)]
struct Source {
    /// Below `src/`, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// Its code without comments.
    fn code(&self) -> String {
        let code = self.text.lines().map(|line| match line.find("//") {
            Some(at) => &line[..at],
            None => line,
        });
        code.collect::<Vec<_>>().join("\n")
    }

    /// The modules of this crate that it names, by `crate::` or, in the binary, by the crate's name.
    fn modules(&self) -> BTreeSet<String> {
        let code = self.code();
        let mut named = BTreeSet::new();
        for prefix in ["crate::", "causet::"] {
            for (at, _) in code.match_indices(prefix) {
                named.extend(first_names(&code[at + prefix.len()..]));
            }
        }
        named
    }

    /// Whether it names this crate or module as the beginning of a path.
    fn begins_a_path_with(&self, name: &str) -> bool {
        let code = self.code();
        let path = format!("{name}::");
        code.match_indices(&path).any(|(at, _)| {
            !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
        })
    }
}

/// What follows `crate::`: a name, or several in braces.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let text = text.trim_start();
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let mut depth = 0;
    let mut names = vec![name(group)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 30, "the tree was found");
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).expect("a folder of the source tree");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let below = path.strip_prefix(root).expect("below the root");
            found.push(Source {
                path: below.to_string_lossy().replace('\\', "/"),
                text: fs::read_to_string(&path).expect("UTF-8"),
            });
        }
    }
}

/// Every breach, one on a line, so that all are seen at once.
fn none(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn every_layer_names_only_those_before_it() {
    let mut breaches = Vec::new();
    for source in sources() {
        let Some((_, allowed)) = ARROWS.iter().find(|(of, _)| source.path.starts_with(of)) else {
            continue;
        };
        let named = source.modules();
        let forbidden = named
            .iter()
            .filter(|name| !allowed.contains(&name.as_str()));
        breaches.extend(forbidden.map(|name| format!("{} names {name}", source.path)));
    }
    none(&breaches);
}

#[test]
fn every_module_has_its_place_among_the_layers() {
    let outside: Vec<String> = sources()
        .into_iter()
        .map(|source| source.path)
        .filter(|path| !ARROWS.iter().any(|(of, _)| path.starts_with(of)))
        .collect();
    assert_eq!(outside, ["lib.rs", "main.rs"]);
}

#[test]
fn the_core_knows_no_runtime_no_network_and_no_log() {
    let mut breaches = Vec::new();
    for source in sources() {
        if source.path.starts_with("core/") {
            let named = NOT_IN_CORE
                .iter()
                .filter(|name| source.begins_a_path_with(name));
            breaches.extend(named.map(|name| format!("{} uses {name}", source.path)));
        }
    }
    none(&breaches);
}

/// Time and randomness are arguments; a hash map's order is neither.
#[test]
fn nothing_in_the_core_depends_on_clocks_or_on_the_order_of_a_hash_map() {
    let mut breaches = Vec::new();
    for source in sources() {
        let code = source.code();
        if !source.path.starts_with("core/") {
            continue;
        }
        for name in [
            "Instant",
            "SystemTime",
            "thread_rng",
            "HashSet",
            "rand::rng",
            "std::net::Tcp",
        ] {
            if code.contains(name) {
                breaches.push(format!("{} has {name}", source.path));
            }
        }
        if code.contains("HashMap") && source.path != HAS_HASH_MAP {
            breaches.push(format!("{} has a HashMap", source.path));
        }
    }
    none(&breaches);
}

#[test]
fn the_stores_hash_map_is_looked_into_by_key_only() {
    let sources = sources();
    let store = sources.iter().find(|source| source.path == HAS_HASH_MAP);
    let code = store.expect("the store").code();
    let uses: BTreeSet<String> = code
        .match_indices("self.winners")
        .filter_map(|(at, name)| {
            let after = &code[at + name.len()..];
            let by_key = ["[", ".get(", ".insert(", ".remove(", ".len(", ".reserve("];
            let walks = !by_key.iter().any(|lawful| after.starts_with(lawful));
            walks.then(|| after.lines().next().unwrap_or_default().to_owned())
        })
        .collect();
    assert_eq!(uses, BTreeSet::new());
    assert_eq!(
        code.matches("HashMap").count(),
        2,
        "its import and its field"
    );
}

#[test]
fn no_actor_names_another() {
    let actors = ["broadcaster", "causality", "peer_link", "store", "view"];
    let mut breaches = Vec::new();
    for source in sources() {
        let Some(file) = source
            .path
            .strip_prefix("actors/")
            .filter(|f| *f != "mod.rs")
        else {
            continue;
        };
        let own = file.split(['/', '.']).next().unwrap_or_default();
        assert!(actors.contains(&own), "{own} is a new actor: name it here");
        for other in actors.iter().filter(|other| **other != own) {
            let code = source.code();
            let paths = [format!("actors::{other}"), format!("super::{other}")];
            if paths.iter().any(|path| code.contains(path)) {
                breaches.push(format!("{} names {other}", source.path));
            }
        }
    }
    none(&breaches);
}

#[test]
fn no_file_is_too_long() {
    let long = sources().into_iter().filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{} has {lines} lines", source.path))
    });
    none(&long.collect::<Vec<_>>());
}

#[test]
fn names_are_found_in_paths_and_in_groups() {
    assert_eq!(first_names("core::id::Key;"), ["core"]);
    assert_eq!(
        first_names("{actors::{store::Store, view}, time, http};"),
        ["actors", "time", "http"]
    );
}
