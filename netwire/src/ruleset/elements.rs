//! What of the table is a pod's, and how it is known again.

use std::net::Ipv4Addr;

use record::{Id, names};

use super::VETHS;
use crate::cidr::Cidr;
use crate::nft::Element;
use crate::publish::Publish;
use crate::state::Attachment;

/// What an element of ours carries as its comment.
pub(crate) fn comment(id: &Id, ifname: &str) -> String {
    format!("{id} {ifname}")
}

/// The pod and the interface in a [`comment`].
pub(crate) fn owner(comment: &str) -> Option<(Id, &str)> {
    let (id, ifname) = comment.split_once(' ')?;
    Some((id.parse().ok()?, ifname))
}

/// The name of an interface as a key.
pub(crate) fn ifname_key(name: &str) -> Vec<u8> {
    let mut key = name.as_bytes().to_vec();
    key.resize(16, 0);
    key
}

/// What an attachment needs in the table; nothing: it needs none.
pub(crate) fn elements(id: &Id, attachment: &Attachment) -> Vec<Element> {
    let Some(pod) = attachment.address.filter(|_| attachment.is_in_table()) else {
        return Vec::new();
    };
    let element = |set, key: Vec<u8>| Element {
        set,
        key,
        end: None,
        data: None,
    };
    let pair = |to: Ipv4Addr| [pod.octets(), to.octets()].concat();
    let veth = names::veth(id, attachment.ifname.as_ref());
    let mut elements = vec![element(VETHS, ifname_key(&veth))];
    if attachment.nat {
        elements.push(element("masquerade4", pod.octets().to_vec()));
        let own = Cidr::from(attachment.subnet);
        let ranges = std::iter::once(own).chain(attachment.nat_except.iter().copied());
        for range in outermost(ranges.collect()) {
            elements.push(Element {
                end: Some(pair(range.last())),
                ..element("direct4", pair(range.first()))
            });
        }
    }
    if !attachment.ports.is_empty() {
        elements.push(element("hairpin4", pair(pod)));
    }
    let (any, one): (Vec<&Publish>, Vec<_>) = attachment
        .ports
        .iter()
        .partition(|publish| publish.host_ip.is_none());
    for publish in any.into_iter().chain(one) {
        elements.extend(publish.pairs().map(|(host_port, port)| {
            let mut key = publish
                .host_ip
                .map_or(Vec::new(), |ip| ip.octets().to_vec());
            key.extend([publish.protocol.number(), 0, 0, 0]);
            key.extend(port_bytes(host_port));
            let set = match publish.host_ip {
                None => "ports4",
                Some(_) => "host_ports4",
            };
            Element {
                data: Some([pod.octets(), port_bytes(port)].concat()),
                ..element(set, key)
            }
        }));
    }
    elements
}

/// In a register of its own.
fn port_bytes(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// Without those that lie in others: the ranges of a set must not overlap.
fn outermost(ranges: Vec<Cidr>) -> Vec<Cidr> {
    let mut kept: Vec<Cidr> = Vec::new();
    for range in ranges {
        if kept.iter().any(|other| other.covers(range)) {
            continue;
        }
        kept.retain(|other| !range.covers(*other));
        kept.push(range);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment() -> Attachment {
        Attachment {
            ifname: "eth0".parse().unwrap(),
            subnet: "10.244.0.0/24".parse().unwrap(),
            lease_dir: None,
            address: Some(Ipv4Addr::new(10, 244, 0, 2)),
            ifindex: None,
            nat: false,
            nat_except: Vec::new(),
            ports: Vec::new(),
            antispoof: true,
            loose: false,
        }
    }

    fn sets(attachment: &Attachment) -> Vec<&'static str> {
        let elements = elements(&"foo".parse().unwrap(), attachment);
        elements.into_iter().map(|element| element.set).collect()
    }

    #[test]
    fn nothing_asked_for_is_nothing_in_the_table() {
        assert_eq!(sets(&attachment()), [""; 0]);
        let reserved = Attachment {
            address: None,
            nat: true,
            ..attachment()
        };
        assert_eq!(sets(&reserved), [""; 0]);
    }

    #[test]
    fn each_wish_has_its_elements() {
        let nat = Attachment {
            nat: true,
            nat_except: ["10.0.0.0/8", "10.96.0.0/12", "192.0.2.0/24"]
                .map(|range| range.parse().unwrap())
                .into(),
            ..attachment()
        };
        // the pods' own range lies in one of them
        assert_eq!(sets(&nat), [VETHS, "masquerade4", "direct4", "direct4"]);
        let published = Attachment {
            ports: ["127.0.0.1:80:80", "8080-8081:80-81"]
                .map(|publish| publish.parse().unwrap())
                .into(),
            ..attachment()
        };
        let expected = [VETHS, "hairpin4", "ports4", "ports4", "host_ports4"];
        assert_eq!(sets(&published), expected);
    }

    #[test]
    fn a_pod_that_only_the_table_can_hold_is_in_it() {
        let loose = Attachment {
            loose: true,
            ..attachment()
        };
        assert_eq!(sets(&loose), [VETHS]);
    }

    #[test]
    fn a_port_is_a_key_as_it_is_in_a_packet() {
        let published = Attachment {
            ports: vec!["8080:80".parse().unwrap()],
            ..attachment()
        };
        let elements = elements(&"foo".parse().unwrap(), &published);
        let port = elements.last().unwrap();
        assert_eq!(port.key, [6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        assert_eq!(port.data, Some(vec![10, 244, 0, 2, 0, 80, 0, 0]));
    }

    #[test]
    fn a_comment_says_whose() {
        let id: Id = "foo".parse().unwrap();
        let comment = comment(&id, "eth0");
        assert_eq!(owner(&comment), Some((id, "eth0")));
        assert_eq!(
            owner("something else's own"),
            Some(("something".parse().unwrap(), "else's own"))
        );
        assert_eq!(owner(""), None);
    }
}
