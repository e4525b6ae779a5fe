//! `netwire`: a result of CNI 1.1.0, and beside it what `down` needs.

use schemars::JsonSchema;

/// What netwire made: the result of a CNI plugin
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Netwire {
    cni_version: String,
    interfaces: Vec<Interface>,
    ips: Vec<Ip>,
    routes: Vec<Route>,
    dns: Dns,
    /// Beside the keys of CNI: what `down` needs
    attachments: Vec<Attachment>,
    /// Beside them as well: lines of the pod's /etc/hosts
    host_aliases: Option<Vec<HostAlias>>,
}

/// Of the pod where it has a sandbox, else of the host
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Interface {
    name: String,
    mac: Option<Mac>,
    mtu: Option<u32>,
    /// Of its network namespace
    sandbox: Option<String>,
}

/// An address in the pod
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Ip {
    /// Place in `interfaces`
    interface: u32,
    address: Cidr,
    gateway: Option<String>,
}

/// A route in the pod
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Route {
    dst: Cidr,
    gw: Option<String>,
}

/// How the pod finds names, resolv.conf(5)
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Dns {
    nameservers: Option<Vec<String>>,
    domain: Option<String>,
    search: Option<Vec<String>>,
    options: Option<Vec<String>>,
}

/// A line of the pod's /etc/hosts
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct HostAlias {
    ip: String,
    hostnames: Vec<String>,
}

/// An interface of the pod, and what was asked for it
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
struct Attachment {
    ifname: String,
    /// lo alone
    mode: Option<NoMode>,
    bridge: Option<String>,
    isolated: Option<bool>,
    #[schemars(range(min = 1, max = 4094))]
    vlan: Option<u16>,
    /// An interface of the host that was moved in
    device: Option<String>,
    /// What a device had, to be given back
    addresses: Option<Vec<Cidr>>,
    /// The device was switched on
    up: Option<bool>,
    /// The device's network namespace
    sandbox: Option<String>,
    /// Of `sandbox`
    inode: Option<u64>,
    /// The host's end
    host: Option<String>,
    /// Of the host's end
    ifindex: Option<u32>,
    subnet: Option<Cidr>,
    gateway: Option<String>,
    address: Option<String>,
    subnet6: Option<Cidr>,
    gateway6: Option<String>,
    address6: Option<String>,
    /// Where leases are, by the network's name
    network: Option<String>,
    /// Where leases are, by path
    lease_dir: Option<String>,
    nat: Option<bool>,
    nat_except: Option<Vec<Cidr>>,
    port_mappings: Option<Vec<PortMapping>>,
    bandwidth: Option<Bandwidth>,
    mac: Option<Mac>,
    policy: Option<Policy>,
    antispoof: Option<bool>,
    /// The table keeps it from passing for another, as rp_filter does not
    loose: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum NoMode {
    None,
}

#[derive(JsonSchema)]
#[schemars(transparent, inline)]
struct Mac(#[schemars(regex(pattern = "^([0-9a-f]{2}:){5}[0-9a-f]{2}$"))] String);

#[derive(JsonSchema)]
#[schemars(transparent, inline)]
struct Cidr(#[schemars(regex(pattern = "^[0-9a-f.:]+/[0-9]+$"))] String);

/// A port of the host that leads to the pod, as CNI's portmap has it
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
struct PortMapping {
    #[schemars(rename = "hostIP")]
    host_ip: Option<String>,
    #[schemars(range(min = 1))]
    host_port: u16,
    #[schemars(range(min = 1))]
    container_port: u16,
    protocol: Protocol,
    /// How many ports, from these on
    range: Option<u16>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// Bits a second, and bits, as CNI's bandwidth has it
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
struct Bandwidth {
    ingress_rate: u64,
    egress_rate: u64,
    ingress_burst: Option<u64>,
    egress_burst: Option<u64>,
}

/// Who may talk to whom
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Policy {
    ingress: Option<Direction>,
    egress: Option<Direction>,
}

/// Rules as `netwire up --allow` and `--deny` take them
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Direction {
    /// Nothing but what is allowed
    isolated: bool,
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
}
