//! What will be done, as data.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use record::{Id, names};

use crate::antispoof::When;
use crate::cidr::Cidr;
use crate::link::Mac;
use crate::publish::Publish;
use crate::subnet::Subnet;

/// The name of a network interface, as the kernel takes it (`dev_valid_name`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ifname(String);

impl FromStr for Ifname {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let why = match text {
            "" => "an interface needs a name",
            "." | ".." => "no name for an interface",
            "lo" => "is the loopback interface, every pod has it",
            _ if text.len() > 15 => "longer than 15 bytes",
            _ if text.contains(['/', ':', '%']) => {
                "'/', ':' and '%' cannot be in the name of an interface"
            }
            // The kernel takes any byte; JSON, leases and terminals do not.
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                "only visible ASCII can be in it"
            }
            _ => return Ok(Self(text.to_owned())),
        };
        Err(why.into())
    }
}

impl AsRef<str> for Ifname {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ifname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wanted, as far as it is known before anything is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The pod's interface.
    pub(crate) ifname: Ifname,
    /// Where its address comes from.
    pub(crate) subnet: Subnet,
    /// The one address it must be; None: the next free one.
    pub(crate) address: Option<Ipv4Addr>,
    /// Bytes; None: as the interface of the default route, else 1500.
    pub(crate) mtu: Option<u32>,
    /// A pool shared with CNI's host-local; None: our own.
    pub(crate) lease_dir: Option<PathBuf>,
    /// What it sends to the world has the host's address.
    pub(crate) nat: bool,
    /// Except to these, and to its own subnet.
    pub(crate) nat_except: Vec<Cidr>,
    /// Of the host, that lead to it.
    pub(crate) ports: Vec<Publish>,
    /// It must not pass for another.
    pub(crate) antispoof: When,
    /// And the interface's own switch does not decide: the table has to see to it.
    pub(crate) loose: bool,
}

/// An address on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) broadcast: Option<Ipv4Addr>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)?;
        self.broadcast
            .map_or(Ok(()), |broadcast| write!(f, " brd {broadcast}"))
    }
}

/// How far away the destinations of a route are; rtnetlink(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Behind a gateway.
    Global,
    /// On the link.
    Link,
    /// As the host's own addresses: kindnet's and ptp's choice for the one address at the other end.
    Host,
}

/// A unicast route out of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: Ipv4Addr,
    /// 0: the default route.
    pub(crate) prefix: u8,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) scope: Scope,
    pub(crate) source: Option<Ipv4Addr>,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            0 => f.write_str("default")?,
            32 => write!(f, "{}", self.destination)?,
            prefix => write!(f, "{}/{prefix}", self.destination)?,
        }
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        f.write_str(match self.scope {
            Scope::Global => "",
            Scope::Link => " scope link",
            Scope::Host => " scope host",
        })?;
        self.source
            .map_or(Ok(()), |source| write!(f, " src {source}"))
    }
}

/// A point-to-point connection of one pod, complete: what CNI's ptp and kindnet make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The pod's name, which is also the ifalias of the host's end.
    pub(crate) id: Id,
    /// The host's end.
    pub(crate) host: String,
    /// Its hardware address.
    pub(crate) mac: Mac,
    /// The pod's end.
    pub(crate) ifname: Ifname,
    /// Of both ends.
    pub(crate) mtu: u32,
    pub(crate) subnet: Subnet,
    /// The pod's.
    pub(crate) address: Ipv4Addr,
    /// Ports of the host's 127.0.0.1 lead to it: on the host's end, loopback addresses are not martian.
    pub(crate) route_localnet: bool,
    /// What comes in by the host's end must be from where its answer would go out.
    pub(crate) rp_filter: bool,
}

impl Plan {
    /// Everything else follows from the name, the subnet and these two.
    pub(crate) fn new(id: &Id, wanted: &Wanted, address: Ipv4Addr, mtu: u32) -> Self {
        Self {
            id: id.clone(),
            host: names::veth(id, wanted.ifname.as_ref()),
            mac: Mac(names::host_mac(id, wanted.ifname.as_ref())),
            ifname: wanted.ifname.clone(),
            mtu,
            subnet: wanted.subnet,
            address,
            route_localnet: wanted.ports.iter().any(|publish| publish.is_on_loopback()),
            rp_filter: wanted.antispoof != When::Never,
        }
    }

