//! A system call fails, any of them: an `up` makes everything, or says what failed and leaves nothing.

use tests::sweep::{Place, places};
use tests::{Node, Output, World};

/// Lets each call of `up` fail in turn. It either makes everything, or says what failed and leaves nothing.
fn an_up_of_which_a_call_fails_undoes_itself(up: &str, before: &str, errno: &str) {
    let node = Node::new();
    node.sh(&format!("{before} >before.json")).succeeds();
    let tool = up.split(' ').next().unwrap_or_default().to_owned();
    let down = format!("{tool} down --id foo >/dev/null");
    let found = places(&node, &format!("{up} <before.json >/dev/null"), 3);
    node.sh(&down).succeeds();
    // From here on the index has the spec that a down keeps.
    let world = node.world();
    node.sh(&format!("{up} <before.json >/dev/null")).succeeds();
    let good = counts(&node.world());
    node.sh(&down).succeeds();
    let (mut failed, mut wrong) = (0, Vec::new());
    for place in found {
        let Place { call, nth } = &place;
        // what only watches, waits or ends is retried or has no failure worth a test
        if ["exit_group", "wait4", "close", "execve", "poll", "ppoll"].contains(&call.as_str()) {
            continue;
        }
        let run = node.sh(&format!("{} {up} <before.json", place.fail(errno)));
        match run.status {
            0 if counts(&node.world()) == good => {}
            1 | 2 if says_why(&run, &tool) => failed += 1,
            _ => wrong.push(format!("{call} {nth}: {run}")),
        }
        // What the undo needs as well fails there too; that is said, and the next down does it.
        if run.status == 0 || run.stderr.contains("(not undone: ") {
            node.sh(&down).succeeds();
        }
        if let Some(difference) = beside_the_index(&world, &node.world()) {
            wrong.push(format!("{call} {nth}: {run}{difference}"));
            node.sh(&down).succeeds();
        }
    }
    assert!(
        wrong.is_empty(),
        "{errno} at these calls of {up}:\n{}",
        wrong.join("\n")
    );
    assert!(failed > 5, "only {failed} runs failed");
    node.sh("nsrun down --id foo >/dev/null; cgset down --id foo >/dev/null; rm before.json")
        .succeeds();
    node.assert_as_it_was();
}

