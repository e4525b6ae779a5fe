//! The caller's keyring.
#![expect(unsafe_code, reason = "keys have no safe wrapper")]

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::libc;

use crate::{Attempt, Report};

const NAME: &std::ffi::CStr = c"chroot0-attack";
const SESSION: i64 = -3;

/// `attack key CMD...`: a session keyring with a secret in it, then CMD.
pub(crate) fn leave(arguments: &[String]) -> ExitCode {
    const JOIN_SESSION_KEYRING: i64 = 1;
    let secret = b"secret";
    // SAFETY: null asks for an anonymous keyring; names end in NUL, and the length is that of the secret.
    let added = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        );
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            NAME.as_ptr(),
            secret.as_ptr(),
            secret.len(),
            SESSION,
        )
    };
    let (Ok(_), Some((program, rest))) = (Errno::result(added), arguments.split_first()) else {
        return ExitCode::from(3);
    };
    let _ = Command::new(OsString::from(program)).args(rest).exec();
    ExitCode::from(4)
}

/// `attack keys`
pub(crate) fn attack(report: &Report, _: &[String]) {
    report.line("session", read());
}

fn read() -> Attempt {
    const SEARCH: i64 = 10;
    const READ: i64 = 11;
    let mut bytes = [0_u8; 64];
    // SAFETY: names end in NUL; the kernel writes at most the length of the array that it is told.
    let length = unsafe {
        let key = libc::syscall(
            libc::SYS_keyctl,
            SEARCH,
            SESSION,
            c"user".as_ptr(),
            NAME.as_ptr(),
            0_i64,
        );
        let key = Errno::result(key).map_err(|errno| errno.desc().to_owned())?;
        libc::syscall(libc::SYS_keyctl, READ, key, bytes.as_mut_ptr(), bytes.len())
    };
    let length = Errno::result(length).map_err(|errno| errno.desc().to_owned())?;
    let length = usize::try_from(length).unwrap_or_default().min(bytes.len());
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}
