//! Records that lie: a process that is another's, paths that lead elsewhere, things that others made. Nothing is touched.

use tests::Node;
use tests::pod::UP;

fn tool(command: &str) -> &str {
    command.split(' ').next().unwrap_or_default()
}

/// A pod, and what a changed record of it is used for.
fn with_changed_record(change: &str, check: impl Fn(&Node)) {
    let node = Node::new();
    node.sh(UP).succeeds();
    node.sh(&format!("jq -c '{change}' foo.json >changed.json"))
        .succeeds();
    check(&node);
    node.sh("nsrun down <foo.json | netwire down | cgset down >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_recycled_pid_is_refused() {
    for change in [
        ".nsrun.starttime += 1",
        ".nsrun.boot_id = \"00000000-0000-0000-0000-000000000000\"",
    ] {
        with_changed_record(change, |node| {
            let world = node.world();
            // Without the index, the record is all there is: it must not be believed.
            node.sh("nsrun exec -P changed.json -- touch ran")
                .ends(125)
                .says_one_line("nsrun");
            node.sh("cgset exec -P changed.json app -- nsrun exec -P changed.json -- touch ran")
                .ends(125);
            node.sh("rmdir /sys/fs/cgroup/*/pod-foo/app 2>/dev/null; true")
                .succeeds();
            node.assert_same(&world, "a record of a process that is gone was joined");
            node.sh("kill -0 $(jq .nsrun.pid foo.json)").succeeds();
        });
    }
}

#[test]
fn a_stranger_is_never_signalled() {
    let node = Node::new();
    // A process of the node itself, in the node's own namespaces, described truly: it is not a pod.
    node.sh("setsid sleep 1000 >/dev/null 2>&1 & echo $! >pid
         pid=$(cat pid); ino() { stat -Lc %i /proc/$pid/ns/$1; }
         jq -nc --argjson pid $pid --argjson start $(awk '{print $22}' /proc/$pid/stat) --arg boot $(cat /proc/sys/kernel/random/boot_id) \
           --argjson net $(ino net) --argjson pidns $(ino pid) --argjson mnt $(ino mnt) --argjson uts $(ino uts) --argjson ipc $(ino ipc) \
           '{ociVersion:\"1.0.2\",id:\"foo\",linux:{namespaces:[{type:\"network\",path:\"/proc/\\($pid)/ns/net\"},{type:\"pid\",path:\"/proc/\\($pid)/ns/pid\"}]},
             nsrun:{pid:$pid,starttime:$start,boot_id:$boot,namespaces:{net:$net,pid:$pidns,mnt:$mnt,uts:$uts,ipc:$ipc},
             ids:{net:1,uts:2,ipc:3},made:[\"net\",\"pid\",\"uts\",\"ipc\"]}}' >foreign.json").succeeds();
    let world = node.world();
    node.sh("nsrun down --grace 0.1 <foreign.json >/dev/null; true");
    node.sh("nsrun down --grace 0.1 --id foo >/dev/null; true");
    node.sh("kill -0 $(cat pid)").succeeds();
    node.assert_same(&world, "nsrun down on a stranger");
    let wire = node.sh("netwire up --subnet 10.9.9.0/24 <foreign.json");
    assert!([1, 2].contains(&wire.status), "{wire}");
    wire.says_one_line("netwire").says("own network namespace");
    node.assert_same(&world, "netwire up on the node's own network");
    // the same in groups that are not the pod's
    node.sh("mkdir /sys/fs/cgroup/pids/mine; echo $(cat pid) >/sys/fs/cgroup/pids/mine/tasks
         jq -c '. + {cgset:{groups:{pids:\"/sys/fs/cgroup/pids/mine\"},join:\"pause\",boot_id:.nsrun.boot_id}}' foreign.json >grouped.json").succeeds();
    node.sh("cgset down --kill <grouped.json >/dev/null; nsrun down --grace 0.1 <grouped.json >/dev/null; true");
    node.sh("kill -0 $(cat pid) && test -d /sys/fs/cgroup/pids/mine")
        .succeeds();
    node.sh("kill $(cat pid); while ! rmdir /sys/fs/cgroup/pids/mine 2>/dev/null; do :; done; rm *.json pid").succeeds();
    node.becomes_as_it_was();
}

#[test]
fn hostile_namespace_paths_are_refused() {
    let node = Node::new();
    node.sh("echo data >file").succeeds();
    let world = node.world();
    for path in [
        "file",
        "../proc/1/ns/net",
        "", // relative; empty means new to nsrun, and no network to netwire
        "/proc/self/../1/ns/net",
        "/home/namespace/file",
        "/proc/1/ns/uts",
        "/no/such",
        "/dev/zero",
        "/proc/1/ns/net\\u0000",
    ] {
        let record = format!(
            r#"{{"id":"foo","linux":{{"namespaces":[{{"type":"network","path":"{path}"}}]}}}}"#
        );
        let wire = node.sh_with("netwire up --subnet 10.9.9.0/24", &record);
        assert!([1, 2].contains(&wire.status), "{wire}");
        wire.says_one_line("netwire");
        if !path.is_empty() {
            let run = node
                .sh_with(
                    "cat >foo.json; nsrun exec -P foo.json -- touch ran",
                    &record,
                )
                .ends(125);
            run.says_one_line("nsrun");
            let up = node.sh_with("nsrun up --uts", &record);
            assert!([1, 2].contains(&up.status), "{up}");
            up.says_one_line("nsrun");
            node.sh("rm foo.json").succeeds();
        }
        node.assert_same(&world, path);
    }
    // the node's own network by its own name: a veth from here to here helps nobody
    let own = r#"{"id":"foo","linux":{"namespaces":[{"type":"network","path":"/proc/1/ns/net"}]}}"#;
    let wire = node.sh_with("netwire up --subnet 10.9.9.0/24", own);
    assert!([1, 2].contains(&wire.status), "{wire}");
    wire.says_one_line("netwire");
    node.assert_same(&world, "netwire up on the node's own network");
}

#[test]
fn a_fifo_in_place_of_a_namespace_does_not_hang() {
    let node = Node::new();
    node.sh("mkfifo fifo").succeeds();
    let world = node.world();
    let record =
        r#"{"id":"foo","linux":{"namespaces":[{"type":"network","path":"/home/namespace/fifo"}]}}"#;
    for command in [
        "netwire up --subnet 10.9.9.0/24",
        "nsrun up --uts",
        "nsrun up --id foo --net=fifo",
        "nsrun exec --net=fifo -- touch ran",
        "netwire up --id foo --netns fifo --subnet 10.9.9.0/24",
    ] {
        let run = node.sh_with(&format!("timeout 10 {command}"), record);
        assert!([1, 2, 125].contains(&run.status), "{run}");
        run.says_one_line(tool(command));
        node.assert_same(&world, command);
    }
}

#[test]
fn hostile_group_paths_are_refused() {
    let node = Node::new();
    node.sh("mkdir -p victim/pause /sys/fs/cgroup/memory/other; touch victim/tasks victim/cgroup.procs victim/pause/tasks victim/pause/cgroup.procs").succeeds();
    let world = node.world();
    for path in [
        "/home/namespace/victim",
        "/sys/fs/cgroup/memory/../../../../home/namespace/victim",
        "/sys/fs/cgroup/memory/pod-foo/../other",
        "victim",
        "/",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/memory/other",
        "/sys/fs/cgroup",
    ] {
        let record = format!(
            r#"{{"id":"foo","linux":{{"cgroupsPath":"/pod-foo"}},"cgset":{{"groups":{{"memory":"{path}"}},"join":"pause","effective":{{}}}}}}"#
        );
        // down: refused, or "not mine, so already gone"; in no case anything of it is touched
        let down = node.sh_with("cgset down --kill >/dev/null", &record);
        assert!([0, 1, 2].contains(&down.status), "{down}");
        node.sh_with("cat >foo.json; nsrun exec -P foo.json -- true", &record);
        node.sh_with("nsrun up --net >/dev/null; nsrun down --id foo >/dev/null; cgset down --id foo >/dev/null; rm -r foo.json /run/chroot0; rmdir /sys/fs/cgroup/memory/other/{pause,exec} 2>/dev/null; true", &record);
        node.assert_same(&world, path);
    }
    for path in ["../x", "relative", "/a/../../b", "/\\u0000"] {
        let record = format!(r#"{{"id":"foo","linux":{{"cgroupsPath":"{path}"}}}}"#);
        // refused, or not followed: the group is the one that the id gives
        let up = node.sh_with("cgset up memory.max=1Gi", &record);
        if up.status == 0 {
            assert_eq!(up.json()["linux"]["cgroupsPath"], "/pod-foo", "{up}");
            node.sh_with("cgset down >/dev/null", &up.stdout).succeeds();
        } else {
            up.says_one_line("cgset");
        }
        node.assert_same(&world, path);
    }
}

#[test]
fn hostile_network_records_remove_nothing_of_others() {
    let node = Node::new();
    node.sh(UP).succeeds();
    node.sh("ip link add mine type veth peer name mine2; ip link set mine up")
        .succeeds();
    let link = node
        .sh("jq -r '.netwire.interfaces[0].name' foo.json")
        .stdout
        .trim()
        .to_owned();
    let world = node.world();
    for (name, address) in [
        ("mine", "10.9.9.2"),
        ("lo", "127.0.0.1"),
        (link.as_str(), "10.244.0.2"),
        ("../../x", "10.244.0.2"),
    ] {
        let record = format!(
            r#"{{"id":"bar","netwire":{{"cniVersion":"1.1.0","interfaces":[{{"name":"{name}"}},{{"name":"eth0","sandbox":"/proc/1/ns/net"}}],"ips":[{{"interface":1,"address":"{address}/24","gateway":"10.244.0.1"}}],"routes":[],"dns":{{}},"attachments":[{{"ifname":"eth0","host":"{name}","ifindex":1,"subnet":"10.244.0.0/24","address":"{address}"}}]}}}}"#
        );
        let down = node.sh_with("netwire down >/dev/null", &record);
        assert!(
            [0, 1, 2].contains(&down.status) && !down.stderr.contains("panicked"),
            "{down}"
        );
        node.assert_same(&world, name);
    }
    node.sh("ip link delete mine; nsrun down <foo.json | netwire down | cgset down >/dev/null; rm foo.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_pod_of_another_pid_namespace_is_not_taken_for_gone() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json").succeeds();
    let world = node.world();
    // The same /run, and numbers that are of others.
    for verb in [
        "down --id foo",
        "up --id foo --net",
        "kill --id foo",
        "exec -P foo.json true",
    ] {
        let run = node.sh(&format!(
            "nsrun exec --pid --mount --mount-proc -- nsrun {verb}"
        ));
        assert!(run.status != 0, "{run}");
        assert!(run.stderr.contains("another pid namespace"), "{run}");
        node.assert_same(&world, verb);
    }
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}
