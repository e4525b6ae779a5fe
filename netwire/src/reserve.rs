//! Addresses for an interface, out of the pools of its subnets.

use std::net::IpAddr;

use record::{Id, Known, names};

use crate::TOOL;
use crate::cidr::{Cidr, bits, host_mask, width, with_bits};
use crate::error::Error;
use crate::lease::{Lease, Owner, Pool};
use crate::link::{self, By};
use crate::mode::Port;
use crate::netlink::Socket;
use crate::plan::{Assigned, Net, Wanted};
use crate::state;

/// An address of each subnet.
pub(crate) fn reserve(
    id: &Id,
    wanted: &Wanted,
    host: &mut Socket,
    verbose: bool,
) -> Result<Vec<Assigned>, Error> {
    let owner = Owner {
        id: id.to_string(),
        ifname: wanted.ifname.to_string(),
    };
    let mut nets = Vec::new();
    for (number, net) in wanted.nets.iter().enumerate() {
        let pool = pool(net, wanted).with_number(number);
        pool.refuse_overlap()?;
        let address = pool.reserve(&owner, net.address, |lease| is_stale(host, lease))?;
        if verbose {
            record::trace(TOOL, step(&pool, address));
        }
        let subnet = net.subnet;
        let assigned = Assigned { subnet, address };
        refuse_routed(wanted, assigned, host)?;
        nets.push(assigned);
    }
    Ok(nets)
}

/// Refuses an address that the host has itself, or finds elsewhere by a route as narrow as the subnet: packets would go there,
/// or to nobody. A wider route, as of a VPN over all of 10.0.0.0/8, is none of ours.
fn refuse_routed(wanted: &Wanted, net: Assigned, host: &mut Socket) -> Result<(), Error> {
    let (address, subnet) = (net.address, net.subnet);
    let Some((by, prefix)) = narrow_route(host, address, subnet.prefix())? else {
        return Ok(());
    };
    // The subnet is on the bridge; an address that the host has there is no pod's.
    let is_on_it = |port: &Port| port.bridge.as_ref() == by && prefix < width(address);
    let port = wanted.mode.port();
    if port.is_some_and(|port| is_on_it(port) || port.vlan.is_some()) {
        return Ok(());
    }
    let what = match prefix == width(address) {
        true => format!("{address} is in use"),
        false => format!("{subnet} is in use"),
    };
    Err(Error::failed(format!(
        "{what}: the host has {} on {by} (try another --subnet)",
        Cidr::new(
            with_bits(address, bits(address) & !host_mask(address, prefix)),
            prefix
        )
    )))
}

/// The interface by which the host finds `address` by a route with a prefix of at least this length, and that length.
fn narrow_route(
    host: &mut Socket,
    address: IpAddr,
    at_least: u8,
) -> Result<Option<(String, u8)>, Error> {
    // An interface that goes meanwhile takes its route along: the next answer is another one.
    for _ in 0..100 {
        let route = link::route_to(host, address)?;
        let Some((index, prefix)) = route.filter(|(_, prefix)| *prefix >= at_least) else {
            return Ok(None);
        };
        if let Some(link) = link::find(host, By::Index(index), false)? {
            return Ok(Some((link.name, prefix)));
        }
    }
    Err(Error::failed(format!(
        "{address}: the host's route to it is never by an interface that is there"
    )))
}

/// The address that would be reserved of a subnet, and the step that does it, for `--dry-run`.
pub(crate) fn plan(
    (number, net): (usize, &Net),
    wanted: &Wanted,
) -> Result<(Assigned, String), Error> {
    let (subnet, pool) = (net.subnet, pool(net, wanted).with_number(number));
    let address = pool.next(net.address)?;
    Ok((Assigned { subnet, address }, step(&pool, address)))
}

fn pool(net: &Net, wanted: &Wanted) -> Pool {
    Pool::new(net.subnet, &wanted.leases).with_choice(&wanted.choice)
}

fn step(pool: &Pool, address: IpAddr) -> String {
    format!("link({})", pool.dir().join(address.to_string()).display())
}

/// Whether nobody can be using the address of a lease of ours.
///
/// Under the lock of the pool. A lease is made after its `up` has written ahead, and given back before its `down` forgets, so
/// one that no index accounts for was left behind: the machine went down, or the index was removed by hand. As in the
/// second case that pod may run on, the host must know neither its interface nor a route to the address.
fn is_stale(host: &mut Socket, lease: &Lease) -> Result<bool, Error> {
    let address = lease.address;
    if link::route_to(host, address)?.is_some_and(|(_, prefix)| prefix == width(address)) {
        return Ok(false);
    }
    let Some(owner) = lease.owner.as_ref().filter(|_| !lease.is_of_earlier_boot) else {
        return Ok(true);
    };
    let Ok(id) = owner.id.parse::<Id>() else {
        return Ok(false);
    };
    let veth = link::find(host, By::Name(&names::veth(&id, &owner.ifname)), false)?;
    if veth.is_some_and(|link| link.alias.as_deref() == Some(names::ifalias(&id))) {
        return Ok(false);
    }
    // Half made, unreadable or just begun: somebody is at it.
    let state = match record::known(TOOL, &id) {
        Known::Nothing => return Ok(true),
        Known::Unfinished => return Ok(false),
        Known::Up(state) => state,
    };
    let attachments = state::attachments(&state)?;
    Ok(attachments
        .iter()
        .flat_map(|attachment| &attachment.nets)
        .filter(|net| net.subnet.is_ipv4() == address.is_ipv4())
        .all(|net| net.address.is_some_and(|other| other != address)))
}
