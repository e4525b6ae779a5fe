//! What chooses among several, and remembers what it chose.

use libc::NLM_F_CREATE;

use super::{Attributes, Expression, REGISTERS, Table, Type, message, request};
use crate::netlink::Request;

/// `NFT_GOTO` of linux/netfilter/nf_tables.h.
const GOTO: i32 = -4;
const JUMP: i32 = -3;
/// `NFT_DATA_VERDICT`
const VERDICT: u32 = 0xffff_ff00;

impl Expression {
    /// `numgen random mod N`: a number below `modulus` into a register.
    pub(crate) fn random(modulus: u32, register: usize) -> Self {
        const NFT_NG_RANDOM: u32 = 1;
        let data = Attributes::default()
            .number(1, REGISTERS[register])
            .number(2, modulus)
            .number(3, NFT_NG_RANDOM);
        Self::new("numgen", &data)
    }

    /// Goes on when the registers from `key` are a key of the map, with its data in those from `data`.
    pub(crate) fn look_up(map: &str, key: usize, data: usize) -> Self {
        let lookup = Attributes::default().text(1, map);
        let lookup = lookup.number(2, REGISTERS[key]).number(3, REGISTERS[data]);
        Self::new("lookup", &lookup)
    }

    /// Goes on when the registers from `key` are in the set.
    pub(crate) fn is_in(set: &str, key: usize) -> Self {
        let lookup = Attributes::default().text(1, set);
        Self::new("lookup", &lookup.number(2, REGISTERS[key]))
    }

    /// Goes where the map says.
    pub(crate) fn look_up_verdict(map: &str, key: usize) -> Self {
        let lookup = Attributes::default().text(1, map);
        Self::new("lookup", &lookup.number(2, REGISTERS[key]).number(3, 0))
    }

    /// Puts key and data into the map, or makes them live `seconds` from now on.
    pub(crate) fn remember(map: &str, key: usize, data: usize, seconds: u32) -> Self {
        const NFT_DYNSET_OP_UPDATE: u32 = 1;
        let milliseconds = u64::from(seconds) * 1000;
        let dynset = Attributes::default()
            .text(1, map)
            .number(3, NFT_DYNSET_OP_UPDATE)
            .number(4, REGISTERS[key])
            .number(5, REGISTERS[data])
            .bytes(6, &milliseconds.to_be_bytes());
        Self::new("dynset", &dynset)
    }

    /// To the address in the registers from `address` and the port in `port`.
    pub(crate) fn dnat_to(family: u32, address: usize, port: usize) -> Self {
        const NFT_NAT_DNAT: u32 = 1;
        let nat = Attributes::default().number(1, NFT_NAT_DNAT);
        let nat = nat.number(2, family).number(3, REGISTERS[address]);
        Self::new("nat", &nat.number(5, REGISTERS[port]))
    }

    /// Nothing into a register.
    pub(crate) fn zero(register: usize) -> Self {
        let data = Attributes::default().bytes(1, &[0; 4]);
        let immediate = Attributes::default().number(1, REGISTERS[register]);
        Self::new("immediate", &immediate.nested(2, &data))
    }

    /// `reject with tcp reset`
    pub(crate) fn reset() -> Self {
        const NFT_REJECT_TCP_RST: u32 = 1;
        let reject = Attributes::default().number(1, NFT_REJECT_TCP_RST);
        Self::new("reject", &reject.bytes(2, &[0]))
    }

    /// `reject with icmpx port-unreachable`
    pub(crate) fn unreachable() -> Self {
        const NFT_REJECT_ICMPX_UNREACH: u32 = 2;
        const NFT_REJECT_ICMPX_PORT_UNREACH: u8 = 1;
        let reject = Attributes::default().number(1, NFT_REJECT_ICMPX_UNREACH);
        Self::new("reject", &reject.bytes(2, &[NFT_REJECT_ICMPX_PORT_UNREACH]))
    }

    /// Through a chain, and back.
    pub(crate) fn jump(chain: &str) -> Self {
        let data = Attributes::default().nested(2, &verdict(JUMP, chain));
        let immediate = Attributes::default().number(1, 0).nested(2, &data);
        Self::new("immediate", &immediate)
    }
}

fn verdict(code: i32, chain: &str) -> Attributes {
    let code = Attributes::default().number(1, code.cast_unsigned());
    code.text(2, chain)
}

/// Makes a chain that packets come to from others only.
pub(crate) fn new_regular_chain(table: Table, name: &str) -> Request {
    let attributes = Attributes::default().text(1, table.name).text(3, name);
    let what = format!("{table} {name}");
    let message = ("NFT_MSG_NEWCHAIN", message::NEWCHAIN);
    request(message, &what, NLM_F_CREATE, table.family, &attributes)
}

