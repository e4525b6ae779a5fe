//! `process`: what runs, as `nsrun drop` becomes it.

use schemars::JsonSchema;
use serde_json::Value;

/// What runs, config.md of the OCI runtime specification; `nsrun drop` applies each key of it or refuses
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub(super) struct Process {
    terminal: Option<bool>,
    user: Option<User>,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
    #[schemars(regex(pattern = "^/"))]
    cwd: Option<String>,
    capabilities: Option<Capabilities>,
    no_new_privileges: Option<bool>,
    rlimits: Option<Vec<Rlimit>>,
    #[schemars(range(min = -1000, max = 1000))]
    oom_score_adj: Option<i32>,
    scheduler: Option<Scheduler>,
    io_priority: Option<IoPriority>,
    #[schemars(rename = "execCPUAffinity")]
    exec_cpu_affinity: Option<Affinity>,
    apparmor_profile: Option<String>,
    selinux_label: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(transparent, inline)]
struct Variable(#[schemars(regex(pattern = "^[^=]+="))] String);

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct User {
    uid: u32,
    gid: Option<u32>,
    umask: Option<u32>,
    additional_gids: Option<Vec<u32>>,
}

#[derive(JsonSchema)]
struct Capabilities {
    bounding: Option<Vec<Capability>>,
    effective: Option<Vec<Capability>>,
    permitted: Option<Vec<Capability>>,
    inheritable: Option<Vec<Capability>>,
    ambient: Option<Vec<Capability>>,
}

#[derive(JsonSchema)]
#[schemars(transparent, inline)]
struct Capability(#[schemars(regex(pattern = "^CAP_[A-Z_]+$"))] String);

#[derive(JsonSchema)]
struct Rlimit {
    #[schemars(rename = "type", regex(pattern = "^RLIMIT_[A-Z]+$"))]
    kind: String,
    soft: u64,
    hard: u64,
}

#[derive(JsonSchema)]
struct Scheduler {
    policy: String,
    nice: Option<i32>,
    priority: Option<i32>,
    flags: Option<Vec<String>>,
    runtime: Option<u64>,
    deadline: Option<u64>,
    period: Option<u64>,
}

#[derive(JsonSchema)]
struct IoPriority {
    class: String,
    priority: Option<i32>,
}

#[derive(JsonSchema)]
struct Affinity {
    initial: Option<String>,
    #[schemars(rename = "final")]
    last: Option<String>,
}

/// A filter of system calls, config-linux.md
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub(super) struct Seccomp {
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    flags: Option<Vec<String>>,
    syscalls: Option<Vec<Value>>,
}
