//! `show`: what the kernel has now.

use record::{Id, Record};
use serde_json::{Value, json};

use crate::cidr::width;
use crate::dns::Dns;
use crate::error::Error;
use crate::link::{self, By, Counters, Link, Mac};
use crate::mode::Mode;
use crate::namespace::PodNamespace;
use crate::netlink::Socket;
use crate::plan::Route;
use crate::state::{self, Attachment};
use crate::{TOOL, firewall, routes};

/// The head of the table.
pub(crate) const HEAD: [&str; 8] = [
    "ID", "IFNAME", "ADDRESS", "GATEWAY", "HOST", "STATE", "RX", "TX",
];

/// One attachment, and what there is of it.
struct Seen {
    attachment: Attachment,
    host: String,
    /// The host's end, of lo itself; None: that is gone.
    link: Option<Link>,
    routed: bool,
    inside: Option<Inside>,
    /// Elements of our tables that are its.
    rules: Vec<String>,
}

/// What the pod has; None in its place: its namespace is gone, or closed to us.
struct Inside {
    link: Link,
    addresses: Vec<String>,
    routes: Vec<Route>,
}

impl Seen {
    fn state(&self) -> &'static str {
        match &self.link {
            None => "gone",
            Some(link) if link.state() == "up" && !self.routed => "unrouted",
            Some(link) if self.attachment.mode.is_inside() && link.up => "up",
            Some(link) => link.state(),
        }
    }

    /// Received and sent as the pod sees it: the two ends mirror each other.
    fn counters(&self) -> (Counters, Counters) {
        let link = self.link.as_ref();
        link.map_or_else(Default::default, |link| (link.tx, link.rx))
    }
}

/// A line of the table for each attachment of the record; `details`: and below it everything else.
pub(crate) fn table(record: &Record, details: bool) -> Result<String, Error> {
    let (id, seen) = look(record, details)?;
    let mut text = String::new();
    for seen in &seen {
        let (rx, tx) = seen.counters();
        let line = |address: &str, gateway: &str| {
            row(&[
                &id,
                seen.attachment.ifname.as_ref(),
                address,
                gateway,
                &seen.host,
                seen.state(),
                &rx.bytes.to_string(),
                &tx.bytes.to_string(),
            ])
        };
        if seen.attachment.nets.is_empty() {
            text += &line("-", "-");
        }
        for net in &seen.attachment.nets {
            let address = net.address.map_or("-".to_owned(), |ip| ip.to_string());
            text += &line(&address, &net.subnet.gateway().to_string());
        }
        if details {
            let lines = of(seen).into_iter();
            text.extend(lines.map(|(what, which)| format!("  {what:<8} {which}\n")));
        }
    }
    if let Some(state) = record.get(TOOL).filter(|_| details) {
        let lines = Dns::of(state).lines().into_iter();
        text.extend(lines.map(|line| format!("  dns      {line}\n")));
    }
    Ok(text)
}

/// What is below a line of the table.
fn of(seen: &Seen) -> Vec<(&'static str, String)> {
    let mac = |mac: Option<Mac>| mac.map_or("-".to_owned(), |mac| mac.to_string());
    let mut lines = Vec::new();
    if let Some(port) = seen.attachment.mode.port() {
        let bridge = port.to_string();
        lines.push(("bridge", bridge.trim_start_matches("--bridge ").to_owned()));
    }
    if let Some(link) = &seen.link {
        let (address, mtu, index) = (mac(link.mac), link.mtu, link.index);
        lines.push(("host", format!("number {index}, {address}, MTU {mtu}")));
    }
    if let Some(Inside {
        link,
        addresses,
        routes,
    }) = &seen.inside
    {
        let (address, mtu, index) = (mac(link.mac), link.mtu, link.index);
        lines.push(("pod", format!("number {index}, {address}, MTU {mtu}")));
        lines.extend(addresses.iter().map(|address| ("address", address.clone())));
        lines.extend(routes.iter().map(|route| ("route", route.to_string())));
    }
    let ports = seen.attachment.ports.iter();
    lines.extend(ports.map(|publish| ("port", publish.to_string())));
    let rate = seen.attachment.rate.iter();
    lines.extend(rate.map(|rate| ("rate", rate.to_string())));
    lines.extend(seen.rules.iter().map(|rule| ("rule", rule.clone())));
    let (rx, tx) = seen.counters();
    for (what, count) in [("received", rx), ("sent", tx)] {
        let Counters {
            packets,
            bytes,
            errors,
            dropped,
        } = count;
        let lost = format!("{errors} errors, {dropped} dropped");
        lines.push((what, format!("{packets} packets, {bytes} bytes, {lost}")));
    }
    lines
}

/// One line.
pub(crate) fn row(cells: &[&str; 8]) -> String {
    let [id, ifname, address, gateway, host, state, rx, tx] = cells;
    let row = format!(
        "{id:<12} {ifname:<7} {address:<15} {gateway:<15} {host:<15} {state:<9} {rx:>10} {tx:>10}"
    );
    format!("{}\n", row.trim_end())
}

