//! `nsrun show`: who is in a pod, and which namespaces are shared with whom.

use serde_json::Value;
use tests::Node;

/// The sandbox of the seed, an app with a worker, and a sidecar; each waits until the others are there.
const POD: &str = "nsrun up --id foo --net --uts --ipc --mount --pid >foo.json
nsrun exec -P foo.json --pid=new --mount=new -- sh -c 'sleep 1001 & exec sleep 1000' & nsrun exec -P foo.json --pid=new --mount=new -- sleep 2000 &
until [ $(nsrun show --json -P foo.json | jq '.processes | length') = 4 ]; do :; done";

/// Ends what [`POD`] started.
const DOWN: &str = "nsrun down --id foo >/dev/null; wait; rm foo.json";

#[test]
fn the_table_is_that_of_lsns_with_whose_each_namespace_is() {
    let node = Node::new();
    // lsns tells of each namespace how many processes are in it and the first of them.
    let run = node
        .sh(&format!(
            "{POD}
             nsrun show -P foo.json
             echo ==
             lsns -n -r -o NS,TYPE,NPROCS | grep -v time
             {DOWN}"
        ))
        .succeeds();
    let (shown, lsns) = run.stdout.split_once("==\n").unwrap_or_default();
    let rows: Vec<Vec<&str>> = shown
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        [
            "NS", "TYPE", "NPROCS", "PID", "UID", "WHOSE", "PIN", "COMMAND"
        ]
    );
    let of = |whose: &str| {
        let rows = rows.iter().filter(|row| row[5] == whose);
        rows.map(|row| format!("{} {}", row[1], row[2]))
            .collect::<Vec<_>>()
    };
    // As in the seed: the network, the host name and the IPC of all, a mount and a pid namespace for each.
    assert_eq!(
        of("pod"),
        ["mnt 1", "net 4", "pid 1", "uts 4", "ipc 4"],
        "{run}"
    );
    let mut containers = of("process");
    containers.sort();
    assert_eq!(containers, ["mnt 1", "mnt 2", "pid 1", "pid 2"], "{run}");
    assert_eq!(of("host"), ["user 4", "cgroup 4", "time 4"], "{run}");
    let lsns: Vec<&str> = lsns.lines().collect();
    for row in rows[1..].iter().filter(|row| row[5] != "host") {
        assert!(
            lsns.contains(&row[..3].join(" ").as_str()),
            "{row:?} in {run}"
        );
    }
    // The process that holds the pod is the first of its own.
    assert!(rows[1..6].iter().all(|row| row[7] == "pause"), "{run}");
    node.assert_as_it_was();
}

#[test]
fn a_joined_namespace_says_whose_it_is() {
    let node = Node::new();
    node.sh("ip netns add blue").succeeds();
    let world = node.world();
    node.sh("nsrun up --id bar --net --ipc >bar.json; nsrun up --id foo --uts --net=/run/netns/blue --ipc=$(jq .nsrun.pid bar.json) >foo.json")
        .succeeds();
    let whose = r#"jq -r '.namespaces[] | select(.type == ("net","uts","ipc","mnt")) | "\(.type) \(.whose) \(.path)"'"#;
    node.sh(&format!("nsrun show --json --id foo | {whose}"))
        .prints("mnt host null\nnet joined /run/netns/blue\nuts pod null\nipc pod:bar null");
    // The one that lends shows who borrows.
    node.sh(
        "nsrun show --json --id bar | jq -r '.namespaces[] | select(.type == \"ipc\").pids | length'",
    )
    .prints("2");
    node.sh("nsrun down <foo.json >/dev/null; nsrun down <bar.json >/dev/null; rm *.json")
        .succeeds();
    node.assert_same(&world, "two pods");
    node.sh("ip netns delete blue").succeeds();
}

