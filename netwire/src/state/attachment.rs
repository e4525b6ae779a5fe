//! One interface of a pod, and how the record has it.

use std::net::IpAddr;

use record::Id;
use serde_json::{Map, Value};

use crate::antispoof::When;
use crate::cidr::Cidr;
use crate::device::Moved;
use crate::lease::Place;
use crate::link::Mac;
use crate::mode::Mode;
use crate::plan::{Assigned, Ifname, Net, Wanted};
use crate::policy::Policy;
use crate::publish::Publish;
use crate::rate::Rate;
use crate::subnet::Subnet;

/// One interface of a pod, as `netwire.attachments` has it; CNI's word for it.
///
/// The name of the host's end is not among it: that is derived from the id and the interface, whatever a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) ifname: Ifname,
    /// How it is connected.
    pub(crate) mode: Mode,
    /// One of a family, none of lo; without an address: about to be reserved when this was written.
    pub(crate) nets: Vec<Net>,
    /// Where its leases are.
    pub(crate) leases: Place,
    /// The number of the host's end; None: it was not made yet.
    pub(crate) ifindex: Option<u32>,
    /// What it sends to the world has the host's address.
    pub(crate) nat: bool,
    /// Except to these, and to its own subnet.
    pub(crate) nat_except: Vec<Cidr>,
    /// Of the host, that lead to it.
    pub(crate) ports: Vec<Publish>,
    /// How much may pass, each way.
    pub(crate) rate: Option<Rate>,
    /// Of the pod's end; None: the derived one.
    pub(crate) mac: Option<Mac>,
    /// It cannot pass for another.
    pub(crate) antispoof: bool,
    /// The table sees to that, as the interface's own switch does not decide.
    pub(crate) loose: bool,
    /// Who may talk to whom.
    pub(crate) policy: Policy,
}

impl Attachment {
    /// What is about to be made.
    pub(crate) fn intended(wanted: &Wanted) -> Self {
        Self {
            ifname: wanted.ifname.clone(),
            mode: wanted.mode.clone(),
            nets: wanted
                .nets
                .iter()
                .map(|net| Net {
                    address: None,
                    ..*net
                })
                .collect(),
            leases: wanted.leases.clone(),
            ifindex: None,
            nat: wanted.nat,
            nat_except: wanted.nat_except.clone(),
            ports: wanted.ports.clone(),
            rate: wanted.rate,
            mac: wanted.mac,
            antispoof: wanted.antispoof != When::Never,
            loose: wanted.loose,
            policy: wanted.policy.clone(),
        }
    }

    /// The same, with the addresses that were reserved.
    pub(crate) fn assigned(wanted: &Wanted, nets: &[Assigned]) -> Self {
        let net = |net: &Assigned| Net {
            subnet: net.subnet,
            address: Some(net.address),
        };
        Self {
            nets: nets.iter().map(net).collect(),
            ..Self::intended(wanted)
        }
    }

    /// An interface of the host that is moved in as `ifname`.
    pub(crate) fn of_device(ifname: Ifname, moved: Moved) -> Self {
        Self {
            ifname,
            mode: Mode::Device(moved),
            nets: Vec::new(),
            leases: Place::default(),
            ifindex: None,
            nat: false,
            nat_except: Vec::new(),
            ports: Vec::new(),
            rate: None,
            mac: None,
            antispoof: false,
            loose: false,
            policy: Policy::default(),
        }
    }

    /// The name of the host's end.
    pub(crate) fn host(&self, id: &Id) -> String {
        record::names::veth(id, self.ifname.as_ref())
    }

    /// Whether it has an address of IPv4, or of IPv6.
    pub(crate) fn has(&self, ipv4: bool) -> bool {
        self.nets.iter().any(|net| net.subnet.is_ipv4() == ipv4)
    }

    /// The addresses that it has.
    pub(crate) fn assigned_nets(&self) -> Vec<Assigned> {
        let assigned = |net: &Net| {
            let subnet = net.subnet;
            net.address.map(|address| Assigned { subnet, address })
        };
        self.nets.iter().filter_map(assigned).collect()
    }

    /// Whether anything of it is in our tables of nf_tables.
    pub(crate) fn is_in_table(&self) -> bool {
        self.is_forwarded_otherwise() || self.needs_filter()
    }

    /// Whether something else than usual is to be done to its packets.
    pub(crate) fn is_forwarded_otherwise(&self) -> bool {
        self.nat || !self.ports.is_empty() || !self.policy.is_open()
    }

    /// Whether a table has to keep it from passing for another: IPv6 has no rp_filter, and a bridge none at all.
    pub(crate) fn needs_filter(&self) -> bool {
        let ipv6 = !self.nets.iter().all(|net| net.subnet.is_ipv4());
        self.loose || (self.antispoof && ipv6) || self.mode.port().is_some()
    }

    /// Whether it is there for no other reason.
    pub(crate) fn is_only_filtered(&self) -> bool {
        self.needs_filter() && !self.is_forwarded_otherwise()
    }

    /// The hardware address of the pod's end.
    pub(crate) fn pod_mac(&self, id: &Id) -> Mac {
        let derived = || Mac(record::names::pod_mac(id, self.ifname.as_ref()));
        self.mac.unwrap_or_else(derived)
    }

