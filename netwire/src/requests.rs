//! The plan as netlink messages, in the order in which they are sent.

mod bridge;

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    AfSpecInet, AfSpecUnspec, InetDevConf, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use record::{Id, names};

pub(crate) use self::bridge::{create_bridge, set_bridge};
use crate::link::{self, By, route_address};
use crate::netlink::Request;
use crate::plan::{Address, Plan, Route, Scope};

/// `lo`, the first interface of every network namespace.
const LO: u32 = 1;

/// Makes the pair, one end here and one in the pod, and asks for its number.
///
/// What depends on the number follows in [`host_set`]: a message that found the interface by its name would hit
/// somebody else's of the same name, as the kernel goes on after a request that failed.
pub(crate) fn create(plan: &Plan, bridge: Option<u32>, pod: BorrowedFd<'_>) -> Vec<Request> {
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName(plan.ifname.to_string()),
        LinkAttribute::Mtu(plan.mtu),
        LinkAttribute::NetNsFd(pod.as_raw_fd()),
        LinkAttribute::Address(plan.pod_mac.0.to_vec()),
    ];
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(plan.host.clone()),
        LinkAttribute::Address(plan.mac.0.to_vec()),
        LinkAttribute::Mtu(plan.mtu),
        // The peer cannot be switched on here: ENOTCONN, the kernel does that before it joins the two.
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    message
        .attributes
        .extend(bridge.map(LinkAttribute::Controller));
    let master = plan.port.as_ref();
    let master = master.map_or_else(String::new, |port| format!(" master {}", port.bridge));
    let what = format!(
        "{} address {} mtu {}{master} type veth peer {} address {}",
        plan.host, plan.mac, plan.mtu, plan.ifname, plan.pod_mac
    );
    vec![
        Request::new(
            "RTM_NEWLINK",
            &what,
            libc::RTM_NEWLINK,
            NLM_F_CREATE | NLM_F_EXCL,
            &message,
        ),
        link::get(By::Name(&plan.host), false),
    ]
}

/// The host's end, whose number is `index`: its ifalias, forwarding, address, and the route to the pod.
///
/// Forwarding is asked of the interface a packet comes in by and of no other (`IN_DEV_FORWARD`), so from pod to pod
/// this interface's own switch is all there is to set; net.ipv4.ip_forward is the host's.
pub(crate) fn host_set(plan: &Plan, index: u32) -> Vec<Request> {
    if let Some(port) = &plan.port {
        return bridge::port_set(plan, port, index);
    }
    let mut message = up(index);
    let mut forwarding = InetDevConf::default();
    forwarding.forwarding = 1;
    forwarding.route_localnet = i32::from(plan.route_localnet);
    // What is 0 here is not sent: it stays as the host's default has it.
    forwarding.rp_filter = i32::from(plan.rp_filter);
    message.attributes = vec![
        // In a message that makes an interface the kernel ignores both of these.
        LinkAttribute::IfAlias(record::names::ifalias(&plan.id).to_owned()),
        LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(
            forwarding,
        )])]),
    ];
    let localnet = if plan.route_localnet {
        " route_localnet 1"
    } else {
        ""
    };
    let rp_filter = if plan.rp_filter { " rp_filter 1" } else { "" };
    let what = format!(
        "{} alias {} forwarding 1{localnet}{rp_filter} up",
        plan.host, plan.id
    );

    let mut requests = vec![Request::new(
        "RTM_SETLINK",
        &what,
        libc::RTM_SETLINK,
        0,
        &message,
    )];
    let (addresses, routes) = (plan.host_addresses(), plan.host_routes());
    requests.extend(
        addresses
            .iter()
            .map(|address| add_address(address, &plan.host, index)),
    );
    requests.extend(
        routes
            .iter()
            .map(|route| add_route(route, &plan.host, index)),
    );
    requests
}

/// `lo`, switched on; then asks how it looks.
pub(crate) fn loopback_up() -> Vec<Request> {
    vec![
        Request::new("RTM_SETLINK", "lo up", libc::RTM_SETLINK, 0, &up(LO)),
        link::get(By::Index(LO), false),
    ]
}

/// Forgets whose hardware address `address` was.
pub(crate) fn forget_neighbour(address: IpAddr, interface: &str, index: u32) -> Request {
    let mut message = NeighbourMessage::default();
    message.header.family = route_address(address).0;
    message.header.ifindex = index;
    message.attributes = vec![NeighbourAttribute::Destination(match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    })];
    let what = format!("{address} dev {interface}");
    Request::new("RTM_DELNEIGH", &what, libc::RTM_DELNEIGH, 0, &message)
}

/// The pod's end, whose number is `index`, and `lo`; then asks how it looks.
pub(crate) fn pod_set(plan: &Plan, index: u32) -> Vec<Request> {
    let ifname = plan.ifname.as_ref();
    let mut requests = vec![
        lo_up(),
        Request::new(
            "RTM_SETLINK",
            &format!("{ifname} up"),
            libc::RTM_SETLINK,
            0,
            &up(index),
        ),
    ];
    let (addresses, wrong) = (plan.pod_addresses(), plan.pod_kernel_routes());
    requests.extend(
        addresses
            .iter()
            .map(|address| add_address(address, ifname, index)),
    );
    requests.extend(wrong.iter().map(|route| remove_route(route, ifname, index)));
    requests.extend(
        plan.pod_routes()
            .iter()
            .map(|route| add_route(route, ifname, index)),
    );
    requests.push(link::get(By::Index(index), false));
    requests
}

