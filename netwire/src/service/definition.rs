//! A service as it is wanted: what it is kept as, read as and shown as in JSON.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::endpoint::{Endpoint, Target, refuses};
use super::name::{Name, is_label};
use crate::cidr::Cidr;
use crate::publish::Protocol;

/// The most that one port of a service may have, each as often as its weight says. There is one chain for each number that
/// occurs, and one element for each.
pub(crate) const MOST_SLOTS: usize = 4096;
/// As Kubernetes has it.
pub(crate) const MOST_SECONDS: u32 = 86_400;

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// Comes first: it is looked for in the log.
    pub(crate) name: Name,
    /// Its cluster addresses, one of a family at most.
    pub(crate) vips: Vec<IpAddr>,
    /// Addresses that lead to it as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) external: Vec<IpAddr>,
    pub(crate) ports: Vec<Port>,
    /// Seconds for which a client keeps its endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) affinity: Option<u32>,
    /// Who is not let in.
    #[serde(default, rename = "denyFrom", skip_serializing_if = "Vec::is_empty")]
    pub(crate) deny_from: Vec<Cidr>,
    /// Of the endpoints, those that are no pods of this machine: found out, not wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) elsewhere: Vec<IpAddr>,
}

/// One port of a service, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Port {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    /// Of the endpoints that say none; None: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<u16>,
    /// Of the machine's own addresses.
    #[serde(default, rename = "nodePort", skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<u16>,
    #[serde(default)]
    pub(crate) to: Vec<Endpoint>,
}

impl Port {
    /// The endpoint that `target` is for this port.
    pub(crate) fn endpoint(&self, target: Target) -> Endpoint {
        Endpoint {
            ip: target.ip,
            port: target.port.or(self.target).unwrap_or(self.port),
            weight: target.weight,
        }
    }

    /// Why both cannot be of one service.
    fn collides_with(&self, other: &Self) -> Option<String> {
        if (other.port, other.protocol) == (self.port, self.protocol) {
            return Some(format!("port {} is given twice", self.label()));
        }
        if let Some(name) = self.name.as_ref().filter(|_| self.name == other.name) {
            return Some(format!("two ports are called {name}"));
        }
        let same = (other.node, other.protocol) == (self.node, self.protocol);
        let node = self.node.filter(|_| same)?;
        Some(format!("two ports have the node port {node}"))
    }

    /// Of one family.
    fn has_too_many(&self, ipv4: bool) -> Option<String> {
        let slots = self.slot_count(ipv4);
        let weights = match slots == self.to.len() {
            true => "",
            false => ", counted by weight",
        };
        (slots > MOST_SLOTS).then(|| {
            let label = self.label();
            format!("port {label}: {slots} endpoints{weights}, {MOST_SLOTS} is the most")
        })
    }

    /// The endpoints of a family, each as often as its weight says.
    pub(crate) fn slots(&self, ipv4: bool) -> Vec<Endpoint> {
        let common = self.common(ipv4);
        self.of_family(ipv4)
            .flat_map(|one| std::iter::repeat_n(*one, usize::from(one.weight / common)))
            .collect()
    }

    /// How many these are.
    pub(crate) fn slot_count(&self, ipv4: bool) -> usize {
        let common = self.common(ipv4);
        self.of_family(ipv4)
            .map(|one| usize::from(one.weight / common))
            .sum()
    }

    fn of_family(&self, ipv4: bool) -> impl Iterator<Item = &Endpoint> {
        self.to.iter().filter(move |one| one.ip.is_ipv4() == ipv4)
    }

    /// What all weights can be divided by.
    fn common(&self, ipv4: bool) -> u16 {
        let mut common = 0;
        for one in self.of_family(ipv4) {
            common = divisor(common, one.weight);
            if common == 1 {
                break;
            }
        }
        common.max(1)
    }

    /// As it is typed: `53/udp`.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.port, self.protocol.name())
    }
}

/// The greatest number that divides both.
fn divisor(one: u16, other: u16) -> u16 {
    if other == 0 {
        one
    } else {
        divisor(other, one % other)
    }
}

