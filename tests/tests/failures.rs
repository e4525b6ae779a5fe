//! A stage in the middle fails: the record at the end says so and describes what exists, and `down` cleans it.

use tests::Node;
use tests::pod::{BOX, IN_POD};

/// `nsrun` in the middle of the pipe without the right to make namespaces.
const POWERLESS_NSRUN: &str = "cgset up --id foo memory.max=512Mi pids.max=100 \
    | setpriv --bounding-set=-sys_admin nsrun up --net --ipc --uts \
    | netwire up --subnet 10.244.0.0/24 >foo.json; echo ${PIPESTATUS[@]}";

const DOWN: &str = "nsrun down <foo.json | netwire down | cgset down >gone.json";

/// Cleans by record; the record that comes out is not failed any more.
#[track_caller]
fn clean(node: &Node) {
    node.sh(&format!("set -o pipefail; {DOWN}")).succeeds();
    node.sh("jq -e '.failed == null' gone.json; rm gone.json foo.json")
        .succeeds();
}

#[test]
fn a_failure_in_the_middle_flows_to_the_end() {
    let node = Node::new();
    let run = node.sh(POWERLESS_NSRUN).prints("0 1 1");
    // one line from the tool that failed, with its hint, and one from each that passes the record on
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{run}");
    assert!(
        lines[0].starts_with("nsrun: ") && lines[0].contains("Operation not permitted (needs "),
        "{run}"
    );
    assert!(
        lines[1].starts_with("netwire: ") && lines[1].contains("nsrun failed on this record"),
        "{run}"
    );
    // the record describes what exists: the groups, and no namespace
    node.sh("jq -r '.failed.tool' foo.json").prints("nsrun");
    let said = node
        .sh("jq -r '\"nsrun: \" + .failed.error' foo.json")
        .succeeds();
    assert_eq!(
        said.stdout.trim(),
        lines[0],
        "the record and stderr say the same"
    );
    node.sh("jq -e '.cgset.groups and .nsrun == null and .netwire == null' foo.json")
        .succeeds();
    node.sh("test -d $(jq -r .cgset.groups.memory foo.json)")
        .succeeds();
    assert_eq!(node.world().of("process").count(), 0);
    clean(&node);
    node.assert_as_it_was();
}

#[test]
fn later_ups_hand_a_failed_record_on_untouched() {
    let node = Node::new();
    node.sh(POWERLESS_NSRUN).prints("0 1 1");
    let world = node.world();
    for up in [
        "cgset up",
        "cgset up pids.max=5",
        "nsrun up --net",
        "netwire up --subnet 10.244.0.0/24",
        "mkbox up --copy ls",
    ] {
        let tool = up.split(' ').next().unwrap_or_default();
        node.sh(&format!("{up} <foo.json >out.json"))
            .ends(1)
            .says_one_line(tool);
        node.sh("cmp foo.json out.json && rm out.json").succeeds();
    }
    node.assert_same(&world, "an up did something with a failed record");
    clean(&node);
    node.assert_as_it_was();
}

#[test]
fn exec_and_up_with_a_file_refuse_a_failed_record() {
    let node = Node::new();
    node.sh(POWERLESS_NSRUN).prints("0 1 1");
    let world = node.world();
    for exec in [
        "cgset exec -P foo.json app -- touch ran",
        "nsrun exec -P foo.json --pid -- touch ran",
        "mkbox exec -P foo.json -- touch ran",
    ] {
        let tool = exec.split(' ').next().unwrap_or_default();
        node.sh(exec).ends(125).says_one_line(tool).says("nsrun");
    }
    for up in [
        "cgset up -P foo.json",
        "nsrun up -P foo.json --net",
        "netwire up -P foo.json --subnet 10.244.0.0/24",
    ] {
        let tool = up.split(' ').next().unwrap_or_default();
        node.sh(up).ends(2).says_one_line(tool).prints("");
    }
    node.assert_same(&world, "a failed record was used");
    clean(&node);
    node.assert_as_it_was();
}

