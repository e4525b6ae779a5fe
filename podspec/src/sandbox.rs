//! The record of a pod itself: what there is before a container is in it.

use serde_json::{Map, Value, json};

use crate::container::{Container, SHM};
use crate::error::Error;
use crate::metadata::Metadata;
use crate::network::{self, Port};
use crate::resources::{self, Resources};
use crate::spec::Spec;
use crate::volumes::Volume;

/// A pod, read.
pub(crate) struct Sandbox<'a> {
    pub(crate) metadata: &'a Metadata,
    pub(crate) spec: &'a Spec<'a>,
    /// The init containers, in their order.
    pub(crate) first: Vec<Container>,
    /// And those that run together then.
    pub(crate) together: Vec<Container>,
    pub(crate) volumes: &'a [Volume],
}

impl Sandbox<'_> {
    /// # Errors
    /// Two containers want one port of the node.
    pub(crate) fn to_json(&self) -> Result<Value, Error> {
        let mut record = Map::new();
        record.insert("ociVersion".into(), record::OCI_VERSION.into());
        record.insert("id".into(), self.metadata.name.as_str().into());
        if let Some(hostname) = &self.spec.hostname {
            record.insert("hostname".into(), hostname.as_str().into());
        }
        let annotations = self.metadata.all();
        if !annotations.is_empty() {
            record.insert("annotations".into(), annotations.into());
        }
        if !self.spec.aliases.is_empty() {
            record.insert("hostAliases".into(), self.spec.aliases.clone().into());
        }
        record.insert("linux".into(), self.linux());
        record.insert("podspec".into(), self.own()?);
        Ok(record.into())
    }

    fn linux(&self) -> Value {
        let mut linux = Map::new();
        linux.insert("namespaces".into(), self.spec.namespaces().into());
        let resources = resources::pod(&of(&self.together), &of(&self.first));
        if let Some(resources) = resources.to_oci() {
            linux.insert("resources".into(), resources);
        }
        linux.into()
    }

    /// The key `podspec`: what only whoever runs the pod needs.
    fn own(&self) -> Result<Value, Error> {
        let spec = self.spec;
        let every: Vec<&Resources> = of(&self.first)
            .into_iter()
            .chain(of(&self.together))
            .collect();
        let mut own = json!({
            "kind": "pod",
            "namespace": self.metadata.namespace,
            "labels": self.metadata.labels,
            "restartPolicy": spec.restart,
            "terminationGracePeriodSeconds": spec.grace,
            "qosClass": resources::qos_class(&every),
            "network": if spec.host_network { "NODE" } else { "POD" },
            "pid": spec.pid(),
            "dns": spec.dns.to_json(),
            "publish": self.publish()?,
            "mounts": self.mounts(),
            "initContainers": names(&self.first),
            "containers": names(&self.together),
        });
        if let Some(node) = spec.node_name {
            own["nodeName"] = node.into();
        }
        if !spec.node_selector.is_empty() {
            // As a list: names of labels have dots, which a key of --get cannot have.
            let labels = spec.node_selector.iter();
            let labels =
                labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
            own["nodeSelector"] = labels.collect::<Vec<_>>().into();
        }
        Ok(own)
    }

    /// Ports of the node that lead into the pod; where the node's network is the pod's, they are there without.
    fn publish(&self) -> Result<Vec<String>, Error> {
        let ports: Vec<&Port> = self
            .together
            .iter()
            .flat_map(|one| &one.published)
            .collect();
        network::check_published(&ports)?;
        Ok(match self.spec.host_network {
            true => Vec::new(),
            false => ports.into_iter().map(Port::publish).collect(),
        })
    }

    /// The volumes, and the pod's own /dev/shm.
    fn mounts(&self) -> Vec<String> {
        let shm = (!self.spec.host_ipc).then(|| {
            format!("type=tmpfs,target=/{SHM},tmpfs-size=64m,tmpfs-mode=1777,nosuid,nodev,noexec")
        });
        let volumes = self.volumes.iter().map(|volume| volume.mount.clone());
        shm.into_iter().chain(volumes).collect()
    }
}

fn of(containers: &[Container]) -> Vec<&Resources> {
    containers.iter().map(|one| &one.resources).collect()
}

fn names(containers: &[Container]) -> Vec<&str> {
    containers.iter().map(|one| one.name.as_str()).collect()
}
