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
fn ten_bytes_kill_ls() {
    let answer = story(&format!(
        "{WHERE}
         mkfifo go
         bash -c 'read -r <go; ls /; echo survived' & shell=$!
         exec 4>go
         cgset up --id foo memory.max=10 --pid $shell >record; where $shell
         echo >&4; wait $shell; echo $?
         cgset show --json <record
         cgset down <record >down"
    ));
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(lines[1], "137", "{answer:?}");
    // v1 has no room for a group in 10 bytes
    assert!(
        ["/pod-foo", "/pod-foo/exec"].contains(&lines[0]),
        "{answer:?}"
    );
    assert!(
        answer
            .stderr
            .contains("cgset: memory.max=10: the kernel made it 0\n"),
        "{answer:?}"
    );
    let groups = answer.json(2)["groups"].as_array().unwrap().clone();
    assert!(
        groups.iter().any(|group| group["memory.oom_kill"] == 1),
        "{groups:?}"
    );
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
fn exec_enters_by_itself_and_stays_where_it_is_narrower() {
    let answer = story(&format!(
        "{WHERE}
         export own; export -f where
         cgset up --id foo pids.max=50 >record
         cgset exec -P record app pids.max=20 memory.max=32Mi -- bash -c 'where self; cgset exec -P record -- bash -c \"where self\"; cgset exec -P record app -- bash -c \"where self\"'
         cgset exec -P record side -- bash -c 'cgset exec -P record app -- bash -c \"where self\"'
         cgset exec -P record -- bash -c 'where self'
         cgset exec -P /dev/fd/5 app -- bash -c 'exit 7' 5<record; echo $?
         cgset exec -P record -- no-such-command; echo $?
         cgset exec -P record -- /etc; echo $?
         cgset show --json <record
         cgset exec -P record bad cpuset.cpus=0 -- true; echo $?
         cgset down <record >down"
    ));
    let lines: Vec<&str> = answer.stdout.lines().collect();
    let app = "/pod-foo/app";
    assert_eq!(
        lines[..5],
        [app, app, app, app, "/pod-foo/exec"],
        "{answer:?}"
    );
    assert_eq!(lines[5..8], ["7", "127", "126"], "{answer:?}");
    let app = &answer.json(8)["groups"][1];
    assert_eq!(
        (&app["group"], &app["pids.max"], &app["memory.max"]),
        (&"/pod-foo/app".into(), &20.into(), &(32 << 20).into())
    );
    assert_eq!(lines[9], "125");
    assert!(answer.stderr.contains(
        "cgset: cpuset.cpus: the pod has no cpuset group (give the pod a limit of it in cgset up)\n"
    ));
}

#[test]
fn limits_that_bound_each_other_can_be_changed_either_way() {
    // v1 has two files for it, and at no moment may the container have more than the pod's half cpu.
    let answer = story(
        "cgset up --id foo cpu.max=0.5 >record
         for wish in '40000 100000' '4000 10000' '40000 100000'; do
             cgset exec -P record app \"cpu.max=$wish\" -- true; echo $?
             cgset show --json <record | grep -o 'app\"[^{}]*' | grep -o 'cpu.max\":\"[^\"]*'
         done
         cgset exec -P record app cpu.max=0.6 -- true; echo $?
         cgset down <record >down",
    );
    let wide = "0\ncpu.max\":\"40000 100000\n";
    let narrow = "0\ncpu.max\":\"4000 10000\n";
    // v2 takes a child's limit that is above its parent's, and applies the smaller one
    let above = answer.stdout.lines().last().unwrap_or_default();
    assert_eq!(
        answer.stdout,
        format!("{wide}{narrow}{wide}{above}\n"),
        "{answer:?}"
    );
    if above == "125" {
        assert!(
            answer
                .stderr
                .ends_with("Invalid argument (more than the group above may use)\n"),
            "{answer:?}"
        );
    }
}

#[test]
fn a_command_can_have_a_limit_of_its_own_and_the_group_has_a_name() {
    let answer = story(&format!(
        "{WHERE}
         export own; export -f where
         cgset exec --id own pids.max=20 -- bash -c 'where self'
         cgset exec --id own pids.max=20 -- bash -c 'where self'
         cgset exec --id own -- bash -c 'where self'
         cgset exec --id own app pids.max=10 -- bash -c 'where self'
         cgset exec --id own pids.max=21 -- bash -c 'where self'; echo $?
         cgset down --id own >down"
    ));
    assert_eq!(
        answer.stdout, "/pod-own/exec\n/pod-own/exec\n/pod-own/exec\n/pod-own/app\n125\n",
        "{answer:?}"
    );
    assert_eq!(
        answer.stderr,
        "cgset: pod-own: pids.max is 20, not 21 (cgset down --id own first)\n"
    );
}

#[test]
fn a_live_process_is_refused_moved_or_killed() {
    let answer = story(&format!(
        "{WHERE}
         cgset up --id foo >record
         cgset exec -P record app -- sleep 1000 & pid=$!
         until_in $pid /pod-foo/app sleep
         cgset down <record >failed; echo $?; where $pid
         cgset down --to /nowhere <record >failed; echo $?; where $pid
         cgset down --to $home <record >down; echo $?; where $pid | sed s,^$home$,,
         echo $pid >pid
         cgset up --id foo --pid $pid >record; where $pid
         cgset down --kill <record >down; echo $?
         wait $pid; echo $?"
    ));
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "1",
            "/pod-foo/app",
            "1",
            "/pod-foo/app",
            "0",
            "",
            "/pod-foo/exec",
            "0",
            "137"
        ],
        "{answer:?}"
    );
    assert!(
        answer
            .stderr
            .lines()
            .next()
            .unwrap()
            .ends_with(" sleep (--kill ends, --to GROUP moves)"),
        "{answer:?}"
    );
    assert!(
        answer
            .stderr
            .contains("cgset: --to /nowhere: no such group in "),
        "{answer:?}"
    );
}

