//! `podspec`: what a manifest says that is of no runtime.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

/// What a Kubernetes manifest says, of a pod or of a container
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Podspec {
    Pod(Box<Pod>),
    Container(Box<Container>),
}

/// Of the pod
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Pod {
    kind: PodKind,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    restart_policy: RestartPolicy,
    termination_grace_period_seconds: u64,
    qos_class: QosClass,
    network: Scope,
    pid: Scope,
    dns: Dns,
    /// For `netwire up --publish`
    publish: Vec<String>,
    /// For `mkbox up --mount`
    mounts: Vec<String>,
    init_containers: Vec<String>,
    containers: Vec<String>,
    node_name: Option<String>,
    node_selector: Option<Vec<String>>,
}

/// Of a container
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Container {
    kind: ContainerKind,
    pod: String,
    name: String,
    image: String,
    command: Option<Vec<String>>,
    args: Option<Vec<String>>,
    ports: Option<Vec<Value>>,
    caps: String,
    seccomp: String,
    run_as_non_root: Option<bool>,
    privileged: Option<bool>,
    tty: Option<bool>,
    stdin: Option<bool>,
    /// Of a user that comes with the image
    group: Option<u32>,
    /// Of the image
    user: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", inline)]
enum PodKind {
    Pod,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", inline)]
enum ContainerKind {
    Container,
    InitContainer,
}

#[derive(JsonSchema)]
#[schemars(inline)]
enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// The class of Kubernetes that the resources are of
#[derive(JsonSchema)]
#[schemars(inline)]
pub(super) enum QosClass {
    Guaranteed,
    Burstable,
    BestEffort,
}

/// Whose namespace it is, as in the CRI
#[derive(JsonSchema)]
#[schemars(rename_all = "UPPERCASE", inline)]
enum Scope {
    Container,
    Pod,
    Node,
}

/// dnsPolicy and dnsConfig
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "DnsPolicy")]
struct Dns {
    policy: String,
    nameservers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}
