//! What replaces what: each line of ours in docs/in-place-of.md, as it stands and in the order of the page.

use std::fs;

use tests::pod::{BOX, UP};
use tests::{Node, repository};

/// The second cells of the tables, those with a line to run; `\|` is how a table has a pipe.
fn lines(page: &str) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let cells = rows.map(|row| row.replace("\\|", "\0"));
    let ours = cells.filter_map(|row| {
        let cell = row.trim_end_matches(" |").rsplit_once(" | ")?.1.to_owned();
        // A word of prose may follow, or stand before.
        let line = cell.split('`').nth(1)?.replace('\0', "|");
        line.contains(' ').then_some(line)
    });
    ours.collect()
}

#[test]
fn each_line_of_the_page_runs() {
    let page = fs::read_to_string(repository("docs/in-place-of.md")).unwrap();
    let lines = lines(&page);
    assert!(lines.len() > 85, "{} lines", lines.len());
    let node = Node::new();
    let copied = BOX.replace("rm --proc", "rm,ls --proc");
    let other = "sleep 1000 >/dev/null 2>&1 & echo $! >/tmp/other";
    node.sh(&format!("{UP}; {copied} 2>/dev/null\n{other}"))
        .succeeds();
    let mut failed = String::new();
    for line in &lines {
        let script = format!("pid=$(jq .nsrun.pid foo.json) other=$(cat /tmp/other)\n{line}");
        let run = node.sh(&script);
        if run.status != 0 {
            failed += &format!("{run}\n");
        }
    }
    assert!(failed.is_empty(), "{failed}");
    node.sh("kill $(cat /tmp/other); for id in /run/chroot0/*/; do id=$(basename $id); for tool in nsrun netwire 'cgset --kill' mkbox; do
            set -- $tool; tool=$1; shift; $tool down --id $id \"$@\" >/dev/null || exit; done; done
        rm -f *.json *.tar bg.log /tmp/other; rmdir /run/chroot0 2>/dev/null; ip link delete peer9 2>/dev/null; true")
        .succeeds();
    node.becomes_as_it_was();
}
