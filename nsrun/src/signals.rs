//! Signals: kept for CMD as the caller had them, and taken by the parent that waits for it.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use crate::sys;

/// What CMD shall find as it was: the mask, and the two dispositions that are changed on the way.
#[derive(Debug)]
pub(crate) struct Callers {
    sigchld_ignored: bool,
}

impl Callers {
    /// Nothing was changed but what Rust's runtime changes.
    pub(crate) fn unchanged() -> Self {
        Self {
            sigchld_ignored: false,
        }
    }

    /// Blocks every signal, so that none is lost between here and the waiting, and makes children waitable: when the
    /// caller ignores SIGCHLD the kernel would reap CMD itself and its status with it.
    pub(crate) fn block() -> Result<Self, Errno> {
        ::sys::set_mask(u64::MAX)?;
        let sigchld_ignored = ::sys::is_ignored(libc::SIGCHLD);
        if sigchld_ignored {
            ::sys::set_disposition(libc::SIGCHLD, false);
        }
        Ok(Self { sigchld_ignored })
    }

    /// Gives CMD what the caller had; the last thing before exec.
    pub(crate) fn restore(&self) -> Result<(), Errno> {
        ::sys::restore_sigpipe();
        if self.sigchld_ignored {
            ::sys::set_disposition(libc::SIGCHLD, true);
        }
        ::sys::set_mask(::sys::callers_mask())
    }
}

/// Every disposition default and nothing blocked: what a process that stays begins with.
///
/// With `hold` TERM and INT stay blocked: pause, when it only holds, waits for them, and one that comes before its first
/// instruction must not be lost.
pub(crate) fn reset(hold: bool) -> Result<(), Errno> {
    ::sys::set_defaults();
    let mut blocked = SigSet::empty();
    if hold {
        blocked.add(Signal::SIGTERM);
        blocked.add(Signal::SIGINT);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&blocked), None)
}

/// What the waiting parent does about a signal it took.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Some child changed its state.
    Look,
    /// CMD gets it.
    Forward,
    /// The terminal sent it to the whole foreground group, CMD included.
    Leave,
}

/// A terminal sends to its foreground group, in which CMD is too; the hangup alone goes to the leader of the session only.
pub(crate) fn reaction(signal: sys::Signal, leads_session: bool) -> Reaction {
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
        let of = |number, code| reaction(sys::Signal { number, code }, false);
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
        let hangup = sys::Signal {
            number: libc::SIGHUP,
            code: libc::SI_KERNEL,
        };
        assert_eq!(reaction(hangup, true), Reaction::Forward);
    }
}
