//! `check` of the four tools: what it says is so, it changes nothing, and nothing makes it hang.

use serde_json::Value;
use tests::{Node, Output};

const TOOLS: [&str; 4] = ["nsrun", "cgset", "mkbox", "netwire"];

/// uid 65534 without any right, with a directory of its own for the index.
const ORDINARY: &str = "mkdir -p -m 700 /tmp/user; chown 65534:65534 /tmp/user; ordinary() { \
    CHROOT0_RUN=/tmp/user/run setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"; }; cd /tmp; ";

/// The checks of one object, which is one line, and agrees with the status and with the table.
#[track_caller]
fn checks(node: &Node, before: &str, tool: &str) -> (bool, Value) {
    let output = node.sh(&format!("{before} timeout 60 {tool} check --json"));
    let table = node.sh(&format!("{before} timeout 60 {tool} check"));
    let found = parse(&output, tool);
    assert_eq!(table.status, output.status, "{table}");
    let missing = table
        .stdout
        .lines()
        .filter(|line| line.starts_with("missing "));
    assert_eq!(missing.count() == 0, output.status == 0, "{table}");
    (output.status == 0, found)
}

#[track_caller]
fn parse(output: &Output, tool: &str) -> Value {
    let name = tool.rsplit('/').next().unwrap_or(tool).rsplit(' ').next();
    assert_eq!(output.stdout.lines().count(), 1, "{output}");
    assert_eq!(output.stderr, "", "{output}");
    let found = output.json();
    assert_eq!(found["tool"].as_str(), name, "{output}");
    assert_eq!(found["ok"], output.status == 0, "{output}");
    found
}

/// One check of them.
#[track_caller]
fn one<'a>(found: &'a Value, name: &str) -> &'a Value {
    let list = found["checks"].as_array().expect("a list of checks");
    let check = list.iter().find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("no check {name} in {found}"))
}

