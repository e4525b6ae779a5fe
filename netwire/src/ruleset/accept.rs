//! For hosts whose own chains drop what is forwarded.

use super::{
    CT_STATE, CT_STATUS, ESTABLISHED_OR_RELATED, INET, IPS_DST_NAT, IPV4, IPV6, META_IIFNAME,
    META_MARK, META_OIFNAME, VETHS, has_bits, hook,
};
use crate::netlink::Request;
use crate::nft::{self, Expression, REGISTERS};

/// Only there with `--accept-forward`.
pub(crate) const ACCEPT: &str = "accepted";
/// On a rule of ours in a table of somebody else.
pub(crate) const FOREIGN: &str = "chroot0";
/// The mark by which that rule knows what is to be accepted. A bit that kube-proxy, podman and docker leave alone.
const MARK: u32 = 0x0100_0000;

/// How many rules the chain has.
pub(crate) fn count_accept() -> usize {
    marked().len()
}

/// What goes to and from pods, and is marked for a rule in each chain that drops.
///
/// A verdict of ours cannot keep a packet from another chain, and a rule there cannot ask our sets.
fn marked() -> Vec<Vec<Expression>> {
    let from_a_pod = vec![
        Expression::meta(META_IIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, false),
    ];
    let to_a_pod = vec![
        Expression::meta(META_OIFNAME, REGISTERS[0]),
        Expression::lookup(VETHS, false),
    ];
    let mut from = vec![from_a_pod];
    let mut to = vec![to_a_pod];
    for family in [&IPV4, &IPV6] {
        from.push(family.on_a_bridge(META_IIFNAME, family.saddr, false));
        to.push(family.on_a_bridge(META_OIFNAME, family.daddr, false));
    }
    let mut rules = from;
    for to_a_pod in to {
        for (key, bits) in [(CT_STATE, ESTABLISHED_OR_RELATED), (CT_STATUS, IPS_DST_NAT)] {
            let steps = has_bits(Expression::ct(key, REGISTERS[0]), bits);
            rules.push([to_a_pod.clone(), steps].concat());
        }
    }
    rules
}

/// Makes the chain, or makes it whole again.
pub(crate) fn create_accept() -> Vec<Request> {
    // before the filters of others, and after nobody's mark
    let mut requests = vec![
        nft::new_chain(INET, ACCEPT, "filter", hook::FORWARD, -2),
        nft::flush_chain(INET, ACCEPT),
    ];
    for mut expressions in marked() {
        expressions.extend([
            Expression::meta(META_MARK, REGISTERS[0]),
            Expression::bits(REGISTERS[0], (!MARK).to_ne_bytes(), MARK.to_ne_bytes()),
            Expression::set_meta(META_MARK, REGISTERS[0]),
        ]);
        requests.push(nft::new_rule(
            nft::INET,
            (INET.name, ACCEPT),
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
