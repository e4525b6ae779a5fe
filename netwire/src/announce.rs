//! Telling who else is on a bridge which hardware address is behind an address now: whoever had it before is remembered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::Ipv6MulticastHops;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt,
    socket,
};
use sys::{Call, CloseLater};

use crate::error::Error;
use crate::link::{Link, Mac};
use crate::plan::Plan;
use crate::sys::send_to_all;

/// An announcement for each address of `plan`, out of `end`; in the pod's namespace.
pub(crate) fn announce(plan: &Plan, end: &Link) -> Result<(), Error> {
    for net in &plan.nets {
        let sent = match net.address {
            IpAddr::V4(address) => arp(end.index, &gratuitous_arp(plan.pod_mac, address)),
            IpAddr::V6(address) => {
                icmp6(end.index, &unsolicited_advertisement(plan.pod_mac, address))
            }
        };
        sent.call(|| format!("sendto({}, who has {})", plan.ifname, net.address))?;
    }
    Ok(())
}

/// A request for one's own address; RFC 5227, 2.3.
fn gratuitous_arp(mac: Mac, address: Ipv4Addr) -> [u8; 28] {
    let mut packet = [0; 28];
    // Ethernet, IPv4, the lengths of both, a request
    packet[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    packet[8..14].copy_from_slice(&mac.0);
    packet[14..18].copy_from_slice(&address.octets());
    packet[24..].copy_from_slice(&address.octets());
    packet
}

fn arp(index: u32, packet: &[u8]) -> Result<(), Errno> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, None)?;
    // close(2) of a packet socket waits for an RCU grace period, 10 to 20 ms (`packet_release`).
    let _later = CloseLater::new(socket.as_fd());
    let sent = send_to_all(&socket, index, libc::ETH_P_ARP, packet);
    drop(socket);
    sent
}

/// A neighbour advertisement nobody asked for, which overrides; RFC 4861, 7.2.6. The kernel adds the checksum.
fn unsolicited_advertisement(mac: Mac, address: Ipv6Addr) -> [u8; 32] {
    let mut packet = [0; 32];
    packet[0] = 136;
    packet[4] = 0x20;
    packet[8..24].copy_from_slice(&address.octets());
    // target link-layer address, of eight bytes
    packet[24..26].copy_from_slice(&[2, 1]);
    packet[26..].copy_from_slice(&mac.0);
    packet
}

fn icmp6(index: u32, packet: &[u8]) -> Result<(), Errno> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::IcmpV6;
    let socket = socket(AddressFamily::Inet6, SockType::Raw, flags, protocol)?;
    // RFC 4861 has it so: it comes from this link.
    setsockopt(&socket, Ipv6MulticastHops, &255)?;
    let nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let to = SockaddrIn6::from(SocketAddrV6::new(nodes, 0, 0, index));
    sendto(socket.as_raw_fd(), packet, &to, MsgFlags::empty()).map(drop)
}
