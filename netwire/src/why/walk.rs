//! The walk itself.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use record::{Id, Record};

use super::dns::Resolver;
use super::kernel::{self, Incoming};
use super::machine::{self, Culprit, FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING, Packet};
use super::probe::{self, Answer};
use super::rules::Rules;
use super::target::{Host, Target};
use super::{Walk, tracked};
use crate::TOOL;
use crate::error::Error;
use crate::link::{self, By, Link};
use crate::namespace::PodNamespace;
use crate::netlink::Socket;
use crate::state::{self, Attachment};
use crate::uplink;

/// What is known of the pod.
struct Pod {
    id: Id,
    namespace: PodNamespace,
    attachments: Vec<Attachment>,
}

impl Pod {
    /// What it is connected by, if the packet leaves by `ifname`.
    fn attachment(&self, ifname: &str) -> Option<&Attachment> {
        self.attachments
            .iter()
            .find(|attachment| attachment.ifname.as_ref() == ifname)
    }
}

/// How the packet leaves the pod.
struct Departure {
    link: Link,
    source: IpAddr,
    gateway: Option<IpAddr>,
}

/// Where the host's part of the way ends.
#[derive(Default)]
struct Arrival {
    /// The interface it leaves by, and the next hop there.
    next: Option<(Link, IpAddr)>,
}

/// From the pod of `record` to `target`.
pub(super) fn walk(record: &Record, target: &Target) -> Result<Walk, Error> {
    let id: Id = record
        .id()
        .unwrap_or_default()
        .parse()
        .map_err(record::Error::Record)?;
    let state = record.get(TOOL);
    let pod = Pod {
        id,
        namespace: PodNamespace::of(record, None)?,
        attachments: state.map_or(Ok(Vec::new()), state::attachments)?,
    };
    let mut walk = Walk::default();
    let Some(destination) = name(record, &pod, target, &mut walk)? else {
        return Ok(walk);
    };
    let port = target.port.map(|port| (target.protocol.number(), port));
    let Some(departure) = leave(&pod, destination, &mut walk)? else {
        if !walk.is_closed() {
            own_rules(&pod, None, destination, port, &mut walk)?;
            listener(
                &pod,
                destination,
                target,
                None,
                &Arrival::default(),
                &mut walk,
            )?;
        }
        return Ok(walk);
    };
    own_rules(&pod, Some(&departure), destination, port, &mut walk)?;
    let mut arrival = Arrival::default();
    if !walk.is_closed() {
        arrival = host(&pod, &departure, destination, port, &mut walk)?;
    }
    if !walk.is_closed() {
        listener(
            &pod,
            destination,
            target,
            Some(&departure),
            &arrival,
            &mut walk,
        )?;
    }
    Ok(walk)
}

/// The address; None: the name has none.
fn name(
    record: &Record,
    pod: &Pod,
    target: &Target,
    walk: &mut Walk,
) -> Result<Option<IpAddr>, Error> {
    let name = match &target.host {
        Host::Address(address) => return Ok(Some(*address)),
        Host::Name(name) => name,
    };
    let resolver = Resolver::of(record);
    match pod.namespace.inside(|| Ok(resolver.resolve(name)))? {
        Ok((address, from)) => {
            walk.open("dns", format!("{name} is {address}, says {from}"));
            Ok(Some(address))
        }
        Err(why) => {
            walk.close("dns", why);
            Ok(None)
        }
    }
}