/// Removes the pair whose host's end has the number `index`.
pub(crate) fn remove(name: &str, index: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    Request::new("RTM_DELLINK", name, libc::RTM_DELLINK, 0, &message)
}

/// The ifalias of a pod, and on.
pub(crate) fn up_with_alias(id: &Id, name: &str, index: u32) -> Request {
    let mut message = up(index);
    message.attributes = vec![LinkAttribute::IfAlias(names::ifalias(id).to_owned())];
    let what = format!("{name} alias {id} up");
    Request::new("RTM_SETLINK", &what, libc::RTM_SETLINK, 0, &message)
}

/// Switches `lo` on.
pub(crate) fn lo_up() -> Request {
    Request::new("RTM_SETLINK", "lo up", libc::RTM_SETLINK, 0, &up(LO))
}

fn up(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

pub(crate) fn add_address(address: &Address, interface: &str, index: u32) -> Request {
    let mut message = AddressMessage::default();
    message.header.family = route_address(address.address).0;
    message.header.prefix_len = address.prefix;
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    let ip = address.address;
    message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
    if let Some(IpAddr::V4(broadcast)) = address.broadcast {
        message
            .attributes
            .push(AddressAttribute::Broadcast(broadcast));
    }
    if ip.is_ipv6() {
        // The address is nobody else's; to make sure, the kernel would wait a second.
        let mut flags = AddressFlags::Nodad;
        flags.set(AddressFlags::Noprefixroute, !address.prefix_route);
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    let what = format!("{address} dev {interface}");
    Request::new(
        "RTM_NEWADDR",
        &what,
        libc::RTM_NEWADDR,
        NLM_F_CREATE | NLM_F_EXCL,
        &message,
    )
}

fn add_route(route: &Route, interface: &str, index: u32) -> Request {
    let message = route_message(route, index, RouteProtocol::Boot);
    let what = format!("{route} dev {interface}");
    Request::new(
        "RTM_NEWROUTE",
        &what,
        libc::RTM_NEWROUTE,
        NLM_F_CREATE | NLM_F_EXCL,
        &message,
    )
}

fn remove_route(route: &Route, interface: &str, index: u32) -> Request {
    let message = route_message(route, index, RouteProtocol::Kernel);
    Request::new(
        "RTM_DELROUTE",
        &format!("{route} dev {interface}"),
        libc::RTM_DELROUTE,
        0,
        &message,
    )
}

fn route_message(route: &Route, index: u32, protocol: RouteProtocol) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: route_address(route.destination).0,
        destination_prefix_length: route.prefix,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol,
        scope: match route.scope {
            Scope::Global => RouteScope::Universe,
            Scope::Link => RouteScope::Link,
            Scope::Host => RouteScope::Host,
        },
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    let address = |ip| route_address(ip).1;
    if route.prefix > 0 {
        message
            .attributes
            .push(RouteAttribute::Destination(address(route.destination)));
    }
    message.attributes.extend(
        route
            .gateway
            .map(|gateway| RouteAttribute::Gateway(address(gateway))),
    );
    message.attributes.extend(
        route
            .source
            .map(|source| RouteAttribute::PrefSource(address(source))),
    );
    message.attributes.push(RouteAttribute::Oif(index));
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    use crate::plan::{Assigned, Wanted};

    fn plan() -> Plan {
        Plan::new(
            &"foo".parse().unwrap(),
            &Wanted::plain(),
            &[],
            vec![Assigned {
                subnet: "10.244.0.0/24".parse().unwrap(),
                address: "10.244.0.2".parse().unwrap(),
            }],
            1500,
        )
    }

    fn calls(requests: &[Request]) -> Vec<&str> {
        requests
            .iter()
            .map(|request| request.call.as_str())
            .collect()
    }

    #[test]
    fn beside_the_new_interface_nothing_is_changed_by_name() {
        let pod = File::open("/proc/self/status").unwrap();
        let requests = create(&plan(), None, pod.as_fd());
        assert_eq!(
            calls(&requests),
            [
                "RTM_NEWLINK(vethce5359d4 address 02:6e:f6:70:09:c0 mtu 1500 type veth peer eth0 address 02:5b:51:e6:68:eb)",
                "RTM_GETLINK(vethce5359d4)",
            ]
        );
    }

    #[test]
    fn each_step_comes_after_what_it_needs() {
        assert_eq!(
            calls(&host_set(&plan(), 7)),
            [
                "RTM_SETLINK(vethce5359d4 alias foo forwarding 1 rp_filter 1 up)",
                "RTM_NEWADDR(10.244.0.1/32 dev vethce5359d4)",
                "RTM_NEWROUTE(10.244.0.2 scope host dev vethce5359d4)",
            ]
        );
        assert_eq!(
            calls(&pod_set(&plan(), 2)),
            [
                "RTM_SETLINK(lo up)",
                "RTM_SETLINK(eth0 up)",
                "RTM_NEWADDR(10.244.0.2/24 brd 10.244.0.255 dev eth0)",
                "RTM_DELROUTE(10.244.0.0/24 scope link src 10.244.0.2 dev eth0)",
                "RTM_NEWROUTE(10.244.0.1 scope link src 10.244.0.2 dev eth0)",
                "RTM_NEWROUTE(10.244.0.0/24 via 10.244.0.1 src 10.244.0.2 dev eth0)",
                "RTM_NEWROUTE(default via 10.244.0.1 dev eth0)",
                "RTM_GETLINK(index 2)",
            ]
        );
    }
}
