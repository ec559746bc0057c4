//! Keeps `docs/contract-tests.md` true: the tests that it names exist, and it names them all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// `module::test` for every test function of this crate.
fn tests_that_exist() -> BTreeSet<String> {
    let folder = root().join("tests/node_api");
    let files = fs::read_dir(folder).expect("the folder of this test");
    let mut tests = BTreeSet::new();
    for file in files.map(|file| file.expect("a file").path()) {
        let module = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let source = fs::read_to_string(&file).expect("a source file");
        let mut lines = source.lines();
        while lines.any(|line| line.trim() == "#[test]") {
            let signature = lines.next().expect("a function after its attribute");
            let name = signature
                .trim()
                .strip_prefix("fn ")
                .expect("a test function");
            let name = name.split('(').next().expect("a name");
            tests.insert(format!("{module}::{name}"));
        }
    }
    tests
}

/// Everything in backticks in the rows of the tables that looks like `module::test`.
fn tests_that_are_named() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("docs/contract-tests.md")).expect("the page");
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let quoted = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    let names = quoted.filter(|text| text.contains("::"));
    names.map(str::to_owned).collect()
}

#[test]
fn every_test_named_in_the_table_exists() {
    let existing = tests_that_exist();
    assert!(existing.len() > 50, "the sources are not read rightly");
    let missing: Vec<_> = tests_that_are_named()
        .difference(&existing)
        .cloned()
        .collect();
    assert!(missing.is_empty(), "named but not there: {missing:#?}");
}

#[test]
fn every_test_is_named_in_the_table() {
    let own = |name: &String| name.starts_with("table::");
    let existing: BTreeSet<_> = tests_that_exist().into_iter().filter(|n| !own(n)).collect();
    let missing: Vec<_> = existing
        .difference(&tests_that_are_named())
        .cloned()
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/contract-tests.md: {missing:#?}"
    );
}