/// Out of the pod; None: it stays in there, or does not go at all.
fn leave(pod: &Pod, destination: IpAddr, walk: &mut Walk) -> Result<Option<Departure>, Error> {
    let id = &pod.id;
    let mut inside = pod.namespace.socket(false)?;
    let lo = link::find(&mut inside, By::Name("lo"), false)?;
    let lo_is_on = lo.is_some_and(|lo| lo.up);
    let way = kernel::way(&mut inside, destination, None)?;
    let stays = destination.is_loopback() || way.as_ref().is_ok_and(|way| way.local);
    match (lo_is_on, stays) {
        (true, _) => walk.open("lo", format!("lo of {id} is up")),
        (false, true) => walk.close("lo", format!("lo of {id} is down (ip link set lo up)")),
        (false, false) => walk.open("lo", format!("lo of {id} is down, and not on the way")),
    }
    if walk.is_closed() {
        return Ok(None);
    }
    let way = match way {
        Ok(way) => way,
        Err(errno) => {
            let text = no_route(pod, destination, errno, &mut inside)?;
            walk.close("route", text);
            return Ok(None);
        }
    };
    if stays {
        walk.open("route", format!("{destination} is {id} itself"));
        return Ok(None);
    }
    let found = link::find(&mut inside, By::Index(way.interface), false)?;
    let (Some(link), Some(source)) = (found, way.source) else {
        walk.close("route", format!("{id} has no address to send from"));
        return Ok(None);
    };
    let via = way
        .gateway
        .map_or_else(String::new, |gateway| format!("via {gateway} "));
    walk.open("route", format!("{via}dev {} src {source}", link.name));
    Ok(Some(Departure {
        link,
        source,
        gateway: way.gateway,
    }))
}

/// Why there is none: most often the interface it would lead out of is off or gone.
fn no_route(
    pod: &Pod,
    destination: IpAddr,
    errno: Errno,
    inside: &mut Socket,
) -> Result<String, Error> {
    let id = &pod.id;
    for attachment in &pod.attachments {
        let name = attachment.ifname.as_ref();
        match link::find(inside, By::Name(name), false)? {
            None => return Ok(format!("{name} of {id} is gone")),
            Some(link) if !link.up => {
                return Ok(format!("{name} of {id} is down (ip link set {name} up)"));
            }
            Some(_) => {}
        }
    }
    let why = match errno {
        Errno::EACCES | Errno::EINVAL | Errno::EHOSTUNREACH => "the route forbids it",
        _ if pod.attachments.is_empty() => "it has no interface (netwire up)",
        _ => "there is none (ip route)",
    };
    Ok(format!("{id} has no route to {destination}: {why}"))
}

/// The rules that somebody made in the pod.
fn own_rules(
    pod: &Pod,
    departure: Option<&Departure>,
    destination: IpAddr,
    port: Option<(u8, u16)>,
    walk: &mut Walk,
) -> Result<(), Error> {
    // Without nf_tables there are none.
    let Ok(socket) = pod.namespace.inside(|| Socket::netfilter(false)) else {
        return Ok(());
    };
    let Ok(rules) = Rules::read(socket) else {
        return Ok(());
    };
    let lo = || ("lo".to_owned(), 1);
    let mut packet = Packet {
        input: (String::new(), 0),
        output: departure.map_or_else(lo, |of| (of.link.name.clone(), of.link.index)),
        source: departure.map_or(destination, |departure| departure.source),
        destination,
        port,
        local: departure.is_none(),
        from_there: true,
        mark: 0,
        redirected: false,
        scattered: false,
        masqueraded: false,
    };
    let culprit = [OUTPUT, POSTROUTING]
        .into_iter()
        .find_map(|hook| machine::pass(&rules, hook, &mut packet));
    match culprit {
        Some(culprit) => blame("pod-rules", &culprit, &format!("in {}, ", pod.id), walk),
        None if !rules.chains.is_empty() => walk.open("pod-rules", "they let it pass"),
        None => {}
    }
    Ok(())
}

fn blame(step: &'static str, culprit: &Culprit, place: &str, walk: &mut Walk) {
    let what = match culprit.policy {
        true => "what none of its rules accepts is dropped",
        false => "a rule of it drops this",
    };
    let text = format!("{place}chain {}: {what}", culprit.place);
    match culprit.certain {
        true => walk.close(step, text),
        false => walk.doubt(step, format!("{text}, unless another rule applies")),
    }
}

