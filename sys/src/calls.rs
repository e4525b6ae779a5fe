//! One function per system call.
#![expect(
    unsafe_code,
    reason = "clone3, _exit, close_range, the nsfs ioctl and a descriptor by its number have no safe wrapper"
)]

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::{Call, SysError};

/// Holds on to process `pid`, so that the number cannot come to mean another.
///
/// pidfd_open(2), Linux 5.3. The descriptor is close-on-exec.
///
/// # Errors
/// `ESRCH`: it is gone (or `pid` is no process id at all).
pub fn pidfd_open(pid: i32) -> Result<OwnedFd, SysError> {
    let call = || format!("pidfd_open({pid})");
    let pid = (pid > 0)
        .then(|| Pid::from_raw(pid))
        .flatten()
        .ok_or(Errno::ESRCH)
        .call(call)?;
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).call(call)
}

/// Sends `signal` to the process behind `pidfd`.
///
/// pidfd_send_signal(2), Linux 5.1.
///
/// # Errors
/// `ESRCH`: it is gone. `EPERM`: it is not ours. `EINVAL`: no such signal.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), SysError> {
    let call = || format!("pidfd_send_signal({signal})");
    let named = Signal::from_named_raw(signal)
        .ok_or(Errno::EINVAL)
        .call(call)?;
    rustix::process::pidfd_send_signal(pidfd, named).call(call)
}

/// Waits until the process behind `pidfd` is gone, at most for `timeout`; true when it is.
///
/// A pidfd polls readable when its process has ended, reaped or not; pidfd_open(2).
///
/// # Errors
/// What poll(2) answers, `EINTR` excepted.
pub fn pidfd_wait(pidfd: BorrowedFd<'_>, timeout: Duration) -> Result<bool, SysError> {
    let end = Instant::now() + timeout;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
        match poll(&mut fds, left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(SysError::new("poll(pidfd)", errno)),
        }
    }
}

/// Marks every descriptor from `first` up close-on-exec: nothing the caller had open reaches CMD.
///
/// close_range(2) with `CLOSE_RANGE_CLOEXEC`, Linux 5.11; before that, /proc/self/fd one by one.
///
/// # Errors
/// What the kernel answers; `ENOENT` when it is older than 5.11 and no /proc is mounted.
pub fn close_on_exec_from(first: u32) -> Result<(), SysError> {
    match close_range_cloexec(first) {
        Ok(()) => Ok(()),
        Err(Errno::ENOSYS | Errno::EINVAL) => close_on_exec_by_proc(first),
        Err(errno) => Err(SysError::new(format!("close_range({first}, ~0)"), errno)),
    }
}

