//! `nsrun wait`: until the process that holds a pod has ended, and with which status.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::sys::{Call, SysError, pidfd_wait};
use record::Record;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cli::WaitArgs;
use crate::error::Error;
use crate::state::State;
use crate::sys::{self, ExitInfo};
use crate::view;

/// As long as anybody waits.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How long whoever started the process may take to reap it; then its status is known.
const REAPING: Duration = Duration::from_secs(1);

/// `nsrun wait`
pub(crate) fn wait(arguments: &WaitArgs) -> ExitCode {
    let until = Instant::now() + arguments.timeout.unwrap_or(FOR_EVER);
    record::show(crate::TOOL, &arguments.source, |record| {
        one(record, until, arguments)
    })
}

fn one(record: &Record, until: Instant, arguments: &WaitArgs) -> Result<String, Error> {
    let id = record.id().unwrap_or_default();
    let state = record.get(crate::TOOL).and_then(State::from_json);
    let state =
        state.ok_or_else(|| Error::Failed(format!("{id}: has no namespaces (nsrun up)")))?;
    let state = view::current(&id.parse().map_err(record::Error::Record)?, state);
    let pid = state.holder.pid;
    let unknown = |why: &str| {
        if !arguments.quiet {
            record::report(
                crate::TOOL,
                format_args!("{id}: process {pid} has ended, with a status that {why}"),
            );
        }
        Ok(String::new())
    };
    let Some(pidfd) = state.holder.open()? else {
        return unknown("nobody waited for");
    };
    if !pidfd_wait(
        pidfd.as_fd(),
        until.saturating_duration_since(Instant::now()),
    )? {
        let seconds = arguments.timeout.unwrap_or_default().as_secs_f64();
        return Err(Error::Failed(format!(
            "{id}: is still up after {seconds} s"
        )));
    }
    match status(&pidfd)? {
        Some(status) => Ok(format!("{status}\n")),
        None => unknown("is not told (Linux 6.15 does, once it is reaped)"),
    }
}

/// As of a shell: its own, or 128 and the signal that ended it. The kernel tells others than the parent once it is reaped.
fn status(pidfd: &OwnedFd) -> Result<Option<i32>, SysError> {
    let until = Instant::now() + REAPING;
    // While it is reaped the kernel may know neither of the process nor of its end: the second time it knows.
    for _ in 0..3 {
        match sys::pidfd_exit(pidfd.as_fd()) {
            ExitInfo::Status(status) => return Ok(Some(as_shell(status))),
            ExitInfo::Unknown => return Ok(None),
            ExitInfo::NotReaped => {}
        }
        let left = until.saturating_duration_since(Instant::now());
        if !hangs_up(pidfd.as_fd(), left)? {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Since Linux 6.9 a pidfd hangs up when its process is reaped.
fn hangs_up(pidfd: BorrowedFd<'_>, timeout: Duration) -> Result<bool, SysError> {
    let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::empty())];
    match poll(&mut fds, Timespec::try_from(timeout).ok().as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(errno) => Err(errno).call(|| "poll(pidfd)".into()),
    }
}

/// Of the status of wait(2).
fn as_shell(status: i32) -> i32 {
    match status & 0x7f {
        0 => status >> 8 & 0xff,
        signal => 128 + signal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_status_is_that_of_a_shell() {
        assert_eq!(as_shell(7 << 8), 7);
        assert_eq!(as_shell(15), 143);
        assert_eq!(as_shell(0x80 | 11), 139);
    }

    #[test]
    fn the_status_of_a_reaped_process_is_told_by_a_kernel_that_can() {
        let mut child = Command::new("sh")
            .args(["-c", "read x; exit 7"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pidfd = ::sys::pidfd_open(i32::try_from(child.id()).unwrap()).unwrap();
        let before = sys::pidfd_exit(pidfd.as_fd());
        assert_ne!(before, ExitInfo::Status(7 << 8));
        drop(child.stdin.take());
        child.wait().unwrap();
        let expected = match before {
            ExitInfo::NotReaped => Some(7),
            _ => None,
        };
        assert_eq!(status(&pidfd).unwrap(), expected);
    }
}
