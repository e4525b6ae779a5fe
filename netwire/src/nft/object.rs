//! What a ruleset is made of: tables, sets, chains, rules.

use libc::{NLM_F_CREATE, NLM_F_DUMP};

use super::{
    Attributes, Expression, NFGENMSG, Table, family_name, find, message, request, userdata,
};
use crate::netlink::{Request, string};

/// What keys and data are made of; the numbers are how nft(8) knows how to print them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Ipv4,
    Ipv6,
    Ether,
    Protocol,
    Port,
    /// A number as this machine has it.
    Mark,
    /// The same, as a packet's priority.
    Priority,
    Ifname,
}

impl Type {
    fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Ether => 9,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            Self::Priority => 23,
            Self::Ifname => 41,
        }
    }

    /// In a packet.
    fn bytes(self) -> u32 {
        match self {
            Self::Protocol => 1,
            Self::Port => 2,
            Self::Ipv4 | Self::Mark | Self::Priority => 4,
            Self::Ether => 6,
            Self::Ipv6 | Self::Ifname => 16,
        }
    }

    /// In registers.
    fn length(self) -> u32 {
        self.bytes().next_multiple_of(4)
    }

    pub(super) fn concatenated(types: &[Self]) -> (u32, u32) {
        types.iter().fold((0, 0), |(number, length), of| {
            (number << 6 | of.number(), length + of.length())
        })
    }
}

/// A set, or a map when it has data.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [Type],
    pub(crate) data: &'static [Type],
    /// Keys are ranges.
    pub(crate) ranges: bool,
}

/// Makes `table`, or sees that it is there.
pub(crate) fn new_table(table: Table) -> Request {
    of_table(("NFT_MSG_NEWTABLE", message::NEWTABLE), table, NLM_F_CREATE)
}

pub(crate) fn delete_table(table: Table) -> Request {
    of_table(("NFT_MSG_DELTABLE", message::DELTABLE), table, 0)
}

fn of_table(message: (&str, u16), table: Table, flags: i32) -> Request {
    let attributes = Attributes::default().text(1, table.name);
    let what = table.to_string();
    request(message, &what, flags, table.family, &attributes)
}

/// Asks for the sets of `table`.
pub(crate) fn get_sets(table: Table) -> Request {
    of_table(("NFT_MSG_GETSET", message::GETSET), table, NLM_F_DUMP)
}

/// The name of the set in an answer to [`get_sets`].
pub(crate) fn set_name(payload: &[u8]) -> Option<String> {
    string(find(payload.get(NFGENMSG..)?, 2)?)
}

/// Makes a set; `number` tells it from the others of the same transaction.
pub(crate) fn new_set(table: Table, set: &Set, number: u32) -> Request {
    const NFT_SET_INTERVAL: u32 = 0x4;
    const NFT_SET_MAP: u32 = 0x8;
    const NFT_SET_CONCAT: u32 = 0x80;
    let mut flags = 0;
    let (key, key_length) = Type::concatenated(set.key);
    let mut attributes = Attributes::default().text(1, table.name).text(2, set.name);
    attributes = attributes
        .number(4, key)
        .number(5, key_length)
        .number(10, number);
    if !set.data.is_empty() {
        let (data, data_length) = Type::concatenated(set.data);
        attributes = attributes.number(6, data).number(7, data_length);
        flags |= NFT_SET_MAP;
    }
    if set.ranges {
        let fields = set.key.iter().fold(Attributes::default(), |fields, of| {
            fields.nested(1, &Attributes::default().number(1, of.bytes()))
        });
        attributes = attributes.nested(9, &Attributes::default().nested(2, &fields));
        flags |= NFT_SET_INTERVAL | NFT_SET_CONCAT;
    }
    if set.key.first() == Some(&Type::Ifname) {
        // For nft(8): names are in the order of this machine, else it shows none.
        let order = [&[0, 4][..], &1_u32.to_ne_bytes()].concat();
        attributes = attributes.bytes(13, &order);
    }
    if set.data == [Type::Priority] {
        let order = [&[1, 4][..], &1_u32.to_ne_bytes()].concat();
        attributes = attributes.bytes(13, &order);
    }
    attributes = attributes.number(3, flags);
    let what = format!("{table} {}", set.name);
    request(
        ("NFT_MSG_NEWSET", message::NEWSET),
        &what,
        NLM_F_CREATE,
        table.family,
        &attributes,
    )
}

/// Makes a chain that is called where packets pass.
pub(crate) fn new_chain(table: Table, name: &str, kind: &str, hook: u32, priority: i32) -> Request {
    let place = Attributes::default()
        .number(1, hook)
        .number(2, priority.cast_unsigned());
    let attributes = Attributes::default()
        .text(1, table.name)
        .text(3, name)
        .nested(4, &place)
        .text(7, kind);
    let what = format!("{table} {name}");
    request(
        ("NFT_MSG_NEWCHAIN", message::NEWCHAIN),
        &what,
        NLM_F_CREATE,
        table.family,
        &attributes,
    )
}

/// Takes all rules out of a chain.
pub(crate) fn flush_chain(table: Table, name: &str) -> Request {
    let attributes = Attributes::default().text(1, table.name).text(2, name);
    let what = format!("{table} {name}");
    let message = ("NFT_MSG_DELRULE", message::DELRULE);
    request(message, &what, 0, table.family, &attributes)
}

/// A rule at the end of a chain, or at its beginning; with a comment as nft(8) shows it.
pub(crate) fn new_rule(
    family: u8,
    (table, chain): (&str, &str),
    expressions: &[Expression],
    comment: Option<&str>,
    first: bool,
) -> Request {
    let list = expressions
        .iter()
        .fold(Attributes::default(), |list, expression| {
            list.nested(1, expression.attributes())
        });
    let mut attributes = Attributes::default()
        .text(1, table)
        .text(2, chain)
        .nested(4, &list);
    if let Some(comment) = comment {
        attributes = attributes.bytes(7, &userdata(comment));
    }
    let flags = NLM_F_CREATE | if first { 0 } else { libc::NLM_F_APPEND };
    let what = format!("{} {table} {chain}", family_name(family));
    request(
        ("NFT_MSG_NEWRULE", message::NEWRULE),
        &what,
        flags,
        family,
        &attributes,
    )
}
