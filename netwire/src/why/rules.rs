//! The rules of nf_tables of one network namespace, whoever made them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use netlink_packet_core::NlasIterator;

use crate::error::Error;
use crate::netlink::{Socket, string};
use crate::nft::{self, NFGENMSG, find, number};

const NFT_MSG_GETSET: u16 = 10;

/// Where packets come by, or what another chain jumps to.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) family: u8,
    pub(super) table: String,
    pub(super) name: String,
    /// `NF_INET_…`, and what decides about the order.
    pub(super) hook: Option<(u32, i32)>,
    pub(super) drops: bool,
}

/// Its steps: the name and the data of each.
#[derive(Debug)]
pub(super) struct Rule {
    family: u8,
    table: String,
    chain: String,
    pub(super) steps: Vec<(String, Vec<u8>)>,
}

/// An element of a set.
#[derive(Debug, Default)]
pub(super) struct Element {
    key: Vec<u8>,
    /// Of a range of several parts: the last key.
    end: Option<Vec<u8>>,
    /// Of a range of one: where it is over.
    is_end: bool,
    data: Option<Vec<u8>>,
}

/// A set or a map.
#[derive(Debug, Default)]
pub(super) struct Set {
    ranges: bool,
    /// Bytes of each part of a key of several.
    parts: Vec<usize>,
    elements: Vec<Element>,
}

/// Family, table, and name.
type Name = (u8, String, String);

/// All of it.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) chains: Vec<Chain>,
    rules: Vec<Rule>,
    kinds: HashMap<Name, (u32, Vec<usize>)>,
    /// Read when it is asked for.
    sets: RefCell<HashMap<Name, Rc<Set>>>,
    socket: RefCell<Socket>,
}

impl Rules {
    /// From a socket of the namespace they are of.
    pub(super) fn read(mut socket: Socket) -> Result<Self, Error> {
        let none = nft::Attributes::default();
        let mut dump = |name, kind, see: &mut dyn FnMut(&[u8])| {
            let get = nft::request((name, kind), "", libc::NLM_F_DUMP, 0, &none);
            socket.dump_all(get, see)
        };
        let (mut chains, mut rules, mut kinds) = (Vec::new(), Vec::new(), HashMap::new());
        let message = nft::message::GETCHAIN;
        dump("NFT_MSG_GETCHAIN", message, &mut |payload| {
            chains.extend(chain(payload));
        })?;
        let message = nft::message::GETRULE;
        dump("NFT_MSG_GETRULE", message, &mut |payload| {
            rules.extend(rule(payload));
        })?;
        dump("NFT_MSG_GETSET", NFT_MSG_GETSET, &mut |payload| {
            kinds.extend(set_kind(payload));
        })?;
        Ok(Self {
            chains,
            rules,
            kinds,
            sets: RefCell::default(),
            socket: RefCell::new(socket),
        })
    }

    /// What is at a hook for packets of `family`, in the order in which they come by.
    pub(super) fn at(&self, hook: u32, family: u8) -> Vec<&Chain> {
        let concerns = |chain: &&Chain| {
            let here = chain.hook.is_some_and(|(at, _)| at == hook);
            here && (chain.family == nft::INET || chain.family == family)
        };
        let mut chains: Vec<&Chain> = self.chains.iter().filter(concerns).collect();
        chains.sort_by_key(|chain| chain.hook);
        chains
    }

    pub(super) fn of(&self, family: u8, table: &str, chain: &str) -> impl Iterator<Item = &Rule> {
        self.rules
            .iter()
            .filter(move |rule| rule.family == family && rule.table == table && rule.chain == chain)
    }

    /// None: there is no such set, or it cannot be read.
    pub(super) fn set(&self, family: u8, table: &str, name: &str) -> Option<Rc<Set>> {
        let key = (family, table.to_owned(), name.to_owned());
        if let Some(set) = self.sets.borrow().get(&key) {
            return Some(Rc::clone(set));
        }
        let (flags, parts) = self.kinds.get(&key)?.clone();
        const NFT_SET_INTERVAL: u32 = 0x4;
        let mut set = Set {
            ranges: flags & NFT_SET_INTERVAL != 0,
            parts,
            elements: Vec::new(),
        };
        let attributes = nft::Attributes::default().text(1, table).text(2, name);
        let message = ("NFT_MSG_GETSETELEM", nft::message::GETSETELEM);
        let get = nft::request(message, name, libc::NLM_F_DUMP, family, &attributes);
        let answer = self.socket.borrow_mut().dump_all(get, |payload| {
            set.elements.extend(elements(payload));
        });
        answer.ok()?;
        // Where a range begins that another ends, the beginning counts.
        let order = |one: &Element| (one.key.clone(), !one.is_end);
        set.elements.sort_by_key(order);
        let set = Rc::new(set);
        self.sets.borrow_mut().insert(key, Rc::clone(&set));
        Some(set)
    }
}