#[test]
fn every_stage_may_be_the_one_without_rights() {
    let node = Node::new();
    let up = |drop: [&str; 3]| {
        let [cgset, nsrun, netwire] = drop;
        format!(
            "{cgset} cgset up --id foo memory.max=512Mi | {nsrun} nsrun up --net --uts | {netwire} netwire up --subnet 10.244.0.0/24 >foo.json; echo ${{PIPESTATUS[@]}}"
        )
    };
    // root without CAP_DAC_OVERRIDE may still write root's groups; a user that is not root may not
    let nobody = "CHROOT0_RUN=/tmp/run setpriv --reuid 65534 --regid 65534 --clear-groups";
    for (drop, statuses, failed) in [
        ([nobody, "", ""], "1 1 1", "cgset"),
        (
            ["", "setpriv --bounding-set=-sys_admin", ""],
            "0 1 1",
            "nsrun",
        ),
        (
            ["", "", "setpriv --bounding-set=-net_admin"],
            "0 0 1",
            "netwire",
        ),
        (
            ["", "", "setpriv --bounding-set=-sys_admin"],
            "0 0 1",
            "netwire",
        ),
    ] {
        let run = node.sh(&up(drop)).prints(statuses);
        node.sh("jq -r .failed.tool foo.json").prints(failed);
        let first = run.stderr.lines().next().unwrap_or_default().to_owned();
        assert!(first.starts_with(&format!("{failed}: ")), "{run}");
        assert!(
            first.contains("Permission denied") || first.contains("Operation not permitted"),
            "{run}"
        );
        clean(&node);
        node.sh("rm -rf /tmp/run").succeeds();
        node.assert_as_it_was();
    }
}

#[test]
fn a_user_who_is_not_root_is_told_in_one_line_and_makes_nothing() {
    let node = Node::new();
    node.sh("chmod 777 .").succeeds();
    let world = node.world();
    for up in [
        "cgset up --id foo memory.max=1Gi",
        "nsrun up --id foo --net",
        "mkbox up --copy ls box",
    ] {
        let tool = up.split(' ').next().unwrap_or_default();
        let run = node
            .sh(&format!(
                "setpriv --reuid 65534 --regid 65534 --clear-groups {up}"
            ))
            .ends(1)
            .says_one_line(tool);
        assert!(
            run.stderr.contains("/run/chroot0") && run.stderr.contains("CHROOT0_RUN"),
            "the hint: {run}"
        );
        assert_eq!(run.json()["failed"]["tool"], tool, "{run}");
        node.assert_same(&world, up);
    }
    // with a place of one's own for the index it is the kernel that refuses
    for up in [
        "cgset up --id foo memory.max=1Gi",
        "nsrun up --id foo --net",
    ] {
        let tool = up.split(' ').next().unwrap_or_default();
        let run = node
            .sh(&format!(
                "CHROOT0_RUN=$PWD/run setpriv --reuid 65534 --regid 65534 --clear-groups {up}"
            ))
            .ends(1)
            .says_one_line(tool);
        assert!(
            run.stderr.contains("Permission denied")
                || run.stderr.contains("Operation not permitted"),
            "{run}"
        );
        node.sh("test -z \"$(ls -A run)\" && rmdir run").succeeds();
        node.assert_same(&world, up);
    }
}

