//! Whether what an earlier `up` made is what is wanted now, and is what the kernel has.

use record::{Id, names};

use crate::antispoof::When;
use crate::bridge;
use crate::cidr::{Cidr, width};
use crate::error::Error;
use crate::lease::Pool;
use crate::link::{self, By};
use crate::mode::Mode;
use crate::namespace::PodNamespace;
use crate::netlink::Socket;
use crate::plan::{Net, Wanted};
use crate::publish::Publish;
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
    if is.lease_dir != wanted.lease_dir {
        let subnet = is.nets[0].subnet;
        let pool = |dir| Pool::new(subnet, dir).dir().display().to_string();
        let (is, wanted) = (
            pool(is.lease_dir.as_deref()),
            pool(wanted.lease_dir.as_deref()),
        );
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
    match drift(id, is, wanted, pod, host)? {
        Some(what) => Err(differing(id, &what)),
        None => Ok(()),
    }
}

fn differing(id: &Id, what: &str) -> Error {
    Error::failed(format!("{id}: {what} (netwire down comes first)"))
}

/// What the kernel has otherwise than the record says; None: nothing.
fn drift(
    id: &Id,
    is: &Attachment,
    wanted: &Wanted,
    pod: &PodNamespace,
    host: &mut Socket,
) -> Result<Option<String>, Error> {
    if is.mode.is_loopback() {
        let lo = link::find(&mut pod.socket(false)?, By::Name("lo"), false)?;
        return Ok((!lo.is_some_and(|lo| lo.up)).then(|| "lo is down".to_owned()));
    }
    let name = names::veth(id, is.ifname.as_ref());
    let place = pod.path().display();
    let end = link::find(host, By::Name(&name), false)?;
    let Some(end) = end.filter(|end| end.alias.as_deref() == Some(names::ifalias(id))) else {
        return Ok(Some(format!("{name} is gone")));
    };
    let mut inside = pod.socket(false)?;
    let peer = link::find(&mut inside, By::Name(is.ifname.as_ref()), false)?;
    let Some(peer) = peer.filter(|peer| peer.peer.unwrap_or(peer.index) == end.index) else {
        return Ok(Some(format!(
            "{} in {place} is not the other end of {name}",
            is.ifname
        )));
    };
    for link in [&end, &peer] {
        if !link.up {
            return Ok(Some(format!("{} is down", link.name)));
        }
        if let Some(mtu) = wanted.mtu.filter(|&mtu| mtu != link.mtu) {
            return Ok(Some(format!(
                "{} has MTU {}, not {mtu}",
                link.name, link.mtu
            )));
        }
    }
    if let Some(mac) = wanted.mac.filter(|&mac| peer.mac != Some(mac)) {
        return Ok(Some(format!("{} in {place} has not {mac}", peer.name)));
    }
    if let Some(what) = bridge::drift(&is.mode, &end, host)? {
        return Ok(Some(what));
    }
    let there = link::addresses(inside, peer.index)?;
    for net in &is.nets {
        let (address, prefix) = (
            net.address.unwrap_or(net.subnet.network()),
            net.subnet.prefix(),
        );
        if !there.contains(&(address, prefix)) {
            return Ok(Some(format!(
                "{} in {place} lacks {address}/{prefix}",
                is.ifname
            )));
        }
        if is.mode == Mode::Ptp
            && link::route_to(host, address)? != Some((end.index, width(address)))
        {
            return Ok(Some(format!("{address} is not routed to {name}")));
        }
    }
    Ok(None)
}
