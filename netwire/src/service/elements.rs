//! What of the table is a service's.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::definition::{Port, Service};
use super::endpoint::Endpoint;
use super::family::Family;
use super::program::{Class, TABLE};
use crate::nft::Bulk;

/// Bytes of a key or of data: the longest is client . address . protocol . port of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Bytes {
    bytes: [u8; 44],
    length: u8,
}

impl Bytes {
    fn new() -> Self {
        Self {
            bytes: [0; 44],
            length: 0,
        }
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::new().and(bytes)
    }

    fn and(mut self, more: &[u8]) -> Self {
        let begin = usize::from(self.length);
        let end = (begin + more.len()).min(self.bytes.len());
        self.bytes[begin..end].copy_from_slice(&more[..end - begin]);
        self.length = u8::try_from(end).unwrap_or(u8::MAX);
        self
    }

    fn address(self, ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => self.and(&ip.octets()),
            IpAddr::V6(ip) => self.and(&ip.octets()),
        }
    }

    fn port(self, port: u16) -> Self {
        let [high, low] = port.to_be_bytes();
        self.and(&[high, low, 0, 0])
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// One element of a set of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) set: &'static str,
    pub(crate) key: Bytes,
    /// Of a range, the last key.
    end: Bytes,
    /// Of a map.
    pub(crate) data: Bytes,
}

impl Entry {
    fn new(set: &'static str, key: Bytes, data: Bytes) -> Self {
        let end = Bytes::new();
        Self {
            set,
            key,
            end,
            data,
        }
    }

    /// Into a message.
    pub(crate) fn push(&self, bulk: &mut Bulk, comment: &str) {
        let key = (self.key.as_slice(), self.end.as_slice());
        bulk.push(self.set, key, self.data.as_slice(), comment);
    }
}

/// `address . protocol . port`
pub(crate) fn service_key(ip: IpAddr, port: &Port) -> Bytes {
    let key = Bytes::new().address(ip);
    key.and(&[port.protocol.number(), 0, 0, 0]).port(port.port)
}

/// `protocol . port`
pub(crate) fn port_key(protocol: u8, port: u16) -> Bytes {
    Bytes::new().and(&[protocol, 0, 0, 0]).port(port)
}

/// Hands out each element that is this service's alone.
pub(crate) fn each(service: &Service, mut see: impl FnMut(Entry)) {
    for port in &service.ports {
        for ipv4 in [true, false] {
            let family = Family::of(ipv4);
            let mut ips = service
                .addresses()
                .filter(|ip| ip.is_ipv4() == ipv4)
                .peekable();
            if ips.peek().is_none() {
                continue;
            }
            let slots = port.slots(ipv4);
            let of = class(service, ipv4, slots.len());
            let data = Bytes::of(&of.key());
            for ip in ips {
                let key = service_key(ip, port);
                see(Entry::new(family.services, key, data));
                drawn(family.endpoints, key, &slots, &mut see);
                denied(family.denied, key, service, ipv4, &mut see);
            }
            if let Some(node) = port.node {
                let key = port_key(port.protocol.number(), node);
                let of = Class { node: true, ..of };
                see(Entry::new(family.node_ports, key, Bytes::of(&of.key())));
                drawn(family.node_endpoints, key, &slots, &mut see);
                denied(family.node_denied, key, service, ipv4, &mut see);
            }
        }
    }
}

fn drawn(set: &'static str, key: Bytes, slots: &[Endpoint], see: &mut impl FnMut(Entry)) {
    for (slot, endpoint) in (0_u32..).zip(slots) {
        let to = Bytes::new().address(endpoint.ip).port(endpoint.port);
        see(Entry::new(set, key.and(&slot.to_ne_bytes()), to));
    }
}

fn denied(
    set: &'static str,
    key: Bytes,
    service: &Service,
    ipv4: bool,
    see: &mut impl FnMut(Entry),
) {
    let ranges = service.deny_from.iter();
    for range in ranges.filter(|range| range.first().is_ipv4() == ipv4) {
        let from = |ip| Bytes::new().address(ip).and(key.as_slice());
        see(Entry {
            set,
            key: from(range.first()),
            end: from(range.last()),
            data: Bytes::new(),
        });
    }
}

