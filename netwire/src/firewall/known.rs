//! Who is in need of the tables, by the index: what they say themselves may have been flushed.

use record::{Failure, Id, Known, names};

use super::{Part, is_in};
use crate::TOOL;
use crate::error::Error;
use crate::link::{self, By};
use crate::netlink::Socket;
use crate::ruleset::{self, INET};
use crate::state;

/// What the pods of the index need, each part with its comment.
///
/// A pod whose interface is gone needs nothing: somebody may be taking it down, and has taken the interface first.
pub(crate) fn parts() -> Result<Vec<Part>, Error> {
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

/// Whether anybody needs what was noted of the host but who has this comment; yes, where one of them is damaged.
pub(super) fn others_need_it(comment: &str) -> Result<bool, Error> {
    let needs = |(whose, elements): &Part| {
        whose != comment && elements.iter().any(|element| is_in(element, INET))
    };
    match parts() {
        Ok(parts) => Ok(parts.iter().any(needs)),
        Err(error) if error.is_usage() => Ok(true),
        Err(error) => Err(error),
    }
}
