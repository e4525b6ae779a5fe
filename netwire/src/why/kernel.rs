//! What the kernel would do with a packet: which way it would take, and whether the next hop answers.

use std::net::IpAddr;

use netlink_packet_core::NlasIterator;
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use nix::errno::Errno;

use crate::cidr::width;
use crate::error::Error;
use crate::link::{address, route_address};
use crate::netlink::{Request, Socket, u16_at, u32_at};

/// struct rtmsg and struct ndmsg of linux/rtnetlink.h and linux/neighbour.h.
const RTMSG: usize = 12;
const NDMSG: usize = 12;

/// The way a packet takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Way {
    /// It is for this network namespace itself.
    pub(super) local: bool,
    pub(super) interface: u32,
    pub(super) gateway: Option<IpAddr>,
    pub(super) source: Option<IpAddr>,
}

/// A packet that comes in by an interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming {
    pub(super) source: IpAddr,
    pub(super) interface: u32,
}

/// Which way a packet to `destination` takes; an errno: it takes none, and that is what the kernel says.
pub(super) fn way(
    socket: &mut Socket,
    destination: IpAddr,
    incoming: Option<Incoming>,
) -> Result<Result<Way, Errno>, Error> {
    let mut message = RouteMessage::default();
    let (family, to) = route_address(destination);
    message.header.address_family = family;
    message.header.destination_prefix_length = width(destination);
    message.attributes.push(RouteAttribute::Destination(to));
    if let Some(incoming) = incoming {
        message.header.source_prefix_length = width(incoming.source);
        let from = route_address(incoming.source).1;
        message.attributes.push(RouteAttribute::Source(from));
        message
            .attributes
            .push(RouteAttribute::Iif(incoming.interface));
    }
    let what = destination.to_string();
    let request = Request::new("RTM_GETROUTE", &what, libc::RTM_GETROUTE, 0, &message);
    match socket.batch(vec![request]) {
        Ok(answers) => {
            let payload = answers.last().map(Vec::as_slice).unwrap_or_default();
            Ok(parse(payload))
        }
        Err(error) => match error.refused() {
            // What was asked was not understood, or not allowed: that is no answer.
            Some(Errno::EPERM | Errno::EOPNOTSUPP) | None => Err(error),
            Some(errno) => Ok(Err(errno)),
        },
    }
}

pub(super) fn parse(payload: &[u8]) -> Result<Way, Errno> {
    let mut way = Way::default();
    match payload.get(7).copied().unwrap_or_default() {
        libc::RTN_LOCAL => way.local = true,
        libc::RTN_UNICAST | libc::RTN_BROADCAST | libc::RTN_MULTICAST | libc::RTN_ANYCAST => {}
        libc::RTN_PROHIBIT => return Err(Errno::EACCES),
        libc::RTN_BLACKHOLE => return Err(Errno::EINVAL),
        _ => return Err(Errno::ENETUNREACH),
    }
    let attributes = payload.get(RTMSG..).unwrap_or_default();
    for attribute in NlasIterator::new(attributes).flatten() {
        let value = attribute.value();
        match attribute.kind() {
            libc::RTA_OIF => way.interface = u32_at(value, 0).unwrap_or_default(),
            libc::RTA_GATEWAY => way.gateway = address(value),
            libc::RTA_PREFSRC => way.source = address(value),
            _ => {}
        }
    }
    Ok(way)
}

/// Whether the kernel has asked for the hardware address of `next` and got none.
pub(super) fn is_silent(socket: &mut Socket, next: IpAddr, interface: u32) -> Result<bool, Error> {
    const NUD_INCOMPLETE: u16 = 0x01;
    const NUD_FAILED: u16 = 0x20;
    let mut body = vec![0; NDMSG];
    // A dump is of one family, and the kernel takes nothing else in its header.
    body[0] = route_address(next).0.into();
    let what = format!("index {interface}");
    let flags = libc::NLM_F_DUMP;
    let request = Request::raw("RTM_GETNEIGH", &what, libc::RTM_GETNEIGH, flags, &body);
    let mut silent = false;
    socket.dump_all(request, |payload| {
        let attributes = NlasIterator::new(payload.get(NDMSG..).unwrap_or_default()).flatten();
        let mut of = attributes.filter(|attribute| attribute.kind() == libc::NDA_DST);
        let is_it = of.next().and_then(|of| address(of.value())) == Some(next);
        let state = u16_at(payload, 8).unwrap_or_default();
        if is_it && u32_at(payload, 4) == Some(interface) {
            silent = state & (NUD_INCOMPLETE | NUD_FAILED) != 0;
        }
    })?;
    Ok(silent)
}