fn class(service: &Service, ipv4: bool, slots: usize) -> Class {
    Class {
        ipv4,
        slots: u32::try_from(slots).unwrap_or(u32::MAX),
        seconds: service.affinity.unwrap_or(0),
        node: false,
    }
}

/// The chains that a service needs.
pub(crate) fn classes(services: &[Service]) -> BTreeSet<Class> {
    let mut classes = BTreeSet::new();
    for service in services {
        for ipv4 in [true, false] {
            if service.vips.iter().any(|ip| ip.is_ipv4() == ipv4) {
                for port in &service.ports {
                    let of = class(service, ipv4, port.slot_count(ipv4));
                    classes.insert(of);
                    if port.node.is_some() {
                        classes.insert(Class { node: true, ..of });
                    }
                }
            }
        }
    }
    classes
}

/// What an endpoint has, whichever services lead to it.
pub(crate) fn shared(ip: IpAddr, is_elsewhere: bool) -> Vec<Entry> {
    let family = Family::of_address(ip);
    let none = Bytes::new();
    let mut entries = vec![Entry::new(
        family.hairpin,
        Bytes::new().address(ip).address(ip),
        none,
    )];
    if is_elsewhere {
        entries.push(Entry::new(family.elsewhere, Bytes::new().address(ip), none));
    }
    entries
}

/// Adds all that is of these services.
pub(crate) fn add(services: &[Service]) -> Vec<crate::netlink::Request> {
    let mut own = Bulk::add(TABLE, false);
    let mut common = Bulk::add(TABLE, true);
    // Of 10 000 services most may have the same endpoints.
    let mut seen: HashMap<IpAddr, bool> = HashMap::new();
    for service in services {
        each(service, |entry| {
            let comment = if entry.set.starts_with("services") {
                service.name.as_ref()
            } else {
                ""
            };
            entry.push(&mut own, comment);
        });
        for port in &service.ports {
            for one in &port.to {
                *seen.entry(one.ip).or_default() |= service.elsewhere.contains(&one.ip);
            }
        }
    }
    for (ip, is_elsewhere) in seen {
        for entry in shared(ip, is_elsewhere) {
            entry.push(&mut common, "");
        }
    }
    let mut requests = own.requests();
    requests.extend(common.requests());
    requests
}

/// The way from one set of elements to another.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) removed: Vec<Entry>,
    pub(crate) added: Vec<(Entry, String)>,
}

/// What turns the first services into the second.
pub(crate) fn difference(old: &[Service], new: &[Service]) -> Difference {
    let collect = |services: &[Service]| {
        let mut entries = Vec::new();
        for service in services {
            each(service, |entry| {
                entries.push((entry, service.name.to_string()))
            });
        }
        entries
    };
    let (old, new) = (collect(old), collect(new));
    let keys = |entries: &[(Entry, String)]| -> HashMap<(&'static str, Bytes, Bytes), Bytes> {
        let key = |entry: &Entry| ((entry.set, entry.key, entry.end), entry.data);
        entries.iter().map(|(entry, _)| key(entry)).collect()
    };
    let (before, after) = (keys(&old), keys(&new));
    let is_in = |there: &HashMap<_, Bytes>, entry: &Entry| {
        there.get(&(entry.set, entry.key, entry.end)) == Some(&entry.data)
    };
    Difference {
        removed: old
            .into_iter()
            .filter(|(entry, _)| !is_in(&after, entry))
            .map(|(entry, _)| entry)
            .collect(),
        added: new
            .into_iter()
            .filter(|(entry, _)| !is_in(&before, entry))
            .collect(),
    }
}

/// The slots of each key that endpoints are drawn for: of `address . protocol . port`, and of `protocol . port`.
pub(crate) fn slots(services: &[Service]) -> HashMap<Vec<u8>, Vec<Bytes>> {
    let mut slots: HashMap<Vec<u8>, Vec<Bytes>> = HashMap::new();
    for service in services {
        each(service, |entry| {
            if entry.set.contains("endpoints") {
                let key = entry.key.as_slice();
                let of = slots.entry(key[..key.len() - 4].to_vec()).or_default();
                of.push(entry.data);
            }
        });
    }
    slots
}
