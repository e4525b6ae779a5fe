//! A manifest: which pods are in it, and the records of each.

use serde_json::{Map, Value, json};

use crate::container::{Container, Pod, SHM};
use crate::error::Error;
use crate::field::{Field, Object};
use crate::names;
use crate::network::{self, Dns};
use crate::resources;
use crate::security::Security;
use crate::volumes;

/// The longest host name of Linux is 64; Kubernetes cuts at 63.
const MAX_HOSTNAME: usize = 63;

/// Seconds, where the manifest says nothing.
const GRACE: i64 = 30;

/// The records of every pod in `documents`: its own first, then its containers' in the order in which they start.
///
/// # Errors
/// The first field that is wrong or not understood.
pub(crate) fn records(documents: &[Value], run_dir: &str) -> Result<Vec<Value>, Error> {
    let mut found = Vec::new();
    for (at, document) in documents.iter().enumerate() {
        let read = manifest(&Field::root(document), run_dir, &mut found);
        // Which of several documents it was.
        read.map_err(|error| match (error, documents.len()) {
            (Error::Input(text), 2..) => Error::Input(format!("document {}: {text}", at + 1)),
            (error, _) => error,
        })?;
    }
    if found.is_empty() {
        return Err(Error::Input("no manifest".into()));
    }
    let mut names: Vec<&Value> = Vec::new();
    for record in found
        .iter()
        .filter(|record| record["podspec"]["kind"] == "pod")
    {
        if names.contains(&&record["id"]) {
            let name = record["id"].as_str().unwrap_or_default();
            return Err(Error::duplicate("metadata.name", name));
        }
        names.push(&record["id"]);
    }
    Ok(found)
}

fn manifest(field: &Field<'_>, run_dir: &str, found: &mut Vec<Value>) -> Result<(), Error> {
    let mut object = field.object()?;
    let version = object.required("apiVersion")?;
    version.word(&["v1"])?;
    let kind = object.required("kind")?;
    match kind.word(&["Pod", "List", "PodList"])? {
        "Pod" => {
            let metadata = object.required("metadata")?;
            let metadata = Metadata::read(&metadata)?;
            let spec = object.required("spec")?;
            object.finish()?;
            pod(&metadata, &spec, run_dir, found)
        }
        list => {
            // A PodList's items may leave out what they are, as kubectl's own output does not.
            let items = object.list("items")?;
            if let Some(field) = object.get("metadata") {
                let mut metadata = field.object()?;
                metadata.string("resourceVersion")?;
                metadata.finish()?;
            }
            object.finish()?;
            for item in &items {
                let is_list = item.value.get("kind").is_some_and(|kind| kind != "Pod");
                if is_list {
                    return Err(Error::Input(format!(
                        "{}.kind: only Pods are understood in a {list}",
                        item.path
                    )));
                }
                manifest(item, run_dir, found)?;
            }
            Ok(())
        }
    }
}

/// `metadata`, as far as a pod has a use for it.
struct Metadata {
    name: String,
    namespace: String,
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
}

impl Metadata {
    fn read(field: &Field<'_>) -> Result<Self, Error> {
        let mut object = field.object()?;
        let name = object.required("name")?;
        let name = names::pod(&name)?.to_owned();
        let namespace = object.get("namespace");
        let namespace = namespace.map_or(Ok("default"), |field| names::label(&field))?;
        let labels = object.get("labels");
        let labels = labels.map_or(Ok(Map::new()), |field| texts(&field, true))?;
        let annotations = object.get("annotations");
        let annotations = annotations.map_or(Ok(Map::new()), |field| texts(&field, false))?;
        object.finish()?;
        Ok(Self {
            name,
            namespace: namespace.to_owned(),
            labels,
            annotations,
        })
    }

    /// OCI knows annotations only: labels are among them, and win.
    fn all(&self) -> Map<String, Value> {
        let mut all = self.labels.clone();
        for (key, value) in &self.annotations {
            all.entry(key.clone()).or_insert_with(|| value.clone());
        }
        all
    }
}

/// A map of strings, of which those of labels are short.
fn texts(field: &Field<'_>, are_labels: bool) -> Result<Map<String, Value>, Error> {
    let mut found = Map::new();
    for (key, value) in field.entries()? {
        if !names::qualified(key) {
            return Err(Error::invalid(
                &field.path,
                key,
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                 alphanumeric character, with an optional DNS subdomain prefix and '/'",
            ));
        }
        let text = value.string()?;
        if are_labels && !names::is_label_value(text) {
            return Err(value.invalid(
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
                 and must start and end with an alphanumeric character, 63 at most",
            ));
        }
        found.insert(key.to_owned(), text.into());
    }
    Ok(found)
}

/// `spec`, as far as it is about the pod itself.
struct Spec<'a> {
    restart: &'static str,
    grace: i64,
    hostname: Option<String>,
    host_network: bool,
    host_ipc: bool,
    host_pid: bool,
    share_pid: bool,
    aliases: Vec<Value>,
    dns: Dns,
    node_name: Option<&'a str>,
    node_selector: Map<String, Value>,
}

