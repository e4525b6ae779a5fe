//! What will be done, as data.

mod ifname;
mod wanted;

use std::fmt;
use std::net::IpAddr;

use record::{Id, names};

pub(crate) use self::ifname::Ifname;
pub(crate) use self::wanted::{Assigned, Net, Wanted};
use crate::antispoof::When;
use crate::cidr::{width, with_bits};
use crate::link::Mac;
use crate::mode::Port;
use crate::state::Attachment;
use crate::subnet::Subnet;

/// An address on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
    pub(crate) broadcast: Option<IpAddr>,
    /// Of IPv6: the others of the subnet are on the link, and the kernel adds the route that says so.
    pub(crate) prefix_route: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)?;
        if self.address.is_ipv6() {
            f.write_str(" nodad")?;
            f.write_str(if self.prefix_route {
                ""
            } else {
                " noprefixroute"
            })?;
        }
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
    pub(crate) destination: IpAddr,
    /// 0: the default route.
    pub(crate) prefix: u8,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) scope: Scope,
    pub(crate) source: Option<IpAddr>,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            0 => f.write_str("default")?,
            longest if longest == width(self.destination) => write!(f, "{}", self.destination)?,
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
    /// None: the host's end has the gateway's address.
    pub(crate) port: Option<Port>,
    /// Its hardware address.
    pub(crate) mac: Mac,
    /// That of the pod's end.
    pub(crate) pod_mac: Mac,
    /// The pod's end.
    pub(crate) ifname: Ifname,
    /// Of both ends.
    pub(crate) mtu: u32,
    /// Of the pod, one of a family.
    pub(crate) nets: Vec<Assigned>,
    /// Of the families for which no other interface has a default route.
    pub(crate) defaults: Vec<Subnet>,
    /// Ports of the host's 127.0.0.1 lead to it: on the host's end, loopback addresses are not martian.
    pub(crate) route_localnet: bool,
    /// What comes in by the host's end must be from where its answer would go out.
    pub(crate) rp_filter: bool,
}

impl Plan {
    /// Everything else follows from the name and these. `others`: the interfaces the pod has already.
    pub(crate) fn new(
        id: &Id,
        wanted: &Wanted,
        others: &[Attachment],
        nets: Vec<Assigned>,
        mtu: u32,
    ) -> Self {
        let taken = |subnet: &Subnet| {
            let mut theirs = others.iter().flat_map(|other| &other.nets);
            theirs.any(|net| net.subnet.is_ipv4() == subnet.is_ipv4())
        };
        let defaults = nets.iter().map(|net| net.subnet);
        Self {
            id: id.clone(),
            port: wanted.mode.port().cloned(),
            defaults: defaults.filter(|subnet| !taken(subnet)).collect(),
            host: names::veth(id, wanted.ifname.as_ref()),
            mac: Mac(names::host_mac(id, wanted.ifname.as_ref())),
            ifname: wanted.ifname.clone(),
            mtu,
            nets,
            pod_mac: wanted
                .mac
                .unwrap_or_else(|| Mac(names::pod_mac(id, wanted.ifname.as_ref()))),
            route_localnet: wanted.ports.iter().any(|publish| publish.is_on_loopback()),
            rp_filter: wanted.antispoof != When::Never,
        }
    }

    /// The gateways', alone: every pod of a subnet has it at the other end.
    pub(crate) fn host_addresses(&self) -> Vec<Address> {
        if self.port.is_some() {
            return Vec::new();
        }
        let address = |net: &Assigned| Address {
            address: net.subnet.gateway(),
            prefix: width(net.address),
            broadcast: None,
            prefix_route: true,
        };
        self.nets.iter().map(address).collect()
    }

    /// To this pod.
    pub(crate) fn host_routes(&self) -> Vec<Route> {
        if self.port.is_some() {
            return Vec::new();
        }
        let route = |net: &Assigned| Route {
            destination: net.address,
            prefix: width(net.address),
            gateway: None,
            scope: Scope::Host,
            source: None,
        };
        self.nets.iter().map(route).collect()
    }

    /// The pod's own.
    pub(crate) fn pod_addresses(&self) -> Vec<Address> {
        let address = |net: &Assigned| Address {
            address: net.address,
            prefix: net.subnet.prefix(),
            broadcast: net.subnet.broadcast(),
            prefix_route: self.port.is_some(),
        };
        self.nets.iter().map(address).collect()
    }

    /// What the kernel adds by itself with an address of IPv4, and what would be wrong: no other pod of the subnet is on
    /// this link, unless it leads to a bridge. With one of IPv6 it is told not to.
    pub(crate) fn pod_kernel_routes(&self) -> Vec<Route> {
        if self.port.is_some() {
            return Vec::new();
        }
        let ipv4 = self.nets.iter().filter(|net| net.subnet.is_ipv4());
        let route = |net: &Assigned| Route {
            destination: net.subnet.network(),
            prefix: net.subnet.prefix(),
            gateway: None,
            scope: Scope::Link,
            source: Some(net.address),
        };
        ipv4.map(route).collect()
    }

