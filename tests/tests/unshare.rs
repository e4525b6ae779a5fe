//! `nsrun exec` in the place of unshare(1) and nsenter(1): the same words do the same.

use tests::Node;

/// Runs `script` with `@` as the peer and as ours, and compares what both say.
#[track_caller]
fn same(node: &Node, peer: &str, script: &str) {
    let run = |tool: &str| {
        let run = node.sh(&script.replace('@', tool));
        (run.status, run.stdout, run.stderr)
    };
    let (theirs, ours) = (run(peer), run("nsrun exec"));
    assert_eq!(theirs, ours, "{script}: {peer} on the left");
    assert!(
        !theirs.1.is_empty() || theirs.0 != 0,
        "{script} says nothing, so nothing is compared"
    );
}

/// What there is before.
const OUTSIDE: &str = "export LC_ALL=C OUTSIDE=\"$(readlink /proc/self/ns/*)\"";

/// Which namespaces are others now and who one is in them.
const LOOK: &str = "sh -c 'for n in mnt net pid uts ipc user cgroup time; do
        case $OUTSIDE in *$(readlink /proc/self/ns/$n)*) echo $n the same;; *) echo $n another;; esac
    done; id; cat /proc/self/uid_map /proc/self/setgroups; grep -E \"Cap(Eff|Prm|Bnd|Amb)\" /proc/self/status; pwd; hostname'";

#[test]
fn the_words_of_unshare_mean_the_same() {
    let node = Node::new();
    for options in [
        "--mount --uts --ipc --net --cgroup",
        "-muin",
        "--pid --fork",
        "-pf --mount-proc",
        "-r",
        "-rmn --propagation slave",
        "-c --uts",
        "--map-root-user --pid --fork --mount-proc",
        "--map-user 1000 --map-group=100",
        "--user",
        "-U --setgroups deny",
        "-T --fork",
        "--fork --kill-child=TERM",
        "-S 7 -G 8",
        "--setuid=65534 --setgid=65534",
        "-r -w /tmp",
        "-c --keep-caps",
    ] {
        same(&node, "unshare", &format!("{OUTSIDE}; @ {options} {LOOK}"));
    }
}

