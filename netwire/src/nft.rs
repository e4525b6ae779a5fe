//! Messages of nf_tables: what linux/netfilter/nf_tables.h says, and nothing of ours.
//!
//! Numbers are big endian in attributes of netfilter; what a rule compares is in the order it has in a packet.

mod balance;
mod bulk;
mod expression;

use libc::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_core::NlasIterator;

use crate::netlink::{Request, string, u32_at};

pub(crate) use balance::{
    add_for, add_goto, get_element, new_memory, new_regular_chain, new_verdict_map,
};
pub(crate) use bulk::Bulk;
pub(crate) use expression::Expression;

/// struct nfgenmsg of linux/netfilter/nfnetlink.h: family, version, id of a resource.
pub(crate) const NFGENMSG: usize = 4;

/// `NFPROTO_INET`: IPv4 and IPv6.
pub(crate) const INET: u8 = 1;

/// Registers of four bytes each; a key of several parts lies in several, one after the other.
pub(crate) const REGISTERS: [u32; 16] =
    [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NLA_F_NESTED: u16 = 0x8000;
/// Elements of one message: an attribute has 64 KiB at most.
const ELEMENTS: usize = 250;

/// `NFT_MSG_…`
pub(crate) mod message {
    pub(crate) const NEWTABLE: u16 = 0;
    pub(crate) const GETTABLE: u16 = 1;
    pub(crate) const DELTABLE: u16 = 2;
    pub(crate) const NEWCHAIN: u16 = 3;
    pub(crate) const GETCHAIN: u16 = 4;
    pub(crate) const NEWRULE: u16 = 6;
    pub(crate) const GETRULE: u16 = 7;
    pub(crate) const DELRULE: u16 = 8;
    pub(crate) const NEWSET: u16 = 9;
    pub(crate) const NEWSETELEM: u16 = 12;
    pub(crate) const GETSETELEM: u16 = 13;
    pub(crate) const DELSETELEM: u16 = 14;
    pub(crate) const GETGEN: u16 = 16;
}

/// Attributes, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes(pub(crate) Vec<u8>);

impl Attributes {
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// With the NUL that ends it.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), b"\0"].concat())
    }

    pub(crate) fn nested(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }
}

/// A message of nf_tables to `family`.
pub(crate) fn request(
    (name, kind): (&str, u16),
    what: &str,
    flags: i32,
    family: u8,
    attributes: &Attributes,
) -> Request {
    let body = [&[family, 0, 0, 0], attributes.0.as_slice()].concat();
    Request::raw(name, what, NFNL_SUBSYS_NFTABLES << 8 | kind, flags, &body)
}

/// What comes before and after the requests of a transaction on the ruleset of `generation`.
pub(crate) fn batch(generation: u32) -> (Request, Request) {
    const NFNL_BATCH_GENID: u16 = 1;
    let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
    let header = [0, 0, high, low];
    let generation = Attributes::default().number(NFNL_BATCH_GENID, generation);
    let body = [header.as_slice(), &generation.0].concat();
    (
        Request::raw(
            "NFNL_MSG_BATCH_BEGIN",
            "nftables",
            NFNL_MSG_BATCH_BEGIN,
            0,
            &body,
        ),
        Request::raw(
            "NFNL_MSG_BATCH_END",
            "nftables",
            NFNL_MSG_BATCH_END,
            0,
            &header,
        ),
    )
}

/// Asks for the generation of the ruleset.
pub(crate) fn get_generation() -> Request {
    let none = Attributes::default();
    request(("NFT_MSG_GETGEN", message::GETGEN), "", 0, 0, &none)
}

/// The answer to [`get_generation`].
pub(crate) fn generation(payload: &[u8]) -> Option<u32> {
    number(find(payload.get(NFGENMSG..)?, 1)?)
}

