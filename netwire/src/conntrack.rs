//! Connections that the kernel tracks: those of an address that is given back, or of a port that leads elsewhere from now on,
//! are forgotten.
//!
//! A tracked connection keeps its translation for as long as packets come, of UDP for ever: a client that does not stop
//! sending would go on talking to nobody.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use crate::cidr::octets;
use crate::error::Error;
use crate::netlink::{Request, Socket};
use crate::nft::{Attributes, NFGENMSG, find};
use crate::publish::{Protocol, Publish};

const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const IPCTNL_MSG_CT_GET: u16 = 1;
const IPCTNL_MSG_CT_DELETE: u16 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
/// Bits of `CTA_FILTER_ORIG_FLAGS` and `CTA_FILTER_REPLY_FLAGS`.
const IP_SRC: u32 = 1 << 0;
const IP_DST: u32 = 1 << 1;
const PROTO_NUM: u32 = 1 << 3;

/// Part of the two tuples of a connection.
struct Filter {
    what: String,
    /// `AF_INET` or `AF_INET6`
    family: i32,
    /// `CTA_TUPLE_ORIG` or `CTA_TUPLE_REPLY`
    of: u16,
    tuple: Attributes,
    flags: u32,
}

/// Forgets all connections from and to a pod's address, translated ones included.
pub(crate) fn forget_address(address: IpAddr, verbose: bool) -> Result<(), Error> {
    let (source, destination) = if address.is_ipv4() { (1, 2) } else { (3, 4) };
    let end = |name: &str, of, kind, flags| {
        let ip = Attributes::default().bytes(kind, &octets(address));
        Filter {
            what: format!("{name} {address}"),
            family: if address.is_ipv4() {
                libc::AF_INET
            } else {
                libc::AF_INET6
            },
            of,
            tuple: Attributes::default().nested(1, &ip),
            flags,
        }
    };
    let filters = [
        end("from", CTA_TUPLE_ORIG, source, IP_SRC),
        end("to", CTA_TUPLE_ORIG, destination, IP_DST),
        // what was sent to a published port
        end("answered by", CTA_TUPLE_REPLY, source, IP_SRC),
    ];
    if !is_tracking() {
        return Ok(());
    }
    let mut socket = Socket::netfilter(verbose)?;
    match socket.batch(filters.iter().map(flush).collect()) {
        // Before Linux 6.8 those that are to go have to be named one by one.
        Err(error) if error.refused() == Some(Errno::EINVAL) => {
            forget_if(&filters, verbose, |_| true)
        }
        answer => answer.map(drop),
    }
}

/// All connections of UDP, of both families.
fn of_udp() -> [Filter; 2] {
    let protocol = Attributes::default().bytes(1, &[Protocol::Udp.number()]);
    [libc::AF_INET, libc::AF_INET6].map(|family| Filter {
        what: "udp".to_owned(),
        family,
        of: CTA_TUPLE_ORIG,
        tuple: Attributes::default().nested(2, &protocol),
        flags: PROTO_NUM,
    })
}

/// Forgets what is sent to ports of UDP that were published just now: it goes where it went before.
pub(crate) fn forget_ports(ports: &[Publish], verbose: bool) -> Result<(), Error> {
    let is_udp = |publish: &&Publish| publish.protocol == Protocol::Udp;
    let udp: Vec<&Publish> = ports.iter().filter(is_udp).collect();
    if udp.is_empty() {
        return Ok(());
    }
    forget_if(&of_udp(), verbose, |connection| {
        let tuple = find(connection, CTA_TUPLE_ORIG).unwrap_or_default();
        let port = find(tuple, 2).and_then(|protocol| find(protocol, 3));
        let Some(&[high, low]) = port else {
            return false;
        };
        let port = u16::from_be_bytes([high, low]);
        let mut first = udp.iter().filter(|publish| publish.host_port <= port);
        first.any(|publish| port - publish.host_port < publish.count)
    })
}

/// Forgets connections of UDP by where they were sent to, and by who answers.
pub(crate) fn forget_udp(
    verbose: bool,
    is_it: impl Fn(SocketAddr, SocketAddr) -> bool,
) -> Result<(), Error> {
    forget_if(&of_udp(), verbose, |connection| {
        let original = find(connection, CTA_TUPLE_ORIG);
        let reply = find(connection, CTA_TUPLE_REPLY);
        let to = original.and_then(|tuple| end_of(tuple, [2, 4], 3));
        let from = reply.and_then(|tuple| end_of(tuple, [1, 3], 2));
        to.zip(from).is_some_and(|(to, from)| is_it(to, from))
    })
}