#[test]
fn an_exhausted_subnet_fails_until_an_address_is_free() {
    let node = Node::new();
    // .1 is the gateway, .2 the pod, .3 the broadcast address
    let up = |id: &str| {
        format!(
            "nsrun up --id {id} --net | netwire up --subnet 10.9.9.0/30 >{id}.json; echo ${{PIPESTATUS[@]}}"
        )
    };
    node.sh(&up("one")).prints("0 0");
    let run = node.sh(&up("two")).prints("0 1").says("10.9.9.0/30");
    assert_eq!(run.stderr.lines().count(), 1, "{run}");
    node.sh("jq -e '.failed.tool == \"netwire\" and .netwire == null and .nsrun.pid > 0' two.json")
        .succeeds();
    node.sh("nsrun exec -P two.json -- true").ends(125);
    assert_eq!(node.world().of("link").count(), 2, "lo and the first pod's");

    node.sh("nsrun down <one.json | netwire down >/dev/null")
        .succeeds();
    // what netwire's own down clears is its failure; nothing else of the record changes
    node.sh(
        "netwire down <two.json | tee -p half.json | netwire up --subnet 10.9.9.0/30 >again.json && mv again.json two.json",
    )
    .succeeds();
    node.sh("jq -e '.failed == null and .nsrun.pid > 0' half.json")
        .succeeds();
    node.sh("nsrun exec -P two.json -- ip -br -4 address show eth0")
        .says("10.9.9.2/30");
    node.sh("nsrun down <two.json | netwire down >/dev/null; rm one.json two.json half.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_full_disk_under_the_index_stops_every_tool_before_it_makes_anything() {
    let node = Node::new();
    // A directory fits in, a file's first page does not.
    node.sh("mkdir run; mount -t tmpfs -o size=4k,nr_inodes=20,mode=700 none run; head -c 4096 /dev/zero >run/.full").succeeds();
    let world = node.world();
    for up in [
        "cgset up --id foo memory.max=1Gi",
        "nsrun up --id foo --net",
        "mkbox up --copy ls box",
    ] {
        let tool = up.split(' ').next().unwrap_or_default();
        let run = node
            .sh(&format!("CHROOT0_RUN=$PWD/run {up}"))
            .ends(1)
            .says_one_line(tool)
            .says("No space left on device");
        assert_eq!(run.json()["failed"]["tool"], tool, "{run}");
        node.assert_same(&world, up);
    }
    node.sh("nsrun up --id foo --net >foo.json; CHROOT0_RUN=$PWD/run netwire up --subnet 10.9.9.0/24 <foo.json >two.json").ends(1).says_one_line("netwire").says("No space left");
    node.sh("jq -e '.failed.tool == \"netwire\"' two.json; nsrun down <two.json >/dev/null; rm foo.json two.json").succeeds();
    node.assert_same(&world, "netwire");
}

#[test]
fn a_full_disk_under_the_box_leaves_no_half_box() {
    let node = Node::new();
    for size in ["0", "64k", "1m", "8m"] {
        node.sh(&format!(
            "mkdir -p disk; mount -t tmpfs -o size={} none disk",
            size.replace('0', "4k")
        ))
        .succeeds();
        let world = node.world();
        let run = node
            .sh(&BOX.replace(" box >", " disk/box >"))
            .ends(1)
            .says_one_line("mkbox")
            .says("No space left on device");
        node.sh("jq -e '.failed.tool == \"mkbox\" and .mkbox == null' box.json; rm box.json")
            .succeeds();
        node.assert_same(&world, &run.script);
        node.sh("mkbox down --id box; umount disk").succeeds();
    }
}

#[test]
fn a_library_that_could_not_be_looked_at_is_not_looked_for_elsewhere() {
    let node = Node::new();
    let up = "mkbox up -q --copy cat,ls box >/dev/null";
    node.sh(&format!(
        "{up}; find box | sort >good; mkbox down box >/dev/null"
    ))
    .succeeds();
    let mut failed = 0;
    // Which of the two it is differs between processors.
    for (call, nth) in (1..=24).flat_map(|nth| [("open", nth), ("openat", nth)]) {
        let inject = format!("-e trace={call} -e inject={call}:error=EMFILE:when={nth}");
        let run = node.sh(&format!("strace -f -o /dev/null {inject} {up}"));
        if run.status == 0 {
            // It was a question that has another answer as well.
            node.sh("find box | sort | cmp - good").succeeds();
        } else {
            run.says("Too many open files");
            failed += 1;
        }
        node.sh("mkbox down --id box >/dev/null").succeeds();
    }
    assert!(failed > 6, "only {failed} calls failed");
    node.sh("rm good").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_full_disk_leaves_nothing_of_a_base_or_an_archive() {
    let node = Node::new();
    node.sh(
        "mkdir base disk; head -c 3000000 /dev/zero | tr '\\0' x >base/large; mkdir base/d; touch base/d/{1..300}
             mkbox up --from base full >/dev/null; mkbox pack -o base.tar full",
    )
    .succeeds();
    for (options, reason) in [
        ("size=1m", "No space left on device"),
        ("size=100m,nr_inodes=60", "No space left on device"),
    ] {
        node.sh(&format!("mount -t tmpfs -o {options} none disk"))
            .succeeds();
        let world = node.world();
        for command in [
            "mkbox up --from base disk/box >/dev/null",
            "mkbox up --from base.tar disk/box >/dev/null",
            "mkbox pack -o disk/out full",
            "mkbox pack -o disk/out.tar full",
            "mkbox pack -o disk/out.cpio full",
        ] {
            if options.contains("inodes") && command.contains("disk/out.") {
                // An archive is one inode.
                continue;
            }
            node.sh(command).ends(1).says_one_line("mkbox").says(reason);
            node.assert_same(&world, command);
            node.sh("[ -z \"$(ls -A disk)\" ]").succeeds();
        }
        node.sh("umount disk").succeeds();
    }
    node.sh("mkbox down full >/dev/null; rm -r base base.tar; rmdir disk")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_record_that_nobody_takes_is_undone() {
    let node = Node::new();
    let closed = "coproc reader { :; }; exec 3>&${reader[1]}; wait $reader_PID; exec >&3";
    for (where_to, reason) in [
        ("exec >/dev/full", "No space left on device"),
        (closed, "Broken pipe"),
    ] {
        for up in [
            "cgset up --id foo memory.max=1Gi",
            "nsrun up --id foo --net --uts",
            "mkbox up -q --copy ls box",
        ] {
            let tool = up.split(' ').next().unwrap_or_default();
            node.sh(&format!("{where_to}; {up}"))
                .ends(1)
                .says(reason)
                .says_one_line(tool);
            node.assert_as_it_was();
        }
        node.sh("nsrun up --id foo --net >foo.json").succeeds();
        let world = node.world();
        node.sh(&format!(
            "{where_to}; netwire up --subnet 10.9.9.0/24 <foo.json"
        ))
        .ends(1)
        .says(reason);
        node.assert_same(&world, "netwire up with a stdout that takes nothing");
        node.sh("nsrun down <foo.json >/dev/null; rm foo.json")
            .succeeds();
        node.assert_as_it_was();
    }
}

#[test]
fn a_down_that_nobody_listens_to_has_still_worked() {
    let node = Node::new();
    node.sh("cgset up --id foo | nsrun up --net | netwire up --subnet 10.9.9.0/24 >foo.json")
        .succeeds();
    for down in ["nsrun down", "netwire down", "cgset down"] {
        let tool = down.split(' ').next().unwrap_or_default();
        node.sh(&format!("{down} <foo.json >/dev/full"))
            .ends(1)
            .says_one_line(tool)
            .says("No space left");
    }
    node.sh("rm foo.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_container_that_cannot_be_made_leaves_the_pod_alone() {
    let node = Node::new();
    node.sh(&format!("cgset up --id foo memory.max=512Mi | nsrun up --net --ipc --uts | netwire up --subnet 10.244.0.0/24 >foo.json; {BOX}")).succeeds();
    let run = |command: &str, status: i32| {
        let output = node.sh(&format!("{IN_POD} {command}")).ends(status);
        assert_eq!(
            output.stderr.lines().count(),
            usize::from(status > 124),
            "{output}"
        );
    };
    run("/bin/bash -c 'exit 7'", 7);
    run("/bin/bash -c 'kill -TERM $BASHPID'", 0); // PID 1 has no handler: the kernel drops the signal
    run("/bin/no-such-program", 127);
    run("/data", 126);
    node.sh("nsrun exec -P foo.json -- ip -br -4 address show eth0")
        .says("10.244.0.2/24");
    node.sh("nsrun down <foo.json | netwire down | cgset down >/dev/null; mkbox down <box.json >/dev/null; rm foo.json box.json").succeeds();
    node.assert_as_it_was();
}
