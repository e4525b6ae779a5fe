//! What a box begins with: directories and archives; and what hostile ones try.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::archive::{archive, directory, file, gzip, member, sealed, zstd};
use common::fenced::Fenced;
use serde_json::{Value, json};
use tar::{EntryType, Header};

mod common;

#[test]
fn a_directory_is_copied_as_it_is_without_rights_that_nobody_asked_for() {
    let scratch = Fenced::new();
    let base = scratch.path("base");
    fs::create_dir_all(base.join("usr/bin")).unwrap();
    fs::create_dir_all(base.join("tmp")).unwrap();
    fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("usr/bin", base.join("bin")).unwrap();
    symlink("/nowhere", base.join("dangling")).unwrap();
    fs::write(base.join("usr/bin/su"), "su").unwrap();
    fs::set_permissions(base.join("usr/bin/su"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(base.join("usr/bin/su"), base.join("usr/bin/su2")).unwrap();
    fs::write(base.join("old"), "x").unwrap();
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_234_567_890_123_456_789);
    fs::File::options()
        .write(true)
        .open(base.join("old"))
        .unwrap()
        .set_modified(then)
        .unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(base.join("fifo"))
            .status()
            .unwrap()
            .success()
    );
    let _socket = std::os::unix::net::UnixListener::bind(base.join("socket")).unwrap();

    let (status, made, stderr) = scratch.run(&["up", "--from", "base", "box"]);
    assert_eq!(status, 0, "{stderr}");
    let shown = base.display();
    assert_eq!(
        stderr,
        format!(
            "mkbox: {shown}: set-user-ID or set-group-ID bit dropped: /usr/bin/su\nmkbox: {shown}: sockets left out: /socket\n"
        )
    );
    let record: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(
        (&record["mkbox"]["files"], &record["mkbox"]["from"]),
        (&json!(3), &json!(base))
    );
    let at = |name: &str| scratch.path("box").join(name).symlink_metadata().unwrap();
    assert_eq!(at("usr/bin/su").mode() & 0o7777, 0o755);
    assert_eq!(at("usr/bin/su").ino(), at("usr/bin/su2").ino());
    assert_eq!(at("tmp").mode() & 0o7777, 0o1777);
    assert_eq!(at("old").modified().unwrap(), then);
    assert_eq!(
        fs::read_link(scratch.path("box/dangling")).unwrap(),
        Path::new("/nowhere")
    );
    assert_eq!(at("fifo").mode() & 0o170000, 0o010000);
    assert!(!scratch.path("box/socket").exists());
    // The same again is the same box, and nothing differs from its manifest.
    assert_eq!(scratch.good(&["up", "-q", "--from", "base", "box"]), made);
    scratch.good(&["verify", "box"]);
    let other = scratch.run(&["up", "-q", "--from", "victim", "box"]).2;
    assert!(other.contains("it was made without --from "), "{other}");
    scratch.good(&["down", "box"]);
    scratch.good(&["up", "-q", "--keep-privileges", "--from", "base", "box"]);
    assert_eq!(at("usr/bin/su").mode() & 0o7777, 0o4755);
    scratch.good(&["down", "box"]);
    scratch.is_clean();
    let below = scratch.refused(&["up", "--from", ".", "box"]);
    assert!(below.contains("lies below --from"), "{below}");
}

#[test]
fn an_archive_plain_or_compressed_is_the_same_box() {
    let scratch = Fenced::new();
    let long = "d/".repeat(80) + "file";
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o640);
    header.set_mtime(1_000_000_000);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    builder
        .append_data(&mut header, &long, &b"long"[..])
        .unwrap();
    let mut bytes = builder.into_inner().unwrap();
    bytes.truncate(bytes.len() - 1024);
    let members = [
        directory("./"),
        directory("./etc/"),
        file("./etc/hosts", "127.0.0.1\n"),
        file("/absolute", "inside"),
        member(EntryType::Link, "again", "etc/hosts", ""),
        member(EntryType::Symlink, "link", "../../../etc", ""),
        member(EntryType::Char, "null", "", ""),
        file("etc/hosts2", "once"),
        file("etc/hosts2", "twice"),
        bytes,
    ];
    let plain = archive(&members);
    fs::write(scratch.path("base.tar"), &plain).unwrap();
    fs::write(scratch.path("base.tgz"), gzip(&plain)).unwrap();
    fs::write(scratch.path("base.zst"), zstd(&plain)).unwrap();
    let mut manifests = Vec::new();
    for name in ["base.tar", "base.tgz", "base.zst"] {
        let (status, _, stderr) = scratch.run(&["up", "--from", name, "box"]);
        assert_eq!(status, 0, "{stderr}");
        assert_eq!(
            stderr,
            format!(
                "mkbox: {}: devices left out: /null\n",
                scratch.path(name).display()
            )
        );
        assert_eq!(scratch.read("absolute"), "inside");
        assert_eq!(scratch.read("etc/hosts2"), "twice");
        assert_eq!(scratch.read(&long), "long");
        let at = |name: &str| scratch.path("box").join(name).metadata().unwrap();
        assert_eq!(at("again").ino(), at("etc/hosts").ino());
        assert_eq!(at("etc/hosts").mtime(), 1_000_000_000);
        assert_eq!(at("etc").mtime(), 1_000_000_000);
        scratch.good(&["verify", "box"]);
        manifests.push(
            scratch
                .good(&["show", "--manifest", "--sha256", "box"])
                .replace(name, "base"),
        );
        scratch.good(&["down", "box"]);
        scratch.is_clean();
    }
    assert_eq!(manifests[0], manifests[1]);
    assert_eq!(manifests[0], manifests[2]);
}

