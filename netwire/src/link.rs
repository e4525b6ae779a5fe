//! What the kernel says of interfaces, addresses and routes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use netlink_packet_core::NlasIterator;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::route::RouteAddress;
use nix::errno::Errno;

use crate::error::Error;
use crate::netlink::{Request, Socket, string, u32_at, u64_at};
pub(crate) use crate::routes::{default_route, route_to};

/// struct ifinfomsg and ifaddrmsg of linux/rtnetlink.h.
const IFINFOMSG: usize = 16;
const IFADDRMSG: usize = 8;

/// `IF_OPER_UNKNOWN` of linux/if.h: a driver that does not tell.
pub(crate) const OPER_UNKNOWN: u8 = 0;
/// `IF_OPER_UP` of linux/if.h.
pub(crate) const OPER_UP: u8 = 6;

/// A hardware address of Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split(':').map(|part| {
            let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            digits.then(|| u8::from_str_radix(part, 16).ok())?
        });
        let bytes: Option<Vec<u8>> = parts.collect();
        let mac: Option<[u8; 6]> = bytes.and_then(|bytes| bytes.try_into().ok());
        match mac {
            None => Err("no hardware address (as 02:00:00:00:00:01)".into()),
            Some([0, 0, 0, 0, 0, 0]) => Err("all zero, no interface can have that".into()),
            Some([first, ..]) if first & 1 == 1 => {
                Err("is of a group, no interface can have that".into())
            }
            Some(mac) => Ok(Self(mac)),
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// One direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: u64,
    pub(crate) dropped: u64,
}

impl Counters {
    /// Of struct rtnl_link_stats64, in which each is there twice: received, then sent.
    fn parse(stats: &[u8], direction: usize) -> Option<Self> {
        let at = |place: usize| u64_at(stats, (2 * place + direction) * 8);
        Some(Self {
            packets: at(0)?,
            bytes: at(1)?,
            errors: at(2)?,
            dropped: at(3)?,
        })
    }
}

/// One interface, as `RTM_GETLINK` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its number in its namespace.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
    /// `IFLA_IFALIAS`
    pub(crate) alias: Option<String>,
    /// None: not Ethernet.
    pub(crate) mac: Option<Mac>,
    /// Bytes.
    pub(crate) mtu: u32,
    /// `IFF_UP`: somebody switched it on.
    pub(crate) up: bool,
    /// `IF_OPER_…` of linux/if.h.
    pub(crate) operstate: u8,
    /// Of a veth: the other end's number, in that one's namespace.
    pub(crate) peer: Option<u32>,
    /// `veth`, `bridge` …; None: a piece of hardware, or lo.
    pub(crate) kind: Option<String>,
    /// Of a port: its bridge's number.
    pub(crate) master: Option<u32>,
    /// Of a bridge: `vlan_filtering`.
    pub(crate) filters_vlans: bool,
    /// What it received, and what it sent; asked for only if wanted.
    pub(crate) rx: Counters,
    pub(crate) tx: Counters,
}

impl Link {
    /// From the payload of an `RTM_NEWLINK`.
    fn parse(payload: &[u8]) -> Option<Self> {
        let mut link = Self {
            index: u32_at(payload, 4)?,
            ..Self::default()
        };
        link.up = u32_at(payload, 8)? & libc::IFF_UP.cast_unsigned() != 0;
        for attribute in NlasIterator::new(payload.get(IFINFOMSG..)?).flatten() {
            let value = attribute.value();
            match attribute.kind() {
                libc::IFLA_IFNAME => link.name = string(value)?,
                libc::IFLA_IFALIAS => link.alias = string(value),
                libc::IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
                libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
                libc::IFLA_OPERSTATE => link.operstate = value.first().copied()?,
                libc::IFLA_LINK => link.peer = u32_at(value, 0),
                libc::IFLA_MASTER => link.master = u32_at(value, 0),
                libc::IFLA_STATS64 => {
                    link.rx = Counters::parse(value, 0)?;
                    link.tx = Counters::parse(value, 1)?;
                }
                libc::IFLA_LINKINFO => {
                    link.kind = info_kind(value);
                    link.filters_vlans =
                        link.kind.as_deref() == Some("bridge") && filters_vlans(value);
                }
                _ => {}
            }
        }
        Some(link)
    }

    /// `up`, `down` and the rest as ip(8) has them, in lower case.
    pub(crate) fn state(&self) -> &'static str {
        match self.operstate {
            1 => "notpresent",
            2 => "down",
            3 => "lowerlayerdown",
            4 => "testing",
            5 => "dormant",
            OPER_UP => "up",
            _ => "unknown",
        }
    }
}

/// `IFLA_INFO_KIND` of an `IFLA_LINKINFO`.
fn info_kind(info: &[u8]) -> Option<String> {
    let kind = NlasIterator::new(info)
        .flatten()
        .find(|nested| nested.kind() == libc::IFLA_INFO_KIND)?;
    string(kind.value())
}

