//! `down --dry-run`: what [`super::detach`] would do, in its order.

use record::{Id, Record, names};

use super::is_ours;
use crate::TOOL;
use crate::cli::DownArgs;
use crate::error::Error;
use crate::link::{self, By};
use crate::netlink::Socket;
use crate::state::{self, Attachment};

/// A line for each step.
pub(crate) fn dry_run(record: &Record, args: &DownArgs) -> Result<String, Error> {
    let id: Id = record
        .id()
        .unwrap_or_default()
        .parse()
        .map_err(record::Error::Record)?;
    let indexed = record::indexed(&id)?;
    let known = indexed.as_ref().and_then(|indexed| indexed.get(TOOL));
    let Some(known) = known.or_else(|| record.get(TOOL)) else {
        return Ok(String::new());
    };
    let mut attachments = state::attachments(known)?;
    if let Some(ifname) = &args.ifname {
        attachments.retain(|attachment| attachment.ifname == *ifname);
    }
    let mut host = Socket::open(false)?;
    let mut text = String::new();
    for attachment in attachments.iter().rev() {
        for step in steps(&id, attachment, &mut host)? {
            text += &format!("host: {step}\n");
        }
    }
    Ok(text)
}

fn steps(id: &Id, attachment: &Attachment, host: &mut Socket) -> Result<Vec<String>, Error> {
    let ifname = attachment.ifname.as_ref();
    let mut steps = Vec::new();
    if let Some(moved) = attachment.mode.moved() {
        let name = moved.name.as_ref();
        steps.push(format!("RTM_NEWLINK({ifname} of {id} back as {name})"));
        return Ok(steps);
    }
    if attachment.mode.is_loopback() {
        return Ok(steps);
    }
    let name = names::veth(id, ifname);
    let by = attachment.ifindex.map(By::Index).into_iter();
    for by in by.chain([By::Name(&name)]) {
        if let Some(link) = link::find(host, by, false)?.filter(|link| is_ours(link, id, ifname)) {
            steps.push(format!("RTM_DELLINK({})", link.name));
            break;
        }
    }
    if attachment.rate.is_some() {
        steps.push(format!("RTM_DELLINK({})", names::ifb(id, ifname)));
    }
    if let Some(port) = attachment.mode.port() {
        let bridge = port.bridge.as_ref();
        steps.push(format!("RTM_DELLINK({bridge}) if nothing else is on it"));
    }
    if attachment.is_in_table() {
        steps.push(format!("NFT_MSG_DELSETELEM(what is of {id} {ifname})"));
    }
    for net in &attachment.nets {
        let Some(address) = net.address else { continue };
        steps.push(format!("IPCTNL_MSG_CT_DELETE(from and to {address})"));
        let lease = attachment.leases.dir().join(address.to_string());
        steps.push(format!("unlink({})", lease.display()));
    }
    Ok(steps)
}
