//! `-v`: each step that was done, in one format, with how long it took; and nothing without it.

use tests::pod::{BOX, DOWN, UP};
use tests::{Node, step};

/// The lines of `script` on stderr are steps of `tool`, of which there are at least `count`; the milliseconds of them all.
#[track_caller]
fn traced(node: &Node, tool: &str, script: &str, count: usize) -> f64 {
    let said = node.sh(script).succeeds();
    let mut all = 0.0;
    let mut steps = 0;
    for line in said.stderr.lines() {
        let Some((step, ms)) = step(line) else {
            // What is told beside the steps; it has no time.
            let is_told = [
                "trusted programs",
                " bit dropped",
                "no NSS",
                "not known what",
                ": on v1 ",
            ];
            assert!(
                is_told.iter().any(|told| line.contains(told)),
                "{line:?} in {said}"
            );
            continue;
        };
        assert!(step.starts_with(&format!("{tool}: ")), "{line:?} in {said}");
        all += ms;
        steps += 1;
    }
    assert!(steps >= count, "{steps} of {count}: {said}");
    assert!(all < 60_000.0, "{said}");
    all
}

#[test]
fn each_tool_says_each_step_and_how_long_it_took() {
    let node = Node::new();
    let mut all = 0.0;
    for (tool, script, count) in [
        (
            "cgset",
            "cgset up -v --id foo memory.max=64Mi pids.max=100 >1",
            6,
        ),
        ("nsrun", "nsrun up -v --net --ipc <1 >2", 4),
        (
            "netwire",
            "netwire up -v --subnet 10.244.0.0/24 --nat --publish 8080:80 <2 >foo.json",
            6,
        ),
        ("mkbox", "mkbox up -v --copy ls,sh --proc box >box.json", 3),
        ("mkbox", "mkbox exec -v -P box.json -- /bin/ls", 4),
        (
            "nsrun",
            "nsrun exec -v -P foo.json --mount --pid -- true",
            5,
        ),
        ("nsrun", "nsrun exec -v -r --net -- true", 2),
        ("nsrun", "nsrun drop -v --user 1 -- true", 5),
        (
            "cgset",
            "cgset exec -v -P foo.json app pids.max=9 -- true",
            3,
        ),
        ("nsrun", "nsrun exec -v -P foo.json --net -- true", 1),
        (
            "netwire",
            "netwire policy -v -P foo.json --deny 10.9.0.0/16 >foo2 && mv foo2 foo.json",
            1,
        ),
        (
            "netwire",
            "nft flush ruleset; netwire reapply -v >/dev/null",
            1,
        ),
        ("nsrun", "nsrun down -v <foo.json >3", 1),
        ("netwire", "netwire down -v <3 >4", 1),
        ("cgset", "cgset down -v <4 >5", 2),
        ("mkbox", "mkbox down -v <box.json >6", 3),
    ] {
        all += traced(&node, tool, script, count);
    }
    assert!(all > 0.0, "a clock that stands still");
    node.sh("rm -f 1 2 3 4 5 6 *.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn nothing_is_said_without_it() {
    let node = Node::new();
    let said = node.sh(&format!(
        "{UP}; {BOX} 2>/dev/null; nsrun exec -P foo.json -- true; {DOWN} >/dev/null"
    ));
    assert_eq!(said.stderr, "", "{said}");
}

#[test]
fn the_step_that_takes_long_says_so() {
    let node = Node::new();
    let script = "strace -qq -o /dev/null -e trace=unshare -e inject=unshare:delay_enter=100000 nsrun exec -v --net -- true";
    let begin = std::time::Instant::now();
    let said = node.sh(script).succeeds();
    let took = begin.elapsed().as_secs_f64() * 1000.0;
    let steps: Vec<_> = said.stderr.lines().filter_map(step).collect();
    let slow = steps.iter().find(|(step, _)| step.contains("unshare"));
    assert!(slow.is_some_and(|(_, ms)| *ms >= 100.0), "{said}");
    let all: f64 = steps.iter().map(|(_, ms)| ms).sum();
    assert!(all <= took, "{all} of {took} ms: {said}");
}
