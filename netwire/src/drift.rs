//! Whether what an earlier `up` made is what is wanted now, and is what the kernel has.

use record::{Id, names};

use crate::antispoof::When;
use crate::bridge;
use crate::cidr::{Cidr, width};
use crate::device::Device;
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
    let differs = |what: String| Err(differing(id, &what));
    if is.mode != wanted.mode {
        let (is_so, wanted_so) = (&is.mode, &wanted.mode);
        return differs(format!("{} is {is_so}, not {wanted_so}", is.ifname));
    }
    let subnets = |nets: &[Net]| {
        let subnets: Vec<String> = nets.iter().map(|net| net.subnet.to_string()).collect();
        subnets.join(" and ")
    };
    let (is_in, wanted_in) = (subnets(&is.nets), subnets(&wanted.nets));
    if is_in != wanted_in {
        return differs(format!("{} is in {is_in}, not in {wanted_in}", is.ifname));
    }
    if is.leases != wanted.leases && !is.nets.is_empty() {
        let (is, wanted) = (is.leases.dir(), wanted.leases.dir());
        let (is, wanted) = (is.display(), wanted.display());
        return differs(format!("the lease is in {is}, not in {wanted}"));
    }
    let mut gateways = is.nets.iter().zip(&wanted.nets);
    if let Some((is_at, wanted)) = gateways.find(|(is, wanted)| is.subnet != wanted.subnet) {
        let (is_at, wanted) = (is_at.subnet.gateway(), wanted.subnet.gateway());
        return differs(format!("the gateway is {is_at}, not {wanted}"));
    }
    for (is_at, wanted) in is.nets.iter().zip(&wanted.nets) {
        match (is_at.address, wanted.address) {
            (Some(is_at), Some(wanted)) if is_at != wanted => {
                return differs(format!("{} has {is_at}, not {wanted}", is.ifname));
            }
            (None, _) => return differs(format!("{} has no address", is.ifname)),
            _ => {}
        }
    }
    if (is.nat, &is.nat_except) != (wanted.nat, &wanted.nat_except) {
        let nat = |nat: bool, except: &[Cidr]| {
            let except: Vec<String> = except
                .iter()
                .map(|range| format!(" --nat-except {range}"))
                .collect();
            if nat {
                format!("--nat{}", except.concat())
            } else {
                "no --nat".to_owned()
            }
        };
        let (is_so, wanted) = (
            nat(is.nat, &is.nat_except),
            nat(wanted.nat, &wanted.nat_except),
        );
        return differs(format!("{} has {is_so}, not {wanted}", is.ifname));
    }
    if is.rate != wanted.rate {
        let rate = |rate: Option<Rate>| {
            rate.map_or("no --rate".to_owned(), |rate| format!("--rate {rate}"))
        };
        let (is_so, wanted) = (rate(is.rate), rate(wanted.rate));
        return differs(format!("{} has {is_so}, not {wanted}", is.ifname));
    }
    if is.ports != wanted.ports {
        let ports = |ports: &[Publish]| {
            let ports: Vec<String> = ports.iter().map(Publish::to_string).collect();
            if ports.is_empty() {
                "none".to_owned()
            } else {
                ports.join(" ")
            }
        };
        let (is, wanted) = (ports(&is.ports), ports(&wanted.ports));
        return differs(format!("published is {is}, not {wanted}"));
    }
    if is.policy != wanted.policy {
        let why = format!(
            "the rules are{}, not{} (netwire policy changes them)",
            is.policy, wanted.policy
        );
        return Err(Error::failed(format!("{id}: {why}")));
    }
    match (is.antispoof, wanted.antispoof) {
        (true, When::Never) => return differs("it is kept from passing for another".into()),
        (false, When::Always) => return differs("it is not kept from passing for another".into()),
        (true, _) if wanted.loose && !is.loose => {
            let why = "net.ipv4.conf.all.rp_filter is 2 by now, and it may pass for another";
            return differs(why.into());
        }
        _ => {}
    }
    if let Some(first) = differences(id, is, Some(pod), host)?.into_iter().next() {
        return differs(first.text);
    }
    let name = is.ifname.as_ref();
    let peer = link::find(&mut pod.socket(false)?, By::Name(name), false)?;
    let place = pod.path().display();
    let (mtu, mac) = peer.map_or((None, None), |peer| (Some(peer.mtu), peer.mac));
    if let Some(wanted) = wanted.mtu.filter(|_| mtu != wanted.mtu) {
        let mtu = mtu.unwrap_or_default();
        return differs(format!("{name} has MTU {mtu}, not {wanted}"));
    }
    match wanted.mac.filter(|_| mac != wanted.mac) {
        Some(mac) => differs(format!("{name} in {place} has not {mac}")),
        None => Ok(()),
    }
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
    let mut found = Vec::new();
    let mut differs = |what: &'static str, text: String| {
        let ifname = is.ifname.clone();
        found.push(Difference { ifname, what, text });
    };
    let Some(pod) = pod else {
        differs("namespace", "the pod's network namespace is gone".into());
        return Ok(found);
    };
    if is.mode.is_loopback() {
        let lo = link::find(&mut pod.socket(false)?, By::Name("lo"), false)?;
        if !lo.is_some_and(|lo| lo.up) {
            differs("link", "lo is down".into());
        }
        return Ok(found);
    }
    if let Some(moved) = is.mode.moved() {
        let mut inside = pod.socket(false)?;
        let link = link::find(&mut inside, By::Name(is.ifname.as_ref()), false)?;
        match link.filter(|link| link.mac == moved.mac) {
            None => differs("link", format!("{} is gone", is.ifname)),
            Some(link) if !link.up => differs("link", format!("{} is down", is.ifname)),
            Some(link) => {
                let there = link::addresses(inside, link.index)?;
                let gone = moved.addresses.iter().filter(|one| !there.contains(one));
                for (address, prefix) in gone {
                    let text = format!("{} lacks {address}/{prefix}", is.ifname);
                    differs("address", text);
                }
            }
        }
        return Ok(found);
    }
    let (name, place) = (is.host(id), pod.path().display());
    let end = link::find(host, By::Name(&name), false)?;
    let Some(end) = end.filter(|end| end.alias.as_deref() == Some(names::ifalias(id))) else {
        differs("link", format!("{name} is gone"));
        return Ok(found);
    };
    let mut inside = pod.socket(false)?;
    let peer = link::find(&mut inside, By::Name(is.ifname.as_ref()), false)?;
    let Some(peer) = peer.filter(|peer| peer.peer.unwrap_or(peer.index) == end.index) else {
        let ifname = &is.ifname;
        let text = format!("{ifname} in {place} is not the other end of {name}");
        differs("link", text);
        return Ok(found);
    };
    for link in [&end, &peer].into_iter().filter(|link| !link.up) {
        differs("link", format!("{} is down", link.name));
    }
    if let Some(text) = bridge::drift(&is.mode, &end, host)? {
        differs("bridge", text);
    }
    let there = link::addresses(inside, peer.index)?;
    for net in is.assigned_nets() {
        let (address, prefix) = (net.address, net.subnet.prefix());
        if !there.contains(&(address, prefix)) {
            let text = format!("{} in {place} lacks {address}/{prefix}", is.ifname);
            differs("address", text);
        }
        let to = Some((end.index, width(address)));
        if is.mode == Mode::Ptp && link::route_to(host, address)? != to {
            differs("route", format!("{address} is not routed to {name}"));
        }
    }
    Ok(found)
}
