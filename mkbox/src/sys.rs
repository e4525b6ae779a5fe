//! The system calls that neither nix nor rustix has.
#![expect(
    unsafe_code,
    reason = "mount_setattr(2) and signal(2) have no safe wrapper"
)]

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use rustix::mount::MountAttrFlags;
use sys::{Call, SysError};

/// Sets attributes of the mount that `mount` is the root of, and with `recursive` of all that are below it.
///
/// mount_setattr(2), Linux 5.12.
///
/// # Errors
/// `ENOSYS`: the kernel is older. `EPERM`: the mount is locked by a more privileged user namespace.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    set: MountAttrFlags,
    recursive: bool,
) -> Result<(), SysError> {
    let attributes = libc::mount_attr {
        attr_set: set.bits().into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated literal and the structure outlives the call, which reads as many
    // bytes of it as the size says and writes nothing.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    let error = match Errno::result(answer) {
        Ok(_) => return Ok(()),
        Err(errno) => SysError::new(format!("mount_setattr({set:?})"), errno),
    };
    Err(if error.errno == Errno::ENOSYS {
        error.hint("a read-only mount of a directory needs Linux 5.12")
    } else {
        error
    })
}

/// Replaces this process by the program behind `program`, whatever its path is here.
///
/// execveat(2) with `AT_EMPTY_PATH`, Linux 3.19. SIGPIPE gets its default back, as `std::process::Command` does it.
///
/// # Errors
/// It returns only then: `ENOENT` also for a script, whose interpreter could not open it.
pub(crate) fn execveat(
    program: BorrowedFd<'_>,
    command: &[OsString],
) -> Result<Infallible, SysError> {
    let call = || "execveat".to_owned();
    let text = |text: OsString| {
        CString::new(text.into_vec())
            .map_err(|_| Errno::EINVAL)
            .call(call)
    };
    let arguments = command
        .iter()
        .cloned()
        .map(text)
        .collect::<Result<Vec<_>, _>>()?;
    let environment = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        text(name)
    });
    let environment = environment.collect::<Result<Vec<_>, _>>()?;
    // SAFETY: SIG_DFL installs no handler, so nothing of ours can run when the signal comes.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    nix::unistd::execveat(
        program,
        c"",
        &arguments,
        &environment,
        AtFlags::AT_EMPTY_PATH,
    )
    .call(call)
}
