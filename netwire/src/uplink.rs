//! Switches of the host's own interfaces that keep packets from pods: found, named, turned on request, turned back by the
//! last `down`.
//!
//! Whether a packet may be forwarded is asked of the interface it comes in by (`IN_DEV_FORWARD`), and so is whether it may
//! come from there at all (`rp_filter`): a strict one takes from the interfaces of a lesser default route nothing of the
//! world, as the answer would leave by another.

use std::fs;
use std::path::{Path, PathBuf};

use netlink_packet_route::AddressFamily;
use nix::errno::Errno;
use sys::{SysError, ToErrno};

use crate::error::Error;
use crate::link::{self, By};
use crate::netlink::{Socket, string};
use crate::nft::Element;
use crate::routes;
use crate::ruleset::{IPV4, IPV6, LOOSENED, ifname_key};

/// What is turned, and what it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    Forward4,
    /// Of IPv6, `forwarding` of one interface says what it is and not what it does; Linux 6.17 has another.
    Forward6,
    /// Strict is 1, loose is 2.
    Filter,
}

impl Switch {
    const ALL: [Self; 3] = [Self::Forward4, Self::Forward6, Self::Filter];

    /// Where our table remembers that it was turned.
    fn set(self) -> &'static str {
        match self {
            Self::Forward4 => IPV4.opened,
            Self::Forward6 => IPV6.opened,
            Self::Filter => LOOSENED,
        }
    }

    fn family(self) -> &'static str {
        match self {
            Self::Forward4 | Self::Filter => "ipv4",
            Self::Forward6 => "ipv6",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Forward4 => "forwarding",
            Self::Forward6 => "force_forwarding",
            Self::Filter => "rp_filter",
        }
    }

    /// The value that is in the way, and the one that is not.
    fn values(self) -> (&'static str, &'static str) {
        match self {
            Self::Forward4 | Self::Forward6 => ("0", "1"),
            Self::Filter => ("1", "2"),
        }
    }

    /// The value that is not in the way.
    pub(crate) fn good(self) -> &'static str {
        self.values().1
    }

    /// What an element of ours says as its comment.
    pub(crate) fn comment(self) -> String {
        format!("{} was {}", self.name(), self.values().0)
    }
}

/// A switch of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uplink {
    pub(crate) switch: Switch,
    pub(crate) name: String,
}

impl Uplink {
    /// As sysctl(8) has it.
    pub(crate) fn sysctl(&self) -> String {
        let (family, switch) = (self.switch.family(), self.switch.name());
        format!("net.{family}.conf.{}.{switch}", self.name)
    }

    /// What it was, in one line: as [`Self::of_note`] reads it.
    pub(crate) fn note(&self) -> String {
        format!("{} was {}", self.sysctl(), self.switch.values().0)
    }

    /// None: it is the note of something else.
    pub(crate) fn of_note(line: &str) -> Option<Self> {
        Switch::ALL.into_iter().find_map(|switch| {
            let rest = line.strip_prefix(&format!("net.{}.conf.", switch.family()))?;
            let name = rest.strip_suffix(&format!(".{}", switch.comment()))?;
            // It becomes part of a path.
            let good = !name.is_empty() && !name.contains('/') && name != "..";
            let name = name.to_owned();
            good.then_some(Self { switch, name })
        })
    }

    /// What it is when it is in the way.
    fn what(&self) -> String {
        format!("{} is {}", self.sysctl(), self.switch.values().0)
    }

    /// The same, and what that means.
    pub(crate) fn why(&self) -> String {
        let what = match self.switch {
            Switch::Filter => {
                "of what comes in there from the world nothing is taken, answers leave by another"
            }
            _ => "nothing that comes in there reaches a pod",
        };
        format!("{}: {what}", self.what())
    }

    fn path(&self, interface: &str) -> PathBuf {
        let (family, switch) = (self.switch.family(), self.switch.name());
        Path::new("/proc/sys/net")
            .join(family)
            .join("conf")
            .join(interface)
            .join(switch)
    }

