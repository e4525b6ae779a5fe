//! IPv4 and IPv6: what their sets are called, and where in the registers the parts of a key lie.

use std::net::IpAddr;

use crate::nft::{Expression, REGISTERS, Set, Type};

/// One of the two.
///
/// The registers, in order: client . address . protocol . port . slot, and behind them endpoint . port. So the key of each map is
/// a part of them.
#[derive(Debug)]
pub(crate) struct Family {
    /// As chains have it.
    pub(crate) name: &'static str,
    /// `NFPROTO_…`
    pub(crate) number: u32,
    /// Of an address, in registers.
    length: usize,
    /// Of the addresses in the header.
    pub(crate) saddr: u32,
    pub(crate) daddr: u32,
    /// address . protocol . port : class
    pub(crate) services: &'static str,
    /// address . protocol . port . slot : endpoint . port
    pub(crate) endpoints: &'static str,
    /// protocol . port : class
    pub(crate) node_ports: &'static str,
    /// protocol . port . slot : endpoint . port
    pub(crate) node_endpoints: &'static str,
    /// An endpoint that reaches itself.
    pub(crate) hairpin: &'static str,
    /// Endpoints that are no pods of this machine.
    pub(crate) elsewhere: &'static str,
    /// clients . address . protocol . port
    pub(crate) denied: &'static str,
    /// clients . protocol . port
    pub(crate) node_denied: &'static str,
    /// client . address . protocol . port : slot
    pub(crate) affinity: &'static str,
    /// class : chain
    pub(crate) classes: &'static str,
    address: &'static [Type],
    pair: &'static [Type],
    service_key: &'static [Type],
    endpoint_key: &'static [Type],
    pub(crate) client_key: &'static [Type],
    node_client_key: &'static [Type],
    to_key: &'static [Type],
}

use Type::{Ipv4, Ipv6, Mark, Port, Priority, Protocol};

static IPV4: Family = Family {
    name: "ip",
    number: 2,
    length: 1,
    saddr: 12,
    daddr: 16,
    services: "services4",
    endpoints: "endpoints4",
    node_ports: "node_ports4",
    node_endpoints: "node_endpoints4",
    hairpin: "hairpin4",
    elsewhere: "elsewhere4",
    denied: "denied4",
    node_denied: "node_denied4",
    affinity: "affinity4",
    classes: "classes4",
    address: &[Ipv4],
    pair: &[Ipv4, Ipv4],
    service_key: &[Ipv4, Protocol, Port],
    endpoint_key: &[Ipv4, Protocol, Port, Mark],
    client_key: &[Ipv4, Ipv4, Protocol, Port],
    node_client_key: &[Ipv4, Protocol, Port],
    to_key: &[Ipv4, Port],
};

static IPV6: Family = Family {
    name: "ip6",
    number: 10,
    length: 4,
    saddr: 8,
    daddr: 24,
    services: "services6",
    endpoints: "endpoints6",
    node_ports: "node_ports6",
    node_endpoints: "node_endpoints6",
    hairpin: "hairpin6",
    elsewhere: "elsewhere6",
    denied: "denied6",
    node_denied: "node_denied6",
    affinity: "affinity6",
    classes: "classes6",
    address: &[Ipv6],
    pair: &[Ipv6, Ipv6],
    service_key: &[Ipv6, Protocol, Port],
    endpoint_key: &[Ipv6, Protocol, Port, Mark],
    client_key: &[Ipv6, Ipv6, Protocol, Port],
    node_client_key: &[Ipv6, Protocol, Port],
    to_key: &[Ipv6, Port],
};

/// Both.
pub(crate) static FAMILIES: [&Family; 2] = [&IPV4, &IPV6];

impl Family {
    pub(crate) fn of(ipv4: bool) -> &'static Self {
        if ipv4 { &IPV4 } else { &IPV6 }
    }

    pub(crate) fn of_address(address: IpAddr) -> &'static Self {
        Self::of(address.is_ipv4())
    }

    /// Registers by what is in them: who asks …
    #[expect(clippy::unused_self, reason = "the first, as the others follow it")]
    pub(crate) fn client(&self) -> usize {
        0
    }

    /// … which address …
    pub(crate) fn vip(&self) -> usize {
        self.length
    }

    /// … by which protocol …
    pub(crate) fn protocol(&self) -> usize {
        2 * self.length
    }

    /// … at which port …
    pub(crate) fn port(&self) -> usize {
        2 * self.length + 1
    }

    /// … with which luck; …
    pub(crate) fn slot(&self) -> usize {
        2 * self.length + 2
    }

    /// … and what comes of it: an address …
    pub(crate) fn to(&self) -> usize {
        2 * self.length + 3
    }

    /// … and a port.
    pub(crate) fn to_port(&self) -> usize {
        3 * self.length + 3
    }

    /// The address at an offset of the header into the registers from `register`.
    pub(crate) fn load_address(&self, offset: u32, register: usize) -> Expression {
        let bytes = if self.length == 1 { 4 } else { 16 };
        Expression::payload(1, offset, bytes, REGISTERS[register])
    }

    /// Those that rules only read, except the one that leads to chains.
    pub(crate) fn sets(&self) -> [Set; 8] {
        let set = |name, key, data| Set {
            name,
            key,
            data,
            ranges: false,
        };
        let ranges = |name, key| Set {
            ranges: true,
            ..set(name, key, &[])
        };
        [
            set(self.services, self.service_key, &[Priority]),
            set(self.endpoints, self.endpoint_key, self.to_key),
            set(self.node_ports, &[Protocol, Port], &[Priority]),
            set(self.node_endpoints, &[Protocol, Port, Mark], self.to_key),
            set(self.hairpin, self.pair, &[]),
            set(self.elsewhere, self.address, &[]),
            ranges(self.denied, self.client_key),
            ranges(self.node_denied, self.node_client_key),
        ]
    }
}
