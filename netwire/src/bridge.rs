//! The bridge that pods' interfaces are ports of: found, or made with the first and removed with the last.
//!
//! One that was there before is the administrator's: it is used as it is, gets no address and is never removed.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use nix::errno::Errno;
use record::names;
use sys::{Call, SysError, ToErrno};

use crate::TOOL;
use crate::antispoof::{self, When};
use crate::error::Error;
use crate::ipv6;
use crate::link::{self, By, Link, Mac};
use crate::mode::{Mode, Port};
use crate::netlink::{Request, Socket};
use crate::plan::{Address, Assigned};
use crate::removal;
use crate::requests;

/// A bridge that nobody makes or removes meanwhile.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) index: u32,
    _lock: Option<File>,
}

/// Finds the bridge or makes it; ours has the gateways' addresses afterwards.
///
/// # Errors
/// What has its name is no bridge, is switched off, or filters no VLANs where one is wanted.
pub(crate) fn hold(
    port: &Port,
    nets: &[Assigned],
    antispoof: When,
    host: &mut Socket,
) -> Result<Held, Error> {
    let lock = lock()?;
    let name = port.bridge.as_ref();
    let bridge = match link::find(host, By::Name(name), false)? {
        Some(found) => {
            refuse(&found, port)?;
            found
        }
        None => {
            let create = requests::create_bridge(name, port.vlan.is_some());
            let made = host.batch(vec![create, link::get(By::Name(name), false)]);
            link::parse(name, &made.map_err(|error| no_vlans(error, port))?)?
        }
    };
    if is_ours(&bridge) {
        set(&bridge, port, nets, antispoof, host)?;
    }
    Ok(Held {
        index: bridge.index,
        _lock: lock,
    })
}

fn no_vlans(error: Error, port: &Port) -> Error {
    match error {
        Error::Refused(mut refused) if port.vlan.is_some() => {
            refused.hint = Some("does the kernel have CONFIG_BRIDGE_VLAN_FILTERING?");
            Error::Refused(refused)
        }
        error => error,
    }
}

fn refuse(found: &Link, port: &Port) -> Result<(), Error> {
    let name = &found.name;
    let why = match found.kind.as_deref() {
        Some("bridge") if is_ours(found) => None,
        Some("bridge") if !found.up => Some(format!("{name} is down (ip link set {name} up)")),
        Some("bridge") => None,
        Some(kind) => Some(format!("{name} is of the kind {kind} and no bridge")),
        None => Some(format!("{name} is no bridge")),
    };
    let unfiltered = port.vlan.is_some() && !found.filters_vlans;
    let why = why.or_else(|| {
        let what =
            format!("{name} filters no VLANs (ip link set {name} type bridge vlan_filtering 1)");
        unfiltered.then_some(what)
    });
    why.map_or(Ok(()), |why| Err(Error::failed(format!("--bridge {why}"))))
}

/// A bridge with our ifalias; or one that has none yet, because its maker was killed, and bears our mark.
pub(crate) fn is_ours(link: &Link) -> bool {
    let unnamed = || link.mac == Some(Mac(names::bridge_mac(&link.name)));
    let ours = link.alias.as_deref();
    let ours = ours.map_or_else(unnamed, |alias| alias == names::BRIDGE);
    ours && link.kind.as_deref() == Some("bridge")
}

