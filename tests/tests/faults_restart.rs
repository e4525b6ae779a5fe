//! The restart of a pinned pod is disturbed at its system calls: what there was before is there afterwards.

use tests::Node;
use tests::sweep::{Place, places};

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
        let Place { call, nth, .. } = &place;
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
