//! Address translation, published ports, and what makes them safe: the layer that every pod of the table has.

use super::{
    CT_STATE, CT_STATUS, Chain, ESTABLISHED_OR_RELATED, Family, INET, IPS_DST_NAT, IPV4, IPV6,
    LOOSENED, Layer, META_IIFNAME, META_L4PROTO, META_OIFNAME, Rule, VETHS, has_bits, hook, ranges,
    set,
};
use crate::nft::{Expression, REGISTERS, Set, Type};

pub(super) const LAYER: Layer = Layer {
    table: INET,
    sets,
    chains: &[
        chain("raw", "filter", hook::PREROUTING, -300),
        chain("prerouting", "nat", hook::PREROUTING, -100),
        chain("output", "nat", hook::OUTPUT, -100),
        chain("postrouting", "nat", hook::POSTROUTING, 100),
        chain("forward", "filter", hook::FORWARD, -1),
    ],
    rules,
};

const fn chain(name: &'static str, kind: &'static str, hook: u32, priority: i32) -> Chain {
    Chain {
        name,
        kind,
        hook,
        priority,
    }
}

/// The host's ends of pods that are to have no other address.
pub(super) const GUARDED: &str = "guarded_veths";

const PORT: &[Type] = &[Type::Protocol, Type::Port];

fn sets() -> Vec<Set> {
    vec![
        set(VETHS, &[Type::Ifname], &[]),
        set(GUARDED, &[Type::Ifname], &[]),
        set(IPV4.masquerade, &[Type::Ipv4], &[]),
        ranges(IPV4.direct, &[Type::Ipv4, Type::Ipv4]),
        set(IPV4.hairpin, &[Type::Ipv4, Type::Ipv4], &[]),
        set(IPV4.bridged, &[Type::Ifname, Type::Ipv4], &[]),
        set(IPV4.ports, PORT, &[Type::Ipv4, Type::Port]),
        set(
            IPV4.host_ports,
            &[Type::Ipv4, Type::Protocol, Type::Port],
            &[Type::Ipv4, Type::Port],
        ),
        set(IPV6.masquerade, &[Type::Ipv6], &[]),
        ranges(IPV6.direct, &[Type::Ipv6, Type::Ipv6]),
        set(IPV6.hairpin, &[Type::Ipv6, Type::Ipv6], &[]),
        set(IPV6.bridged, &[Type::Ifname, Type::Ipv6], &[]),
        set(IPV6.ports, PORT, &[Type::Ipv6, Type::Port]),
        set(
            IPV6.host_ports,
            &[Type::Ipv6, Type::Protocol, Type::Port],
            &[Type::Ipv6, Type::Port],
        ),
        set(IPV4.opened, &[Type::Ifname], &[]),
        set(IPV6.opened, &[Type::Ifname], &[]),
        set(LOOSENED, &[Type::Ifname], &[]),
    ]
}

fn rules() -> Vec<Rule> {
    let mut rules = vec![
        ("raw", loopback_of_a_pod(IPV4.daddr)),
        ("raw", loopback_of_a_pod(IPV4.saddr)),
        ("raw", from_somewhere_else(&IPV4)),
        ("raw", from_somewhere_else(&IPV6)),
        ("raw", router_of_a_pod(ROUTER_ADVERTISEMENT)),
        ("raw", router_of_a_pod(REDIRECT)),
    ];
    for family in [&IPV4, &IPV6] {
        for chain in ["prerouting", "output"] {
            rules.push((chain, published_on_address(family)));
            rules.push((chain, published(family)));
        }
        rules.push(("postrouting", hairpin(family)));
        rules.push(("postrouting", between_ports(family)));
    }
    rules.extend([
        ("postrouting", from_the_hosts_loopback(to_a_veth())),
        ("postrouting", from_the_hosts_loopback(to_a_bridge())),
        ("postrouting", to_the_world(&IPV4)),
        ("postrouting", to_the_world(&IPV6)),
        ("forward", neither_published_nor_answer(&IPV4)),
        ("forward", neither_published_nor_answer(&IPV6)),
    ]);
    rules
}

/// `iifname @veths ip daddr 127.0.0.0/8 drop`: a pod that publishes a port has an interface on which the host's loopback
/// addresses are no longer martian. Before conntrack turns an answer to 127.0.0.1 into one.
fn loopback_of_a_pod(offset: u32) -> Vec<Expression> {
    let mut rule = vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, false),
    ];
    rule.extend(IPV4.only());
    rule.extend([
        Expression::payload(1, offset, 1, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[127]),
        Expression::drop(),
    ]);
    rule
}

/// `iifname @guarded_veths fib saddr . iif oif missing drop`: as a strict `rp_filter`, which IPv6 has not, and which the host's setting
/// may overrule. Addresses of the link mean something on that link alone.
fn from_somewhere_else(family: &Family) -> Vec<Expression> {
    let mut rule = vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::lookup(GUARDED, false),
    ];
    rule.extend(family.only());
    if family.number == IPV6.number {
        rule.extend([
            Expression::payload(1, family.saddr, 4, REGISTERS[0]),
            Expression::bits(REGISTERS[0], [0xff, 0xc0, 0, 0], [0; 4]),
            Expression::differs(REGISTERS[0], &[0xfe, 0x80, 0, 0]),
        ]);
    }
    rule.extend([
        Expression::fib_saddr_iif_oif(REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[0; 4]),
        Expression::drop(),
    ]);
    rule
}

/// Types of ICMPv6, RFC 4861.
const ROUTER_ADVERTISEMENT: u8 = 134;
const REDIRECT: u8 = 137;