impl<'a> Spec<'a> {
    fn read(object: &mut Object<'a>, name: &str) -> Result<Self, Error> {
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
            restart: POLICIES
                .iter()
                .find(|word| **word == restart)
                .copied()
                .unwrap_or_default(),
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
    fn namespaces(&self) -> Vec<Value> {
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
    fn pid(&self) -> &'static str {
        match (self.host_pid, self.share_pid) {
            (true, _) => "NODE",
            (_, true) => "POD",
            _ => "CONTAINER",
        }
    }
}

fn pod(
    metadata: &Metadata,
    field: &Field<'_>,
    run_dir: &str,
    found: &mut Vec<Value>,
) -> Result<(), Error> {
    let mut object = field.object()?;
    let spec = Spec::read(&mut object, &metadata.name)?;
    let volumes = volumes::read(&object.list("volumes")?)?;
    let security = Security::of_pod(object.get("securityContext").as_ref())?;
    object.only("schedulerName", &json!("default-scheduler"))?;
    object.only("enableServiceLinks", &json!(false))?;
    object.only("automountServiceAccountToken", &json!(false))?;
    object.only("os", &json!({"name": "linux"}))?;
    let first = object.list("initContainers")?;
    let together = object.required("containers")?;
    let (place, list) = (together.path.clone(), together.list()?);
    if list.is_empty() {
        return Err(Error::required(&place));
    }
    object.finish()?;
    let directory = format!("{run_dir}/{}/volumes", metadata.name);
    let of = Pod {
        name: &metadata.name,
        hostname: spec.hostname.as_deref(),
        host_network: spec.host_network,
        host_ipc: spec.host_ipc,
        security,
        volumes: &volumes,
        directory: &directory,
    };
    let read = |fields: &[Field<'_>], kind: &str| -> Result<Vec<Container>, Error> {
        fields
            .iter()
            .map(|field| Container::read(field, kind, &of))
            .collect()
    };
    let (first, together) = (read(&first, "initContainer")?, read(&list, "container")?);
    let mut seen: Vec<&str> = Vec::new();
    for container in first.iter().chain(&together) {
        if seen.contains(&container.name.as_str()) {
            return Err(Error::duplicate(
                &format!("{place}[*].name"),
                &container.name,
            ));
        }
        seen.push(&container.name);
    }
    let published: Vec<network::Port> = together
        .iter()
        .flat_map(|one| one.published.clone())
        .collect();
    network::check_published(&published)?;
    let mut mounts: Vec<String> = volumes.into_iter().map(|volume| volume.mount).collect();
    if !spec.host_ipc {
        mounts.insert(
            0,
            format!("type=tmpfs,target=/{SHM},tmpfs-size=64m,tmpfs-mode=1777,nosuid,nodev,noexec"),
        );
    }
    found.push(record(
        metadata, &spec, &first, &together, &published, mounts,
    ));
    found.extend(
        first
            .into_iter()
            .chain(together)
            .map(|container| container.record),
    );
    Ok(())
}

fn record(
    metadata: &Metadata,
    spec: &Spec<'_>,
    first: &[Container],
    together: &[Container],
    published: &[network::Port],
    mounts: Vec<String>,
) -> Value {
    let of = |containers: &[Container]| -> Vec<resources::Resources> {
        containers
            .iter()
            .map(|container| container.resources.clone())
            .collect()
    };
    let names = |containers: &[Container]| -> Vec<String> {
        containers
            .iter()
            .map(|container| container.name.clone())
            .collect()
    };
    let (before, all) = (of(first), of(together));
    let every: Vec<&resources::Resources> = before.iter().chain(&all).collect();
    let mut record = Map::new();
    record.insert("ociVersion".into(), record::OCI_VERSION.into());
    record.insert("id".into(), metadata.name.as_str().into());
    if let Some(hostname) = &spec.hostname {
        record.insert("hostname".into(), hostname.as_str().into());
    }
    let annotations = metadata.all();
    if !annotations.is_empty() {
        record.insert("annotations".into(), annotations.into());
    }
    if !spec.aliases.is_empty() {
        record.insert("hostAliases".into(), spec.aliases.clone().into());
    }
    let mut linux = Map::new();
    linux.insert("namespaces".into(), spec.namespaces().into());
    if let Some(resources) = resources::pod(&all, &before).to_oci() {
        linux.insert("resources".into(), resources);
    }
    record.insert("linux".into(), linux.into());
    let publish: Vec<String> = match spec.host_network {
        true => Vec::new(),
        false => published.iter().map(network::Port::publish).collect(),
    };
    let mut own = json!({
        "kind": "pod",
        "namespace": metadata.namespace,
        "labels": metadata.labels,
        "restartPolicy": spec.restart,
        "terminationGracePeriodSeconds": spec.grace,
        "qosClass": resources::qos_class(&every),
        "network": if spec.host_network { "NODE" } else { "POD" },
        "pid": spec.pid(),
        "dns": spec.dns.to_json(),
        "publish": publish,
        "mounts": mounts,
        "initContainers": names(first),
        "containers": names(together),
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
    record.insert("podspec".into(), own);
    record.into()
}
