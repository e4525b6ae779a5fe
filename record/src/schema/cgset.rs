//! `cgset`: a pod's groups, and what the kernel made of its limits.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

use crate::{Id, ProcessId};

/// What cgset made: groups, and what the kernel made of their limits
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Cgset {
    /// Controllers (`cpu,cpuacct` where they share a mount, `unified` on version 2) and the pod's directory in their hierarchy
    groups: BTreeMap<String, String>,
    /// The group in the pod for the process that holds it
    join: Id,
    /// Files and what was written into them
    written: BTreeMap<String, Value>,
    /// Limits under the names of version 2, as the kernel read them back
    effective: BTreeMap<String, Value>,
    /// Of the groups, by which they are known again
    inodes: BTreeMap<String, u64>,
    boot_id: String,
    /// How a value of one version became one of the other
    formulas: Option<BTreeMap<String, String>>,
    /// The group that the pod's is in, as a path below each mount
    parent: Option<String>,
    /// What of it was made for pods
    parents: Option<BTreeMap<String, Vec<String>>>,
    #[schemars(rename = "qosClass")]
    qos_class: Option<super::podspec::QosClass>,
    /// To whom the groups were handed over
    #[schemars(regex(pattern = "^[0-9]+:[0-9]+$"))]
    delegate: Option<String>,
    /// Processes that were moved in, and where they were
    moved: Option<Vec<Moved>>,
}

/// A process, and its groups before
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Moved {
    #[schemars(flatten)]
    process: ProcessId,
    from: BTreeMap<String, String>,
}
