//! System V memory, message queues, the host's name.
#![expect(unsafe_code, reason = "System V IPC has no safe wrapper")]

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{gethostname, sethostname};

use crate::{Attempt, Report, Why, number, text};

/// `attack ipc KEY HOSTNAME NAME`: the key of memory and the name of a file in /dev/shm that somebody else made.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    report.line(
        "shared-memory",
        memory(number::<u32>(arguments, 0).cast_signed()),
    );
    report.line("hostname", hostname(text(arguments, 1)));
    report.line(
        "shm-file",
        fs::read_to_string(Path::new("/dev/shm").join(text(arguments, 2))).why(),
    );
}

fn memory(key: i32) -> Attempt {
    // SAFETY: three integers; without IPC_CREAT nothing is made.
    let id = unsafe { libc::shmget(key, 0, 0) };
    Errno::result(id).why().map(|id| format!("segment {id}"))
}

/// The name is the caller's own, so that nothing changes where it can be set.
fn hostname(callers: &str) -> Attempt {
    let own = gethostname().why()?;
    let own = own.to_string_lossy();
    if own != callers {
        return Err(format!("it is called {own}"));
    }
    sethostname(callers).why()?;
    Ok("it is the caller's, and can be set".into())
}
