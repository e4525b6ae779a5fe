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
        if run.status == 0 {
            node.sh(&down).succeeds();
        }
        if let Some(difference) = world.difference(&node.world()) {
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
fn mkbox_up_undoes_itself_whichever_call_fails() {
    an_up_of_which_a_call_fails_undoes_itself(
        "mkbox up --id foo --copy rm,ls --proc --bind /tmp:/data box",
        "true",
        "ENOSPC",
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
