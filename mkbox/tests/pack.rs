//! What comes out of a box: the same bytes each time, and the same box when it is read back.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod common;

/// With a base that has one of everything.
struct Scratch(common::Scratch);

impl Scratch {
    fn new() -> Self {
        let scratch = Self(common::Scratch::new());
        let base = scratch.path("base");
        fs::create_dir_all(base.join("usr/bin")).unwrap();
        fs::create_dir_all(base.join("tmp")).unwrap();
        fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        let long = "d/".repeat(70);
        fs::create_dir_all(base.join(&long)).unwrap();
        fs::write(base.join(&long).join("file"), "long").unwrap();
        fs::write(base.join("usr/bin/a"), vec![7; 300_000]).unwrap();
        fs::hard_link(base.join("usr/bin/a"), base.join("usr/bin/b")).unwrap();
        fs::write(base.join("empty"), "").unwrap();
        symlink("usr/bin", base.join("bin")).unwrap();
        let fifo = Command::new("mkfifo").arg(base.join("fifo")).status();
        assert!(fifo.unwrap().success());
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command(arguments);
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    }

    #[track_caller]
    fn good(&self, arguments: &[&str]) -> Vec<u8> {
        said(self.command(arguments).output().unwrap())
    }

    /// Status and stderr of what has to fail.
    fn bad(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command(arguments).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    fn sums(&self, name: &str) -> String {
        let text = String::from_utf8(self.good(&["show", "--manifest", "--sha256", name])).unwrap();
        // Where it comes from is all that may differ.
        let lines = text
            .lines()
            .map(|line| match line.split_once(r#","source":"#) {
                Some((head, tail)) => format!("{head}{}", tail.split_once(r#"",""#).unwrap().1),
                None => line.to_owned(),
            });
        lines
            .map(|line| line.trim_end_matches(',').to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

#[track_caller]
fn said(output: Output) -> Vec<u8> {
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    output.stdout
}

#[test]
fn what_is_packed_and_read_back_is_the_same_box() {
    let scratch = Scratch::new();
    scratch.good(&["up", "--from", "base", "box"]);
    for out in ["out.tar", "out.tar.gz", "out"] {
        scratch.good(&["pack", "-o", out, "box"]);
        scratch.good(&["up", "--from", out, "copy"]);
        assert_eq!(
            without_fractions(&scratch.sums("box")),
            without_fractions(&scratch.sums("copy")),
            "{out}"
        );
        let at = |name: &str| scratch.path("copy").join(name).metadata().unwrap();
        assert_eq!(at("usr/bin/a").ino(), at("usr/bin/b").ino());
        scratch.good(&["down", "copy"]);
    }
    scratch.good(&["down", "box"]);
}

/// tar's times are seconds.
fn without_fractions(text: &str) -> String {
    let line = |line: &str| match line.split_once(r#""mtime":["#) {
        Some((head, tail)) => format!("{head}{}", tail.split_once(']').unwrap().1),
        None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_same_box_made_twice_is_the_same_bytes() {
    let scratch = Scratch::new();
    let mut packed: Vec<Vec<Vec<u8>>> = Vec::new();
    for round in 0..2 {
        scratch.good(&["up", "--from", "base", "--copy", "true", "--proc", "box"]);
        let now = std::time::SystemTime::now() + std::time::Duration::from_secs(round * 100);
        fs::File::open(scratch.path("box/bin/true"))
            .unwrap()
            .set_modified(now)
            .unwrap();
        let formats = [
            &["--format", "tar"][..],
            &["--format", "tar", "-z"],
            &["--format", "cpio"],
            &["--format", "cpio", "--gzip"],
        ];
        let pack = |format: &&[&str]| {
            let mut command = scratch.command(&["pack", "--output", "-"]);
            command
                .args(*format)
                .arg("box")
                .env("SOURCE_DATE_EPOCH", "1000000000");
            said(command.output().unwrap())
        };
        let bytes: Vec<Vec<u8>> = formats.iter().map(pack).collect();
        assert!(bytes.iter().all(|bytes| bytes.len() > 1000));
        packed.push(bytes);
        scratch.good(&["down", "box"]);
    }
    assert!(packed[0] == packed[1], "the bytes differ");
    let mut archive = tar::Archive::new(&packed[0][0][..]);
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        assert!(entry.header().mtime().unwrap() <= 1_000_000_000);
        names.push(entry.path_bytes().into_owned());
    }
    let plain: Vec<Vec<u8>> = names
        .iter()
        .map(|name| name.strip_suffix(b"/").unwrap_or(name).to_vec())
        .collect();
    assert!(plain.contains(&b"proc".to_vec()) && plain.contains(&b"usr/bin/true".to_vec()));
    let parts = |name: &Vec<u8>| {
        name.split(|&byte| byte == b'/')
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    assert!(plain[1..].is_sorted_by_key(parts), "not sorted");
}

#[test]
fn cpio_is_understood_by_others() {
    let scratch = Scratch::new();
    scratch.good(&["up", "--from", "base", "box"]);
    scratch.good(&["pack", "-o", "out.cpio", "box"]);
    let out = scratch.path("unpacked");
    fs::create_dir(&out).unwrap();
    let unpacked = Command::new("busybox")
        .args(["cpio", "-idm"])
        .current_dir(&out)
        .stdin(fs::File::open(scratch.path("out.cpio")).unwrap())
        .output()
        .unwrap();
    assert!(unpacked.status.success(), "{unpacked:?}");
    for name in ["usr/bin/a", "usr/bin/b"] {
        assert!(
            fs::read(out.join(name)).unwrap() == vec![7; 300_000],
            "{name}"
        );
    }
    let at = |path: PathBuf| path.metadata().unwrap();
    let (a, b) = (at(out.join("usr/bin/a")), at(out.join("usr/bin/b")));
    assert_eq!(a.ino(), b.ino());
    let there = at(scratch.path("base/empty"));
    assert_eq!(at(out.join("empty")).uid(), there.uid());
    assert_eq!(
        fs::read_link(out.join("bin")).unwrap(),
        Path::new("usr/bin")
    );
    assert_eq!(
        fs::read(out.join("d/".repeat(70)).join("file")).unwrap(),
        b"long"
    );
    assert_eq!(out.join("tmp").metadata().unwrap().mode() & 0o7777, 0o1777);
    scratch.good(&["down", "box"]);
}

#[test]
fn a_dry_run_lists_what_is_written() {
    let scratch = Scratch::new();
    scratch.good(&["up", "--from", "base", "box"]);
    let lines = |output: &str| -> Vec<String> {
        let plan = scratch.good(&["pack", "--dry-run", "-o", output, "box"]);
        assert!(!scratch.path(output).exists(), "{output}");
        let plan = String::from_utf8(plan).unwrap();
        plan.lines().map(str::to_owned).collect()
    };
    let planned = lines("out.tar");
    scratch.good(&["pack", "-o", "out.tar", "box"]);
    let listed = Command::new("tar")
        .args(["-tf"])
        .arg(scratch.path("out.tar"))
        .output();
    let listed = String::from_utf8(said(listed.unwrap())).unwrap();
    let members = planned
        .iter()
        .filter_map(|line| line.strip_prefix("write(out.tar, "));
    let member = |line: &str| {
        let end = line.find([',', ')']).unwrap();
        line[..end].split(" -> ").next().unwrap().to_owned()
    };
    let members: Vec<String> = members.map(member).collect();
    let listed: Vec<&str> = listed
        .lines()
        .map(|name| name.trim_start_matches("./").trim_end_matches('/'))
        .collect();
    assert_eq!(
        members.iter().skip(1).collect::<Vec<_>>(),
        listed.iter().skip(1).collect::<Vec<_>>()
    );
    assert!(listed.len() > 70, "{listed:?}");
    assert_eq!(planned.first().unwrap(), "open(., O_TMPFILE)");
    assert_eq!(planned.last().unwrap(), "link(out.tar)");
    // As a directory: the same things, each below it.
    let planned = lines("out");
    assert_eq!(planned.first().unwrap(), "mkdir(out)");
    assert_eq!(planned.len(), listed.len());
    assert!(
        planned.contains(&"symlink(out/bin -> usr/bin)".to_owned()),
        "{planned:?}"
    );
    scratch.good(&["down", "box"]);
}

#[test]
fn another_archive_is_replaced_and_what_a_kill_left_goes_with_it() {
    let scratch = Scratch::new();
    scratch.good(&["up", "--from", "base", "box"]);
    scratch.good(&["pack", "-o", "out.tar", "box"]);
    let whole = fs::read(scratch.path("out.tar")).unwrap();
    fs::write(scratch.path("out.tar"), "old").unwrap();
    fs::write(scratch.path(".out.tar.pack"), "killed").unwrap();
    scratch.good(&["pack", "-o", "out.tar", "box"]);
    assert!(fs::read(scratch.path("out.tar")).unwrap() == whole);
    assert!(!scratch.path(".out.tar.pack").exists());
    scratch.good(&["down", "box"]);
}

#[test]
fn an_output_that_cannot_be_is_one_line_and_leaves_nothing() {
    let scratch = Scratch::new();
    scratch.good(&["up", "--from", "base", "box"]);
    let names = || {
        let entries = fs::read_dir(&scratch.0.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    for (arguments, status, line) in [
        (&["-o", "-"][..], 2, "mkbox: --output -: needs --format\n"),
        (
            &["-o", "-", "--format", "dir"],
            2,
            "mkbox: --output -: a directory cannot be written to stdout\n",
        ),
        (&["-o", "base"], 1, "mkbox: --output base: is not empty\n"),
        (
            &["-o", "base", "--format", "tar"],
            2,
            "mkbox: --output base: is a directory\n",
        ),
        (
            &["-o", "box/out"],
            2,
            "mkbox: --output box/out: lies in the box\n",
        ),
        (
            &["-o", "no/such/out"],
            1,
            "mkbox: mkdir(no/such/out): No such file or directory\n",
        ),
    ] {
        let arguments = [&["pack"], arguments, &["box"]].concat();
        assert_eq!(scratch.bad(&arguments), (Some(status), line.to_owned()));
        // What is wrong with the words is wrong with those of a dry run.
        let dry = [&arguments[..], &["--dry-run"]].concat();
        assert_eq!(scratch.bad(&dry), (Some(status), line.to_owned()));
        assert_eq!(names(), before);
        assert!(!scratch.path("box/out").exists());
    }
    let mut full = scratch.command(&["pack", "-o", "-", "--format", "tar", "box"]);
    let full = full
        .stdout(fs::File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(full.stderr).unwrap(),
        "mkbox: write(stdout): No space left on device\n"
    );
    let mut wrong = scratch.command(&["pack", "-o", "x.tar", "box"]);
    let wrong = wrong
        .env("SOURCE_DATE_EPOCH", "yesterday")
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(names(), before);
    // cpio cannot hold it, and says so when half of the archive is written.
    let large = fs::File::create(scratch.path("box/large")).unwrap();
    large.set_len(5 << 30).unwrap();
    let (status, line) = scratch.bad(&["pack", "-o", "x.cpio", "box"]);
    assert_eq!(
        (status, line.as_str()),
        (
            Some(1),
            "mkbox: pack(x.cpio): large: is too large for cpio, which ends at 4 GB\n"
        )
    );
    assert_eq!(names(), before);
    scratch.good(&["down", "box"]);
}
