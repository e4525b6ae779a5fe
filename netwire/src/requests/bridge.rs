//! The messages about bridges and their ports.

use libc::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    AfSpecBridge, AfSpecInet, AfSpecUnspec, BridgeVlanInfo, BridgeVlanInfoFlags, InetDevConf,
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, LinkAttribute,
    LinkInfo, LinkMessage,
};

use super::up;
use crate::link::Mac;
use crate::mode::Port;
use crate::netlink::Request;
use crate::plan::Plan;

/// The VLAN that the kernel puts every new port in.
const VLAN_DEFAULT: u16 = 1;

/// The same of a port of a bridge. It sends back where it came from (hairpin), so that a pod reaches itself by what is
/// translated to its own address.
pub(super) fn port_set(plan: &Plan, port: &Port, index: u32) -> Vec<Request> {
    let mut requests = Vec::new();
    if let Some(vlan) = port.vlan {
        requests.push(port_vlan(plan, index, libc::RTM_SETLINK, vlan));
        if vlan != VLAN_DEFAULT {
            requests.push(port_vlan(plan, index, libc::RTM_DELLINK, VLAN_DEFAULT));
        }
    }
    let mut message = up(index);
    message.attributes = vec![
        LinkAttribute::IfAlias(record::names::ifalias(&plan.id).to_owned()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![
                InfoBridgePort::HairpinMode(true),
                InfoBridgePort::Isolated(port.isolated),
            ])),
        ]),
    ];
    let isolated = if port.isolated { " isolated" } else { "" };
    let what = format!("{} alias {} hairpin{isolated} up", plan.host, plan.id);
    // Without NLM_F_CREATE; RTM_SETLINK knows nothing of ports.
    requests.push(Request::new(
        "RTM_NEWLINK",
        &what,
        libc::RTM_NEWLINK,
        0,
        &message,
    ));
    requests
}

/// Puts a port into a VLAN, whose packets it sends and takes without a tag, or takes it out.
fn port_vlan(plan: &Plan, index: u32, kind: u16, vlan: u16) -> Request {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = index;
    let (name, flags) = match kind {
        libc::RTM_SETLINK => (
            "RTM_SETLINK",
            BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged,
        ),
        _ => ("RTM_DELLINK", BridgeVlanInfoFlags::empty()),
    };
    let info = BridgeVlanInfo { flags, vid: vlan };
    message.attributes = vec![LinkAttribute::AfSpecBridge(vec![AfSpecBridge::VlanInfo(
        info,
    )])];
    let what = format!("{} vlan {vlan}", plan.host);
    Request::new(name, &what, kind, 0, &message)
}

/// Makes a bridge of our own.
pub(crate) fn create_bridge(name: &str, vlans: bool) -> Request {
    let mac = Mac(record::names::bridge_mac(name));
    let mut info = vec![LinkInfo::Kind(InfoKind::Bridge)];
    if vlans {
        info.push(LinkInfo::Data(InfoData::Bridge(vec![
            InfoBridge::VlanFiltering(true),
        ])));
    }
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Address(mac.0.to_vec()),
        LinkAttribute::LinkInfo(info),
    ];
    let filtering = if vlans { " vlan_filtering 1" } else { "" };
    let what = format!("{name} address {mac} type bridge{filtering}");
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    Request::new("RTM_NEWLINK", &what, libc::RTM_NEWLINK, flags, &message)
}

/// Marks it as ours and switches it on; what comes in there is forwarded, as at the host's end of a link of its own.
pub(crate) fn set_bridge(name: &str, index: u32, rp_filter: bool) -> Request {
    let mut message = up(index);
    let mut forwarding = InetDevConf::default();
    forwarding.forwarding = 1;
    forwarding.rp_filter = i32::from(rp_filter);
    message.attributes = vec![
        LinkAttribute::IfAlias(record::names::BRIDGE.to_owned()),
        LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(
            forwarding,
        )])]),
    ];
    let rp_filter = if rp_filter { " rp_filter 1" } else { "" };
    let what = format!("{name} forwarding 1{rp_filter} up");
    Request::new("RTM_SETLINK", &what, libc::RTM_SETLINK, 0, &message)
}