/// Everything again for each pod: a bridge can be half made, and each subnet has its gateway.
fn set(
    bridge: &Link,
    port: &Port,
    nets: &[Assigned],
    antispoof: When,
    host: &mut Socket,
) -> Result<(), Error> {
    let name = &bridge.name;
    if nets.iter().any(|net| !net.subnet.is_ipv4()) {
        ipv6::prepare(name)?;
        ipv6::forward(name)?;
    } else if !bridge.up {
        antispoof::turn_ipv6_off(name, When::Auto, false)?;
    }
    host.batch(vec![requests::set_bridge(
        name,
        bridge.index,
        antispoof != When::Never,
    )])?;
    for address in addresses(port, nets) {
        match host.batch(vec![requests::add_address(&address, name, bridge.index)]) {
            Err(error) if error.refused() != Some(Errno::EEXIST) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the loopback addresses of the host no longer martian on it: a port of 127.0.0.1 leads to one of its pods.
///
/// What ports of ours send to these addresses is dropped; of a bridge of somebody else others are ports as well.
pub(crate) fn route_localnet(port: &Port, host: &mut Socket) -> Result<(), Error> {
    let name = port.bridge.as_ref();
    let switch = format!("/proc/sys/net/ipv4/conf/{name}/route_localnet");
    let found = link::find(host, By::Name(name), false)?;
    if found.is_some_and(|link| is_ours(&link)) {
        return Ok(fs::write(&switch, "1").call(|| format!("write({switch}, 1)"))?);
    }
    let is = fs::read_to_string(&switch).unwrap_or_default();
    if is.trim_end() == "0" {
        record::report(
            TOOL,
            format_args!(
                "net.ipv4.conf.{name}.route_localnet is 0: published ports are not reached at 127.0.0.1"
            ),
        );
    }
    Ok(())
}

/// What [`hold`] would do, for `--dry-run`.
pub(crate) fn steps(
    port: &Port,
    nets: &[Assigned],
    host: &mut Socket,
) -> Result<Vec<Request>, Error> {
    let name = port.bridge.as_ref();
    let mut steps = Vec::new();
    match link::find(host, By::Name(name), false)? {
        Some(found) => {
            refuse(&found, port)?;
            if !is_ours(&found) {
                return Ok(steps);
            }
        }
        None => steps.push(requests::create_bridge(name, port.vlan.is_some())),
    }
    steps.push(requests::set_bridge(name, 0, true));
    let addresses = addresses(port, nets);
    steps.extend(addresses.map(|address| requests::add_address(&address, name, 0)));
    Ok(steps)
}

/// Of the host on the bridge. It is in no VLAN; the gateway of one is somebody else.
fn addresses(port: &Port, nets: &[Assigned]) -> impl Iterator<Item = Address> {
    let nets = nets.iter().filter(|_| port.vlan.is_none());
    nets.map(|net| Address {
        address: net.subnet.gateway(),
        prefix: net.subnet.prefix(),
        broadcast: net.subnet.broadcast(),
        prefix_route: true,
    })
}

/// Forgets the neighbour that had `address` before, or has it no longer.
pub(crate) fn forget(port: &Port, nets: &[Assigned], host: &mut Socket) -> Result<(), Error> {
    let name = port.bridge.as_ref();
    let Some(bridge) = link::find(host, By::Name(name), false)? else {
        return Ok(());
    };
    for net in nets {
        let request = requests::forget_neighbour(net.address, name, bridge.index);
        match host.batch(vec![request]) {
            Err(error) if error.refused() != Some(Errno::ENOENT) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What is otherwise than an `up` left it; None: nothing.
pub(crate) fn drift(mode: &Mode, end: &Link, host: &mut Socket) -> Result<Option<String>, Error> {
    let Some(port) = mode.port() else {
        return Ok(None);
    };
    let bridge = link::find(host, By::Name(port.bridge.as_ref()), false)?;
    Ok(match bridge {
        None => Some(format!("{} is gone", port.bridge)),
        Some(bridge) if !bridge.up => Some(format!("{} is down", port.bridge)),
        Some(bridge) if end.master != Some(bridge.index) => {
            Some(format!("{} is no port of {}", end.name, port.bridge))
        }
        Some(_) => None,
    })
}

/// Removes the bridge if it is ours and nothing is connected to it.
pub(crate) fn release(name: &str, wait: bool, host: &mut Socket) -> Result<(), Error> {
    let _lock = lock()?;
    let Some(bridge) = link::find(host, By::Name(name), false)? else {
        return Ok(());
    };
    if is_ours(&bridge) && !has_ports(bridge.index)? {
        removal::remove(host, &bridge, wait)?;
    }
    Ok(())
}

fn has_ports(bridge: u32) -> Result<bool, Error> {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::Controller(bridge),
        LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]),
    ];
    let what = format!("master {bridge}");
    let flags = libc::NLM_F_DUMP;
    let request = Request::new("RTM_GETLINK", &what, libc::RTM_GETLINK, flags, &message);
    let mut found = false;
    Socket::open(false)?.dump(request, |payload| {
        // Kernels that do not filter send all: the number tells.
        found |= link::master(payload) == Some(bridge);
        !found
    })?;
    Ok(found)
}

/// The bridges of ours to which nothing is connected: who made them, or came for them, was killed.
pub(crate) fn deserted() -> Result<Vec<String>, Error> {
    let bridges = link::all(&mut Socket::open(false)?)?;
    let mut names = Vec::new();
    for bridge in bridges.into_iter().filter(is_ours) {
        if !has_ports(bridge.index)? {
            names.push(bridge.name);
        }
    }
    Ok(names)
}

/// Between one who takes the last port away and one who brings the first: the directory of all indexes is the lock, as it is
/// there while any of them is at work. Without it there is nobody else.
fn lock() -> Result<Option<File>, Error> {
    let dir = names::run_dir();
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(&dir);
    match open {
        Ok(file) => {
            file.lock().call(|| format!("flock({})", dir.display()))?;
            Ok(Some(file))
        }
        Err(error) if error.to_errno() == Errno::ENOENT => Ok(None),
        Err(error) => Err(SysError::new(format!("open({})", dir.display()), error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge() -> Link {
        Link {
            name: "br0".into(),
            alias: Some(names::BRIDGE.into()),
            kind: Some("bridge".into()),
            ..Link::default()
        }
    }

    #[test]
    fn only_what_is_marked_is_ours() {
        let mac = Some(Mac(names::bridge_mac("br0")));
        assert!(is_ours(&bridge()));
        let unnamed = Link {
            alias: None,
            mac,
            ..bridge()
        };
        assert!(is_ours(&unnamed), "killed before it had its ifalias");
        let kind = Some("veth".to_owned());
        for foreign in [
            Link {
                alias: None,
                ..bridge()
            },
            Link {
                alias: Some("lan".into()),
                mac,
                ..bridge()
            },
            Link { kind, ..bridge() },
        ] {
            assert!(!is_ours(&foreign), "{foreign:?}");
        }
    }
}
