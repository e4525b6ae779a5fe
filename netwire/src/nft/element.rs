//! Elements of sets and maps, with the comments by which they are known again.

use libc::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_core::NlasIterator;

use super::{Attributes, NFGENMSG, Table, comment, find, message, request, userdata};
use crate::netlink::Request;

/// Elements of one message: an attribute has 64 KiB at most.
const ELEMENTS: usize = 250;

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
    /// Of a set, one key.
    pub(crate) fn new(set: &'static str, key: Vec<u8>) -> Self {
        Self {
            set,
            key,
            end: None,
            data: None,
        }
    }

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
pub(crate) fn add_elements(table: Table, elements: &[Element], comment: &str) -> Vec<Request> {
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
pub(crate) fn remove_elements(table: Table, elements: &[Element]) -> Vec<Request> {
    let message = ("NFT_MSG_DELSETELEM", message::DELSETELEM);
    of_elements(message, table, elements, None, 0)
}

/// One message for those of one set that follow each other.
fn of_elements(
    message: (&str, u16),
    table: Table,
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
            .text(1, table.name)
            .text(2, set)
            .nested(3, &list);
        let count = run.len();
        let noun = if count == 1 { "element" } else { "elements" };
        let what = format!("{table} {set}, {count} {noun}");
        Some(request(message, &what, flags, table.family, &attributes))
    });
    messages.collect()
}

/// Asks for all elements of a set.
pub(crate) fn get_elements(table: Table, set: &str) -> Request {
    let attributes = Attributes::default().text(1, table.name).text(2, set);
    let what = format!("{table} {set}");
    let message = ("NFT_MSG_GETSETELEM", message::GETSETELEM);
    request(message, &what, libc::NLM_F_DUMP, table.family, &attributes)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_one_set_go_in_one_message_and_no_message_is_too_long() {
        let element = |set, key: u32| Element::new(set, key.to_be_bytes().to_vec());
        let mut elements: Vec<Element> = (0..600).map(|key| element("a", key)).collect();
        elements.push(element("b", 0));
        let table = Table {
            family: super::super::INET,
            name: "t",
        };
        let calls: Vec<String> = add_elements(table, &elements, &"x".repeat(144))
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
