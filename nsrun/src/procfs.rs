//! What /proc says of processes; proc(5).

use std::ffi::OsString;
use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use record::Namespace;
use rustix::fs::{CWD, Mode, OFlags, openat};
use sys::{Call, SysError, ToErrno};

/// Opens /proc itself: it leads to the same after a mount namespace or a root was entered.
///
/// # Errors
/// No /proc.
pub(crate) fn open() -> Result<OwnedFd, SysError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, "/proc", flags, Mode::empty()).call(|| "open(/proc)".into())
}

/// Writes the file `path` of the /proc that was opened, in one piece.
pub(crate) fn write(proc: BorrowedFd<'_>, path: &str, text: &str) -> Result<(), Errno> {
    let file = openat(proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    let file = file.map_err(|errno| errno.to_errno())?;
    nix::unistd::write(file, text.as_bytes()).map(drop)
}

/// Device and inode of a namespace: the same for two processes as long as both are in it.
pub(crate) type Identity = (u64, u64);

/// Every process there is, in no order.
///
/// # Errors
/// No /proc.
pub(crate) fn pids() -> Result<Vec<i32>, SysError> {
    let list = fs::read_dir("/proc").call(|| "opendir(/proc)".into())?;
    let number =
        |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    Ok(list.filter_map(number).collect())
}

/// The namespace of `kind` that `pid` is in. None: it has ended, or we may not look.
pub(crate) fn namespace(pid: i32, kind: Namespace) -> Option<Identity> {
    identity(format!("/proc/{pid}/ns/{}", kind.proc_name()))
}

/// Of the namespace file that `path` leads to.
pub(crate) fn identity(path: impl AsRef<Path>) -> Option<Identity> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// The variables with which `pid` was started; proc_pid_environ(5).
///
/// # Errors
/// It is gone, or may not be looked at.
pub(crate) fn environment(pid: i32) -> Result<Vec<(OsString, OsString)>, SysError> {
    let path = format!("/proc/{pid}/environ");
    let text = fs::read(&path).call(|| format!("open({path})"))?;
    let variable = |word: &[u8]| {
        let at = word.iter().position(|&byte| byte == b'=')?;
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((text(&word[..at]), text(&word[at + 1..])))
    };
    Ok(text.split(|&byte| byte == 0).filter_map(variable).collect())
}

/// Whether `pid` has become another program since it was forked; `PF_FORKNOEXEC` of the kernel says that it has not. None: it
/// is gone.
pub(crate) fn has_execed(pid: i32) -> Option<bool> {
    const FORKED_AND_NOT_EXECED: u64 = 0x40;
    let flags: u64 = field(pid, 6)?.parse().ok()?;
    Some(flags & FORKED_AND_NOT_EXECED == 0)
}

/// The process that `pid` was started by, or was handed to.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    field(pid, 1)?.parse().ok()
}

/// Of /proc/PID/stat, counted from 0 behind the name; proc_pid_stat(5).
fn field(pid: i32, number: usize) -> Option<String> {
    let stat = sys::read_kernel(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name in parentheses may hold blanks and parentheses of its own.
    let behind = &stat[stat.rfind(')')? + 1..];
    behind
        .split_ascii_whitespace()
        .nth(number)
        .map(str::to_owned)
}

/// How long ago a process began, by its start time in clock ticks after boot. None: no /proc.
pub(crate) fn age(starttime: u64) -> Option<Duration> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    // USER_HZ, which is 100 wherever Linux runs the tools.
    let began = Duration::from_millis(starttime.checked_mul(10)?);
    Some(
        Duration::try_from_secs_f64(uptime)
            .ok()?
            .saturating_sub(began),
    )
}

/// The command line as ps(1) shows it; the name in brackets where there is none.
pub(crate) fn command(pid: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = line
        .split(|&byte| byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    let text = words.join(" ").trim().to_owned();
    if !text.is_empty() {
        return Some(text.chars().map(printable).collect());
    }
    Some(format!(
        "[{}]",
        fs::read_to_string(format!("/proc/{pid}/comm"))
            .ok()?
            .trim_end()
    ))
}

/// No process can act on the reader's terminal by its name.
pub(crate) fn printable(c: char) -> char {
    if c.is_control() { '?' } else { c }
}

/// How a process takes signals, and where it stands in its pid namespaces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    blocked: u64,
    ignored: u64,
    caught: u64,
    pub(crate) parent: i32,
    /// Effective.
    pub(crate) uid: u32,
    /// In each pid namespace from ours to its own.
    pub(crate) pids: Vec<i32>,
}

impl Status {
    /// Of `pid`; None when it has ended.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let status = sys::read_kernel(format!("/proc/{pid}/status")).ok()?;
        Some(Self::parse(&String::from_utf8_lossy(&status)))
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut status = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let mask = || u64::from_str_radix(value.trim(), 16).unwrap_or_default();
            match name {
                "SigBlk" => status.blocked = mask(),
                "SigIgn" => status.ignored = mask(),
                "SigCgt" => status.caught = mask(),
                "PPid" => status.parent = value.trim().parse().unwrap_or_default(),
                "Uid" => {
                    let effective = value.split_ascii_whitespace().nth(1);
                    status.uid = effective
                        .and_then(|uid| uid.parse().ok())
                        .unwrap_or_default();
                }
                "NSpid" => {
                    status.pids = value
                        .split_ascii_whitespace()
                        .filter_map(|pid| pid.parse().ok())
                        .collect()
                }
                _ => {}
            }
        }
        status
    }

    /// Whether `signal`, whose default is to end the process, can do anything at all: not if it is ignored, and for the
    /// process 1 of a pid namespace not if it has no handler; pid_namespaces(7).
    pub(crate) fn reacts_to(&self, signal: i32) -> bool {
        let has = |mask: u64| mask >> (signal - 1) & 1 == 1;
        let is_init = self.pids.len() > 1 && self.pids.last() == Some(&1);
        has(self.caught) || has(self.blocked) || !(has(self.ignored) || is_init)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_without_a_handler_does_not_react() {
        let status = |caught: u64, ignored: u64, blocked: u64, pids: &str| {
            Status::parse(&format!(
                "Name:\tx\nNSpid:\t{pids}\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
            ))
        };
        let term = 1 << (libc::SIGTERM - 1);
        for (expected, status) in [
            (true, status(0, 0, 0, "42")),
            (true, status(0, 0, 0, "42\t7")),
            (false, status(0, 0, 0, "42\t1")),
            (true, status(term, 0, 0, "42\t1")),
            (true, status(0, 0, term, "42\t1")),
            (false, status(0, term, 0, "42")),
        ] {
            assert_eq!(status.reacts_to(libc::SIGTERM), expected, "{status:?}");
        }
    }

    #[test]
    fn this_process_is_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(pids().unwrap().contains(&own));
        assert_eq!(
            namespace(own, Namespace::Network),
            identity("/proc/self/ns/net")
        );
        assert_eq!(parent(own), Some(nix::unistd::getppid().as_raw()));
        assert!(command(own).unwrap().contains("nsrun"));
        let status = Status::of(own).unwrap();
        assert_eq!(status.pids.first(), Some(&own));
        assert_eq!(status.parent, nix::unistd::getppid().as_raw());
        assert_eq!(status.uid, nix::unistd::geteuid().as_raw());
    }
}
