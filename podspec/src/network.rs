//! Ports, names and name servers of a pod.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::field::Field;
use crate::names;

/// What a resolver takes; Kubernetes' own limits.
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;

/// A port of a container that a port of the node leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    host_ip: Option<IpAddr>,
    host: i64,
    container: i64,
    protocol: &'static str,
    pub(crate) path: String,
}

impl Port {
    /// As `netwire up --publish` has it: `8080:80/tcp`.
    pub(crate) fn publish(&self) -> String {
        let host = match self.host_ip {
            Some(IpAddr::V6(ip)) => format!("[{ip}]:"),
            Some(ip) => format!("{ip}:"),
            None => String::new(),
        };
        let protocol = self.protocol.to_lowercase();
        format!("{host}{}:{}/{protocol}", self.host, self.container)
    }

    fn takes_the_same(&self, other: &Self) -> bool {
        let is_any = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
        let ip = self.host_ip == other.host_ip || is_any(self.host_ip) || is_any(other.host_ip);
        ip && self.host == other.host && self.protocol == other.protocol
    }
}

/// `ports` of a container: those with a hostPort, and all of them as they are recorded.
pub(crate) fn ports(
    fields: &[Field<'_>],
    host_network: bool,
) -> Result<(Vec<Port>, Vec<Value>), Error> {
    let mut published = Vec::new();
    let mut all = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for field in fields {
        let mut object = field.object()?;
        let container = object.required("containerPort")?.between(1, 65535)?;
        let protocol = object.get("protocol");
        let protocol = protocol.map_or(Ok("TCP"), |field| field.word(&["TCP", "UDP", "SCTP"]))?;
        let mut entry = Map::new();
        if let Some(name) = object.get("name") {
            let text = port_name(&name)?;
            if seen.contains(&text) {
                return Err(Error::duplicate(&name.path, text));
            }
            seen.push(text);
            entry.insert("name".into(), text.into());
        }
        entry.insert("containerPort".into(), container.into());
        entry.insert("protocol".into(), protocol.into());
        let host_ip = object.get("hostIP").filter(|field| field.value != "");
        let host_ip = host_ip.as_ref().map(address).transpose()?;
        if let Some(field) = object.get("hostPort") {
            // 0 is Go's way of saying nothing
            let host = field.between(0, 65535)?;
            if host_network && host != 0 && host != container {
                return Err(field.invalid("must match `containerPort` when `hostNetwork` is true"));
            }
            if host != 0 {
                entry.insert("hostPort".into(), host.into());
                published.push(Port {
                    host_ip,
                    host,
                    container,
                    protocol,
                    path: field.path,
                });
            }
        }
        object.finish()?;
        all.push(entry.into());
    }
    Ok((published, all))
}

/// No two containers of a pod can have one port of the node.
pub(crate) fn check_published(ports: &[&Port]) -> Result<(), Error> {
    for (at, port) in ports.iter().enumerate() {
        if ports[..at]
            .iter()
            .any(|earlier| earlier.takes_the_same(port))
        {
            return Err(Error::duplicate(&port.path, &port.publish()));
        }
    }
    Ok(())
}

fn port_name<'a>(field: &Field<'a>) -> Result<&'a str, Error> {
    let name = field.string()?;
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_service = name.len() <= 15
        && name.chars().all(is_fine)
        && name.chars().any(|c| c.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    match is_service {
        true => Ok(name),
        false => Err(field.invalid(
            "must contain only lower case letters, digits and '-', at least one letter, 15 at most",
        )),
    }
}

fn address(field: &Field<'_>) -> Result<IpAddr, Error> {
    let text = field.string()?;
    text.parse()
        .map_err(|_| field.invalid("must be a valid IP address"))
}

/// `spec.hostAliases`, as `mkbox up --etc` reads them.
pub(crate) fn host_aliases(fields: &[Field<'_>]) -> Result<Vec<Value>, Error> {
    let alias = |field: &Field<'_>| {
        let mut object = field.object()?;
        let ip = address(&object.required("ip")?)?;
        let names = object.list("hostnames")?;
        let names: Result<Vec<&str>, Error> = names.iter().map(names::subdomain).collect();
        object.finish()?;
        Ok(json!({"ip": ip.to_string(), "hostnames": names?}))
    };
    fields.iter().map(alias).collect()
}

/// `spec.dnsPolicy` and `spec.dnsConfig`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Dns {
    pub(crate) policy: &'static str,
    nameservers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

impl Dns {
    pub(crate) fn read(
        policy: Option<&Field<'_>>,
        config: Option<&Field<'_>>,
        host_network: bool,
    ) -> Result<Self, Error> {
        const POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
        let policy = policy.map_or(Ok("ClusterFirst"), |field| field.word(&POLICIES))?;
        let mut found = Self {
            // What Kubernetes makes of them.
            policy: match policy {
                "ClusterFirst" if host_network => "Default",
                "ClusterFirstWithHostNet" => "ClusterFirst",
                policy => policy,
            },
            ..Self::default()
        };
        if let Some(field) = config {
            found.config(field)?;
        }
        if found.policy == "None" && found.nameservers.is_empty() {
            return Err(Error::Input(
                "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None".into(),
            ));
        }
        Ok(found)
    }

    fn config(&mut self, field: &Field<'_>) -> Result<(), Error> {
        let mut object = field.object()?;
        let servers = object.list("nameservers")?;
        for server in &servers {
            self.nameservers.push(address(server)?.to_string());
        }
        if self.nameservers.len() > MAX_NAMESERVERS {
            return Err(field.invalid("must not have more than 3 nameservers"));
        }
        for search in &object.list("searches")? {
            let text = search.string()?;
            // A trailing dot is a full name's; "." is the root alone.
            let is_word = !text.is_empty()
                && text.len() <= 253
                && text
                    .chars()
                    .all(|c| c.is_ascii_graphic() && c != '#' && c != ';');
            if !is_word {
                return Err(search.invalid("must be a domain"));
            }
            self.searches.push(text.to_owned());
        }
        if self.searches.len() > MAX_SEARCHES {
            return Err(field.invalid("must not have more than 32 search paths"));
        }
        for option in &object.list("options")? {
            let mut object = option.object()?;
            let name = object.required("name")?;
            let value = object.string("value")?;
            let text = match value {
                Some(value) => format!("{}:{value}", name.string()?),
                None => name.string()?.to_owned(),
            };
            if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
                return Err(name.invalid("must be one word"));
            }
            self.options.push(text);
            object.finish()?;
        }
        object.finish()
    }

    /// As the pod's record keeps it, until it is known what the node has.
    pub(crate) fn to_json(&self) -> Value {
        json!({"policy": self.policy, "nameservers": self.nameservers, "search": self.searches, "options": self.options})
    }
}