#[test]
fn programs_are_laid_upon_a_base_through_its_own_links() {
    let scratch = Fenced::new();
    let members = [
        directory("usr/"),
        directory("usr/bin/"),
        member(EntryType::Symlink, "bin", "usr/bin", ""),
        member(EntryType::Symlink, "lib64", "/usr/lib64", ""),
        directory("usr/lib64/"),
        file("usr/bin/true", "of the base"),
        file("usr/bin/own", "of the base"),
    ];
    fs::write(scratch.path("base.tar"), archive(&members)).unwrap();
    scratch.good(&[
        "up", "-q", "--from", "base.tar", "--copy", "true", "--proc", "box",
    ]);
    assert_eq!(
        fs::read_link(scratch.path("box/bin")).unwrap(),
        Path::new("usr/bin")
    );
    assert_eq!(
        fs::read(scratch.path("box/usr/bin/true")).unwrap(),
        fs::read("/bin/true").unwrap()
    );
    assert_eq!(scratch.read("usr/bin/own"), "of the base");
    scratch.good(&["verify", "box"]);
    scratch.good(&["down", "box"]);
    scratch.is_clean();
}

#[test]
fn nothing_of_a_hostile_archive_lands_outside() {
    let scratch = Fenced::new();
    let victim = scratch.path("victim");
    let victim = victim.to_str().unwrap();
    let deep = format!("{}victim/x", "../".repeat(8));
    let huge = {
        let mut header = Header::new_gnu();
        header.set_size(1 << 62);
        header.set_mode(0o644);
        header.set_path("huge").unwrap();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        sealed(header, b"x")
    };
    let link = |name: &str, to: &str| member(EntryType::Symlink, name, to, "");
    let hard = |name: &str, to: &str| member(EntryType::Link, name, to, "");
    let cases: Vec<(&str, Vec<Vec<u8>>, &str)> = vec![
        (
            "up",
            vec![file("../victim/x", "evil")],
            "has .. in its name",
        ),
        ("far up", vec![file(&deep, "evil")], "has .. in its name"),
        (
            "up in the middle",
            vec![directory("a"), file("a/../../victim/x", "evil")],
            "has .. in its name",
        ),
        (
            "through an absolute link",
            vec![link("out", victim), file("out/x", "evil")],
            "",
        ),
        (
            "through a relative link",
            vec![link("out", "../victim"), file("out/x", "evil")],
            "",
        ),
        (
            "over a link",
            vec![
                link("x", "../victim/precious"),
                file("x", "evil"),
                directory("box2"),
            ],
            "-",
        ),
        (
            "a chain of links",
            vec![
                link("a", ".."),
                link("b", "a/victim"),
                file("b/precious", "evil"),
            ],
            "",
        ),
        (
            "a hard link outside",
            vec![hard("x", "../victim/precious"), file("x", "evil")],
            "is a link to a name with .. in it",
        ),
        (
            "a hard link by an absolute name",
            vec![hard("x", &format!("{victim}/precious"))],
            "No such file",
        ),
        (
            "a hard link through a link",
            vec![link("out", victim), hard("x", "out/precious")],
            "No such file",
        ),
        (
            "a directory over a link",
            vec![
                link("out", victim),
                directory("out"),
                file("out/x", "inside"),
            ],
            "-",
        ),
        (
            "a file below a file",
            vec![file("a", "x"), file("a/b", "evil")],
            "Not a directory",
        ),
        (
            "a hard link to a directory",
            vec![directory("d"), hard("x", "d")],
            "Operation not permitted",
        ),
        (
            "a size that no disk has",
            vec![huge],
            "No space left on device (it is larger than what is free)",
        ),
        (
            "magic links",
            vec![link("p", "/proc/self/root"), file("p/tmp/x", "evil")],
            "",
        ),
    ];
    for (what, members, reason) in cases {
        fs::write(scratch.path("evil.tar"), archive(&members)).unwrap();
        let arguments = ["up", "-q", "--from", "evil.tar", "box"];
        if reason == "-" {
            // It can be done inside.
            scratch.good(&arguments);
            scratch.good(&["down", "box"]);
            scratch.is_clean();
            continue;
        }
        let (status, _, stderr) = scratch.run(&arguments);
        if status == 0 && reason.is_empty() {
            scratch.good(&["down", "box"]);
        } else {
            assert!(
                status == 1 && stderr.contains(reason),
                "{what}: {status} {stderr}"
            );
            assert_eq!(stderr.lines().count(), 1, "{what}: {stderr}");
        }
        scratch.is_clean();
    }
}

