//! Ports of the machine that lead to services: who else has them, and whether anything comes to them.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;

use super::definition::{Port, Service};
use super::elements::port_key;
use super::family::Family;
use super::program::TABLE;
use super::store::Store;
use crate::TOOL;
use crate::error::Error;
use crate::netlink::Socket;
use crate::nft::{self, Table};
use crate::publish::{Publish, try_bind};
use crate::ruleset;
use crate::uplink;

/// Refuses ports on which a process listens, and ports that a pod has published.
pub(crate) fn refuse_taken(services: &[Service]) -> Result<(), Error> {
    let nodes = services.iter().flat_map(|service| {
        let nodes = service
            .ports
            .iter()
            .filter_map(|port| Some((port.node?, port.protocol)));
        nodes.map(move |node| (service, node))
    });
    let mut published: Option<Vec<(Vec<u8>, String)>> = None;
    for (service, (node, protocol)) in nodes {
        let taken = |by: &str| {
            let (name, protocol) = (&service.name, protocol.name());
            Error::failed(format!(
                "service {name}: node port {node}/{protocol} is taken, by {by}"
            ))
        };
        for vip in &service.vips {
            let any: IpAddr = match vip {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            if try_bind(protocol, SocketAddr::new(any, node)) == Err(Errno::EADDRINUSE) {
                return Err(taken("a process of the host"));
            }
        }
        let published = match &mut published {
            Some(published) => published,
            none => none.insert(by_pods()?),
        };
        let key = port_key(protocol.number(), node);
        if let Some((_, by)) = published
            .iter()
            .find(|(of, _)| of.ends_with(key.as_slice()))
        {
            return Err(taken(by));
        }
    }
    Ok(())
}

/// Refuses to publish ports that lead to services, for a pod with addresses of IPv4, of IPv6, or of both.
pub(crate) fn refuse_of_services(
    published: &[Publish],
    ipv4: bool,
    ipv6: bool,
) -> Result<(), Error> {
    if published.is_empty() {
        return Ok(());
    }
    let families = [(ipv4, true), (ipv6, false)].into_iter();
    let families = families.filter(|(has, _)| *has);
    let sets: Vec<&'static str> = families
        .map(|(_, ipv4)| Family::of(ipv4).node_ports)
        .collect();
    let taken = elements(TABLE, &sets)?;
    let taken: HashSet<Vec<u8>> = taken.into_iter().map(|(key, _)| key).collect();
    for publish in published {
        for (port, _) in publish.pairs() {
            let key = port_key(publish.protocol.number(), port);
            if !taken.contains(key.as_slice()) {
                continue;
            }
            let has = |of: &Port| of.node == Some(port) && of.protocol == publish.protocol;
            let all = Store::look()?.into_iter();
            let name = all
                .filter(|service| service.ports.iter().any(has))
                .map(|service| service.name.to_string())
                .next();
            let (name, protocol) = (name.unwrap_or_default(), publish.protocol.name());
            return Err(Error::failed(format!(
                "--publish {publish}: {port}/{protocol} is taken, by service {name}"
            )));
        }
    }
    Ok(())
}

/// The keys of these sets, with the comments of their elements; none of a table that is not there.
fn elements(table: Table, sets: &[&'static str]) -> Result<Vec<(Vec<u8>, String)>, Error> {
    let mut found = Vec::new();
    let mut socket = match Socket::netfilter(false) {
        Err(error) if error.lacks_nf_tables() => return Ok(found),
        socket => socket?,
    };
    for set in sets {
        let answer = socket.dump_all(nft::get_elements(table, set), |payload| {
            let elements = nft::elements(set, payload).into_iter();
            found.extend(elements.map(|(element, comment)| (element.key, comment)));
        });
        match answer {
            Err(error) if error.refused() == Some(Errno::ENOENT) => return Ok(Vec::new()),
            answer => answer?,
        }
    }
    Ok(found)
}

/// The keys of published ports, and who has them.
fn by_pods() -> Result<Vec<(Vec<u8>, String)>, Error> {
    let families = [&ruleset::IPV4, &ruleset::IPV6];
    let sets = families.map(|family| [family.ports, family.host_ports]);
    let mut found = elements(ruleset::INET, sets.as_flattened())?;
    for (_, comment) in &mut found {
        *comment = match ruleset::owner(comment) {
            Some((id, _)) => id.to_string(),
            None => "an unknown".into(),
        };
    }
    Ok(found)
}

/// Says which switches of the host keep what is sent to node ports and external addresses from reaching pods.
pub(crate) fn warn(services: &[Service]) {
    let from_outside = |service: &&Service| {
        !service.external.is_empty() || service.ports.iter().any(|port| port.node.is_some())
    };
    let mut families = [false; 2];
    for ip in services
        .iter()
        .filter(from_outside)
        .flat_map(|service| &service.vips)
    {
        families[usize::from(ip.is_ipv6())] = true;
    }
    if families == [false; 2] {
        return;
    }
    for uplink in uplink::closed(families[0], families[1]).unwrap_or_default() {
        let (why, sysctl) = (uplink.why(), uplink.sysctl());
        let good = uplink.switch.good();
        record::report(TOOL, format!("warning: {why} (sysctl -w {sysctl}={good})"));
    }
}
