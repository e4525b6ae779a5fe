//! What is typed goes to CMD's terminal, and what is shown to the caller's.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use sys::{Call, SysError, parent};

use super::{is_foreground, resize};

/// End of transmission: what Ctrl-D types.
const EOT: u8 = 4;

/// How often a job in the background looks whether it is in front by now: a shell that takes it there tells only one that is
/// stopped.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// What stands between the two terminals.
pub(super) struct Relay {
    ours: OwnedFd,
    signals: SignalFd,
    raw: Raw,
    /// stdin has not ended.
    reads: bool,
    /// CMD's side has not hung up.
    shows: bool,
    /// Not on stderr, which is the terminal where stdout is somewhere else.
    shows_on_stdout: bool,
    /// Known from the start: one that has hung up does not say that it is a terminal.
    shows_on_terminal: bool,
    /// What CMD's side has not taken yet.
    typed: Vec<u8>,
    /// The keys of the caller's terminal are for us, and it is raw.
    is_in_front: bool,
    /// The last key that was typed is the one that interrupts; who has not heard of it: 0 for our group, or we alone where the
    /// caller's terminal has told the group.
    interrupted: Option<i32>,
    /// Why what CMD said could not be written, where somebody should have had it.
    lost: Option<SysError>,
    child: Pid,
}

impl Relay {
    /// # Errors
    /// No descriptor is left for signals.
    pub(super) fn new(ours: OwnedFd, child: Pid) -> Result<Self, SysError> {
        let signals = SignalFd::with_flags(
            &sys::every_signal(),
            SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
        )
        .call(|| "signalfd()".into())?;
        let stdout = std::io::stdout().is_terminal();
        let stderr = std::io::stderr().is_terminal();
        Ok(Self {
            ours,
            shows_on_stdout: stdout || !stderr,
            shows_on_terminal: stdout || stderr,
            signals,
            raw: Raw::default(),
            reads: true,
            shows: true,
            typed: Vec::new(),
            is_in_front: false,
            interrupted: None,
            lost: None,
            child,
        })
    }

    /// Until CMD has ended; its status.
    ///
    /// # Errors
    /// The call that failed, or why some of what CMD said is lost.
    pub(super) fn run(mut self) -> Result<u8, SysError> {
        let status = self.pass_on()?;
        self.lost.map_or(Ok(status), Err)
    }

