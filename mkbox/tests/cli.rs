//! The contract of the command line: status, stdout, and whole lines of stderr. No privilege is needed.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use plain::{Answer, Scratch, names};
use serde_json::Value;

#[path = "common/plain.rs"]
mod plain;

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
fn a_box_is_made_shown_found_again_and_removed() {
    let scratch = Scratch::new();
    let asked = [
        "up",
        "--copy",
        "sh,ls",
        "--proc",
        "--tmpfs",
        "/run",
        "--bind",
        "/tmp:/data:ro",
        "a/b/box",
    ];
    let made = scratch.run(&asked).good();
    let root = scratch.path("a/b/box");
    assert_eq!(names(&root), ["bin", "data", "lib", "lib64", "proc", "run"]);
    assert_eq!(names(&root.join("bin")), ["ls", "sh"]);
    assert_eq!(
        fs::read(root.join("bin/ls")).unwrap(),
        fs::read("/bin/ls").unwrap()
    );
    let record = made.json();
    assert_eq!(record["id"], "box");
    assert_eq!(record["root"]["path"], root.to_str().unwrap());
    assert_eq!(record["mounts"][0]["destination"], "/proc");
    assert_eq!(
        record["mounts"][2]["options"].to_string(),
        r#"["bind","ro"]"#
    );
    assert_eq!(
        record["mkbox"]["identity"]["ino"].as_u64(),
        Some(root.metadata().unwrap().ino())
    );
    fs::write(scratch.path("box.json"), &made.stdout).unwrap();

    assert_eq!(scratch.run(&asked).good().stdout, made.stdout);
    assert_eq!(scratch.pipe("box.json", &["up"]).good().stdout, made.stdout);

    let shown = scratch.run(&["show", "--json", "a/b/box"]).good().json();
    assert_eq!(shown["now"]["files"], record["mkbox"]["files"]);
    assert_eq!(shown["now"]["bytes"], record["mkbox"]["bytes"]);
    assert_eq!(shown["processes"].to_string(), "[]");
    let table = scratch.run(&["show", "--id", "box"]).good().stdout;
    assert!(
        table.contains("mounts    /proc  proc (nosuid,noexec,nodev)\n"),
        "{table}"
    );

    fs::write(root.join("written-by-a-process"), "x").unwrap();
    let down = scratch.pipe("box.json", &["down"]).good().json();
    assert_eq!(down["mkbox"], Value::Null);
    assert_eq!(down["root"], record["root"]);
    assert_eq!(scratch.left(), ["box.json"]);
    assert_eq!(
        scratch.pipe("box.json", &["down"]).good().json()["mkbox"],
        Value::Null
    );
}

#[test]
fn a_file_may_be_mounted_on_a_copy() {
    let scratch = Scratch::new();
    let up = ["up", "--copy", "sh,ls", "--bind", "/bin/sh:/bin/ls", "box"];
    scratch.run(&up).good();
    let copy = fs::read(scratch.path("box/bin/ls")).unwrap();
    assert!(copy == fs::read("/bin/ls").unwrap());
    assert_eq!(scratch.run(&["verify", "box"]).good().stdout, "");
    scratch.run(&["down", "box"]).good();
}

#[test]
fn a_box_goes_by_its_path_alone_when_the_index_is_lost() {
    let scratch = Scratch::new();
    scratch.run(&["up", "--copy", "sh", "x/box"]).good();
    fs::remove_dir_all(scratch.path("run")).unwrap();
    scratch.run(&["up", "--copy", "sh", "x/box"]).good();
    fs::remove_dir_all(scratch.path("run")).unwrap();
    scratch.run(&["down", "x/box"]).good();
    assert_eq!(scratch.left(), Vec::<String>::new());
    scratch.run(&["down", "x/box"]).good();
}

