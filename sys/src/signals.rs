//! Dispositions of signals, and the one that Rust's runtime changes before `main`.
#![expect(
    unsafe_code,
    reason = "sigaction that only reads, sigwaitinfo and sets of all signals have no safe wrapper; .init_array runs before main"
)]

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::signal::SigSet;

/// Was SIGPIPE ignored when this process began? Rust's runtime ignores it before `main`, so this is asked earlier.
static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// Which signals were blocked when this process began? Rust's runtime installs a handler before `main`, and for the first one
/// musl unblocks two signals that it uses itself, 33 and 34.
static MASK: AtomicU64 = AtomicU64::new(0);

/// Was stdout closed when this process began? Rust's runtime opens /dev/null in its place, where a record would be lost silently.
static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Run by the C library before Rust's runtime begins.
// SAFETY: an entry of .init_array is a pointer to a function that takes nothing we read; the C library's own
// initialisation is done by then, and the function makes three system calls and three atomic stores.
#[used]
#[unsafe(link_section = ".init_array")]
static REMEMBER_SIGNALS: extern "C" fn() = remember_signals;

extern "C" fn remember_signals() {
    SIGPIPE_WAS_IGNORED.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
    let mut mask = 0_u64;
    // SAFETY: without a new set the kernel writes the present one, of the eight bytes that are named, and changes nothing.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_BLOCK,
            std::ptr::null::<u64>(),
            &raw mut mask,
            size_of::<u64>(),
        )
    };
    MASK.store(mask, Ordering::Relaxed);
    // SAFETY: fcntl takes two integers here.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    STDOUT_WAS_CLOSED.store(flags == -1, Ordering::Relaxed);
}

/// Whether the caller of this program had closed its stdout.
#[must_use]
pub fn stdout_was_closed() -> bool {
    STDOUT_WAS_CLOSED.load(Ordering::Relaxed)
}

/// The signals that the caller of this program had blocked, a bit for each from 1 on.
#[must_use]
pub fn callers_mask() -> u64 {
    MASK.load(Ordering::Relaxed)
}

/// Gives SIGPIPE the disposition that the caller of this program had: CMD finds it as if we had not been there.
pub fn restore_sigpipe() {
    set_disposition(libc::SIGPIPE, SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed));
}

/// Blocks the signals whose bit is set, from 1 on, and no others; rt_sigprocmask(2). A C library's own function leaves out the
/// signals that it keeps for itself.
///
/// # Errors
/// None that a kernel has.
pub fn set_mask(mask: u64) -> Result<(), Errno> {
    // SAFETY: the kernel reads one set, of the eight bytes that are named, and writes none.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            std::ptr::null_mut::<u64>(),
            size_of::<u64>(),
        )
    };
    Errno::result(answer).map(drop)
}

/// Whether `signal` is ignored now; sigaction(2).
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action the kernel only writes the present one into `old`, which is one struct sigaction.
    // Zeroed is a valid value of it, so it may be read whatever the answer was.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr());
        old.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Gives `signal` its default disposition, or has it ignored; signal(2).
pub fn set_disposition(signal: i32, ignored: bool) {
    let handler = if ignored {
        libc::SIG_IGN
    } else {
        libc::SIG_DFL
    };
    // SAFETY: neither of the two runs code of ours. Numbers that are no signals or cannot be changed answer EINVAL.
    unsafe { libc::signal(signal, handler) };
}

/// Gives every signal its default disposition: those too that a C library keeps for itself and will not touch, but that a
/// caller may have left ignored.
///
/// rt_sigaction(2); what cannot be changed answers `EINVAL`.
pub fn set_defaults() {
    /// Bytes of a set of signals, as the kernel has it.
    const SET: usize = 8;
    // The kernel's struct sigaction, whose order is another on each processor: zero is SIG_DFL, no flag, an empty mask.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel reads a struct sigaction, which has 32 bytes at most, and with a null pointer writes none.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                SET,
            )
        };
    }
}

/// A signal that was taken, and who sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signal {
    /// `si_signo`
    pub(crate) number: i32,
    /// `si_code`: above 0 the kernel sent it, else a process.
    pub(crate) code: i32,
}

/// Every signal, those too that a C library keeps for itself and leaves out of its sets: musl 34, which is glibc's SIGRTMIN.
#[must_use]
pub fn every_signal() -> SigSet {
    // SAFETY: a set of signals is an array of bits, and any value of it is one.
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        set.as_mut_ptr().write_bytes(u8::MAX, 1);
        SigSet::from_sigset_t_unchecked(set.assume_init())
    }
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
pub fn kill(pid: i32, signal: i32) {
    // SAFETY: kill takes two integers. A child that has ended and was not waited for takes signals and ignores them.
    unsafe { libc::kill(pid, signal) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disposition_is_read_as_it_was_set() {
        assert!(!is_ignored(libc::SIGUSR2));
        set_disposition(libc::SIGUSR2, true);
        assert!(is_ignored(libc::SIGUSR2));
        set_disposition(libc::SIGUSR2, false);
        assert!(!is_ignored(libc::SIGUSR2));
    }
}