#[test]
fn root_of_a_node_has_what_a_pod_needs_and_check_leaves_no_trace() {
    let node = Node::new();
    for tool in TOOLS {
        let (ok, found) = checks(&node, "", tool);
        assert!(ok, "{found}");
        assert!(
            one(&found, "run-dir")["found"]
                .as_str()
                .is_some_and(|found| found.ends_with("which up will make"))
        );
        node.assert_as_it_was();
    }
    // What check promises, the tools keep.
    let (_, found) = checks(&node, "", "nsrun");
    assert_eq!(one(&found, "proc.fresh")["ok"], true);
    node.sh("nsrun exec --mount --pid --mount-proc true")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn s2_an_ordinary_user_is_told_what_unshare_would_tell() {
    let node = Node::new();
    let (ok, found) = checks(&node, &format!("{ORDINARY} ordinary"), "nsrun");
    let mut every_kind = true;
    for (kind, option) in [
        ("mount", "-m"),
        ("net", "-n"),
        ("pid", "-pf"),
        ("uts", "-u"),
        ("ipc", "-i"),
    ] {
        let check = one(&found, &format!("namespace.{kind}"));
        assert_eq!(
            (&check["ok"], &check["errno"]),
            (&false.into(), &"EPERM".into()),
            "{check}"
        );
        let goes = node
            .sh(&format!("{ORDINARY} ordinary unshare -r {option} true"))
            .status
            == 0;
        let check = one(&found, &format!("rootless.{kind}"));
        assert_eq!(
            (&check["ok"], &check["needed"]),
            (&goes.into(), &true.into()),
            "{check}"
        );
        every_kind &= goes;
    }
    assert_eq!(ok, every_kind, "{found}");
    let (ok, found) = checks(&node, &format!("{ORDINARY} ordinary"), "mkbox");
    assert_eq!(ok, one(&found, "rootless.mount")["ok"], "{found}");
    let (ok, found) = checks(&node, &format!("{ORDINARY} ordinary"), "netwire");
    assert_eq!(ok, one(&found, "rootless.net")["ok"], "{found}");
    assert_eq!(one(&found, "net-admin")["errno"], "EPERM");
    // Groups are made by root.
    let (ok, found) = checks(&node, &format!("{ORDINARY} ordinary"), "cgset");
    assert!(!ok, "{found}");
    assert_eq!(one(&found, "delegation")["ok"], false);
    // Without a place for the index nothing can be made, whatever else there is.
    let line = node
        .sh("setpriv --reuid 65534 --regid 65534 --clear-groups nsrun check")
        .ends(1);
    assert!(line.stdout.contains("\nmissing  run-dir "), "{line}");
    node.sh("rmdir /tmp/user").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_group_that_was_given_to_a_user_is_found() {
    let node = Node::new();
    // v1 has a hierarchy in each directory, v2 one in all.
    let before = format!(
        "{ORDINARY} chown -f 65534 /sys/fs/cgroup /sys/fs/cgroup/*/ /sys/fs/cgroup/cgroup.subtree_control; ordinary"
    );
    let (_, found) = checks(&node, &before, "cgset");
    assert_eq!(one(&found, "delegation")["ok"], true, "{found}");
    let list = found["checks"].as_array().expect("a list of checks");
    let is_group = |check: &&Value| {
        check["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("groups."))
    };
    let groups: Vec<&Value> = list.iter().filter(is_group).collect();
    assert!(
        !groups.is_empty() && groups.iter().all(|group| group["ok"] == true),
        "{found}"
    );
}

#[test]
fn a_limit_of_no_user_namespaces_is_named_as_in_the_error() {
    let node = Node::new();
    // Root of a user namespace may set the limit in it; without rights it has no other way than one more.
    let inside = |command: &str| {
        format!(
            "CHROOT0_RUN=/tmp/run unshare -r bash -c 'echo 0 >/proc/sys/user/max_user_namespaces && capsh --drop=all -- -c \"{command}\"'"
        )
    };
    let output = node.sh(&inside("nsrun check --json")).ends(1);
    let found = parse(&output, "nsrun");
    let user = one(&found, "namespace.user");
    assert_eq!(
        (&user["errno"], &user["needed"]),
        (&"ENOSPC".into(), &true.into()),
        "{user}"
    );
    assert_eq!(one(&found, "limits")["limits"]["user"], 0);
    let hint = user["hint"].as_str().expect("a cause");
    assert!(hint.ends_with("sysctl user.max_user_namespaces"), "{hint}");
    node.sh(&inside("nsrun exec --user true"))
        .ends(125)
        .says(hint);
    for tool in ["mkbox", "netwire"] {
        let output = node.sh(&inside(&format!("{tool} check --json"))).ends(1);
        parse(&output, tool);
    }
}

#[test]
fn what_is_mounted_over_proc_is_named() {
    let node = Node::new();
    let masked = "mount -t tmpfs none /proc/fs; mount --bind /dev/null /proc/meminfo;";
    let run = |command: &str| node.sh(&format!("unshare -m bash -c '{masked} {command}'"));
    let found = parse(&run("nsrun check --json").succeeds(), "nsrun");
    let masks = &one(&found, "proc.whole")["masks"];
    assert_eq!(masks, &serde_json::json!(["/proc/fs", "/proc/meminfo"]));
    let nested = one(&found, "rootless.proc");
    assert_eq!(nested["errno"], "EPERM", "{nested}");
    assert_eq!(
        one(&found, "proc.fresh")["ok"],
        true,
        "root needs no whole one"
    );
    let hint = nested["hint"].as_str().expect("a cause");
    run("nsrun exec --map-root-user --mount --pid --mount-proc true")
        .ends(125)
        .says(hint);
    node.assert_as_it_was();
}

#[test]
fn a_proc_of_another_pid_namespace_is_none_to_up_and_to_check() {
    let node = Node::new();
    let said = "that of another pid namespace is mounted on /proc (nsrun exec --mount-proc mounts one of ours)";
    node.sh("nsrun exec --pid -- nsrun up --id foo --net")
        .ends(1)
        .says("no /proc of this pid namespace");
    let run = node.sh("nsrun exec --pid -- nsrun check").ends(1);
    assert!(
        run.stdout
            .contains(&format!("missing  proc              {said}\n")),
        "{run}"
    );
    node.sh("nsrun exec --pid --mount-proc -- nsrun check >/dev/null")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn without_proc_and_in_a_chroot_it_still_tells() {
    let node = Node::new();
    for tool in TOOLS {
        let output = node.sh(&format!(
            "unshare -m bash -c 'mount -t tmpfs none /proc; timeout 60 {tool} check --json'"
        ));
        let found = parse(&output.ends(1), tool);
        assert_eq!(one(&found, "proc")["ok"], false);
    }
    node.sh("mkdir -p /tmp/root/proc; cp /mnt/tools/{nsrun,pause,cgset,mkbox,netwire} /tmp/root")
        .succeeds();
    let chroot = |command: &str| {
        node.sh(&format!(
            "unshare -m bash -c 'mount -t proc proc /tmp/root/proc; timeout 60 chroot /tmp/root {command}'"
        ))
    };
    let found = parse(&chroot("/nsrun check --json").succeeds(), "nsrun");
    assert_eq!(one(&found, "root")["ok"], false);
    let user = one(&found, "namespace.user");
    assert_eq!(user["errno"], "EPERM", "{user}");
    let hint = user["hint"].as_str().expect("a cause");
    assert!(hint.contains("chroot"), "{hint}");
    chroot("/nsrun exec --user /pause --version")
        .ends(125)
        .says(hint);
    // mkbox goes out of the chroot to the real root of its mount namespace first.
    let found = parse(&chroot("/mkbox check --json").succeeds(), "mkbox");
    assert_eq!(one(&found, "propagation")["ok"], true);
    assert_eq!(one(&found, "pivot_root")["ok"], true);
    parse(&chroot("/netwire check --json").succeeds(), "netwire");
    parse(&chroot("/cgset check --json").ends(1), "cgset");
    node.sh("rm -r /tmp/root").succeeds();
    node.assert_as_it_was();
}

/// A container of crun's whose filter refuses, hides or punishes every call that check tries.
const FILTERED: &str = r#"mkdir -p bundle/root/{dev,proc,run} && cp /mnt/tools/{nsrun,pause,cgset,mkbox,netwire} bundle/root && jq -cn '{
    ociVersion: "1.0.2", root: {path: "root"},
    mounts: [{destination: "/proc", type: "proc", source: "proc"}],
    process: {user: {uid: 0, gid: 0}, cwd: "/", env: ["PATH=/"], args: ["/\($ENV.TOOL)", "check", "--json"],
              capabilities: {bounding: ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"], effective: ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"], permitted: ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]}},
    linux: {namespaces: [{type: "mount"}, {type: "pid"}, {type: "network"}, {type: "ipc"}],
            seccomp: {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"], syscalls: [{
                names: ($ENV.CALLS | split(" ")), action: $ENV.ACTION,
                errnoRet: (if $ENV.ERRNO == "" then null else ($ENV.ERRNO | tonumber) end)} | del(..|nulls)]}}}' >bundle/config.json &&
    timeout 60 crun --root /tmp/crun --cgroup-manager=disabled run -b bundle c1 </dev/null"#;