    /// The gateway's, alone: every pod of the subnet has it at the other end.
    pub(crate) fn host_address(&self) -> Address {
        Address {
            address: self.subnet.gateway(),
            prefix: 32,
            broadcast: None,
        }
    }

    /// To this pod.
    pub(crate) fn host_route(&self) -> Route {
        Route {
            destination: self.address,
            prefix: 32,
            gateway: None,
            scope: Scope::Host,
            source: None,
        }
    }

    /// The pod's own.
    pub(crate) fn pod_address(&self) -> Address {
        let (prefix, broadcast) = (self.subnet.prefix(), Some(self.subnet.broadcast()));
        Address {
            address: self.address,
            prefix,
            broadcast,
        }
    }

    /// What the kernel adds by itself with [`Plan::pod_address`], and what would be wrong: no other pod of the subnet is on
    /// this link.
    pub(crate) fn pod_kernel_route(&self) -> Route {
        let (destination, prefix) = (self.subnet.network(), self.subnet.prefix());
        Route {
            destination,
            prefix,
            gateway: None,
            scope: Scope::Link,
            source: Some(self.address),
        }
    }

    /// The gateway is on the link, and everything else behind it, the other pods of the subnet included.
    pub(crate) fn pod_routes(&self) -> [Route; 3] {
        let (gateway, source) = (Some(self.subnet.gateway()), Some(self.address));
        let global = |destination, prefix, source| Route {
            destination,
            prefix,
            gateway,
            scope: Scope::Global,
            source,
        };
        [
            Route {
                destination: self.subnet.gateway(),
                prefix: 32,
                gateway: None,
                scope: Scope::Link,
                source,
            },
            global(self.subnet.network(), self.subnet.prefix(), source),
            global(Ipv4Addr::UNSPECIFIED, 0, None),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            ifname: "eth0".parse().unwrap(),
            subnet: "10.244.0.0/24".parse().unwrap(),
            address: None,
            mtu: None,
            lease_dir: None,
            nat: false,
            nat_except: Vec::new(),
            ports: Vec::new(),
            antispoof: When::Auto,
            loose: false,
        }
    }

    fn plan() -> Plan {
        Plan::new(
            &"foo".parse().unwrap(),
            &wanted(),
            Ipv4Addr::new(10, 244, 0, 2),
            1500,
        )
    }

    #[test]
    fn the_shape_is_the_one_of_a_kind_node() {
        let plan = plan();
        assert_eq!(plan.host, "vethce5359d4");
        assert_eq!(plan.host_address().to_string(), "10.244.0.1/32");
        assert_eq!(plan.host_route().to_string(), "10.244.0.2 scope host");
        assert_eq!(
            plan.pod_address().to_string(),
            "10.244.0.2/24 brd 10.244.0.255"
        );
        assert_eq!(
            plan.pod_kernel_route().to_string(),
            "10.244.0.0/24 scope link src 10.244.0.2"
        );
        assert_eq!(
            plan.pod_routes().map(|route| route.to_string()),
            [
                "10.244.0.1 scope link src 10.244.0.2",
                "10.244.0.0/24 via 10.244.0.1 src 10.244.0.2",
                "default via 10.244.0.1",
            ]
        );
    }

    #[test]
    fn names_the_kernel_would_not_take_are_refused_before() {
        for bad in [
            "",
            ".",
            "..",
            "lo",
            "a/b",
            "eth0:1",
            "eth%d",
            "a b",
            "eth\n",
            "ä",
            "interface1234567",
        ] {
            assert!(bad.parse::<Ifname>().is_err(), "{bad:?}");
        }
        for good in ["eth0", "net1", "a", "veth-x.100_1", "123456789012345"] {
            assert_eq!(good.parse::<Ifname>().unwrap().as_ref(), good);
        }
    }
}
