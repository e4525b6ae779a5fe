//! Machines that lack something: an old kernel, a container's filter, no /sys, groups that are only read, no CAP_SYS_ADMIN. What
//! there is a way round for works, by README's table; of the rest one line tells, and nothing is left. `down` runs there too.

use tests::Node;
use tests::life::live;

/// Newer than 5.10, which is the floor: without them all of it works.
const SINCE_5_11: &str = "epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret \
    process_mrelease futex_waitv set_mempolicy_home_node cachestat fchmodat2 close_range";

/// Older, and hidden by one filter or another.
const WITH_A_WAY_ROUND: [&str; 13] = [
    "close_range",
    "mount_setattr",
    "copy_file_range",
    "sendfile",
    "splice",
    "faccessat2",
    "getrandom",
    "memfd_create",
    "rseq",
    "name_to_handle_at",
    "keyctl",
    "getcpu",
    "pidfd_getfd",
];

/// Without a way round, and which steps say so; those after them find a record that failed.
const NEEDED: [(&str, &[&str]); 13] = [
    ("clone3", &["nsrun-up"]),
    ("pidfd_open", &["nsrun-up", "nsrun-exec-new"]),
    ("pidfd_send_signal", &["nsrun-up"]),
    ("setns", &["netwire-up"]),
    ("openat2", &["mkbox-up"]),
    ("open_tree", &["mkbox-exec"]),
    ("move_mount", &["mkbox-exec"]),
    ("fsopen", &["mkbox-exec"]),
    ("fsmount", &["mkbox-exec"]),
    ("unshare", &["mkbox-exec"]),
    ("pivot_root", &["mkbox-exec"]),
    // Of nsrun behind the pivot, which is not of the box.
    ("execveat", &["mkbox-exec"]),
    ("prlimit64", &["mkbox-exec", "nsrun-drop"]),
];

/// The steps that fail where `calls` answer ENOSYS.
fn without(node: &Node, calls: &str) -> Vec<String> {
    let names: Vec<&str> = calls.split_whitespace().collect();
    let profile = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]});
    let filter = "exec nsrun drop --caps keep --seccomp /dev/stdin --no-new-privs=no --keep-env -- bash -c \"$LIFE\"";
    let (run, failed) = live(node, filter, &profile.to_string());
    run.succeeds();
    node.assert_same(node.before(), &format!("without {calls}: {failed:#?}"));
    let first = failed.into_iter().filter(|failed| failed.is_first());
    first
        .map(|failed| {
            assert!(
                failed.said.contains("Function not implemented"),
                "without {calls}: {failed:?}"
            );
            failed.step
        })
        .collect()
}

#[test]
fn a_kernel_of_the_floor_and_each_call_that_has_a_way_round() {
    let node = Node::new();
    for calls in std::iter::once(SINCE_5_11).chain(WITH_A_WAY_ROUND) {
        assert_eq!(without(&node, calls), [""; 0], "without {calls}");
    }
}

#[test]
fn what_has_no_way_round_says_so_and_leaves_nothing() {
    let node = Node::new();
    for (call, steps) in NEEDED {
        assert_eq!(without(&node, call), steps, "without {call}");
    }
}

/// What is not there, how that is brought about, and which steps say so.
const LACKING: [(&str, &str, &[&str]); 5] = [
    (
        "/sys",
        "unshare -m sh -c 'mount -t tmpfs none /sys && exec bash -c \"$LIFE\"'",
        &["cgset-up"],
    ),
    (
        "groups that can be written",
        "unshare -m sh -c 'for at in /sys/fs/cgroup $(ls -d /sys/fs/cgroup/*); do mount -o remount,bind,ro $at 2>/dev/null; done; exec bash -c \"$LIFE\"'",
        &["cgset-up"],
    ),
    (
        "CAP_SYS_ADMIN",
        "setpriv --bounding-set=-sys_admin bash -c \"$LIFE\"",
        &["nsrun-up", "mkbox-exec"],
    ),
    (
        "CAP_NET_ADMIN",
        "setpriv --bounding-set=-net_admin bash -c \"$LIFE\"",
        // Who may not make may not remove either.
        &["netwire-up", "netwire-down"],
    ),
    (
        "what docker's containers do not have",
        "nsrun exec --mount --pid --net --ipc --uts --cgroup --mount-proc -- \
            nsrun drop --caps docker --keep-env -- bash -c \"$LIFE\"",
        &["nsrun-up", "nsrun-exec-new", "mkbox-exec"],
    ),
];

#[test]
fn a_machine_that_lacks_something_says_so_and_nothing_is_left() {
    let node = Node::new();
    for (what, around, steps) in LACKING {
        let (run, failed) = live(&node, around, "");
        let run = run.succeeds();
        if steps.contains(&"netwire-down") {
            node.sh("netwire down --id foo >/dev/null").succeeds();
        }
        node.assert_same(node.before(), &format!("without {what}: {run}"));
        let first = failed.iter().filter(|failed| failed.is_first());
        let first: Vec<&str> = first.map(|failed| failed.step.as_str()).collect();
        assert_eq!(first, steps, "without {what}: {failed:#?}");
    }
}

#[test]
fn without_proc_every_tool_says_so() {
    let node = Node::new();
    for (command, status) in [
        ("cgset up --id foo", 1),
        ("nsrun up --id foo --net", 1),
        ("netwire up --id foo --netns 1 --subnet 10.9.9.0/24", 1),
        ("nsrun exec --map-root-user --net -- true", 125),
        // These ask it nothing.
        ("mkbox up -q --copy echo box", 0),
        ("nsrun drop -- true", 0),
    ] {
        let tool = command.split(' ').next().unwrap_or_default();
        let run = node
            .sh(&format!(
                "unshare -m sh -c 'umount -l /proc && exec {command} >/dev/null'"
            ))
            .ends(status);
        if status != 0 {
            run.says_one_line(tool).says("/proc/self");
        }
        for tool in ["nsrun", "netwire", "cgset"] {
            node.sh(&format!("{tool} down --id foo >/dev/null"))
                .succeeds();
        }
        node.sh("mkbox down --id box >/dev/null").succeeds();
        node.assert_same(node.before(), command);
    }
}
