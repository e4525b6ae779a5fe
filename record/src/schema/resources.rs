//! `linux.resources`: limits, as `cgset` reads and writes them.

use std::collections::BTreeMap;

use schemars::JsonSchema;

/// Limits, config-linux.md of the OCI runtime specification
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub(super) struct Resources {
    memory: Option<Memory>,
    cpu: Option<Cpu>,
    pids: Option<Pids>,
    #[schemars(rename = "blockIO")]
    block_io: Option<BlockIo>,
    hugepage_limits: Option<Vec<HugepageLimit>>,
    devices: Option<Vec<DeviceRule>>,
    /// Files of version 2
    unified: Option<BTreeMap<String, String>>,
}

/// Bytes; -1 is none
#[derive(JsonSchema)]
struct Memory {
    limit: Option<i64>,
    reservation: Option<i64>,
    /// Memory and swap together
    swap: Option<i64>,
    swappiness: Option<u64>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct Cpu {
    shares: Option<u64>,
    quota: Option<i64>,
    burst: Option<u64>,
    period: Option<u64>,
    realtime_runtime: Option<i64>,
    realtime_period: Option<u64>,
    cpus: Option<String>,
    mems: Option<String>,
    idle: Option<i64>,
}

#[derive(JsonSchema)]
struct Pids {
    limit: Option<i64>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct BlockIo {
    weight: Option<u16>,
    throttle_read_bps_device: Option<Vec<Throttle>>,
    throttle_write_bps_device: Option<Vec<Throttle>>,
    #[schemars(rename = "throttleReadIOPSDevice")]
    throttle_read_iops_device: Option<Vec<Throttle>>,
    #[schemars(rename = "throttleWriteIOPSDevice")]
    throttle_write_iops_device: Option<Vec<Throttle>>,
}

/// Of one device, each second
#[derive(JsonSchema)]
struct Throttle {
    major: i64,
    minor: i64,
    rate: u64,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct HugepageLimit {
    page_size: String,
    limit: u64,
}

/// Which devices may be opened; the last rule that speaks of one decides
#[derive(JsonSchema)]
struct DeviceRule {
    allow: bool,
    #[schemars(rename = "type")]
    kind: Option<String>,
    major: Option<i64>,
    minor: Option<i64>,
    access: Option<String>,
}
