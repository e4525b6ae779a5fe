//! Who may begin to talk to whom: a layer that is there once a pod has such a rule.
//!
//! Two chains, because a packet from one pod to another has to pass the rules of both. Answers pass, and nothing else is
//! remembered: what the rules forbid now does not pass in a connection that was begun before.

use std::net::IpAddr;

use super::{
    CT_DIRECTION, CT_STATE, Chain, Family, INET, IPV4, IPV6, Layer, META_L4PROTO, RELATED, Rule,
    has_bits, hook, ranges, set, then_accept, then_drop,
};
use crate::cidr::octets;
use crate::nft::{Element, Expression, REGISTERS, Set, Type};
use crate::policy::{Direction, Policy};

pub(super) const LAYER: Layer = Layer {
    table: INET,
    sets,
    chains: &[
        Chain {
            name: INGRESS,
            kind: "filter",
            hook: hook::FORWARD,
            priority: 0,
        },
        Chain {
            name: EGRESS,
            kind: "filter",
            hook: hook::FORWARD,
            priority: 1,
        },
    ],
    rules,
};

const INGRESS: &str = "ingress";
const EGRESS: &str = "egress";

/// One direction of one family.
struct Way {
    chain: &'static str,
    family: &'static Family,
    /// Pods to whom only what is allowed comes through.
    isolated: &'static str,
    /// The pod and the others, whatever they send …
    deny: &'static str,
    /// … and what they send: protocol and port.
    deny_ports: &'static str,
    allow: &'static str,
    allow_ports: &'static str,
}

static WAYS: [Way; 4] = [
    Way {
        chain: INGRESS,
        family: &IPV4,
        isolated: "isolated_in4",
        deny: "deny_in4",
        deny_ports: "deny_ports_in4",
        allow: "allow_in4",
        allow_ports: "allow_ports_in4",
    },
    Way {
        chain: INGRESS,
        family: &IPV6,
        isolated: "isolated_in6",
        deny: "deny_in6",
        deny_ports: "deny_ports_in6",
        allow: "allow_in6",
        allow_ports: "allow_ports_in6",
    },
    Way {
        chain: EGRESS,
        family: &IPV4,
        isolated: "isolated_out4",
        deny: "deny_out4",
        deny_ports: "deny_ports_out4",
        allow: "allow_out4",
        allow_ports: "allow_ports_out4",
    },
    Way {
        chain: EGRESS,
        family: &IPV6,
        isolated: "isolated_out6",
        deny: "deny_out6",
        deny_ports: "deny_ports_out6",
        allow: "allow_out6",
        allow_ports: "allow_ports_out6",
    },
];

fn sets() -> Vec<Set> {
    let of = |way: &Way| {
        let (one, pair, ports): (&[Type], &[Type], &[Type]) = match way.family.number == IPV4.number
        {
            true => (
                &[Type::Ipv4],
                &[Type::Ipv4, Type::Ipv4],
                &[Type::Ipv4, Type::Ipv4, Type::Protocol, Type::Port],
            ),
            false => (
                &[Type::Ipv6],
                &[Type::Ipv6, Type::Ipv6],
                &[Type::Ipv6, Type::Ipv6, Type::Protocol, Type::Port],
            ),
        };
        [
            set(way.isolated, one, &[]),
            ranges(way.deny, pair),
            ranges(way.deny_ports, ports),
            ranges(way.allow, pair),
            ranges(way.allow_ports, ports),
        ]
    };
    WAYS.iter().flat_map(of).collect()
}

fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for chain in [INGRESS, EGRESS] {
        rules.push((chain, then_accept(related())));
        rules.push((chain, then_accept(answer())));
        for way in WAYS.iter().filter(|way| way.chain == chain) {
            let hairpin = way.family.hairpin;
            rules.extend(
                [
                    then_accept(way.pair(hairpin)),
                    then_drop(way.pair(way.deny)),
                    then_drop(way.ports(way.deny_ports)),
                    then_accept(way.pair(way.allow)),
                    then_accept(way.ports(way.allow_ports)),
                    then_drop(way.pod(way.isolated)),
                ]
                .map(|rule| (chain, rule)),
            );
        }
    }
    rules
}

