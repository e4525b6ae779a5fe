//! The keys of an OCI configuration that the tools read or write; others pass through.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::process::Seccomp;
use super::resources::Resources;
use crate::{IdMapping, NamespaceEntry};

/// The box
#[derive(JsonSchema)]
pub(super) struct Root {
    /// Absolute
    #[schemars(regex(pattern = "^/"))]
    path: Option<String>,
    readonly: Option<bool>,
}

/// What is mounted in the box, in order
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub(super) struct Mount {
    #[schemars(flatten)]
    mount: crate::Mount,
    uid_mappings: Option<Vec<IdMapping>>,
    gid_mappings: Option<Vec<IdMapping>>,
}

/// config-linux.md of the OCI runtime specification
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub(super) struct Linux {
    namespaces: Option<Vec<NamespaceEntry>>,
    uid_mappings: Option<Vec<IdMapping>>,
    gid_mappings: Option<Vec<IdMapping>>,
    time_offsets: Option<TimeOffsets>,
    /// The pod's group, as a path below each mount
    cgroups_path: Option<String>,
    resources: Option<Resources>,
    devices: Option<Vec<Device>>,
    /// Interfaces of the host that are moved in, by their names there
    net_devices: Option<BTreeMap<String, NetDevice>>,
    sysctl: Option<BTreeMap<String, String>>,
    seccomp: Option<Seccomp>,
    masked_paths: Option<Vec<String>>,
    readonly_paths: Option<Vec<String>>,
    rootfs_propagation: Option<String>,
}

/// Of a new time namespace
#[derive(JsonSchema)]
struct TimeOffsets {
    monotonic: Option<Offset>,
    boottime: Option<Offset>,
}

#[derive(JsonSchema)]
struct Offset {
    secs: Option<i64>,
    nanosecs: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct Device {
    #[schemars(rename = "type")]
    kind: String,
    path: String,
    major: Option<i64>,
    minor: Option<i64>,
    file_mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(JsonSchema)]
struct NetDevice {
    name: Option<String>,
}
