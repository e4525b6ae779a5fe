//! The command line: status, stdout, stderr.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by #[test], not what they share"
)]

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::{output, pause};

fn run(arguments: &[&str]) -> (i32, String, String) {
    output(Command::new(pause()).args(arguments))
}

fn said(text: &str) -> (i32, String, String) {
    (0, text.into(), String::new())
}

#[test]
fn the_version_by_every_name() {
    for option in ["--version", "-V", "-v"] {
        assert_eq!(
            run(&[option]),
            said(concat!("pause ", env!("CARGO_PKG_VERSION"), "\n"))
        );
    }
}

#[test]
fn bad_usage_is_one_line_and_2_or_before_a_command_125() {
    for (arguments, status, line) in [
        (&["--bogus"][..], 2, "unexpected argument '--bogus' found"),
        (
            &["--bogus", "--", "true"],
            125,
            "unexpected argument '--bogus' found",
        ),
        (&["-"], 2, "unexpected argument '-' found"),
        (&["--"], 125, "unexpected argument '--' found"),
        (&["--id"], 2, "invalid value '' for '--id <ID>'"),
        (&["--id="], 2, "invalid value '' for '--id <ID>'"),
        (&["--id", "../x"], 2, "invalid value '../x' for '--id <ID>'"),
        (
            &["--id", "--", "true"],
            125,
            "invalid value '--' for '--id <ID>'",
        ),
    ] {
        assert_eq!(
            run(arguments),
            (
                status,
                String::new(),
                format!("pause: {line} (see pause --help)\n")
            )
        );
    }
}

#[test]
fn a_command_needs_no_dashes_before_it_and_keeps_those_after_it() {
    let echo = ["sh", "-c", "echo \"$@\"", "sh", "--id", "--", "--version"];
    let after = |options: &[&'static str]| run(&[options, &echo].concat());
    for options in [&[][..], &["--"], &["--id", "foo"], &["--id=foo", "--"]] {
        assert_eq!(after(options), said("--id -- --version\n"));
    }
}

#[test]
fn help_that_cannot_be_written_is_1() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let status = Command::new(pause())
        .arg("--help")
        .stdout(Stdio::from(full))
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn every_option_of_help_is_in_the_man_page() {
    let (status, help, _) = run(&["--help"]);
    assert_eq!((status, run(&["-h"])), (0, said(&help)));
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/pause.1")).unwrap();
    // mdoc(7): `Fl -id` is --id.
    let words: Vec<_> = page.split_whitespace().collect();
    let flags: Vec<_> = words
        .windows(2)
        .filter(|pair| matches!(pair[0], "Fl" | ".Fl"))
        .map(|pair| format!("-{}", pair[1]))
        .collect();
    let options: Vec<_> = help
        .split(|c: char| c.is_whitespace() || "[],".contains(c))
        .filter(|word| word.starts_with('-'))
        .collect();
    for option in ["--id", "--", "-h", "--help", "-V", "-v", "--version"] {
        assert!(options.contains(&option), "{option} is not in --help");
    }
    for option in options {
        assert!(
            flags.iter().any(|flag| flag == option),
            "{option} is not in pause.1"
        );
    }
}
