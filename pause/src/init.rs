//! A command's init: passes signals on, reaps, ends as the command did.

use crate::exec::exec;
use crate::message;
use crate::sys::{self, Signals};
use crate::text::{Text, Texts};

/// Status of failures that are not CMD's, as of env(1) and chroot(1).
const OURS: u8 = 125;

/// Runs `command` and ends as it does.
pub(crate) fn init(command: Texts, environment: Texts, inherited: Signals) -> ! {
    // Ignored, which an exec passes on, the kernel would reap CMD and its status.
    let inherited_action = sys::default_sigchld();
    sys::block(Signals::AWAITED);
    sys::become_subreaper();
    let parent = sys::getpid();
    let child = sys::fork();
    if child < 0 {
        message::failed(Text::new(c"fork("), Text::new(c""), -child as u8, OURS)
    }
    if child == 0 {
        sys::set_mask(&inherited);
        sys::set_sigchld(&inherited_action);
        sys::die_with(parent);
        exec(command, environment)
    }
    sys::lower_oom_score();
    sys::settle();
    loop {
        // Before the first wait too: who ended before pause began sends no signal any more.
        while let Some(ended) = sys::reap() {
            if ended.pid.get() == child {
                sys::exit(exit_status(ended.status))
            }
        }
        if let Some(signal) = sys::wait_for_signal(Signals::AWAITED) {
            sys::kill(child, signal);
        }
    }
}

/// As a shell has it: CMD's own, or 128 and the signal that ended it.
fn exit_status(status: u32) -> u8 {
    match status & 0x7f {
        0 => (status >> 8) as u8,
        signal => 128 + signal as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::exit_status;

    #[test]
    fn a_status_is_the_commands_own_or_128_and_its_signal() {
        assert_eq!(exit_status(0), 0);
        assert_eq!(exit_status(255 << 8), 255);
        assert_eq!(exit_status(15), 143);
        // with a core
        assert_eq!(exit_status(0x80 | 11), 139);
    }
}
