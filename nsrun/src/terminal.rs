//! A terminal of its own for CMD, and what stands between it and the caller's; pty(7).
//!
//! Whoever shares a terminal can type into it (TIOCSTI, TIOCLINUX) and see its modes. So what is dropped behind the chain
//! gets one that ends with it.

mod relay;

use std::io::IsTerminal;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, getpgrp, setsid};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    OptionalActions, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use sys::{Call, SysError};

use relay::Relay;

/// Both sides of a new terminal.
#[derive(Debug)]
pub(crate) struct Pty {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Pty {
    /// A new one, as large and in the modes of the caller's, if he has one and is in front.
    ///
    /// # Errors
    /// No /dev/ptmx, or too many terminals.
    pub(crate) fn open() -> Result<Self, SysError> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags).call(|| "open(/dev/ptmx)".into())?;
        grantpt(&ours)
            .and_then(|()| unlockpt(&ours))
            .call(|| "unlockpt()".into())?;
        // By descriptor: in the box there is another /dev/pts, or none. Linux 4.13.
        let theirs = ioctl_tiocgptpeer(&ours, flags).call(|| "ioctl(TIOCGPTPEER)".into())?;
        let stdin = std::io::stdin();
        // In the background they are those of a shell that edits a line: without echo, and a key at a time.
        if let Some(modes) = tcgetattr(&stdin).ok().filter(|_| is_foreground()) {
            tcsetattr(&theirs, OptionalActions::Now, &modes).call(|| "tcsetattr(pty)".into())?;
        }
        resize(&ours);
        Ok(Self { ours, theirs })
    }

    /// For the process that becomes CMD: a session on this terminal. What leads to no terminal now, a pipe or a file, stays,
    /// unless nothing does.
    ///
    /// # Errors
    /// The call that failed.
    pub(crate) fn take(&self) -> Result<(), Errno> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let none = !stdin.is_terminal();
        setsid()?;
        rustix::process::ioctl_tiocsctty(&self.theirs)
            .map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
        dup2_stdin(&self.theirs)?;
        if none || stdout.is_terminal() {
            dup2_stdout(&self.theirs)?;
        }
        if none || stderr.is_terminal() {
            dup2_stderr(&self.theirs)?;
        }
        Ok(())
    }

    /// Passes on what is typed and what is shown until `child` has ended; its status.
    ///
    /// # Errors
    /// The call that failed.
    pub(crate) fn relay(self, child: Pid) -> Result<u8, SysError> {
        let Self { ours, theirs } = self;
        // With the last of theirs the terminal hangs up, and that has to be CMD's.
        drop(theirs);
        Relay::new(ours, child)?.run()
    }
}

/// The terminal of which this is one side gets the size of the caller's.
fn resize(ours: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(std::io::stdin()) {
        // The size is for looks.
        let _ = tcsetwinsize(ours, size);
    }
}

/// We are what the keys of the terminal are for; also where there is none.
fn is_foreground() -> bool {
    let group = tcgetpgrp(std::io::stdin());
    group.is_err() || group.is_ok_and(|group| group.as_raw_pid() == getpgrp().as_raw())
}
