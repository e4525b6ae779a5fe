//! The contract of the command line: status, stdout, and whole lines of stderr. No privilege is needed.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use common::Scratch;

mod common;

#[test]
fn every_flag_of_the_help_is_in_the_manual() {
    let manual = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/mkbox.1")).unwrap();
    // In mdoc a hyphen is `\-`, and words that begin with a full stop are macros.
    let manual = manual.replace("\\-", "-");
    let scratch = Scratch::new();
    for verb in [
        vec!["--help"],
        vec!["up", "--help"],
        vec!["exec", "--help"],
        vec!["show", "--help"],
        vec!["down", "--help"],
        vec!["check", "--help"],
        vec!["verify", "--help"],
        vec!["pack", "--help"],
    ] {
        let help = scratch.run(&verb).good().stdout;
        let is_flag = |word: &&str| word.starts_with('-') && word.len() > 1 && *word != "--";
        let clean = |word: &str| {
            let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '-';
            word.split(is_end).next().unwrap_or_default().to_owned()
        };
        let flags: Vec<String> = help
            .split_whitespace()
            .filter(is_flag)
            .map(clean)
            .filter(|flag| flag.len() > 1)
            .collect();
        assert!(flags.len() > 1, "{help}");
        for flag in flags {
            let name = flag.trim_start_matches('-');
            let said = if flag.starts_with("--") {
                format!("Fl -{name}")
            } else {
                format!("Fl {name}")
            };
            assert!(
                manual.contains(&said),
                "{flag} of mkbox {} is not in the manual ({said})",
                verb[0]
            );
        }
    }
}

#[test]
fn verbose_prints_what_cp_would_and_dry_run_does_nothing() {
    let scratch = Scratch::new();
    scratch.program("tool", b"#!/bin/sh\n");
    fs::set_permissions(scratch.path("tool"), fs::Permissions::from_mode(0o6755)).unwrap();
    let planned = scratch
        .run(&["up", "--dry-run", "--copy", "./tool", "a/box"])
        .good()
        .stdout;
    let tool = scratch.path("tool");
    let (tool, root) = (tool.display(), scratch.path("a"));
    assert!(planned.starts_with(&format!("mkdir({0})\nmkdir({0}/box)\n'{tool}' -> 'a/box/bin/tool'\n'/bin/sh' -> 'a/box/bin/sh'\n", root.display())), "{planned}");
    assert_eq!(scratch.left(), ["tool"]);
    let made = scratch.run(&["up", "-v", "--copy", "./tool", "a/box"]);
    let dropped = format!(
        "mkbox: {tool}: set-user-ID bit, set-group-ID bit dropped\nmkbox: '{tool}' -> 'a/box/bin/tool'\n"
    );
    let said = tests::without_times(&made.stderr);
    assert!(said.starts_with(&dropped), "{made:?}");
    assert_eq!(
        scratch.path("a/box/bin/tool").metadata().unwrap().mode() & 0o7777,
        0o755
    );
    let kept = scratch.run(&["down", "--dry-run", "a/box"]).good().stdout;
    assert_eq!(
        kept,
        format!(
            "unlink({0}/box/*)\nrmdir({0}/box)\nrmdir({0}) if it is empty\n",
            root.display()
        )
    );
    let removed = scratch.run(&["down", "-v", "a/box"]).stderr;
    let removed = tests::without_times(&removed);
    assert!(
        removed.contains(&format!(
            "mkbox: rmdir({}/box)\nmkbox: unlink({0}/.box.mkbox)\nmkbox: rmdir({0})\n",
            root.display()
        )),
        "{removed}"
    );
}

#[test]
fn places_that_can_be_no_box_are_refused_and_left_alone() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("full")).unwrap();
    fs::write(scratch.path("full/precious"), "x").unwrap();
    fs::write(scratch.path("file"), "x").unwrap();
    symlink("full", scratch.path("link")).unwrap();
    symlink("nowhere", scratch.path("dangling")).unwrap();
    let at = |name: &str| scratch.path(name).display().to_string();
    let before = scratch.left();
    for (root, status, line) in [
        ("/", 2, "BOX \"/\" does not end in a name".to_owned()),
        ("..", 2, "BOX \"..\" does not end in a name".to_owned()),
        (
            "full/..",
            2,
            "BOX \"full/..\" does not end in a name".to_owned(),
        ),
        (
            "none/../box",
            2,
            "BOX none/../box: has .. below a directory that does not exist".to_owned(),
        ),
        (
            "dangling/box",
            2,
            "BOX dangling/box: a symbolic link on the way leads nowhere".to_owned(),
        ),
        ("full", 1, format!("BOX {}: is not empty", at("full"))),
        ("file", 1, format!("BOX {}: is no directory", at("file"))),
        ("link", 1, format!("BOX {}: is a symbolic link", at("link"))),
        (
            "file/box",
            1,
            format!("open({}): Not a directory", at("file")),
        ),
        ("/proc", 1, "BOX /proc: is a mount point".to_owned()),
    ] {
        let answer = scratch.run(&["up", "--copy", "sh", root]);
        assert_eq!(
            (answer.status, answer.stderr),
            (status, format!("mkbox: {line}\n")),
            "{root}"
        );
        assert_eq!(scratch.left(), before, "{root}");
    }
    let answer = scratch.run(&["down", "full"]);
    let marker = at(".full.mkbox");
    assert_eq!(
        answer.stderr,
        format!("mkbox: BOX full: no box of mkbox, there is no {marker} beside it\n")
    );
    assert!(scratch.path("full/precious").exists());
}

