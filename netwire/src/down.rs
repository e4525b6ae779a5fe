//! `down`: the interface, its routes and its lease go.

mod steps;

use record::{Down, Id, names};
use serde_json::Value;

use crate::bridge;
use crate::cli::DownArgs;
use crate::conntrack;
use crate::device;
use crate::enforce;
use crate::error::Error;
use crate::firewall;
use crate::lease::{Owner, Pool};
use crate::link::{self, By, Link, Mac};
use crate::netlink::Socket;
use crate::rate;
use crate::removal;
use crate::state::{self, Attachment};

pub(crate) use self::steps::dry_run;

/// Removes what the record and the index know of, or of it the interface `--ifname`.
pub(crate) fn down(down: &mut Down, args: &DownArgs) -> Result<(), Error> {
    refuse_stale(down)?;
    let mut attachments: Vec<Attachment> = Vec::new();
    for state in [&down.indexed, &down.state].into_iter().flatten() {
        for attachment in state::attachments(state)? {
            if !attachments.contains(&attachment) {
                attachments.push(attachment);
            }
        }
    }
    // A device is moved on the word of the index alone: a record may come from anywhere.
    let indexed = down.indexed.as_ref();
    let indexed = indexed.map_or(Ok(Vec::new()), state::attachments)?;
    attachments.retain(|one| one.mode.moved().is_none() || indexed.contains(one));
    if let Some(ifname) = &args.ifname {
        let known = down.indexed.as_ref().or(down.state.as_ref());
        down.kept = known.and_then(|known| state::without(known, ifname));
        attachments.retain(|attachment| attachment.ifname == *ifname);
    }
    // The last one first, as what was made later may rest on what was made before.
    let mut last_first = attachments.iter().rev();
    last_first.try_for_each(|attachment| detach(&down.id, attachment, args.wait, args.verbose))
}

/// A record that lay in a file while the pod was taken down and made anew is not of the pod that is up.
fn refuse_stale(down: &Down) -> Result<(), Error> {
    let (Some(recorded), Some(indexed)) = (&down.state, &down.indexed) else {
        return Ok(());
    };
    let (recorded, indexed) = (state::attachments(recorded)?, state::attachments(indexed)?);
    let differs = |attachment: &Attachment| {
        let same = indexed
            .iter()
            .find(|other| other.ifname == attachment.ifname);
        let number = same.and_then(|other| other.ifindex);
        attachment.ifindex.is_some() && number.is_some() && number != attachment.ifindex
    };
    if recorded.iter().any(differs) {
        let id = &down.id;
        return Err(Error::failed(format!(
            "{id}: the record is of an interface that is gone, the pod that is up has another (netwire down --id {id})"
        )));
    }
    Ok(())
}

/// Removes what an `up` intended and did not finish; what was there before it stays.
pub(crate) fn undo(id: &Id, state: &Value) -> Result<(), Error> {
    let before = state::restored(state)?;
    let mut attachments = state::attachments(state)?;
    let is_in =
        |list: &[Attachment], one: &Attachment| list.iter().any(|other| other.ifname == one.ifname);
    enforce::restore(id, &before, &attachments)?;
    attachments.retain(|attachment| !is_in(&before, attachment));
    let mut last_first = attachments.iter().rev();
    last_first.try_for_each(|attachment| detach(id, attachment, false, false))
}

/// The interface first: an address must not be free while somebody can still use it.
fn detach(id: &Id, attachment: &Attachment, wait: bool, verbose: bool) -> Result<(), Error> {
    let ifname = attachment.ifname.as_ref();
    let mut host = Socket::open(verbose)?;
    if let Some(moved) = attachment.mode.moved() {
        return device::take_back(moved, &attachment.ifname, &mut host);
    }
    if attachment.mode.is_loopback() {
        return Ok(());
    }
    let name = names::veth(id, ifname);
    // By its number, should an administrator have given it another name; by its name, should the number not be known.
    let by = attachment
        .ifindex
        .map(By::Index)
        .into_iter()
        .chain([By::Name(&name)]);
    for by in by {
        let Some(link) = link::find(&mut host, by, false)? else {
            continue;
        };
        if is_ours(&link, id, ifname) {
            removal::remove(&mut host, &link, wait)?;
        }
    }
    if attachment.rate.is_some() {
        rate::unlimit(id, ifname, wait, &mut host)?;
    }
    if let Some(port) = attachment.mode.port() {
        bridge::forget(port, &attachment.assigned_nets(), &mut host)?;
        bridge::release(port.bridge.as_ref(), wait, &mut host)?;
    }
    if attachment.is_in_table() {
        firewall::remove(id, ifname, verbose)?;
    }
    let owner = Owner {
        id: id.to_string(),
        ifname: ifname.to_owned(),
    };
    for net in &attachment.nets {
        if let Some(address) = net.address {
            conntrack::forget_address(address, verbose)?;
        }
        let pool = Pool::new(net.subnet, &attachment.leases);
        pool.release(&owner, net.address)?;
    }
    Ok(())
}

/// A veth with our ifalias; or one that has none yet, because its maker was killed, and bears our marks.
fn is_ours(link: &Link, id: &Id, ifname: &str) -> bool {
    let unnamed = || {
        link.name == names::veth(id, ifname) && link.mac == Some(Mac(names::host_mac(id, ifname)))
    };
    let ours = link
        .alias
        .as_deref()
        .map_or_else(unnamed, |alias| alias == names::ifalias(id));
    ours && link.kind.as_deref() == Some("veth")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth() -> Link {
        let id = "foo".parse().unwrap();
        Link {
            name: names::veth(&id, "eth0"),
            alias: Some("foo".into()),
            mac: Some(Mac(names::host_mac(&id, "eth0"))),
            kind: Some("veth".into()),
            ..Link::default()
        }
    }

    #[test]
    fn only_a_veth_of_this_pod_is_ours() {
        let id: Id = "foo".parse().unwrap();
        let other_mac = Some(Mac(names::host_mac(&id, "eth1")));
        assert!(is_ours(&veth(), &id, "eth0"));
        assert!(is_ours(
            &Link {
                name: "renamed".into(),
                mac: None,
                ..veth()
            },
            &id,
            "eth0"
        ));
        assert!(
            is_ours(
                &Link {
                    alias: None,
                    ..veth()
                },
                &id,
                "eth0"
            ),
            "killed before it had its ifalias"
        );
        for foreign in [
            Link {
                alias: Some("bar".into()),
                ..veth()
            },
            Link {
                alias: Some(String::new()),
                ..veth()
            },
            Link {
                alias: None,
                mac: other_mac,
                ..veth()
            },
            Link {
                alias: None,
                name: "veth0".into(),
                ..veth()
            },
            Link {
                kind: Some("bridge".into()),
                ..veth()
            },
            Link {
                kind: None,
                ..veth()
            },
        ] {
            assert!(!is_ours(&foreign, &id, "eth0"), "{foreign:?}");
        }
    }
}