    /// None: there is no such switch, or no such interface any more.
    fn read(&self, interface: &str) -> Result<Option<String>, Error> {
        let path = self.path(interface);
        match fs::read_to_string(&path) {
            Ok(value) => Ok(Some(value.trim_end().to_owned())),
            Err(error) if error.to_errno() == Errno::ENOENT => Ok(None),
            Err(error) => Err(SysError::new(format!("read({})", path.display()), error).into()),
        }
    }

    fn is_in_the_way(&self) -> Result<bool, Error> {
        let own = self.read(&self.name)?;
        match self.switch {
            Switch::Forward4 => Ok(own.as_deref() == Some("0")),
            Switch::Forward6 if forwards_ipv6() => Ok(false),
            Switch::Forward6 => Ok(own.is_none_or(|own| own == "0")),
            // the higher of the two counts
            Switch::Filter => Ok(own.max(self.read("all")?).as_deref() == Some("1")),
        }
    }

    fn set(&self, value: &str) -> Result<(), Error> {
        let path = self.path(&self.name);
        match fs::write(&path, value) {
            Err(error) if error.to_errno() != Errno::ENOENT => {
                let error = SysError::new(format!("write({}, {value})", path.display()), error);
                Err(match error.errno {
                    Errno::EROFS => error.hint("is /proc/sys read-only here?"),
                    _ => error,
                }
                .into())
            }
            _ => Ok(()),
        }
    }

    /// As our table remembers it.
    pub(crate) fn element(&self) -> Element {
        Element::new(self.switch.set(), ifname_key(&self.name))
    }

    /// None: it is another element.
    pub(crate) fn of(element: &Element) -> Option<Self> {
        let mut switches = Switch::ALL.into_iter();
        let switch = switches.find(|switch| switch.set() == element.set)?;
        let name = string(&element.key)?;
        Some(Self { switch, name })
    }
}

/// Whether the machine as a whole forwards IPv6.
pub(crate) fn forwards_ipv6() -> bool {
    let all = fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding");
    all.is_ok_and(|all| all.trim_end() != "0")
}

/// The switches that are in the way of what comes from the world.
pub(crate) fn closed(ipv4: bool, ipv6: bool) -> Result<Vec<Uplink>, Error> {
    let mut closed = Vec::new();
    for uplink in uplinks(ipv4, ipv6)? {
        if uplink.is_in_the_way()? {
            closed.push(uplink);
        }
    }
    Ok(closed)
}

/// Those that can be, of the interfaces of all default routes, the best first.
fn uplinks(ipv4: bool, ipv6: bool) -> Result<Vec<Uplink>, Error> {
    let mut host = Socket::open(false)?;
    let mut found: Vec<Uplink> = Vec::new();
    let families = [
        (ipv4, Switch::Forward4, AddressFamily::Inet),
        (ipv6, Switch::Forward6, AddressFamily::Inet6),
    ];
    for (_, forward, family) in families.into_iter().filter(|(wanted, ..)| *wanted) {
        let routes = routes::default_routes(Socket::open(false)?, family)?;
        let mut best = Vec::new();
        for (at, (_, interfaces)) in routes.into_iter().enumerate() {
            // Only of IPv4 there is a filter, and it takes everything that comes by the best route.
            let filter = (at > 0 && forward == Switch::Forward4).then_some(Switch::Filter);
            for index in interfaces {
                let Some(link) = link::find(&mut host, By::Index(index), false)? else {
                    continue;
                };
                for switch in [forward].into_iter().chain(filter) {
                    let name = link.name.clone();
                    let uplink = Uplink { switch, name };
                    let filtered = switch == Switch::Filter && best.contains(&index);
                    if !(filtered || found.contains(&uplink)) {
                        found.push(uplink);
                    }
                }
                if at == 0 {
                    best.push(index);
                }
            }
        }
    }
    Ok(found)
}

/// Turns them.
pub(crate) fn open(uplinks: &[Uplink]) -> Result<(), Error> {
    uplinks
        .iter()
        .try_for_each(|uplink| uplink.set(uplink.switch.values().1))
}

/// Turns them back; one whose interface is gone is.
pub(crate) fn close(uplinks: &[Uplink]) -> Result<(), Error> {
    uplinks
        .iter()
        .try_for_each(|uplink| uplink.set(uplink.switch.values().0))
}
