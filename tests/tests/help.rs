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

#[test]
fn the_help_of_a_verb_fits_a_screen_where_it_can() {
    let node = Node::new();
    // They have more options than a screen has lines.
    let long = [
        "nsrun up",
        "nsrun exec",
        "nsrun drop",
        "mkbox up",
        "netwire up",
    ];
    let mut seen = 0;
    let mut wrong = String::new();
    for tool in ["nsrun", "cgset", "mkbox", "netwire"] {
        for verb in verbs(&node.sh(&format!("{tool} --help")).succeeds().stdout) {
            let help = node.sh(&format!("{tool} {verb} -h")).succeeds();
            let lines = help.stdout.lines().count();
            let is_long = long.contains(&format!("{tool} {verb}").as_str());
            if (lines > SCREEN) != is_long {
                wrong += &format!("{tool} {verb}: {lines} lines\n");
            }
            seen += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(seen > 30, "{seen}");
}
