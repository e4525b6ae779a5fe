//! Whether what an earlier `up` made is what is wanted now, and is what the kernel has.

use record::{Id, names};

use crate::antispoof::When;
use crate::bridge;
use crate::cidr::{Cidr, width};
use crate::device::{Device, Moved};
use crate::error::Error;
use crate::link::{self, By};
use crate::mode::Mode;
use crate::namespace::PodNamespace;
use crate::netlink::Socket;
use crate::plan::{Ifname, Net, Wanted};
use crate::publish::Publish;
use crate::rate::Rate;
use crate::state::Attachment;

/// Compares what an earlier `up` made with what is wanted now and with what the kernel has, our table aside: that can be
/// repaired with the pod running.
pub(crate) fn check(
    id: &Id,
    is: &Attachment,
    wanted: &Wanted,
    pod: &PodNamespace,
    host: &mut Socket,
) -> Result<(), Error> {
    let otherwise = other_place(is, wanted)
        .or_else(|| other_address(is, wanted))
        .or_else(|| other_traffic(is, wanted));
    if let Some(what) = otherwise {
        return Err(differing(id, &what));
    }
    if is.policy != wanted.policy {
        let why = format!(
            "the rules are{}, not{} (netwire policy changes them)",
            is.policy, wanted.policy
        );
        return Err(Error::failed(format!("{id}: {why}")));
    }
    if let Some(what) = other_guard(is, wanted) {
        return Err(differing(id, what));
    }
    if let Some(first) = differences(id, is, Some(pod), host)?.into_iter().next() {
        return Err(differing(id, &first.text));
    }
    match other_end(is, wanted, pod)? {
        Some(what) => Err(differing(id, &what)),
        None => Ok(()),
    }
}

/// How it is connected, in which subnets, and where its leases are.
fn other_place(is: &Attachment, wanted: &Wanted) -> Option<String> {
    if is.mode != wanted.mode {
        let (is_so, wanted_so) = (&is.mode, &wanted.mode);
        return Some(format!("{} is {is_so}, not {wanted_so}", is.ifname));
    }
    let subnets = |nets: &[Net]| {
        let subnets: Vec<String> = nets.iter().map(|net| net.subnet.to_string()).collect();
        subnets.join(" and ")
    };
    let (is_in, wanted_in) = (subnets(&is.nets), subnets(&wanted.nets));
    if is_in != wanted_in {
        return Some(format!("{} is in {is_in}, not in {wanted_in}", is.ifname));
    }
    if is.leases != wanted.leases && !is.nets.is_empty() {
        let (is, wanted) = (is.leases.dir(), wanted.leases.dir());
        let (is, wanted) = (is.display(), wanted.display());
        return Some(format!("the lease is in {is}, not in {wanted}"));
    }
    None
}

/// Of the same subnets: gateways and addresses.
fn other_address(is: &Attachment, wanted: &Wanted) -> Option<String> {
    let mut gateways = is.nets.iter().zip(&wanted.nets);
    if let Some((is_at, wanted)) = gateways.find(|(is, wanted)| is.subnet != wanted.subnet) {
        let (is_at, wanted) = (is_at.subnet.gateway(), wanted.subnet.gateway());
        return Some(format!("the gateway is {is_at}, not {wanted}"));
    }
    let mut nets = is.nets.iter().zip(&wanted.nets);
    nets.find_map(|(is_at, wanted)| match (is_at.address, wanted.address) {
        (Some(is_at), Some(wanted)) if is_at != wanted => {
            Some(format!("{} has {is_at}, not {wanted}", is.ifname))
        }
        (None, _) => Some(format!("{} has no address", is.ifname)),
        _ => None,
    })
}

/// What is done to its packets: translation, rate and published ports.
fn other_traffic(is: &Attachment, wanted: &Wanted) -> Option<String> {
    let nat = |nat: bool, except: &[Cidr]| {
        let except = except.iter().map(|range| format!(" --nat-except {range}"));
        match nat {
            true => format!("--nat{}", except.collect::<String>()),
            false => "no --nat".to_owned(),
        }
    };
    if (is.nat, &is.nat_except) != (wanted.nat, &wanted.nat_except) {
        let is_so = nat(is.nat, &is.nat_except);
        let wanted = nat(wanted.nat, &wanted.nat_except);
        return Some(format!("{} has {is_so}, not {wanted}", is.ifname));
    }
    let rate =
        |rate: Option<Rate>| rate.map_or("no --rate".to_owned(), |rate| format!("--rate {rate}"));
    if is.rate != wanted.rate {
        let (is_so, wanted) = (rate(is.rate), rate(wanted.rate));
        return Some(format!("{} has {is_so}, not {wanted}", is.ifname));
    }
    let ports = |ports: &[Publish]| match ports {
        [] => "none".to_owned(),
        ports => {
            let ports: Vec<String> = ports.iter().map(Publish::to_string).collect();
            ports.join(" ")
        }
    };
    (is.ports != wanted.ports).then(|| {
        let (is, wanted) = (ports(&is.ports), ports(&wanted.ports));
        format!("published is {is}, not {wanted}")
    })
}

/// Whether it may pass for another.
fn other_guard(is: &Attachment, wanted: &Wanted) -> Option<&'static str> {
    match (is.antispoof, wanted.antispoof) {
        (true, When::Never) => Some("it is kept from passing for another"),
        (false, When::Always) => Some("it is not kept from passing for another"),
        (true, _) if wanted.loose && !is.loose => {
            Some("net.ipv4.conf.all.rp_filter is 2 by now, and it may pass for another")
        }
        _ => None,
    }
}

