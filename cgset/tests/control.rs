//! Looking at a pod's groups, waiting for what happens in them, and acting on what is in them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod node;

use node::{WHERE, story};

/// `ticks PID`: the time that it has run.
const TICKS: &str = r#"
ticks() { sed 's/.*) //' /proc/$1/stat | cut -d' ' -f12; }
"#;

#[test]
fn a_tree_has_groups_processes_and_bars() {
    let answer = story(&format!(
        "{WHERE}
         cgset up --id foo memory.max=64Mi pids.max=10 >record
         cgset exec -P record app pids.max=5 -- sleep 1000 & pid=$!
         until_in $pid /pod-foo/app sleep
         cgset tree <record | sed \"s/$pid/PID/\"
         cgset show <record | head -3
         kill $pid; cgset down <record >down"
    ));
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert!(
        lines[0].starts_with("pod-foo  ")
            && lines[0].contains("memory [")
            && lines[0].contains("/64M")
            && lines[0].contains("tasks [#.........] 1/10"),
        "{answer:?}"
    );
    assert!(
        lines[1].starts_with("├─app") && lines[1].contains("tasks [##........] 1/5"),
        "{answer:?}"
    );
    assert_eq!(lines[2], "│ └─PID sleep 1000", "{answer:?}");
    assert!(lines[3].starts_with("└─pause"), "{answer:?}");
    assert!(
        lines[4].starts_with("GROUP ") && lines[6].starts_with("├─app "),
        "{answer:?}"
    );
}

#[test]
fn kills_are_counted_for_the_pod_too() {
    let answer = story(
        "cgset up --id foo memory.max=64Mi >record
         cgset exec -P record app memory.max=8Mi -- bash -c 'x=$(head -c 50000000 /dev/zero | tr \"\\0\" x)' 2>err; echo $?
         cgset show --json <record
         cgset tree <record | grep -c 'OOM kill'
         cgset wait --oom --timeout 0 <record
         cgset wait --oom --timeout 0 pause <record 2>/dev/null; echo $?
         cgset wait --oom=1000 --timeout 0.05 <record; echo $?
         cgset down <record >down",
    );
    let shown = answer.json(1);
    let kills = |group: usize| shown["groups"][group]["memory.oom_kill"].as_u64().unwrap();
    assert!(kills(0) > 0 && kills(0) == kills(1), "{answer:?}");
    assert_eq!(kills(2), 0, "{answer:?}");
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(lines[2], "2", "{answer:?}");
    let event = answer.json(3);
    assert_eq!(
        (&event["event"], &event["memory.oom_kill"], &event["group"]),
        (&"oom".into(), &kills(0).into(), &"/pod-foo".into())
    );
    assert_eq!(lines[4..], ["1", "1"], "{answer:?}");
    assert!(
        answer.stderr.ends_with(
            "cgset: pod-foo: the OOM killer ended nobody, or nobody more, after 0.05 s\n"
        ),
        "{answer:?}"
    );
}

#[test]
fn waiting_ends_when_the_oom_killer_comes() {
    let answer = story(
        "cgset up --id foo memory.max=64Mi >record
         cgset wait --oom --timeout 20 <record >event & waiter=$!
         cgset exec -P record app memory.max=8Mi -- bash -c 'x=$(head -c 50000000 /dev/zero | tr \"\\0\" x)' 2>err
         wait $waiter; echo $?; grep -c '\"event\":\"oom\"' event
         cgset down <record >down",
    );
    assert_eq!(
        (answer.stdout.as_str(), answer.status),
        ("0\n1\n", 0),
        "{answer:?}"
    );
}

#[test]
fn waiting_for_nobody_ends_with_the_last() {
    let answer = story(&format!(
        "{WHERE}
         cgset up --id foo >record
         cgset wait --empty --timeout 0 <record
         cgset exec -P record app -- sleep 1000 & pid=$!
         until_in $pid /pod-foo/app sleep
         cgset wait --empty --timeout 0.05 <record; echo $?
         cgset wait --empty --timeout 0 pause <record
         cgset wait --empty --timeout 20 app <record >event & waiter=$!
         kill $pid; wait $waiter; echo $?; cat event
         cgset wait --empty other <record; echo $?
         cgset down <record >down"
    ));
    let event = |group: &str| format!(r#"{{"event":"empty","id":"foo","group":"{group}"}}"#);
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            &event("/pod-foo"),
            "1",
            &event("/pod-foo/pause"),
            "0",
            &event("/pod-foo/app"),
            "1"
        ],
        "{answer:?}"
    );
    assert_eq!(
        answer.stderr,
        "cgset: pod-foo: somebody is in it after 0.05 s\n\
         cgset: foo: has no group other (cgset show has the list)\n"
    );
}