/// `ct state related`: an error that a router sends about a connection is from the router.
fn related() -> Vec<Expression> {
    has_bits(Expression::ct(CT_STATE, REGISTERS[0]), RELATED)
}

/// `ct direction reply`
fn answer() -> Vec<Expression> {
    const IP_CT_DIR_REPLY: u8 = 1;
    vec![
        Expression::ct(CT_DIRECTION, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[IP_CT_DIR_REPLY]),
    ]
}

impl Way {
    /// Where the pod's address is in a packet, and where the other's.
    fn ends(&self) -> (u32, u32) {
        let (from, to) = (self.family.saddr, self.family.daddr);
        match self.chain == INGRESS {
            true => (to, from),
            false => (from, to),
        }
    }

    /// `ip daddr @set`
    fn pod(&self, set: &str) -> Vec<Expression> {
        let mut rule = self.family.only().to_vec();
        rule.push(self.family.address(self.ends().0, 0));
        rule.push(Expression::lookup(set, false));
        rule
    }

    /// Loads the pod's address and the other's.
    fn both(&self) -> Vec<Expression> {
        let (pod, other) = self.ends();
        let mut rule = self.family.only().to_vec();
        rule.push(self.family.address(pod, 0));
        rule.push(self.family.address(other, self.family.behind()));
        rule
    }

    /// `ip daddr . ip saddr @set`
    fn pair(&self, set: &str) -> Vec<Expression> {
        let mut rule = self.both();
        rule.push(Expression::lookup(set, false));
        rule
    }

    /// `ip daddr . ip saddr . meta l4proto . th dport @set`
    fn ports(&self, set: &str) -> Vec<Expression> {
        let behind = 2 * self.family.behind();
        let mut rule = self.both();
        rule.push(Expression::meta(META_L4PROTO, REGISTERS[behind]));
        rule.push(Expression::payload(2, 2, 2, REGISTERS[behind + 1]));
        rule.push(Expression::lookup(set, false));
        rule
    }

    fn direction<'a>(&self, policy: &'a Policy) -> &'a Direction {
        match self.chain == INGRESS {
            true => &policy.ingress,
            false => &policy.egress,
        }
    }
}

/// What the rules of a pod with this address need.
pub(super) fn elements(policy: &Policy, pod: IpAddr) -> Vec<Element> {
    let family = Family::of(pod);
    let mut elements = Vec::new();
    for way in WAYS.iter().filter(|way| way.family.number == family.number) {
        let direction = way.direction(policy);
        if direction.isolated {
            elements.push(Element::new(way.isolated, octets(pod)));
        }
        for (rules, plain, ports) in [
            (&direction.deny, way.deny, way.deny_ports),
            (&direction.allow, way.allow, way.allow_ports),
        ] {
            let ipv4 = pod.is_ipv4();
            elements.extend(rules.everything(ipv4).into_iter().map(|peer| Element {
                end: Some(key(pod, peer.last(), None)),
                ..Element::new(plain, key(pod, peer.first(), None))
            }));
            elements.extend(rules.ports(ipv4).into_iter().map(|of| Element {
                end: Some(key(pod, of.peer.last(), Some((of.protocol, of.last)))),
                ..Element::new(
                    ports,
                    key(pod, of.peer.first(), Some((of.protocol, of.first))),
                )
            }));
        }
    }
    elements
}

fn key(pod: IpAddr, other: IpAddr, port: Option<(u8, u16)>) -> Vec<u8> {
    let mut key = [octets(pod), octets(other)].concat();
    if let Some((protocol, port)) = port {
        let [high, low] = port.to_be_bytes();
        key.extend([protocol, 0, 0, 0, high, low, 0, 0]);
    }
    key
}
