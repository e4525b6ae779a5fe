//! Names that are no text, too long or meant to be another line.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::symlink;

use common::{Answer, Scratch};

mod common;

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