/// What keys and data are made of; the numbers are how nft(8) knows how to print them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Ipv4,
    Ipv6,
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
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            Self::Priority => 23,
            Self::Ifname => 41,
        }
    }

    /// In registers.
    fn length(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Protocol | Self::Port | Self::Mark | Self::Priority => 4,
            Self::Ipv6 | Self::Ifname => 16,
        }
    }

    fn concatenated(types: &[Self]) -> (u32, u32) {
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
pub(crate) fn new_table(table: &str) -> Request {
    let attributes = Attributes::default().text(1, table);
    let message = ("NFT_MSG_NEWTABLE", message::NEWTABLE);
    request(
        message,
        &format!("inet {table}"),
        NLM_F_CREATE,
        INET,
        &attributes,
    )
}

pub(crate) fn delete_table(table: &str) -> Request {
    let attributes = Attributes::default().text(1, table);
    let message = ("NFT_MSG_DELTABLE", message::DELTABLE);
    request(message, &format!("inet {table}"), 0, INET, &attributes)
}

/// Makes a set; `number` tells it from the others of the same transaction.
pub(crate) fn new_set(table: &str, set: &Set, number: u32) -> Request {
    const NFT_SET_INTERVAL: u32 = 0x4;
    const NFT_SET_MAP: u32 = 0x8;
    const NFT_SET_CONCAT: u32 = 0x80;
    let mut flags = 0;
    let (key, key_length) = Type::concatenated(set.key);
    let mut attributes = Attributes::default().text(1, table).text(2, set.name);
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
            fields.nested(1, &Attributes::default().number(1, of.length()))
        });
        attributes = attributes.nested(9, &Attributes::default().nested(2, &fields));
        flags |= NFT_SET_INTERVAL | NFT_SET_CONCAT;
    }
    if set.key == [Type::Ifname] {
        // For nft(8): names are in the order of this machine, else it shows none.
        let order = [&[0, 4][..], &1_u32.to_ne_bytes()].concat();
        attributes = attributes.bytes(13, &order);
    }
    if set.data == [Type::Priority] {
        let order = [&[1, 4][..], &1_u32.to_ne_bytes()].concat();
        attributes = attributes.bytes(13, &order);
    }
    attributes = attributes.number(3, flags);
    let what = format!("inet {table} {}", set.name);
    request(
        ("NFT_MSG_NEWSET", message::NEWSET),
        &what,
        NLM_F_CREATE,
        INET,
        &attributes,
    )
}

/// Makes a chain that is called where packets pass.
pub(crate) fn new_chain(table: &str, name: &str, kind: &str, hook: u32, priority: i32) -> Request {
    let place = Attributes::default()
        .number(1, hook)
        .number(2, priority.cast_unsigned());
    let attributes = Attributes::default()
        .text(1, table)
        .text(3, name)
        .nested(4, &place)
        .text(7, kind);
    let what = format!("inet {table} {name}");
    request(
        ("NFT_MSG_NEWCHAIN", message::NEWCHAIN),
        &what,
        NLM_F_CREATE,
        INET,
        &attributes,
    )
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

/// As nft(8) writes it.
pub(crate) fn family_name(family: u8) -> &'static str {
    match family {
        INET => "inet",
        2 => "ip",
        10 => "ip6",
        _ => "other",
    }
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) set: &'static str,
    /// The parts of the key, each filled up to whole registers.
    pub(crate) key: Vec<u8>,
    /// Of a range: the last key.
    pub(crate) end: Option<Vec<u8>>,
    /// Of a map.
    pub(crate) data: Option<Vec<u8>>,
}

impl Element {
    fn attributes(&self, comment: Option<&str>) -> Attributes {
        let value = |value: &[u8]| Attributes::default().bytes(1, value);
        let mut attributes = Attributes::default().nested(1, &value(&self.key));
        if let Some(end) = &self.end {
            attributes = attributes.nested(10, &value(end));
        }
        if let Some(comment) = comment {
            if let Some(data) = &self.data {
                attributes = attributes.nested(2, &value(data));
            }
            attributes = attributes.bytes(6, &userdata(comment));
        }
        attributes
    }
}

