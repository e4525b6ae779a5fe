//! What is wanted of an interface.

use std::net::IpAddr;

use super::Ifname;
use crate::antispoof::When;
use crate::choice::Choice;
use crate::cidr::Cidr;
use crate::lease::Place;
use crate::link::Mac;
use crate::mode::Mode;
use crate::policy::Policy;
use crate::publish::Publish;
use crate::rate::Rate;
use crate::subnet::Subnet;

/// A subnet, and the address of it that the pod has or is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Net {
    pub(crate) subnet: Subnet,
    pub(crate) address: Option<IpAddr>,
}

/// The same, when the address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) subnet: Subnet,
    pub(crate) address: IpAddr,
}

/// What is wanted, as far as it is known before anything is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The pod's interface.
    pub(crate) ifname: Ifname,
    /// How it is connected.
    pub(crate) mode: Mode,
    /// Where its addresses come from, one of a family; the address it must be, or None: the next free one.
    pub(crate) nets: Vec<Net>,
    /// Which address it may be.
    pub(crate) choice: Choice,
    /// The pod's end; None: any.
    pub(crate) mac: Option<Mac>,
    /// Bytes; None: as the interface of the default route, else 1500.
    pub(crate) mtu: Option<u32>,
    /// Where its leases are.
    pub(crate) leases: Place,
    /// What it sends to the world has the host's address.
    pub(crate) nat: bool,
    /// Except to these, and to its own subnet.
    pub(crate) nat_except: Vec<Cidr>,
    /// Of the host, that lead to it.
    pub(crate) ports: Vec<Publish>,
    /// How much may pass, each way.
    pub(crate) rate: Option<Rate>,
    /// It must not pass for another.
    pub(crate) antispoof: When,
    /// And the interface's own switch does not decide: the table has to see to it.
    pub(crate) loose: bool,
    /// Who may talk to whom.
    pub(crate) policy: Policy,
}

impl Wanted {
    /// Whether the pod gets an address of IPv4, or of IPv6.
    pub(crate) fn has(&self, ipv4: bool) -> bool {
        self.nets.iter().any(|net| net.subnet.is_ipv4() == ipv4)
    }

    /// `eth0` with a link of its own, and nothing that has to be asked for.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        use std::str::FromStr;
        Self {
            ifname: Ifname::from_str("eth0").unwrap(),
            mode: Mode::Ptp,
            nets: Vec::new(),
            choice: Choice::default(),
            mac: None,
            mtu: None,
            leases: Place::default(),
            nat: false,
            nat_except: Vec::new(),
            ports: Vec::new(),
            rate: None,
            antispoof: When::Auto,
            loose: false,
            policy: Policy::default(),
        }
    }
}
