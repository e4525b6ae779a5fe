//! The process that stays while CMD runs: it hands signals on, stops as CMD stops, and ends as CMD ends.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getsid};

use crate::signals::{self, every_signal, kill, sigwaitinfo};
use crate::{Call, SysError, callers_mask, is_ignored, restore_sigpipe, set_disposition, set_mask};

/// What CMD shall find as it was: the mask, and the two dispositions that are changed on the way.
#[derive(Debug)]
pub struct Callers {
    sigchld_ignored: bool,
}

impl Callers {
    /// Nothing was changed but what Rust's runtime changes.
    #[must_use]
    pub fn unchanged() -> Self {
        Self {
            sigchld_ignored: false,
        }
    }

    /// Blocks every signal, so that none is lost between here and the waiting, and makes children waitable: when the
    /// caller ignores SIGCHLD the kernel would reap CMD itself and its status with it.
    ///
    /// # Errors
    /// None that a kernel has.
    pub fn block() -> Result<Self, Errno> {
        set_mask(u64::MAX)?;
        let sigchld_ignored = is_ignored(libc::SIGCHLD);
        if sigchld_ignored {
            set_disposition(libc::SIGCHLD, false);
        }
        Ok(Self { sigchld_ignored })
    }

    /// Gives CMD what the caller had; the last thing before exec.
    ///
    /// # Errors
    /// None that a kernel has.
    pub fn restore(&self) -> Result<(), Errno> {
        restore_sigpipe();
        if self.sigchld_ignored {
            set_disposition(libc::SIGCHLD, true);
        }
        set_mask(callers_mask())
    }
}

/// How CMD has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    status: u8,
    /// By the key that interrupts, of which the terminal told us as well.
    is_interrupted: bool,
}

impl Ended {
    /// Its status, 128+N if signal N ended it. Does not come back if Ctrl-C did: the last thing that is asked.
    #[must_use]
    pub fn status(self) -> u8 {
        if self.is_interrupted {
            die_interrupted(getpid().as_raw());
        }
        self.status
    }
}

/// Waits until CMD has ended, which is `child`, while all signals are blocked.
///
/// The kernel does not let a terminal stop PID 1 of a namespace, but it stops whatever that one runs: then we stop for both, or
/// the shell would never have its terminal back.
///
/// # Errors
/// What waitpid(2) answers.
pub fn wait(child: Pid, is_pid_1: bool) -> Result<Ended, SysError> {
    let all = every_signal();
    let mut interrupted = false;
    let leads_session = getsid(None).is_ok_and(|session| session == getpid());
    loop {
        let signal = match sigwaitinfo(&all) {
            Err(Errno::EINTR) => continue,
            answer => answer.call(|| "sigwaitinfo()".into())?,
        };
        match reaction(signal, leads_session) {
            Reaction::Look => {
                if let Some(status) = look(child, Stops::Followed)? {
                    let is_interrupted = interrupted && status == INTERRUPTED;
                    return Ok(Ended {
                        status,
                        is_interrupted,
                    });
                }
            }
            // The pid is the child's for as long as it has not been waited for.
            Reaction::Forward => kill(child.as_raw(), signal.number),
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
pub const INTERRUPTED: u8 = 128 + libc::SIGINT as u8;

/// After Ctrl-C a shell leaves its loop or script only if what it waits for was ended by the signal as well. `whom`: us, or 0
/// for our whole group.
pub fn die_interrupted(whom: i32) {
    set_disposition(libc::SIGINT, false);
    kill(whom, libc::SIGINT);
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
}

/// What becomes of this process when CMD is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stops {
    /// It stops too.
    Followed,
    /// CMD has a terminal of its own, and this process one that nobody else is to wait for.
    Ignored,
}

/// Takes the changes of all children, some of whom this process may have been handed by who exec'd it: the status of CMD.
///
/// # Errors
/// What waitpid(2) answers.
pub fn look(child: Pid, stops: Stops) -> Result<Option<u8>, SysError> {
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
///
/// # Errors
/// None that a kernel has.
pub fn stop(signal: Signal) -> Result<(), SysError> {
    let call = || format!("kill(self, {signal})");
    // Signals for stopping by hand have a default that can be asked for; SIGSTOP cannot be blocked.
    if signal != Signal::SIGSTOP {
        set_disposition(signal as i32, false);
    }
    let mut set = SigSet::empty();
    set.add(signal);
    nix::sys::signal::kill(getpid(), signal).call(call)?;
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None).call(call)?;
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).call(call)
}

/// What the waiting parent does about a signal it took.
#[derive(Debug, PartialEq, Eq)]
enum Reaction {
    /// Some child changed its state.
    Look,
    /// CMD gets it.
    Forward,
    /// The terminal sent it to the whole foreground group, CMD included.
    Leave,
}

/// A terminal sends to its foreground group, in which CMD is too; the hangup alone goes to the leader of the session only.
fn reaction(signal: signals::Signal, leads_session: bool) -> Reaction {
    let from_kernel = signal.code > 0;
    match signal.number {
        libc::SIGCHLD => Reaction::Look,
        libc::SIGINT
        | libc::SIGQUIT
        | libc::SIGTSTP
        | libc::SIGTTIN
        | libc::SIGTTOU
        | libc::SIGWINCH
            if from_kernel =>
        {
            Reaction::Leave
        }
        libc::SIGHUP | libc::SIGCONT if from_kernel && !leads_session => Reaction::Leave,
        _ => Reaction::Forward,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_forwarded_and_a_terminal_is_not() {
        let of = |number, code| reaction(signals::Signal { number, code }, false);
        for number in (1..=31).filter(|&number| number != libc::SIGCHLD) {
            assert_eq!(of(number, libc::SI_USER), Reaction::Forward, "{number}");
        }
        for number in [
            libc::SIGINT,
            libc::SIGQUIT,
            libc::SIGTSTP,
            libc::SIGWINCH,
            libc::SIGHUP,
        ] {
            assert_eq!(of(number, libc::SI_KERNEL), Reaction::Leave, "{number}");
        }
        // A timer that was set before CMD was started is CMD's.
        assert_eq!(of(libc::SIGALRM, libc::SI_KERNEL), Reaction::Forward);
        assert_eq!(of(libc::SIGCHLD, libc::CLD_EXITED), Reaction::Look);
    }

    #[test]
    fn a_hangup_reaches_the_leader_only_and_goes_on_from_there() {
        let hangup = signals::Signal {
            number: libc::SIGHUP,
            code: libc::SI_KERNEL,
        };
        assert_eq!(reaction(hangup, true), Reaction::Forward);
    }
}
