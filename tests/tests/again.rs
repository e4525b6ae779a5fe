//! nsrun, when it is asked again, or asked wrongly.

use tests::Node;

#[test]
fn up_again_with_other_options_of_the_process_says_which() {
    let node = Node::new();
    node.sh("nsrun up --id foo --pid --mount --mount-proc -w /tmp --log log -R / -- sleep 1000 >foo.json")
        .succeeds();
    // What is not given, or is the same, is no difference; the log wherever one is.
    for options in [
        "",
        "-w /tmp",
        "--log log",
        "--log $PWD/log",
        "--mount-proc",
        "-R /",
    ] {
        let run = node.sh(&format!(
            "nsrun up {options} <foo.json -- sleep 1000 >again.json && cmp foo.json again.json"
        ));
        assert_eq!(run.status, 0, "{options}: {run}");
    }
    for (options, words) in [
        ("-w /", "with wd /tmp, not /"),
        (
            "--log other",
            "with log /home/namespace/log, not /home/namespace/other",
        ),
        ("--mount-proc=/mnt", "with mountProc /proc, not /mnt"),
        ("-R /usr", "with root /, not /usr"),
    ] {
        let run = node
            .sh(&format!(
                "nsrun up {options} <foo.json -- sleep 1000 >/dev/null"
            ))
            .ends(1)
            .says_one_line("nsrun");
        assert!(
            run.stderr.contains(&format!("foo is up {words}")),
            "{options}: {run}"
        );
    }
    node.sh("nsrun down <foo.json >/dev/null; test ! -e other; rm log *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_record_that_nobody_takes_is_undone_also_where_stdout_is_closed() {
    let node = Node::new();
    for (tool, options) in [
        ("nsrun", "--net"),
        ("cgset", "pids.max=7"),
        ("mkbox", "box"),
    ] {
        let run = node
            .sh(&format!("{tool} up --id foo {options} >&-"))
            .ends(1)
            .says_one_line(tool);
        assert!(run.stderr.contains("write(stdout)"), "{run}");
        node.assert_as_it_was();
        // Thrown away on purpose it is taken.
        node.sh(&format!(
            "{tool} up --id foo {options} >/dev/null && {tool} down --id foo >/dev/null"
        ))
        .succeeds();
    }
    node.assert_as_it_was();
}

#[test]
fn a_damaged_index_is_said_with_the_way_out() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json; echo '{garbage' >/run/chroot0/foo/record.json")
        .succeeds();
    let run = node
        .sh("nsrun down --id foo")
        .ends(1)
        .says_one_line("nsrun");
    assert!(
        run.stderr.contains("/run/chroot0/foo/record.json: no JSON")
            && run.stderr.contains("remove it"),
        "{run}"
    );
    node.sh("rm /run/chroot0/foo/record.json; nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn signals_and_users_are_named_as_people_do() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json; nsrun kill -0 <foo.json && nsrun kill --id foo -9 && nsrun wait -q --id foo >/dev/null; nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    let run = node
        .sh("nsrun kill --id foo --bogus")
        .ends(2)
        .says_one_line("nsrun");
    assert!(run.stderr.contains("is no signal"), "{run}");
    node.sh("nsrun exec -S nobody -G nogroup -- sh -c 'id -u; id -g'; id -u nobody; getent group nogroup | cut -d: -f3")
        .succeeds()
        .prints("65534\n65534\n65534\n65534");
    let run = node
        .sh("nsrun exec -S nobody-has-this true")
        .ends(125)
        .says_one_line("nsrun");
    assert!(run.stderr.contains("not in /etc/passwd"), "{run}");
    node.assert_as_it_was();
}

#[test]
fn of_a_target_the_environment_and_of_the_caller_the_ids_can_be_kept() {
    let node = Node::new();
    // Its own PATH is where the command is looked up.
    node.sh("mkdir bin; printf '#!/bin/sh\necho its own $A\n' >bin/mine; chmod 755 bin/mine
             coproc { exec env -i A=b PATH=$PWD/bin:/bin:/usr/bin sh -c 'echo ready; read x'; }; read -r ready <&${COPROC[0]}
             nsrun exec -t $COPROC_PID -u -e -- mine; nsrun exec -t $COPROC_PID --env --pid --init -- mine; SECRET=x nsrun exec -t $COPROC_PID -u -e -- sh -c 'echo ${SECRET-none}'
             echo >&${COPROC[1]}; wait; rm -r bin")
        .succeeds()
        .prints("its own b\nits own b\nnone");
    node.sh("nsrun exec -e true")
        .ends(125)
        .says_one_line("nsrun");
    // Who is nobody there stays it, where the default is to become root.
    node.sh("coproc { exec setpriv --reuid 1000 --regid 1000 --clear-groups nsrun exec -r sh -c 'echo ready; read x'; }; read -r ready <&${COPROC[0]}
             for option in '' --preserve-credentials; do nsrun exec -t $COPROC_PID -U $option -- id -u; done
             echo >&${COPROC[1]}; wait")
        .succeeds()
        .prints("0\n65534");
    node.assert_as_it_was();
}
