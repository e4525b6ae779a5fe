//! The table of the services, as data: rules that are the same however many services there are, and one chain for each number
//! of endpoints that occurs.
//!
//! A packet's destination is looked up in `services4`, which tells how many endpoints there are (and how long a client keeps
//! its own). That number leads to the chain that draws one of so many, and what was drawn is looked up in `endpoints4`.
//! `nft list table inet chroot0-services` shows it.

use super::family::{FAMILIES, Family};
use crate::netlink::Request;
use crate::nft::{self, Expression, REGISTERS, Table, Type};

/// Its name, in family inet. Not that of the pods: each comes and goes with what is in it.
pub(crate) const TABLE: Table = Table {
    family: nft::INET,
    name: "chroot0-services",
};
/// Where packets come to from the two hooks.
pub(crate) const CHAIN: &str = "services";
/// Rules of [`CHAIN`], and who comes to it: less is a table that was flushed.
pub(crate) const USES: u32 = 4 * 2 + 2;

/// How many clients of services with affinity are remembered.
const CLIENTS: u32 = 1 << 18;

/// linux/netfilter_ipv4.h
const PREROUTING: u32 = 0;
const OUTPUT: u32 = 3;
const POSTROUTING: u32 = 4;
/// `NFT_META_…`, `NFT_CT_…` and a bit of linux/netfilter/nf_conntrack_common.h.
const META_PRIORITY: u32 = 2;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const CT_STATUS: u32 = 2;
const IPS_DST_NAT: u32 = 0x20;
const RTN_LOCAL: u32 = 2;
const TCP: u8 = 6;

/// What services have in common that a chain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Class {
    pub(crate) ipv4: bool,
    /// Endpoints, each as often as its weight says.
    pub(crate) slots: u32,
    /// How long a client keeps its own; 0: it does not.
    pub(crate) seconds: u32,
    /// Of a port of the machine; else of an address of the service.
    pub(crate) node: bool,
}

impl Class {
    fn family(self) -> &'static Family {
        Family::of(self.ipv4)
    }

    /// The name of its chain.
    pub(crate) fn chain(self) -> String {
        let node = if self.node { "-node" } else { "" };
        let Self { slots, seconds, .. } = self;
        let family = self.family().name;
        match seconds {
            0 => format!("{family}{node}-{slots}"),
            _ => format!("{family}{node}-{slots}-{seconds}s"),
        }
    }

    /// What leads to it, the data of a service: slots have 13 bits, seconds 17.
    pub(crate) fn key(self) -> [u8; 4] {
        let key = u32::from(self.node) << 30 | self.seconds << 13 | self.slots;
        key.to_ne_bytes()
    }

    /// Its chain, with the rules, and what leads there.
    pub(crate) fn create(self) -> Vec<Request> {
        let family = self.family();
        let chain = self.chain();
        let mut requests = vec![nft::new_regular_chain(TABLE, &chain)];
        let mut rules = vec![no_priority().into()];
        let slot = family.slot();
        let draw = Expression::random(self.slots, slot);
        match (self.slots, self.seconds) {
            (0, _) => rules.extend(refused()),
            (_, 0) => rules.push(self.to_slot(&[draw])),
            _ => {
                let look_up = Expression::look_up(family.affinity, family.client(), slot);
                rules.push(
                    self.to_slot(
                        &[&[look_up], &through_priority(slot)[..], &no_priority()].concat(),
                    ),
                );
                rules.push(self.to_slot(&[draw]));
            }
        }
        requests.extend(rules.iter().map(|rule| rule_of(&chain, rule)));
        let map = family.classes;
        requests.push(nft::add_goto(TABLE, map, &self.key(), &chain));
        requests
    }

    /// The opposite.
    pub(crate) fn remove(self) -> [Request; 2] {
        nft::remove_goto(TABLE, self.family().classes, &self.key(), &self.chain())
    }

    /// To the endpoint of the slot that `choose` puts into its register.
    fn to_slot(self, choose: &[Expression]) -> Vec<Expression> {
        let family = self.family();
        let (client, slot, to) = (family.client(), family.slot(), family.to());
        let (endpoints, key) = match self.node {
            false => (family.endpoints, family.vip()),
            true => (family.node_endpoints, family.protocol()),
        };
        let mut rule = destination(family);
        if self.seconds > 0 {
            rule.push(family.load_address(family.saddr, client));
        }
        rule.extend_from_slice(choose);
        if self.seconds > 0 {
            rule.extend([
                family.load_address(family.saddr, client),
                Expression::remember(family.affinity, client, slot, self.seconds),
            ]);
        }
        rule.push(Expression::look_up(endpoints, key, to));
        rule.push(Expression::dnat_to(family.number, to, family.to_port()));
        rule
    }
}