/// Makes a map from keys to chains; `number` tells it from the other sets of the same transaction.
pub(crate) fn new_verdict_map(table: Table, name: &str, key: &[Type], number: u32) -> Request {
    const NFT_SET_MAP: u32 = 0x8;
    let (kind, length) = Type::concatenated(key);
    let attributes = Attributes::default().text(1, table.name).text(2, name);
    let attributes = attributes.number(3, NFT_SET_MAP).number(4, kind);
    // For nft(8): keys are in the order of this machine.
    let order = [&[0, 4][..], &1_u32.to_ne_bytes()].concat();
    let attributes = attributes
        .number(5, length)
        .number(6, VERDICT)
        .bytes(13, &order);
    let what = format!("{table} {name}");
    let message = ("NFT_MSG_NEWSET", message::NEWSET);
    request(
        message,
        &what,
        NLM_F_CREATE,
        table.family,
        &attributes.number(10, number),
    )
}

/// Makes a map that rules write into, of at most `size` elements, each with a time of its own.
pub(crate) fn new_memory(
    table: Table,
    name: &str,
    (key, data): (&[Type], &[Type]),
    size: u32,
    number: u32,
) -> Request {
    const NFT_SET_MAP: u32 = 0x8;
    const NFT_SET_TIMEOUT: u32 = 0x10;
    const NFT_SET_EVAL: u32 = 0x20;
    let flags = NFT_SET_MAP | NFT_SET_TIMEOUT | NFT_SET_EVAL;
    let ((key, key_length), (data, data_length)) =
        (Type::concatenated(key), Type::concatenated(data));
    let attributes = Attributes::default().text(1, table.name).text(2, name);
    let attributes = attributes
        .number(3, flags)
        .number(4, key)
        .number(5, key_length);
    let attributes = attributes.number(6, data).number(7, data_length);
    let attributes = attributes.nested(9, &Attributes::default().number(1, size));
    let what = format!("{table} {name}");
    let message = ("NFT_MSG_NEWSET", message::NEWSET);
    request(
        message,
        &what,
        NLM_F_CREATE,
        table.family,
        &attributes.number(10, number),
    )
}

/// Asks for one element, or whether it is there.
pub(crate) fn get_element(table: Table, set: &str, key: &[u8]) -> Request {
    let key = Attributes::default().bytes(1, key);
    let element = Attributes::default().nested(1, &key);
    let attributes = Attributes::default().text(1, table.name).text(2, set);
    let attributes = attributes.nested(3, &Attributes::default().nested(1, &element));
    let message = ("NFT_MSG_GETSETELEM", message::GETSETELEM);
    request(
        message,
        &format!("{table} {set}, 1 element"),
        0,
        table.family,
        &attributes,
    )
}

/// Removes a chain with its rules, and the key of a verdict map that led there.
pub(crate) fn remove_goto(table: Table, map: &str, key: &[u8], chain: &str) -> [Request; 2] {
    let key = Attributes::default().bytes(1, key);
    let element = Attributes::default().nested(1, &key);
    let attributes = Attributes::default().text(1, table.name).text(2, map);
    let attributes = attributes.nested(3, &Attributes::default().nested(1, &element));
    let what = format!("{table} {map}, goto {chain}");
    let message = ("NFT_MSG_DELSETELEM", message::DELSETELEM);
    let element = request(message, &what, 0, table.family, &attributes);
    let attributes = Attributes::default().text(1, table.name).text(3, chain);
    let message = ("NFT_MSG_DELCHAIN", message::DELCHAIN);
    let what = format!("{table} {chain}");
    [
        element,
        request(message, &what, 0, table.family, &attributes),
    ]
}

/// Adds an element that lives `seconds` from now on.
pub(crate) fn add_for(
    table: Table,
    map: &str,
    (key, data): (&[u8], &[u8]),
    seconds: u32,
) -> Request {
    let value = |value| Attributes::default().bytes(1, value);
    let milliseconds = u64::from(seconds) * 1000;
    let element = Attributes::default()
        .nested(1, &value(key))
        .nested(2, &value(data));
    let element = element.bytes(4, &milliseconds.to_be_bytes());
    let attributes = Attributes::default().text(1, table.name).text(2, map);
    let attributes = attributes.nested(3, &Attributes::default().nested(1, &element));
    let message = ("NFT_MSG_NEWSETELEM", message::NEWSETELEM);
    request(
        message,
        &format!("{table} {map}, 1 element"),
        NLM_F_CREATE,
        table.family,
        &attributes,
    )
}

/// Leads a key of a verdict map to a chain.
pub(crate) fn add_goto(table: Table, map: &str, key: &[u8], chain: &str) -> Request {
    let key = Attributes::default().bytes(1, key);
    let data = Attributes::default().nested(2, &verdict(GOTO, chain));
    let element = Attributes::default().nested(1, &key).nested(2, &data);
    let attributes = Attributes::default().text(1, table.name).text(2, map);
    let attributes = attributes.nested(3, &Attributes::default().nested(1, &element));
    let what = format!("{table} {map}, goto {chain}");
    let message = ("NFT_MSG_NEWSETELEM", message::NEWSETELEM);
    request(message, &what, NLM_F_CREATE, table.family, &attributes)
}