    /// The gateway is on the link, and everything else behind it, the other pods of the subnet included.
    pub(crate) fn pod_routes(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        for net in &self.nets {
            if self.port.is_none() {
                routes.extend(net.behind_gateway());
            }
            if self.defaults.contains(&net.subnet) {
                routes.push(net.default_route());
            }
        }
        routes
    }
}

impl Assigned {
    /// Others of the subnet are reached through the gateway.
    fn behind_gateway(&self) -> [Route; 2] {
        let source = Some(self.address);
        [
            Route {
                destination: self.subnet.gateway(),
                prefix: width(self.address),
                gateway: None,
                scope: Scope::Link,
                source,
            },
            Route {
                destination: self.subnet.network(),
                prefix: self.subnet.prefix(),
                gateway: Some(self.subnet.gateway()),
                scope: Scope::Global,
                source,
            },
        ]
    }

    fn default_route(&self) -> Route {
        Route {
            destination: with_bits(self.address, 0),
            prefix: 0,
            gateway: Some(self.subnet.gateway()),
            scope: Scope::Global,
            source: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mode::Mode;

    fn plan() -> Plan {
        planned("10.244.0.0/24", "10.244.0.2")
    }

    fn planned(subnet: &str, address: &str) -> Plan {
        planned_of(&Wanted::plain(), &[], subnet, address)
    }

    fn planned_of(wanted: &Wanted, others: &[Attachment], subnet: &str, address: &str) -> Plan {
        Plan::new(
            &"foo".parse().unwrap(),
            wanted,
            others,
            vec![Assigned {
                subnet: subnet.parse().unwrap(),
                address: address.parse().unwrap(),
            }],
            1500,
        )
    }

    #[test]
    fn the_shape_is_the_one_of_a_kind_node() {
        let plan = plan();
        assert_eq!(plan.host, "vethce5359d4");
        assert_eq!(shown(plan.host_addresses()), ["10.244.0.1/32"]);
        assert_eq!(shown(plan.host_routes()), ["10.244.0.2 scope host"]);
        assert_eq!(
            shown(plan.pod_addresses()),
            ["10.244.0.2/24 brd 10.244.0.255"]
        );
        assert_eq!(
            shown(plan.pod_kernel_routes()),
            ["10.244.0.0/24 scope link src 10.244.0.2"]
        );
        assert_eq!(
            shown(plan.pod_routes()),
            [
                "10.244.0.1 scope link src 10.244.0.2",
                "10.244.0.0/24 via 10.244.0.1 src 10.244.0.2",
                "default via 10.244.0.1",
            ]
        );
    }

    fn shown<T: ToString>(of: Vec<T>) -> Vec<String> {
        of.iter().map(T::to_string).collect()
    }

    #[test]
    fn ipv6_is_the_same_with_other_addresses() {
        let plan = planned("fd00::/64", "fd00::2");
        assert_eq!(shown(plan.host_addresses()), ["fd00::1/128 nodad"]);
        assert_eq!(
            shown(plan.pod_addresses()),
            ["fd00::2/64 nodad noprefixroute"]
        );
        assert_eq!(shown(plan.pod_kernel_routes()), [""; 0]);
        assert_eq!(
            shown(plan.pod_routes()),
            [
                "fd00::1 scope link src fd00::2",
                "fd00::/64 via fd00::1 src fd00::2",
                "default via fd00::1",
            ]
        );
    }

    #[test]
    fn on_a_bridge_the_subnet_is_on_the_link() {
        let bridge = Wanted {
            mode: Mode::Bridge(Port {
                bridge: "br0".parse().unwrap(),
                isolated: false,
                vlan: None,
            }),
            ..Wanted::plain()
        };
        let plan = planned_of(&bridge, &[], "10.244.0.0/24", "10.244.0.2");
        assert_eq!(shown(plan.host_addresses()), [""; 0]);
        assert_eq!(shown(plan.host_routes()), [""; 0]);
        assert_eq!(shown(plan.pod_kernel_routes()), [""; 0]);
        assert_eq!(shown(plan.pod_routes()), ["default via 10.244.0.1"]);
        let plan = planned_of(&bridge, &[], "fd00::/64", "fd00::2");
        assert_eq!(shown(plan.pod_addresses()), ["fd00::2/64 nodad"]);
        assert_eq!(shown(plan.pod_routes()), ["default via fd00::1"]);
    }

    #[test]
    fn a_second_interface_has_no_default_route() {
        let first = Attachment::assigned(&Wanted::plain(), &plan().nets);
        let plan = planned_of(&Wanted::plain(), &[first], "10.9.0.0/24", "10.9.0.2");
        assert_eq!(
            shown(plan.pod_routes()),
            [
                "10.9.0.1 scope link src 10.9.0.2",
                "10.9.0.0/24 via 10.9.0.1 src 10.9.0.2",
            ]
        );
    }
}
