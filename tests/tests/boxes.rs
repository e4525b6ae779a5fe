//! Nothing outside a box is ever changed or deleted, whatever is in it.

use tests::Node;

/// Something that must still be there afterwards.
const VICTIM: &str =
    "mkdir -p victim/deep && echo precious >victim/file && echo precious >victim/deep/file";

const STILL_THERE: &str = "cat victim/file victim/deep/file";

#[track_caller]
fn victim_lives(node: &Node) {
    node.sh(STILL_THERE).succeeds().prints("precious\nprecious");
}

#[test]
fn s16_a_bind_of_the_same_file_system_survives_down() {
    let node = Node::new();
    node.sh(VICTIM).succeeds();
    node.sh("mkbox up --copy bash,ls,rm --proc --bind $PWD/victim:/data box >box.json")
        .succeeds();
    let world = node.world();
    // while a container lives in it, with the bind seen from within
    node.sh(
        "coproc { exec mkbox exec -P box.json -- /bin/bash -c 'echo $(ls /data); read x'; }
             read -r seen <&${COPROC[0]}; echo $seen
             mkbox down <box.json >failed.json; echo $?
             eval \"exec ${COPROC[1]}>&-\"; wait $COPROC_PID 2>/dev/null; rm failed.json",
    )
    .succeeds()
    .prints("deep file\n1");
    node.assert_same(&world, "a refused down removed something");
    node.sh("mkbox down <box.json >/dev/null; rm box.json")
        .succeeds();
    victim_lives(&node);
    node.sh("rm -r victim").succeeds();
    node.assert_as_it_was();
}

