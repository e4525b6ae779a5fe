//! The host's part of the way: the end of the pod's link, rules, routes, translation.

use std::net::IpAddr;

use nix::errno::Errno;

use super::kernel::{self, Incoming};
use super::machine::{self, Culprit, FORWARD, INPUT, POSTROUTING, PREROUTING, Packet};
use super::rules::Rules;
use super::walk::{Arrival, Departure, Pod, blame};
use super::{Walk, tracked};
use crate::error::Error;
use crate::link::{self, By, Link};
use crate::netlink::Socket;
use crate::state::Attachment;
use crate::uplink;

/// On the host, from the end of the pod's link on.
pub(super) fn host(
    pod: &Pod,
    departure: &Departure,
    destination: IpAddr,
    port: Option<(u8, u16)>,
    walk: &mut Walk,
) -> Result<Arrival, Error> {
    let mut arrival = Arrival::default();
    let Some(attachment) = pod.attachment(&departure.link.name) else {
        let name = &departure.link.name;
        walk.open(
            "link",
            format!("{name} is not netwire's: what is behind it is not known"),
        );
        return Ok(arrival);
    };
    let mut socket = Socket::open(false)?;
    let name = attachment.host(&pod.id);
    let Some(end) = link::find(&mut socket, By::Name(&name), false)? else {
        walk.close("link", format!("{name}, the host's end, is gone"));
        return Ok(arrival);
    };
    if !end.up || end.state() == "down" || end.state() == "lowerlayerdown" {
        walk.close(
            "link",
            format!("{name}, the host's end, is down (ip link set {name} up)"),
        );
        return Ok(arrival);
    }
    walk.open("link", format!("{name} is up"));
    if !own_address(pod, attachment, departure, &name, walk) {
        return Ok(arrival);
    }
    let input = match attachment.mode.port() {
        None => end,
        Some(port) => match link::find(&mut socket, By::Name(port.bridge.as_ref()), false)? {
            Some(bridge) if bridge.up => bridge,
            _ => {
                walk.close(
                    "link",
                    format!("the bridge {} is gone or down", port.bridge),
                );
                return Ok(arrival);
            }
        },
    };
    let to_bridge = kernel::way(&mut socket, destination, None)?.is_ok_and(|way| way.local);
    if attachment.mode.port().is_some() && departure.gateway.is_none() && !to_bridge {
        walk.open(
            "bridge",
            format!("{destination} is behind {} as well", input.name),
        );
        return Ok(arrival);
    }
    through(
        pod,
        departure,
        &input,
        destination,
        port,
        &mut arrival,
        walk,
    )?;
    Ok(arrival)
}

/// The spoof guard lets through what is from the pod's own addresses.
fn own_address(
    pod: &Pod,
    attachment: &Attachment,
    departure: &Departure,
    end: &str,
    walk: &mut Walk,
) -> bool {
    let own: Vec<String> = attachment
        .assigned_nets()
        .iter()
        .map(|net| net.address.to_string())
        .collect();
    let source = departure.source.to_string();
    if own.contains(&source) {
        walk.open("antispoof", format!("{source} is {}'s own address", pod.id));
        return true;
    }
    let text = format!(
        "{end} takes only what is from {}, and {} sends from {source}",
        own.join(" and "),
        pod.id
    );
    match attachment.antispoof {
        true => walk.close("antispoof", text),
        false => walk.doubt(
            "antispoof",
            format!("answers to {source} do not come to {}", pod.id),
        ),
    }
    !attachment.antispoof
}

/// The host's rules and routes.
fn through(
    pod: &Pod,
    departure: &Departure,
    input: &Link,
    destination: IpAddr,
    port: Option<(u8, u16)>,
    arrival: &mut Arrival,
    walk: &mut Walk,
) -> Result<(), Error> {
    let mut socket = Socket::open(false)?;
    let netfilter = Socket::netfilter(false);
    let rules = netfilter.and_then(Rules::read).ok();
    let rules = rules.as_ref();
    let mut packet = packet(departure, input, destination, port, &mut socket)?;
    if !translated(rules, &mut packet, walk) {
        return Ok(());
    }
    let incoming = Incoming {
        source: departure.source,
        interface: input.index,
    };
    let way = match kernel::way(&mut socket, packet.destination, Some(incoming))? {
        Ok(way) => way,
        Err(errno) => {
            walk.close("forward", not_forwarded(pod, input, &packet, errno));
            return Ok(());
        }
    };
    packet.local = way.local;
    if way.local {
        let host = packet.destination;
        walk.open("forward", format!("{host} is the host itself"));
        if let Some(culprit) = pass(rules, INPUT, &mut packet) {
            blame(step_of(&culprit), &culprit, "", walk);
        }
        return stale(&packet, destination, port, walk);
    }
    let Some(output) = link::find(&mut socket, By::Index(way.interface), false)? else {
        walk.close("forward", "the interface it would leave by is gone");
        return Ok(());
    };
    let next = way.gateway.unwrap_or(packet.destination);
    walk.open("forward", format!("leaves by {} to {next}", output.name));
    packet.output = (output.name.clone(), output.index);
    if !let_out(rules, pod, &output, &mut packet, walk) {
        return Ok(());
    }
    back_from_the_world(&packet, &output, walk)?;
    arrival.next = Some((output, next));
    stale(&packet, destination, port, walk)
}

