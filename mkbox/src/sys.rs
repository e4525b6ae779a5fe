//! The system call that neither nix nor rustix has.
#![expect(unsafe_code, reason = "mount_setattr(2) has no safe wrapper")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use rustix::mount::MountAttrFlags;
use sys::SysError;

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
