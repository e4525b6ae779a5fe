//! One function per system call nix lacks.
#![expect(
    unsafe_code,
    reason = "nix has no socket options of level SOL_NETLINK (checked 0.31)"
)]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use sys::{Call, SysError};

/// Switches a netlink(7) option of `socket` on: `NETLINK_EXT_ACK`, `NETLINK_CAP_ACK`, `NETLINK_GET_STRICT_CHK`.
///
/// # Errors
/// `ENOPROTOOPT`: the kernel is older than the option.
pub(crate) fn setsockopt_netlink(socket: BorrowedFd<'_>, option: i32) -> Result<(), SysError> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or_default();
    // SAFETY: the kernel reads `length` bytes at the address of `on`, which is that long and lives until the
    // call has returned; the descriptor is open for as long as it is borrowed.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            length,
        )
    };
    Errno::result(answer).call(|| format!("setsockopt(SOL_NETLINK, {option})"))?;
    Ok(())
}
