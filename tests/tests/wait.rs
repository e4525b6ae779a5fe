//! `nsrun wait`, `nsrun kill` and `--init`: how a pod's process ends, and who hears a signal.

use tests::Node;

/// Says in which state it is, and ends with 7 after USR1.
const JOB: &str = "sh -c 'trap \"exit 7\" USR1; echo ready; while :; do sleep 0.01; done'";

/// The job is up and its trap is set.
fn up(options: &str) -> String {
    format!(
        "nsrun up --id foo --net {options} --log log -- {JOB} >foo.json; until grep -q ready log; do :; done"
    )
}

const DOWN: &str = "nsrun down --id foo >/dev/null; rm -f foo.json log";

/// The nsrun in `$wait` has its pidfd: from now on it will be told how the process ends.
const WAITS: &str = "until grep -qs ^Pid: /proc/$wait/fdinfo/*; do :; done";

/// What `nsrun wait` prints of a status: nothing before Linux 6.15, which is the first to tell.
fn told(node: &Node, status: i32) -> String {
    let release = node.sh("uname -r").succeeds().stdout;
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.trim().parse::<u32>());
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or_default();
    match (next(), next()) >= (6, 15) {
        true => status.to_string(),
        false => String::new(),
    }
}

#[test]
fn wait_prints_how_the_command_ended() {
    let node = Node::new();
    for pid in ["", "--pid"] {
        for (signal, status) in [("USR1", 7), ("KILL", 137), ("sigusr1", 7), ("10", 7)] {
            node.sh(&up(pid)).succeeds();
            node.sh(&format!(
                "nsrun wait --id foo & wait=$!
                 {WAITS}
                 nsrun kill -P foo.json {signal}; wait $wait"
            ))
            .succeeds()
            .prints(&told(&node, status));
            node.sh(DOWN).succeeds();
        }
    }
    // By its record, on stdin.
    node.sh(&up("")).succeeds();
    node.sh(&format!(
        "nsrun wait -q <foo.json & wait=$!; {WAITS}; nsrun kill USR1 <foo.json; wait $wait"
    ))
    .succeeds()
    .prints(&told(&node, 7));
    // Nobody has waited for it: that it has ended is all there is to say.
    node.sh("nsrun wait --id foo")
        .succeeds()
        .says_one_line("nsrun")
        .says("has ended, with a status that nobody waited for")
        .prints("");
    node.sh("nsrun wait -q --id foo 2>&1").succeeds().prints("");
    node.sh(DOWN).succeeds();
    node.sh("nsrun wait --id foo")
        .ends(1)
        .says_one_line("nsrun")
        .says("no such pod");
    node.assert_as_it_was();
}

#[test]
fn wait_gives_up_when_it_is_told_to() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json").succeeds();
    node.sh("nsrun wait --id foo --timeout 0.05")
        .ends(1)
        .says_one_line("nsrun")
        .says("foo: is still up after 0.05 s")
        .prints("");
    node.sh(&format!(
        "nsrun wait -q --id foo --timeout 50 & wait=$!; {WAITS}
         nsrun down --id foo >/dev/null; wait $wait; status=$?; rm foo.json; exit $status"
    ))
    .succeeds();
    node.assert_as_it_was();
}

