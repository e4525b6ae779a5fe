//! What ports of bridges are kept from: a table of family bridge, keyed by the port a frame comes in by.
//!
//! Frames between two ports never pass the table of the host's own packets, and a bridge believes whatever it is told:
//! who has which hardware address, and ports tell each other who has which address and who is the router.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    BRIDGE, Chain, Layer, META_IIFNAME, META_L4PROTO, PORTS, Rule, hook, ifname_key, set,
    then_accept, then_drop,
};
use crate::cidr::octets;
use crate::link::Mac;
use crate::nft::{Element, Expression, REGISTERS, Set, Type};

/// Ports whose pods are kept from passing for others; of all, nothing of 127.0.0.0/8 is taken.
const GUARDED: &str = "guarded";
const MACS: &str = "macs";
const SOURCES4: &str = "sources4";
const SOURCES6: &str = "sources6";

const CHAIN: &str = "prerouting";

pub(super) const LAYER: Layer = Layer {
    table: BRIDGE,
    sets,
    chains: &[Chain {
        name: CHAIN,
        kind: "filter",
        hook: hook::PREROUTING,
        // before br_netfilter hands packets to others, and before the bridge learns who is where
        priority: -300,
    }],
    rules,
};

fn sets() -> Vec<Set> {
    vec![
        set(PORTS, &[Type::Ifname], &[]),
        set(GUARDED, &[Type::Ifname], &[]),
        set(MACS, &[Type::Ifname, Type::Ether], &[]),
        set(SOURCES4, &[Type::Ifname, Type::Ipv4], &[]),
        set(SOURCES6, &[Type::Ifname, Type::Ipv6], &[]),
    ]
}

const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// Types of ICMPv6, RFC 4861 and RFC 3810.
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
const MULTICAST_REPORT: u8 = 143;

fn rules() -> Vec<Rule> {
    let list = [
        then_accept(port(PORTS, true)),
        then_drop(loopback(16)),
        then_drop(loopback(12)),
        then_accept(port(GUARDED, true)),
        then_drop(from_another_mac()),
        then_accept(with_source(ether_type(IPV4), 12, 4, SOURCES4)),
        then_accept(arp()),
        then_drop(icmpv6(ROUTER_ADVERTISEMENT)),
        then_drop(icmpv6(REDIRECT)),
        then_drop(advertised(SOURCES6, true)),
        then_accept(with_source(ether_type(IPV6), 8, 16, SOURCES6)),
        then_accept(probed()),
        then_accept(unspecified(icmpv6(MULTICAST_REPORT))),
        then_drop(port(GUARDED, false)),
    ];
    list.map(|rule| (CHAIN, rule)).into()
}

/// `iifname @set`
fn port(set: &str, inverted: bool) -> Vec<Expression> {
    vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::lookup(set, inverted),
    ]
}

/// `ether type ip`. Not `meta protocol`: in a frame with a tag that is what comes behind it.
fn ether_type(kind: [u8; 2]) -> Vec<Expression> {
    vec![
        Expression::payload(0, 12, 2, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &kind),
    ]
}

/// `ip daddr 127.0.0.0/8`: a bridge with published ports has an interface on which these are no longer martian.
fn loopback(offset: u32) -> Vec<Expression> {
    let mut rule = ether_type(IPV4);
    rule.push(Expression::payload(1, offset, 1, REGISTERS[0]));
    rule.push(Expression::equal(REGISTERS[0], &[127]));
    rule
}

/// `iifname . ether saddr != @macs`
fn from_another_mac() -> Vec<Expression> {
    vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::payload(0, 6, 6, REGISTERS[4]),
        Expression::lookup(MACS, true),
    ]
}

/// `iifname . ip saddr @set`
fn with_source(mut rule: Vec<Expression>, offset: u32, length: u32, set: &str) -> Vec<Expression> {
    rule.extend([
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::payload(1, offset, length, REGISTERS[4]),
        Expression::lookup(set, false),
    ]);
    rule
}