#[test]
fn a_broken_archive_is_one_line_and_leaves_nothing() {
    let scratch = Fenced::new();
    let members = [
        directory("etc/"),
        file("etc/a", &"a".repeat(3000)),
        file("etc/b", "b"),
    ];
    let whole = archive(&members);
    let arguments = ["up", "-q", "--from", "evil", "box"];
    for cut in [100, 512 + 100, 1024 + 700, 5000] {
        fs::write(scratch.path("evil"), &whole[..cut]).unwrap();
        scratch.refused(&arguments);
        let packed = gzip(&whole);
        fs::write(scratch.path("evil"), &packed[..packed.len() * cut / 6000]).unwrap();
        scratch.refused(&arguments);
        let packed = zstd(&whole);
        fs::write(scratch.path("evil"), &packed[..packed.len() * cut / 6000]).unwrap();
        scratch.refused(&arguments);
    }
    for (bytes, reason) in [
        (
            &b"hello"[..],
            "is no directory, tar archive (plain, gzip or zstd) or OCI image layout",
        ),
        (b"\x28\xb5\x2f\xfdxxxx", "archive is broken"),
        (b"\xfd7zXZ\0xx", "is compressed by xz"),
        (b"\x1f\x8bnonsense", "archive is broken"),
    ] {
        fs::write(scratch.path("evil"), bytes).unwrap();
        let line = scratch.refused(&arguments);
        assert!(line.contains(reason), "{line}");
    }
    let missing = scratch.refused(&["up", "--from", "no-such", "box"]);
    assert!(missing.contains("No such file or directory"), "{missing}");
    // A bomb: a name of 4 MB in a few kB; and one whose contents are as long, which is only a file.
    let bomb = |kind| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(4 << 20);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_path("x").unwrap();
        gzip(&archive(&[
            sealed(header, &vec![b'x'; 4 << 20]),
            file("behind", "x"),
        ]))
    };
    for kind in [EntryType::GNULongName, EntryType::XHeader] {
        fs::write(scratch.path("evil"), bomb(kind)).unwrap();
        let line = scratch.refused(&arguments);
        assert!(line.contains("a header of more than 1 MiB"), "{line}");
    }
    for kind in [EntryType::Regular, EntryType::Directory] {
        fs::write(scratch.path("evil"), bomb(kind)).unwrap();
        scratch.good(&arguments);
        assert_eq!(scratch.read("behind"), "x");
        scratch.good(&["down", "box"]);
    }
    // Any byte of the headers may be anything: what lands, lands inside.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..150 {
        let mut broken = whole.clone();
        for _ in 0..3 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = usize::try_from(seed % 512).unwrap()
                + [0, 512, 4096 - 512][usize::try_from(seed >> 40).unwrap() % 3];
            broken[at] = u8::try_from(seed >> 56).unwrap();
        }
        for header in [0, 512, 4096 - 512] {
            let mut fixed = Header::from_byte_slice(&broken[header..header + 512]).clone();
            fixed.set_cksum();
            broken[header..header + 512].copy_from_slice(fixed.as_bytes());
        }
        fs::write(scratch.path("evil"), &broken).unwrap();
        let (status, _, stderr) = scratch.run(&arguments);
        assert!(
            matches!(status, 0 | 1) && !stderr.contains("panicked"),
            "{stderr}"
        );
        if status == 0 {
            scratch.good(&["down", "box"]);
        }
        scratch.is_clean();
    }
}
