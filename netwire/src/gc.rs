//! `gc`: frees what a crash or a reboot left, and no `down` will ever come for.

use record::{Id, Known, names};

use crate::TOOL;
use crate::bridge;
use crate::cidr::width;
use crate::cli::GcArgs;
use crate::error::Error;
use crate::firewall;
use crate::lease::Directory;
use crate::link::{self, By, Link};
use crate::netlink::Socket;
use crate::rate;
use crate::removal;
use crate::state;

/// Frees it, and says what it was: a line for each address and each pod in our table.
pub(crate) fn gc(args: &GcArgs) -> Result<String, Error> {
    let mut host = Socket::open(false)?;
    let mut text = String::new();
    for network in Directory::all()? {
        let freed = network.reclaim(args.dry_run, |lease| {
            let route = link::route_to(&mut host, lease.address)?;
            if route.is_some_and(|(_, prefix)| prefix == width(lease.address)) {
                return Ok(false);
            }
            match &lease.owner {
                Some(owner) if !lease.is_of_earlier_boot => {
                    is_dead(&mut host, &owner.id, &owner.ifname)
                }
                // An empty file is nobody's: a lease has its content before it has its name.
                _ => Ok(true),
            }
        })?;
        for lease in freed {
            let whose = lease
                .owner
                .map_or("nobody".to_owned(), |owner| owner.to_string());
            text += &format!("{} of {whose}\n", lease.address);
        }
    }
    for subnet in Directory::forget_networks_that_are_gone(args.dry_run)? {
        text += &format!("subnet {subnet}\n");
    }
    for name in bridge::deserted()? {
        if !args.dry_run {
            bridge::release(&name, false, &mut host)?;
        }
        text += &format!("bridge {name}\n");
    }
    for (id, link) in rate::interfaces(&mut host)? {
        if is_deserted(&mut host, &id, &link)? {
            if !args.dry_run {
                removal::remove(&mut host, &link, false)?;
            }
            text += &format!("interface {} of {id}\n", link.name);
        }
    }
    for (id, ifname) in firewall::owners()? {
        if is_dead(&mut host, id.as_ref(), &ifname)? {
            if !args.dry_run {
                firewall::remove(&id, &ifname, args.verbose)?;
            }
            text += &format!("nf_tables of {id} {ifname}\n");
        }
    }
    Ok(text)
}

/// Whether an interface that was there for the rate of a pod's is there for nothing any more.
fn is_deserted(host: &mut Socket, id: &Id, link: &Link) -> Result<bool, Error> {
    let veth = rate::limited(&link.name);
    let veth = link::find(host, By::Name(&veth), false)?;
    if veth.is_some_and(|veth| veth.alias.as_deref() == Some(names::ifalias(id))) {
        return Ok(false);
    }
    let state = match record::try_known(TOOL, id)? {
        Known::Nothing => return Ok(true),
        Known::Unfinished => return Ok(false),
        Known::Up(state) => state,
    };
    for attachment in state::attachments(&state)? {
        let ifname = attachment.ifname.as_ref();
        if names::ifb(id, ifname) == link.name {
            return is_dead(host, id, ifname);
        }
    }
    Ok(true)
}

/// Whether the interface of that pod is gone, and nobody is about to make it.
fn is_dead(host: &mut Socket, id: &str, ifname: &str) -> Result<bool, Error> {
    let Ok(id) = id.parse::<Id>() else {
        return Ok(false);
    };
    let is_its = |link: Option<Link>| {
        link.is_some_and(|link| link.alias.as_deref() == Some(names::ifalias(&id)))
    };
    if is_its(link::find(
        host,
        By::Name(&names::veth(&id, ifname)),
        false,
    )?) {
        return Ok(false);
    }
    let state = match record::try_known(TOOL, &id)? {
        Known::Nothing => return Ok(true),
        Known::Unfinished => return Ok(false),
        Known::Up(state) => state,
    };
    // An administrator may have given it another name.
    for attachment in state::attachments(&state)? {
        if let Some(index) = attachment.ifindex
            && attachment.ifname.as_ref() == ifname
            && is_its(link::find(host, By::Index(index), false)?)
        {
            return Ok(false);
        }
    }
    Ok(true)
}
