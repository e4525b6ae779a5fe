//! Very many elements: written once, as they go to the kernel.

use super::{NFNL_SUBSYS_NFTABLES, NLA_F_NESTED, Table, message, userdata};
use crate::netlink::Request;
use crate::nft::Attributes;

/// An attribute has 64 KiB at most, and an element some hundred bytes.
const ROOM: usize = 60_000;
/// struct nlmsghdr of linux/netlink.h.
const NLMSGHDR: usize = 16;

/// Elements of sets of one table, all of which are added, or all of which are removed.
#[derive(Debug)]
pub(crate) struct Bulk {
    table: Table,
    adds: bool,
    /// `NLM_F_…`
    flags: i32,
    lists: Vec<List>,
    done: Vec<Request>,
}

/// The next message of one set, whole but for its header and for the length of the list of elements.
#[derive(Debug)]
struct List {
    set: &'static str,
    bytes: Vec<u8>,
    /// Where the list begins.
    begin: usize,
    count: usize,
}

impl Bulk {
    /// To be added: an element that is there already fails unless they are `shared`.
    pub(crate) fn add(table: Table, shared: bool) -> Self {
        let exclusive = if shared { 0 } else { libc::NLM_F_EXCL };
        Self::new(table, true, libc::NLM_F_CREATE | exclusive)
    }

    /// To be removed.
    pub(crate) fn remove(table: Table) -> Self {
        Self::new(table, false, 0)
    }

    fn new(table: Table, adds: bool, flags: i32) -> Self {
        Self {
            table,
            adds,
            flags,
            lists: Vec::new(),
            done: Vec::new(),
        }
    }

    /// One more. `end`: of a set of ranges, the last key; `data`: of a map. Empty: there is none.
    pub(crate) fn push(
        &mut self,
        set: &'static str,
        (key, end): (&[u8], &[u8]),
        data: &[u8],
        comment: &str,
    ) {
        let at = self.lists.iter().position(|list| list.set == set);
        let at = at.unwrap_or_else(|| {
            self.lists.push(List::new(self.table, set, 512));
            self.lists.len() - 1
        });
        let list = &mut self.lists[at];
        let data = if self.adds { data } else { &[] };
        list.element((key, end), data, if self.adds { comment } else { "" });
        if list.bytes.len() > ROOM {
            self.flush(at);
        }
    }

    fn flush(&mut self, at: usize) {
        let list = &mut self.lists[at];
        if list.count == 0 {
            return;
        }
        let noun = if list.count == 1 {
            "element"
        } else {
            "elements"
        };
        let what = format!("{} {}, {} {noun}", self.table, list.set, list.count);
        let (name, kind) = match self.adds {
            true => ("NFT_MSG_NEWSETELEM", message::NEWSETELEM),
            false => ("NFT_MSG_DELSETELEM", message::DELSETELEM),
        };
        // There may be as many again.
        let next = List::new(self.table, list.set, ROOM + 512);
        let List {
            mut bytes, begin, ..
        } = std::mem::replace(list, next);
        let length = u16::try_from(bytes.len() - begin).unwrap_or(u16::MAX);
        bytes[begin..begin + 2].copy_from_slice(&length.to_ne_bytes());
        let kind = NFNL_SUBSYS_NFTABLES << 8 | kind;
        self.done
            .push(Request::whole(name, &what, kind, self.flags, bytes));
    }

    /// All of them, in the order in which the sets came.
    pub(crate) fn requests(mut self) -> Vec<Request> {
        for at in 0..self.lists.len() {
            self.flush(at);
        }
        self.done
    }
}

impl List {
    fn new(table: Table, set: &'static str, room: usize) -> Self {
        let mut bytes = Vec::with_capacity(room);
        bytes.resize(NLMSGHDR, 0);
        bytes.extend([table.family, 0, 0, 0]);
        bytes.extend(Attributes::default().text(1, table.name).text(2, set).0);
        let begin = bytes.len();
        bytes.extend([0, 0]);
        bytes.extend((3 | NLA_F_NESTED).to_ne_bytes());
        Self {
            set,
            bytes,
            begin,
            count: 0,
        }
    }

    fn element(&mut self, (key, end): (&[u8], &[u8]), data: &[u8], comment: &str) {
        let begin = self.bytes.len();
        // its length comes last
        self.bytes.extend([0, 0, 1, 0x80]);
        self.value(1, key);
        if !end.is_empty() {
            self.value(10, end);
        }
        if !data.is_empty() {
            self.value(2, data);
        }
        if !comment.is_empty() {
            let text = userdata(comment);
            self.header(6, text.len());
            self.bytes.extend(&text);
            self.pad();
        }
        let length = u16::try_from(self.bytes.len() - begin).unwrap_or(u16::MAX);
        self.bytes[begin..begin + 2].copy_from_slice(&length.to_ne_bytes());
        self.count += 1;
    }

    fn header(&mut self, kind: u16, length: usize) {
        let length = u16::try_from(4 + length).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
    }

    fn value(&mut self, kind: u16, value: &[u8]) {
        self.header(kind | NLA_F_NESTED, 4 + value.len().next_multiple_of(4));
        self.header(1, value.len());
        self.bytes.extend(value);
        self.pad();
    }

    fn pad(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::{Element, INET, add_elements};

    const T: Table = Table {
        family: INET,
        name: "t",
    };

    #[test]
    fn what_is_written_at_once_is_what_is_written_bit_by_bit() {
        let element = |key: u8, end: Option<Vec<u8>>, data: Option<Vec<u8>>| Element {
            set: "s",
            key: vec![key; 8],
            end,
            data,
        };
        let elements = [
            element(1, None, Some(vec![7; 8])),
            element(2, Some(vec![9; 8]), None),
        ];
        let mut bulk = Bulk::add(T, false);
        for one in &elements {
            let (end, data) = (one.end.clone(), one.data.clone());
            let (end, data) = (end.unwrap_or_default(), data.unwrap_or_default());
            bulk.push("s", (&one.key, &end), &data, "web");
        }
        let (ours, other) = (bulk.requests(), add_elements(T, &elements, "web"));
        assert_eq!(format!("{ours:?}"), format!("{other:?}"));
    }

    #[test]
    fn no_message_is_too_long_and_each_is_of_one_set() {
        let mut bulk = Bulk::add(T, false);
        for key in 0..2000_u32 {
            bulk.push("a", (&key.to_be_bytes(), &[]), &[], &"x".repeat(200));
        }
        bulk.push("b", (&[1; 4], &[]), &[], "");
        let calls: Vec<String> = bulk.requests().into_iter().map(|one| one.call).collect();
        assert!(calls.len() > 6, "{calls:?}");
        assert_eq!(
            calls.last().unwrap(),
            "NFT_MSG_NEWSETELEM(inet t b, 1 element)"
        );
    }
}
