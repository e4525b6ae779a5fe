//! `spec`, as far as it is about the pod and not about its containers.

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::field::Object;
use crate::metadata::texts;
use crate::names;
use crate::network::{self, Dns};

/// The longest host name of Linux is 64; Kubernetes cuts at 63.
const MAX_HOSTNAME: usize = 63;

/// Seconds, where the manifest says nothing.
const GRACE: i64 = 30;

/// `spec`, as far as it is about the pod itself.
pub(crate) struct Spec<'a> {
    pub(crate) restart: &'static str,
    pub(crate) grace: i64,
    pub(crate) hostname: Option<String>,
    pub(crate) host_network: bool,
    pub(crate) host_ipc: bool,
    pub(crate) host_pid: bool,
    pub(crate) share_pid: bool,
    pub(crate) aliases: Vec<Value>,
    pub(crate) dns: Dns,
    pub(crate) node_name: Option<&'a str>,
    pub(crate) node_selector: Map<String, Value>,
}

impl<'a> Spec<'a> {
    pub(crate) fn read(object: &mut Object<'a>, name: &str) -> Result<Self, Error> {
        const POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
        let restart = object.get("restartPolicy");
        let restart = restart.map_or(Ok("Always"), |field| field.word(&POLICIES))?;
        let grace = object.get("terminationGracePeriodSeconds");
        let grace = grace.map_or(Ok(GRACE), |field| field.between(0, i64::from(i32::MAX)))?;
        let flag =
            |object: &mut Object<'a>, key| object.boolean(key).map(|flag| flag.unwrap_or(false));
        let host_network = flag(object, "hostNetwork")?;
        let host_ipc = flag(object, "hostIPC")?;
        let host_pid = flag(object, "hostPID")?;
        let share_pid = flag(object, "shareProcessNamespace")?;
        if host_pid && share_pid {
            return Err(Error::Input(
                "spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled".into(),
            ));
        }
        let hostname = object.get("hostname").filter(|field| field.value != "");
        let hostname = hostname.map(|field| names::label(&field)).transpose()?;
        let cut: String = name.chars().take(MAX_HOSTNAME).collect();
        let own = hostname
            .unwrap_or_else(|| cut.trim_end_matches(['-', '.']))
            .to_owned();
        let (policy, config) = (object.get("dnsPolicy"), object.get("dnsConfig"));
        let dns = Dns::read(policy.as_ref(), config.as_ref(), host_network)?;
        let node_name = object.get("nodeName").filter(|field| field.value != "");
        let node_selector = object.get("nodeSelector");
        Ok(Self {
            restart,
            grace,
            // With the node's network comes its name, as in Kubernetes.
            hostname: (!host_network).then_some(own),
            host_network,
            host_ipc,
            host_pid,
            share_pid,
            aliases: network::host_aliases(&object.list("hostAliases")?)?,
            dns,
            node_name: node_name
                .map(|field| names::subdomain(&field))
                .transpose()?,
            node_selector: node_selector.map_or(Ok(Map::new()), |field| texts(&field, true))?,
        })
    }

    /// What a pod's own process has: the kinds that its containers share, and its own mounts, in which the volumes are.
    pub(crate) fn namespaces(&self) -> Vec<Value> {
        let kinds = [
            ("network", !self.host_network),
            ("ipc", !self.host_ipc),
            ("uts", !self.host_network),
            ("mount", true),
            ("pid", !self.host_pid),
        ];
        let new = kinds.iter().filter(|(_, is_new)| *is_new);
        new.map(|(kind, _)| json!({"type": kind})).collect()
    }

    /// Which pid namespace a container is in, as the CRI says it.
    pub(crate) fn pid(&self) -> &'static str {
        match (self.host_pid, self.share_pid) {
            (true, _) => "NODE",
            (_, true) => "POD",
            _ => "CONTAINER",
        }
    }
}
