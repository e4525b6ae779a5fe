//! Our one table of nf_tables, as data: what is done to packets, and to whose.
//!
//! The rules are the same however many pods there are; what differs is elements of sets, each with the pod it is for as
//! its comment. `nft list table inet chroot0` shows it.

mod elements;

use crate::netlink::Request;
use crate::nft::{self, Expression, REGISTERS, Set, Type};

pub(crate) use elements::{comment, elements, ifname_key, owner};

/// Its name, in family inet.
pub(crate) const TABLE: &str = "chroot0";
/// One element for each attachment that has any: the table goes with the last.
pub(crate) const VETHS: &str = "veths";
/// Interfaces of the host that were made to forward, and did not before.
pub(crate) const OPENED: &str = "opened";
/// Only there with `--accept-forward`.
pub(crate) const ACCEPT: &str = "accepted";
/// On a rule of ours in a table of somebody else.
pub(crate) const FOREIGN: &str = "chroot0";
/// The mark by which that rule knows what is to be accepted. A bit that kube-proxy, podman and docker leave alone.
const MARK: u32 = 0x0100_0000;

const ADDRESS: &[Type] = &[Type::Ipv4];
const PAIR: &[Type] = &[Type::Ipv4, Type::Ipv4];
const TARGET: &[Type] = &[Type::Ipv4, Type::Port];

/// The sets, in the order in which elements are added.
pub(crate) const SETS: [Set; 7] = [
    set(VETHS, &[Type::Ifname], &[]),
    // Pods whose packets leave with the host's address …
    set("masquerade4", ADDRESS, &[]),
    // … except to these ranges, pod by pod: two pods may share a range, and each takes its own away.
    Set {
        name: "direct4",
        key: PAIR,
        data: &[],
        ranges: true,
    },
    // A pod that reaches itself by a published port.
    set("hairpin4", PAIR, &[]),
    set("ports4", &[Type::Protocol, Type::Port], TARGET),
    set(
        "host_ports4",
        &[Type::Ipv4, Type::Protocol, Type::Port],
        TARGET,
    ),
    set(OPENED, &[Type::Ifname], &[]),
];

const fn set(name: &'static str, key: &'static [Type], data: &'static [Type]) -> Set {
    Set {
        name,
        key,
        data,
        ranges: false,
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
const NFPROTO_IPV4: u8 = 2;
/// Offsets in struct iphdr.
const SADDR: u32 = 12;
const DADDR: u32 = 16;

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
        rule("raw", loopback_of_a_pod(DADDR)),
        rule("raw", loopback_of_a_pod(SADDR)),
        rule("raw", from_somewhere_else()),
        rule("prerouting", published_on_address()),
        rule("prerouting", published()),
        rule("output", published_on_address()),
        rule("output", published()),
        rule("postrouting", hairpin()),
        rule("postrouting", from_the_hosts_loopback()),
        rule("postrouting", to_the_world()),
        rule("forward", neither_published_nor_answer()),
    ]);
    requests
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

fn ipv4() -> [Expression; 2] {
    [
        Expression::meta(META_NFPROTO, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[NFPROTO_IPV4]),
    ]
}

fn address(offset: u32, register: u32) -> Expression {
    Expression::payload(1, offset, 4, register)
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
    rule.extend(ipv4());
    rule.extend([
        Expression::payload(1, offset, 1, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[127]),
        Expression::drop(),
    ]);
    rule
}

/// `iifname @veths fib saddr . iif oif missing drop`: as a strict `rp_filter`, where the host's setting overrules that of the
/// interface.
fn from_somewhere_else() -> Vec<Expression> {
    let mut rule = vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, false),
    ];
    rule.extend(ipv4());
    rule.extend([
        Expression::fib_saddr_iif_oif(REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[0; 4]),
        Expression::drop(),
    ]);
    rule
}

/// `fib daddr type local`: what is for another machine's port of the same number passes.
fn to_the_host() -> Vec<Expression> {
    const RTN_LOCAL: u32 = 2;
    let mut rule = vec![
        Expression::fib_daddr_type(REGISTERS[0]),
        Expression::equal(REGISTERS[0], &RTN_LOCAL.to_ne_bytes()),
    ];
    rule.extend(ipv4());
    rule
}

/// `dnat ip to ip daddr . meta l4proto . th dport map @host_ports4`
fn published_on_address() -> Vec<Expression> {
    let mut rule = to_the_host();
    rule.extend([
        address(DADDR, REGISTERS[0]),
        Expression::meta(META_L4PROTO, REGISTERS[1]),
        Expression::payload(2, 2, 2, REGISTERS[2]),
        Expression::lookup_data("host_ports4"),
        Expression::dnat(u32::from(NFPROTO_IPV4), REGISTERS[1]),
    ]);
    rule
}

/// `dnat ip to meta l4proto . th dport map @ports4`
fn published() -> Vec<Expression> {
    let mut rule = to_the_host();
    rule.extend([
        Expression::meta(META_L4PROTO, REGISTERS[0]),
        Expression::payload(2, 2, 2, REGISTERS[1]),
        Expression::lookup_data("ports4"),
        Expression::dnat(u32::from(NFPROTO_IPV4), REGISTERS[1]),
    ]);
    rule
}

/// `ip saddr . ip daddr @hairpin4 masquerade`: a packet from its own address is one no kernel takes.
fn hairpin() -> Vec<Expression> {
    let mut rule = ipv4().to_vec();
    rule.extend([
        address(SADDR, REGISTERS[0]),
        address(DADDR, REGISTERS[1]),
        Expression::lookup("hairpin4", false),
        Expression::masquerade(),
    ]);
    rule
}

/// `ip saddr 127.0.0.0/8 oifname @veths masquerade`: to the pod, 127.0.0.1 is itself.
fn from_the_hosts_loopback() -> Vec<Expression> {
    let mut rule = ipv4().to_vec();
    rule.extend([
        Expression::payload(1, SADDR, 1, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[127]),
        Expression::meta(META_OIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, false),
        Expression::masquerade(),
    ]);
    rule
}

/// `ip saddr @masquerade4 ip daddr != 224.0.0.0/4 oifname != @veths ip saddr . ip daddr != @direct4 masquerade`
fn to_the_world() -> Vec<Expression> {
    let mut rule = ipv4().to_vec();
    rule.extend([
        address(SADDR, REGISTERS[0]),
        Expression::lookup("masquerade4", false),
        address(DADDR, REGISTERS[0]),
        Expression::bits(REGISTERS[0], [0xf0, 0, 0, 0], [0; 4]),
        Expression::differs(REGISTERS[0], &[0xe0, 0, 0, 0]),
        Expression::meta(META_OIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, true),
        address(SADDR, REGISTERS[0]),
        address(DADDR, REGISTERS[1]),
        Expression::lookup("direct4", true),
        Expression::masquerade(),
    ]);
    rule
}

/// `iifname @opened ct state != established,related ct status != dnat drop`: an interface that was made to forward for the
/// sake of answers and published ports makes no router of the host.
fn neither_published_nor_answer() -> Vec<Expression> {
    let none_of = |load, bits: u32| {
        [
            load,
            Expression::bits(REGISTERS[0], bits.to_ne_bytes(), [0; 4]),
            Expression::equal(REGISTERS[0], &[0; 4]),
        ]
    };
    let mut rule = vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::lookup(OPENED, false),
    ];
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
