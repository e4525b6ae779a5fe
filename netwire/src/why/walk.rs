//! The walk itself.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use record::{Id, Record};

use super::Walk;
use super::dns::Resolver;
use super::forwarded::host;
use super::kernel;
use super::machine::{self, Culprit, OUTPUT, POSTROUTING, Packet};
use super::probe::{self, Answer};
use super::rules::Rules;
use super::target::{Host, Target};
use crate::TOOL;
use crate::error::Error;
use crate::link::{self, By, Link};
use crate::namespace::PodNamespace;
use crate::netlink::Socket;
use crate::state::{self, Attachment};

/// What is known of the pod.
pub(super) struct Pod {
    pub(super) id: Id,
    pub(super) namespace: PodNamespace,
    pub(super) attachments: Vec<Attachment>,
}

impl Pod {
    /// What it is connected by, if the packet leaves by `ifname`.
    pub(super) fn attachment(&self, ifname: &str) -> Option<&Attachment> {
        self.attachments
            .iter()
            .find(|attachment| attachment.ifname.as_ref() == ifname)
    }
}

/// How the packet leaves the pod.
pub(super) struct Departure {
    pub(super) link: Link,
    pub(super) source: IpAddr,
    pub(super) gateway: Option<IpAddr>,
}

/// Where the host's part of the way ends.
#[derive(Default)]
pub(super) struct Arrival {
    /// The interface it leaves by, and the next hop there.
    pub(super) next: Option<(Link, IpAddr)>,
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

pub(super) fn blame(step: &'static str, culprit: &Culprit, place: &str, walk: &mut Walk) {
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
