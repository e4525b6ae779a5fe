//! Connections that the kernel tracks, and that go where the rules would not send them any more.

use std::fs;
use std::net::IpAddr;

use nix::errno::Errno;

use crate::error::Error;
use crate::link::address;
use crate::netlink::{Request, Socket};
use crate::nft::{NFGENMSG, find};

const CTNETLINK_GET: u16 = 1 << 8 | 1;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;

/// What is looked for: who sends to whom, and where the rules send it now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) port: u16,
    /// Where it goes, translated.
    pub(super) goes_to: IpAddr,
    /// With another source than its own.
    pub(super) masqueraded: bool,
}

/// One end to another: addresses, protocol, ports.
struct Tuple {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    source_port: u16,
    port: u16,
}

/// A connection of this kind that was begun under other rules, in words.
///
/// Only UDP uses one for as long as its program runs: the next of TCP gets what the rules say now.
pub(super) fn stale(asked: Asked) -> Result<Option<String>, Error> {
    // To ask would have the kernel begin to track.
    match fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count") {
        Ok(count) if count.trim_end() != "0" => {}
        _ => return Ok(None),
    }
    let mut socket = Socket::netfilter(false)?;
    let family = if asked.source.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let body = [u8::try_from(family).unwrap_or_default(), 0, 0, 0];
    let what = format!("from {}", asked.source);
    let name = "IPCTNL_MSG_CT_GET";
    let request = Request::raw(name, &what, CTNETLINK_GET, libc::NLM_F_DUMP, &body);
    let mut found = None;
    let answer = socket.dump_all(request, |payload| {
        let attributes = payload.get(NFGENMSG..).unwrap_or_default();
        found = found.take().or_else(|| differs(attributes, asked));
    });
    match answer {
        // no nf_conntrack_netlink in this kernel
        Err(error) if error.refused() == Some(Errno::EINVAL) => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(found),
    }
}

fn differs(attributes: &[u8], asked: Asked) -> Option<String> {
    const UDP: u8 = 17;
    let begun = tuple(find(attributes, CTA_TUPLE_ORIG)?)?;
    let answers = tuple(find(attributes, CTA_TUPLE_REPLY)?)?;
    let same = (begun.source, begun.destination) == (asked.source, asked.destination)
        && (begun.protocol, begun.port) == (asked.protocol, asked.port);
    (same && begun.protocol == UDP).then_some(())?;
    let (to, from) = (answers.source, answers.destination);
    let why = if to != asked.goes_to {
        format!("goes to {to}, where new ones go to {}", asked.goes_to)
    } else if (from != begun.source) != asked.masqueraded {
        match asked.masqueraded {
            true => "keeps its own address, where new ones are translated".to_owned(),
            false => format!("is translated to {from}, where new ones keep their address"),
        }
    } else {
        return None;
    };
    Some(format!(
        "the tracked connection from port {} {why}, for as long as it is used",
        begun.source_port
    ))
}

fn tuple(attributes: &[u8]) -> Option<Tuple> {
    const CTA_TUPLE_IP: u16 = 1;
    const CTA_TUPLE_PROTO: u16 = 2;
    let (ip, protocol) = (
        find(attributes, CTA_TUPLE_IP)?,
        find(attributes, CTA_TUPLE_PROTO)?,
    );
    let ip_of = |v4, v6| find(ip, v4).or_else(|| find(ip, v6)).and_then(address);
    let port = |kind| {
        let bytes = find(protocol, kind)?;
        Some(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]))
    };
    Some(Tuple {
        source: ip_of(1, 3)?,
        destination: ip_of(2, 4)?,
        protocol: *find(protocol, 1)?.first()?,
        source_port: port(2).unwrap_or_default(),
        port: port(3).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cidr::octets;
    use crate::nft::Attributes;

    fn entry(source: &str, destination: &str, ports: (u16, u16)) -> Attributes {
        let ip = |text: &str| octets(text.parse().unwrap());
        let ips = Attributes::default()
            .bytes(1, &ip(source))
            .bytes(2, &ip(destination));
        let protocol = Attributes::default()
            .bytes(1, &[17])
            .bytes(2, &ports.0.to_be_bytes())
            .bytes(3, &ports.1.to_be_bytes());
        Attributes::default().nested(1, &ips).nested(2, &protocol)
    }

    #[test]
    fn only_what_goes_another_way_is_stale() {
        let asked = Asked {
            source: "10.0.0.2".parse().unwrap(),
            destination: "192.0.2.9".parse().unwrap(),
            protocol: 17,
            port: 53,
            goes_to: "192.0.2.9".parse().unwrap(),
            masqueraded: true,
        };
        let of = |answers: &Attributes| {
            let begun = entry("10.0.0.2", "192.0.2.9", (4000, 53));
            let both = Attributes::default().nested(1, &begun).nested(2, answers);
            differs(&both.0, asked)
        };
        assert_eq!(of(&entry("192.0.2.9", "192.0.2.1", (53, 4000))), None);
        let own = of(&entry("192.0.2.9", "10.0.0.2", (53, 4000))).unwrap();
        assert!(
            own.contains("from port 4000 keeps its own address"),
            "{own}"
        );
        let other = of(&entry("10.0.0.9", "192.0.2.1", (53, 4000))).unwrap();
        assert!(other.contains("goes to 10.0.0.9, where new ones go to 192.0.2.9"));
    }
}
