//! `nsrun`: the process that holds a pod, and its namespaces.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::ProcessId;

/// What nsrun made: the process that holds the pod, and its namespaces
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Nsrun {
    #[schemars(flatten)]
    holder: ProcessId,
    /// Inodes, by the names of /proc/PID/ns
    namespaces: BTreeMap<Kind, u64>,
    /// Numbers that are never given out again, where the kernel has them
    ids: Option<BTreeMap<Kind, u64>>,
    /// Those that were new
    made: Vec<Kind>,
    hostname: Option<String>,
    /// What runs under the holder
    command: Option<Vec<String>>,
    options: Option<Options>,
    /// Files that hold namespaces
    pins: Option<BTreeMap<Kind, String>>,
}

/// A namespace, as /proc/PID/ns names it
#[derive(JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[schemars(rename_all = "lowercase", inline)]
pub(super) enum Kind {
    Mnt,
    Net,
    Pid,
    Uts,
    Ipc,
    User,
    Cgroup,
    Time,
}

/// How the holder was started
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Options {
    root: Option<String>,
    wd: Option<String>,
    log: Option<String>,
    mount_proc: Option<String>,
}