/// `iifname @guarded_veths icmpv6 type nd-router-advert drop`
fn router_of_a_pod(kind: u8) -> Vec<Expression> {
    const ICMPV6: u8 = 58;
    let mut rule = vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::lookup(GUARDED, false),
        Expression::meta(META_L4PROTO, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[ICMPV6]),
    ];
    rule.extend([
        Expression::payload(2, 0, 1, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[kind]),
        Expression::drop(),
    ]);
    rule
}

/// `fib daddr type local`: what is for another machine's port of the same number passes.
fn to_the_host(family: &Family) -> Vec<Expression> {
    const RTN_LOCAL: u32 = 2;
    let mut rule = vec![
        Expression::fib_daddr_type(REGISTERS[0]),
        Expression::equal(REGISTERS[0], &RTN_LOCAL.to_ne_bytes()),
    ];
    rule.extend(family.only());
    rule
}

/// `dnat ip to ip daddr . meta l4proto . th dport map @host_ports4`
fn published_on_address(family: &Family) -> Vec<Expression> {
    let (protocol, port) = (family.behind(), family.behind() + 1);
    let mut rule = to_the_host(family);
    rule.extend([
        family.address(family.daddr, 0),
        Expression::meta(META_L4PROTO, REGISTERS[protocol]),
        Expression::payload(2, 2, 2, REGISTERS[port]),
        Expression::lookup_data(family.host_ports),
        Expression::dnat(u32::from(family.number), REGISTERS[family.behind()]),
    ]);
    rule
}

/// `dnat ip to meta l4proto . th dport map @ports4`
fn published(family: &Family) -> Vec<Expression> {
    let mut rule = to_the_host(family);
    rule.extend([
        Expression::meta(META_L4PROTO, REGISTERS[0]),
        Expression::payload(2, 2, 2, REGISTERS[1]),
        Expression::lookup_data(family.ports),
        Expression::dnat(u32::from(family.number), REGISTERS[family.behind()]),
    ]);
    rule
}

/// `ip saddr . ip daddr @hairpin4 masquerade`: a packet from its own address is one no kernel takes.
fn hairpin(family: &Family) -> Vec<Expression> {
    let mut rule = family.only().to_vec();
    rule.extend([
        family.address(family.saddr, 0),
        family.address(family.daddr, family.behind()),
        Expression::lookup(family.hairpin, false),
        Expression::masquerade(),
    ]);
    rule
}

/// `ct status dnat iifname . ip daddr @bridged4 masquerade`: from one port of a bridge to another. The answer would not come by
/// here, and be from somebody who was never asked.
fn between_ports(family: &Family) -> Vec<Expression> {
    let mut rule = has_bits(Expression::ct(CT_STATUS, REGISTERS[0]), IPS_DST_NAT);
    rule.extend(family.on_a_bridge(META_IIFNAME, family.daddr, false));
    rule.push(Expression::masquerade());
    rule
}

/// `ip saddr 127.0.0.0/8 oifname @veths masquerade`: to the pod, 127.0.0.1 is itself.
fn from_the_hosts_loopback(to_a_pod: Vec<Expression>) -> Vec<Expression> {
    let mut rule = IPV4.only().to_vec();
    rule.extend([
        Expression::payload(1, IPV4.saddr, 1, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[127]),
    ]);
    rule.extend(to_a_pod);
    rule.push(Expression::masquerade());
    rule
}

fn to_a_veth() -> Vec<Expression> {
    vec![
        Expression::meta(META_OIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, false),
    ]
}

fn to_a_bridge() -> Vec<Expression> {
    IPV4.on_a_bridge(META_OIFNAME, IPV4.daddr, false)
}

/// `ip saddr @masquerade4 ip daddr != 224.0.0.0/4 oifname != @veths oifname . ip daddr != @bridged4
/// ip saddr . ip daddr != @direct4 masquerade`
fn to_the_world(family: &Family) -> Vec<Expression> {
    let (mask, multicast) = match family.number == IPV4.number {
        true => ([0xf0, 0, 0, 0], [0xe0, 0, 0, 0]),
        false => ([0xff, 0, 0, 0], [0xff, 0, 0, 0]),
    };
    let mut rule = family.only().to_vec();
    rule.extend([
        family.address(family.saddr, 0),
        Expression::lookup(family.masquerade, false),
        Expression::payload(1, family.daddr, 4, REGISTERS[0]),
        Expression::bits(REGISTERS[0], mask, [0; 4]),
        Expression::differs(REGISTERS[0], &multicast),
        Expression::meta(META_OIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, true),
    ]);
    rule.extend(family.on_a_bridge(META_OIFNAME, family.daddr, true));
    rule.extend([
        family.address(family.saddr, 0),
        family.address(family.daddr, family.behind()),
        Expression::lookup(family.direct, true),
        Expression::masquerade(),
    ]);
    rule
}

/// `iifname @opened4 ct state != established,related ct status != dnat drop`: an interface that was made to forward for the
/// sake of answers and published ports makes no router of the host.
fn neither_published_nor_answer(family: &Family) -> Vec<Expression> {
    let none_of = |load, bits: u32| {
        [
            load,
            Expression::bits(REGISTERS[0], bits.to_ne_bytes(), [0; 4]),
            Expression::equal(REGISTERS[0], &[0; 4]),
        ]
    };
    let mut rule = vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::lookup(family.opened, false),
    ];
    rule.extend(family.only());
    rule.extend(none_of(
        Expression::ct(CT_STATE, REGISTERS[0]),
        ESTABLISHED_OR_RELATED,
    ));
    rule.extend(none_of(
        Expression::ct(CT_STATUS, REGISTERS[0]),
        IPS_DST_NAT,
    ));
    rule.push(Expression::drop());
    rule
}