/// MTU and hardware address of the pod's end, where some are wanted.
fn other_end(
    is: &Attachment,
    wanted: &Wanted,
    pod: &PodNamespace,
) -> Result<Option<String>, Error> {
    let name = is.ifname.as_ref();
    let peer = link::find(&mut pod.socket(false)?, By::Name(name), false)?;
    let place = pod.path().display();
    let (mtu, mac) = peer.map_or((None, None), |peer| (Some(peer.mtu), peer.mac));
    if let Some(wanted) = wanted.mtu.filter(|_| mtu != wanted.mtu) {
        let mtu = mtu.unwrap_or_default();
        return Ok(Some(format!("{name} has MTU {mtu}, not {wanted}")));
    }
    let other = wanted.mac.filter(|_| mac != wanted.mac);
    Ok(other.map(|mac| format!("{name} in {place} has not {mac}")))
}

/// The same of a device that is in the pod already.
pub(crate) fn check_device(
    id: &Id,
    is: &Attachment,
    device: &Device,
    pod: &PodNamespace,
    host: &mut Socket,
) -> Result<(), Error> {
    if is
        .mode
        .moved()
        .is_none_or(|moved| moved.name != device.name)
    {
        let (mode, name) = (&is.mode, &device.name);
        return Err(differing(
            id,
            &format!("{} is {mode}, not --device {name}", is.ifname),
        ));
    }
    match differences(id, is, Some(pod), host)?.into_iter().next() {
        Some(first) => Err(differing(id, &first.text)),
        None => Ok(()),
    }
}

fn differing(id: &Id, what: &str) -> Error {
    Error::failed(format!("{id}: {what} (netwire down comes first)"))
}

/// Something that the kernel, or a pool of leases, has otherwise than the record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) ifname: Ifname,
    /// `link`, `namespace`, `bridge`, `address`, `route`, `lease` or `forwarding`.
    pub(crate) what: &'static str,
    pub(crate) text: String,
}

/// What is different of one attachment, the most important first.
pub(crate) fn differences(
    id: &Id,
    is: &Attachment,
    pod: Option<&PodNamespace>,
    host: &mut Socket,
) -> Result<Vec<Difference>, Error> {
    let found = match pod {
        None => vec![(
            "namespace",
            "the pod's network namespace is gone".to_owned(),
        )],
        Some(pod) if is.mode.is_loopback() => of_loopback(pod)?,
        Some(pod) => match is.mode.moved() {
            Some(moved) => of_device(is, moved, pod)?,
            None => of_link(id, is, pod, host)?,
        },
    };
    let difference = |(what, text)| Difference {
        ifname: is.ifname.clone(),
        what,
        text,
    };
    Ok(found.into_iter().map(difference).collect())
}

/// What it is about, and a sentence.
type Found = Vec<(&'static str, String)>;

fn of_loopback(pod: &PodNamespace) -> Result<Found, Error> {
    let lo = link::find(&mut pod.socket(false)?, By::Name("lo"), false)?;
    Ok(match lo.is_some_and(|lo| lo.up) {
        true => Vec::new(),
        false => vec![("link", "lo is down".to_owned())],
    })
}

/// Of an interface of the host that was moved in.
fn of_device(is: &Attachment, moved: &Moved, pod: &PodNamespace) -> Result<Found, Error> {
    let mut inside = pod.socket(false)?;
    let link = link::find(&mut inside, By::Name(is.ifname.as_ref()), false)?;
    let Some(link) = link.filter(|link| link.mac == moved.mac) else {
        return Ok(vec![("link", format!("{} is gone", is.ifname))]);
    };
    if !link.up {
        return Ok(vec![("link", format!("{} is down", is.ifname))]);
    }
    let there = link::addresses(inside, link.index)?;
    let gone = moved.addresses.iter().filter(|one| !there.contains(one));
    let lacks = gone.map(|(address, prefix)| format!("{} lacks {address}/{prefix}", is.ifname));
    Ok(lacks.map(|text| ("address", text)).collect())
}

/// Of a link of its own: both ends, the bridge, addresses and routes.
fn of_link(
    id: &Id,
    is: &Attachment,
    pod: &PodNamespace,
    host: &mut Socket,
) -> Result<Found, Error> {
    let (name, place) = (is.host(id), pod.path().display());
    let end = link::find(host, By::Name(&name), false)?;
    let Some(end) = end.filter(|end| end.alias.as_deref() == Some(names::ifalias(id))) else {
        return Ok(vec![("link", format!("{name} is gone"))]);
    };
    let mut inside = pod.socket(false)?;
    let peer = link::find(&mut inside, By::Name(is.ifname.as_ref()), false)?;
    let Some(peer) = peer.filter(|peer| peer.peer.unwrap_or(peer.index) == end.index) else {
        let text = format!("{} in {place} is not the other end of {name}", is.ifname);
        return Ok(vec![("link", text)]);
    };
    let mut found = Vec::new();
    for link in [&end, &peer].into_iter().filter(|link| !link.up) {
        found.push(("link", format!("{} is down", link.name)));
    }
    if let Some(text) = bridge::drift(&is.mode, &end, host)? {
        found.push(("bridge", text));
    }
    let there = link::addresses(inside, peer.index)?;
    for net in is.assigned_nets() {
        let (address, prefix) = (net.address, net.subnet.prefix());
        if !there.contains(&(address, prefix)) {
            let text = format!("{} in {place} lacks {address}/{prefix}", is.ifname);
            found.push(("address", text));
        }
        let to = Some((end.index, width(address)));
        if is.mode == Mode::Ptp && link::route_to(host, address)? != to {
            found.push(("route", format!("{address} is not routed to {name}")));
        }
    }
    Ok(found)
}
