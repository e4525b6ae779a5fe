//! One `--allow` or `--deny`: who, and what of theirs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::cidr::Cidr;
use crate::publish::{self, Protocol};

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// The other side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    All,
    In(Cidr),
}

impl Peer {
    /// As a range of one family.
    fn range(self, ipv4: bool) -> Option<Cidr> {
        let all: IpAddr = match ipv4 {
            true => Ipv4Addr::UNSPECIFIED.into(),
            false => Ipv6Addr::UNSPECIFIED.into(),
        };
        match self {
            Self::All => Some(Cidr::new(all, 0)),
            Self::In(range) => (range.first().is_ipv4() == ipv4).then_some(range),
        }
    }

    fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::In(range), Self::In(other)) => range.covers(other),
            (Self::In(_), Self::All) => false,
        }
    }
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Everything,
    Icmp,
    /// To ports from one to another, as the pod that has them numbers them.
    Ports(Protocol, u16, u16),
}

impl What {
    fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Everything, _) | (Self::Icmp, Self::Icmp) => true,
            (Self::Ports(one, first, last), Self::Ports(other, from, to)) => {
                one == other && first <= from && to <= last
            }
            _ => false,
        }
    }
}

/// One `--allow` or `--deny`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    peer: Peer,
    what: What,
}

impl Rule {
    /// Whether it speaks of everybody and everything: as `--deny`, that is no rule but the default.
    pub(super) fn is_all(self) -> bool {
        self.peer == Peer::All && self.what == What::Everything
    }

    /// Whether all that `other` speaks of is spoken of here.
    pub(super) fn covers(self, other: Self) -> bool {
        self.peer.covers(other.peer) && self.what.covers(other.what)
    }

    /// Whether it can mean anything to a pod that has addresses of these families.
    pub(super) fn concerns(self, ipv4: bool, ipv6: bool) -> bool {
        match self.peer {
            Peer::All => true,
            Peer::In(range) if range.first().is_ipv4() => ipv4,
            Peer::In(_) => ipv6,
        }
    }

    /// Of whom everything of one family is meant; None: of nobody.
    pub(super) fn everything(&self, ipv4: bool) -> Option<Cidr> {
        let whole = self.what == What::Everything;
        self.peer.range(ipv4).filter(|_| whole)
    }

    /// Whose ports of one family are meant; None: none, or everything.
    pub(super) fn ports(&self, ipv4: bool) -> Option<PeerPorts> {
        let peer = self.peer.range(ipv4)?;
        let (protocol, first, last) = match self.what {
            What::Everything => return None,
            What::Icmp if ipv4 => (ICMP, 0, u16::MAX),
            What::Icmp => (ICMPV6, 0, u16::MAX),
            What::Ports(protocol, first, last) => (protocol.number(), first, last),
        };
        Some(PeerPorts {
            peer,
            protocol,
            first,
            last,
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Peer::All => f.write_str("all")?,
            Peer::In(range) => write!(f, "{range}")?,
        }
        match self.what {
            What::Everything => Ok(()),
            What::Icmp => f.write_str(",icmp"),
            What::Ports(protocol, 0, u16::MAX) => write!(f, ",{}", protocol.name()),
            What::Ports(protocol, first, last) if first == last => {
                write!(f, ",{first}/{}", protocol.name())
            }
            What::Ports(protocol, first, last) => {
                write!(f, ",{first}-{last}/{}", protocol.name())
            }
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (peer, what) = match text.split_once(',') {
            Some((peer, what)) => (peer, Some(what)),
            None => (text, None),
        };
        let peer = match peer {
            "all" => Peer::All,
            range => Peer::In(range.parse()?),
        };
        let what = match what {
            None => What::Everything,
            Some("icmp") => What::Icmp,
            Some(what) => ports(what)?,
        };
        Ok(Self { peer, what })
    }
}

/// `PORT[-PORT][/PROTOCOL]` or `PROTOCOL`.
fn ports(text: &str) -> Result<What, String> {
    if let Ok(protocol) = text.parse() {
        return Ok(What::Ports(protocol, 0, u16::MAX));
    }
    let (ports, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    if !ports.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(format!(
            "{text:?} is neither a port (80, 53/udp, 8000-8009) nor tcp, udp, sctp or icmp"
        ));
    }
    let (first, count) = publish::range(ports)?;
    Ok(What::Ports(protocol.parse()?, first, first + (count - 1)))
}

/// A range of ports of one protocol, and of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerPorts {
    pub(crate) peer: Cidr,
    pub(crate) protocol: u8,
    pub(crate) first: u16,
    pub(crate) last: u16,
}
