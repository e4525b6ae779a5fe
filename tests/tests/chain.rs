//! The whole chain, `cgset exec … nsrun exec … mkbox exec … nsrun drop`, whose last link is the boundary.

use tests::Node;

#[test]
fn the_whole_chain_ends_in_it() {
    let node = Node::new();
    node.sh(
        "cgset up --id foo memory.max=256Mi pids.max=50 | nsrun up --net --ipc --uts >foo.json
         mkbox up --copy bash,id,cat,grep,ls --proc app >app.json
         # a box that brings its own: it must never run
         printf '#!/bin/bash\\necho hostile $0\\n' >app/bin/nsrun; cp app/bin/nsrun app/bin/pause; chmod 755 app/bin/nsrun app/bin/pause
         mkdir app/etc; echo 'maria:x:1234:100::/home/maria:/bin/sh' >app/etc/passwd",
    )
    .succeeds();
    let chain = "cgset exec -P foo.json app memory.max=64Mi -- nsrun exec -P foo.json --pid -- mkbox exec -P app.json --";
    node.sh(&format!(
        "{chain} nsrun drop --user maria --rlimit nofile=64 -- bash -c 'echo $UID $HOME $$; ls /proc/self/fd | grep -c .; grep -E \"^(CapBnd|NoNewPrivs|Seccomp):\" /proc/self/status; grep -m 1 -o \"pod-foo/app$\" /proc/self/cgroup'"
    ))
    .succeeds()
    .prints("1234 /home/maria 1\n4\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\npod-foo/app");
    // With an init of the host between, which the box cannot replace either, and every signal reaches the command.
    node.sh(&format!(
        "coproc {{ exec {chain} pause -- bash -c 'trap \"echo got; exit 3\" TERM; echo ready $$; while :; do read -t 0.1 x; done'; }}
         read -r line <&${{COPROC[0]}}; echo $line; exec 5<&${{COPROC[0]}}; pid=$COPROC_PID
         kill -TERM $pid; cat <&5; wait $pid; echo $?"
    ))
    .succeeds()
    .prints("ready 2\ngot\n3");
    node.sh(
        "nsrun down <foo.json | cgset down >/dev/null; mkbox down <app.json >/dev/null; rm *.json",
    )
    .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_shell_at_a_terminal_through_the_whole_chain() {
    let node = Node::new();
    node.sh("mkbox up --copy bash,id,sleep,stty --proc app >app.json")
        .succeeds();
    // Job control, a key for the job in front, the size, the status; then the terminal is as it was.
    let keys =
        "stty size\\nsleep 100\\n\\003echo after $?\\nsleep 100 &\\njobs\\nkill %%1\\nexit 7\\n";
    for drop in ["", "nsrun drop --user 1000 --"] {
        let run = node.sh(&format!(
            "(sleep 0.5; printf '{keys}' | while IFS= read -r line; do printf '%s\\n' \"$line\"; sleep 0.3; done) |
             timeout 30 script -qec \"stty rows 30 cols 50; nsrun exec --pid -- mkbox exec -P app.json -- {drop} bash --norc -i; echo status \\$?; stty size\" /dev/null"
        ));
        for words in ["30 50", "after 130", "[1]+", "sleep 100 &", "status 7"] {
            assert!(run.stdout.contains(words), "{drop}: {words}: {run}");
        }
    }
    node.sh("mkbox down <app.json >/dev/null; rm app.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn what_drop_reads_comes_from_where_the_chain_was_typed() {
    let node = Node::new();
    // No /proc in the box, and names in it that the host has as well.
    node.sh(
        r#"mkbox up --copy sh,id,mkdir,cat app >app.json
           echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}' >profile.json
           jq -c --slurpfile profile profile.json '.process={user:{uid:7,gid:8},args:["sh","-c","id -u; mkdir x"],cwd:"/",env:["A=b","PATH=/bin:/usr/bin"]} | .linux.seccomp=$profile[0]' app.json >full.json
           echo '{"id":"hostile","process":{"user":{"uid":0,"gid":0},"args":["id"]}}' >app/full.json
           mkdir -p app/dev/fd && for n in 3 4 5 6 7 8 9 10; do cp app/full.json app/dev/fd/$n; done
           cp app/full.json app/profile.json"#,
    )
    .succeeds();
    let full = "7
mkdir: cannot create directory 'x': No space left on device";
    for pod in [
        "-P full.json",
        "-Pfull.json",
        "--pod=full.json",
        "-P <(cat full.json)",
        "-P /dev/fd/9 9<full.json",
    ] {
        let run = node.sh(&format!("mkbox exec -P app.json -- nsrun drop {pod} 2>&1"));
        assert_eq!(run.stdout.trim_end(), full, "{pod}: {run}");
    }
    node.sh("mkbox exec -P app.json -- nsrun drop --user 0 --caps docker --seccomp profile.json -- mkdir x 2>&1")
        .ends(1)
        .prints("mkdir: cannot create directory 'x': No space left on device");
    // Of the command itself an option is its own.
    node.sh("mkbox exec -P app.json -- nsrun drop -- sh -c 'echo $2' sh -P full.json; mkbox exec -P app.json -- nsrun drop cat --pod=profile.json 2>/dev/null || echo none")
        .succeeds()
        .prints("full.json
none");
    let run = node
        .sh("mkbox exec -P app.json -- nsrun drop -P nosuch.json -- mkdir ran")
        .ends(125)
        .says_one_line("mkbox");
    assert!(
        run.stderr.contains("open(nosuch.json): No such file"),
        "{run}"
    );
    // Nobody is in this box, whoever is in the machine's files.
    let run = node
        .sh("mkbox exec -P app.json -- nsrun drop --user daemon -- mkdir ran")
        .ends(125)
        .says_one_line("nsrun");
    assert!(
        run.stderr.contains("open(/etc/passwd): No such file"),
        "{run}"
    );
    // The command holds nothing of it.
    node.sh(r#"mkbox exec -P full.json -- nsrun drop -P full.json --seccomp none -- sh -c 'for n in 3 4 5 6 7 8 9; do (eval "exec 0<&$n") 2>/dev/null && echo $n; done; echo closed'"#)
        .succeeds()
        .prints("closed");
    node.sh("mkbox down <app.json >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn behind_pause_no_nsrun_of_the_box_is_run() {
    let node = Node::new();
    node.sh("mkbox up --copy sh app >app.json; printf '#!/bin/sh\necho hostile\n' >app/bin/nsrun; chmod 755 app/bin/nsrun")
        .succeeds();
    for chain in ["pause -- nsrun drop -- sh", "pause nsrun drop -- sh"] {
        node.sh(&format!("mkbox exec -P app.json -- {chain}"))
            .ends(125)
            .says_one_line("mkbox");
    }
    node.sh("mkbox down <app.json >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}