/// One end of a tuple; which is told by the kinds of its address, of IPv4 and of IPv6, and of its port.
fn end_of(tuple: &[u8], addresses: [u16; 2], port: u16) -> Option<SocketAddr> {
    let ip = find(tuple, 1)?;
    let port: [u8; 2] = find(find(tuple, 2)?, port)?.try_into().ok()?;
    let ip: IpAddr = match (find(ip, addresses[0]), find(ip, addresses[1])) {
        (Some(ip), _) => <[u8; 4]>::try_from(ip).ok()?.into(),
        (None, ip) => <[u8; 16]>::try_from(ip?).ok()?.into(),
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(port)))
}

/// Each connection that one of the filters lets through, and which `is_it` by all that is known of it.
fn forget_if(
    filters: &[Filter],
    verbose: bool,
    is_it: impl Fn(&[u8]) -> bool,
) -> Result<(), Error> {
    if !is_tracking() {
        return Ok(());
    }
    let mut socket = Socket::netfilter(verbose)?;
    for filter in filters {
        let mut found = Vec::new();
        let answer = socket.dump_all(get(filter), |payload| {
            let attributes = payload.get(NFGENMSG..).unwrap_or_default();
            if is_it(attributes) {
                found.push(delete(filter, attributes));
            }
        });
        match answer {
            // no nf_conntrack_netlink in this kernel: nobody can ask it to forget
            Err(error) if error.refused() == Some(Errno::EINVAL) => return Ok(()),
            answer => answer?,
        }
        for request in found {
            match socket.batch(vec![request]) {
                // it has ended meanwhile
                Err(error) if error.refused() != Some(Errno::ENOENT) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether there are connections. To ask for them would have the kernel begin to track.
fn is_tracking() -> bool {
    fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count")
        .is_ok_and(|count| count.trim_end() != "0")
}

/// What tells of the connections that the filter lets through.
///
/// To tell of them the kernel takes a lock for each place of its table, of which there may be a quarter of a million: some
/// milliseconds. In order to delete them it passes over those that are empty.
fn get(filter: &Filter) -> Request {
    request(
        "IPCTNL_MSG_CT_GET",
        IPCTNL_MSG_CT_GET,
        filter,
        libc::NLM_F_DUMP,
        &conditions(filter),
    )
}

/// What deletes all of them.
fn flush(filter: &Filter) -> Request {
    request(
        "IPCTNL_MSG_CT_DELETE",
        IPCTNL_MSG_CT_DELETE,
        filter,
        0,
        &conditions(filter),
    )
}

fn conditions(filter: &Filter) -> Attributes {
    let flags = |of| if filter.of == of { filter.flags } else { 0 };
    // in the order of this machine, unlike everything else
    let filters = Attributes::default()
        .bytes(1, &flags(CTA_TUPLE_ORIG).to_ne_bytes())
        .bytes(2, &flags(CTA_TUPLE_REPLY).to_ne_bytes());
    Attributes::default()
        .nested(filter.of, &filter.tuple)
        .nested(CTA_FILTER, &filters)
}

/// The connection with these attributes, and no later one of the same addresses and ports.
fn delete(filter: &Filter, attributes: &[u8]) -> Request {
    let mut same = Attributes::default();
    for kind in [CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE] {
        if let Some(value) = find(attributes, kind) {
            let nested = if kind == CTA_TUPLE_ORIG { 0x8000 } else { 0 };
            same = same.bytes(kind | nested, value);
        }
    }
    request(
        "IPCTNL_MSG_CT_DELETE",
        IPCTNL_MSG_CT_DELETE,
        filter,
        0,
        &same,
    )
}

fn request(name: &str, kind: u16, filter: &Filter, flags: i32, attributes: &Attributes) -> Request {
    let family = u8::try_from(filter.family).unwrap_or_default();
    let body = [&[family, 0, 0, 0], attributes.0.as_slice()].concat();
    Request::raw(
        name,
        &filter.what,
        NFNL_SUBSYS_CTNETLINK << 8 | kind,
        flags,
        &body,
    )
}
