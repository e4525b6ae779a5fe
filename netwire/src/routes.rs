//! What the kernel says of routes.

use std::net::IpAddr;

use netlink_packet_core::NlasIterator;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteHeader, RouteMessage};
use nix::errno::Errno;

use crate::cidr::{width, with_bits};
use crate::error::Error;
use crate::link::{address, route_address};
use crate::netlink::{Request, Socket, u32_at};
use crate::plan::{Route, Scope};

/// struct rtmsg of linux/rtnetlink.h.
const RTMSG: usize = 12;

/// The interface and the prefix length of the route that packets to `destination` take; None: there is none.
pub(crate) fn route_to(
    socket: &mut Socket,
    destination: IpAddr,
) -> Result<Option<(u32, u8)>, Error> {
    let mut message = RouteMessage::default();
    let (family, to) = route_address(destination);
    message.header.address_family = family;
    message.header.destination_prefix_length = width(destination);
    message.header.flags = RouteFlags::FibMatch;
    message.attributes.push(RouteAttribute::Destination(to));
    let request = Request::new(
        "RTM_GETROUTE",
        &destination.to_string(),
        libc::RTM_GETROUTE,
        0,
        &message,
    );
    match socket.batch(vec![request]) {
        Ok(answers) => Ok(answers.last().and_then(|payload| {
            let interface = interfaces(payload.get(RTMSG..)?).into_iter().next()?;
            Some((interface, *payload.get(1)?))
        })),
        Err(error)
            if matches!(
                error.refused(),
                Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH)
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The interfaces of a family's best default route; none: there is no such route. The socket is used up.
pub(crate) fn default_route(socket: Socket, family: AddressFamily) -> Result<Vec<u32>, Error> {
    let best = default_routes(socket, family)?.into_iter().next();
    Ok(best.map(|(_, interfaces)| interfaces).unwrap_or_default())
}

/// Each default route of a family, by its metric and its interfaces, the best first. The socket is used up.
pub(crate) fn default_routes(
    socket: Socket,
    family: AddressFamily,
) -> Result<Vec<(u32, Vec<u32>)>, Error> {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    let request = Request::new(
        "RTM_GETROUTE",
        "default",
        libc::RTM_GETROUTE,
        libc::NLM_F_DUMP,
        &message,
    );
    let mut routes: Vec<(u32, Vec<u32>)> = Vec::new();
    let answer = socket.dump(request, |payload| {
        let attributes = payload.get(RTMSG..).unwrap_or_default();
        let (mut metric, mut destination) = (0, None);
        for attribute in NlasIterator::new(attributes).flatten() {
            match attribute.kind() {
                libc::RTA_PRIORITY => metric = u32_at(attribute.value(), 0).unwrap_or_default(),
                libc::RTA_DST => destination = address(attribute.value()),
                _ => {}
            }
        }
        let unicast = payload.get(7) == Some(&libc::RTN_UNICAST);
        let found = interfaces(attributes);
        let is_default = payload.get(1) == Some(&0) && unicast && !found.is_empty();
        if is_default {
            routes.push((metric, found));
        }
        // Routes come in the order of their addresses: after 0.0.0.0 a table of a million need not be read on.
        destination.is_none_or(|destination| destination.is_unspecified() || destination.is_ipv6())
    });
    match answer {
        Ok(()) => {
            // of two that are as good the first is taken
            routes.sort_by_key(|(metric, _)| *metric);
            Ok(routes)
        }
        // A namespace without any route has no main table.
        Err(error) if error.refused() == Some(Errno::ENOENT) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The interfaces a route leads out of: `RTA_OIF`, or those of each next hop.
fn interfaces(attributes: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    for attribute in NlasIterator::new(attributes).flatten() {
        match attribute.kind() {
            libc::RTA_OIF => found.extend(u32_at(attribute.value(), 0)),
            libc::RTA_MULTIPATH => {
                // struct rtnexthop: 16 bits of length, flags, weight, number of the interface; attributes follow
                let mut rest = attribute.value();
                while let (Some(length), Some(index)) =
                    (crate::netlink::u16_at(rest, 0), u32_at(rest, 4))
                {
                    found.push(index);
                    rest = rest
                        .get(usize::from(length.max(8)).next_multiple_of(4)..)
                        .unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    found
}

/// The routes of the main table out of interface `index`, in the kernel's order.
pub(crate) fn out_of(socket: &mut Socket, index: u32) -> Result<Vec<Route>, Error> {
    let mut found = Vec::new();
    dump(socket, |payload| found.extend(parse(payload, index)))?;
    Ok(found)
}

/// The routes of the main table, each with the interface it leads out of.
pub(crate) fn all(socket: &mut Socket) -> Result<Vec<(u32, Route)>, Error> {
    let mut found = Vec::new();
    dump(socket, |payload| {
        let out_of = interfaces(payload.get(RTMSG..).unwrap_or_default());
        let routes = out_of.into_iter();
        found.extend(routes.filter_map(|index| Some((index, parse(payload, index)?))));
    })?;
    Ok(found)
}

/// Each route of the main table, of both families.
fn dump(socket: &mut Socket, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        let flags = libc::NLM_F_DUMP;
        let request = Request::new("RTM_GETROUTE", "main", libc::RTM_GETROUTE, flags, &message);
        match socket.dump_all(request, &mut each) {
            // A namespace without any route has no main table.
            Err(error) if error.refused() != Some(Errno::ENOENT) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A unicast route out of `index`, of the main table; nothing else.
pub(crate) fn parse(payload: &[u8], index: u32) -> Option<Route> {
    let attributes = payload.get(RTMSG..)?;
    let [family, prefix] = [*payload.first()?, *payload.get(1)?];
    let main = payload.get(4) == Some(&RouteHeader::RT_TABLE_MAIN);
    let unicast = payload.get(7) == Some(&libc::RTN_UNICAST);
    (main && unicast && interfaces(attributes).contains(&index)).then_some(())?;
    let like: IpAddr = match i32::from(family) {
        libc::AF_INET => std::net::Ipv4Addr::UNSPECIFIED.into(),
        _ => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut route = Route {
        destination: with_bits(like, 0),
        prefix,
        gateway: None,
        scope: match *payload.get(6)? {
            libc::RT_SCOPE_LINK => Scope::Link,
            libc::RT_SCOPE_HOST => Scope::Host,
            _ => Scope::Global,
        },
        source: None,
    };
    for attribute in NlasIterator::new(attributes).flatten() {
        let value = || address(attribute.value());
        match attribute.kind() {
            libc::RTA_DST => route.destination = value()?,
            libc::RTA_GATEWAY => route.gateway = value(),
            libc::RTA_PREFSRC => route.source = value(),
            _ => {}
        }
    }
    Some(route)
}
