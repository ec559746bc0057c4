//! Which image the tests run, built at most once per test run.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;

use crate::docker;

const VARIABLE: &str = "CAUSET_CONTAINER_IMAGE";
const BUILT: &str = "causet";

/// The image to run; `None`, with the reason printed, where there is no Docker.
///
/// # Panics
/// Where an image was named but Docker does not answer, and where the build fails.
pub(crate) fn name() -> Option<&'static str> {
    static IMAGE: OnceLock<Option<String>> = OnceLock::new();
    IMAGE.get_or_init(find).as_deref()
}

fn find() -> Option<String> {
    let named = env::var(VARIABLE).ok().filter(|name| !name.is_empty());
    if !docker::is_available() {
        assert!(
            named.is_none(),
            "{VARIABLE} is set, but Docker does not answer"
        );
        // Past the test harness, which keeps what a passing test prints to itself.
        let _ = writeln!(
            io::stderr(),
            "skipped: there is no Docker here (`docker version` fails)"
        );
        return None;
    }
    docker::sweep();
    Some(named.unwrap_or_else(|| {
        build_once();
        BUILT.to_owned()
    }))
}

/// Builds the image, unless another process of the same test run has; others wait meanwhile.
fn build_once() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(directory.join("image.lock")).expect("target/tmp is writable");
    lock.lock().expect("a file in target/tmp can be locked");
    let marker = directory.join("image.built");
    let run = env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string());
    if fs::read_to_string(&marker).is_ok_and(|built_by| built_by == run) {
        return;
    }
    println!("building the image {BUILT} ({VARIABLE} names another)");
    docker::must(&["build", "--tag", BUILT, env!("CARGO_MANIFEST_DIR")]);
    fs::write(&marker, run).expect("target/tmp is writable");
}
