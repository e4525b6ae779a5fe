//! The process that stays while CMD runs: it hands signals on, stops as CMD stops, and ends as CMD ends.

use ::sys::{Call, SysError};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getsid};

use crate::signals::{self, Reaction};
use crate::sys;

/// Waits until CMD has ended; its status, 128+N if signal N ended it.
///
/// The kernel does not let a terminal stop PID 1 of a namespace, but it stops whatever that one runs: then we stop for both, or
/// the shell would never have its terminal back.
pub(crate) fn wait(child: Pid, is_pid_1: bool) -> Result<u8, SysError> {
    let all = sys::every_signal();
    let mut interrupted = false;
    let leads_session = getsid(None).is_ok_and(|session| session == getpid());
    loop {
        let signal = match sys::sigwaitinfo(&all) {
            Err(Errno::EINTR) => continue,
            answer => answer.call(|| "sigwaitinfo()".into())?,
        };
        match signals::reaction(signal, leads_session) {
            Reaction::Look => {
                if let Some(status) = look(child, Stops::Followed)? {
                    if interrupted && status == INTERRUPTED {
                        die_interrupted(getpid().as_raw());
                    }
                    return Ok(status);
                }
            }
            // The pid is the child's for as long as it has not been waited for.
            Reaction::Forward => sys::kill(child.as_raw(), signal.number),
            Reaction::Leave => {
                interrupted |= signal.number == libc::SIGINT;
                let stops = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];
                if let Some(&signal) = stops.iter().find(|stop| **stop as i32 == signal.number)
                    && is_pid_1
                {
                    stop(signal)?;
                }
            }
        }
    }
}

/// The status of a command that SIGINT ended.
pub(crate) const INTERRUPTED: u8 = 128 + libc::SIGINT as u8;

/// After Ctrl-C a shell leaves its loop or script only if what it waits for was ended by the signal as well. `whom`: us, or 0
/// for our whole group.
pub(crate) fn die_interrupted(whom: i32) {
    ::sys::set_disposition(libc::SIGINT, false);
    sys::kill(whom, libc::SIGINT);
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
}

/// What becomes of this process when CMD is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stops {
    /// It stops too.
    Followed,
    /// CMD has a terminal of its own, and this process one that nobody else is to wait for.
    Ignored,
}

/// Takes the changes of all children, some of whom this process may have been handed by who exec'd it.
pub(crate) fn look(child: Pid, stops: Stops) -> Result<Option<u8>, SysError> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == child => return Ok(Some(status as u8)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                return Ok(Some(128 + signal as u8));
            }
            Ok(WaitStatus::Stopped(pid, signal)) if pid == child && stops == Stops::Followed => {
                stop(signal)?;
            }
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(SysError::new("waitpid()", errno)),
        }
    }
}

/// Stops as CMD was stopped, so that the shell sees it; goes on here when it is continued, as CMD is.
pub(crate) fn stop(signal: Signal) -> Result<(), SysError> {
    let call = || format!("kill(self, {signal})");
    // Signals for stopping by hand have a default that can be asked for; SIGSTOP cannot be blocked.
    if signal != Signal::SIGSTOP {
        ::sys::set_disposition(signal as i32, false);
    }
    let mut set = SigSet::empty();
    set.add(signal);
    nix::sys::signal::kill(getpid(), signal).call(call)?;
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None).call(call)?;
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).call(call)
}
