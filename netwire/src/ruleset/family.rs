//! IPv4 and IPv6: where addresses are in a packet, and which sets are for them.

use std::net::IpAddr;

use super::META_NFPROTO;
use crate::nft::{Expression, REGISTERS};

/// IPv4 or IPv6, as rules and sets know them.
#[derive(Debug)]
pub(crate) struct Family {
    /// `NFPROTO_…`
    pub(super) number: u8,
    /// Of an address.
    pub(super) length: u32,
    /// Of the addresses in the header.
    pub(super) saddr: u32,
    pub(super) daddr: u32,
    /// Pods whose packets leave with the host's address …
    pub(crate) masquerade: &'static str,
    /// … except to these ranges, pod by pod: two pods may share a range, and each takes its own away.
    pub(crate) direct: &'static str,
    /// A pod that reaches itself by a published port.
    pub(crate) hairpin: &'static str,
    /// A pod on a bridge, with that.
    pub(crate) bridged: &'static str,
    /// Published on any address of the host.
    pub(crate) ports: &'static str,
    /// And on one.
    pub(crate) host_ports: &'static str,
    /// Interfaces of the host that were made to forward, and did not before.
    pub(crate) opened: &'static str,
}

pub(crate) const IPV4: Family = Family {
    number: 2,
    length: 4,
    saddr: 12,
    daddr: 16,
    masquerade: "masquerade4",
    direct: "direct4",
    hairpin: "hairpin4",
    bridged: "bridged4",
    ports: "ports4",
    host_ports: "host_ports4",
    opened: "opened4",
};
pub(crate) const IPV6: Family = Family {
    number: 10,
    length: 16,
    saddr: 8,
    daddr: 24,
    masquerade: "masquerade6",
    direct: "direct6",
    hairpin: "hairpin6",
    bridged: "bridged6",
    ports: "ports6",
    host_ports: "host_ports6",
    opened: "opened6",
};

impl Family {
    /// Of an address.
    pub(crate) fn of(address: IpAddr) -> &'static Self {
        match address {
            IpAddr::V4(_) => &IPV4,
            IpAddr::V6(_) => &IPV6,
        }
    }

    /// The register behind an address.
    pub(super) fn behind(&self) -> usize {
        self.length as usize / 4
    }

    pub(super) fn only(&self) -> [Expression; 2] {
        [
            Expression::meta(META_NFPROTO, REGISTERS[0]),
            Expression::equal(REGISTERS[0], &[self.number]),
        ]
    }

    pub(super) fn address(&self, offset: u32, register: usize) -> Expression {
        Expression::payload(1, offset, self.length, REGISTERS[register])
    }

    /// `iifname . ip saddr @bridged4`, or `oifname . ip daddr @bridged4`, or not.
    pub(super) fn on_a_bridge(&self, name: u32, offset: u32, inverted: bool) -> Vec<Expression> {
        let mut rule = self.only().to_vec();
        rule.extend([
            Expression::meta(name, REGISTERS[0]),
            self.address(offset, 4),
            Expression::lookup(self.bridged, inverted),
        ]);
        rule
    }
}
