//! The contract of the command line: status, stdout, and whole lines of stderr. No privilege is needed.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// A directory of a test's own, where it runs mkbox; gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "mkbox-cli-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mkbox"));
        // What a box may lack is told on stderr, and is the subject of one test only.
        let first = arguments.first().copied();
        let is_quiet =
            first == Some("up") && !arguments.iter().any(|word| ["-v", "--help"].contains(word));
        command
            .args(first)
            .args(is_quiet.then_some("--quiet"))
            .args(arguments.iter().skip(1))
            .current_dir(&self.0)
            .env("CHROOT0_RUN", self.path("run"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments).output().unwrap())
    }

    /// With a file as stdin.
    fn pipe(&self, record: &str, arguments: &[&str]) -> Answer {
        let stdin = fs::File::open(self.path(record)).unwrap();
        Answer::of(self.command(arguments).stdin(stdin).output().unwrap())
    }

    /// Everything that is there, the index included.
    fn left(&self) -> Vec<String> {
        let mut names = Vec::new();
        for directory in [self.0.clone(), self.path("run")] {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                names.extend((name != "run").then_some(name));
            }
        }
        names.sort();
        names
    }

    fn program(&self, name: &str, text: &[u8]) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
struct Answer {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn good(self) -> Self {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{self:?}");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

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
fn names_that_no_record_can_hold_are_refused_and_leave_nothing() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    let bad = OsStr::from_bytes(b"b\xffx");
    let long = "l".repeat(300);
    let deep = format!("{}box", "d/".repeat(2100));
    let dots = format!("/{}x", "a/".repeat(2100));
    fs::create_dir(scratch.path("in")).unwrap();
    fs::create_dir(scratch.0.join("in").join(bad)).unwrap();
    let with = |words: &[&OsStr]| {
        let output = scratch.command(&[]).args(words).output().unwrap();
        let answer = Answer {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert_eq!(answer.stderr.lines().count(), 1, "{words:?}: {answer:?}");
        assert!(answer.stderr.starts_with("mkbox: "), "{answer:?}");
        let left = scratch.left();
        assert_eq!(left, ["in"], "{words:?}");
        answer
    };
    let up = OsStr::new("up");
    let [copy, bind, sh] = ["--copy", "--bind", "sh"].map(OsStr::new);
    // A box of such a name, or in a directory of such a name.
    assert_eq!(with(&[up, copy, sh, bad]).status, 2);
    let mut below = scratch.0.join("in").join(bad).into_os_string();
    below.push("/box");
    assert_eq!(with(&[up, copy, sh, &below]).status, 2);
    // Too long for one name, and for one path.
    // And for what lies beside the box, below a directory that is not there.
    let beside = format!("made/{}", "l".repeat(240));
    for path in [&long, &deep, &beside] {
        let answer = with(&[
            up,
            OsStr::new("--id"),
            OsStr::new("x"),
            copy,
            sh,
            OsStr::new(path),
        ]);
        assert!(answer.stderr.contains(": File name too long"), "{answer:?}");
    }
    // A mount on such a place.
    let answer = with(&[
        up,
        copy,
        sh,
        bind,
        OsStr::new(&format!("/tmp:{dots}")),
        OsStr::new("box"),
    ]);
    assert!(
        answer.stderr.ends_with(": File name too long\n"),
        "{answer:?}"
    );
    let mut source = scratch.0.join("in").join(bad).into_os_string();
    source.push(":/data");
    assert_eq!(
        with(&[up, copy, sh, bind, &source, OsStr::new("box")]).status,
        2
    );
    assert_eq!(with(&[OsStr::new("exec"), bad]).status, 125);
    assert_eq!(with(&[OsStr::new("down"), bad]).status, 2);
    assert_eq!(with(&[OsStr::new("down"), OsStr::new(&long)]).status, 2);
}

#[test]
fn a_box_tells_its_tree_and_why_each_file_is_there() {
    let scratch = Scratch::new();
    scratch.program("tool", b"#!/bin/sh\n");
    let asked = ["up", "--copy", "./tool", "--proc", "--merged-usr", "box"];
    scratch.run(&asked).good();
    let shown = scratch.run(&["show", "box"]).good().stdout;
    let has = |text: &str, wanted: &str| text.lines().any(|line| line.starts_with(wanted));
    assert!(
        has(&shown, "usr/ ") && has(&shown, "  bin/ ") && !has(&shown, "    tool"),
        "{shown}"
    );
    let tree = scratch.run(&["show", "--tree", "box"]).good().stdout;
    assert!(has(&tree, "    tool ") && tree.contains("10 B\n"), "{tree}");
    assert!(
        tree.lines()
            .any(|line| line.starts_with("bin ") && line.ends_with("-> usr/bin")),
        "{tree}"
    );
    let why = scratch
        .run(&["show", "--why", "libc.so.6", "box"])
        .good()
        .stdout;
    let lines: Vec<&str> = why.lines().skip(1).collect();
    let tool = scratch.path("tool");
    assert_eq!(
        lines,
        [
            "  needed by /usr/bin/sh",
            "  runs /usr/bin/tool",
            &format!("  asked for: --copy {}", tool.display()),
        ]
    );
    let json = scratch
        .run(&["show", "--json", "--why", "/usr/bin/sh", "box"])
        .good()
        .json();
    assert_eq!(json[0]["by"], "/usr/bin/tool");
    assert_eq!(json[1]["source"], tool.to_str().unwrap());
    let none = scratch.run(&["show", "--why", "nothing", "box"]);
    assert_eq!(
        (none.status, none.stderr.as_str()),
        (
            1,
            "mkbox: --why nothing: no such file was put into the box\n"
        )
    );
    scratch.run(&["down", "box"]).good();
    assert_eq!(scratch.left(), ["tool"]);
}

#[test]
fn a_box_that_was_changed_is_found_out() {
    let scratch = Scratch::new();
    scratch
        .run(&["up", "--copy", "sh,ls,cat", "--proc", "box"])
        .good();
    assert_eq!(scratch.run(&["verify", "box"]).good().stdout, "");
    let sums = scratch
        .run(&["show", "--manifest", "--sha256", "box"])
        .good()
        .stdout;
    fs::write(scratch.path("sums"), &sums).unwrap();
    let with_sums = ["verify", "--manifest", "sums", "box"];
    assert_eq!(scratch.run(&with_sums).good().stdout, "");
    let root = scratch.path("box");
    fs::remove_file(root.join("bin/ls")).unwrap();
    fs::set_permissions(root.join("bin/cat"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::create_dir_all(root.join("tmp")).unwrap();
    fs::write(root.join("tmp/a\nb"), "").unwrap();
    // The same size and the same times, so that only its sum tells.
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(root.join("bin/sh"))
        .unwrap();
    let times = file.metadata().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"X", 4000).unwrap();
    file.set_modified(times.modified().unwrap()).unwrap();
    let seen = scratch.run(&["verify", "box"]);
    let lines = [
        "changed /bin/cat: mode 4755, was 0755",
        "extra   /tmp",
        "extra   /tmp/a\\nb",
        "missing /bin/ls",
    ];
    let mut found: Vec<&str> = seen.stdout.lines().collect();
    found.sort_unstable();
    assert_eq!(found, lines);
    assert_eq!(
        (seen.status, seen.stderr.as_str()),
        (1, "mkbox: verify: 4 differences\n")
    );
    let summed = scratch.run(&with_sums);
    assert!(
        summed.stdout.contains("changed /bin/sh: other contents\n"),
        "{summed:?}"
    );
    // Without setting the clock back it is seen without a sum.
    file.set_modified(std::time::SystemTime::now()).unwrap();
    let json = scratch.run(&["verify", "--json", "box"]).stdout;
    assert!(
        json.contains(r#"{"path":"/bin/sh","is":"changed","how":"written since"}"#),
        "{json}"
    );
    fs::write(scratch.path("sums"), "{}").unwrap();
    let bad = scratch.run(&with_sums);
    assert_eq!(
        (bad.status, bad.stderr.as_str()),
        (1, "mkbox: sums: is no manifest of mkbox\n")
    );
    // Another directory of the name of a box is not the box.
    for verb in [
        &["verify"][..],
        &["show", "--tree"],
        &["pack", "-o", "x.tar"],
    ] {
        let other = scratch.run(&[verb, &["else/box"]].concat());
        let line = format!(
            "mkbox: BOX else/box: the box of box is at {}\n",
            root.display()
        );
        assert_eq!((other.status, other.stderr), (1, line));
    }
    scratch.run(&["down", "box"]).good();
    assert_eq!(scratch.left(), ["sums"]);
}

#[test]
fn names_and_paths_of_any_length_and_bytes_are_one_short_line() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    let long = "a".repeat(300);
    let deep = "directory/".repeat(450);
    let above = format!("{deep}box");
    let root = format!("/{deep}");
    for arguments in [
        ["up", "--copy", &long, "box"],
        ["up", "--copy", &root, "box"],
        ["up", "--from", &root, "box"],
        ["up", "--sysroot", &root, "box"],
        ["up", "--with", &root, "box"],
        ["up", "--copy", "sh", &above],
        ["up", "--copy", "sh", &long],
    ] {
        let answer = scratch.run(&arguments);
        assert!(matches!(answer.status, 1 | 2), "{answer:?}");
        assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
        assert!(
            answer.stderr.len() < 700,
            "{} bytes: {answer:?}",
            answer.stderr.len()
        );
        assert_eq!(scratch.left(), Vec::<String>::new(), "{arguments:?}");
    }
    for flag in [
        "--copy",
        "--from",
        "--sysroot",
        "--with",
        "--bind",
        "--tmpfs",
    ] {
        let mut command = scratch.command(&["up"]);
        let output = command
            .arg(flag)
            .arg(OsStr::from_bytes(b"/no/\xff"))
            .arg("box")
            .output();
        let answer = Answer::of(output.unwrap());
        assert_eq!(
            (answer.status, answer.stderr.lines().count()),
            (2, 1),
            "{flag}: {answer:?}"
        );
        assert!(answer.stderr.contains("UTF-8"), "{answer:?}");
        assert_eq!(scratch.left(), Vec::<String>::new(), "{flag}");
    }
}

#[test]
fn names_in_a_base_may_be_any_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    let odd = OsStr::from_bytes(b"\xff\n\xfe");
    fs::create_dir_all(scratch.path("base").join(odd)).unwrap();
    fs::write(scratch.path("base").join(odd).join(odd), "x").unwrap();
    symlink(odd, scratch.path("base/link")).unwrap();
    for format in ["tar", "dir"] {
        scratch.run(&["up", "--from", "base", "box"]).good();
        assert_eq!(scratch.run(&["verify", "box"]).good().stdout, "");
        let tree = scratch.run(&["show", "--tree", "box"]).good().stdout;
        assert_eq!(tree.lines().count(), 3, "{tree}");
        scratch
            .run(&["pack", "--format", format, "-o", "out", "box"])
            .good();
        scratch.run(&["down", "box"]).good();
        scratch.run(&["up", "--from", "out", "box"]).good();
        assert_eq!(
            fs::read(scratch.path("box").join(odd).join(odd)).unwrap(),
            b"x"
        );
        assert_eq!(fs::read_link(scratch.path("box/link")).unwrap(), odd);
        scratch.run(&["down", "box"]).good();
        assert_eq!(scratch.left(), ["base", "out"]);
        let _ = fs::remove_dir_all(scratch.path("out"))
            .or_else(|_| fs::remove_file(scratch.path("out")));
    }
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
