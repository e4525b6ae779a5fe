//! `linux.resources` of the OCI runtime specification: read as limits, and limits written back under OCI's names.

mod read;
mod write;

use serde_json::Value as Json;

pub(crate) use read::read;
pub(crate) use write::write;

/// In the order of [`crate::limits::RATES`].
const THROTTLES: [&str; 4] = [
    "throttleReadBpsDevice",
    "throttleWriteBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteIOPSDevice",
];

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(list) => list.is_empty(),
        Json::Object(object) => object.is_empty(),
        Json::Number(number) => number.as_i64() == Some(0),
        Json::String(text) => text.is_empty(),
        Json::Bool(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use record::Record;

    use super::*;
    use crate::limits::Limits;
    use crate::vocabulary::{Machine, parse_all};

    const MACHINE: Machine = Machine {
        memory_total: || 1 << 30,
    };

    fn record(resources: &str) -> Record {
        Record::parse(format!(r#"{{"id":"foo","linux":{{"resources":{resources}}}}}"#).as_bytes())
            .unwrap()
    }

    fn spelt(limits: &Limits) -> Vec<String> {
        limits
            .spelt()
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    #[test]
    fn a_configuration_of_docker_is_understood() {
        let found = read(
            &record(
                r#"{"devices":[{"allow":false,"access":"rwm"}],
                "memory":{"limit":209715200,"reservation":104857600,"swap":419430400,"disableOOMKiller":false,"swappiness":60,"kernel":0},
                "cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0-1","mems":"","realtimeRuntime":0},
                "pids":{"limit":-1},
                "blockIO":{"weight":500,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}],"weightDevice":[]},
                "hugepageLimits":[{"pageSize":"2MB","limit":4194304}],
                "network":{"classID":7},
                "unified":{"memory.low":"5","memory.high":"7"}}"#,
            ),
            &MACHINE,
        )
        .unwrap();
        let devices = "devices=none, allow b *:* m, allow c *:* m, allow c 1:3 rwm, allow c 1:5 rwm, allow c 1:7 rwm, \
            allow c 1:8 rwm, allow c 1:9 rwm, allow c 5:0 rwm, allow c 5:2 rwm, allow c 136:* rwm";
        assert_eq!(
            spelt(&found.limits),
            [
                devices,
                "memory.max=209715200",
                "memory.low=5",
                "memory.memsw.limit_in_bytes=419430400",
                "memory.swappiness=60",
                "cpu.shares=512",
                "cpu.max=50000 100000",
                "cpuset.cpus=0-1",
                "pids.max=max",
                "blkio.weight=500",
                "io.max=8:0 rbps=1048576",
                "hugetlb.2MB.max=4194304",
                "memory.high=7",
            ]
        );
        // what was not left out and is not ours is told
        assert_eq!(found.ignored, ["network"]);
    }

    #[test]
    fn numbers_that_were_left_out_and_no_limit_are_told_apart() {
        let found = read(
            &record(
                r#"{"memory":{"limit":0,"swap":-1},"cpu":{"quota":-1,"period":0,"shares":0},"pids":{"limit":0}}"#,
            ),
            &MACHINE,
        );
        assert_eq!(
            spelt(&found.unwrap().limits),
            ["memory.memsw.limit_in_bytes=max", "cpu.cfs_quota_us=-1"]
        );
    }

    #[test]
    fn wrong_shapes_are_bad_records() {
        for (resources, problem) in [
            (
                r#"{"memory":7}"#,
                "linux.resources.memory: 7 is not an object",
            ),
            (
                r#"{"hugepageLimits":{}}"#,
                "linux.resources.hugepageLimits: {} is not an array",
            ),
            (
                r#"{"unified":[1]}"#,
                "linux.resources.unified: [1] is not an object",
            ),
            (
                r#"{"unified":{"memory.max":7}}"#,
                "linux.resources.unified: 7 is not an object of strings",
            ),
            (
                r#"{"unified":{"memory.mx":"7"}}"#,
                "linux.resources: memory.mx: no such limit (did you mean memory.max or memory.min?)",
            ),
            (
                r#"{"memory":{"limit":"much"}}"#,
                "linux.resources.memory.limit: \"much\" is not a whole number",
            ),
            (
                r#"{"cpu":{"cpus":3}}"#,
                "linux.resources.cpu.cpus: 3 is not a string",
            ),
            (
                r#"{"memory":{"limit":1.5}}"#,
                "linux.resources.memory.limit: 1.5 is not a whole number",
            ),
            (
                r#"{"blockIO":{"throttleReadBpsDevice":[7]}}"#,
                "linux.resources.blockIO.throttleReadBpsDevice: 7 is not an object with major, minor and rate",
            ),
            (
                r#"{"devices":[{"allow":true,"type":"x"}]}"#,
                r#"linux.resources.devices: {"allow":true,"type":"x"} is not an object with allow, type, major, minor and access"#,
            ),
            (
                r#"{"devices":{}}"#,
                "linux.resources.devices: {} is not an array",
            ),
            (
                r#"{"cpu":{"cpus":"0;rm"}}"#,
                "linux.resources: cpuset.cpus=0;rm: not a list of numbers (0-3,7)",
            ),
        ] {
            assert_eq!(
                read(&record(resources), &MACHINE).unwrap_err().to_string(),
                problem
            );
        }
    }

    #[test]
    fn what_is_written_back_is_read_again_as_the_same() {
        let words = [
            "memory.max=1G",
            "memory.swap.max=0",
            "memory.low=max",
            "memory.swappiness=0",
            "pids.max=max",
            "cpu.max=0.5",
            "cpu.weight=77",
            "cpuset.cpus=0",
            "io.weight=10000",
            "io.max=8:0 rbps=1",
            "hugetlb.2MB.max=2M",
            "memory.high=5",
            "cgroup.freeze=0",
            "cpu.max.burst=7",
            "cpu.idle=1",
            "cpuset.memory_migrate=1",
        ];
        let asked = parse_all(words, &MACHINE).unwrap();
        let mut written = record(r#"{"devices":[],"unified":{"memory.max":"5","memory.min":"6"}}"#);
        write(&mut written, &asked, &asked).unwrap();
        assert_eq!(
            written.pointer("/linux/resources").unwrap().to_string(),
            concat!(
                r#"{"devices":[],"unified":{"memory.min":"6","memory.high":"5","cgroup.freeze":"0","cpuset.memory_migrate":"1"},"#,
                r#""memory":{"limit":1073741824,"swap":1073741824,"reservation":-1,"swappiness":0},"pids":{"limit":-1},"#,
                r#""cpu":{"quota":50000,"period":100000,"shares":733,"cpus":"0","burst":7,"idle":1},"#,
                r#""blockIO":{"weight":1000,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}]},"#,
                r#""hugepageLimits":[{"pageSize":"2MB","limit":2097152}]}"#,
            )
        );
        let again = read(&written, &MACHINE).unwrap();
        assert!(again.ignored.is_empty());
        let mut twice = written.clone();
        write(&mut twice, &again.limits, &again.limits).unwrap();
        assert_eq!(
            read(&twice, &MACHINE).unwrap().limits.spelt().len(),
            again.limits.spelt().len()
        );
        assert_eq!(again.limits.get("memory.max"), asked.get("memory.max"));
    }

    #[test]
    fn devices_are_written_as_oci_means_them() {
        for (words, written) in [
            (
                &["devices=default", "devices.allow=c 10:200 rw"] as &[&str],
                concat!(
                    r#"{"devices":[{"allow":false,"access":"rwm"},"#,
                    r#"{"allow":true,"type":"c","major":10,"minor":200,"access":"rw"}]}"#
                ),
            ),
            (&["devices=none"], r#"{"unified":{"devices":"none"}}"#),
            (
                &["devices.deny=b 8:* w"],
                r#"{"unified":{"devices":"deny b 8:* w"}}"#,
            ),
        ] {
            let asked = parse_all(words.iter().copied(), &MACHINE).unwrap();
            let mut found = record(r#"{"devices":[{"allow":false}],"unified":{"devices":"all"}}"#);
            write(&mut found, &asked, &asked).unwrap();
            assert_eq!(
                found.pointer("/linux/resources").unwrap().to_string(),
                written
            );
            let again = read(&found, &MACHINE).unwrap().limits;
            assert_eq!(again.get("devices"), asked.get("devices"));
        }
    }

    #[test]
    fn what_oci_cannot_say_is_said_in_v2s_words() {
        let asked = parse_all(
            [
                "memory.max=0",
                "memory.swap.max=1M",
                "hugetlb.2MB.rsvd.max=max",
                "io.weight=50",
            ],
            &MACHINE,
        )
        .unwrap();
        let mut written = record("{}");
        write(&mut written, &asked, &asked).unwrap();
        assert_eq!(
            written.pointer("/linux/resources").unwrap().to_string(),
            r#"{"unified":{"memory.max":"0","hugetlb.2MB.rsvd.max":"max","io.weight":"50"},"memory":{"swap":1048576}}"#
        );
    }
}
