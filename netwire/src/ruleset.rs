//! Our one table of nf_tables, as data: what is done to packets, and to whose.
//!
//! The rules are the same however many pods there are; what differs is elements of sets, each with the pod it is for as
//! its comment. `nft list table inet chroot0` shows it.

mod elements;

use std::net::IpAddr;

use crate::netlink::Request;
use crate::nft::{self, Expression, REGISTERS, Set, Type};

pub(crate) use elements::{comment, elements, ifname_key, owner};

/// Its name, in family inet.
pub(crate) const TABLE: &str = "chroot0";
/// One element for each attachment that has any: the table goes with the last.
pub(crate) const VETHS: &str = "veths";
/// Only there with `--accept-forward`.
pub(crate) const ACCEPT: &str = "accepted";
/// On a rule of ours in a table of somebody else.
pub(crate) const FOREIGN: &str = "chroot0";
/// The mark by which that rule knows what is to be accepted. A bit that kube-proxy, podman and docker leave alone.
const MARK: u32 = 0x0100_0000;

/// IPv4 or IPv6, as rules and sets know them.
#[derive(Debug)]
pub(crate) struct Family {
    /// `NFPROTO_…`
    number: u8,
    /// Of an address.
    length: u32,
    /// Of the addresses in the header.
    saddr: u32,
    daddr: u32,
    /// Pods whose packets leave with the host's address …
    pub(crate) masquerade: &'static str,
    /// … except to these ranges, pod by pod: two pods may share a range, and each takes its own away.
    pub(crate) direct: &'static str,
    /// A pod that reaches itself by a published port.
    pub(crate) hairpin: &'static str,
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
    fn behind(&self) -> usize {
        self.length as usize / 4
    }

    fn only(&self) -> [Expression; 2] {
        [
            Expression::meta(META_NFPROTO, REGISTERS[0]),
            Expression::equal(REGISTERS[0], &[self.number]),
        ]
    }

    fn address(&self, offset: u32, register: usize) -> Expression {
        Expression::payload(1, offset, self.length, REGISTERS[register])
    }
}

const PORT: &[Type] = &[Type::Protocol, Type::Port];

/// The sets, in the order in which elements are added.
pub(crate) const SETS: [Set; 13] = [
    set(VETHS, &[Type::Ifname], &[]),
    set(IPV4.masquerade, &[Type::Ipv4], &[]),
    ranges(IPV4.direct, &[Type::Ipv4, Type::Ipv4]),
    set(IPV4.hairpin, &[Type::Ipv4, Type::Ipv4], &[]),
    set(IPV4.ports, PORT, &[Type::Ipv4, Type::Port]),
    set(
        IPV4.host_ports,
        &[Type::Ipv4, Type::Protocol, Type::Port],
        &[Type::Ipv4, Type::Port],
    ),
    set(IPV6.masquerade, &[Type::Ipv6], &[]),
    ranges(IPV6.direct, &[Type::Ipv6, Type::Ipv6]),
    set(IPV6.hairpin, &[Type::Ipv6, Type::Ipv6], &[]),
    set(IPV6.ports, PORT, &[Type::Ipv6, Type::Port]),
    set(
        IPV6.host_ports,
        &[Type::Ipv6, Type::Protocol, Type::Port],
        &[Type::Ipv6, Type::Port],
    ),
    set(IPV4.opened, &[Type::Ifname], &[]),
    set(IPV6.opened, &[Type::Ifname], &[]),
];

const fn set(name: &'static str, key: &'static [Type], data: &'static [Type]) -> Set {
    Set {
        name,
        key,
        data,
        ranges: false,
    }
}

const fn ranges(name: &'static str, key: &'static [Type]) -> Set {
    Set {
        name,
        key,
        data: &[],
        ranges: true,
    }
}

/// linux/netfilter_ipv4.h
mod hook {
    pub(super) const PREROUTING: u32 = 0;
    pub(super) const FORWARD: u32 = 2;
    pub(super) const OUTPUT: u32 = 3;
    pub(super) const POSTROUTING: u32 = 4;
}

/// `NFT_META_…`, `NFT_CT_…` and bits of linux/netfilter/nf_conntrack_common.h.
const META_MARK: u32 = 3;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const ESTABLISHED_OR_RELATED: u32 = 0x2 | 0x4;
const IPS_DST_NAT: u32 = 0x20;

