//! What is known of a box: its tree, why each file is there, and what was changed since.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::Scratch;

mod common;

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