#[test]
fn processes_that_were_killed_a_moment_ago_do_not_stand_in_the_way() {
    let answer = story(
        "cgset up --id foo >record
         for round in 1 2 3 4 5 6 7 8; do
             cgset exec -P record app -- bash -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; echo ready; wait' >ready & pid=$!
             until [ -s ready ]; do :; done
             kill -9 $(cat /proc/$pid/task/$pid/children) $pid
             cgset down <record | grep failed
             rm ready; cgset up --id foo >record
         done
         cgset down <record >down",
    );
    assert_eq!(
        (answer.stdout.as_str(), answer.status),
        ("", 0),
        "{answer:?}"
    );
}

#[test]
fn a_process_that_was_asked_to_end_is_given_a_moment() {
    // It takes a while to end. On a machine that is busy it may take too long, but not each time.
    let answer = story(
        "mkfifo go
         for try in 1 2 3 4 5; do
             cgset up --id foo >record; rm -f ready
             cgset exec -P record app -- bash -c 'trap \"read -t 0.05 <>go; exit\" TERM; echo ready; while :; do read -t 1 <>go; done' >ready & pid=$!
             until [ -s ready ]; do :; done
             kill $pid; if cgset down <record >down; then echo down; break; fi
             wait $pid; cgset down <record >down
         done",
    );
    assert_eq!(
        (answer.stdout.as_str(), answer.status),
        ("down\n", 0),
        "{answer:?}"
    );
}

#[test]
fn a_fork_bomb_dies_frozen_or_not() {
    let answer = story(
        "for wish in cgroup.freeze=0 ''; do
             cgset up --id foo pids.max=200 $wish >record
             cgset exec -P record bomb -- bash -c 'bomb() { bomb | bomb & }; bomb; sleep 1000' 2>/dev/null &
             until cgset show --json <record | grep -Eq '\"pids.current\":[1-9][0-9][0-9]?'; do :; done
             for dir in $(grep -o '\"/[^\"]*/pod-foo\"' record | tr -d '\"'); do
                 if [ -n \"$wish\" ] && [ -e $dir/bomb/freezer.state ]; then echo FROZEN >$dir/bomb/freezer.state; echo frozen; fi
                 if [ -n \"$wish\" ] && [ -e $dir/bomb/cgroup.freeze ]; then echo 1 >$dir/bomb/cgroup.freeze; echo frozen; fi
             done
             timeout 20 cgset down --kill <record >down; echo $?
         done",
    );
    assert_eq!(answer.stdout, "frozen\n0\n0\n", "{answer:?}");
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
        "for i in {1..100}; do cgset up --id p$i --parent /a/b pids.max=5 >/dev/null 2>>errors & done
         cgset up --id foo >record
         for i in {1..100}; do cgset exec -P record c$i pids.max=5 -- true 2>>errors & done; wait
         cat errors; for d in $CHROOT0_RUN/p*; do echo x; done | wc -l
         cgset show --json <record | grep -o 'pod-foo/c' | wc -l
         for i in {1..100}; do cgset down --id p$i >/dev/null 2>>errors & done
         cgset down <record >down; wait; cat errors",
    );
    answer.is("100\n100", "");
}

#[test]
fn pods_of_one_parent_come_and_go_at_once() {
    // the last one takes the parent away while the next is being made in it
    let answer = story(
        "for i in {1..8}; do (for round in {1..12}; do
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

#[test]
fn a_long_list_of_processes_is_read_to_its_end() {
    let answer = story(
        "cgset up --id foo >record
         cgset exec -P record app -- bash -c 'for i in {1..1500}; do sleep 1000 & done; echo ready; wait' >ready 2>/dev/null &
         until [ -s ready ]; do :; done
         cgset show --json <record | grep -o '\"group\":\"/pod-foo/app\".*' | grep -o '\"processes\":\\[[^]]*' | tr ',' '\\n' | grep -c '[0-9]'
         cgset down --kill <record >down",
    );
    assert_eq!(answer.stdout, "1501\n", "{answer:?}");
}