    pub(crate) fn to_json(&self, id: &Id) -> Value {
        let mut object = Map::new();
        object.insert("ifname".into(), self.ifname.as_ref().into());
        self.mode.add_to(&mut object);
        if self.mode.is_inside() {
            return object.into();
        }
        object.insert("host".into(), self.host(id).into());
        if let Some(ifindex) = self.ifindex {
            object.insert("ifindex".into(), ifindex.into());
        }
        for net in &self.nets {
            let [subnet, address, gateway] = keys(net.subnet.is_ipv4());
            object.insert(subnet.into(), net.subnet.to_string().into());
            if !net.subnet.has_usual_gateway() {
                object.insert(gateway.into(), net.subnet.gateway().to_string().into());
            }
            if let Some(is) = net.address {
                object.insert(address.into(), is.to_string().into());
            }
        }
        self.leases.add_to(&mut object);
        if self.nat {
            object.insert("nat".into(), true.into());
        }
        if !self.nat_except.is_empty() {
            let ranges = self.nat_except.iter().map(|range| range.to_string().into());
            object.insert("natExcept".into(), Value::Array(ranges.collect()));
        }
        if !self.ports.is_empty() {
            let ports = self.ports.iter().map(|publish| publish.to_json());
            object.insert("portMappings".into(), Value::Array(ports.collect()));
        }
        if let Some(rate) = self.rate {
            object.insert("bandwidth".into(), rate.to_json());
        }
        if let Some(mac) = self.mac {
            object.insert("mac".into(), mac.to_string().into());
        }
        if !self.policy.is_open() {
            object.insert("policy".into(), self.policy.to_json());
        }
        object.insert("antispoof".into(), self.antispoof.into());
        if self.loose {
            object.insert("loose".into(), true.into());
        }
        object.into()
    }

    pub(super) fn from_json(value: &Value) -> Result<Self, String> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let mode = Mode::from_json(value)?;
        let mut nets = Vec::new();
        for family in [keys(true), keys(false)] {
            if !mode.is_inside() && (nets.is_empty() || value.get(family[0]).is_some()) {
                nets.extend(net_from_json(value, family)?);
            }
        }
        let list = |key: &str| {
            let list = value.get(key).and_then(Value::as_array);
            list.map(Vec::as_slice).unwrap_or_default()
        };
        let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
        let range = |range: &Value| match range.as_str().unwrap_or_default().parse() {
            Ok(range) => Ok(range),
            Err(why) => Err(format!("natExcept: {why}")),
        };
        let port = |port| Publish::from_json(port).map_err(|why| format!("portMappings: {why}"));
        Ok(Self {
            ifname: match mode {
                Mode::Loopback => Ifname::loopback(),
                _ => text("ifname")
                    .unwrap_or_default()
                    .parse()
                    .map_err(|why| format!("ifname: {why}"))?,
            },
            mode,
            nets,
            leases: Place::from_json(value)?,
            ifindex: value
                .get("ifindex")
                .and_then(Value::as_u64)
                .and_then(|index| u32::try_from(index).ok()),
            nat: flag("nat"),
            rate: value.get("bandwidth").map(Rate::from_json).transpose()?,
            antispoof: flag("antispoof"),
            loose: flag("loose"),
            mac: match text("mac") {
                Some(mac) => Some(mac.parse().map_err(|why| format!("mac: {why}"))?),
                None => None,
            },
            policy: match value.get("policy") {
                Some(policy) => {
                    Policy::from_json(policy).map_err(|why| format!("policy: {why}"))?
                }
                None => Policy::default(),
            },
            nat_except: list("natExcept")
                .iter()
                .map(range)
                .collect::<Result<_, _>>()?,
            ports: list("portMappings")
                .iter()
                .map(port)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// What the subnet, the address and the gateway of a family are called in the record.
fn keys(ipv4: bool) -> [&'static str; 3] {
    if ipv4 {
        ["subnet", "address", "gateway"]
    } else {
        ["subnet6", "address6", "gateway6"]
    }
}

/// None: it is of the other family alone.
fn net_from_json(
    value: &Value,
    [subnet_key, address_key, gateway_key]: [&str; 3],
) -> Result<Option<Net>, String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if subnet_key == "subnet" && value.get("subnet6").is_some() && value.get("subnet").is_none() {
        return Ok(None);
    }
    let subnet: Subnet = text(subnet_key)
        .unwrap_or_default()
        .parse()
        .map_err(|why| format!("{subnet_key}: {why}"))?;
    if subnet.is_ipv4() != (subnet_key == "subnet") {
        return Err(format!("{subnet_key}: {subnet} is of the other family"));
    }
    let subnet = match text(gateway_key).map(str::parse) {
        None => subnet,
        Some(Ok(gateway)) => subnet
            .with_gateway(gateway)
            .map_err(|why| format!("{gateway_key}: {why}"))?,
        Some(Err(_)) => return Err(format!("{gateway_key}: no IP address")),
    };
    let address = text(address_key).map(|address| match address.parse() {
        Ok(address) => subnet.refuses(address).map_or(Ok(address), Err),
        Err(_) => Err(format!("{address:?} is no IP address")),
    });
    let address: Option<IpAddr> = address
        .transpose()
        .map_err(|why| format!("{address_key}: {why}"))?;
    Ok(Some(Net { subnet, address }))
}
#[cfg(test)]
mod tests;