/// A number that comes out of a map, as it becomes a key: by way of the packet's priority. nft(8) before 1.1 aborts at a key
/// that is the data of a map, whatever is done to it in between.
fn through_priority(register: usize) -> [Expression; 2] {
    [
        Expression::set_meta(META_PRIORITY, REGISTERS[register]),
        Expression::meta(META_PRIORITY, REGISTERS[register]),
    ]
}

/// As it was: the first packet of a connection comes along here, and no other.
fn no_priority() -> [Expression; 2] {
    [
        Expression::zero(0),
        Expression::set_meta(META_PRIORITY, REGISTERS[0]),
    ]
}

/// The table, its sets, chains and rules, without any element or class.
pub(crate) fn create() -> Vec<Request> {
    let mut requests = vec![nft::new_table(TABLE)];
    let mut number = 0;
    for family in FAMILIES {
        for set in family.sets() {
            number += 1;
            requests.push(nft::new_set(TABLE, &set, number));
        }
        let of = (family.client_key, &[Type::Mark][..]);
        requests.extend([
            nft::new_memory(TABLE, family.affinity, of, CLIENTS, number + 1),
            nft::new_verdict_map(TABLE, family.classes, &[Type::Priority], number + 2),
        ]);
        number += 2;
    }
    requests.push(nft::new_regular_chain(TABLE, CHAIN));
    for (chain, hook, priority) in [
        ("prerouting", PREROUTING, -100),
        ("output", OUTPUT, -100),
        ("postrouting", POSTROUTING, 100),
    ] {
        requests.push(nft::new_chain(TABLE, chain, "nat", hook, priority));
    }
    for chain in ["prerouting", "output"] {
        requests.push(rule_of(chain, &[Expression::jump(CHAIN)]));
    }
    for family in FAMILIES {
        for rule in [
            denied(family),
            of_service(family),
            node_denied(family),
            of_node_port(family),
        ] {
            requests.push(rule_of(CHAIN, &rule));
        }
        for rule in [hairpin(family), elsewhere(family)] {
            requests.push(rule_of("postrouting", &rule));
        }
    }
    requests
}

fn rule_of(chain: &str, rule: &[Expression]) -> Request {
    nft::new_rule(nft::INET, (TABLE.name, chain), rule, None, false)
}

fn only(family: &Family) -> [Expression; 2] {
    let number = u8::try_from(family.number).unwrap_or_default();
    [
        Expression::meta(META_NFPROTO, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[number]),
    ]
}

/// Protocol and port the packet is sent to, where the key of a service has them.
fn load_port(family: &Family) -> [Expression; 2] {
    [
        Expression::meta(META_L4PROTO, REGISTERS[family.protocol()]),
        Expression::payload(2, 2, 2, REGISTERS[family.port()]),
    ]
}

/// Where the packet is sent to: the key of a service.
fn destination(family: &Family) -> Vec<Expression> {
    let mut rule = only(family).to_vec();
    rule.push(family.load_address(family.daddr, family.vip()));
    rule.extend(load_port(family));
    rule
}

/// `fib daddr type local`: one of the machine's own addresses, and a port. Not 127.0.0.1: an answer to that address from
/// outside of the machine is a martian.
fn to_the_machine(family: &Family) -> Vec<Expression> {
    let mut rule = only(family).to_vec();
    rule.extend([
        Expression::fib_daddr_type(REGISTERS[0]),
        Expression::equal(REGISTERS[0], &RTN_LOCAL.to_ne_bytes()),
    ]);
    rule.extend(match family.number {
        2 => [
            Expression::payload(1, family.daddr, 1, REGISTERS[0]),
            Expression::differs(REGISTERS[0], &[127]),
        ],
        _ => [
            family.load_address(family.daddr, 0),
            Expression::differs(REGISTERS[0], &std::net::Ipv6Addr::LOCALHOST.octets()),
        ],
    });
    rule.extend(load_port(family));
    rule
}

