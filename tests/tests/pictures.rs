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
    let svg = node.sh("cat drawn/pod.svg").succeeds().stdout;
    let text = node.sh("cat drawn/pod.txt").succeeds().stdout;
    assert_eq!(svg, read("docs/pod.svg"), "scripts/pictures.sh");
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
