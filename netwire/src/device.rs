//! An interface of the host that is moved into the pod, and given back: `--device`, and `linux.netDevices` of the record.
//!
//! As the OCI runtime specification (1.3) has it: its permanent addresses of global scope go along, and it is switched on.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::str::FromStr;

use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use nix::errno::Errno;
use record::Record;
use serde_json::{Map, Value, json};
use sys::Call;

use crate::error::Error;
use crate::link::{self, By, Link, Mac};
use crate::namespace::{Netns, PodNamespace};
use crate::netlink::{Request, Socket};
use crate::plan::{Address, Ifname};
use crate::requests;

/// `NAME[:NEWNAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// On the host.
    pub(crate) name: Ifname,
    /// In the pod.
    pub(crate) to: Ifname,
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, to) = text.split_once(':').unwrap_or((text, text));
        Ok(Self {
            name: name.parse()?,
            to: to.parse()?,
        })
    }
}

/// Those of the record and those that were typed.
pub(crate) fn wanted(record: &Record, typed: &[Device]) -> Result<Vec<Device>, Error> {
    let linux = record.get("linux");
    let all = linux
        .and_then(|linux| linux.get("netDevices"))
        .and_then(Value::as_object);
    let mut wanted = Vec::new();
    for (name, value) in all.into_iter().flatten() {
        let to = value
            .get("name")
            .map_or(Some(name.as_str()), Value::as_str)
            .unwrap_or_default();
        let bad = |why| Error::record(format!("linux.netDevices: {name:?}: {why}"));
        wanted.push(Device {
            name: name.parse().map_err(bad)?,
            to: to.parse().map_err(bad)?,
        });
    }
    wanted.extend(
        typed
            .iter()
            .filter(|one| !wanted.contains(one))
            .cloned()
            .collect::<Vec<_>>(),
    );
    for (at, one) in wanted.iter().enumerate() {
        if wanted[..at]
            .iter()
            .any(|other| other.to == one.to || other.name == one.name)
        {
            let what = format!(
                "--device {}:{}: one of the names is there twice",
                one.name, one.to
            );
            return Err(Error::usage(what));
        }
    }
    Ok(wanted)
}

/// What has to be known to give it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    /// On the host.
    pub(crate) name: Ifname,
    /// By which it is known again.
    pub(crate) mac: Option<Mac>,
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    /// It was switched on.
    up: bool,
    /// The pod's namespace, and its inode: a path may come to mean another.
    sandbox: PathBuf,
    inode: u64,
}

impl Moved {
    pub(crate) fn add_to(&self, object: &mut Map<String, Value>) {
        let addresses = self
            .addresses
            .iter()
            .map(|(ip, prefix)| format!("{ip}/{prefix}"));
        let addresses: Vec<String> = addresses.collect();
        for (key, value) in [
            ("device", json!(self.name.as_ref())),
            ("mac", self.mac.map(|mac| mac.to_string()).into()),
            ("addresses", json!(addresses)),
            ("up", json!(self.up)),
            ("sandbox", json!(self.sandbox.to_string_lossy())),
            ("inode", json!(self.inode)),
        ] {
            if !value.is_null() {
                object.insert(key.into(), value);
            }
        }
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self, String> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let address = |text: &Value| {
            let (ip, prefix) = text.as_str()?.split_once('/')?;
            Some((ip.parse().ok()?, prefix.parse().ok()?))
        };
        let addresses = value.get("addresses").and_then(Value::as_array);
        let addresses: Option<Vec<_>> = addresses.into_iter().flatten().map(address).collect();
        let name = text("device").unwrap_or_default().parse();
        Ok(Self {
            name: name.map_err(|why| format!("device: {why}"))?,
            mac: text("mac")
                .map(str::parse)
                .transpose()
                .map_err(|why| format!("mac: {why}"))?,
            addresses: addresses.ok_or("addresses: no list of addresses")?,
            up: value.get("up") == Some(&Value::Bool(true)),
            sandbox: text("sandbox").unwrap_or_default().into(),
            inode: value
                .get("inode")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
        })
    }

    fn is(&self, link: &Link) -> bool {
        link.mac == self.mac
    }
}

/// Looks at it before it is touched.
///
/// # Errors
/// There is none, or it is one end of another pod.
pub(crate) fn look(device: &Device, pod: &PodNamespace, host: &mut Socket) -> Result<Moved, Error> {
    let name = device.name.as_ref();
    let refuse = |why: &str| Error::failed(format!("--device {name}: {why}"));
    let link =
        link::find(host, By::Name(name), false)?.ok_or_else(|| refuse("no such interface"))?;
    if link.kind.as_deref() == Some("veth") && name.starts_with("veth") && link.alias.is_some() {
        return Err(refuse("it is a pod's (its ifalias says whose)"));
    }
    Ok(Moved {
        name: device.name.clone(),
        mac: link.mac,
        addresses: link::permanent_addresses(Socket::open(false)?, link.index)?,
        up: link.up,
        sandbox: pod.path().to_owned(),
        inode: pod.inode(),
    })
}

