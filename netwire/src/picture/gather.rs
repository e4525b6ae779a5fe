//! What the kernel has of interfaces, routes and elements of our table, as boxes.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use nix::errno::Errno;
use record::{Id, Known};

use super::model::{Arrow, Group, Item, Line, Picture};
use crate::TOOL;
use crate::cidr::width;
use crate::error::Error;
use crate::link::{self, Link};
use crate::netlink::Socket;
use crate::nft;
use crate::publish::Protocol;
use crate::routes;
use crate::ruleset::{self, IPV4, IPV6};
use crate::service;
use crate::state;
use crate::uplink;

/// What the table has for a pod, by its id.
type Entrances = HashMap<Id, Vec<Line>>;

/// All of it.
pub(super) fn gather() -> Result<Picture, Error> {
    let mut socket = Socket::open(false)?;
    let links = link::all(&mut socket)?;
    let addresses = addresses(&mut socket)?;
    let entrances = entrances()?;
    let mut picture = Picture {
        title: title(),
        ..Picture::default()
    };
    picture.groups.push(host(&links)?);
    let mut owners: HashMap<IpAddr, String> = HashMap::new();
    let mut wires: BTreeMap<Option<u32>, Group> = BTreeMap::new();
    for bridge in links
        .iter()
        .filter(|link| link.kind.as_deref() == Some("bridge"))
    {
        let mut group = Group {
            title: format!("bridge {}", bridge.name),
            is_wire: true,
            ..Group::default()
        };
        group.notes.extend(own_addresses(bridge.index)?);
        wires.insert(Some(bridge.index), group);
    }
    for veth in &links {
        let Some(id) = owner(veth) else { continue };
        let known = known_addresses(&id, veth);
        let routed = addresses.get(&veth.index).cloned().unwrap_or_default();
        let group = wires.entry(veth.master).or_insert_with(|| Group {
            title: "point to point".into(),
            is_wire: true,
            ..Group::default()
        });
        let item = pod(&id, veth, &known, &routed, &entrances);
        for address in routed.iter().chain(&known) {
            owners.entry(*address).or_insert_with(|| item.key.clone());
        }
        group.boxes.push(item);
    }
    let services = services(&owners, &mut picture.arrows)?;
    picture.groups.extend(services);
    picture.groups.extend(wires.into_values());
    Ok(picture)
}

fn title() -> String {
    let name = nix::unistd::gethostname();
    let name = name.map(|name| name.to_string_lossy().into_owned());
    format!(
        "network of {}",
        name.unwrap_or_else(|_| "this machine".into())
    )
}

/// To which address the host has a route of its own, by the number of the interface.
fn addresses(socket: &mut Socket) -> Result<HashMap<u32, Vec<IpAddr>>, Error> {
    let mut found: HashMap<u32, Vec<IpAddr>> = HashMap::new();
    for (interface, route) in routes::all(socket)? {
        if route.prefix == width(route.destination) && route.gateway.is_none() {
            found.entry(interface).or_default().push(route.destination);
        }
    }
    Ok(found)
}

/// The pod of the host's end of a pair: it bears its name.
fn owner(link: &Link) -> Option<Id> {
    let is_veth = link.kind.as_deref() == Some("veth");
    let id = link.alias.as_deref()?.parse().ok()?;
    is_veth.then_some(id)
}

/// What a port of a bridge cannot tell, because no route of the host leads out of it: the index does.
fn known_addresses(id: &Id, veth: &Link) -> Vec<IpAddr> {
    let Known::Up(state) = record::known(TOOL, id) else {
        return Vec::new();
    };
    let attachments = state::attachments(&state).unwrap_or_default();
    let its = attachments
        .iter()
        .find(|attachment| attachment.host(id) == veth.name);
    let nets = its.into_iter().flat_map(|its| its.assigned_nets());
    nets.map(|net| net.address).collect()
}

fn pod(id: &Id, veth: &Link, known: &[IpAddr], routed: &[IpAddr], entrances: &Entrances) -> Item {
    let mut lines = Vec::new();
    let is_port = veth.master.is_some();
    let shown = if is_port { known } else { routed };
    lines.extend(shown.iter().map(|address| Line::plain(address.to_string())));
    let lost = known
        .iter()
        .filter(|address| !is_port && !routed.contains(address));
    let lost: Vec<Line> = lost
        .map(|address| Line::plain(format!("{address} unrouted")))
        .collect();
    let is_up = veth.up && veth.state() == "up";
    if !is_up {
        lines.push(Line::plain(format!("{} is {}", veth.name, veth.state())));
    }
    let is_broken = !is_up || !lost.is_empty();
    lines.extend(lost);
    lines.extend(entrances.get(id).into_iter().flatten().cloned());
    Item {
        key: format!("{id} {}", veth.name),
        title: id.to_string(),
        lines,
        end: Some(veth.name.clone()),
        is_broken,
    }
}

