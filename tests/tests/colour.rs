//! What is written to a terminal, and what is not: no tool has colours, so NO_COLOR has nothing to turn off; what is drawn over
//! (a bar, a watched table) is drawn on a terminal alone.

use tests::Node;
use tests::pod::{BOX, DOWN, UP};

/// On a terminal of its own, whose output becomes stdout.
fn at_terminal(command: &str) -> String {
    let command = command.replace('\'', r"'\''");
    format!("TERM=xterm-256color script -qec '{command}' /dev/null </dev/null")
}

/// Whether a colour or another way of writing is chosen: CSI, numbers, m.
fn has_colour(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';');
        end.is_some_and(|end| rest[end..].starts_with('m'))
    })
}

const SHOWN: [&str; 16] = [
    "nsrun show -P foo.json",
    "nsrun show --tree -P foo.json",
    "nsrun show --all",
    "nsrun check",
    "nsrun --help",
    "nsrun up --colour",
    "cgset show -P foo.json",
    "cgset tree -P foo.json",
    "cgset watch --count 2 --interval 0.01 -P foo.json",
    "cgset check",
    "mkbox show box",
    "mkbox show --tree box",
    "mkbox check",
    "netwire show -P foo.json",
    "netwire check",
    "podspec --help",
];

#[test]
fn nothing_has_a_colour_whatever_is_asked_for() {
    assert!(has_colour("a \x1b[1;31mb") && !has_colour("\x1b[K\x1b[H m"));
    let node = Node::new();
    if !node.has("script") {
        return;
    }
    node.sh(&format!("{UP}; {BOX} 2>/dev/null")).succeeds();
    for command in SHOWN {
        for wish in ["NO_COLOR=1", "CLICOLOR_FORCE=1 FORCE_COLOR=1"] {
            let shown = node.sh(&format!("export {wish}; {}", at_terminal(command)));
            assert!(!shown.stdout.trim().is_empty(), "{shown}");
            assert!(!has_colour(&shown.stdout), "{shown}");
        }
        // In a pipe there is no escape at all.
        let piped = node.sh(&format!("export CLICOLOR_FORCE=1; {command} 2>&1 | cat"));
        assert!(!piped.stdout.is_empty(), "{piped}");
        assert!(!piped.stdout.contains('\x1b'), "{piped}");
    }
    node.sh(&format!("{DOWN} >/dev/null; rm *.json")).succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_long_copy_shows_how_far_it_is_on_a_terminal_alone() {
    let node = Node::new();
    if !node.has("script") {
        return;
    }
    let slow = "strace -f -qq -o /dev/null -e trace=copy_file_range -e inject=copy_file_range:delay_enter=300000:when=1..6";
    let up = format!("{slow} mkbox up --copy bash,ls,ip,curl,ps box >/tmp/box.json");
    let shown = node.sh(&at_terminal(&up));
    assert!(
        shown.stdout.contains("%  ") && shown.stdout.contains("\x1b[K"),
        "{shown}"
    );
    assert!(!has_colour(&shown.stdout), "{shown}");
    node.sh("mkbox down --id box").succeeds();
    for quiet in [
        format!("{up} 2>/tmp/said"),
        at_terminal(&up.replace("up --copy", "up -q --copy")),
    ] {
        let said = node.sh(&format!(
            "{quiet}; cat /tmp/said; rm -f /tmp/said; mkbox down --id box >/dev/null"
        ));
        assert!(!said.stdout.contains('\x1b'), "{said}");
    }
    node.sh("rm /tmp/box.json").succeeds();
    node.assert_as_it_was();
}
