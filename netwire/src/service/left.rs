//! What a change of services leaves that nobody needs any more: elements, and connections to where nobody is.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::definition::Service;
use super::elements;
use super::store::Store;
use super::table::Unused;
use crate::conntrack;
use crate::error::Error;
use crate::publish::Protocol;

/// What the old have that neither the new nor any other service has.
pub(super) fn unused(store: &Store, old: &[Service], new: &[Service]) -> Result<Unused, Error> {
    let of = |services: &[Service]| -> BTreeSet<IpAddr> {
        services.iter().flat_map(Service::endpoints).collect()
    };
    let mut addresses: BTreeSet<IpAddr> = &of(old) - &of(new);
    let mut classes = &elements::classes(old) - &elements::classes(new);
    let others = match (classes.is_empty(), addresses.is_empty()) {
        (true, true) => Vec::new(),
        (true, false) => {
            let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            store.that_mention(&texts)?
        }
        (false, _) => store.all()?,
    };
    let is_other = |other: &Service| !old.iter().any(|service| service.name == other.name);
    for other in others.into_iter().filter(is_other) {
        for ip in other.endpoints() {
            addresses.remove(&ip);
        }
        for class in elements::classes(std::slice::from_ref(&other)) {
            classes.remove(&class);
        }
    }
    Ok(Unused {
        addresses: addresses.into_iter().collect(),
        classes: classes.into_iter().collect(),
    })
}

/// Has the kernel forget connections of UDP that go where they would not go any more.
pub(super) fn forget((old, new): (&[Service], &[Service]), verbose: bool) -> Result<(), Error> {
    let mut ports = old.iter().chain(new).flat_map(|service| &service.ports);
    if !ports.any(|port| port.protocol == Protocol::Udp) {
        return Ok(());
    }
    conntrack::forget_udp(verbose, |to, from| is_stale((old, new), to, from))
}

/// Whether a connection of UDP to `to`, which `from` answers, goes where it would not go any more: to an endpoint that is gone,
/// or past a service that was not there when it began.
fn is_stale((old, new): (&[Service], &[Service]), to: SocketAddr, from: SocketAddr) -> bool {
    let find = |services: &[Service]| {
        let ports = services
            .iter()
            .flat_map(|service| service.ports.iter().map(move |port| (service, port)));
        let mut of = ports.filter(|(service, port)| {
            let is_node = port.node == Some(to.port());
            let is_own = port.port == to.port() && service.addresses().any(|ip| ip == to.ip());
            port.protocol == Protocol::Udp && (is_own || is_node)
        });
        let first = of.next();
        first.map(|(_, port)| port.to.iter().any(|one| one.address() == from))
    };
    match (find(old), find(new)) {
        (Some(led), leads) => led && leads != Some(true),
        (None, Some(_)) => to == from,
        (None, None) => false,
    }
}
