//! The system call that neither nix nor rustix has.
#![expect(unsafe_code, reason = "mount_setattr(2) has no safe wrapper")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use rustix::mount::MountAttrFlags;
use sys::SysError;

/// What lacks on an older kernel.
pub(crate) const MOUNT_SETATTR_SINCE: &str = "a read-only mount of a directory needs Linux 5.12";

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
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    let error = match set_attributes(mount, flags, &attributes) {
        Ok(()) => return Ok(()),
        Err(errno) => SysError::new(format!("mount_setattr({set:?})"), errno),
    };
    Err(if error.errno == Errno::ENOSYS {
        error.hint(MOUNT_SETATTR_SINCE)
    } else {
        error
    })
}

/// Shows the files of `mount`, which nothing but a descriptor holds yet, with the ids of the user namespace `ids`.
///
/// `MOUNT_ATTR_IDMAP`, Linux 5.12.
///
/// # Errors
/// `EINVAL`: the file system cannot, or the kernel is older. `EPERM`: only root over the file system may.
pub(crate) fn mount_idmap(mount: BorrowedFd<'_>, ids: BorrowedFd<'_>) -> Result<(), Errno> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::from(ids.as_raw_fd().cast_unsigned()),
    };
    set_attributes(mount, 0, &attributes)
}

fn set_attributes(
    mount: BorrowedFd<'_>,
    flags: i32,
    attributes: &libc::mount_attr,
) -> Result<(), Errno> {
    // SAFETY: the path is a NUL-terminated literal and the structure outlives the call, which reads as many
    // bytes of it as the size says and writes nothing. A descriptor in it is borrowed by the caller.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            std::ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(answer).map(drop)
}
