//! One interface of a pod: both ends made, set and seen to be up.

use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_route::AddressFamily;
use nix::errno::Errno;
use record::{Id, names};

use crate::antispoof::{self, When};
use crate::error::Error;
use crate::link::{self, By, Link, OPER_UNKNOWN, OPER_UP};
use crate::namespace::PodNamespace;
use crate::netlink::Socket;
use crate::plan::{Plan, Wanted};
use crate::requests;
use crate::state::Attachment;
use crate::{bridge, ipv6, rate};

/// The largest MTU of a veth; lo has more.
const MTU_MAX: u32 = 65535;
/// Where there is no default route to take it from: Ethernet's.
const MTU_DEFAULT: u32 = 1500;

/// Makes it, and what it is connected to. What was made stays when a step fails: the caller undoes it as a whole.
pub(crate) fn connect(
    plan: &Plan,
    wanted: &Wanted,
    attachment: &mut Attachment,
    pod: &PodNamespace,
    host: &mut Socket,
    inside: &mut Socket,
) -> Result<(Link, Link), Error> {
    let held = match &plan.port {
        Some(port) => {
            bridge::forget(port, &plan.nets, host)?;
            Some(bridge::hold(port, &plan.nets, wanted.antispoof, host)?)
        }
        None => None,
    };
    let master = held.as_ref().map(|held| held.index);
    let end = create(plan, master, pod, host, inside)?;
    // With a port, the bridge stays.
    drop(held);
    if let Some(rate) = wanted.rate {
        rate::limit(&plan.id, plan.ifname.as_ref(), rate, &end, host)?;
    }
    if plan.port.is_some() {
        // A port is no end of any address.
        antispoof::turn_ipv6_off(&plan.host, When::Auto, false)?;
    } else if wanted.has(false) {
        ipv6::prepare(&plan.host)?;
        ipv6::forward(&plan.host)?;
    } else if wanted.antispoof != When::Never {
        attachment.antispoof &= antispoof::turn_ipv6_off(&plan.host, wanted.antispoof, false)?;
    }
    if wanted.has(false) {
        pod.inside(|| ipv6::prepare(plan.ifname.as_ref()))?;
    }
    wire(plan, &end, host, inside)
}

/// Both ends, down. What was made stays when a step fails: the caller undoes it as a whole.
fn create(
    plan: &Plan,
    bridge: Option<u32>,
    pod: &PodNamespace,
    host: &mut Socket,
    inside: &mut Socket,
) -> Result<Link, Error> {
    let made = host
        .batch(requests::create(plan, bridge, pod.fd()))
        .map_err(|error| match error.refused() {
            Some(Errno::EEXIST) => exists(plan, pod, inside).unwrap_or(error),
            Some(Errno::EXFULL) => {
                Error::failed(format!("{error} (a bridge has 1023 ports at most)"))
            }
            _ => error,
        })?;
    link::parse(&plan.host, &made)
}

/// Both ends up, addresses, routes.
fn wire(
    plan: &Plan,
    end: &Link,
    host: &mut Socket,
    inside: &mut Socket,
) -> Result<(Link, Link), Error> {
    host.batch(requests::host_set(plan, end.index))
        .map_err(|error| match error.refused() {
            Some(Errno::EEXIST) => Error::failed(format!(
                "{error} (something that is no pod of this subnet has this address: try another --subnet)"
            )),
            _ => error,
        })?;
    // No number of its own means that it is the same as this end's.
    let looks = inside.batch(requests::pod_set(plan, end.peer.unwrap_or(end.index)))?;
    let peer = link::parse(plan.ifname.as_ref(), &looks)?;
    Ok((wait_up(host, end)?, peer))
}

/// Names the interface that is in the way.
fn exists(plan: &Plan, pod: &PodNamespace, inside: &mut Socket) -> Option<Error> {
    link::find(inside, By::Name(plan.ifname.as_ref()), false).ok()??;
    Some(Error::failed(format!(
        "{} exists already in {}",
        plan.ifname,
        pod.path().display()
    )))
}

/// Waits until the host's end takes packets.
///
/// It was switched on first, when the other end was not: the kernel makes up for that in a work queue, or when it is asked
/// (Linux 6.8, `linkwatch_sync_dev`). Before that, packets would be dropped.
fn wait_up(host: &mut Socket, end: &Link) -> Result<Link, Error> {
    let until = Instant::now() + Duration::from_secs(2);
    loop {
        let found = link::find(host, By::Index(end.index), false)?;
        let found = found.ok_or_else(|| {
            Error::failed(format!("{} is gone again: did the pod end?", end.name))
        })?;
        if matches!(found.operstate, OPER_UP | OPER_UNKNOWN) {
            return Ok(found);
        }
        if Instant::now() > until {
            let (name, state) = (&found.name, found.state());
            return Err(Error::failed(format!(
                "{name} is {state} and not up: did the pod switch its end off?"
            )));
        }
        thread::sleep(Duration::from_micros(100));
    }
}

/// As the default route's interface: what leaves the machine must fit through that one.
pub(crate) fn mtu(wanted: &Wanted, host: &mut Socket) -> Result<u32, Error> {
    if let Some(mtu) = wanted.mtu {
        return Ok(mtu);
    }
    let family = match wanted.has(true) {
        true => AddressFamily::Inet,
        false => AddressFamily::Inet6,
    };
    let mut smallest = None;
    for index in link::default_route(Socket::open(false)?, family)? {
        let mtu = link::find(host, By::Index(index), false)?.map(|link| link.mtu);
        smallest = mtu.into_iter().chain(smallest).min();
    }
    let least = if wanted.has(false) { 1280 } else { 0 };
    Ok(smallest.map_or(MTU_DEFAULT, |mtu: u32| mtu.clamp(least, MTU_MAX)))
}

/// Refuses to begin when the host's end would meet one of its name: before anything is written down that an undo
/// would then remove.
pub(crate) fn refuse_foreign(id: &Id, wanted: &Wanted, host: &mut Socket) -> Result<(), Error> {
    let name = names::veth(id, wanted.ifname.as_ref());
    let Some(found) = link::find(host, By::Name(&name), false)? else {
        return Ok(());
    };
    let whose = match found.alias {
        Some(alias) if alias == names::ifalias(id) => {
            "made for this pod, and not in its index".to_owned()
        }
        Some(alias) => format!("of {alias:?}"),
        None => "not one of ours".to_owned(),
    };
    Err(Error::failed(format!(
        "{name} exists already, {whose} (ip link del {name})"
    )))
}