/// The same as one object on one line.
pub(crate) fn json(record: &Record) -> Result<String, Error> {
    let (id, seen) = look(record, true)?;
    let attachments: Vec<Value> = seen.iter().map(|seen| object(&id, seen)).collect();
    let mut object = json!({"id": id.as_ref(), "attachments": attachments});
    if let Some(state) = record.get(TOOL) {
        Dns::of(state).add_to(&mut object);
    }
    Ok(format!("{object}\n"))
}

fn object(id: &Id, seen: &Seen) -> Value {
    let link = seen.link.as_ref();
    let mac = |link: &Link| link.mac.map(|mac| mac.to_string());
    let mut object = seen.attachment.to_json(id);
    for net in &seen.attachment.nets {
        let key = if net.subnet.is_ipv4() {
            "gateway"
        } else {
            "gateway6"
        };
        object[key] = net.subnet.gateway().to_string().into();
    }
    object["ifindex"] = link.map(|link| link.index).into();
    object["mtu"] = link.map(|link| link.mtu).into();
    object["hostMac"] = link.and_then(mac).into();
    object["state"] = seen.state().into();
    object["inside"] = seen.inside.as_ref().map_or(Value::Null, |inside| {
        json!({
            "ifindex": inside.link.index,
            "mac": mac(&inside.link),
            "mtu": inside.link.mtu,
            "addresses": inside.addresses,
            "routes": inside.routes.iter().map(route).collect::<Vec<_>>(),
        })
    });
    object["rules"] = seen.rules.clone().into();
    let (rx, tx) = seen.counters();
    for (direction, count) in [("rx", rx), ("tx", tx)] {
        for (what, number) in [
            ("Packets", count.packets),
            ("Bytes", count.bytes),
            ("Errors", count.errors),
            ("Dropped", count.dropped),
        ] {
            object[format!("{direction}{what}")] = number.into();
        }
    }
    object
}

/// As `routes` of a CNI result has it.
fn route(route: &Route) -> Value {
    let mut object = json!({"dst": format!("{}/{}", route.destination, route.prefix)});
    if let Some(gateway) = route.gateway {
        object["gw"] = gateway.to_string().into();
    }
    if let Some(source) = route.source {
        object["src"] = source.to_string().into();
    }
    object
}

/// `details`: what takes a while as well.
fn look(record: &Record, details: bool) -> Result<(Id, Vec<Seen>), Error> {
    let (id, state) = state::of(record)?;
    let mut host = Socket::open(false)?;
    // Who may look at the host's side only is told as much.
    let pod = PodNamespace::of_state(record, state).ok();
    let attachments = state::attachments(state)?;
    let seen = attachments.into_iter().map(|attachment| {
        let name = attachment.host(&id);
        let inside = pod.as_ref().and_then(|pod| inside(pod, &attachment).ok()?);
        let (link, routed) = match attachment.mode {
            Mode::Loopback | Mode::Device(_) => {
                (inside.as_ref().map(|inside| inside.link.clone()), true)
            }
            _ => look_at(&id, &attachment, &name, &mut host)?,
        };
        Ok(Seen {
            host: match &attachment.mode {
                Mode::Loopback => "-".to_owned(),
                Mode::Device(moved) => moved.name.to_string(),
                _ => name,
            },
            rules: match details && !attachment.nets.is_empty() {
                true => firewall::shown(&id, &attachment),
                false => Vec::new(),
            },
            attachment,
            link,
            routed,
            inside,
        })
    });
    let seen: Result<Vec<Seen>, Error> = seen.collect();
    Ok((id, seen?))
}

/// The host's end, and whether packets to the pod come to it.
fn look_at(
    id: &Id,
    attachment: &Attachment,
    name: &str,
    host: &mut Socket,
) -> Result<(Option<Link>, bool), Error> {
    let link = link::find(host, By::Name(name), true)?;
    let link = link.filter(|link| link.alias.as_deref() == Some(record::names::ifalias(id)));
    let Some(link) = link else {
        return Ok((None, false));
    };
    if attachment.mode.port().is_some() {
        let is_port = link.master.is_some();
        return Ok((Some(link), is_port));
    }
    for address in attachment.nets.iter().filter_map(|net| net.address) {
        if routes::route_to(host, address)? != Some((link.index, width(address))) {
            return Ok((Some(link), false));
        }
    }
    Ok((Some(link), true))
}

fn inside(pod: &PodNamespace, attachment: &Attachment) -> Result<Option<Inside>, Error> {
    let mut socket = pod.socket(false)?;
    let name = attachment.ifname.as_ref();
    let Some(link) = link::find(&mut socket, By::Name(name), attachment.mode.is_inside())? else {
        return Ok(None);
    };
    let routes = routes::out_of(&mut socket, link.index)?;
    let addresses = link::addresses(socket, link.index)?;
    let addresses = addresses
        .iter()
        .map(|(ip, prefix)| format!("{ip}/{prefix}"));
    Ok(Some(Inside {
        addresses: addresses.collect(),
        link,
        routes,
    }))
}
