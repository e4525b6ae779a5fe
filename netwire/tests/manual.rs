//! Each option of --help is in the man page.
#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, and these helpers are theirs"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Every option in the `--help` of a verb: `-v`, `--verbose` …
fn options(help: &str) -> Vec<String> {
    let lines = help
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| {
        let spelling = line.split("  ").next().unwrap_or_default();
        spelling
            .split([',', ' '])
            .filter(|word| word.starts_with('-'))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    words.collect()
}

/// Of each verb at least so many options, and these sections.
fn check(page: &str, from: &str, verbs: &[(&[&str], usize)], sections: &[&str]) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let page = fs::read_to_string(page).unwrap().replace("\\-", "-");
    let described = page.split(from).nth(1).unwrap();
    // "\\fB--port\\fR" is a word as well
    let described = described.replace("\\fB", " ").replace("\\fR", " ");
    let words: Vec<&str> = described
        .split(|c: char| c.is_whitespace() || ",\"".contains(c))
        .collect();
    for (verb, least) in verbs {
        let help = Command::new(env!("CARGO_BIN_EXE_netwire"))
            .args(*verb)
            .arg("--help")
            .output()
            .unwrap();
        assert!(help.status.success() && help.stderr.is_empty(), "{help:?}");
        let options = options(&String::from_utf8(help.stdout).unwrap());
        assert!(options.len() >= *least, "{verb:?}: {options:?}");
        for option in options {
            let is_there = words.contains(&option.as_str());
            assert!(is_there, "{verb:?}: {option} is not in the man page");
        }
    }
    for section in sections {
        assert!(page.contains(&format!("\n.SH {section}\n")), "{section}");
    }
}

#[test]
fn every_option_is_in_the_man_page() {
    check(
        "netwire.1",
        ".SH OPTIONS",
        &[
            (&["up"], 4),
            (&["show"], 4),
            (&["forward"], 5),
            (&["policy"], 4),
            (&["reapply"], 3),
            (&["down"], 4),
            (&["gc"], 2),
            (&["why"], 4),
            (&["check"], 3),
        ],
        &["NAME", "SYNOPSIS", "RECORD", "EXIT STATUS", "EXAMPLES"],
    );
}

#[test]
fn every_option_of_services_is_in_their_man_page() {
    check(
        "netwire-service.1",
        ".SH DESCRIPTION",
        &[
            (&["service", "up"], 12),
            (&["service", "set"], 8),
            (&["service", "down"], 4),
            (&["service", "show"], 4),
            (&["service", "names"], 3),
        ],
        &["NAME", "SYNOPSIS", "EXIT STATUS", "EXAMPLES"],
    );
}
