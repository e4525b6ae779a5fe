//! Holding: no descriptor, no memory but a page, no wake-up until the end.

use crate::stack::Stack;
use crate::sys::{self, Signals};

/// Holds the namespaces until TERM or INT. `wait` gives back what memory it can, and waits for them.
#[inline(always)]
pub(crate) fn hold(stack: Stack, wait: fn(Stack) -> !) -> ! {
    // A signal without a handler ends a process, unless it is PID 1: no difference here. SIGCHLD ignored: the kernel reaps.
    for signal in 1..65 {
        if !Signals::END.contains(signal) {
            sys::ignore(signal);
        }
    }
    sys::become_subreaper();
    // Children that ended before SIGCHLD was ignored.
    sys::reap_all();
    sys::settle();
    wait(stack)
}