/// As it comes in from the pod.
fn packet(
    departure: &Departure,
    input: &Link,
    destination: IpAddr,
    port: Option<(u8, u16)>,
    socket: &mut Socket,
) -> Result<Packet, Error> {
    let back = kernel::way(socket, departure.source, None)?;
    let local = kernel::way(socket, destination, None)?.is_ok_and(|way| way.local);
    Ok(Packet {
        input: (input.name.clone(), input.index),
        output: (String::new(), 0),
        source: departure.source,
        destination,
        port,
        local,
        from_there: back.is_ok_and(|way| way.interface == input.index),
        mark: 0,
        redirected: false,
        scattered: false,
        masqueraded: false,
    })
}

/// No rules, no culprit.
fn pass(rules: Option<&Rules>, hook: u32, packet: &mut Packet) -> Option<Culprit> {
    rules.and_then(|rules| machine::pass(rules, hook, packet))
}

/// What becomes of it before it is routed; whether there is one place where it goes on.
fn translated(rules: Option<&Rules>, packet: &mut Packet, walk: &mut Walk) -> bool {
    let destination = packet.destination;
    if let Some(culprit) = pass(rules, PREROUTING, packet) {
        blame(step_of(&culprit), &culprit, "", walk);
        if walk.is_closed() {
            return false;
        }
    }
    if packet.scattered {
        let text = format!("{destination} is a service, of several endpoints");
        walk.open("nat", text);
        return false;
    }
    if packet.redirected {
        let port = packet.port.map(|(_, port)| format!(" port {port}"));
        let (to, port) = (packet.destination, port.unwrap_or_default());
        let text = format!("{destination} is published: it leads to {to}{port}");
        walk.open("nat", text);
    }
    true
}

/// Whether the rules let it pass to where it leaves.
fn let_out(
    rules: Option<&Rules>,
    pod: &Pod,
    output: &Link,
    packet: &mut Packet,
    walk: &mut Walk,
) -> bool {
    for hook in [FORWARD, POSTROUTING] {
        if let Some(culprit) = pass(rules, hook, packet) {
            let whose = whose(&culprit, pod, output);
            blame(step_of(&culprit), &culprit, &whose, walk);
        } else if hook == FORWARD {
            walk.open("policy", "all rules let it pass");
        }
        if walk.is_closed() {
            return false;
        }
    }
    true
}

/// Of our own rules: those of which pod they are.
fn whose(culprit: &Culprit, pod: &Pod, output: &Link) -> String {
    match (step_of(culprit), culprit.chain.as_str()) {
        ("policy", "egress") => format!("--deny-to or --allow-to of {}, ", pod.id),
        ("policy", "ingress") => {
            let other = output.alias.as_deref().unwrap_or("the other pod");
            format!("--deny or --allow of {other}, ")
        }
        _ => String::new(),
    }
}

/// Which of our own it is, or that it is somebody else's.
fn step_of(culprit: &Culprit) -> &'static str {
    match (culprit.table.as_str(), culprit.chain.as_str()) {
        ("chroot0", "raw") => "antispoof",
        ("chroot0", "forward") => "forward",
        ("chroot0", _) => "policy",
        _ => "foreign",
    }
}

fn not_forwarded(pod: &Pod, input: &Link, packet: &Packet, errno: Errno) -> String {
    let to = packet.destination;
    match errno {
        Errno::EXDEV => format!(
            "the host takes nothing from {} by {}, its route back is another (rp_filter)",
            packet.source, input.name
        ),
        Errno::EHOSTUNREACH => format!(
            "the host does not forward what comes in by {} (net.ipv4.conf.{}.forwarding is 0)",
            input.name, input.name
        ),
        Errno::ENETUNREACH => format!("the host has no route to {to} for {}", pod.id),
        _ => format!("the host does not forward to {to}: {}", errno.desc()),
    }
}

/// Whether answers find the way: by the pod's own address only where somebody knows a route to it.
fn back_from_the_world(packet: &Packet, output: &Link, walk: &mut Walk) -> Result<(), Error> {
    let (ipv4, ipv6) = (packet.source.is_ipv4(), packet.source.is_ipv6());
    let is_ours = output.kind.as_deref() == Some("veth") && output.alias.is_some();
    if packet.masqueraded {
        walk.open("nat", format!("{} is translated", packet.source));
    } else if is_ours {
        walk.open("nat", "stays among pods, with its own address");
    } else {
        let text = format!(
            "nothing translates {}: who is behind {} has to know a route to it (netwire up --nat)",
            packet.source, output.name
        );
        walk.doubt("nat", text);
    }
    let closed = uplink::closed(ipv4, ipv6)?;
    if let Some(closed) = closed.iter().find(|uplink| uplink.name == output.name) {
        walk.doubt("forward", format!("{} (--sysctl-host)", closed.why()));
    }
    Ok(())
}

fn stale(
    packet: &Packet,
    destination: IpAddr,
    port: Option<(u8, u16)>,
    walk: &mut Walk,
) -> Result<(), Error> {
    let Some((protocol, port)) = port.filter(|_| !walk.is_closed()) else {
        return Ok(());
    };
    let asked = tracked::Asked {
        source: packet.source,
        destination,
        protocol,
        port,
        goes_to: packet.destination,
        masqueraded: packet.masqueraded,
    };
    match tracked::stale(asked)? {
        Some(text) => walk.close("conntrack", text),
        None => walk.open("conntrack", "no connection of other rules is tracked"),
    }
    Ok(())
}
