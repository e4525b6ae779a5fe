//! Typing into the terminal of who started the box: CVE-2017-5226, CVE-2019-10063, CVE-2023-28100.
#![expect(unsafe_code, reason = "the requests have no safe wrapper")]

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::setsid;

use crate::{Attempt, Report};

/// As wide as the register it goes in: in C it has 32 bits with some libraries.
const TIOCSTI: libc::c_long = 0x5412;

/// `attack terminal`
pub(crate) fn attack(report: &Report, _: &[String]) {
    for (name, request) in [
        ("tiocsti", TIOCSTI),
        ("tiocsti-high-bit", TIOCSTI | 1 << 32),
    ] {
        for fd in 0..3 {
            report.line(format_args!("{name}-{fd}"), typed(fd, request));
        }
    }
    let own = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let own = own.map_err(|error| error.to_string());
    report.line(
        "dev-tty",
        own.and_then(|tty| typed(tty.as_raw_fd(), TIOCSTI)),
    );
    report.line("stolen", stolen());
}

/// A blank, which a shell that reads it does nothing with.
fn typed(fd: i32, request: libc::c_long) -> Attempt {
    // SAFETY: the kernel reads one byte of a string that is static; a descriptor that is none is refused.
    let answer = unsafe { libc::syscall(libc::SYS_ioctl, fd, request, c" ".as_ptr()) };
    match Errno::result(answer) {
        Ok(_) => Ok("typed".into()),
        Err(errno) => Err(errno.desc().into()),
    }
}

/// Takes the caller's terminal for a session of its own.
fn stolen() -> Attempt {
    let _ = setsid();
    // SAFETY: an integer is the argument.
    let answer = unsafe { libc::ioctl(0, libc::TIOCSCTTY, 1) };
    Errno::result(answer).map_err(|errno| errno.desc().to_owned())?;
    typed(0, TIOCSTI)
}
