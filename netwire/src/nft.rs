//! Messages of nf_tables: what linux/netfilter/nf_tables.h says, and nothing of ours.
//!
//! Numbers are big endian in attributes of netfilter; what a rule compares is in the order it has in a packet.

mod balance;
mod bulk;
mod element;
mod expression;
mod object;

use std::fmt;

use crate::netlink::{Request, string, u32_at};

pub(crate) use balance::{
    add_for, add_goto, get_element, new_memory, new_regular_chain, new_verdict_map, remove_goto,
};
pub(crate) use bulk::Bulk;
pub(crate) use element::{Element, add_elements, elements, get_elements, remove_elements};
pub(crate) use expression::Expression;
pub(crate) use object::{
    Set, Type, delete_table, flush_chain, get_sets, new_chain, new_rule, new_set, new_table,
    set_name,
};

/// struct nfgenmsg of linux/netfilter/nfnetlink.h: family, version, id of a resource.
pub(crate) const NFGENMSG: usize = 4;

/// `NFPROTO_INET`: IPv4 and IPv6.
pub(crate) const INET: u8 = 1;

/// `NFPROTO_BRIDGE`: frames between the ports of a bridge.
pub(crate) const BRIDGE: u8 = 7;

/// Registers of four bytes each; a key of several parts lies in several, one after the other.
pub(crate) const REGISTERS: [u32; 16] =
    [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NLA_F_NESTED: u16 = 0x8000;

/// `NFT_MSG_…`
pub(crate) mod message {
    pub(crate) const NEWTABLE: u16 = 0;
    pub(crate) const GETTABLE: u16 = 1;
    pub(crate) const DELTABLE: u16 = 2;
    pub(crate) const NEWCHAIN: u16 = 3;
    pub(crate) const GETCHAIN: u16 = 4;
    pub(crate) const DELCHAIN: u16 = 5;
    pub(crate) const NEWRULE: u16 = 6;
    pub(crate) const GETRULE: u16 = 7;
    pub(crate) const DELRULE: u16 = 8;
    pub(crate) const NEWSET: u16 = 9;
    pub(crate) const GETSET: u16 = 10;
    pub(crate) const NEWSETELEM: u16 = 12;
    pub(crate) const GETSETELEM: u16 = 13;
    pub(crate) const DELSETELEM: u16 = 14;
    pub(crate) const GETGEN: u16 = 16;
}

/// A table, by its family and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    /// `NFPROTO_…`
    pub(crate) family: u8,
    pub(crate) name: &'static str,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", family_name(self.family), self.name)
    }
}

/// As nft(8) writes it.
pub(crate) fn family_name(family: u8) -> &'static str {
    match family {
        INET => "inet",
        BRIDGE => "bridge",
        2 => "ip",
        10 => "ip6",
        _ => "other",
    }
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
}