#[test]
fn down_refuses_while_something_is_mounted_below() {
    let node = Node::new();
    node.sh(&format!(
        "{VICTIM}; mkbox up --copy ls --proc --bind $PWD/victim:/data box >box.json"
    ))
    .succeeds();
    for (mount, umount) in [
        // of the same file system, which no device number tells apart
        ("mount --bind victim box/data", "umount box/data"),
        ("mount -t tmpfs none box/bin", "umount box/bin"),
        ("mount --bind victim/file box/bin/ls", "umount box/bin/ls"),
        ("mount --bind box box", "umount box"),
    ] {
        node.sh(mount).succeeds();
        let world = node.world();
        let run = node
            .sh("mkbox down <box.json >/dev/null")
            .ends(1)
            .says_one_line("mkbox");
        assert!(run.stderr.contains("mount"), "{run}");
        node.assert_same(&world, mount);
        node.sh(umount).succeeds();
    }
    victim_lives(&node);
    node.sh("mkbox down <box.json >/dev/null; rm -r victim box.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn down_refuses_while_a_process_runs_in_it() {
    let node = Node::new();
    node.sh("mkbox up --copy bash,sleep --proc box >box.json")
        .succeeds();
    for (start, what) in [
        (
            "exec mkbox exec -P box.json -- /bin/bash -c 'echo up; read x'",
            "its root",
        ),
        (
            "exec chroot box /bin/bash -c 'echo up; read x'",
            "its root, by chroot",
        ),
    ] {
        let world = node.world();
        node.sh(&format!("coproc {{ {start}; }}; read -r up <&${{COPROC[0]}}; mkbox down <box.json >/dev/null; echo $?; eval \"exec ${{COPROC[1]}}>&-\"; wait $COPROC_PID 2>/dev/null; true"))
            .prints("1")
            .says_one_line("mkbox");
        node.assert_same(&world, what);
    }
    node.sh("mkbox down <box.json >/dev/null; rm box.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn what_its_processes_wrote_goes_with_the_box() {
    let node = Node::new();
    node.sh("mkbox up --copy bash,ln,mkdir,chmod,mkfifo --proc box >box.json")
        .succeeds();
    node.sh(r#"mkbox exec -P box.json -- /bin/bash -c 'mkdir -p /a/b/c /closed; echo x >/a/b/c/d; ln -s / /a/root; ln -s ../../../../.. /a/up; mkfifo /a/fifo; chmod 0 /closed; echo > "/a/new
line"; ln /a/b/c/d /bin/hard'"#).succeeds();
    // deeper than any stack or path may be
    node.sh("cd box; for i in $(seq 300); do mkdir 0123456789012345 && cd 0123456789012345; done")
        .succeeds();
    node.sh("mkbox show -P box.json")
        .succeeds()
        .says("a tree deeper than 256 directories");
    for verb in ["verify", "pack -o out.tar"] {
        node.sh(&format!(
            "mkbox {verb} -P box.json; s=$?; ls out* .out* 2>/dev/null; exit $s"
        ))
        .ends(1)
        .says_one_line("mkbox")
        .prints("");
    }
    node.sh("mkbox down <box.json >/dev/null; rm box.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn links_in_a_hostile_box_lead_nowhere() {
    let node = Node::new();
    node.sh(VICTIM).succeeds();
    let home = "/home/namespace";
    for link in ["proc", "data", "dev", "bin", "lib", "lib64", "sys", "tmp"] {
        for target in [
            format!("{home}/victim"),
            "../victim".into(),
            format!("/proc/self/root{home}/victim"),
            format!("{home}/not/there"),
            format!("/proc/1/root{home}/victim"),
        ] {
            node.sh(
                "mkbox up --copy bash,ls,true --proc --bind /tmp:/data --tmpfs /tmp box >box.json",
            )
            .succeeds();
            // as a process of the box would leave it
            node.sh(&format!("rm -rf box/{link}; ln -s {target} box/{link}"))
                .succeeds();
            let world = node.world();
            for command in [
                "mkbox exec -P box.json -- /bin/true",
                "mkbox exec box -- /bin/true",
                "mkbox show box",
            ] {
                let run = node.sh(command);
                assert!(!run.stderr.contains("panicked"), "{run}");
                node.assert_same(&world, &format!("{command}, {link} -> {target}"));
            }
            let again = node.sh(
                "mkbox up --copy bash,ls,true --proc --bind /tmp:/data --tmpfs /tmp box >/dev/null",
            );
            assert!(!again.stderr.contains("panicked"), "{again}");
            victim_lives(&node);
            node.sh("mkbox down <box.json >/dev/null").succeeds();
            victim_lives(&node);
            node.sh("rm box.json").succeeds();
        }
    }
    node.sh("rm -r victim").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_box_that_is_not_ours_is_not_removed() {
    let node = Node::new();
    node.sh(VICTIM).succeeds();
    node.sh("mkbox up --copy ls box >box.json").succeeds();
    let world = node.world();
    for path in [
        "/home/namespace/victim",
        "/home/namespace",
        "/",
        "/home/namespace/box/../victim",
        "/home/namespace/box/bin",
        "/tmp",
        "/no/such",
        "victim",
        "/home/namespace/victim\\u0000",
    ] {
        let run = node.sh(&format!("jq -c '.root.path = \"{path}\" | .mkbox.root = \"{path}\"' box.json | CHROOT0_RUN=/tmp/elsewhere mkbox down >/dev/null; rm -rf /tmp/elsewhere"));
        assert!(!run.stderr.contains("panicked"), "{run}");
        node.assert_same(&world, path);
    }
    // another directory in its place
    node.sh("mv box moved; mkdir box; echo mine >box/file")
        .succeeds();
    let world = node.world();
    let run = node
        .sh("mkbox down <box.json >/dev/null")
        .ends(1)
        .says_one_line("mkbox");
    node.assert_same(&world, &run.script);
    node.sh("rm -r box; mv moved box; mkbox down <box.json >/dev/null; rm -r box.json victim")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_link_or_a_full_directory_in_place_of_a_new_box_is_refused() {
    let node = Node::new();
    node.sh(VICTIM).succeeds();
    node.sh("ln -s victim link; ln -s /no/such dangling; touch file")
        .succeeds();
    let world = node.world();
    for place in [
        "victim", "link", "dangling", "file", "link/", "file/box", "/", "/proc", ".",
    ] {
        let run = node.sh(&format!("mkbox up --id foo --copy ls {place} >/dev/null"));
        assert!([1, 2].contains(&run.status), "{run}");
        run.says_one_line("mkbox");
        node.assert_same(&world, place);
    }
    node.sh("mkbox up --id foo --copy no-such-program box >/dev/null")
        .ends(1)
        .says_one_line("mkbox")
        .says("no-such-program");
    node.assert_same(&world, "a program that is not there");
}

#[test]
fn s13_the_host_s_mount_table_never_changes() {
    let node = Node::new();
    let mounts = |node: &Node| {
        node.world()
            .of("mount")
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let before = mounts(&node);
    node.sh("mkbox up --copy bash,ls --proc --bind /tmp:/data box >box.json")
        .succeeds();
    assert_eq!(mounts(&node), before);
    // seen from outside while it runs
    node.sh("grep -c . /proc/self/mountinfo; coproc { exec mkbox exec -P box.json -- /bin/bash -c 'echo up; read x'; }; read -r up <&${COPROC[0]}; grep -c . /proc/self/mountinfo; eval \"exec ${COPROC[1]}>&-\"; wait $COPROC_PID; true")
        .succeeds()
        .prints(&format!("{0}\n{0}", before.len()));
    assert_eq!(mounts(&node), before);
    node.sh("mkbox down <box.json >/dev/null; rm box.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn s12_the_box_is_small_and_runs_what_was_copied() {
    let node = Node::new();
    let made = node.sh("mkbox up --copy bash,ip,ls,mount,umount,kill,ps,curl,pidof,expr,rm --proc box | tee box.json").succeeds().json();
    let bytes = made["mkbox"]["bytes"].as_u64().unwrap_or(u64::MAX);
    assert!(bytes < 100_000_000, "tens of megabytes: {bytes}");
    node.sh("find box -type f | wc -l")
        .prints(&made["mkbox"]["files"].to_string());
    for program in [
        "bash --version",
        "ip -V",
        "ls /",
        "mount",
        "umount -V",
        "kill -l",
        "ps",
        "curl --version",
        "pidof -h",
        "expr 1 + 1",
        "rm --version",
    ] {
        let run = node.sh(&format!("mkbox exec -P box.json -- {program}"));
        assert!(![125, 126, 127].contains(&run.status), "{run}");
        assert!(
            !run.stderr.contains("error while loading shared libraries"),
            "{run}"
        );
    }
    node.sh("mkbox down <box.json >/dev/null; rm box.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn up_in_a_pod_s_own_mount_namespace_leaves_the_host_s_table_alone() {
    let node = Node::new();
    let before: Vec<String> = node.world().of("mount").map(str::to_owned).collect();
    node.sh("nsrun up --id foo --mount --pid --net --ipc | mkbox up -P - --copy bash,ls,cat --proc --sys --dev --mask --bind /tmp:/data /home/namespace/box >foo.json").succeeds();
    let now: Vec<String> = node.world().of("mount").map(str::to_owned).collect();
    assert_eq!(now, before);
    // /proc is that of the pod's pid namespace, /sys that of its network namespace, whoever made the mounts.
    node.sh("nsrun exec -P foo.json -- mkbox exec -P /home/namespace/foo.json -- bash -c 'echo /proc/[0-9]*; ls /sys/class/net; ls -d /dev/pts/ptmx; cat /proc/keys'")
        .succeeds()
        .says("\nlo\n/dev/pts/ptmx");
    let pids = node.sh("nsrun exec -P foo.json -- mkbox exec -P /home/namespace/foo.json -- bash -c 'echo /proc/[0-9]*'").succeeds();
    assert!(pids.stdout.split_whitespace().count() < 5, "{pids}");
    // The same from outside, in a namespace of its own.
    node.sh("mkbox exec -P foo.json -- ls -d /proc/1 /data")
        .succeeds();
    // The same record again is the same box; one more set of mounts would be one too many.
    node.sh("mkbox up <foo.json | cmp - foo.json").succeeds();
    node.sh("nsrun exec -P foo.json -- grep -c ' /home/namespace/box/data ' /proc/self/mountinfo")
        .prints("1");
    // In use in there, it is not removed; nothing of it is unmounted either.
    node.sh(
        "coproc { exec nsrun exec -P foo.json -- mkbox exec -P /home/namespace/foo.json -- /bin/bash -c 'echo up; read x'; }
             read -r up <&${COPROC[0]}
             mkbox down <foo.json >failed.json; echo $?
             nsrun exec -P foo.json -- grep -c ' /home/namespace/box/' /proc/self/mountinfo >count; [ $(cat count) -gt 10 ] || echo unmounted
             eval \"exec ${COPROC[1]}>&-\"; wait $COPROC_PID 2>/dev/null; rm failed.json count",
    )
    .succeeds()
    .prints("1");
    node.sh("mkbox down <foo.json >gone.json; nsrun exec -P foo.json -- grep -c /home/namespace/box /proc/self/mountinfo").prints("0");
    node.sh("nsrun down <gone.json >/dev/null; rm foo.json gone.json")
        .succeeds();
    node.assert_as_it_was();
    // A pod that was made anew gets the mounts of a box that is there.
    let count =
        "nsrun exec -P again.json -- grep -c ' /home/namespace/box/data ' /proc/self/mountinfo";
    node.sh("nsrun up --id foo --mount --pid | mkbox up -P - --copy ls --proc --bind /tmp:/data /home/namespace/box >foo.json
         nsrun down <foo.json | nsrun up --mount --pid | mkbox up >again.json; [ $(jq .mkbox.mounted.inode foo.json) != $(jq .mkbox.mounted.inode again.json) ] || jq .mkbox.mounted.inode foo.json again.json").succeeds();
    node.sh(count).prints("1");
    node.sh("mkbox up <again.json | cmp - again.json")
        .succeeds();
    node.sh(count).prints("1");
    node.sh("nsrun exec -P again.json -- umount /home/namespace/box/data /home/namespace/box/proc /home/namespace/box; mkbox up <again.json | cmp - again.json").succeeds();
    node.sh(count).prints("1");
    node.sh("mkbox down <again.json | nsrun down >/dev/null; rm foo.json again.json")
        .succeeds();
    node.becomes_as_it_was();
    // The pod first, then the box: the mounts are gone with the pod.
    node.sh("nsrun up --id foo --mount | mkbox up -P - --copy ls --proc /home/namespace/box >foo.json; nsrun down <foo.json | mkbox down >/dev/null; rm foo.json").succeeds();
    node.becomes_as_it_was();
    let file = r#"{"id":"foo","linux":{"namespaces":[{"type":"mount","path":"/proc/1/ns/net"}]}}"#;
    node.sh_with("mkbox up --copy ls --proc /home/namespace/box -P -", file)
        .ends(1)
        .says_one_line("mkbox");
    node.sh("rm -rf /run/chroot0; true").succeeds();
    node.becomes_as_it_was();
}

/// The lines of mkbox(1) from the one that begins with `begin`, as a user types them.
fn manual(begin: &str, lines: usize) -> Vec<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../mkbox/mkbox.1");
    let text = std::fs::read_to_string(page)
        .expect("the manual page")
        .replace("\\-", "-");
    let shown = text.lines().filter_map(|line| line.strip_prefix(".Dl "));
    let from = shown.skip_while(|line| !line.starts_with(begin));
    from.take(lines).map(str::to_owned).collect()
}

#[test]
fn what_the_manual_says_of_layers_in_a_pod_can_be_typed() {
    let node = Node::new();
    let typed = manual("nsrun up --id foo --mount", 2);
    let up = typed[0].replace("LOWER BOX", "lower box");
    let run = |command: &str| typed[1].replace("CMD", command);
    node.sh(&format!(
        "mkbox up -q --copy bash,cat lower >lower.json; {up}
         coproc {{ exec {}; }}
         read -r up <&${{COPROC[0]}}; {}
         eval \"exec ${{COPROC[1]}}>&-\"; wait $COPROC_PID 2>/dev/null
         nsrun down <foo.json | mkbox down >/dev/null; mkbox down <lower.json >/dev/null; rm foo.json lower.json",
        run("bash -c 'echo one >which; echo up; read x'"),
        run("cat which"),
    ))
    .succeeds()
    .prints("one");
    node.assert_as_it_was();
}
