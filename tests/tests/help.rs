//! `--help` of each tool fits a screen and ends with an example, which runs.

use tests::Node;

/// Lines of a screen; one is the shell's.
const SCREEN: usize = 24;

/// The verbs of a tool, as its help lists them.
fn verbs(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list.take_while(|line| !line.is_empty());
    list.filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect()
}

#[test]
fn the_help_of_each_tool_fits_a_screen_and_its_example_runs() {
    let node = Node::new();
    node.sh("printf 'apiVersion: v1\\nkind: Pod\\nmetadata: {name: bar}\\nspec: {containers: [{name: app, image: x}]}\\n' >pod.yaml")
        .succeeds();
    for tool in ["nsrun", "cgset", "mkbox", "netwire", "podspec"] {
        let help = node.sh(&format!("{tool} --help")).succeeds();
        assert!(help.stdout.lines().count() <= SCREEN, "{help}");
        let (_, example) = help.stdout.rsplit_once("Example:").expect("an example");
        assert!(!example.contains("--help"), "examples last: {help}");
        node.sh(&format!("set -e -o pipefail; {}", example.trim()))
            .succeeds();
        node.sh("rm -f *.json").succeeds();
    }
    node.sh("rm pod.yaml").succeeds();
    node.assert_as_it_was();
}

/// Options that fit no screen of 24 lines: then one that a terminal of today has.
const LONG: [&str; 5] = [
    "nsrun up",
    "nsrun exec",
    "nsrun drop",
    "mkbox up",
    "netwire up",
];
const LONG_SCREEN: usize = 50;
const COLUMNS: usize = 100;

/// What examples take for granted, but those of `up`, which make it.
const POD: &str = "set -e -o pipefail; mkbox up -q --copy sh,ls box >box.json
    cgset up --id foo | nsrun up --net | netwire up --subnet 10.244.0.0/24 >foo.json
    cgset exec -P foo.json app -- true; netwire service up web --vip 10.96.0.10 --port 80 --to 10.244.0.2 >/dev/null 2>&1";

const NO_POD: &str = "netwire service down --all 2>/dev/null
    if [ -e foo.json ]; then nsrun down <foo.json | netwire down | cgset down --kill >/dev/null || exit; fi
    mkbox down --id box >/dev/null 2>&1; rm -rf *; rmdir /run/chroot0 2>/dev/null; true";

/// What is wrong with a help: its measure, or where its example is.
fn wrong(of: &str, help: &str) -> Option<String> {
    let most = match LONG.contains(&of) {
        true => LONG_SCREEN,
        false => SCREEN,
    };
    let lines = help.lines().count();
    if lines > most || (most == LONG_SCREEN && lines <= SCREEN) {
        return Some(format!("{of}: {lines} lines\n"));
    }
    if let Some(line) = help.lines().find(|line| line.chars().count() > COLUMNS) {
        return Some(format!("{of}: {} columns: {line}\n", line.chars().count()));
    }
    let is_last = help
        .lines()
        .last()
        .is_some_and(|line| line.starts_with("Example: "));
    (!is_last).then(|| format!("{of}: the last line is no example\n"))
}

#[test]
fn the_help_of_a_verb_fits_a_screen_and_its_example_runs() {
    let node = Node::new();
    let help = |of: &str| node.sh(&format!("{of} --help")).succeeds().stdout;
    let mut all = Vec::new();
    for tool in ["nsrun", "cgset", "mkbox", "netwire", "netwire service"] {
        let of_tool = verbs(&help(tool)).into_iter();
        all.extend(of_tool.map(|verb| format!("{tool} {verb}")));
    }
    assert!(all.len() > 40, "{all:?}");
    let mut told = String::new();
    for verb in &all {
        let text = help(verb);
        told += &wrong(verb, &text).unwrap_or_default();
        let short = node.sh(&format!("{verb} -h")).succeeds().stdout;
        assert_eq!(short, text, "{verb}: one help, not two");
        let Some((_, example)) = text.rsplit_once("Example: ") else {
            continue;
        };
        let before = match verb.ends_with(" up") {
            true => "",
            false => POD,
        };
        node.sh(before).succeeds();
        // It ends with the pod, or when it is told to.
        let script = match verb == "netwire forward" {
            true => format!(
                "set -e -o pipefail; {} & until grep -q :1F90 /proc/net/tcp; do kill -0 $!; done; kill $!",
                example.trim()
            ),
            false => format!("set -e -o pipefail; {example}"),
        };
        let run = node.sh(&script);
        if run.status != 0 {
            told += &format!("{run}\n");
        }
        node.sh(NO_POD).succeeds();
    }
    assert!(told.is_empty(), "{told}");
    node.becomes_as_it_was();
}
