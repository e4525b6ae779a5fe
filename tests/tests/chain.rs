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

#[test]
fn what_runs_of_the_host_in_a_box_cannot_be_written_there() {
    let node = Node::new();
    // Where the programs could be written to; CVE-2019-5736 did, by the exe of whoever comes in.
    node.sh("mkdir bin; cp $(command -v mkbox) $(command -v nsrun) $(command -v pause) bin; test -w bin/nsrun; mkbox up --copy bash,sleep --proc app >app.json
             printf '#!/proc/self/exe\n' >app/again; chmod 755 app/again")
        .succeeds();
    let look = "bash -c '[ /proc/$PPID/exe -ef /bin/bash ] && echo a shell; [ -w /proc/$PPID/exe ] && echo writable || echo read-only'";
    for own in ["nsrun exec --fork --", "pause --"] {
        node.sh(&format!(
            "PATH=$PWD/bin:$PATH; nsrun exec --pid -- mkbox exec -P app.json -- {own} {look}"
        ))
        .succeeds()
        .prints("read-only");
    }
    // As the interpreter of a script of the box it is run again, and does nothing.
    node.sh("PATH=$PWD/bin:$PATH; before=$(cksum <bin/nsrun); mkbox exec -P app.json -- nsrun drop -- /again; [ \"$before\" = \"$(cksum <bin/nsrun)\" ] && echo the same")
        .prints("the same");
    node.sh("mkbox down <app.json >/dev/null; rm -r bin *.json")
        .succeeds();
    node.assert_as_it_was();
}
