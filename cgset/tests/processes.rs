//! Who is in the groups: enters them by itself, is moved, refused, and killed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod node;

use node::{WHERE, story};

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
fn a_limit_is_written_when_it_is_another() {
    let answer = story(
        r#"cgset up --id foo >record
         writes() { cgset exec -v -P record app pids.max=20 cpu.max=0.5 "$@" -- true 2>&1 | grep -c -e 'write(.*/pids.max' -e 'write(.*/cpu.max' -e 'write(.*/cpu.cfs_quota_us'; }
         writes; writes; writes pids.max=21
         dir=$(cgset exec -v -P record app pids.max=22 -- true 2>&1 | sed -n 's/.*write(\(.*\)\/pids.max, .*/\1/p')
         echo 7 >"$dir/pids.max"
         cgset exec -P record app pids.max=22 -- true; cat "$dir/pids.max"
         cgset down <record >down"#,
    );
    assert_eq!(answer.stdout, "2\n0\n2\n22\n", "{answer:?}");
    assert_eq!(
        answer.stderr, "cgset: pod-foo/app: pids.max was 7, is 22 from now on\n",
        "{answer:?}"
    );
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
    // It takes a while to end. On a machine that is busy it may take too long, but not each time. The shell looks for its signals
    // often: one that comes just before a read is seen after it.
    let answer = story(
        "mkfifo go
         for try in 1 2 3 4 5; do
             cgset up --id foo >record; rm -f ready
             cgset exec -P record app -- bash -c 'trap \"read -t 0.05 <>go; exit\" TERM; echo ready; while :; do read -t 0.01 <>go; done' >ready & pid=$!
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
fn a_long_list_of_processes_is_read_to_its_end() {
    let answer = story(
        // Shells that wait, and nobody who waits by turning: in an emulated machine 1500 programs are started in minutes.
        "cgset up --id foo >record
         mkfifo ready never
         cgset exec -P record app -- bash -c 'for i in {1..1500}; do read <>never & done; echo ready; wait' >ready 2>/dev/null &
         read <ready
         cgset show --json <record | grep -o '\"group\":\"/pod-foo/app\".*' | grep -o '\"processes\":\\[[^]]*' | tr ',' '\\n' | grep -c '[0-9]'
         cgset down --kill <record >down",
    );
    assert_eq!(answer.stdout, "1501\n", "{answer:?}");
}