#[test]
fn kill_reaches_the_command_or_everybody_and_nobody_else() {
    let node = Node::new();
    node.sh(&up("--uts")).succeeds();
    // With all, also who is in a pid namespace of its own.
    node.sh("nsrun exec -P foo.json --pid=new --init -- sh -c 'trap \"echo heard >heard; exit\" USR1; echo here >here; while :; do sleep 0.01; done' &
             until [ -e here ]; do :; done
             nsrun kill 0 --id foo && nsrun kill --id foo CONT && [ ! -e heard ] && nsrun kill USR1 --all <foo.json; wait; cat heard; rm here heard")
        .succeeds()
        .prints("heard");
    node.sh("nsrun wait -q --id foo >/dev/null; nsrun kill 0 --id foo")
        .ends(1)
        .says_one_line("nsrun")
        .says("that held it is gone");
    node.sh("nsrun kill --all 0 --id foo").succeeds();
    node.sh(DOWN).succeeds();
    for wrong in ["NOPE", "65", "RTMAX+1"] {
        node.sh(&format!("nsrun kill {wrong} --id foo"))
            .ends(2)
            .says_one_line("nsrun")
            .says("is no signal");
    }
    node.assert_as_it_was();
}

#[test]
fn no_record_makes_kill_reach_a_process_that_is_no_pods() {
    let node = Node::new();
    node.sh(
        "nsrun up --id foo --net >foo.json; cp foo.json lie.json; nsrun down --id foo >/dev/null",
    )
    .succeeds();
    // Everything about the process is true, but that it holds a pod.
    node.sh("sleep 1000 & read -r -a stat </proc/$!/stat
             jq -c \".nsrun.pid = $! | .nsrun.starttime = ${stat[21]}\" lie.json >true.json
             nsrun kill KILL <true.json; echo $?; nsrun kill --all KILL <true.json; echo $?
             nsrun kill KILL <lie.json; echo $?
             kill -0 $! && echo alive; kill $!; rm *.json")
        .prints("1\n1\n1\nalive")
        .says("is not its pause");
    node.sh(
        "nsrun up --id foo --net >foo.json; jq -c '.nsrun.starttime += 1' foo.json | nsrun kill",
    )
    .ends(1)
    .says("the pod that is up is of process");
    node.sh("nsrun kill 0 --id foo; nsrun down --id foo >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn under_init_process_1_hears_signals_and_ends_as_its_command_does() {
    let node = Node::new();
    let ends = |init: &str, script: &str, status: i32| {
        node.sh(&format!("nsrun exec --pid {init} -- {script}"))
            .ends(status);
    };
    ends("--init", "sh -c 'exit 7'", 7);
    ends("--init", "sh -c 'kill -TERM $$'", 143);
    ends("--init", "/no/such", 127);
    // Its command is process 2, and without: 1.
    node.sh("nsrun exec --pid --init -- sh -c 'echo $$'")
        .prints("2");
    node.sh("nsrun exec --pid -- sh -c 'echo $$'").prints("1");
    // TERM from outside: the kernel drops it for a process 1 that has no handler.
    let term = |init: &str, patience: &str| {
        node.sh(&format!(
            "nsrun exec --pid {init} -- sleep 1000 & exec=$!
             until pgrep -x sleep >/dev/null; do :; done
             kill -TERM $exec; timeout {patience} tail --pid=$exec -f /dev/null && echo ended; kill -KILL $exec 2>&-; wait $exec; echo $?"
        ))
    };
    term("--init", "20").prints("ended\n143");
    term("", "0.3").prints("137");
    // Orphans are reaped.
    node.sh("nsrun exec --pid --mount-proc --init -- sh -c 'for i in 1 2 3 4 5; do (sh -c \"echo \\$\\$ >>pids\" &); done
             until [ -e pids ] && [ $(wc -l <pids) = 5 ]; do :; done
             for try in $(seq 500); do
                 left=$(for pid in $(cat pids); do [ ! -e /proc/$pid ] || echo $pid; done)
                 [ -n \"$left\" ] || break; sleep 0.01
             done; rm pids; echo left: $left'")
        .prints("left:");
    node.sh("nsrun exec --init --dry-run -- true")
        .prints("execve(pause -- true)");
    node.assert_as_it_was();
}

#[test]
fn the_init_is_the_hosts_in_any_root() {
    let node = Node::new();
    // Where the tools are there is nothing in the pod's mount namespace, and a pause of its own is not run.
    node.sh("nsrun up --id foo --mount --log log -- sh -c 'mount -t tmpfs none /mnt && mkdir /mnt/tools && echo \"#!/bin/sh\" >/mnt/tools/pause && chmod 755 /mnt/tools/pause && echo ready && exec sleep 1000' >foo.json; until grep -q ready log; do :; done")
        .succeeds();
    node.sh(
        "nsrun exec -P foo.json --pid=new --init -- sh -c 'echo $$ $PWD; ls /mnt/tools; exit 3'",
    )
    .ends(3)
    .prints("2 /\npause");
    node.sh("nsrun exec -P foo.json --wd /tmp --init -- pwd")
        .prints("/tmp");
    node.sh(DOWN).succeeds();
    node.sh("mkbox up --copy bash box >/dev/null; nsrun exec --root box --pid --init -- /bin/bash -c 'echo $$'; mkbox down --id box >/dev/null")
        .succeeds()
        .prints("2");
    // up takes it as well: its command has one in any case.
    node.sh("nsrun up --id foo --pid --init -- sleep 1000 >foo.json; tr '\\0' ' ' </proc/$(jq .nsrun.pid foo.json)/cmdline")
        .prints("pause --id foo -- sleep 1000");
    node.sh(DOWN).succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_pod_of_more_processes_than_descriptors_is_reached_whole() {
    let node = Node::new();
    let up = "nsrun up --id foo --net >foo.json
         nsrun exec -P foo.json -- bash -c 'for i in {1..100}; do (trap \"echo >>heard; exit\" TERM; trap \"echo >>asked\" USR1; echo >>set; while :; do read -t 1000 <>fifo; done) & done; wait' &
         until [ $(nsrun show --json -P foo.json | jq '.processes | length') = 102 ]; do :; done; until [ $(wc -l <set) = 100 ]; do :; done; rm set";
    node.sh("mkfifo fifo").succeeds();
    // Fewer than there may be: as many as are needed are taken.
    node.sh(&format!(
        "{up}; (ulimit -Sn 40; nsrun kill --all USR1 --id foo); until [ $(wc -l <asked) = 100 ]; do sleep 0.1; done; rm asked
         (ulimit -Sn 40; nsrun down --id foo >/dev/null); echo $?; wc -l <heard; rm heard"
    ))
    .prints("0\n100");
    // No more can be had: who cannot reach all says so, and all end, each asked before.
    node.sh(&format!(
        "{up}; (ulimit -n 40; nsrun kill --all USR1 --id foo); echo $?
         (ulimit -n 40; nsrun down --id foo >/dev/null); echo $?; wc -l <heard; rm -f heard asked"
    ))
    .prints("1\n0\n100")
    .says("Too many open files (a descriptor for each process: ulimit -n)");
    node.sh("wait; rm foo.json fifo").succeeds();
    node.assert_as_it_was();
}
