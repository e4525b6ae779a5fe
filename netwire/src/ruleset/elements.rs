//! What of the table is a pod's, and how it is known again.

use std::net::IpAddr;

use record::{Id, names};

use super::{Family, VETHS, bridge, nat, policy};
use crate::cidr::{Cidr, octets};
use crate::nft::Element;
use crate::publish::Publish;
use crate::state::Attachment;
use crate::subnet::Subnet;

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

/// What an attachment needs in the tables; nothing: it needs none.
pub(crate) fn elements(id: &Id, attachment: &Attachment) -> Vec<Element> {
    let pods: Vec<(Subnet, IpAddr)> = attachment
        .nets
        .iter()
        .filter_map(|net| Some((net.subnet, net.address?)))
        .collect();
    if pods.is_empty() {
        return Vec::new();
    }
    let veth = names::veth(id, attachment.ifname.as_ref());
    let mut elements = Vec::new();
    let port = attachment.mode.port();
    if attachment.is_forwarded_otherwise() || (port.is_none() && attachment.needs_filter()) {
        elements.push(Element::new(VETHS, ifname_key(&veth)));
        if attachment.antispoof && port.is_none() {
            elements.push(Element::new(nat::GUARDED, ifname_key(&veth)));
        }
        for (subnet, pod) in &pods {
            elements.extend(of_address(attachment, *subnet, *pod));
        }
    }
    if port.is_some() {
        let mac = attachment.pod_mac(id);
        let pods: Vec<IpAddr> = pods.iter().map(|(_, pod)| *pod).collect();
        elements.extend(bridge::elements(&veth, mac, &pods, attachment.antispoof));
    }
    elements
}

/// Of one address of a pod, in the table of the host's own packets.
fn of_address(attachment: &Attachment, subnet: Subnet, pod: IpAddr) -> Vec<Element> {
    let family = Family::of(pod);
    let mut elements = Vec::new();
    if attachment.nat {
        elements.extend(translated(attachment, subnet, pod));
    }
    if !attachment.ports.is_empty() || !attachment.policy.is_open() {
        // By a published port it sends to itself, which no rule forbids.
        elements.push(Element::new(family.hairpin, pair(pod, pod)));
    }
    if let Some(port) = attachment.mode.port() {
        let bridge = ifname_key(port.bridge.as_ref());
        elements.push(Element::new(family.bridged, [bridge, octets(pod)].concat()));
    }
    if !attachment.ports.is_empty() {
        elements.extend(published(attachment, pod));
    }
    if !attachment.policy.is_open() {
        elements.extend(policy::elements(&attachment.policy, pod));
    }
    elements
}

fn pair(from: IpAddr, to: IpAddr) -> Vec<u8> {
    [octets(from), octets(to)].concat()
}

/// Of `--nat`.
fn translated(attachment: &Attachment, subnet: Subnet, pod: IpAddr) -> Vec<Element> {
    let family = Family::of(pod);
    let mut elements = vec![Element::new(family.masquerade, octets(pod))];
    let others = attachment.nat_except.iter().copied();
    let others = others.filter(|range| range.first().is_ipv4() == pod.is_ipv4());
    let ranges = std::iter::once(Cidr::from(subnet)).chain(others);
    for range in outermost(ranges.collect()) {
        elements.push(Element {
            end: Some(pair(pod, range.last())),
            ..Element::new(family.direct, pair(pod, range.first()))
        });
    }
    elements
}

/// Of `--publish`.
fn published(attachment: &Attachment, pod: IpAddr) -> Vec<Element> {
    let family = Family::of(pod);
    let mut elements = Vec::new();
    let ours = attachment.ports.iter();
    let ours = ours.filter(|publish| {
        publish
            .host_ip
            .is_none_or(|ip| ip.is_ipv4() == pod.is_ipv4())
    });
    let (any, one): (Vec<&Publish>, Vec<_>) = ours.partition(|publish| publish.host_ip.is_none());
    for publish in any.into_iter().chain(one) {
        elements.extend(publish.pairs().map(|(host_port, port)| {
            let mut key = publish.host_ip.map_or(Vec::new(), octets);
            key.extend([publish.protocol.number(), 0, 0, 0]);
            key.extend(port_bytes(host_port));
            let set = match publish.host_ip {
                None => family.ports,
                Some(_) => family.host_ports,
            };
            Element {
                data: Some([octets(pod), port_bytes(port).into()].concat()),
                ..Element::new(set, key)
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
    use super::nat::GUARDED;
    use super::*;
    use crate::plan::{Net, Wanted};

    fn net(subnet: &str, address: &str) -> Net {
        Net {
            subnet: subnet.parse().unwrap(),
            address: Some(address.parse().unwrap()),
        }
    }

    fn attachment() -> Attachment {
        Attachment {
            nets: vec![net("10.244.0.0/24", "10.244.0.2")],
            ..Attachment::intended(&Wanted::plain())
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
            nets: vec![Net {
                address: None,
                ..net("10.244.0.0/24", "10.244.0.2")
            }],
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
        assert_eq!(
            sets(&nat),
            [VETHS, GUARDED, "masquerade4", "direct4", "direct4"]
        );
        let published = Attachment {
            ports: ["127.0.0.1:80:80", "8080-8081:80-81"]
                .map(|publish| publish.parse().unwrap())
                .into(),
            ..attachment()
        };
        let expected = [
            VETHS,
            GUARDED,
            "hairpin4",
            "ports4",
            "ports4",
            "host_ports4",
        ];
        assert_eq!(sets(&published), expected);
    }

    #[test]
    fn a_pod_that_only_the_table_can_hold_is_in_it() {
        let loose = Attachment {
            loose: true,
            ..attachment()
        };
        assert_eq!(sets(&loose), [VETHS, GUARDED]);
    }

    #[test]
    fn each_family_has_its_own() {
        let dual = Attachment {
            nets: vec![
                net("10.244.0.0/24", "10.244.0.2"),
                net("fd00::/64", "fd00::2"),
            ],
            nat: true,
            nat_except: ["10.96.0.0/12", "fd00::/48"]
                .map(|range| range.parse().unwrap())
                .into(),
            ports: ["80:80", "[fd00::1]:81:81"]
                .map(|publish| publish.parse().unwrap())
                .into(),
            ..attachment()
        };
        let v4 = ["masquerade4", "direct4", "direct4", "hairpin4", "ports4"];
        let v6 = [
            "masquerade6",
            "direct6",
            "hairpin6",
            "ports6",
            "host_ports6",
        ];
        assert_eq!(sets(&dual), [&[VETHS, GUARDED][..], &v4, &v6].concat());
        let alone = Attachment {
            nets: vec![net("fd00::/64", "fd00::2")],
            ..attachment()
        };
        assert_eq!(sets(&alone), [VETHS, GUARDED], "IPv6 has no rp_filter");
    }

    #[test]
    fn a_port_is_a_key_as_it_is_in_a_packet() {
        let published = Attachment {
            ports: vec!["8080:80".parse().unwrap()],
            rate: Some("10mbit:64k".parse().unwrap()),
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