/// On the host, from the end of the pod's link on.
fn host(
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
    let incoming = Incoming {
        source: departure.source,
        interface: input.index,
    };
    let back = kernel::way(&mut socket, departure.source, None)?;
    let local = kernel::way(&mut socket, destination, None)?.is_ok_and(|way| way.local);
    let mut packet = Packet {
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
    };
    if let Some(rules) = &rules
        && let Some(culprit) = machine::pass(rules, PREROUTING, &mut packet)
    {
        blame(step_of(&culprit), &culprit, "", walk);
        if walk.is_closed() {
            return Ok(());
        }
    }
    if packet.scattered {
        walk.open(
            "nat",
            format!("{destination} is a service, of several endpoints"),
        );
        return Ok(());
    }
    if packet.redirected {
        let to = packet.destination;
        let port = packet
            .port
            .map_or_else(String::new, |(_, port)| format!(" port {port}"));
        walk.open(
            "nat",
            format!("{destination} is published: it leads to {to}{port}"),
        );
    }
    let way = match kernel::way(&mut socket, packet.destination, Some(incoming))? {
        Ok(way) => way,
        Err(errno) => {
            walk.close("forward", not_forwarded(pod, input, &packet, errno));
            return Ok(());
        }
    };
    packet.local = way.local;
    if way.local {
        walk.open(
            "forward",
            format!("{} is the host itself", packet.destination),
        );
        if let Some(rules) = &rules
            && let Some(culprit) = machine::pass(rules, INPUT, &mut packet)
        {
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
    for hook in [FORWARD, POSTROUTING] {
        let culprit = rules
            .as_ref()
            .and_then(|rules| machine::pass(rules, hook, &mut packet));
        if let Some(culprit) = culprit {
            blame(
                step_of(&culprit),
                &culprit,
                &whose(&culprit, pod, &output),
                walk,
            );
        } else if hook == FORWARD {
            walk.open("policy", "all rules let it pass");
        }
        if walk.is_closed() {
            return Ok(());
        }
    }
    back_from_the_world(&packet, &output, walk)?;
    arrival.next = Some((output, next));
    stale(&packet, destination, port, walk)
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

/// Whether somebody answers.
fn listener(
    pod: &Pod,
    destination: IpAddr,
    target: &Target,
    departure: Option<&Departure>,
    arrival: &Arrival,
    walk: &mut Walk,
) -> Result<(), Error> {
    let Some(port) = target.port else {
        // Nobody can be asked: doubts are all there is.
        walk.believe_doubts();
        return Ok(());
    };
    let (to, protocol) = (SocketAddr::new(destination, port), target.protocol);
    let answer = pod.namespace.inside(|| Ok(probe::probe(to, protocol)))?;
    let name = protocol.name();
    match answer {
        Answer::Connected => {
            walk.open("listener", format!("{to}/{name} answers"));
            return Ok(());
        }
        Answer::Refused => {
            walk.close("listener", format!("nothing listens on {to}/{name}"));
            return Ok(());
        }
        Answer::Unknown => {
            if !silent_neighbour(pod, destination, departure, arrival, walk)? {
                walk.open(
                    "listener",
                    format!("{to}/{name} does not say that nobody is there"),
                );
                walk.believe_doubts();
            }
            return Ok(());
        }
        Answer::Silent | Answer::Unreachable(_) => {}
    }
    if silent_neighbour(pod, destination, departure, arrival, walk)? || walk.believe_doubts() {
        return Ok(());
    }
    match answer {
        Answer::Unreachable(errno) => walk.close(
            "listener",
            format!("{to}/{name}: somebody on the way says {}", errno.desc()),
        ),
        _ => walk.close(
            "listener",
            format!("{to}/{name} does not answer, and nothing here stands in the way: look there"),
        ),
    }
    Ok(())
}

/// Whether a next hop has no hardware address, which is known after something was sent to it.
fn silent_neighbour(
    pod: &Pod,
    destination: IpAddr,
    departure: Option<&Departure>,
    arrival: &Arrival,
    walk: &mut Walk,
) -> Result<bool, Error> {
    if let Some(departure) = departure {
        let next = departure.gateway.unwrap_or(destination);
        let mut inside = pod.namespace.socket(false)?;
        if kernel::is_silent(&mut inside, next, departure.link.index)? {
            let name = &departure.link.name;
            walk.close(
                "neighbour",
                format!("nobody on {name} of {} has {next}", pod.id),
            );
            return Ok(true);
        }
    }
    if let Some((link, next)) = &arrival.next
        && kernel::is_silent(&mut Socket::open(false)?, *next, link.index)?
    {
        walk.close("neighbour", format!("nobody on {} has {next}", link.name));
        return Ok(true);
    }
    if departure.is_some() {
        walk.open("neighbour", "every next hop on this machine answers");
    }
    Ok(false)
}