/// `ip saddr . ip daddr . meta l4proto . th dport @denied4 drop`
fn denied(family: &Family) -> Vec<Expression> {
    let mut rule = destination(family);
    rule.extend([
        family.load_address(family.saddr, family.client()),
        Expression::is_in(family.denied, family.client()),
        Expression::drop(),
    ]);
    rule
}

/// `ip saddr . meta l4proto . th dport @node_denied4 drop`
fn node_denied(family: &Family) -> Vec<Expression> {
    let mut rule = to_the_machine(family);
    rule.extend([
        family.load_address(family.saddr, family.vip()),
        Expression::is_in(family.node_denied, family.vip()),
        Expression::drop(),
    ]);
    rule
}

/// `ip daddr . meta l4proto . th dport map @services4 vmap @classes4`
fn of_service(family: &Family) -> Vec<Expression> {
    let to = family.to();
    let mut rule = destination(family);
    rule.push(Expression::look_up(family.services, family.vip(), to));
    rule.extend(through_priority(to));
    rule.push(Expression::look_up_verdict(family.classes, to));
    rule
}

/// `meta l4proto . th dport map @node_ports4 vmap @classes4`
fn of_node_port(family: &Family) -> Vec<Expression> {
    let to = family.to();
    let mut rule = to_the_machine(family);
    rule.push(Expression::look_up(
        family.node_ports,
        family.protocol(),
        to,
    ));
    rule.extend(through_priority(to));
    rule.push(Expression::look_up_verdict(family.classes, to));
    rule
}

/// Nobody is there: it is said at once, and not left to a timeout.
fn refused() -> Vec<Vec<Expression>> {
    let tcp = vec![
        Expression::meta(META_L4PROTO, REGISTERS[0]),
        Expression::equal(REGISTERS[0], &[TCP]),
        Expression::reset(),
    ];
    vec![tcp, vec![Expression::unreachable()]]
}

/// `ct status dnat`
fn translated(family: &Family) -> Vec<Expression> {
    let mut rule = only(family).to_vec();
    rule.extend([
        Expression::ct(CT_STATUS, REGISTERS[0]),
        Expression::bits(REGISTERS[0], IPS_DST_NAT.to_ne_bytes(), [0; 4]),
        Expression::differs(REGISTERS[0], &[0; 4]),
    ]);
    rule
}

/// `ct status dnat ip saddr . ip daddr @hairpin4 masquerade`: a packet from its own address is one no kernel takes.
fn hairpin(family: &Family) -> Vec<Expression> {
    let mut rule = translated(family);
    rule.extend([
        family.load_address(family.saddr, 0),
        family.load_address(family.daddr, family.vip()),
        Expression::is_in(family.hairpin, 0),
        Expression::masquerade(),
    ]);
    rule
}

/// `ct status dnat ip daddr @elsewhere4 fib saddr type != local masquerade`: who is no pod of this machine would answer to the
/// client itself, and past us.
fn elsewhere(family: &Family) -> Vec<Expression> {
    let mut rule = translated(family);
    rule.extend([
        family.load_address(family.daddr, 0),
        Expression::is_in(family.elsewhere, 0),
        Expression::fib_saddr_type(REGISTERS[0]),
        Expression::differs(REGISTERS[0], &RTN_LOCAL.to_ne_bytes()),
        Expression::masquerade(),
    ]);
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_large_as_the_check_of_it_believes() {
        let rules = create()
            .into_iter()
            .filter(|request| request.call == format!("NFT_MSG_NEWRULE({TABLE} {CHAIN})"));
        // and the jumps of two hooks
        assert_eq!(rules.count() + 2, USES as usize);
    }

    #[test]
    fn no_two_classes_have_the_same_key() {
        let class = |slots, seconds, node| Class {
            ipv4: true,
            slots,
            seconds,
            node,
        };
        for (class, chain, key) in [
            (class(2, 0, false), "ip-2", 2),
            (class(0, 10_800, false), "ip-0-10800s", 10_800 << 13),
            (
                class(4096, 86_400, true),
                "ip-node-4096-86400s",
                1 << 30 | 86_400 << 13 | 4096,
            ),
        ] {
            let found = u32::from_ne_bytes(class.key());
            assert_eq!((class.chain().as_str(), found), (chain, key));
        }
        let most = class(4096, 86_400, true);
        assert!(most.slots < 1 << 13 && most.seconds < 1 << 17);
    }
}
