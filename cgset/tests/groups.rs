//! What the kernel has afterwards. Root is needed, and cgroup v1 or v2 with controllers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod node;

use node::{WHERE, story};
use serde_json::Value;

#[test]
fn what_up_makes_down_removes_and_up_again_changes_nothing() {
    let answer = story(
        "cgset up --id foo memory.max=64Mi pids.max=100 cpu.weight=100 cpuset.cpus=0 | tee record
         cgset up <record | cmp - record && echo same
         cgset show --json <record
         cgset down <record >bare; cat bare
         cgset down <record | cmp - bare && echo gone already
         cgset up <bare | cgset down | cmp - bare && echo again",
    );
    let record = answer.json(0);
    assert_eq!(record["linux"]["cgroupsPath"], "/pod-foo");
    let asked: Value = serde_json::from_str(
        r#"{"memory":{"limit":67108864},"pids":{"limit":100},"cpu":{"shares":1024,"cpus":"0"}}"#,
    )
    .unwrap();
    assert_eq!(record["linux"]["resources"], asked);
    let effective = &record["cgset"]["effective"];
    assert_eq!(effective["memory.max"], 67_108_864);
    assert_eq!(
        (&effective["cpu.weight"], &effective["cpu.shares"]),
        (&100.into(), &1024.into())
    );
    assert_eq!(effective["cpuset.cpus"], "0");
    let shown = answer.json(2);
    assert_eq!(shown["groups"][0]["memory.max"], 67_108_864);
    assert_eq!(shown["groups"][0]["pids.max"], 100);
    assert_eq!(shown["groups"][1]["group"], "/pod-foo/pause");
    let bare = answer.json(3);
    assert_eq!(bare["linux"]["resources"], asked);
    assert_eq!(
        (bare.get("cgset"), bare["linux"].get("cgroupsPath")),
        (None, None)
    );
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(
        (lines[1], &lines[4..]),
        ("same", &["gone already", "again"][..]),
        "{answer:?}"
    );
    assert_eq!((answer.status, answer.stderr.as_str()), (0, ""));
}

#[test]
fn other_limits_are_told_and_nothing_is_changed() {
    let answer = story(
        "cgset up --id foo pids.max=5 >record
         for wish in pids.max=6 cpu.idle=0 ''; do cgset up --id foo $wish >failed; echo $?; done
         cgset show --json <record
         cgset down --id foo >down",
    );
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(lines[..3], ["1", "1", "1"]);
    assert_eq!(
        answer.stderr,
        "cgset: pod-foo: pids.max is 5, not 6 (cgset down --id foo first)\n\
         cgset: pod-foo: cpu.idle is not set, 0 is asked for (cgset down --id foo first)\n\
         cgset: pod-foo: pids.max is 5, none is asked for (cgset down --id foo first)\n"
    );
    assert_eq!(answer.json(3)["groups"][0]["pids.max"], 5);
}

#[test]
fn a_value_that_another_changed_is_told() {
    let answer = story(
        "cgset up --id foo pids.max=5 >record
         dir=$(sed 's/.*\"pids\":\"\\([^\"]*\\)\".*/\\1/; s/.*\"[a-z,]*pids[a-z,]*\":\"\\([^\"]*\\)\".*/\\1/' record)
         echo 7 >\"$dir/pids.max\"
         cgset up <record >failed; echo $?
         cgset down <record >down",
    );
    answer.is(
        "1",
        "cgset: pod-foo: pids.max is 7 by now, not 5 (cgset down --id foo first)",
    );
}

