//! Our tables of nf_tables, as data: what is done to packets, and to whose.
//!
//! The rules are the same however many pods there are; what differs is elements of sets, each with the pod it is for as
//! its comment. `nft list table inet chroot0` shows it. A table is made of layers, each there when somebody needs it.

mod accept;
mod bridge;
mod elements;
mod family;
mod nat;
mod policy;

use crate::netlink::Request;
use crate::nft::{self, Expression, REGISTERS, Set, Table, Type};

pub(crate) use accept::{ACCEPT, FOREIGN, accept_marked, count_accept, create_accept};
pub(crate) use elements::{comment, elements, ifname_key, owner};
pub(crate) use family::{Family, IPV4, IPV6};

/// What is translated, published, allowed and denied.
pub(crate) const INET: Table = Table {
    family: nft::INET,
    name: "chroot0",
};
/// What frames of ports of a bridge may be.
pub(crate) const BRIDGE: Table = Table {
    family: nft::BRIDGE,
    name: "chroot0",
};
/// One element for each attachment that has any: the table goes with the last.
pub(crate) const VETHS: &str = "veths";
/// The same of the table of bridges.
const PORTS: &str = "ports";
/// Interfaces of the host whose `rp_filter` was strict. No rule asks for them.
pub(crate) const LOOSENED: &str = "loosened";

pub(crate) const TABLES: [Table; 2] = [INET, BRIDGE];

/// The set of a table that has an element for each attachment that has any.
pub(crate) fn marker(table: Table) -> &'static str {
    match table == INET {
        true => VETHS,
        false => PORTS,
    }
}

/// Sets, and the chains and rules that ask them.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) table: Table,
    /// In the order in which elements are added.
    pub(crate) sets: fn() -> Vec<Set>,
    chains: &'static [Chain],
    rules: fn() -> Vec<Rule>,
}

/// A chain that is called where packets pass.
#[derive(Debug)]
struct Chain {
    name: &'static str,
    kind: &'static str,
    hook: u32,
    priority: i32,
}

/// The chain, and the steps.
type Rule = (&'static str, Vec<Expression>);

/// Every layer there is; the first of a table has the set that tells whose elements are in it.
pub(crate) static LAYERS: [Layer; 3] = [nat::LAYER, policy::LAYER, bridge::LAYER];

impl Layer {
    /// The one that has `set`.
    pub(crate) fn of(set: &str) -> Option<&'static Self> {
        LAYERS.iter().find(|layer| layer.has(set))
    }

    pub(crate) fn has(&self, set: &str) -> bool {
        (self.sets)().iter().any(|of| of.name == set)
    }

    /// Makes it, and the table if need be, without any element.
    pub(crate) fn create(&'static self) -> Vec<Request> {
        let mut requests = vec![nft::new_table(self.table)];
        let at = LAYERS.iter().position(|layer| std::ptr::eq(layer, self));
        // tells the sets of one transaction apart
        let numbers = (at.unwrap_or_default() as u32 * 100)..;
        let sets = (self.sets)();
        requests.extend(
            numbers
                .zip(&sets)
                .map(|(number, set)| nft::new_set(self.table, set, number + 1)),
        );
        requests.extend(self.chains.iter().map(|chain| {
            nft::new_chain(
                self.table,
                chain.name,
                chain.kind,
                chain.hook,
                chain.priority,
            )
        }));
        let rules = (self.rules)().into_iter();
        requests.extend(rules.map(|(chain, expressions)| {
            let place = (self.table.name, chain);
            nft::new_rule(self.table.family, place, &expressions, None, false)
        }));
        requests
    }

    /// Each of its chains, with the number of rules it has.
    pub(crate) fn counts(&self) -> Vec<(&'static str, usize)> {
        let rules = (self.rules)();
        let count = |chain: &Chain| rules.iter().filter(|(of, _)| *of == chain.name).count();
        let chains = self.chains.iter();
        chains.map(|chain| (chain.name, count(chain))).collect()
    }
}

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

/// linux/netfilter_ipv4.h; the first is the same in linux/netfilter_bridge.h.
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
const CT_DIRECTION: u32 = 1;
const CT_STATUS: u32 = 2;
const RELATED: u32 = 0x4;
const ESTABLISHED_OR_RELATED: u32 = 0x2 | RELATED;
const IPS_DST_NAT: u32 = 0x20;

/// Goes on when one of the bits of what `load` brings is set.
fn has_bits(load: Expression, bits: u32) -> Vec<Expression> {
    vec![
        load,
        Expression::bits(REGISTERS[0], bits.to_ne_bytes(), [0; 4]),
        Expression::differs(REGISTERS[0], &[0; 4]),
    ]
}

fn then_accept(mut steps: Vec<Expression>) -> Vec<Expression> {
    steps.push(Expression::accept());
    steps
}

fn then_drop(mut steps: Vec<Expression>) -> Vec<Expression> {
    steps.push(Expression::drop());
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_sets_have_the_same_name() {
        let sets = LAYERS.iter().flat_map(|layer| (layer.sets)());
        let mut names: Vec<&str> = sets.map(|set| set.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_rule_is_in_a_chain_of_its_layer() {
        for layer in &LAYERS {
            let counted: usize = layer.counts().into_iter().map(|(_, count)| count).sum();
            assert_eq!(counted, (layer.rules)().len());
        }
    }
}
