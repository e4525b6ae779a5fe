//! The system calls that cgset needs and nobody wraps.
#![expect(
    unsafe_code,
    reason = "clone3 has no safe wrapper, as a child could meet another thread's lock; nor has sigwaitinfo"
)]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

/// A signal that was taken, and who sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signal {
    /// `si_signo`
    pub(crate) number: i32,
    /// `si_code`: above 0 the kernel sent it, else a process.
    pub(crate) code: i32,
}

/// Waits for one of the (blocked) signals of `set`; sigwaitinfo(2).
pub(crate) fn sigwaitinfo(set: &SigSet) -> Result<Signal, Errno> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: both pointers are to live values of their types; zeroed is a valid siginfo_t.
    unsafe {
        Errno::result(libc::sigwaitinfo(set.as_ref(), info.as_mut_ptr()))?;
        let info = info.assume_init();
        Ok(Signal {
            number: info.si_signo,
            code: info.si_code,
        })
    }
}

/// Sends `signal`, a real-time one too, to our child `pid`; kill(2).
pub(crate) fn kill(pid: Pid, signal: i32) {
    // SAFETY: kill takes two integers. A child that has ended and was not waited for takes signals and ignores them.
    unsafe { libc::kill(pid.as_raw(), signal) };
}

/// A copy of this process, born in the v2 group `group` if one is given. None: we are the child.
///
/// clone3(2) with `CLONE_INTO_CGROUP`, Linux 5.7; fork(2) without a group. Only for a process with one thread, which cgset is.
///
/// # Errors
/// `ENOSYS`, `E2BIG` or `EINVAL` where the kernel or a filter has no such birth; as for writing into cgroup.procs.
pub(crate) fn fork_into(group: Option<BorrowedFd<'_>>) -> Result<Option<Pid>, Errno> {
    /// linux/sched.h
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let answer = match group {
        // SAFETY: this process has one thread, so no lock is held by a thread that the child lacks.
        None => libc::c_long::from(unsafe { libc::fork() }),
        Some(group) => {
            // SAFETY: all-zero is what clone3 documents as "not given" for every field.
            let mut arguments: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
            arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
            arguments.flags = CLONE_INTO_CGROUP;
            arguments.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
            // SAFETY: without CLONE_VM the child has its own copy of memory and stack, as after fork(2), and there is one
            // thread. The structure lives through the call and its size is passed.
            unsafe {
                libc::syscall(
                    libc::SYS_clone3,
                    &raw mut arguments,
                    size_of::<libc::clone_args>(),
                )
            }
        }
    };
    let pid = Errno::result(answer)?;
    // A pid fits an int by the kernel's own limit (PID_MAX_LIMIT, 2^22).
    Ok(i32::try_from(pid)
        .ok()
        .filter(|&pid| pid > 0)
        .map(Pid::from_raw))
}

/// Ends this process at once: no destructor runs, and no buffer of the parent is written twice.
pub(crate) fn exit_now(status: u8) -> ! {
    // SAFETY: _exit(2) takes an integer and does not return; nothing of Rust's runs after it.
    unsafe { libc::_exit(i32::from(status)) }
}