#[test]
fn a_group_that_cgset_did_not_make_is_left_alone() {
    let answer = story(
        "dir=$(cgset up --id foo --dry-run | sed -n '2s/mkdir(\\(.*\\))/\\1/p'); [ -n \"$dir\" ] || dir=$(cgset up --id foo --dry-run | sed -n '1s/mkdir(\\(.*\\))/\\1/p')
         mkdir \"$dir\"
         cgset up --id foo >failed; echo $?
         cgset down --id foo >down; echo $?
         [ -d \"$dir\" ] && echo still there
         rmdir \"$dir\"
         cgset up --id foo >record
         rmdir \"$dir/pause\" \"$dir\"; mkdir \"$dir\"
         cgset down <record >down; echo $?
         [ -d \"$dir\" ] && echo still there
         rmdir \"$dir\"",
    );
    assert_eq!(answer.stdout, "1\n0\nstill there\n0\nstill there\n");
    assert!(
        answer
            .stderr
            .ends_with("File exists (no pod foo is known, so cgset did not make it)\n"),
        "{answer:?}"
    );
    assert_eq!(answer.stderr.lines().count(), 1);
}

#[test]
fn a_limit_the_kernel_refuses_undoes_everything() {
    // The node fails if a group or an index is left, and nothing is taken down here.
    let answer = story(
        "for wish in cpuset.cpus=9999 io.max='99:99 rbps=1M'; do cgset up --id foo memory.max=64Mi \"$wish\" >failed; echo $?; done",
    );
    assert_eq!(answer.stdout, "1\n1\n", "{answer:?}");
    let lines: Vec<&str> = answer.stderr.lines().collect();
    assert!(
        lines[0].ends_with("(not among those of the group above)"),
        "{answer:?}"
    );
    assert!(
        lines[1].ends_with("No such device (a whole disk by its MAJOR:MINOR, as in lsblk)"),
        "{answer:?}"
    );
}

#[test]
fn a_record_that_nobody_takes_is_undone_and_the_process_brought_back() {
    let answer = story(&format!(
        "{WHERE}
         sleep 1000 & pid=$!
         cgset up --id foo pids.max=5 --pid $pid >/dev/full; echo $?
         where $pid | sed s,^$home$,,; kill $pid"
    ));
    // back at the top of the node
    assert_eq!(answer.stdout, "1\n\n", "{answer:?}");
}

#[test]
fn a_process_from_outside_of_what_is_mounted_is_brought_to_where_it_can_be() {
    // Where it was has no path here; on v2 the top gives controllers to others and takes nobody.
    let answer = story(&format!(
        r#"{WHERE}
         sleep 1000 & pid=$!
         mount=$(cgset up --id foo --dry-run memory.max=64Mi | sed -n 's/mkdir(\(.*\)\/pod-foo)/\1/p;q')
         mkdir "$mount/part"
         if [ $version = 2 ]; then
             for c in $(cat "$mount/part/cgroup.controllers"); do echo +$c >"$mount/part/cgroup.subtree_control"; done
             mkdir "$mount/part/init"; echo $$ >"$mount/part/init/cgroup.procs"
         fi
         mount --bind "$mount/part" "$mount"
         cgset up --id foo pids.max=5 --pid $pid >/dev/full; echo $?
         umount "$mount"; where $pid; kill $pid; wait $pid
         if [ $version = 2 ]; then echo $$ >"$mount/init/cgroup.procs"; rmdir "$mount/part/init"; fi
         until rmdir "$mount/part"; do :; done"#
    ));
    let there = ["1\n/part\n", "1\n/part/init\n"];
    assert!(there.contains(&answer.stdout.as_str()), "{answer:?}");
}

#[test]
fn the_process_that_holds_the_pod_is_moved_with_all_it_started() {
    let answer = story(&format!(
        "{WHERE}
         bash -c 'sleep 1000 & sleep 1000 & echo ready; wait' >ready & pid=$!
         until [ -s ready ]; do :; done
         start=$(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f20)
         boot=$(cat /proc/sys/kernel/random/boot_id)
         record() {{ echo \"{{\\\"id\\\":\\\"foo\\\",\\\"nsrun\\\":{{\\\"pid\\\":$pid,\\\"starttime\\\":$1,\\\"boot_id\\\":\\\"$boot\\\"}}}}\"; }}
         record 1 | cgset up >failed; echo $?
         record $start | cgset up >record; echo $?
         for child in $pid $(cat /proc/$pid/task/$pid/children); do where $child; done
         kill $(cat /proc/$pid/task/$pid/children) $pid
         cgset down <record | sed 's/.*failed.*/failed/; s/{{.*/down/'
         rm -r $CHROOT0_RUN/foo"
    ));
    assert_eq!(
        answer.stdout, "1\n0\n/pod-foo/pause\n/pod-foo/pause\n/pod-foo/pause\ndown\n",
        "{answer:?}"
    );
    assert!(
        answer
            .stderr
            .contains("is gone, or another by now (nsrun down, then nsrun up)\n"),
        "{answer:?}"
    );
}

#[test]
fn what_a_killed_up_left_is_cleaned_from_the_index() {
    // Half made, as a SIGKILL between the second and the third mkdir leaves it: names and no inodes.
    let answer = story(
        "cgset up --id foo pids.max=5 >record
         sed 's/,\"inodes\":{[^}]*}//; s/\"ociVersion\"/\"chroot0.pending\":[\"cgset\"],&/' record >half
         cp half $CHROOT0_RUN/foo/record.json
         cgset down --id foo >down; echo $?
         cgset up --id foo pids.max=5 >record
         sed 's/,\"inodes\":{[^}]*}//; s/\"ociVersion\"/\"chroot0.pending\":[\"cgset\"],&/' record >half
         cp half $CHROOT0_RUN/foo/record.json
         cgset up --id foo pids.max=6 >record; echo $?
         cgset show --json <record
         cgset down <record >down",
    );
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(lines[..2], ["0", "0"], "{answer:?}");
    assert_eq!(answer.json(2)["groups"][0]["pids.max"], 6);
}

#[test]
fn a_hierarchy_that_is_covered_or_mounted_elsewhere_is_seen_as_it_is() {
    let answer = story(&format!(
        "{WHERE}
         mount=$(cgset up --id foo --dry-run memory.max=64Mi | sed -n 's/mkdir(\\(.*\\)\\/pod-foo)/\\1/p;q')
         mkdir 'an other place'; mount --bind \"$mount\" 'an other place'
         mount -t tmpfs none \"$mount\"
         cgset up --id foo memory.max=64Mi >record
         ls -d 'an other place/pod-foo'
         cgset down <record >down
         umount 'an other place' \"$mount\""
    ));
    answer.is("an other place/pod-foo", "");
}

#[test]
fn a_controller_that_is_elsewhere_is_said_to_be_there() {
    // On v2 it is in the hierarchy, but was not given to the group that is mounted; on v1 another mount covers its own.
    let answer = story(
        r#"mount=$(cgset up --id foo --dry-run memory.max=64Mi | sed -n 's/mkdir(\(.*\)\/pod-foo)/\1/p;q')
         if [ $version = 2 ]; then mkdir "$mount/a" "$mount/a/b"; mount --bind "$mount/a/b" "$mount"
         else mount -t tmpfs none "$mount"; fi
         cgset up --id foo memory.max=64Mi >failed; echo $?
         umount "$mount"
         [ $version = 1 ] || rmdir "$mount/a/b" "$mount/a""#,
    );
    assert_eq!(answer.stdout, "1\n", "{answer:?}");
    let v2 = "(it is in the v2 hierarchy, of which the group mounted at ";
    let v1 = "(it is in the v1 hierarchy ";
    assert!(
        answer
            .stderr
            .starts_with("cgset: memory.max: no memory controller can be used here ")
            && (answer.stderr.contains(v1) || answer.stderr.contains(v2)),
        "{answer:?}"
    );
}

#[test]
fn two_hundred_at_once_all_succeed() {
    let answer = story(
        "for i in $(seq $many); do cgset up --id p$i --parent /a/b pids.max=5 >/dev/null 2>>errors & done
         cgset up --id foo >record
         for i in $(seq $many); do cgset exec -P record c$i pids.max=5 -- true 2>>errors & done; wait
         cat errors; pods=($CHROOT0_RUN/p*); echo $((${#pods[@]} - many))
         echo $(($(cgset show --json <record | grep -o 'pod-foo/c' | wc -l) - many))
         for i in $(seq $many); do cgset down --id p$i >/dev/null 2>>errors & done
         cgset down <record >down; wait; cat errors",
    );
    answer.is("0\n0", "");
}

#[test]
fn pods_of_one_parent_come_and_go_at_once() {
    // the last one takes the parent away while the next is being made in it
    let answer = story(
        "for i in {1..8}; do (for round in $(seq $((many / 8))); do
             cgset up --id p$i --parent /a pids.max=5 2>>errors >record$i && cgset down <record$i >/dev/null 2>>errors || echo failed
         done) & done; wait; cat errors",
    );
    answer.is("", "");
}

#[test]
fn what_cannot_be_written_says_which_file_and_why() {
    let answer = story(
        "mount=$(cgset up --id foo --dry-run | sed -n 's/mkdir(\\(.*\\)\\/pod-foo)/\\1/p;q')
         mount -o remount,bind,ro \"$mount\" 2>/dev/null
         cgset up --id foo >failed; echo $?
         mount -o remount,bind,rw \"$mount\"
         cgset up --id foo >record
         dir=$(grep -o '\"/[^\"]*/pod-foo\"' record | head -1 | tr -d '\"')
         cgset exec -P record app -- true
         rmdir $dir/app $dir/pause $dir
         cgset exec -P record app -- true; echo $?
         if [ $version = 1 ]; then cgset show --json <record | wc -l; else cgset show <record 2>&1 | grep -c 'its groups are gone'; fi
         cgset down <record >down; echo $?",
    );
    assert_eq!(answer.stdout, "1\n125\n1\n0\n", "{answer:?}");
    let lines: Vec<&str> = answer.stderr.lines().collect();
    assert!(
        lines[0]
            .ends_with("Read-only file system (the cgroup filesystem is mounted read-only here)"),
        "{answer:?}"
    );
    assert!(
        lines[1].ends_with(" group is gone (cgset down, then cgset up)") && lines.len() == 2,
        "{answer:?}"
    );
}

#[test]
fn requests_and_limits_of_kubernetes_are_a_pods_limits() {
    let answer = story(
        r#"cgset up --id foo --kube '[{"requests":{"cpu":"250m","memory":"64Mi"},"limits":{"cpu":"500m","memory":"128Mi","nvidia.com/gpu":1}},{"limits":{"cpu":"500m","memory":"64Mi"}}]' pids.max=50 | tee record
         echo '{"limits":{"memory":"32Mi","cpu":1}}' >app.json
         cgset exec -P record app --kube app.json memory.max=16Mi -- true; echo $?
         cgset show --json <record
         cgset up --id foo --kube '{"limits":{"memory":"1 Gi"}}' >failed; echo $?
         cgset down <record >down"#,
    );
    let record = answer.json(0);
    assert_eq!(record["cgset"]["qosClass"], "Burstable");
    let effective = &record["cgset"]["effective"];
    assert_eq!(effective["memory.max"], 192 << 20);
    assert_eq!(effective["cpu.max"], "100000 100000");
    assert_eq!(effective["cpu.shares"], 768);
    let app = &answer.json(2)["groups"][1];
    assert_eq!(
        (&app["memory.max"], &app["cpu.max"]),
        (&(16 << 20).into(), &"100000 100000".into())
    );
    assert_eq!(answer.stdout.lines().nth(3), Some("2"), "{answer:?}");
    assert_eq!(
        answer.stderr,
        "cgset: --kube: nvidia.com/gpu: no limit of a cgroup, not applied\n\
         cgset: --kube: limits.memory=1 Gi: not a quantity (500m, 0.5, 128Mi, 1G)\n"
    );
}

#[test]
fn a_limit_above_the_machine_is_told() {
    let answer = story(
        "cgset up --id foo memory.max=1P cpu.max=900 >record
         cgset down <record >down
         cgset up --id foo memory.max=50% | cgset down >down; cgset up --id foo memory.max=max | cgset down >down",
    );
    assert_eq!((answer.stdout.as_str(), answer.status), ("", 0));
    assert!(
        answer
            .stderr
            .starts_with("cgset: memory.max=1125899906842624: the machine has ")
            && answer
                .stderr
                .contains("\ncgset: cpu.max=90000000 100000: the machine has ")
            && answer.stderr.lines().count() == 2,
        "{answer:?}"
    );
}