impl Set {
    /// The data of the element that `key` is in (of a set: nothing of it); None: it is in none.
    pub(super) fn find(&self, key: &[u8]) -> Option<&[u8]> {
        let has = |element: &&Element| match &element.end {
            Some(end) => self.is_between(&element.key, end, key),
            None => starts_with(key, &element.key),
        };
        let plain = !self.ranges || self.parts.len() > 1;
        let found = match plain {
            true => self.elements.iter().find(has),
            false => {
                let before = |element: &&Element| {
                    let length = element.key.len().min(key.len());
                    element.key[..length] <= key[..length]
                };
                let last = self.elements.iter().rfind(before);
                last.filter(|element| !element.is_end)
            }
        };
        found.map(|element| element.data.as_deref().unwrap_or_default())
    }

    fn is_between(&self, first: &[u8], last: &[u8], key: &[u8]) -> bool {
        let mut at = 0;
        for &length in &self.parts {
            let part = |bytes: &[u8]| bytes.get(at..at + length).map(<[u8]>::to_vec);
            let (Some(first), Some(last), Some(is)) = (part(first), part(last), part(key)) else {
                return false;
            };
            if is < first || is > last {
                return false;
            }
            at += length.next_multiple_of(4);
        }
        true
    }
}

/// What is in registers may be longer than a key: they are whole words.
fn starts_with(key: &[u8], element: &[u8]) -> bool {
    let length = element.len().min(key.len());
    !element.is_empty() && element[..length] == key[..length]
}

pub(super) fn chain(payload: &[u8]) -> Option<Chain> {
    const NF_DROP: u32 = 0;
    let attributes = payload.get(NFGENMSG..)?;
    let text = |kind| find(attributes, kind).and_then(string);
    let hook = find(attributes, 4).and_then(|hook| {
        let priority = find(hook, 2).and_then(number)?.cast_signed();
        Some((find(hook, 1).and_then(number)?, priority))
    });
    Some(Chain {
        family: *payload.first()?,
        table: text(1)?,
        name: text(3)?,
        hook,
        drops: hook.is_some() && find(attributes, 5).and_then(number) == Some(NF_DROP),
    })
}

pub(super) fn rule(payload: &[u8]) -> Option<Rule> {
    let attributes = payload.get(NFGENMSG..)?;
    let list = find(attributes, 4).unwrap_or_default();
    let steps = NlasIterator::new(list).flatten().filter_map(|step| {
        let name = find(step.value(), 1).and_then(string)?;
        Some((name, find(step.value(), 2).unwrap_or_default().to_vec()))
    });
    Some(Rule {
        family: *payload.first()?,
        table: find(attributes, 1).and_then(string)?,
        chain: find(attributes, 2).and_then(string)?,
        steps: steps.collect(),
    })
}

pub(super) fn set_kind(payload: &[u8]) -> Option<(Name, (u32, Vec<usize>))> {
    let attributes = payload.get(NFGENMSG..)?;
    let text = |kind| find(attributes, kind).and_then(string);
    let name = (*payload.first()?, text(1)?, text(2)?);
    let flags = find(attributes, 3).and_then(number).unwrap_or_default();
    let parts = find(attributes, 9).and_then(|description| find(description, 2));
    let parts = NlasIterator::new(parts.unwrap_or_default()).flatten();
    let parts = parts.filter_map(|part| Some(find(part.value(), 1).and_then(number)? as usize));
    Some((name, (flags, parts.collect())))
}

pub(super) fn elements(payload: &[u8]) -> Vec<Element> {
    const NFT_SET_ELEM_INTERVAL_END: u32 = 0x1;
    let list = payload.get(NFGENMSG..).and_then(|all| find(all, 3));
    let list = NlasIterator::new(list.unwrap_or_default()).flatten();
    let elements = list.map(|element| {
        let value = |kind| find(element.value(), kind).and_then(|value| find(value, 1));
        let flags = find(element.value(), 3)
            .and_then(number)
            .unwrap_or_default();
        Element {
            key: value(1).unwrap_or_default().to_vec(),
            end: value(10).map(<[u8]>::to_vec),
            is_end: flags & NFT_SET_ELEM_INTERVAL_END != 0,
            data: find(element.value(), 2).map(<[u8]>::to_vec),
        }
    });
    elements.collect()
}