/// The table, its sets, chains and rules, without any element.
pub(crate) fn create() -> Vec<Request> {
    let mut requests = vec![nft::new_table(TABLE)];
    requests.extend(
        (1..)
            .zip(&SETS)
            .map(|(number, set)| nft::new_set(TABLE, set, number)),
    );
    for (chain, kind, hook, priority) in [
        ("raw", "filter", hook::PREROUTING, -300),
        ("prerouting", "nat", hook::PREROUTING, -100),
        ("output", "nat", hook::OUTPUT, -100),
        ("postrouting", "nat", hook::POSTROUTING, 100),
        ("forward", "filter", hook::FORWARD, -1),
    ] {
        requests.push(nft::new_chain(TABLE, chain, kind, hook, priority));
    }
    let rule = |chain, expressions: Vec<Expression>| {
        nft::new_rule(nft::INET, (TABLE, chain), &expressions, None, false)
    };
    requests.extend([
        rule("raw", loopback_of_a_pod(IPV4.daddr)),
        rule("raw", loopback_of_a_pod(IPV4.saddr)),
        rule("raw", from_somewhere_else(&IPV4)),
        rule("raw", from_somewhere_else(&IPV6)),
        rule("raw", router_of_a_pod()),
    ]);
    for family in [&IPV4, &IPV6] {
        for chain in ["prerouting", "output"] {
            requests.push(rule(chain, published_on_address(family)));
            requests.push(rule(chain, published(family)));
        }
        requests.push(rule("postrouting", hairpin(family)));
    }
    requests.extend([
        rule("postrouting", from_the_hosts_loopback()),
        rule("postrouting", to_the_world(&IPV4)),
        rule("postrouting", to_the_world(&IPV6)),
        rule("forward", neither_published_nor_answer(&IPV4)),
        rule("forward", neither_published_nor_answer(&IPV6)),
    ]);
    requests
}

/// How many rules [`create`] makes.
pub(crate) fn rules() -> usize {
    let is_rule = |request: &&Request| request.call.starts_with("NFT_MSG_NEWRULE");
    create().iter().filter(is_rule).count()
}

/// For hosts whose own chains drop what is forwarded: marks what goes to and from pods, for a rule in each such chain.
///
/// A verdict of ours cannot keep a packet from another chain, and a rule there cannot ask our sets.
pub(crate) fn create_accept() -> Vec<Request> {
    let to_a_pod = |steps: Vec<Expression>| {
        let mut rule = vec![
            Expression::meta(META_OIFNAME, REGISTERS[0]),
            Expression::lookup(VETHS, false),
        ];
        rule.extend(steps);
        rule
    };
    let from_a_pod = vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, false),
    ];
    let rules = [
        from_a_pod,
        to_a_pod(has_bits(
            Expression::ct(CT_STATE, REGISTERS[0]),
            ESTABLISHED_OR_RELATED,
        )),
        to_a_pod(has_bits(
            Expression::ct(CT_STATUS, REGISTERS[0]),
            IPS_DST_NAT,
        )),
    ];
    // before the filters of others, and after nobody's mark
    let mut requests = vec![nft::new_chain(TABLE, ACCEPT, "filter", hook::FORWARD, -2)];
    for mut expressions in rules {
        expressions.extend([
            Expression::meta(META_MARK, REGISTERS[0]),
            Expression::bits(REGISTERS[0], (!MARK).to_ne_bytes(), MARK.to_ne_bytes()),
            Expression::set_meta(META_MARK, REGISTERS[0]),
        ]);
        requests.push(nft::new_rule(
            nft::INET,
            (TABLE, ACCEPT),
            &expressions,
            None,
            false,
        ));
    }
    requests
}

/// The rule at the beginning of somebody else's chain.
pub(crate) fn accept_marked(family: u8, table: &str, chain: &str) -> Request {
    let mut rule = has_bits(Expression::meta(META_MARK, REGISTERS[0]), MARK);
    rule.push(Expression::accept());
    nft::new_rule(family, (table, chain), &rule, Some(FOREIGN), true)
}

/// Goes on when one of the bits of what `load` brings is set.
fn has_bits(load: Expression, bits: u32) -> Vec<Expression> {
    vec![
        load,
        Expression::bits(REGISTERS[0], bits.to_ne_bytes(), [0; 4]),
        Expression::differs(REGISTERS[0], &[0; 4]),
    ]
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

/// `iifname @veths fib saddr . iif oif missing drop`: as a strict `rp_filter`, which IPv6 has not, and which the host's setting
/// may overrule. Addresses of the link mean something on that link alone.
fn from_somewhere_else(family: &Family) -> Vec<Expression> {
    let mut rule = vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, false),
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

/// `iifname @veths icmpv6 type nd-router-advert drop`
fn router_of_a_pod() -> Vec<Expression> {
    const ICMPV6: u8 = 58;
    const ROUTER_ADVERTISEMENT: u8 = 134;
    let mut rule = vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, false),
        Expression::meta(META_L4PROTO, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[ICMPV6]),
    ];
    rule.extend([
        Expression::payload(2, 0, 1, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[ROUTER_ADVERTISEMENT]),
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

/// `ip saddr 127.0.0.0/8 oifname @veths masquerade`: to the pod, 127.0.0.1 is itself.
fn from_the_hosts_loopback() -> Vec<Expression> {
    let mut rule = IPV4.only().to_vec();
    rule.extend([
        Expression::payload(1, IPV4.saddr, 1, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[127]),
        Expression::meta(META_OIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, false),
        Expression::masquerade(),
    ]);
    rule
}

/// `ip saddr @masquerade4 ip daddr != 224.0.0.0/4 oifname != @veths ip saddr . ip daddr != @direct4 masquerade`
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
