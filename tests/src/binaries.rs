//! Which files are tested.

use std::env;
use std::path::{Path, PathBuf};

/// The tools, in the order of the record's table.
pub(crate) const TOOLS: [&str; 6] = ["pause", "mkbox", "nsrun", "cgset", "netwire", "podspec"];

/// The directory of the tools under test: `$CHROOT0_BIN`, else where cargo built the test itself.
///
/// # Panics
/// When one is missing: a test that tests nothing is no test.
pub(crate) fn tools() -> PathBuf {
    let chosen = env::var_os("CHROOT0_BIN").filter(|dir| !dir.is_empty());
    let dir = chosen.map_or_else(built, PathBuf::from);
    let missing = TOOLS.iter().find(|tool| !dir.join(tool).is_file());
    if let Some(tool) = missing {
        panic!(
            "{} is missing (cargo build --workspace first, or set CHROOT0_BIN)",
            dir.join(tool).display()
        );
    }
    dir.canonicalize().expect("the directory of the tools")
}

/// The helper that makes nodes; cargo builds it with every test of this crate.
pub(crate) fn node() -> PathBuf {
    built().join("node")
}

/// `scripts` of the repository that this crate was built in.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts")
}

/// `target/…/debug` of `target/…/debug/deps/pipe-0123456789abcdef`.
fn built() -> PathBuf {
    let own = env::current_exe().expect("/proc/self/exe");
    let deps = own.parent().expect("a directory holds the test");
    if deps.ends_with("deps") {
        deps.parent().expect("deps is in a directory").to_owned()
    } else {
        deps.to_owned()
    }
}