#[test]
fn who_is_in_the_groups_alone_is_in_the_pod() {
    let node = Node::new();
    node.sh("cgset up --id foo pids.max=9 | nsrun up --net >foo.json; cgset exec -P foo.json app -- sleep 1000 & until [ -e /proc/$!/exe ] && [ /proc/$!/exe -ef $(command -v sleep) ]; do :; done
             nsrun show --json --id foo | jq -c '.processes[] | [.command, (.shares | index(\"net\") != null)]'; nsrun down --id foo >/dev/null; cgset down --id foo >/dev/null; wait")
        .succeeds()
        .prints("[\"pause --id foo\",true]\n[\"sleep 1000\",false]");
    node.sh("rm foo.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_tree_shows_where_namespaces_change() {
    let node = Node::new();
    let run = node
        .sh(&format!("{POD}; nsrun show --tree -P foo.json; {DOWN}"))
        .succeeds();
    let without_pids: Vec<String> = run
        .stdout
        .lines()
        .map(|line| line.chars().filter(|c| !c.is_ascii_digit()).collect())
        .collect();
    assert_eq!(
        without_pids[0],
        "foo: up, held by process , own namespaces: mount net pid uts ipc"
    );
    assert_eq!(without_pids[1], " [mnt net pid uts ipc] pause --id foo");
    let app = without_pids
        .iter()
        .position(|line| line.starts_with("`- sleep"))
        .unwrap_or_default();
    assert_eq!(without_pids[app - 1], " [mnt pid] sleep ", "{run}");
    assert_eq!(without_pids.len(), 5, "{run}");
    // Below one that is in the pod: back in the host's network, and with a host name of its own.
    node.sh("nsrun up --id foo --net --ipc >foo.json
             nsrun exec -P foo.json -- nsrun exec --net=/proc/$$/ns/net --uts --fork sleep 1000 &
             until nsrun show --id foo --tree | grep sleep | grep -q '`-'; do :; done
             nsrun show --id foo --tree | tail -2 | sed 's/[0-9]* //' >tree; nsrun down --id foo >/dev/null; wait; cat tree")
        .succeeds()
        .says("nsrun exec --net=/proc/")
        .says("`-[net=host uts] sleep 1000");
    node.sh("rm foo.json tree").succeeds();
    node.assert_as_it_was();
}

#[test]
fn all_pods_of_the_index_are_listed() {
    let node = Node::new();
    node.sh("nsrun show --all")
        .succeeds()
        .prints("ID PID STATE AGE NPROCS COMMAND");
    node.sh("nsrun up --id one --net >/dev/null; nsrun up --id two --uts --pin -- sleep 1000 >/dev/null; mkbox up --copy ls box >/dev/null; cgset up --id limits pids.max=9 >/dev/null")
        .succeeds();
    let columns = "| awk '{print $1, $3, $5, $6, $7}'";
    node.sh(&format!("until [ $(nsrun show --json --id two | jq '.processes | length') = 2 ]; do :; done; nsrun show --all {columns}"))
        .prints("ID STATE NPROCS COMMAND \none up 1 pause \ntwo up,pinned 2 sleep 1000");
    node.sh("kill -KILL $(nsrun show --all | awk '$1 == \"two\" {print $2}'); until nsrun show --all | grep -q down; do :; done")
        .succeeds();
    let list = node.sh("nsrun show --all --json").succeeds();
    let pods: Vec<Value> = list
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert_eq!(pods.len(), 2, "{list}");
    assert_eq!(
        (&pods[0]["up"], &pods[1]["up"]),
        (&true.into(), &false.into())
    );
    assert_eq!(pods[1]["pinned"], true);
    assert!(
        pods[0]["age"].as_u64().is_some_and(|age| age < 60),
        "{list}"
    );
    node.sh("nsrun show --all --id one")
        .ends(2)
        .says_one_line("nsrun");
    node.sh("nsrun down --id one >/dev/null; nsrun down --id two >/dev/null; mkbox down --id box >/dev/null; cgset down --id limits >/dev/null")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn who_is_left_of_a_pod_without_its_process_is_named() {
    let node = Node::new();
    for pin in ["", "--pin"] {
        node.sh(&format!("nsrun up --id foo --net --uts {pin} >foo.json"))
            .succeeds();
        node.sh("nsrun exec -P foo.json -- sleep 1000 & until nsrun show --id foo | grep -q sleep; do :; done
                 kill -KILL $(jq .nsrun.pid foo.json); until nsrun show --id foo | grep -q down; do :; done
                 nsrun show --id foo >shown; nsrun show --id foo --tree | tail -1 | cut -d' ' -f2-; nsrun down --id foo >/dev/null; wait")
            .succeeds()
            .prints("sleep 1000");
        let shown = node.sh("cat shown; rm shown foo.json").succeeds();
        // Before 6.18 nothing but a pin proves that it was in the pod.
        if shown.stdout.contains("1 process is left") {
            let row = |part: &str| {
                let mut lines = shown.stdout.lines();
                lines.any(|line| line.contains(part) && line.ends_with("sleep 1000"))
            };
            assert!(row(" net ") && row(" uts "), "{shown}");
        } else {
            assert!(pin.is_empty(), "{shown}");
        }
        node.assert_as_it_was();
    }
}

#[test]
fn lines_fit_the_terminal_and_are_whole_elsewhere() {
    let node = Node::new();
    if !node.has("script") {
        return;
    }
    let long = "x".repeat(300);
    node.sh(&format!(
        "nsrun up --id foo --net -- sh -c ': {long}; exec sleep 1000' >foo.json; until nsrun show --id foo | grep -q 'sleep 1000'; do :; done"
    ))
    .succeeds();
    for view in ["", "--tree", "--all"] {
        let show = format!(
            "nsrun show {view} {}",
            if view == "--all" { "" } else { "--id foo" }
        );
        let whole = node.sh(&show).succeeds();
        assert!(whole.stdout.contains(&long), "{whole}");
        let cut = node
            .sh(&format!("script -qec 'stty cols 50; {show}' /dev/null"))
            .succeeds();
        let widths = cut
            .stdout
            .lines()
            .map(|line| line.trim_end().chars().count());
        assert_eq!(widths.max(), Some(50), "{cut}");
        assert_eq!(cut.stdout.lines().count(), whole.stdout.lines().count());
    }
    node.sh("nsrun down --id foo >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn what_is_wrong_with_one_pod_hides_no_other() {
    let node = Node::new();
    node.sh("nsrun up --id one --net >one.json; nsrun up --id two --net >two.json; echo torn >/run/chroot0/one/record.json; nsrun show --all | cut -d' ' -f1; echo ${PIPESTATUS[0]}")
        .says("one: /run/chroot0/one/record.json: no JSON")
        .says_one_line("nsrun")
        .prints("ID\ntwo\n1");
    node.sh("rm -r /run/chroot0/one; for id in one two; do nsrun down <$id.json; done >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_pod_that_only_joins_has_no_namespace_of_its_own() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net=/proc/$$/ns/net >foo.json; nsrun show -P foo.json | head -n 1 | tr -d 0-9; nsrun up --id foo --net >/dev/null")
        .prints("foo: up, held by process , own namespaces: none")
        .says("foo is up with no new namespace, not with new net");
    node.sh("nsrun down -P foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}