/// All that is tried, and what makes a child to try it in.
const TRIED: &str = "unshare setns clone3 pidfd_open openat2 open_tree move_mount fsopen fsmount mount_setattr mount pivot_root close_range";

#[test]
fn a_filter_that_refuses_everything_stops_nothing_but_what_it_refuses() {
    let node = Node::new();
    if !node.has("crun") {
        return;
    }
    let run = |tool: &str, calls: &str, action: &str, errno: &str| {
        let output = node.sh(&format!(
            "export TOOL={tool} CALLS='{calls}' ACTION={action} ERRNO={errno}; {FILTERED}"
        ));
        parse(&output, tool)
    };
    for (action, errno, name) in [
        ("SCMP_ACT_ERRNO", "1", "EPERM"),
        ("SCMP_ACT_ERRNO", "38", "ENOSYS"),
        // The child that tries dies of it, and is believed.
        ("SCMP_ACT_KILL_PROCESS", "", "ENOSYS"),
    ] {
        let found = run("nsrun", TRIED, action, errno);
        for check in ["clone3", "pidfd", "close-range"] {
            assert_eq!(
                one(&found, check)["errno"],
                name,
                "{action} {errno}: {found}"
            );
        }
        assert_eq!(one(&found, "namespace.net")["errno"], name, "{found}");
        assert_eq!(one(&found, "seccomp")["ok"], false);
        let found = run("mkbox", TRIED, action, errno);
        assert_eq!(one(&found, "openat2")["errno"], name, "{found}");
        assert_eq!(one(&found, "namespace.mount")["errno"], name, "{found}");
        let found = run("netwire", TRIED, action, errno);
        assert_eq!(one(&found, "namespace.net")["errno"], name, "{found}");
        let found = run("cgset", TRIED, action, errno);
        assert_eq!(one(&found, "born-in-group")["errno"], name, "{found}");
        let found = run("netwire", &format!("{TRIED} socket"), action, errno);
        assert_eq!(one(&found, "netlink")["errno"], name, "{found}");
        assert_eq!(one(&found, "veth")["ok"], false, "{found}");
    }
    // No child can be made at all.
    for tool in TOOLS {
        let found = run(
            tool,
            &format!("{TRIED} clone fork vfork"),
            "SCMP_ACT_ERRNO",
            "1",
        );
        assert_eq!(found["ok"], false, "{found}");
    }
    let found = run(
        "nsrun",
        &format!("{TRIED} clone fork vfork"),
        "SCMP_ACT_ERRNO",
        "1",
    );
    let hint = one(&found, "namespace.net")["hint"].as_str();
    assert!(
        hint.is_some_and(|hint| hint.contains("seccomp filter")),
        "{found}"
    );
    node.sh("rm -rf bundle /tmp/crun").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_firewall_that_drops_what_is_forwarded_is_named() {
    let node = Node::new();
    if !node.has("nft") {
        return;
    }
    let (_, found) = checks(&node, "", "netwire");
    let policy = one(&found, "forward.policy");
    assert_eq!(
        (&policy["ok"], &policy["drop"]),
        (&true.into(), &serde_json::json!([]))
    );
    node.sh("nft 'add table inet wall; add chain inet wall out { type filter hook forward priority 0; policy drop; }; \
             add table ip open; add chain ip open out { type filter hook forward priority 5; policy accept; }; \
             add chain ip open in { type filter hook input priority 5; policy drop; }'").succeeds();
    let with_rules = node.world();
    let (ok, found) = checks(&node, "", "netwire");
    assert!(ok, "it is told, and no more: {found}");
    let policy = one(&found, "forward.policy");
    assert_eq!(policy["drop"], serde_json::json!(["inet wall out"]));
    assert_eq!(policy["accept"], serde_json::json!(["ip open out"]));
    node.assert_same(&with_rules, "netwire check changed something");
}

#[test]
fn a_box_is_looked_at_where_it_would_be() {
    let node = Node::new();
    let found = node
        .sh("mkbox check --json /home/namespace/no/such/box")
        .succeeds()
        .json();
    assert_eq!(one(&found, "box-dir")["path"], "/home/namespace");
    assert_eq!(one(&found, "box-dir")["type"], "tmpfs");
    // The machine's own files are read-only in a node.
    let found = node.sh("mkbox check --json /usr").ends(1).json();
    assert_eq!(one(&found, "box-dir")["errno"], "EROFS");
    let script = "mount -t tmpfs -o noexec none /media; mkbox check --json /media/box";
    let found = node
        .sh(&format!("unshare -m bash -c '{script}'"))
        .ends(1)
        .json();
    assert_eq!(one(&found, "box-dir.exec")["ok"], false);
    node.assert_as_it_was();
}

#[test]
fn what_cannot_be_written_is_an_error_and_what_cannot_be_read_is_usage() {
    let node = Node::new();
    for tool in TOOLS {
        let output = node.sh(&format!("{tool} check >/dev/full")).ends(1);
        assert_eq!(
            output.stderr,
            format!("{tool}: write(stdout): No space left on device\n")
        );
        let output = node.sh(&format!("{tool} check --bogus")).ends(2);
        output
            .says_one_line(tool)
            .says(&format!("(see {tool} check --help)"));
    }
}
