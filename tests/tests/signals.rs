//! What nsrun does with signals: each of them, with and without a process between.

use tests::Node;

/// Says "ready", and then the number of each signal it gets.
const EAR: &str = r#"
import os, signal
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda number, frame: os.write(1, b"%d\n" % number))
os.write(1, b"ready\n")
while True:
    signal.pause()
"#;

#[test]
fn every_signal_reaches_the_command_once() {
    let node = Node::new();
    node.sh_with("cat >ear.py", EAR).succeeds();
    let run = node.sh(r#"for how in "" --fork --pid "-r --pid" "--pid pause"; do
             coproc EAR { exec nsrun exec $how -- python3 ear.py; }
             read -r -t 60 line <&${EAR[0]}
             for signal in {1..31} {34..64}; do
                 # what the kernel alone decides, that some child of nsrun has changed its state, and what stops pause
                 case $how:$signal in *:9 | *:19 | *:17 | *pause:2[0-2]) continue ;; esac
                 kill -$signal $EAR_PID
                 read -r -t 60 got <&${EAR[0]}
                 [ "$got" = $signal ] || echo "$how: $signal gave $got"
             done
             # whoever kills nsrun kills the command: the end of the file is the proof
             kill -KILL $EAR_PID
             exec 5<&${EAR[0]}
             wait $EAR_PID 2>/dev/null; status=$?
             timeout 60 cat <&5; echo "$line $status"
         done; rm ear.py"#);
    run.succeeds()
        .prints("ready 137\nready 137\nready 137\nready 137\nready 137");
    node.assert_as_it_was();
}

#[test]
fn every_signal_that_ends_a_command_is_its_status() {
    let node = Node::new();
    // Those whose default is to end a process.
    let run = node.sh(r#"ulimit -c 0
         for how in "" --fork "--user --fork" "--pid pause --"; do
             for signal in {1..16} {24..27} {29..31}; do
                 nsrun exec $how sh -c "kill -$signal \$\$; kill -$signal \$\$" 2>/dev/null
                 [ $? = $((128 + signal)) ] || echo "$how: $signal gave $?"
             done
         done 2>/dev/null"#);
    run.succeeds().prints("");
    node.assert_as_it_was();
}

#[test]
fn masks_and_dispositions_are_the_caller_s() {
    let node = Node::new();
    let program = r#"
import os, signal, sys
which = [n for n in range(1, 65) if n not in (9, 19, 32, 33) and n % 3 == int(sys.argv[1])]
for number in which:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, [n for n in range(1, 65) if n not in (9, 19, 32, 33) and n % 3 != int(sys.argv[1])])
os.execvp(sys.argv[2], sys.argv[2:])
"#;
    node.sh_with("cat >odd.py", program).succeeds();
    let run = node.sh(
        r#"look="grep -E ^Sig(Blk|Ign|Cgt): /proc/self/status"
         for which in 0 1 2; do
             python3 odd.py $which $look >expected
             for how in "" --fork --pid "-rm --propagation slave" "--map-users 0:5:5"; do
                 timeout 60 python3 odd.py $which nsrun exec $how $look | diff expected - >&2 || echo "$which $how"
             done
         done; wc -l <expected; rm odd.py expected"#,
    );
    run.succeeds().prints("3");
    node.assert_as_it_was();
}

#[test]
fn a_closed_pipe_ends_a_command_as_without_nsrun() {
    let node = Node::new();
    for how in ["", "--fork", "--pid pause --"] {
        node.sh(&format!(
            "set -o pipefail; timeout 60 nsrun exec {how} yes | head -n 1; echo $?"
        ))
        .succeeds()
        .prints("y\n141");
    }
    node.assert_as_it_was();
}

#[test]
fn the_mask_is_the_callers_to_the_last_signal() {
    let node = Node::new();
    // RTMIN of a shell is 34, which a C library may keep for itself.
    node.sh(r#"mkbox up -q --copy grep --proc box >box.json
         for how in "nsrun exec" "nsrun exec --fork" "nsrun exec -r --pid" "nsrun exec --pty" "mkbox exec box" "cgset exec --id held"; do
             env --block-signal=HUP,RTMIN,RTMAX $how -- grep SigBlk /proc/self/status
         done | tr -d '\r'
         mkbox down <box.json >/dev/null; cgset down --id held >/dev/null; rm box.json"#)
        .prints(&["SigBlk:\t8000000200000001"; 6].join("\n"));
    node.assert_as_it_was();
}