/// `arp htype 1 arp ptype ip iifname . arp saddr ether @macs iifname . arp saddr ip @sources4`
fn arp() -> Vec<Expression> {
    let mut rule = ether_type(ARP);
    rule.extend([
        // Ethernet, IPv4, and how long their addresses are: then those are where we look
        Expression::payload(1, 0, 6, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[0, 1, 8, 0, 6, 4]),
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::payload(1, 8, 6, REGISTERS[4]),
        Expression::lookup(MACS, false),
    ]);
    with_source(rule, 14, 4, SOURCES4)
}

/// `icmpv6 type …`
fn icmpv6(kind: u8) -> Vec<Expression> {
    const ICMPV6: u8 = 58;
    let mut rule = ether_type(IPV6);
    rule.extend([
        Expression::meta(META_L4PROTO, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[ICMPV6]),
        Expression::payload(2, 0, 1, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[kind]),
    ]);
    rule
}

/// `iifname . icmpv6 taddr @set`
fn about(mut rule: Vec<Expression>, set: &str, inverted: bool) -> Vec<Expression> {
    rule.extend([
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::payload(2, 8, 16, REGISTERS[4]),
        Expression::lookup(set, inverted),
    ]);
    rule
}

fn advertised(set: &str, inverted: bool) -> Vec<Expression> {
    about(icmpv6(NEIGHBOUR_ADVERTISEMENT), set, inverted)
}

/// `ip6 saddr ::`
fn unspecified(mut rule: Vec<Expression>) -> Vec<Expression> {
    rule.push(Expression::payload(1, 8, 16, REGISTERS[0]));
    rule.push(Expression::equal(REGISTERS[0], &[0; 16]));
    rule
}

/// A pod asks whether somebody has an address of its own.
fn probed() -> Vec<Expression> {
    about(unspecified(icmpv6(NEIGHBOUR_SOLICITATION)), SOURCES6, false)
}

/// What a pod behind `veth` needs, that has these addresses; `guarded`: and is to have no others.
pub(super) fn elements(veth: &str, mac: Mac, pods: &[IpAddr], guarded: bool) -> Vec<Element> {
    let element =
        |set, behind: &[u8]| Element::new(set, [ifname_key(veth).as_slice(), behind].concat());
    let mut elements = vec![element(PORTS, &[])];
    if !guarded {
        return elements;
    }
    elements.push(element(GUARDED, &[]));
    elements.push(element(MACS, &[&mac.0[..], &[0, 0]].concat()));
    for pod in pods {
        let set = if pod.is_ipv4() { SOURCES4 } else { SOURCES6 };
        elements.push(element(set, &octets(*pod)));
    }
    if pods.iter().any(IpAddr::is_ipv6) {
        elements.push(element(SOURCES6, &link_local(mac).octets()));
    }
    elements
}

/// The address of the link that a hardware address makes, RFC 4291.
fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let low = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    Ipv6Addr::from_bits(0xfe80_u128 << 112 | u128::from(u64::from_be_bytes(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_link_follows_from_the_mac() {
        let mac = "02:6e:f6:70:09:c0".parse().unwrap();
        assert_eq!(link_local(mac).to_string(), "fe80::6e:f6ff:fe70:9c0");
    }

    #[test]
    fn a_port_is_always_known_and_its_addresses_when_it_is_guarded() {
        let mac = "02:6e:f6:70:09:c0".parse().unwrap();
        let pods = ["10.244.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let sets = |guarded| -> Vec<&str> {
            let elements = elements("veth1", mac, &pods, guarded);
            elements.iter().map(|element| element.set).collect()
        };
        assert_eq!(sets(false), [PORTS]);
        assert_eq!(
            sets(true),
            [PORTS, GUARDED, MACS, SOURCES4, SOURCES6, SOURCES6]
        );
    }
}
