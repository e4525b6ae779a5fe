//! `down`: the interface, its routes and its lease go.

use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use record::{Down, Id, names};
use serde_json::Value;

use crate::cli::DownArgs;
use crate::conntrack;
use crate::enforce;
use crate::error::Error;
use crate::firewall;
use crate::lease::{Owner, Pool};
use crate::link::{self, By, Link, Mac};
use crate::netlink::{Request, Socket};
use crate::requests;
use crate::state::{self, Attachment};

/// Removes what the record and the index know of.
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
    attachments
        .iter()
        .try_for_each(|attachment| detach(&down.id, attachment, args.wait, args.verbose))
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

/// Removes what an `up` intended and did not finish.
pub(crate) fn undo(id: &Id, state: &Value) -> Result<(), Error> {
    if let Some(earlier) = state.get(record::RESTORES) {
        return enforce::restore(id, &state::attachments(earlier)?);
    }
    state::attachments(state)?
        .iter()
        .try_for_each(|attachment| detach(id, attachment, false, false))
}

/// The interface first: an address must not be free while somebody can still use it.
fn detach(id: &Id, attachment: &Attachment, wait: bool, verbose: bool) -> Result<(), Error> {
    let ifname = attachment.ifname.as_ref();
    let mut host = Socket::open(verbose)?;
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
            remove(&mut host, &link, wait)?;
        }
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
        let pool = Pool::new(net.subnet, attachment.lease_dir.as_deref());
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

/// Both ends go at once, and with them addresses, routes and neighbours.
///
/// All that is done after half a millisecond. Then the kernel waits for everybody who may still look at the interface
/// (`rcu_barrier` in `netdev_run_todo`), 10 to 25 ms, and lets nobody go who asked for it: not one that moves it to another
/// namespace either. So a child asks, and we go when the interface is gone.
fn remove(host: &mut Socket, link: &Link, wait: bool) -> Result<(), Error> {
    let request = || vec![requests::remove(&link.name, link.index)];
    if !wait && leave_to_child(host, link, request())? {
        host.say(&request());
        return Ok(());
    }
    match host.batch(request()) {
        // The kernel may be at it already, as its last act for a namespace that has ended: that is as good.
        Err(error) if error.refused() != Some(Errno::ENODEV) => Err(error),
        _ => Ok(()),
    }
}

/// Whether a child did it; why it could not, whoever asks next will hear.
fn leave_to_child(host: &mut Socket, link: &Link, request: Vec<Request>) -> Result<bool, Error> {
    let mut socket = Socket::open(false)?;
    let Ok(child) = ::sys::linger(&mut socket, |socket| socket.batch(request).is_ok()) else {
        return Ok(false);
    };
    while link::find(host, By::Index(link.index), false)?.is_some() {
        if child.has_failed() {
            return Ok(false);
        }
        // Our question has to wait for whoever changes the network, so this turns but once or twice.
        thread::sleep(Duration::from_micros(50));
    }
    Ok(true)
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