impl Service {
    /// All addresses it is reached by.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.vips.iter().chain(&self.external).copied()
    }

    /// Addresses of its endpoints, each once.
    pub(crate) fn endpoints(&self) -> Vec<IpAddr> {
        let mut ips: Vec<IpAddr> = self
            .ports
            .iter()
            .flat_map(|port| port.to.iter().map(|one| one.ip))
            .collect();
        ips.sort_unstable();
        ips.dedup();
        ips
    }

    /// Whether both are wanted to be the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let wanted = |of: &Self| Self {
            elsewhere: Vec::new(),
            ..of.clone()
        };
        wanted(self) == wanted(other)
    }

    /// Why there can be no such service.
    pub(crate) fn check(&self) -> Result<(), String> {
        let bad = |why: String| Err(format!("service {}: {why}", self.name));
        if self.vips.is_empty() || self.ports.is_empty() {
            let what = if self.vips.is_empty() {
                "address"
            } else {
                "port"
            };
            return bad(format!("it has no {what}"));
        }
        let addresses: Vec<IpAddr> = self.addresses().collect();
        if let Some(why) = addresses.iter().copied().find_map(refuses) {
            return bad(why);
        }
        for (at, ip) in addresses.iter().enumerate() {
            if addresses[..at].contains(ip) {
                return bad(format!("{ip} is given twice"));
            }
        }
        let ipv4 = self.vips.iter().filter(|ip| ip.is_ipv4()).count();
        if ipv4 > 1 || self.vips.len() - ipv4 > 1 {
            return bad("two addresses of one family (external ones may be many)".into());
        }
        if self
            .affinity
            .is_some_and(|seconds| seconds == 0 || seconds > MOST_SECONDS)
        {
            return bad(format!("affinity is not in 1..={MOST_SECONDS} seconds"));
        }
        self.ports.iter().enumerate().try_for_each(|(at, port)| {
            let ports = &self.ports[..at];
            self.check_port(port, ports, &addresses)
                .map_err(|why| format!("service {}: {why}", self.name))
        })
    }

    fn check_port(&self, port: &Port, others: &[Port], addresses: &[IpAddr]) -> Result<(), String> {
        let label = port.label();
        if [Some(port.port), port.target, port.node].contains(&Some(0)) {
            return Err(format!("port {label}: 0 is no port"));
        }
        if let Some(name) = port.name.as_deref().filter(|name| !is_label(name)) {
            return Err(format!(
                "{name:?} is no name of a port (lower-case letters, digits and '-')"
            ));
        }
        let collides = others.iter().find_map(|other| port.collides_with(other));
        collides.map_or(Ok(()), Err)?;
        let mut seen = HashSet::new();
        for one in &port.to {
            if !seen.insert((one.ip, one.port)) {
                let address = one.address();
                return Err(format!("port {label}: endpoint {address} is given twice"));
            }
            self.check_endpoint(one.ip, &label, addresses)?;
        }
        [true, false]
            .into_iter()
            .find_map(|ipv4| port.has_too_many(ipv4))
            .map_or(Ok(()), Err)
    }

    fn check_endpoint(&self, ip: IpAddr, label: &str, addresses: &[IpAddr]) -> Result<(), String> {
        if let Some(why) = refuses(ip) {
            return Err(format!("port {label}: {why}"));
        }
        if addresses.contains(&ip) {
            return Err(format!(
                "{ip} is an endpoint and the address of the service"
            ));
        }
        let mut vips = self.vips.iter();
        match vips.any(|vip| vip.is_ipv4() == ip.is_ipv4()) {
            true => Ok(()),
            false => Err(format!(
                "endpoint {ip}: no address of the service is of its family"
            )),
        }
    }

    /// What is different about `wanted`, in a few words.
    pub(crate) fn difference(&self, wanted: &Self) -> String {
        let list = |ips: &[IpAddr]| -> String {
            let ips: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
            ips.join(", ")
        };
        let labels = |of: &Self| -> Vec<String> { of.ports.iter().map(Port::label).collect() };
        if self.vips != wanted.vips {
            return format!(
                "its address is {}, not {}",
                list(&self.vips),
                list(&wanted.vips)
            );
        }
        if labels(self) != labels(wanted) {
            return format!(
                "its ports are {}, not {}",
                labels(self).join(", "),
                labels(wanted).join(", ")
            );
        }
        if self.endpoints() != wanted.endpoints() {
            return "its endpoints are others (netwire service set)".into();
        }
        if self.affinity != wanted.affinity {
            return "its affinity is another".into();
        }
        "it differs in detail (netwire service show --json)".into()
    }
}

/// Types that JSON has as text.
macro_rules! text {
    ($($kind:ty)*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(std::marker::PhantomData))
            }
        }
    )*};
}

text!(Name Endpoint Cidr);

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(std::marker::PhantomData))
    }
}

/// Reads one.
struct Text<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests;
