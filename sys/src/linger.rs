//! A child that stays for what the kernel makes its caller wait for, so that nobody else has to.
#![expect(
    unsafe_code,
    reason = "fork, close_range and _exit have no safe wrapper"
)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use crate::{Call, SysError};

/// What such a child is called in comm, proc_pid_comm(5).
pub const LINGERS: &str = "chroot0-lingers";

/// A child that was left behind, or still has to say that it cannot do its work.
#[derive(Debug)]
pub struct Lingering(Pid);

/// Does `work` in a child that may outlive us: it has let go of stdin, stdout and stderr, and of every descriptor but that of
/// `kept`, so it holds neither the pipe nor a lock. That one it closes as its last act, also if that takes long.
///
/// `work` says whether it went. Only for a process with one thread, as every tool's is by then.
///
/// # Errors
/// `EAGAIN`, `ENOMEM`: no child.
pub fn linger<T: AsFd>(
    kept: &mut T,
    work: impl FnOnce(&mut T) -> bool,
) -> Result<Lingering, SysError> {
    // SAFETY: this process has one thread (the contract above), so no lock is held by a thread that the child lacks.
    match unsafe { fork() }.call(|| "fork()".into())? {
        ForkResult::Parent { child } => Ok(Lingering(child)),
        ForkResult::Child => {
            let _ = nix::sys::prctl::set_name(c"chroot0-lingers");
            close_all_but(kept.as_fd());
            let status = i32::from(!work(kept));
            // SAFETY: _exit runs no code of ours; what is buffered is the parent's.
            unsafe { libc::_exit(status) }
        }
    }
}

impl Lingering {
    /// Whether it has ended, without what it should do.
    ///
    /// Whoever asks no more leaves it to whom orphans are left to.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        match waitpid(self.0, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => false,
            Ok(WaitStatus::Exited(_, status)) => status != 0,
            _ => true,
        }
    }

    /// Waits for its end.
    pub fn wait(&self) {
        while waitpid(self.0, None) == Err(Errno::EINTR) {}
    }
}

/// Before Linux 5.9 they stay: nothing is wrong then but the wait.
fn close_all_but(kept: BorrowedFd<'_>) {
    let Ok(kept) = u32::try_from(kept.as_raw_fd()) else {
        return;
    };
    let below = kept.checked_sub(1).map(|last| (0, last));
    for (first, last) in below.into_iter().chain([(kept + 1, u32::MAX)]) {
        // SAFETY: what is closed belongs to objects that the child never touches again, as it ends without dropping any.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write, pipe};
    use std::os::unix::net::UnixStream;

    #[test]
    fn it_holds_what_it_keeps_and_nothing_else() {
        let (mut ours, mut kept) = UnixStream::pair().unwrap();
        let (mut let_go, other) = pipe().unwrap();
        let child = linger(&mut kept, |kept| kept.read_exact(&mut [0]).is_ok()).unwrap();
        drop((other, kept));
        // Ends while the child runs, as nobody else has the other end.
        let_go.read_to_end(&mut Vec::new()).unwrap();
        assert!(!child.has_failed());
        ours.write_all(b"!").unwrap();
        child.wait();
        assert_eq!(ours.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn one_that_cannot_says_so() {
        let (mut reader, _writer) = pipe().unwrap();
        let child = linger(&mut reader, |_| false).unwrap();
        while !child.has_failed() {
            std::thread::yield_now();
        }
    }
}