/// Moves it into the pod; its new name, its addresses and the switch follow there.
pub(crate) fn give(
    moved: &Moved,
    to: &Ifname,
    pod: &PodNamespace,
    host: &mut Socket,
    inside: &mut Socket,
) -> Result<Link, Error> {
    let there = |inside: &mut Socket| link::find(inside, By::Name(to.as_ref()), false);
    if there(inside)?.is_some() {
        let place = pod.path().display();
        return Err(Error::failed(format!("{to} exists already in {place}")));
    }
    let name = moved.name.as_ref();
    let link = link::find(host, By::Name(name), false)?.filter(|link| moved.is(link));
    let link = link.ok_or_else(|| Error::failed(format!("--device {name}: it is gone")))?;
    host.batch(vec![shift(&link, pod.fd(), to)])?;
    let link = there(inside)?.ok_or_else(|| Error::failed(format!("{to}: it is gone again")))?;
    set(&link, true, &moved.addresses, inside)?;
    there(inside)?.ok_or_else(|| Error::failed(format!("{to}: it is gone again")))
}

/// To the namespace behind `to`, where its name is `name`.
fn shift(link: &Link, to: BorrowedFd<'_>, name: &Ifname) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = link.index;
    message.attributes = vec![
        LinkAttribute::NetNsFd(to.as_raw_fd()),
        LinkAttribute::IfName(name.to_string()),
    ];
    let what = format!("{} netns name {name}", link.name);
    Request::new("RTM_SETLINK", &what, libc::RTM_SETLINK, 0, &message)
}

/// Addresses go when an interface changes its namespace, and it is switched off.
fn set(
    link: &Link,
    up: bool,
    addresses: &[(IpAddr, u8)],
    socket: &mut Socket,
) -> Result<(), Error> {
    if up {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        let what = format!("{} up", link.name);
        let request = Request::new("RTM_SETLINK", &what, libc::RTM_SETLINK, 0, &message);
        socket.batch(vec![request])?;
    }
    for &(address, prefix) in addresses {
        let address = Address {
            address,
            prefix,
            broadcast: None,
            prefix_route: true,
        };
        match socket.batch(vec![requests::add_address(
            &address, &link.name, link.index,
        )]) {
            Err(error) if error.refused() != Some(Errno::EEXIST) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Gives it back under its old name, with its addresses; one that went with its namespace is gone, and one that the kernel
/// gave back by itself only has another name.
pub(crate) fn take_back(moved: &Moved, to: &Ifname, host: &mut Socket) -> Result<(), Error> {
    let own = File::open("/proc/self/ns/net").call(|| "open(/proc/self/ns/net)".into())?;
    let at_home = |host: &mut Socket, name: &Ifname| {
        let found = link::find(host, By::Name(name.as_ref()), false)?;
        Ok::<_, Error>(found.filter(|link| moved.is(link)))
    };
    if at_home(host, &moved.name)?.is_some() {
        return Ok(());
    }
    let sandbox = PodNamespace::of(
        &Record::new(&"none".parse().map_err(record::Error::Record)?),
        Some(&Netns::File(moved.sandbox.clone())),
    );
    if let Some(pod) = sandbox.ok().filter(|pod| pod.inode() == moved.inode) {
        let mut inside = pod.socket(false)?;
        let found = link::find(&mut inside, By::Name(to.as_ref()), false)?;
        if let Some(link) = found.filter(|link| moved.is(link)) {
            inside.batch(vec![shift(&link, own.as_fd(), &moved.name)])?;
        }
    } else if let Some(link) = at_home(host, to)? {
        host.batch(vec![shift(&link, own.as_fd(), &moved.name)])?;
    }
    match at_home(host, &moved.name)? {
        Some(link) => set(&link, moved.up, &moved.addresses, host),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_and_the_command_line_name_them() {
        let record = br#"{"id":"foo","linux":{"netDevices":{"eno1":{"name":"net1"},"eno2":{}}}}"#;
        let record = Record::parse(record).unwrap();
        let typed: Device = "eno3:net3".parse().unwrap();
        let all = wanted(&record, &[typed]).unwrap();
        let all: Vec<_> = all
            .iter()
            .map(|one| (one.name.as_ref(), one.to.as_ref()))
            .collect();
        assert_eq!(all, [("eno1", "net1"), ("eno2", "eno2"), ("eno3", "net3")]);
        let twice: Device = "eno4:net1".parse().unwrap();
        assert!(wanted(&record, &[twice]).is_err());
        for bad in [
            r#"{"lo":{}}"#,
            r#"{"eno1":{"name":"a/b"}}"#,
            r#"{"eno1":{"name":1}}"#,
        ] {
            let record = format!(r#"{{"id":"foo","linux":{{"netDevices":{bad}}}}}"#);
            assert!(
                wanted(&Record::parse(record.as_bytes()).unwrap(), &[]).is_err(),
                "{bad}"
            );
        }
    }
}