#[test]
fn a_box_that_differs_says_how() {
    let scratch = Scratch::new();
    scratch.run(&["up", "--copy", "sh,ls", "box"]).good();
    let root = scratch.path("box");
    let root = root.display();
    for (arguments, difference) in [
        (vec!["up", "--copy", "sh", "box"], "it was made with ls too"),
        (vec!["up", "--copy", "sh,ls,cat", "box"], "it has no cat"),
        (
            vec!["up", "--copy", "sh,ls", "--proc", "box"],
            "it has no mount /proc  proc (nosuid,noexec,nodev)",
        ),
        (
            vec!["up", "--copy", "sh,ls", "--id", "other", "box"],
            "is the box of box",
        ),
    ] {
        let answer = scratch.run(&arguments);
        assert_eq!(
            answer.stderr,
            format!("mkbox: BOX {root}: {difference} (mkbox down {root} removes it)\n")
        );
        assert_eq!(answer.status, 1);
        assert_eq!(answer.json()["failed"]["tool"], "mkbox");
    }
    fs::remove_file(scratch.path("box/bin/ls")).unwrap();
    let answer = scratch.run(&["up", "--copy", "sh,ls", "box"]);
    assert!(answer.stderr.contains("it has no /bin/ls"), "{answer:?}");
    let other = scratch.run(&["up", "--id", "box", "elsewhere"]);
    assert_eq!(
        other.stderr,
        format!(
            "mkbox: BOX {}: the box of box is at {root} (another name: --id ID)\n",
            scratch.path("elsewhere").display()
        )
    );
    scratch.run(&["down", "--id", "box"]).good();
    assert_eq!(scratch.left(), Vec::<String>::new());
}

#[test]
fn an_empty_directory_is_taken_and_given_back() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("box")).unwrap();
    let before = scratch.path("box").metadata().unwrap().ino();
    scratch.run(&["up", "--copy", "sh", "box"]).good();
    scratch.run(&["down", "box"]).good();
    assert_eq!(scratch.left(), ["box"]);
    assert_eq!(scratch.path("box").metadata().unwrap().ino(), before);
    assert_eq!(names(&scratch.path("box")), Vec::<String>::new());
}