    fn pass_on(&mut self) -> Result<u8, SysError> {
        loop {
            let stdin = std::io::stdin();
            let (read, write) = (PollFlags::IN, PollFlags::OUT);
            let none = PollFlags::empty();
            self.come_to_front();
            let may_type = self.reads && self.typed.is_empty() && self.is_in_front;
            let timeout = (self.reads && !self.is_in_front).then_some(&LOOK);
            let show = if self.typed.is_empty() {
                read
            } else {
                read | write
            };
            let mut fds = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), read)];
            // A descriptor that has hung up would wake us for ever.
            if self.shows {
                fds.push(PollFd::from_borrowed_fd(self.ours.as_fd(), show));
            }
            if may_type {
                fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), read));
            }
            match poll(&mut fds, timeout) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(SysError::new("poll()", errno)),
            }
            let came: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            drop(fds);
            if self.shows && came[1] != none {
                self.type_on();
                if came[1].intersects(read | PollFlags::HUP | PollFlags::ERR) {
                    self.show();
                }
            }
            if may_type && came.last().is_some_and(|came| *came != none) {
                self.type_in();
            }
            if came[0] != none
                && let Some(status) = self.signal()?
            {
                // What it said last.
                while self.shows && !self.what_is_there().is_empty() {
                    self.show();
                }
                self.raw.restore();
                if let Some(whom) = self.interrupted
                    && self.is_in_front
                    && status == parent::INTERRUPTED
                {
                    parent::die_interrupted(whom);
                }
                return Ok(status);
            }
        }
    }

    /// Takes the caller's terminal once it is ours to take.
    fn come_to_front(&mut self) {
        let was_in_front = self.is_in_front;
        self.is_in_front = is_foreground();
        if self.is_in_front && !was_in_front {
            self.raw.set();
            resize(&self.ours);
        }
    }

    /// What poll(2) knows of CMD's side now.
    fn what_is_there(&self) -> PollFlags {
        let mut fds = [PollFd::from_borrowed_fd(self.ours.as_fd(), PollFlags::IN)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match poll(&mut fds, Some(&at_once)) {
            Ok(_) => fds[0].revents(),
            Err(_) => PollFlags::empty(),
        }
    }

    /// From CMD's side to the caller's.
    fn show(&mut self) {
        let mut bytes = [0; 4096];
        match rustix::io::read(&self.ours, &mut bytes) {
            Ok(0) => self.shows = false,
            Ok(count) => {
                let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
                let to = if self.shows_on_stdout {
                    stdout.as_fd()
                } else {
                    stderr.as_fd()
                };
                if let Err(errno) = write_all(to, &bytes[..count]) {
                    // Who has gone does not miss it: a pipe's reader, a terminal that hung up. A disk that fails is another thing.
                    let has_gone = errno == rustix::io::Errno::PIPE
                        || errno == rustix::io::Errno::IO && self.shows_on_terminal;
                    self.look_away((!has_gone).then(|| SysError::new("write(stdout)", errno)));
                }
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            // Nobody has their side open, and all that was said has been read.
            Err(rustix::io::Errno::IO) if !self.what_is_there().contains(PollFlags::IN) => {
                self.shows = false;
            }
            Err(errno) => self.look_away(Some(SysError::new("read(ptmx)", errno))),
        }
    }

    /// Nobody sees what CMD says any more: it is told as by any terminal that goes.
    fn look_away(&mut self, lost: Option<SysError>) {
        self.lost = lost;
        self.shows = false;
        sys::kill(self.child.as_raw(), libc::SIGHUP);
    }

    /// From stdin, as much as there is.
    fn type_in(&mut self) {
        let mut bytes = [0; 1024];
        match rustix::io::read(std::io::stdin(), &mut bytes) {
            Ok(0) => {
                self.reads = false;
                self.typed.push(EOT);
            }
            Ok(count) => {
                self.interrupted = self.interrupts(bytes[count - 1]).then_some(0);
                self.typed.extend_from_slice(&bytes[..count]);
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => self.reads = false,
        }
        self.type_on();
    }

    /// CMD's terminal makes SIGINT of `key`.
    fn interrupts(&self, key: u8) -> bool {
        tcgetattr(&self.ours).is_ok_and(|modes| {
            modes.local_modes.contains(LocalModes::ISIG)
                && modes.special_codes[SpecialCodeIndex::VINTR] == key
        })
    }

    /// To CMD's side, as much as it takes.
    fn type_on(&mut self) {
        if self.typed.is_empty() {
            return;
        }
        let mut fds = [PollFd::from_borrowed_fd(self.ours.as_fd(), PollFlags::OUT)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let takes = poll(&mut fds, Some(&at_once)).is_ok_and(|count| count > 0);
        if takes && let Ok(count) = rustix::io::write(&self.ours, &self.typed) {
            self.typed.drain(..count);
        }
    }

    /// One signal after the other; the status of CMD if one of them says that it has ended.
    fn signal(&mut self) -> Result<Option<u8>, SysError> {
        while let Some(info) = self
            .signals
            .read_signal()
            .call(|| "read(signalfd)".into())?
        {
            match info.ssi_signo as i32 {
                libc::SIGCHLD => {
                    if let Some(status) = parent::look(self.child, parent::Stops::Ignored)? {
                        return Ok(Some(status));
                    }
                }
                libc::SIGWINCH => resize(&self.ours),
                // The shell has put us into the foreground again, or we were stopped by hand.
                libc::SIGCONT => {
                    self.raw.set();
                    resize(&self.ours);
                }
                signal @ (libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
                    self.raw.restore();
                    let signal = Signal::try_from(signal).unwrap_or(Signal::SIGTSTP);
                    parent::stop(signal)?;
                    self.raw.set();
                    resize(&self.ours);
                }
                signal => {
                    // The caller's terminal, before it was raw.
                    if signal == libc::SIGINT && info.ssi_code > 0 {
                        self.interrupted = Some(getpid().as_raw());
                    }
                    sys::kill(self.child.as_raw(), signal);
                }
            }
        }
        Ok(None)
    }
}

/// The caller's terminal, every key of which goes through as it is.
#[derive(Default)]
struct Raw {
    /// As it was.
    modes: Option<Termios>,
}

impl Raw {
    fn set(&mut self) {
        let stdin = std::io::stdin();
        if !is_foreground() {
            return;
        }
        let Ok(modes) = tcgetattr(&stdin) else { return };
        let mut raw = modes.clone();
        raw.make_raw();
        if tcsetattr(&stdin, OptionalActions::Drain, &raw).is_ok() {
            self.modes.get_or_insert(modes);
        }
    }

    fn restore(&mut self) {
        if let Some(modes) = self.modes.take() {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &modes);
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Writes everything, however often it takes.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), rustix::io::Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
