//! A box from `up` to `down`: made, found again, different, killed half-way, and removed. No privilege is needed.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use common::{Answer, Scratch, names};
use serde_json::Value;

mod common;

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
