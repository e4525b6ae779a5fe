//! `reapply`: everything that should be in the tables is, after somebody flushed them.

use record::{Id, Known, names};

use crate::TOOL;
use crate::cli::ReapplyArgs;
use crate::error::Error;
use crate::firewall::{self, Part};
use crate::link::{self, By};
use crate::netlink::Socket;
use crate::ruleset;
use crate::service;
use crate::state;

/// Puts back what is missing, of all pods in one transaction and of all services in another; says of whom something was.
pub(crate) fn reapply(args: &ReapplyArgs) -> Result<String, Error> {
    let pods = firewall::put_back(everything, args)?.into_iter();
    let services = service::reapply(args)?.into_iter();
    let services = services.map(|name| format!("service {name}"));
    Ok(pods.chain(services).map(|line| line + "\n").collect())
}

/// What the pods of the index need, each part with its comment.
///
/// A pod whose interface is gone needs nothing: somebody may be taking it down, and has taken the interface first.
fn everything() -> Result<Vec<Part>, Error> {
    let mut host = Socket::open(false)?;
    let mut all = Vec::new();
    for id in record::ids()? {
        // Who is half made puts it there himself.
        let Known::Up(state) = record::try_known(TOOL, &id)? else {
            continue;
        };
        for attachment in state::attachments(&state)? {
            let ifname = attachment.ifname.as_ref();
            if is_there(&mut host, &id, ifname)? {
                let elements = ruleset::elements(&id, &attachment);
                all.push((ruleset::comment(&id, ifname), elements));
            }
        }
    }
    Ok(all)
}

fn is_there(host: &mut Socket, id: &Id, ifname: &str) -> Result<bool, Error> {
    let link = link::find(host, By::Name(&names::veth(id, ifname)), false)?;
    Ok(link.is_some_and(|link| link.alias.as_deref() == Some(names::ifalias(id))))
}