/// Another descriptor of what the caller has open as `fd`, close-on-exec; fcntl(2), F_DUPFD_CLOEXEC.
///
/// # Errors
/// `EBADF`: nothing is open there.
pub fn duplicate(fd: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: fcntl takes integers here; a number that is no descriptor is an error and nothing else.
    let answer = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    let new = Errno::result(answer)?;
    // SAFETY: the kernel has just given it to us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// close_range(2) with `CLOSE_RANGE_CLOEXEC`, Linux 5.11, and nothing in its place.
///
/// # Errors
/// `ENOSYS`, `EINVAL`: the kernel is older.
pub fn close_range_cloexec(first: u32) -> Result<(), Errno> {
    // SAFETY: close_range only sets a flag on descriptors here and touches no memory of ours.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(answer).map(drop)
}

/// close_range(2)'s work on kernels before 5.11.
fn close_on_exec_by_proc(first: u32) -> Result<(), SysError> {
    let list = std::fs::read_dir("/proc/self/fd").call(|| "opendir(/proc/self/fd)".into())?;
    for entry in list {
        let number = entry
            .call(|| "getdents(/proc/self/fd)".into())?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok());
        if let Some(fd) = number.filter(|&fd| u32::try_from(fd).is_ok_and(|fd| fd >= first)) {
            // SAFETY: F_SETFD takes an integer and touches no memory; a descriptor that was closed
            // meanwhile (the one of the listing itself) answers EBADF, which is as good.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// `NS_GET_NSTYPE` of include/uapi/linux/nsfs.h: `_IO(0xb7, 0x3)`.
const NS_GET_NSTYPE: libc::c_ulong = 0xb703;

/// Which kind of namespace `namespace` is, as its `CLONE_NEW…` bit.
///
/// ioctl_nsfs(2), Linux 4.11.
///
/// # Errors
/// `ENOTTY`: it is no namespace.
pub fn ns_type(namespace: BorrowedFd<'_>) -> Result<i32, SysError> {
    // SAFETY: this request has no argument; the descriptor is open for as long as it is borrowed.
    let answer = unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_NSTYPE as _) };
    Errno::result(answer).call(|| "ioctl(NS_GET_NSTYPE)".into())
}

/// `CLONE_INTO_CGROUP` of linux/sched.h, Linux 5.7.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// fork(2) into the new namespaces of `flags` and into the cgroup v2 directory `group`: None in the child, its pid in the parent.
///
/// clone3(2), Linux 5.3. Only for a process with one thread.
///
/// # Errors
/// As clone(2).
pub fn clone3(flags: i32, group: Option<BorrowedFd<'_>>) -> Result<Option<i32>, Errno> {
    // SAFETY: all-zero is what clone3 documents as "not given" for every field.
    let mut arguments: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
    arguments.flags = u64::from(flags.cast_unsigned());
    if flags & libc::CLONE_PARENT == 0 {
        // A sibling tells our parent in the way we do, and may not choose.
        arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    }
    if let Some(group) = group {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
    }
    // SAFETY: the flags never hold CLONE_VM, so the child has its own copy of the memory and returns on its own copy of
    // the stack, as after fork(2). Every tool has one thread by then, so no lock is held by a thread that the child lacks. The
    // structure lives through the call and its size is passed.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    };
    let pid = Errno::result(answer)?;
    // A pid fits an int by the kernel's own limit (PID_MAX_LIMIT, 2^22).
    Ok((pid != 0).then_some(pid as i32))
}

/// Ends this process at once: no destructor, no buffer of the parent is written twice.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit(2) takes an integer and does not return; nothing of Rust's runs after it.
    unsafe { libc::_exit(i32::from(status)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::process::{Command, Stdio};

    #[test]
    fn a_pidfd_outlives_its_process_and_says_so() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let pidfd = pidfd_open(pid).unwrap();
        assert!(!pidfd_wait(pidfd.as_fd(), Duration::ZERO).unwrap());
        pidfd_send_signal(pidfd.as_fd(), libc::SIGTERM).unwrap();
        assert!(pidfd_wait(pidfd.as_fd(), Duration::from_secs(10)).unwrap());
        child.wait().unwrap();
        let gone = pidfd_send_signal(pidfd.as_fd(), libc::SIGTERM).unwrap_err();
        assert_eq!(gone.errno, Errno::ESRCH);
    }

    #[test]
    fn no_pid_below_one_is_opened() {
        for pid in [0, -1, i32::MIN] {
            assert_eq!(pidfd_open(pid).unwrap_err().errno, Errno::ESRCH);
        }
    }

    #[test]
    fn a_namespace_says_its_kind_and_a_file_that_it_is_none() {
        let net = File::open("/proc/self/ns/net").unwrap();
        assert_eq!(ns_type(net.as_fd()).unwrap(), libc::CLONE_NEWNET);
        let file = File::open("/proc/self/status").unwrap();
        assert_eq!(ns_type(file.as_fd()).unwrap_err().errno, Errno::ENOTTY);
    }

    #[test]
    fn descriptors_from_a_number_up_do_not_survive_exec() {
        for close in [close_on_exec_from, close_on_exec_by_proc] {
            let file = File::open("/proc/self/status").unwrap();
            let fd = rustix::io::fcntl_dupfd_cloexec(&file, 100).unwrap();
            rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::empty()).unwrap();
            close(100).unwrap();
            let flags = rustix::io::fcntl_getfd(&fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }
}
