//! What the tools write is as the JSON Schema says that they print, as OCI's own, and as CNI's plugins read a result.

use std::fs;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use tests::pod::{BOX, DOWN, IN_POD, UP};
use tests::{Node, Output, repository};

/// Of the Debian package golang-github-opencontainers-specs-dev.
const OCI: &str = "/usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema";

/// As every tool prints it.
fn schema() -> Validator {
    let schema: Value = serde_json::from_str(record::SCHEMA).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn records(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[track_caller]
fn is_valid(schema: &Validator, record: &Value) {
    let wrong = schema.iter_errors(record);
    let wrong: Vec<String> = wrong
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{}\n{record}", wrong.join("\n"));
}

/// Every record that the script leaves in a file *.json, and what the index knows.
#[track_caller]
fn made(node: &Node, script: &str, count: usize) -> Vec<Value> {
    node.sh(&format!("set -e -o pipefail; {script}")).succeeds();
    let all: Output = node
        .sh("cat *.json; for known in /run/chroot0/*/record.json; do [ ! -e $known ] || jq -c . $known; done")
        .succeeds();
    let records = records(&all.stdout);
    assert!(records.len() >= count, "{} records: {all}", records.len());
    records
}

#[test]
fn every_tool_prints_the_schema() {
    let node = Node::new();
    for tool in ["nsrun", "cgset", "mkbox", "netwire", "podspec"] {
        let printed = node.sh(&format!("{tool} --schema")).succeeds();
        assert_eq!(printed.stdout, record::SCHEMA);
        node.sh(&format!("{tool} --schema up || exit $?"))
            .ends(2)
            .says("--schema");
    }
    let schema: Value = serde_json::from_str(record::SCHEMA).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
}

#[test]
fn the_usual_pod_is_as_the_schema_says_at_every_stage() {
    let node = Node::new();
    let stages = "cgset up --id foo memory.max=512Mi pids.max=100 cpu.weight=50 cpu.max=0.5 devices='c 1:3 rw' >1.json && nsrun up --net --ipc --uts --time --boottime 60 --log /tmp/log <1.json >2.json \
        && netwire up --subnet 10.244.0.0/24 --subnet fd00:1::/64 --nat --publish 8080:80/udp --rate 10mbit --allow 10.0.0.0/8,80/tcp --deny-to 10.9.0.0/16 --dns 10.0.0.1 --dns-search a.b --add-host x:10.0.0.9 <2.json >3.json \
        && netwire up --ifname eth1 --bridge br9 --isolated --subnet 10.245.0.0/24 <3.json >foo.json";
    let schema = schema();
    for record in made(&node, &format!("{stages} && {BOX}"), 6) {
        is_valid(&schema, &record);
    }
    node.sh(&format!("{IN_POD} true; {DOWN} >down.json"))
        .succeeds();
    for record in made(&node, "true", 1) {
        is_valid(&schema, &record);
    }
}

#[test]
fn what_is_rarer_is_as_the_schema_says() {
    let node = Node::new();
    let script = "cgset up --id a --parent /x/y --delegate 1:1 --kube '{\"limits\":{\"memory\":\"64Mi\",\"cpu\":\"1\"}}' >a.json
        nsrun up --id p --pin --net --user --map-root-user -- sleep 1000 >p.json
        ip link add name dev9 type veth peer name peer9; ip link set dev9 up; ip addr add 10.77.0.1/24 dev dev9
        netwire up --device dev9:eth7 <p.json >q.json
        nsrun up --id l --net | netwire up --mode none >l.json
        mkdir lower secret && echo x >secret/key
        mkbox up -q --overlay lower --ephemeral --etc=hosts --tmpfs /tmp --mount type=emptyDir,target=/e --mask --dev --read-only b >b.json
        mkbox up -q --copy ls --with nss,/etc/passwd --dlopen suggested --merged-usr --keep-privileges deep/er/c >c.json
        mkbox up -q --bind-programs ls d >d.json
        nsrun up --id m --mount | mkbox up -q -P - --proc --tmpfs /t e >e.json
        ! netwire up --subnet 10.8.0.0/24 <a.json >failed.json; jq -e .failed failed.json >/dev/null";
    let schema = schema();
    for record in made(&node, script, 10) {
        is_valid(&schema, &record);
    }
}

#[test]
fn records_of_a_manifest_are_as_the_schema_says() {
    let node = Node::new();
    let schema = schema();
    let mut count = 0;
    for entry in fs::read_dir(repository("tests/manifests")).unwrap() {
        let manifest = fs::read_to_string(entry.unwrap().path()).unwrap();
        let made = node.sh_with("podspec", manifest).succeeds();
        for record in records(&made.stdout) {
            is_valid(&schema, &record);
            count += 1;
        }
    }
    assert!(count > 12, "{count} records");
}

#[test]
fn what_no_tool_writes_is_refused() {
    let good = json!({"ociVersion": "1.0.2", "id": "a", "their-own": 7, "hostname": "h",
        "nsrun": {"pid": 1, "starttime": 2, "boot_id": "b", "namespaces": {"net": 3}, "made": ["net"]},
        "mounts": [{"destination": "/x", "type": "tmpfs"}],
        "netwire": {"cniVersion": "1.1.0", "interfaces": [], "ips": [], "routes": [], "dns": {}, "attachments": []}});
    let schema = schema();
    is_valid(&schema, &good);
    for (place, bad) in [
        ("/id", json!("../x")),
        ("/id", json!(7)),
        ("/hostname", json!("x".repeat(65))),
        ("/nsrun/pid", json!("1")),
        ("/nsrun/namespaces/net", json!(-3)),
        ("/nsrun/made/0", json!("network")),
        ("/nsrun", json!({"pid": 1})),
        ("/mounts/0/destination", json!("x")),
        (
            "/netwire/attachments",
            json!([{"ifname": "eth0", "colour": "red"}]),
        ),
        (
            "/netwire/ips",
            json!([{"interface": 0, "address": "10.0.0.1"}]),
        ),
        ("/netwire", json!({})),
    ] {
        let mut record = good.clone();
        *record.pointer_mut(place).unwrap() = bad;
        assert!(!schema.is_valid(&record), "{place}: {record}");
    }
    for key in ["nsrun", "netwire"] {
        let mut record = good.clone();
        record[key]["unheard-of"] = 1.into();
        assert!(!schema.is_valid(&record), "{record}");
    }
}

/// OCI's schema, which is in several files that refer to each other, as one.
fn oci_schema() -> Validator {
    let mut files = Map::new();
    for name in [
        "config-schema.json",
        "config-linux.json",
        "defs.json",
        "defs-linux.json",
    ] {
        let text = fs::read_to_string(Path::new(OCI).join(name)).unwrap();
        let mut file: Value = serde_json::from_str(&text).unwrap();
        join(&mut file, name);
        files.insert(name.to_owned(), file);
    }
    let mut whole = files["config-schema.json"].clone();
    whole["files"] = files.into();
    jsonschema::validator_for(&whole).unwrap()
}

/// Platforms that are not Linux are not read.
fn join(schema: &mut Value, name: &str) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get_mut("$ref") {
                let (file, place) = reference.split_once('#').unwrap_or((reference, ""));
                let file = if file.is_empty() { name } else { file };
                match ["solaris", "windows", "vm", "zos"]
                    .iter()
                    .any(|other| file.contains(other))
                {
                    true => drop(object.remove("$ref")),
                    false => *reference = format!("#/files/{file}{place}"),
                }
            }
            object.values_mut().for_each(|value| join(value, name));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| join(value, name)),
        _ => {}
    }
}

