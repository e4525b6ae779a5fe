//! `gc`: frees what a crash or a reboot left, and no `down` will ever come for.

use std::collections::BTreeSet;

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
use crate::state::{self, Attachment};

/// Frees it, and says what it was: a line for each address and each pod in our table; and whether all pods could be asked for.
pub(crate) fn gc(args: &GcArgs) -> Result<(String, bool), Error> {
    let mut host = Socket::open(false)?;
    let mut pods = Pods::default();
    let text = [
        leases(&mut host, &mut pods, args)?,
        bridges(&mut host, args)?,
        rates(&mut host, &mut pods, args)?,
        tables(&mut host, &mut pods, args)?,
    ]
    .concat();
    Ok((text, pods.unreadable.is_empty()))
}

fn leases(host: &mut Socket, pods: &mut Pods, args: &GcArgs) -> Result<String, Error> {
    let mut text = String::new();
    for network in Directory::all()? {
        let freed = network.reclaim(args.dry_run, |lease| {
            let route = link::route_to(host, lease.address)?;
            if route.is_some_and(|(_, prefix)| prefix == width(lease.address)) {
                return Ok(false);
            }
            match &lease.owner {
                Some(owner) if !lease.is_of_earlier_boot => {
                    is_dead(host, pods, &owner.id, &owner.ifname)
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
    Ok(text)
}

fn bridges(host: &mut Socket, args: &GcArgs) -> Result<String, Error> {
    let mut text = String::new();
    for name in bridge::deserted()? {
        if !args.dry_run {
            bridge::release(&name, false, host)?;
        }
        text += &format!("bridge {name}\n");
    }
    Ok(text)
}

fn rates(host: &mut Socket, pods: &mut Pods, args: &GcArgs) -> Result<String, Error> {
    let mut text = String::new();
    for (id, link) in rate::interfaces(host)? {
        if is_deserted(host, pods, &id, &link)? {
            if !args.dry_run {
                removal::remove(host, &link, false)?;
            }
            text += &format!("interface {} of {id}\n", link.name);
        }
    }
    Ok(text)
}

fn tables(host: &mut Socket, pods: &mut Pods, args: &GcArgs) -> Result<String, Error> {
    let mut text = String::new();
    for (id, ifname) in firewall::owners()? {
        if is_dead(host, pods, id.as_ref(), &ifname)? {
            if !args.dry_run {
                firewall::remove(&id, &ifname, args.verbose)?;
            }
            text += &format!("nf_tables of {id} {ifname}\n");
        }
    }
    Ok(text)
}

/// What the index says of pods. One that cannot be read is said, once, and what may be its own stays.
#[derive(Debug, Default)]
struct Pods {
    unreadable: BTreeSet<Id>,
}

/// What the index says of one.
enum Pod {
    /// Nothing.
    Gone,
    /// There may be something.
    Unknown,
    /// Its interfaces.
    Up(Vec<Attachment>),
}

impl Pods {
    fn ask(&mut self, id: &Id) -> Pod {
        match look(id) {
            Ok(pod) => pod,
            Err(error) => {
                if self.unreadable.insert(id.clone()) {
                    record::report(TOOL, format_args!("{id}: {error}"));
                }
                Pod::Unknown
            }
        }
    }
}

fn look(id: &Id) -> Result<Pod, Error> {
    // Of this one what is damaged is an error as well.
    record::indexed(id)?;
    Ok(match record::try_known(TOOL, id)? {
        Known::Nothing => Pod::Gone,
        Known::Unfinished => Pod::Unknown,
        Known::Up(state) => Pod::Up(state::attachments(&state)?),
    })
}

/// Whether an interface that was there for the rate of a pod's is there for nothing any more.
fn is_deserted(host: &mut Socket, pods: &mut Pods, id: &Id, link: &Link) -> Result<bool, Error> {
    let veth = rate::limited(&link.name);
    let veth = link::find(host, By::Name(&veth), false)?;
    if veth.is_some_and(|veth| veth.alias.as_deref() == Some(names::ifalias(id))) {
        return Ok(false);
    }
    let attachments = match pods.ask(id) {
        Pod::Gone => return Ok(true),
        Pod::Unknown => return Ok(false),
        Pod::Up(attachments) => attachments,
    };
    for attachment in attachments {
        let ifname = attachment.ifname.as_ref();
        if names::ifb(id, ifname) == link.name {
            return is_dead(host, pods, id, ifname);
        }
    }
    Ok(true)
}

/// Whether the interface of that pod is gone, and nobody is about to make it.
fn is_dead(host: &mut Socket, pods: &mut Pods, id: &str, ifname: &str) -> Result<bool, Error> {
    let Ok(id) = id.parse::<Id>() else {
        return Ok(false);
    };
    let is_its = |link: Option<Link>| {
        link.is_some_and(|link| link.alias.as_deref() == Some(names::ifalias(&id)))
    };
    let name = names::veth(&id, ifname);
    if is_its(link::find(host, By::Name(&name), false)?) {
        return Ok(false);
    }
    let attachments = match pods.ask(&id) {
        Pod::Gone => return Ok(true),
        Pod::Unknown => return Ok(false),
        Pod::Up(attachments) => attachments,
    };
    // An administrator may have given it another name.
    for attachment in attachments {
        if let Some(index) = attachment.ifindex
            && attachment.ifname.as_ref() == ifname
            && is_its(link::find(host, By::Index(index), false)?)
        {
            return Ok(false);
        }
    }
    Ok(true)
}
