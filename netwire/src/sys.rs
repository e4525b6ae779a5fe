//! One function per system call nix lacks.
#![expect(
    unsafe_code,
    reason = "nix has no socket options of level SOL_NETLINK and makes no sockaddr_ll (checked 0.31)"
)]

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

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

/// Sends `packet` out of interface `index` to everybody on its link, by a packet(7) socket of type `SOCK_DGRAM`.
///
/// # Errors
/// What sendto(2) answers: `ENETDOWN`, `ENXIO`.
pub(crate) fn send_to_all(
    socket: &OwnedFd,
    index: u32,
    ethertype: i32,
    packet: &[u8],
) -> Result<(), Errno> {
    // SAFETY: all zero is a valid sockaddr_ll, which is plain numbers.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
    to.sll_protocol = u16::try_from(ethertype).unwrap_or_default().to_be();
    to.sll_ifindex = index.cast_signed();
    to.sll_halen = 6;
    to.sll_addr = [0xff; 8];
    let length = libc::socklen_t::try_from(size_of_val(&to)).unwrap_or_default();
    // SAFETY: the kernel reads `packet` and, `length` bytes of it, `to`; both live until the call has returned.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const to).cast(),
            length,
        )
    };
    Errno::result(sent).map(drop)
}