/// Adds elements that must not be there yet, with `comment`.
pub(crate) fn add_elements(table: &str, elements: &[Element], comment: &str) -> Vec<Request> {
    let message = ("NFT_MSG_NEWSETELEM", message::NEWSETELEM);
    of_elements(
        message,
        table,
        elements,
        Some(comment),
        NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// Removes elements by their keys.
pub(crate) fn remove_elements(table: &str, elements: &[Element]) -> Vec<Request> {
    let message = ("NFT_MSG_DELSETELEM", message::DELSETELEM);
    of_elements(message, table, elements, None, 0)
}

/// One message for those of one set that follow each other.
fn of_elements(
    message: (&str, u16),
    table: &str,
    elements: &[Element],
    comment: Option<&str>,
    flags: i32,
) -> Vec<Request> {
    let runs = elements.chunk_by(|one, other| one.set == other.set);
    let messages = runs.flat_map(|run| run.chunks(ELEMENTS)).filter_map(|run| {
        let set = run.first()?.set;
        let list = run.iter().fold(Attributes::default(), |list, element| {
            list.nested(1, &element.attributes(comment))
        });
        let attributes = Attributes::default()
            .text(1, table)
            .text(2, set)
            .nested(3, &list);
        let count = run.len();
        let noun = if count == 1 { "element" } else { "elements" };
        let what = format!("inet {table} {set}, {count} {noun}");
        Some(request(message, &what, flags, INET, &attributes))
    });
    messages.collect()
}

/// Asks for all elements of a set.
pub(crate) fn get_elements(table: &str, set: &str) -> Request {
    let attributes = Attributes::default().text(1, table).text(2, set);
    let what = format!("inet {table} {set}");
    let message = ("NFT_MSG_GETSETELEM", message::GETSETELEM);
    request(message, &what, libc::NLM_F_DUMP, INET, &attributes)
}

/// The elements in one answer to [`get_elements`], with their comments.
pub(crate) fn elements(set: &'static str, payload: &[u8]) -> Vec<(Element, String)> {
    let list = payload
        .get(NFGENMSG..)
        .and_then(|attributes| find(attributes, 3));
    let list = NlasIterator::new(list.unwrap_or_default()).flatten();
    let elements = list.filter_map(|element| {
        let value = |kind| find(element.value(), kind).and_then(|value| find(value, 1));
        let element_of = Element {
            set,
            key: value(1)?.to_vec(),
            end: value(10).map(<[u8]>::to_vec),
            data: value(2).map(<[u8]>::to_vec),
        };
        Some((
            element_of,
            comment(find(element.value(), 6).unwrap_or_default()),
        ))
    });
    elements.collect()
}

/// A comment as nft(8) keeps it: kind 0, length, text, NUL.
fn userdata(comment: &str) -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(comment.len() + 1).unwrap_or(u8::MAX)];
    bytes.extend(comment.as_bytes());
    bytes.push(0);
    bytes
}

/// The comment in it; empty: there is none.
pub(crate) fn comment(userdata: &[u8]) -> String {
    let text = match userdata {
        [0, length, rest @ ..] => rest.get(..usize::from(*length)).unwrap_or_default(),
        _ => &[],
    };
    string(text).unwrap_or_default()
}

/// The value of the first attribute of a kind.
pub(crate) fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    // Of an attribute the kernel hands out the lifetime of the buffer, not of the iterator's item.
    let mut rest = attributes;
    loop {
        let length = usize::from(crate::netlink::u16_at(rest, 0)?);
        let found = crate::netlink::u16_at(rest, 2)? & 0x3fff;
        let value = rest.get(4..length)?;
        if found == kind {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// A number in an attribute.
pub(crate) fn number(value: &[u8]) -> Option<u32> {
    u32_at(value, 0).map(u32::from_be)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_as_the_kernel_lays_them_out() {
        let inner = Attributes::default().number(1, 7);
        let outer = Attributes::default().text(1, "abcd").nested(2, &inner);
        let lengths = |at: usize| u16::from_ne_bytes([outer.0[at], outer.0[at + 1]]);
        assert_eq!((lengths(0), lengths(12), outer.0.len()), (9, 12, 24));
        assert_eq!(find(&outer.0, 1), Some(&b"abcd\0"[..]));
        assert_eq!(
            find(&outer.0, 2)
                .and_then(|inner| find(inner, 1))
                .and_then(number),
            Some(7)
        );
        assert_eq!(find(&outer.0, 3), None);
        for end in 0..outer.0.len() {
            let _ = find(&outer.0[..end], 2);
        }
        assert_eq!(find(&[0; 8], 1), None, "a length of 0 must not loop");
    }

    #[test]
    fn a_comment_survives() {
        assert_eq!(comment(&userdata("foo eth0")), "foo eth0");
        for bytes in [&[][..], &[0], &[0, 9, 1], &[1, 1, 0]] {
            assert_eq!(comment(bytes), "");
        }
    }

    #[test]
    fn elements_of_one_set_go_in_one_message_and_no_message_is_too_long() {
        let element = |set, key: u32| Element {
            set,
            key: key.to_be_bytes().to_vec(),
            end: None,
            data: None,
        };
        let mut elements: Vec<Element> = (0..600).map(|key| element("a", key)).collect();
        elements.push(element("b", 0));
        let calls: Vec<String> = add_elements("t", &elements, &"x".repeat(144))
            .into_iter()
            .map(|request| request.call)
            .collect();
        let call = |set, what| format!("NFT_MSG_NEWSETELEM(inet t {set}, {what})");
        let expected = [
            call("a", "250 elements"),
            call("a", "250 elements"),
            call("a", "100 elements"),
            call("b", "1 element"),
        ];
        assert_eq!(calls, expected);
    }
}