/// The machine itself, and by what it is connected to the world.
fn host(links: &[Link]) -> Result<Group, Error> {
    let mut group = Group {
        title: "host".into(),
        ..Group::default()
    };
    let closed = uplink::closed(true, true)?;
    let mut uplinks = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        for (_, interfaces) in routes::default_routes(Socket::open(false)?, family)? {
            uplinks.extend(interfaces);
        }
    }
    for link in links.iter().filter(|link| uplinks.contains(&link.index)) {
        let mut lines: Vec<Line> = own_addresses(link.index)?
            .into_iter()
            .map(Line::plain)
            .collect();
        for uplink in closed.iter().filter(|uplink| uplink.name == link.name) {
            let why = uplink.why();
            let what = why.split_once(':').map_or(why.as_str(), |(what, _)| what);
            lines.push(Line::plain(what.to_owned()));
        }
        group.boxes.push(Item {
            key: format!("uplink {}", link.name),
            title: format!("uplink {}", link.name),
            lines,
            end: None,
            is_broken: !link.up,
        });
    }
    if group.boxes.is_empty() {
        group.notes.push("no default route".into());
    }
    Ok(group)
}

fn own_addresses(index: u32) -> Result<Vec<String>, Error> {
    let found = link::addresses(Socket::open(false)?, index)?;
    let global = found.into_iter().filter(|(address, _)| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    });
    Ok(global
        .map(|(address, prefix)| format!("{address}/{prefix}"))
        .collect())
}

/// Published ports, and whose packets are translated, by the comments of the elements.
fn entrances() -> Result<Entrances, Error> {
    let mut found = Entrances::new();
    // Without nf_tables there is none.
    let Ok(mut socket) = Socket::netfilter(false) else {
        return Ok(found);
    };
    for family in [&IPV4, &IPV6] {
        let sets = [family.masquerade, family.ports, family.host_ports];
        for set in sets {
            let mut elements = Vec::new();
            let get = nft::get_elements(ruleset::INET, set);
            let answer = socket.dump_all(get, |payload| {
                elements.extend(nft::elements(set, payload));
            });
            match answer {
                Err(error) if error.refused() == Some(Errno::ENOENT) => continue,
                answer => answer?,
            }
            for (element, comment) in elements {
                let Some((id, _)) = ruleset::owner(&comment) else {
                    continue;
                };
                let line = match set == family.masquerade {
                    true => Some(Line::plain("nat")),
                    false => published(&element.key, element.data.as_deref()),
                };
                found.entry(id).or_default().extend(line);
            }
        }
    }
    for lines in found.values_mut() {
        lines.sort_by(|one, other| one.text.cmp(&other.text));
        lines.dedup();
    }
    Ok(found)
}

/// `127.0.0.1:8080 -> 80/tcp`
fn published(key: &[u8], data: Option<&[u8]>) -> Option<Line> {
    let port = |bytes: &[u8], from_end: usize| {
        let at = bytes.len().checked_sub(from_end)?;
        Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
    };
    let (host_port, to) = (port(key, 4)?, port(data?, 4)?);
    let number = *key.get(key.len().checked_sub(8)?)?;
    let protocol = Protocol::of(number).map_or("?", Protocol::name);
    let address = link::address(key.get(..key.len() - 8)?);
    let at = address.map_or_else(String::new, |address| match address {
        IpAddr::V4(address) => format!("{address}:"),
        IpAddr::V6(address) => format!("[{address}]:"),
    });
    Some(Line::entrance(format!(
        "{at}{host_port} -> {to}/{protocol}"
    )))
}

/// A box for each service, and arrows to the pods that are its endpoints.
fn services(
    owners: &HashMap<IpAddr, String>,
    arrows: &mut Vec<Arrow>,
) -> Result<Option<Group>, Error> {
    let mut group = Group {
        title: "services".into(),
        ..Group::default()
    };
    for (service, is_there) in service::all()? {
        let key = format!("service {}", service.name.as_ref());
        let mut lines: Vec<Line> = service
            .addresses()
            .map(|address| Line::plain(address.to_string()))
            .collect();
        let mut reached: Vec<&String> = Vec::new();
        for port in &service.ports {
            let node = port
                .node
                .map_or_else(String::new, |node| format!(", node {node}"));
            let (label, count) = (port.label(), port.to.len());
            lines.push(Line::entrance(format!("{label} -> {count}{node}")));
            reached.extend(port.to.iter().filter_map(|to| owners.get(&to.ip)));
        }
        if !is_there {
            lines.push(Line::plain("not in the table"));
        }
        reached.sort();
        reached.dedup();
        arrows.extend(reached.into_iter().map(|to| Arrow {
            from: key.clone(),
            to: to.clone(),
        }));
        let is_empty = service.ports.iter().all(|port| port.to.is_empty());
        group.boxes.push(Item {
            key,
            title: service.name.as_ref().to_owned(),
            lines,
            end: None,
            is_broken: !is_there || is_empty,
        });
    }
    Ok((!group.boxes.is_empty()).then_some(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_of_a_map_is_a_published_port() {
        let line = |key: &[u8]| {
            published(key, Some(&[10, 0, 0, 2, 0, 80, 0, 0]))
                .unwrap()
                .text
        };
        assert_eq!(line(&[6, 0, 0, 0, 0x1f, 0x90, 0, 0]), "8080 -> 80/tcp");
        let key = [127, 0, 0, 1, 17, 0, 0, 0, 0, 53, 0, 0];
        assert_eq!(line(&key), "127.0.0.1:53 -> 80/udp");
        assert_eq!(published(&[1, 2], Some(&[])), None);
    }
}