#[test]
fn what_is_frozen_stands_still_until_it_is_thawed() {
    let answer = story(&format!(
        "{WHERE}{TICKS}
         cgset up --id foo >record
         cgset exec -P record app -- bash -c 'while :; do :; done' & pid=$!
         until_in $pid /pod-foo/app bash
         cgset wait --frozen --timeout 0 <record 2>/dev/null; echo $?
         cgset freeze <record; echo $?
         before=$(ticks $pid); for i in 1 2 3 4 5; do read -t 0.05 <> <(:); done; [ $before = $(ticks $pid) ] && echo still
         cgset wait --frozen --timeout 0 <record
         cgset tree <record | grep -c frozen
         cgset freeze <record; echo $?
         cgset thaw <record; echo $?
         until [ $before != $(ticks $pid) ]; do :; done
         cgset freeze app <record; cgset wait --frozen --timeout 0 <record 2>/dev/null; echo $?
         cgset thaw <record
         before=$(ticks $pid); until [ $before != $(ticks $pid) ]; do :; done
         cgset exec -P record app -- cgset freeze -P record; echo $?
         cgset freeze <record; timeout 20 cgset down --kill <record >down; echo $?"
    ));
    let event = r#"{"event":"frozen","id":"foo","group":"/pod-foo"}"#;
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(
        lines,
        ["1", "0", "still", event, "3", "0", "0", "1", "1", "0"],
        "{answer:?}"
    );
    assert!(
        answer
            .stderr
            .starts_with("cgset: pod-foo: cgset itself is in it (call it from outside)\n"),
        "{answer:?}"
    );
}

#[test]
fn what_is_killed_is_gone_and_the_groups_stay() {
    let answer = story(&format!(
        "{WHERE}
         cgset up --id foo pids.max=50 >record
         for name in app side; do cgset exec -P record $name -- sleep 1000 & eval $name=$!; done
         until_in $app /pod-foo/app sleep; until_in $side /pod-foo/side sleep
         cgset kill app <record; echo $?; wait $app; echo $?; kill -0 $side && echo alive
         cgset kill --id foo; echo $?; wait $side; echo $?
         cgset kill --id foo; echo $?
         cgset show --json <record
         cgset exec -P record app -- true; echo $?
         cgset down <record >down"
    ));
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(
        lines[..6],
        ["0", "137", "alive", "0", "137", "0"],
        "{answer:?}"
    );
    // no limit of the killing is left
    let shown = answer.json(6);
    assert_eq!(shown["groups"][0]["pids.max"], 50);
    assert_eq!(shown["groups"][1]["pids.max"], "max");
    assert_eq!(lines[7], "0");
}

#[test]
fn a_fork_bomb_of_a_thousand_dies() {
    let answer = story(
        "cgset up --id foo pids.max=$((many * 10)) >record
         cgset exec -P record bomb -- bash -c 'bomb() { bomb | bomb & }; bomb; sleep 1000' >/dev/null 2>&1 &
         there() { cgset show --json <record | grep -o '\"pids.current\":[0-9]*' | head -n 1 | cut -d: -f2; }
         until [ $(there) -ge $((many * 8)) ]; do :; done
         cgset kill <record; echo $?
         cgset wait --empty --timeout 0 <record >/dev/null; echo $?
         cgset down <record >down",
    );
    assert_eq!(answer.stdout, "0\n0\n", "{answer:?}");
}

#[test]
fn a_group_for_one_command_goes_with_it() {
    let answer = story(&format!(
        "{WHERE}
         export own; export -f where
         cgset up --id foo >record
         cgset exec -P record --rm app pids.max=7 -- bash -c 'where self; exit 3'; echo $?
         cgset exec -P record --rm app -- bash -c 'kill -9 $$'; echo $?
         cgset exec -P record --rm -- bash -c 'where self' | sed 's/[0-9]*$/N/'
         cgset exec -P record --rm app -- no-such-command; echo $?
         cgset exec -P record app -- true; cgset exec -P record --rm app -- true; echo $?
         cgset show --json <record | grep -o '\"group\":\"[^\"]*' | cut -d'\"' -f4 | tr '\\n' ' '; echo
         cgset down <record >down
         cgset exec --id own --rm pids.max=20 -- bash -c 'where self' | sed 's/[0-9]*$/N/'
         ls $CHROOT0_RUN 2>/dev/null | wc -l"
    ));
    assert_eq!(
        answer.stdout,
        "/pod-foo/app\n3\n137\n/pod-foo/exec-N\n127\n125\n/pod-foo /pod-foo /pod-foo/app /pod-foo/pause \n/pod-own/exec-N\n0\n",
        "{answer:?}"
    );
    assert_eq!(
        answer.stderr,
        "cgset: exec(no-such-command): No such file or directory\n\
         cgset: pod-foo/app: is there already (--rm removes its group afterwards, so it has to be a new one)\n"
    );
}