#[test]
fn every_record_is_valid_by_oci_s_own_schema() {
    let node = Node::new();
    if !node.has_file(OCI) {
        return;
    }
    // Of 1.0.2, as the records say: no time namespaces.
    let schema = oci_schema();
    assert!(!schema.is_valid(&json!({"ociVersion": "1.0.2", "hostname": 7})));
    assert!(
        !schema.is_valid(&json!({"ociVersion": "1.0.2", "linux": {"namespaces": [{"type": "x"}]}}))
    );
    let script = format!("{UP} && {BOX} && nsrun up --id u --user --map-root-user >u.json
        cgset up --id l memory.max=64Mi memory.swap.max=1Mi cpu.weight=7 cpu.max=0.5 cpuset.cpus=0 pids.max=max devices='c 1:3 rw' >l.json
        mkdir lower; mkbox up -q --bind-programs ls --dev --mask --read-only --tmpfs /tmp --overlay /home/namespace/lower --ephemeral b >b.json");
    for record in made(&node, &script, 5) {
        is_valid(&schema, &record);
    }
    for entry in fs::read_dir(repository("tests/manifests")).unwrap() {
        let manifest = fs::read_to_string(entry.unwrap().path()).unwrap();
        let made = node.sh_with("podspec", manifest).succeeds();
        // A container's has its root and directory by its image.
        let pods = records(&made.stdout);
        let pods = pods
            .iter()
            .filter(|record| record["podspec"]["kind"] == "pod");
        pods.for_each(|record| is_valid(&schema, record));
    }
}

#[test]
fn a_plugin_of_cni_takes_the_result_for_one_of_its_own() {
    let node = Node::new();
    if !node.has_file("/usr/lib/cni/tuning") {
        return;
    }
    let up = UP.replace("--subnet", "--dns 10.0.0.1 --subnet fd00:1::/64 --subnet");
    node.sh(&up).succeeds();
    // It parses the result of the plugin before it into CNI's types, and prints what it understood. Plugins of today's Debian
    // know 1.0.0, from which 1.1.0 differs by keys that were added.
    let plugin = node.sh(r#"jq -c '{cniVersion: "1.0.0", name: "n", type: "tuning", prevResult: (.netwire + {cniVersion: "1.0.0"})}' foo.json |
        CNI_COMMAND=ADD CNI_CONTAINERID=foo CNI_IFNAME=eth0 CNI_NETNS=/proc/$(jq .nsrun.pid foo.json)/ns/net CNI_PATH=/usr/lib/cni /usr/lib/cni/tuning >theirs
        jq -S '.netwire | {interfaces: [.interfaces[] | del(.mtu)], ips, routes, dns}' foo.json >ours.1
        jq -S '{interfaces, ips, routes, dns}' theirs >ours.2; diff ours.1 ours.2"#);
    plugin.succeeds();
}
