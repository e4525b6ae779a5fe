//! `node advertise INTERFACE`: says that it is a router of IPv6, and the way to everywhere, as no pod should.

use std::ffi::OsString;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use nix::sys::socket::sockopt::Ipv6MulticastHops;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt,
    socket,
};

use crate::{Answer, Tried};

/// A router advertisement of RFC 4861: for half an hour, with the prefix fd00:bad::/64 to make addresses of.
const ADVERTISEMENT: [u8; 48] = [
    134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, //
    3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0, //
    0xfd, 0, 0x0b, 0xad, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Sends one to all nodes of the link.
pub(crate) fn advertise(arguments: &[OsString]) -> Answer<ExitCode> {
    let [interface] = arguments else {
        return Err("advertise INTERFACE".into());
    };
    let index = nix::net::if_::if_nametoindex(interface.as_os_str()).tried("INTERFACE")?;
    let (family, kind, flags) = (AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC);
    let socket = socket(family, kind, flags, SockProtocol::IcmpV6).tried("socket")?;
    setsockopt(&socket, Ipv6MulticastHops, &255).tried("IPV6_MULTICAST_HOPS")?;
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let to = SockaddrIn6::from(SocketAddrV6::new(all_nodes, 0, 0, index));
    sendto(socket.as_raw_fd(), &ADVERTISEMENT, &to, MsgFlags::empty()).tried("sendto")?;
    Ok(ExitCode::SUCCESS)
}