#[test]
fn programs_that_are_none_are_one_line_and_leave_nothing() {
    let scratch = Scratch::new();
    let ls = fs::read("/bin/ls").unwrap();
    let mut arm = ls.clone();
    arm[18] = 183;
    scratch.program("cut", &ls[..1000]);
    scratch.program("arm", &arm);
    scratch.program("text", b"hello\n");
    scratch.program("lost", b"#!/no/such\n");
    let own = format!("#!{}\n", scratch.path("self").display());
    scratch.program("self", own.as_bytes());
    scratch.program("env", b"#!/usr/bin/env no-such-interpreter\n");
    fs::write(scratch.path("plain"), "x").unwrap();
    let at = |name: &str| scratch.path(name).display().to_string();
    let before = scratch.left();
    for (program, line) in [
        (
            "no-such-program",
            "--copy no-such-program: no such program in PATH".to_owned(),
        ),
        ("./none", format!("--copy {}: no such program", at("none"))),
        ("./plain", format!("--copy {}: not executable", at("plain"))),
        ("/", "--copy /: is a directory".to_owned()),
        (
            "./cut",
            format!("closure({}): the ELF file is cut short", at("cut")),
        ),
        (
            "./arm",
            format!(
                "closure({}): is for another machine: aarch64 (--sysroot DIR makes a box for it)",
                at("arm")
            ),
        ),
        (
            "./text",
            format!(
                "closure({}): neither an ELF file nor a script with #!",
                at("text")
            ),
        ),
        (
            "./lost",
            format!(
                "closure({}): its interpreter /no/such does not exist",
                at("lost")
            ),
        ),
        (
            "./self",
            format!(
                "closure({}): too many scripts that interpret each other",
                at("self")
            ),
        ),
        (
            "./env",
            format!(
                "closure({}): its interpreter no-such-interpreter: no such program in PATH",
                at("env")
            ),
        ),
    ] {
        let answer = scratch.run(&["up", "--copy", "sh", "--copy", program, "box"]);
        assert_eq!(
            (answer.status, answer.stderr),
            (1, format!("mkbox: {line}\n")),
            "{program}"
        );
        assert_eq!(scratch.left(), before, "{program}");
    }
    let bound = scratch.run(&["up", "--bind-programs", "sh,no-such-program", "box"]);
    assert_eq!(
        bound.stderr,
        "mkbox: --bind-programs no-such-program: no such program in PATH\n"
    );
    assert_eq!(scratch.left(), before);
}

#[test]
fn bad_usage_is_2_and_125_for_exec() {
    let scratch = Scratch::new();
    for (arguments, status, line) in [
        (
            vec!["up", "--bogus", "box"],
            2,
            "unexpected argument '--bogus' found (see mkbox up --help)",
        ),
        (
            vec!["up", "--bind", "/tmp", "box"],
            2,
            "invalid value '/tmp' for '--bind <SRC:DST[:OPT]>': DST is missing (SRC:DST[:ro]) (see mkbox up --help)",
        ),
        (
            vec!["up", "--tmpfs", "run", "box"],
            2,
            "invalid value 'run' for '--tmpfs <DST[:OPT]>': \"run\" is no absolute path below / without \"..\" (see mkbox up --help)",
        ),
        (
            vec!["up", "--bind", "/no/such:/x", "box"],
            1,
            "stat(/no/such): No such file or directory",
        ),
        (
            vec!["up"],
            2,
            "stdin: no record (did the tool before this one fail?)",
        ),
        (vec!["exec"], 125, "BOX is missing (or -P FILE)"),
        (
            vec!["exec", "-P", "-", "ls"],
            125,
            "-P -: stdin belongs to the command (use -P FILE or -P /dev/fd/N)",
        ),
        (
            vec!["exec", "none", "ls"],
            125,
            "realpath(none): No such file or directory",
        ),
        (
            vec!["exec", "--bogus"],
            125,
            "realpath(--bogus): No such file or directory",
        ),
        (vec!["show", "--id", "none"], 1, "none: no such pod"),
        (vec![], 2, "a verb is missing (see mkbox --help)"),
    ] {
        let answer = scratch.run(&arguments);
        assert_eq!(
            (answer.status, answer.stderr),
            (status, format!("mkbox: {line}\n")),
            "{arguments:?}"
        );
    }
    assert_eq!(scratch.left(), Vec::<String>::new());
}
