//! Services as they are read: lines of our own JSON, or what `kubectl get services,endpointslices -o json` prints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::definition::{Port, Service};
use super::endpoint::Endpoint;
use super::name::Name;
use crate::error::Error;
use crate::publish::Protocol;

/// The label of a slice that tells whose it is.
const OF_SERVICE: &str = "kubernetes.io/service-name";
/// How long a client keeps its endpoint where that is not said.
const THREE_HOURS: u32 = 10_800;

/// An object of Kubernetes, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Object {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    items: Vec<Object>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    endpoints: Option<Vec<SliceEndpoint>>,
    #[serde(default)]
    ports: Option<Vec<SlicePort>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    r#type: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalIPs")]
    external_ips: Option<Vec<IpAddr>>,
    ports: Option<Vec<SpecPort>>,
    session_affinity: Option<String>,
    session_affinity_config: Option<AffinityConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecPort {
    name: Option<String>,
    port: u16,
    protocol: Option<String>,
    node_port: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AffinityConfig {
    #[serde(rename = "clientIP")]
    client_ip: Option<ClientIp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientIp {
    timeout_seconds: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    load_balancer: LoadBalancer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    ingress: Option<Vec<Ingress>>,
}

#[derive(Debug, Deserialize)]
struct Ingress {
    ip: Option<IpAddr>,
}

#[derive(Debug, Deserialize)]
struct SliceEndpoint {
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Conditions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct SlicePort {
    name: Option<String>,
    port: Option<u16>,
    protocol: Option<String>,
}

/// Services, and slices of endpoints by the name of their service.
#[derive(Debug, Default)]
struct Found {
    services: Vec<Service>,
    slices: BTreeMap<Name, Vec<Object>>,
}

/// What is read: services with what leads to them, and slices whose service is not among it.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) services: Vec<Service>,
    /// Endpoints of services that are to be found elsewhere.
    pub(crate) slices: BTreeMap<Name, Slices>,
}

/// The endpoints of one service.
#[derive(Debug)]
pub(crate) struct Slices(Vec<Object>);

impl Slices {
    /// Makes them the endpoints of `service`.
    pub(crate) fn put_into(&self, service: &mut Service) {
        join(service, &self.0);
    }
}

/// Every service in `text`, any number of documents one after the other.
///
/// # Errors
/// It is something else.
pub(crate) fn read(text: &[u8]) -> Result<Input, Error> {
    let mut found = Found::default();
    // Most of what is read in great numbers are lines of our own.
    let is_ours = text.starts_with(b"{\"name\":");
    if is_ours {
        for service in serde_json::Deserializer::from_slice(text).into_iter::<Service>() {
            found.services.push(service.map_err(bad)?);
        }
    } else {
        for document in serde_json::Deserializer::from_slice(text).into_iter::<serde_json::Value>()
        {
            let document = document.map_err(bad)?;
            match document.get("kind") {
                Some(_) => found.take(serde_json::from_value(document).map_err(bad)?)?,
                None => found
                    .services
                    .push(serde_json::from_value(document).map_err(bad)?),
            }
        }
    }
    let Found {
        mut services,
        mut slices,
    } = found;
    for service in &mut services {
        if let Some(slices) = slices.remove(&service.name) {
            join(service, &slices);
        }
    }
    if services.is_empty() && slices.is_empty() {
        return Err(Error::usage(
            "stdin: no service (of ours, or a Service of Kubernetes)",
        ));
    }
    let slices = slices
        .into_iter()
        .map(|(name, slices)| (name, Slices(slices)))
        .collect();
    Ok(Input { services, slices })
}

fn bad(why: impl std::fmt::Display) -> Error {
    Error::usage(format!("stdin: {why}"))
}

impl Found {
    fn take(&mut self, object: Object) -> Result<(), Error> {
        match object.kind.as_str() {
            "Service" => {
                if let Some(service) = service(&object)? {
                    self.services.push(service);
                }
            }
            "EndpointSlice" => {
                let labels = object.metadata.labels.as_ref();
                let of = labels.and_then(|labels| labels.get(OF_SERVICE));
                let of = of.ok_or_else(|| {
                    bad(format!(
                        "EndpointSlice {:?}: no label {OF_SERVICE}",
                        object.metadata.name
                    ))
                })?;
                let name = name_of(&object, of)?;
                self.slices.entry(name).or_default().push(object);
            }
            "List" | "ServiceList" | "EndpointSliceList" => {
                let kind = object
                    .kind
                    .strip_suffix("List")
                    .unwrap_or_default()
                    .to_owned();
                for mut item in object.items {
                    if item.kind.is_empty() {
                        item.kind.clone_from(&kind);
                    }
                    self.take(item)?;
                }
            }
            kind => {
                return Err(bad(format!(
                    "a {kind:?} is neither Service, EndpointSlice nor List"
                )));
            }
        }
        Ok(())
    }
}

fn name_of(object: &Object, name: &str) -> Result<Name, Error> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
    format!("{namespace}/{name}").parse().map_err(bad)
}

/// None: it has no address, so there is nothing to do for it.
fn service(object: &Object) -> Result<Option<Service>, Error> {
    let (name, spec) = (name_of(object, &object.metadata.name)?, &object.spec);
    let one = spec.cluster_ip.iter().cloned().collect();
    let all = spec
        .cluster_ips
        .clone()
        .filter(|all| !all.is_empty())
        .unwrap_or(one);
    if spec.r#type == "ExternalName" || all.iter().all(|ip| ip.is_empty() || ip == "None") {
        return Ok(None);
    }
    let vips = all.iter().map(|ip| {
        ip.parse()
            .map_err(|_| bad(format!("service {name}: {ip:?} is no IP address")))
    });
    let ingress = object.status.load_balancer.ingress.iter().flatten();
    let external = spec.external_ips.iter().flatten().copied();
    let external = external.chain(ingress.filter_map(|one| one.ip)).collect();
    let ports = spec.ports.iter().flatten().map(|port| {
        Ok(Port {
            name: port.name.clone().filter(|name| !name.is_empty()),
            port: port.port,
            protocol: protocol(port.protocol.as_deref())?,
            target: None,
            node: port.node_port.filter(|&node| node > 0),
            to: Vec::new(),
        })
    });
    let config = spec.session_affinity_config.as_ref();
    let seconds = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    let keeps = spec.session_affinity.as_deref() == Some("ClientIP");
    Ok(Some(Service {
        vips: vips.collect::<Result<_, _>>()?,
        external,
        ports: ports.collect::<Result<_, Error>>()?,
        affinity: keeps.then(|| seconds.unwrap_or(THREE_HOURS)),
        deny_from: Vec::new(),
        elsewhere: Vec::new(),
        name,
    }))
}

