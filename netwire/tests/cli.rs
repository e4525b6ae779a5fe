//! What the command line answers, without any privilege: status, stdout, and whole lines of stderr.
#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, and these helpers are theirs"
)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A run directory of its own, gone with the value.
struct Run(PathBuf);

impl Run {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("netwire-cli-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn netwire(&self, arguments: &[&str], record: &str) -> Answer {
        let mut child = Command::new(env!("CARGO_BIN_EXE_netwire"))
            .args(arguments)
            .env("CHROOT0_RUN", &self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that does not read its stdin may have ended by now.
        let _ = child.stdin.take().unwrap().write_all(record.as_bytes());
        Answer::from(child.wait_with_output().unwrap())
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
struct Answer {
    status: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

const SUBNET: [&str; 3] = ["up", "--subnet", "10.244.0.0/24"];

/// `up` with these options besides a good subnet.
fn up(run: &Run, options: &[&str], record: &str) -> Answer {
    run.netwire(&[&SUBNET, options].concat(), record)
}

fn record(path: &str) -> String {
    format!(
        "{{\"id\":\"foo\",\"linux\":{{\"namespaces\":[{{\"type\":\"network\",\"path\":\"{path}\"}}]}}}}"
    )
}

#[test]
fn a_bad_value_says_why_and_the_record_goes_on_as_failed() {
    let run = Run::new("values");
    for (option, value, why) in [
        (
            "--subnet",
            "10.244.0.0/31",
            "/31 has no room for a gateway and a pod (/30 is the smallest)",
        ),
        (
            "--subnet",
            "10.244.0.9/24",
            "host bits are set (did you mean 10.244.0.0/24?)",
        ),
        (
            "--subnet",
            "nonsense",
            "no prefix length (as in 10.244.0.0/24)",
        ),
        ("--ip", "nonsense", "invalid IP address syntax"),
        ("--ifname", "interface1234567", "longer than 15 bytes"),
        (
            "--ifname",
            "a/b",
            "'/', ':' and '%' cannot be in the name of an interface",
        ),
        ("--mtu", "67", "67 is not in 68..=65535"),
        (
            "--publish",
            "80",
            "[HOSTIP:]HOSTPORT:PORT[/tcp|udp|sctp] is expected",
        ),
        (
            "--nat-except",
            "10.0.0.1/8",
            "host bits are set (did you mean 10.0.0.0/8?)",
        ),
        ("--range", "10.244.0.9", "FIRST-LAST is expected"),
        ("--antispoof", "yes", "neither auto, always nor never"),
        (
            "--mac",
            "01:00:00:00:00:01",
            "is of a group, no interface can have that",
        ),
        (
            "--netns",
            "x",
            "neither a process id nor an absolute path (as in /run/netns/NAME)",
        ),
    ] {
        let answer = run.netwire(&["up", option, value], &record("/proc/1/ns/net"));
        let name = match option {
            "--subnet" => "CIDR",
            "--ip" => "ADDRESS",
            "--ifname" => "NAME",
            "--mtu" => "BYTES",
            "--publish" => "HOSTPORT:PORT",
            "--nat-except" => "CIDR",
            "--antispoof" => "WHEN",
            "--range" => "FIRST-LAST",
            "--mac" => "ADDRESS",
            _ => "PID|FILE",
        };
        let line = format!(
            "invalid value '{value}' for '{option} <{name}>': {why} (see netwire up --help)"
        );
        assert_eq!(answer.stderr, format!("netwire: {line}\n"));
        assert_eq!(answer.status, 2);
        let written: Value = serde_json::from_str(&answer.stdout).unwrap();
        assert_eq!(
            (&written["failed"]["tool"], &written["failed"]["error"]),
            (&"netwire".into(), &line.into())
        );
    }
    assert!(run.is_empty());
}

#[test]
fn an_address_that_no_pod_can_have_is_bad_usage() {
    let run = Run::new("ip");
    for (address, why) in [
        ("10.245.0.2", "is not in 10.244.0.0/24"),
        ("10.244.0.0", "is the address of the network 10.244.0.0/24"),
        ("10.244.0.1", "is the gateway of 10.244.0.0/24"),
        ("10.244.0.255", "is the broadcast address of 10.244.0.0/24"),
    ] {
        let answer = up(&run, &["--ip", address], "{\"id\":\"foo\"}");
        assert_eq!(
            (answer.status, answer.stderr),
            (2, format!("netwire: --ip: {address} {why}\n"))
        );
    }
    assert!(run.is_empty());
}

#[test]
fn wishes_that_contradict_each_other_are_bad_usage() {
    let run = Run::new("contradict");
    for (options, why) in [
        (
            &["--subnet", "10.245.0.0/24"][..],
            "--subnet 10.245.0.0/24: a second one of its family",
        ),
        (
            &["--ip", "10.244.0.2", "--ip", "10.244.0.3"],
            "--ip 10.244.0.3: no --subnet is left for it",
        ),
        (
            &["--ip", "fd00::2"],
            "--ip fd00::2: no --subnet is left for it",
        ),
        (
            &["--subnet", "fd00::/64", "--mtu", "1279"],
            "--mtu 1279: IPv6 needs 1280 at least",
        ),
        (
            &["--subnet", "fd00::/64", "--ip", "fd00::1"],
            "--ip: fd00::1 is the gateway of fd00::/64",
        ),
        (
            &["--publish", "[::1]:80:80"],
            "--publish [::1]:80:80/tcp: the pod has no address of that family",
        ),
        (
            &["--sysctl-host"],
            "--sysctl-host and --accept-forward are for what --nat or --publish forwards",
        ),
    ] {
        let answer = up(&run, options, "{\"id\":\"foo\"}");
        assert_eq!(
            (answer.status, answer.stderr),
            (2, format!("netwire: {why}\n"))
        );
    }
    assert!(run.is_empty());
}

#[test]
fn a_shared_directory_of_leases_must_exist() {
    let run = Run::new("shared");
    let answer = up(
        &run,
        &["--lease-dir", "/no/such"],
        &record("/proc/1/ns/net"),
    );
    let why = "realpath(/no/such): No such file or directory (a pool shared with others is not made here: mkdir it)";
    assert_eq!(
        (answer.status, answer.stderr),
        (1, format!("netwire: {why}\n"))
    );
    assert!(run.is_empty());
}

#[test]
fn a_subnet_must_be_given() {
    let run = Run::new("subnet");
    let answer = run.netwire(&["up", "--id", "foo"], "");
    assert_eq!(
        (answer.status, answer.stderr.as_str()),
        (
            2,
            "netwire: the following required arguments were not provided: --subnet <CIDR> (see netwire up --help)\n"
        )
    );
}

#[test]
fn what_is_no_network_namespace_of_a_pod_is_refused_and_nothing_is_left() {
    let run = Run::new("namespaces");
    let gone = "/proc/2147483647/ns/net";
    for (path, status, why) in [
        (
            "/proc/self/ns/net",
            2,
            "/proc/self/ns/net is netwire's own network namespace, not a pod's",
        ),
        (
            "/proc/self/ns/uts",
            2,
            "/proc/self/ns/uts is a namespace of type uts, not net",
        ),
        ("/proc/self/status", 2, "/proc/self/status is no namespace"),
        (
            "/proc/../etc/passwd",
            2,
            "linux.namespaces: \"/proc/../etc/passwd\" is not an absolute path without \"..\"",
        ),
        (
            gone,
            1,
            "open(/proc/2147483647/ns/net): No such file or directory (is the pod down?)",
        ),
    ] {
        let answer = up(&run, &[], &record(path));
        assert_eq!(
            (answer.status, answer.stderr),
            (status, format!("netwire: {why}\n")),
            "{path}"
        );
        assert!(
            answer.stdout.contains("\"failed\":{\"tool\":\"netwire\""),
            "{}",
            answer.stdout
        );
    }
    let answer = up(&run, &[], "{\"id\":\"foo\"}");
    let why = "netwire: foo: the record has no network namespace (nsrun up --net makes one)\n";
    assert_eq!((answer.status, answer.stderr.as_str()), (2, why));
    assert!(run.is_empty());
}

#[test]
fn a_recycled_pid_is_refused() {
    let run = Run::new("recycled");
    let own = std::process::id();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let mut record: Value = serde_json::from_str(&record(&format!("/proc/{own}/ns/net"))).unwrap();
    record["nsrun"] = serde_json::json!({"pid": own, "starttime": 1, "boot_id": boot_id.trim()});
    let answer = up(&run, &[], &record.to_string());
    let why = format!(
        "netwire: process {own} that held the network namespace is gone (nsrun up makes a new one)\n"
    );
    assert_eq!((answer.status, answer.stderr), (1, why));
    // The index may keep what the record says of nsrun; of netwire there is nothing.
    assert!(!run.0.join(".networks").exists());
}

#[test]
fn down_with_nothing_to_undo_hands_the_record_on() {
    let run = Run::new("nothing");
    let line = "{\"id\":\"foo\",\"mine\":[1,2.50]}\n";
    let answer = run.netwire(&["down"], line);
    assert_eq!(
        (
            answer.status,
            answer.stdout.as_str(),
            answer.stderr.as_str()
        ),
        (0, line, "")
    );
    let answer = run.netwire(&["down", "--id", "foo"], "");
    assert_eq!((answer.status, answer.stderr.as_str()), (0, ""));
    assert!(run.is_empty());
}

#[test]
fn down_of_what_is_gone_already_is_success_and_removes_the_key() {
    let run = Run::new("gone");
    let lease_dir = run.0.join("leases");
    fs::create_dir(&lease_dir).unwrap();
    fs::write(lease_dir.join("10.244.0.2"), "bar\r\neth0").unwrap();
    let attachment = format!(
        "{{\"ifname\":\"eth0\",\"ifindex\":2147483647,\"subnet\":\"10.244.0.0/24\",\"address\":\"10.244.0.2\",\
         \"leaseDir\":{lease_dir:?}}}"
    );
    let record =
        format!("{{\"id\":\"foo\",\"netwire\":{{\"attachments\":[{attachment}]}},\"z\":1}}\n");
    let answer = run.netwire(&["down"], &record);
    assert_eq!((answer.status, answer.stderr.as_str()), (0, ""));
    assert_eq!(answer.stdout, "{\"id\":\"foo\",\"z\":1}\n");
    assert!(
        lease_dir.join("10.244.0.2").exists(),
        "the lease was another pod's"
    );
    assert!(
        !lease_dir.join("lock").exists(),
        "nothing of ours was in there"
    );
}

#[test]
fn down_of_a_tampered_record_is_refused() {
    let run = Run::new("tampered");
    for (attachments, why) in [
        ("{}", "missing, it must be an array"),
        (
            "[{\"ifname\":\"../x\",\"subnet\":\"10.244.0.0/24\"}]",
            "ifname: '/', ':' and '%' cannot be in the name of an interface",
        ),
        (
            "[{\"ifname\":\"eth0\"}]",
            "subnet: no prefix length (as in 10.244.0.0/24)",
        ),
        (
            "[{\"ifname\":\"eth0\",\"subnet\":\"10.244.0.0/24\",\"leaseDir\":\"/run/../etc\"}]",
            "leaseDir: \"/run/../etc\" is no absolute path",
        ),
        (
            "[{\"ifname\":\"eth0\",\"subnet\":\"10.244.0.0/24\",\"address\":\"../../etc/passwd\"}]",
            "address: \"../../etc/passwd\" is no IP address",
        ),
    ] {
        let record = format!("{{\"id\":\"foo\",\"netwire\":{{\"attachments\":{attachments}}}}}");
        let answer = run.netwire(&["down"], &record);
        assert_eq!(
            (answer.status, answer.stderr),
            (2, format!("netwire: netwire.attachments: {why}\n"))
        );
    }
    assert!(run.is_empty());
}

#[test]
fn show_says_what_is_gone_and_what_was_never_there() {
    let run = Run::new("show");
    let attachment =
        "{\"ifname\":\"eth0\",\"subnet\":\"10.244.0.0/24\",\"address\":\"10.244.0.2\"}";
    let record =
        format!("{{\"id\":\"no-such-pod\",\"netwire\":{{\"attachments\":[{attachment}]}}}}");
    let answer = run.netwire(&["show"], &format!("{record}\n{record}\n"));
    let lines: Vec<Vec<&str>> = answer
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let head = [
        "ID", "IFNAME", "ADDRESS", "GATEWAY", "HOST", "STATE", "RX", "TX",
    ];
    let gone = [
        "no-such-pod",
        "eth0",
        "10.244.0.2",
        "10.244.0.1",
        "veth23df3669",
        "gone",
        "0",
        "0",
    ];
    assert_eq!(lines, [&head[..], &gone, &gone]);
    let answer = run.netwire(&["show", "--json"], &record);
    let shown: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(shown["id"], "no-such-pod");
    assert_eq!(shown["attachments"][0]["state"], "gone");
    assert_eq!(shown["attachments"][0]["ifindex"], Value::Null);

    let answer = run.netwire(&["show"], "{\"id\":\"foo\"}");
    assert_eq!(
        (answer.status, answer.stderr.as_str()),
        (1, "netwire: foo: not wired (netwire up)\n")
    );
}