#[test]
fn it_is_told_when_the_oom_killer_ended_the_command() {
    let answer = story(
        "cgset up --id foo >record
         cgset exec -P record --rm app memory.max=8Mi -- bash -c 'exec 2>/dev/null; x=$(head -c 50000000 /dev/zero | tr \"\\0\" x); exit 9'; echo $?
         cgset down <record >down",
    );
    assert!(
        answer.stdout == "137\n" || answer.stdout == "9\n",
        "{answer:?}"
    );
    // Who was killed first leaves the others of its pipe behind, for a moment: a second line may tell of them.
    let line = answer.stderr.lines().next().unwrap_or_default();
    assert!(
        line.starts_with("cgset: pod-foo/app: the OOM killer ended ")
            && line.contains(" in it (memory.max 8M, memory.peak "),
        "{answer:?}"
    );
}

#[test]
fn signals_reach_the_command_and_what_it_leaves_behind_ends() {
    let answer = story(
        "cgset up --id foo >record
         cgset exec -P record --rm app -- bash -c 'trap \"exit 5\" TERM; sleep 1000 & echo ready; wait' >ready & pid=$!
         until [ -s ready ]; do :; done
         kill $pid; wait $pid; echo $?
         cgset exec -P record --rm app -- bash -c 'echo $$ >child; exec sleep 1000' & pid=$!
         until [ -s child ] && grep -q sleep /proc/$(cat child)/comm; do :; done
         kill -9 $pid; wait $pid 2>/dev/null; echo $?
         while kill -0 $(cat child) 2>/dev/null; do :; done
         cgset down <record >down; echo $?",
    );
    assert_eq!(answer.stdout, "5\n137\n0\n", "{answer:?}");
    assert!(
        answer
            .stderr
            .contains("cgset: pod-foo/app: 1 process of it is left and ended now\n"),
        "{answer:?}"
    );
}

#[test]
fn a_signal_that_a_c_library_keeps_for_itself_reaches_the_command() {
    let answer = story(
        "cgset up --id foo >record
         cgset exec -P record --rm app -- bash -c 'trap \"exit 6\" RTMIN; mkfifo never; echo ready; while :; do read -t 0.2 <>never; done' >ready & pid=$!
         until [ -s ready ]; do :; done
         kill -RTMIN $pid; wait $pid; echo $?
         cgset down <record >down",
    );
    answer.is("6", "");
}

#[test]
fn at_a_terminal_it_stops_and_is_interrupted_as_its_command_is() {
    // The loop's shell sees a command that SIGINT ended, and the groups are gone by then.
    let answer = story(
        r#"cgset up --id foo >record; mkfifo keys
         env --default-signal script -qec 'bash -c "while :; do cgset exec -P record --rm app -- sh -c \"echo ready; exec sleep 1000\"; done"; echo not heard' /dev/null <keys >screen & pid=$!
         exec 4>keys; until grep -q ready screen 2>/dev/null; do :; done
         printf '\003' >&4; wait $pid; echo $?; grep -c -e ready -e 'not heard' screen
         cgset show --json <record | grep -c pod-foo/app
         cat >stops <<'end'
cgset exec -P record --rm app -- bash -c 'kill -TSTP $$; exit 4'; echo stopped $?; fg >/dev/null; echo ended $?
end
         script -qec 'bash -m stops' /dev/null </dev/null | tr -d '\r' | grep -E '^(stopped|ended) '
         cgset down <record >down"#,
    );
    answer.is("130\n1\n0\nstopped 148\nended 4", "");
}

#[test]
fn a_watch_samples_and_ends() {
    let answer = story(
        "cgset up --id foo >record
         cgset watch --interval 0.05 --count 3 <record | wc -l
         cgset watch --interval 0.05 <record | head -n 1 | grep -c '\"group\":\"/pod-foo\"'
         cgset watch --interval 0.05 <record >samples & pid=$!
         until [ -s samples ]; do :; done
         cgset down <record >down; wait $pid; echo $?
         cgset watch --count 1 <record; echo $?",
    );
    assert_eq!(answer.stdout, "3\n1\n0\n1\n", "{answer:?}");
    assert_eq!(
        answer.stderr,
        "cgset: foo: its groups are gone (cgset down clears the record)\n"
    );
}

#[test]
fn a_watch_on_a_terminal_is_a_table_that_is_written_over() {
    let answer = story(
        "cgset up --id foo memory.max=64Mi >record
         script -qec 'cgset watch -P record --interval 0.05 --count 2' /dev/null </dev/null | tr -d '\\r' >screen
         grep -c $'\\e\\[HGROUP .*CPU .*MEMORY' screen; grep -c '^pod-foo .*64M' screen
         cgset down <record >down",
    );
    answer.is("2\n2", "");
}

#[test]
fn pressure_is_v2s() {
    let answer = story(
        "cgset up --id foo >record
         cgset wait --pressure memory --timeout 0.1 <record; echo $?
         cgset down <record >down",
    );
    // v1 says that it cannot, v2 that nobody had to wait
    assert_eq!(answer.stdout, "1\n", "{answer:?}");
    assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
}