fn protocol(text: Option<&str>) -> Result<Protocol, Error> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or("TCP");
    text.to_ascii_lowercase().parse().map_err(bad)
}

/// The endpoints that are ready, port by port: a slice's port is the service's of the same name.
fn join(service: &mut Service, slices: &[Object]) {
    let families = [true, false].map(|ipv4| service.vips.iter().any(|ip| ip.is_ipv4() == ipv4));
    for port in &mut service.ports {
        port.to.clear();
        for slice in slices {
            let is_its = |of: &&SlicePort| {
                of.name.as_deref().filter(|name| !name.is_empty()) == port.name.as_deref()
                    && protocol(of.protocol.as_deref()).is_ok_and(|of| of == port.protocol)
            };
            let Some(number) = slice
                .ports
                .iter()
                .flatten()
                .find(is_its)
                .and_then(|of| of.port)
            else {
                continue;
            };
            let ready = slice
                .endpoints
                .iter()
                .flatten()
                .filter(|one| one.conditions.ready != Some(false));
            // Names of hosts are for nobody who has only addresses.
            for ip in ready.filter_map(|one| one.addresses.first()?.parse::<IpAddr>().ok()) {
                let endpoint = Endpoint {
                    ip,
                    port: number,
                    weight: 1,
                };
                if families[usize::from(ip.is_ipv6())]
                    && !port.to.iter().any(|one| one.is_at(endpoint))
                {
                    port.to.push(endpoint);
                }
            }
        }
    }
}