#[test]
fn the_lines_of_the_tutorial() {
    let node = Node::new();
    node.sh("mkbox up --copy bash,ls,ps --proc box >box.json")
        .succeeds();
    for line in [
        "@ --pid --net --fork --mount-proc=box/proc chroot box /bin/bash -c 'ps -e -o pid,args'",
        "@ --pid --fork --mount-proc --root=box /bin/bash -c 'echo $$; ls /'",
        "@ --mount --uts --ipc --net --pid --fork --user --map-root-user bash -c 'echo $$; id -u'",
        "@ --pid --fork --mount-proc ps -e -o pid,args",
        "@ -p -f sh -c 'exit 7' || echo $?",
    ] {
        same(&node, "unshare", line);
    }
    node.sh("mkbox down <box.json >/dev/null; rm box.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn clocks_are_ahead_or_behind() {
    let node = Node::new();
    for options in [
        "--boottime 86400",
        "--monotonic 7 --boottime 9",
        "--boottime=-1",
    ] {
        // the tail of the file only: unshare lets CMD's children in, and CMD itself is one
        same(
            &node,
            "unshare",
            &format!("@ -T --fork {options} cat /proc/self/timens_offsets | tr -s ' '"),
        );
    }
    node.sh(
        "nsrun exec --boottime 0.25 --monotonic=-1.5 cat /proc/self/timens_offsets | tr -s ' '",
    )
    .succeeds()
    .prints("monotonic -2 500000000\nboottime 0 250000000");
    // As root of a user namespace, whose the time namespace is.
    node.sh(
        "nsrun exec -rp --boottime 864000 -- sh -c 'read up rest </proc/uptime; echo ${up%.*}'",
    )
    .succeeds()
    .stdout
    .trim()
    .parse::<u64>()
    .map(|seconds| assert!(seconds >= 864_000, "{seconds}"))
    .unwrap();
    // Whoever is somebody else inside may still set them.
    node.sh("nsrun up --id foo --map-users 0:1000:5 --map-groups 0:1000:5 --boottime 9 >foo.json; cat /proc/$(jq .nsrun.pid foo.json)/timens_offsets | tr -s ' '; nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds()
        .prints("monotonic 0 0\nboottime 9 0");
    let run = node.sh("nsrun exec --boottime=-99999999999 true").ends(125);
    assert!(
        run.stderr.contains("no clock may be behind the start"),
        "{run}"
    );
    node.assert_as_it_was();
}

#[test]
fn the_words_of_nsenter_mean_the_same() {
    let node = Node::new();
    node.sh("nsrun up --id foo -mpiunC --mount-proc >foo.json; nsrun up --id bar -r -n --uts --map-auto 2>/dev/null >bar.json || nsrun up --id bar -r -n --uts >bar.json")
        .succeeds();
    for (pod, options) in [
        ("foo", "-a"),
        ("foo", "--all"),
        ("foo", "--mount --net"),
        ("foo", "-n -u -i"),
        ("foo", "-p"),
        ("foo", "-n -S 7 -G 8"),
        ("bar", "-a"),
        ("bar", "-U -n"),
        ("bar", "-n"),
    ] {
        same(
            &node,
            "nsenter",
            &format!(
                "cd /; {OUTSIDE}; t=$(jq .nsrun.pid /home/namespace/{pod}.json); @ -t $t {options} {LOOK}"
            ),
        );
    }
    node.sh("nsrun down <foo.json >/dev/null; nsrun down <bar.json >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn the_groups_of_a_process_are_entered() {
    let node = Node::new();
    node.sh("cgset up --id foo memory.max=64Mi | nsrun up --net >foo.json")
        .succeeds();
    node.sh("t=$(jq .nsrun.pid foo.json)
         nsrun exec -t $t --join-cgroup cat /proc/self/cgroup >ours
         cmp ours /proc/$t/cgroup && grep -c '/pod-foo/pause$' ours | tr 0-9 n
         nsrun exec -t $t --join-cgroup -n cat /proc/self/cgroup | cmp - ours && echo same")
        .succeeds()
        .prints("n\nsame");
    node.sh("nsrun down <foo.json | cgset down >/dev/null; rm foo.json ours")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_chroot_is_no_hindrance() {
    let node = Node::new();
    // A plain directory: / is no mount point there, and what holds it cannot be seen from inside.
    node.sh("mkbox up --copy bash,cat,ls,grep box >box.json; cp /mnt/tools/nsrun box/bin; mkdir box/proc")
        .succeeds();
    let world = node.world();
    node.sh(
        "chroot box /bin/bash -c '
             nsrun exec -m -p --mount-proc -- bash -c \"echo \\$\\$; cat /proc/1/comm; ls /; grep -c . /proc/self/mountinfo\"
             ls /proc
             nsrun exec -m -n -u -i -- bash -c \"ls /; cd /bin; nsrun exec -m -- bash -c pwd\"'",
    )
    .succeeds()
    .prints("1\nbash\nbin\nlib\nlib64\nproc\n1\nbin\nlib\nlib64\nproc\n/bin");
    node.assert_same(&world, "something of the chroot leaked");
    node.sh("rm box/bin/nsrun; rmdir box/proc; mkbox down <box.json >/dev/null; rm box.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn s3_nothing_but_the_kernel_is_needed() {
    let node = Node::new();
    // No /proc, no /tmp, no /etc, no locale, nothing to read: a directory with one program.
    node.sh("mkdir bare && cp /mnt/tools/nsrun /mnt/tools/pause bare && cp $(command -v busybox) bare/busybox")
        .succeeds();
    let run = |line: &str| {
        node.sh(&format!(
            "env -i $(command -v chroot) bare /nsrun exec {line}"
        ))
    };
    run("-muinpC -- /busybox sh -c 'echo $$'")
        .succeeds()
        .prints("1");
    run("-n /busybox echo x").succeeds().prints("x");
    let answer = run("-r /busybox true").ends(125);
    assert!(answer.stderr.contains("/proc"), "{answer}");
    node.sh("rm -r bare").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_pod_with_clocks_and_processes_of_its_own_is_joined() {
    let node = Node::new();
    node.sh("nsrun up --id foo --time --pid --net --boottime 86400 >foo.json")
        .succeeds();
    node.sh("nsrun exec -P foo.json -- cat /proc/self/timens_offsets | tr -s ' ' | grep boottime")
        .succeeds()
        .says("boottime 86400 0");
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}