/// `IFLA_BR_VLAN_FILTERING` of an `IFLA_LINKINFO`.
fn filters_vlans(info: &[u8]) -> bool {
    const IFLA_BR_VLAN_FILTERING: u16 = 7;
    let mut parts = NlasIterator::new(info).flatten();
    let Some(data) = parts.find(|nested| nested.kind() == libc::IFLA_INFO_DATA) else {
        return false;
    };
    let mut switches = NlasIterator::new(data.value()).flatten();
    switches.any(|one| one.kind() == IFLA_BR_VLAN_FILTERING && one.value() == [1])
}

/// Which interface is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By<'a> {
    /// Its name.
    Name(&'a str),
    /// Its number.
    Index(u32),
}

/// Asks for one interface; the counters only if wanted, they cost a loop over all processors.
pub(crate) fn get(by: By<'_>, counters: bool) -> Request {
    let mut message = LinkMessage::default();
    let what = match by {
        By::Name(name) => {
            message
                .attributes
                .push(LinkAttribute::IfName(name.to_owned()));
            name.to_owned()
        }
        By::Index(index) => {
            message.header.index = index;
            format!("index {index}")
        }
    };
    if !counters {
        message
            .attributes
            .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    }
    Request::new("RTM_GETLINK", &what, libc::RTM_GETLINK, 0, &message)
}

/// The kind of the interface in the payload of an `RTM_NEWLINK`: `veth`. None: hardware, or lo.
pub(crate) fn kind(payload: &[u8]) -> Option<String> {
    Link::parse(payload)?.kind
}

/// The bridge of the interface in the payload of an `RTM_NEWLINK`.
pub(crate) fn master(payload: &[u8]) -> Option<u32> {
    Link::parse(payload)?.master
}

/// The interface in an answer to [`get`].
pub(crate) fn parse(request: &str, answers: &[Vec<u8>]) -> Result<Link, Error> {
    let link = answers.last().and_then(|payload| Link::parse(payload));
    link.ok_or_else(|| Error::failed(format!("RTM_GETLINK({request}): an answer that is none")))
}

/// The interface `by`; None: there is none.
pub(crate) fn find(socket: &mut Socket, by: By<'_>, counters: bool) -> Result<Option<Link>, Error> {
    match socket.batch(vec![get(by, counters)]) {
        Ok(answers) => parse("", &answers).map(Some),
        Err(error) if error.refused() == Some(Errno::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every interface there is.
pub(crate) fn all(socket: &mut Socket) -> Result<Vec<Link>, Error> {
    let mut message = LinkMessage::default();
    let skip = LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]);
    message.attributes.push(skip);
    let flags = libc::NLM_F_DUMP;
    let request = Request::new("RTM_GETLINK", "all", libc::RTM_GETLINK, flags, &message);
    let mut links = Vec::new();
    socket.dump_all(request, |payload| links.extend(Link::parse(payload)))?;
    Ok(links)
}

/// The addresses of interface `index`, with their prefix lengths. The socket is used up.
pub(crate) fn addresses(socket: Socket, index: u32) -> Result<Vec<(IpAddr, u8)>, Error> {
    addresses_if(socket, index, |_, _| true)
}

/// Those of global scope that somebody has given it, and that do not end by themselves.
pub(crate) fn permanent_addresses(socket: Socket, index: u32) -> Result<Vec<(IpAddr, u8)>, Error> {
    addresses_if(socket, index, |scope, flags| {
        scope == libc::RT_SCOPE_UNIVERSE && flags & libc::IFA_F_PERMANENT != 0
    })
}

/// Those whose scope and flags are as wanted.
fn addresses_if(
    socket: Socket,
    index: u32,
    wanted: impl Fn(u8, u32) -> bool,
) -> Result<Vec<(IpAddr, u8)>, Error> {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Unspec;
    message.header.index = index;
    let what = format!("index {index}");
    let request = Request::new(
        "RTM_GETADDR",
        &what,
        libc::RTM_GETADDR,
        libc::NLM_F_DUMP,
        &message,
    );
    let mut found = Vec::new();
    socket.dump(request, |payload| {
        let attributes = NlasIterator::new(payload.get(IFADDRMSG..).unwrap_or_default()).flatten();
        // IPv6 has no IFA_LOCAL where there is no other end
        let local = attributes
            .filter(|attribute| matches!(attribute.kind(), libc::IFA_LOCAL | libc::IFA_ADDRESS));
        let local = local
            .filter_map(|attribute| address(attribute.value()))
            .next();
        // struct ifaddrmsg: family, length of the prefix, flags (8 bits of them), scope, number of the interface
        let (scope, flags) = (payload.get(3).copied(), payload.get(2).copied());
        let (scope, flags) = (scope.unwrap_or_default(), flags.unwrap_or_default().into());
        // Kernels that do not filter send all: the number tells.
        if let (Some(local), Some(&prefix), Some(of)) = (local, payload.get(1), u32_at(payload, 4))
            && of == index
            && wanted(scope, flags)
        {
            found.push((local, prefix));
        }
        true
    })?;
    Ok(found)
}

/// An address, as attributes have it.
pub(crate) fn address(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
        .ok()
}

/// An address as it is in a route.
pub(crate) fn route_address(address: IpAddr) -> (AddressFamily, RouteAddress) {
    match address {
        IpAddr::V4(address) => (AddressFamily::Inet, RouteAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, RouteAddress::Inet6(address)),
    }
}
