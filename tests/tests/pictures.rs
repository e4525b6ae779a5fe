//! The pictures of the documentation: the tools draw them, and they are what the tools draw now.

use std::fs;

use tests::{Node, repository};

/// Pids and what was used differ from run to run; a bar and the blanks beside a number with it.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let words = line.split_whitespace().map(|word| {
            let known = ["foo", "512M", "64M", "100", "sleep", "1000"];
            let has_digit = word.contains(|c: char| c.is_ascii_digit());
            let limit = word.split_once('/').map_or("", |(_, limit)| limit);
            match (has_digit, known.contains(&word)) {
                (true, false) if known.contains(&limit) => format!("N/{limit}"),
                (true, false) => {
                    word.replace(|c: char| c.is_ascii_digit() || "KM.".contains(c), "")
                }
                _ => word.trim_matches(['[', ']', '#', '.']).to_owned(),
            }
        });
        shown += &(words.collect::<Vec<_>>().join(" ") + "\n");
    }
    shown
}

#[test]
fn the_pictures_are_what_the_tools_draw() {
    let node = Node::new();
    node.sh("mkdir drawn && /mnt/scripts/pictures.sh drawn")
        .succeeds();
    let read = |path: &str| fs::read_to_string(repository(path)).unwrap();
    for name in ["pod.svg", "pipe.svg"] {
        let svg = node.sh(&format!("cat drawn/{name}")).succeeds().stdout;
        assert_eq!(svg, read(&format!("docs/{name}")), "scripts/pictures.sh");
        assert!(read("README.md").contains(&format!("(docs/{name})")));
    }
    let text = node.sh("cat drawn/pod.txt").succeeds().stdout;
    let kept = read("docs/pod.txt");
    assert_eq!(
        without_numbers(&text),
        without_numbers(&kept),
        "scripts/pictures.sh"
    );
    assert!(
        text.contains("foo: up, held by process ") && text.contains("─sidecar"),
        "{text}"
    );
    // The README has it as it is.
    assert!(read("README.md").contains(&kept), "README.md");
    node.sh("rm -r drawn").succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_pod_foo_of_the_machine_is_left_alone() {
    let node = Node::new();
    node.sh("cgset up --id foo memory.max=64Mi >foo.json; cgset exec -P foo.json app -- sleep 1000 >/dev/null 2>&1 &
         until grep -q . /sys/fs/cgroup/*/pod-foo/app/cgroup.procs 2>/dev/null || grep -q . /sys/fs/cgroup/pod-foo/app/cgroup.procs 2>/dev/null; do :; done")
        .succeeds();
    let before = node.world();
    node.sh("mkdir drawn; /mnt/scripts/pictures.sh drawn; status=$?; rmdir drawn; exit $status")
        .ends(1)
        .says_one_line("pictures.sh")
        .says("there is a pod foo on this machine");
    node.assert_same(&before, "pictures.sh");
    node.sh("cgset down --kill <foo.json && rm foo.json")
        .succeeds();
    node.becomes_as_it_was();
}