#[test]
fn a_record_from_a_file_or_a_pipe_is_extended_and_keeps_its_mounts_in_order() {
    let scratch = Scratch::new();
    let config = r#"{"ociVersion":"1.0.2","x":[1.50],"id":"pod","mounts":[{"destination":"/dev","type":"tmpfs","source":"tmpfs","x":{"y":1},"options":["mode=755"]}],"linux":{"namespaces":[]}}"#;
    fs::write(scratch.path("config.json"), config).unwrap();
    let by_file = scratch
        .run(&["up", "-P", "config.json", "--proc", "box"])
        .good();
    let again = scratch
        .pipe("config.json", &["up", "-P", "-", "--proc", "box"])
        .good();
    assert_eq!(by_file.stdout, again.stdout);
    let keys: Vec<String> = by_file
        .json()
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(
        keys,
        ["ociVersion", "x", "id", "mounts", "linux", "root", "mkbox"]
    );
    assert!(by_file.stdout.contains(r#""x":[1.50]"#));
    assert!(
        by_file.stdout.contains(r#""x":{"y":1}"#),
        "a mount keeps what mkbox does not know"
    );
    assert_eq!(by_file.json()["mounts"][1]["destination"], "/proc");
    assert_eq!(names(&scratch.path("box")), ["dev", "proc"]);
    scratch.run(&["down", "--id", "pod"]).good();
    assert_eq!(scratch.left(), ["config.json"]);
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
        "mkbox: {tool}: set-user-ID bit, set-group-ID bit dropped\n'{tool}' -> 'a/box/bin/tool'\n"
    );
    assert!(made.stderr.starts_with(&dropped), "{made:?}");
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
    ] {
        let answer = scratch.run(&["up", "--copy", "sh", "--copy", program, "box"]);
        assert_eq!(
            (answer.status, answer.stderr),
            (1, format!("mkbox: {line}\n")),
            "{program}"
        );
        assert_eq!(scratch.left(), before, "{program}");
    }
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
            "invalid value '/tmp' for '--bind <SRC:DST[:OPTION,...]>': DST is missing (SRC:DST[:ro]) (see mkbox up --help)",
        ),
        (
            vec!["up", "--tmpfs", "run", "box"],
            2,
            "invalid value 'run' for '--tmpfs <DST[:OPTION,...]>': \"run\" is no absolute path below / without \"..\" (see mkbox up --help)",
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

#[test]
fn a_tampered_record_removes_nothing() {
    let scratch = Scratch::new();
    let made = scratch.run(&["up", "--copy", "sh", "box"]).good();
    fs::create_dir_all(scratch.path("victim/deep")).unwrap();
    let (root, victim) = (scratch.path("box"), scratch.path("victim"));
    let (root, victim) = (root.to_str().unwrap(), victim.to_str().unwrap());
    let ino = made.json()["mkbox"]["identity"]["ino"].to_string();
    fs::remove_dir_all(scratch.path("run")).unwrap();
    for (tampered, status) in [
        (made.stdout.replace(root, victim), 0),
        (
            made.stdout.replace(&format!("\"ino\":{ino}"), "\"ino\":7"),
            1,
        ),
        (made.stdout.replace("\"id\":\"box\"", "\"id\":\"other\""), 1),
        (
            made.stdout
                .replace("\"copy\":", "\"made\":[\"/\"],\"copy\":"),
            2,
        ),
        (
            made.stdout
                .replace("\"copy\":", &format!("\"made\":[\"{victim}\"],\"copy\":")),
            2,
        ),
        (
            made.stdout.replace(
                &format!("\"mkbox\":{{\"root\":\"{root}\""),
                "\"mkbox\":{\"root\":\"/\"",
            ),
            2,
        ),
    ] {
        assert_ne!(tampered, made.stdout);
        fs::write(scratch.path("tampered.json"), &tampered).unwrap();
        let answer = scratch.pipe("tampered.json", &["down"]);
        assert_eq!(answer.status, status, "{tampered} {answer:?}");
        assert!(
            Path::new(root).join("bin/sh").exists() && Path::new(victim).join("deep").exists(),
            "{tampered}"
        );
    }
    scratch.run(&["down", "box"]).good();
}

#[test]
fn an_up_killed_at_any_time_is_cleaned_by_the_next_down() {
    let scratch = Scratch::new();
    let mut killed = 0;
    for step in 0..40 {
        let mut child = scratch
            .command(&["up", "-v", "--copy", "sh,ls,cat", "--proc", "a/box"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // So many files are copied by then: a state of the box, not of a clock.
        let stderr = child.stderr.take().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(stderr))
            .take(step / 4)
            .count();
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        scratch.run(&["down", "--id", "box"]).good();
        assert_eq!(scratch.left(), Vec::<String>::new(), "after {lines} files");
    }
    assert!(killed > 0, "every one was faster than its end");
}

#[test]
fn privileges_are_kept_only_when_asked_for() {
    let scratch = Scratch::new();
    scratch.program("tool", b"#!/bin/sh\n");
    fs::set_permissions(scratch.path("tool"), fs::Permissions::from_mode(0o6755)).unwrap();
    let mode = || scratch.path("box/bin/tool").metadata().unwrap().mode() & 0o7777;
    for (flags, wanted) in [(&[][..], 0o755), (&["--keep-privileges"], 0o6755)] {
        let up = [&["up", "--copy", "./tool"], flags, &["box"]].concat();
        scratch.run(&up).good();
        assert_eq!(mode(), wanted, "{flags:?}");
        assert_eq!(scratch.run(&["verify", "box"]).good().stdout, "");
        scratch.run(&["down", "box"]).good();
    }
    // Without -q and -v it is said, and nothing is when they are kept.
    let said = |flags: &[&str]| {
        let output = scratch
            .command(&[])
            .arg("up")
            .args(flags)
            .args(["--copy", "./tool", "box"])
            .output();
        let stderr = Answer::of(output.unwrap()).stderr;
        scratch.run(&["down", "box"]).good();
        stderr.contains("set-user-ID bit, set-group-ID bit dropped\n")
    };
    assert!(said(&[]) && !said(&["--quiet"]) && !said(&["--keep-privileges"]));
}