/// What differs, but for what the index says: a down leaves in it what the record specifies.
fn beside_the_index(before: &World, after: &World) -> Option<String> {
    let is_index = |line: &str| line.contains("file: /run/chroot0/foo/record.json ");
    let difference = before.difference(after)?;
    let lines: Vec<&str> = difference.lines().filter(|line| !is_index(line)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// How many things of each kind there are: a success without all of them is a lie.
fn counts(world: &World) -> Vec<usize> {
    let kinds = [
        "process",
        "namespace",
        "group",
        "link",
        "address",
        "route",
        "mount",
        "file",
        "nft",
    ];
    kinds.map(|kind| world.of(kind).count()).to_vec()
}

/// Each line is the tool's, and if a record came out it says the same. Where it is the write to stderr that fails, the record
/// alone tells.
fn says_why(run: &Output, tool: &str) -> bool {
    let mut lines = run.stderr.lines();
    let lines_are_ours =
        lines.all(|line| line.starts_with(&format!("{tool}: ")) && !line.contains("panicked"));
    let flows = !run.stdout.is_empty() && run.json()["failed"]["tool"] == *tool;
    let said = !run.stderr.is_empty() || flows;
    said && lines_are_ours && (flows || run.stdout.is_empty())
}

#[test]
fn cgset_up_undoes_itself_whichever_call_fails() {
    an_up_of_which_a_call_fails_undoes_itself(
        "cgset up --id foo memory.max=512Mi pids.max=100",
        "true",
        "ENOSPC",
    );
}

#[test]
fn nsrun_up_undoes_itself_whichever_call_fails() {
    an_up_of_which_a_call_fails_undoes_itself(
        "nsrun up --net --ipc --uts",
        "cgset up --id foo",
        "ENOMEM",
    );
}

#[test]
fn netwire_up_undoes_itself_whichever_call_fails() {
    an_up_of_which_a_call_fails_undoes_itself(
        "netwire up --subnet 10.244.0.0/24",
        "cgset up --id foo | nsrun up --net",
        "EPERM",
    );
}

#[test]
fn netwire_up_with_nat_undoes_itself_whichever_call_fails() {
    an_up_of_which_a_call_fails_undoes_itself(
        "netwire up --subnet 10.244.0.0/24 --subnet fd00:244::/64 --nat --publish 8080:80 --rate 10mbit",
        "cgset up --id foo | nsrun up --net",
        "ENOBUFS",
    );
}

#[test]
fn mkbox_up_undoes_itself_whichever_call_fails() {
    an_up_of_which_a_call_fails_undoes_itself(
        "mkbox up --id foo --copy rm,ls --proc --bind /tmp:/data box",
        "true",
        "ENOSPC",
    );
}

#[test]
fn a_pinned_up_undoes_itself_whichever_call_fails() {
    an_up_of_which_a_call_fails_undoes_itself(
        "nsrun up --net --mount --pid --uts --pin",
        "cgset up --id foo",
        "EIO",
    );
}

#[test]
fn mkbox_up_with_mounts_and_layers_undoes_itself_whichever_call_fails() {
    an_up_of_which_a_call_fails_undoes_itself(
        "mkbox up --id foo --bind-programs rm,ls --copy cat --overlay /etc/skel --etc --proc --dev --mask --host-mounts \
            --mount type=emptyDir,target=/cache --mount type=secret,src=/etc/skel,target=/etc/keys box",
        "true",
        "ENOSPC",
    );
}

#[test]
fn a_restart_of_which_a_call_fails_goes_back_to_the_pins() {
    let node = Node::new();
    let kill =
        "pid=$(jq .nsrun.pid foo.json); kill -KILL $pid; while kill -0 $pid 2>&-; do :; done";
    node.sh(&format!(
        "nsrun up --id foo --net --mount --pid --uts --pin >foo.json; {kill}"
    ))
    .succeeds();
    let up = "nsrun up <foo.json >again.json";
    let found = places(&node, up, 4);
    node.sh(&format!("mv again.json foo.json; {kill}"))
        .succeeds();
    let (mut failed, mut wrong) = (0, Vec::new());
    for place in found {
        let Place { call, nth } = &place;
        if ["exit_group", "wait4", "close", "execve", "poll", "ppoll"].contains(&call.as_str()) {
            continue;
        }
        let world = node.world();
        let run = node.sh(&format!("{} {up}", place.fail("EIO")));
        if run.status == 0 {
            node.sh(&format!("mv again.json foo.json; {kill}"))
                .succeeds();
            continue;
        }
        failed += 1;
        let flows = node
            .sh("grep -q '\"failed\":{\"tool\":\"nsrun\"' again.json")
            .status
            == 0;
        node.sh("rm -f again.json").succeeds();
        let lines = run
            .stderr
            .lines()
            .filter(|line| line.starts_with("nsrun: "));
        // Of the pid namespace a new pin may be there already: it holds one that has ended, as the old one did.
        let renewed = |line: &str| line.starts_with("mount: ") && line.contains("pid:[");
        let left = world
            .without(renewed)
            .difference(&node.world().without(renewed));
        if !(flows || lines.count() > 0) || left.is_some() {
            wrong.push(format!("{call} {nth}: {run}{}", left.unwrap_or_default()));
        }
    }
    assert!(
        wrong.is_empty(),
        "EIO at these calls:\n{}",
        wrong.join("\n")
    );
    assert!(failed > 20, "only {failed} runs failed");
    node.sh(&format!(
        "{up} && nsrun down <again.json >/dev/null; rm *.json"
    ))
    .succeeds();
    node.assert_as_it_was();
}

#[test]
fn mkbox_up_in_a_pod_undoes_itself_whichever_call_fails() {
    an_up_of_which_a_call_fails_undoes_itself(
        "mkbox up --copy ls --proc --dev --mask /home/namespace/box -P -",
        "nsrun up --id foo --mount --pid",
        "ENOMEM",
    );
}

#[test]
fn mkbox_up_from_a_base_undoes_itself_whichever_call_fails() {
    an_up_of_which_a_call_fails_undoes_itself(
        "mkbox up -q --id foo --from /lib/terminfo --copy rm box",
        "true",
        "EIO",
    );
}
