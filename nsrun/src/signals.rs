//! Signals as a process that stays begins with them.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

/// Every disposition default and nothing blocked: what a process that stays begins with.
///
/// With `hold` TERM and INT stay blocked: pause, when it only holds, waits for them, and one that comes before its first
/// instruction must not be lost.
pub(crate) fn reset(hold: bool) -> Result<(), Errno> {
    sys::set_defaults();
    let mut blocked = SigSet::empty();
    if hold {
        blocked.add(Signal::SIGTERM);
        blocked.add(Signal::SIGINT);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&blocked), None)
}
