//! What a box begins with: directories, archives and image layouts; and what hostile ones of them try.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// Runs a command that can write to the directory `$1` and nowhere else on its disk.
const FENCE: &str =
    r#"mount --bind "$1" "$1"; mount -o remount,bind,ro /; cd "$1"; shift; exec "$@""#;

/// A directory of a test's own, with something beside the boxes that nobody may touch.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mkbox-from-{}-{count}", std::process::id());
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir_all(path.join("victim")).unwrap();
        fs::write(path.join("victim/precious"), "precious").unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Status, stdout, stderr.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mkbox = env!("CARGO_BIN_EXE_mkbox");
        let mut command = Command::new(mkbox);
        if nix::unistd::geteuid().is_root() {
            // Should it ever get out of its box, it finds everything but this directory read-only.
            command = Command::new("unshare");
            command.args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-ec",
                FENCE,
                "sh",
            ]);
            command.args([self.0.as_os_str(), mkbox.as_ref()]);
        }
        let output = command
            .args(arguments)
            .current_dir(&self.0)
            .env("CHROOT0_RUN", self.path("run"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        )
    }

    #[track_caller]
    fn good(&self, arguments: &[&str]) -> String {
        let (status, stdout, stderr) = self.run(arguments);
        assert_eq!((status, stderr.as_str()), (0, ""), "{arguments:?}");
        stdout
    }

    /// A failed `up`: one line, no box, no marker, and the victim as it was.
    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        let (status, _, stderr) = self.run(arguments);
        assert!(
            status == 1 || status == 2,
            "{arguments:?}: {status} {stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(
            stderr.starts_with("mkbox: ") && stderr.len() < 1000,
            "{stderr}"
        );
        self.is_clean();
        stderr
    }

    #[track_caller]
    fn is_clean(&self) {
        for name in [
            "box",
            ".box.mkbox",
            ".box.mkbox.new",
            ".box.mkbox.manifest",
            "run/box",
        ] {
            assert!(!self.path(name).exists(), "{name} is left");
        }
        let names: Vec<_> = fs::read_dir(self.path("victim"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["precious"]);
        assert_eq!(
            fs::read_to_string(self.path("victim/precious")).unwrap(),
            "precious"
        );
        assert_eq!(self.path("victim/precious").metadata().unwrap().nlink(), 1);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path("box").join(name)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One member: its name as bytes, however hostile.
fn member(kind: EntryType, name: &str, link: &str, text: &str) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory {
        0o755
    } else {
        0o644
    });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    header.set_size(text.len() as u64);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..name.len()].copy_from_slice(name.as_bytes());
    gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
    sealed(header, text.as_bytes())
}

fn sealed(mut header: Header, contents: &[u8]) -> Vec<u8> {
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(contents);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, text: &str) -> Vec<u8> {
    member(EntryType::Regular, name, "", text)
}

fn directory(name: &str) -> Vec<u8> {
    member(EntryType::Directory, name, "", "")
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// In two frames, as `zstd -c a; zstd -c b` writes them.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let halves = bytes.split_at(bytes.len() / 2);
    let pack = |half| compress_to_vec(half, CompressionLevel::Fastest);
    [pack(halves.0), pack(halves.1)].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn a_directory_is_copied_as_it_is_without_rights_that_nobody_asked_for() {
    let scratch = Scratch::new();
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
    let scratch = Scratch::new();
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
    let scratch = Scratch::new();
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
    let scratch = Scratch::new();
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
    let scratch = Scratch::new();
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

/// An image layout in a directory.
struct Image(PathBuf);

impl Image {
    fn new(path: PathBuf) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self(path)
    }

    /// Its descriptor.
    fn blob(&self, bytes: &[u8]) -> Value {
        let sum: String = Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        fs::write(self.0.join("blobs/sha256").join(&sum), bytes).unwrap();
        json!({"digest": format!("sha256:{sum}"), "size": bytes.len()})
    }

    fn manifest(&self, layers: &[Vec<u8>]) -> Value {
        let layers: Vec<Value> = layers.iter().map(|layer| self.blob(layer)).collect();
        let manifest = json!({"schemaVersion": 2, "config": self.blob(b"{}"), "layers": layers});
        self.blob(manifest.to_string().as_bytes())
    }

    fn index(&self, manifests: &[Value]) {
        fs::write(
            self.0.join("index.json"),
            json!({"schemaVersion": 2, "manifests": manifests}).to_string(),
        )
        .unwrap();
    }

    /// The layout as one archive.
    fn archive(&self, to: &Path) {
        let mut builder = tar::Builder::new(fs::File::create(to).unwrap());
        builder.append_dir_all(".", &self.0).unwrap();
        builder.finish().unwrap();
    }
}

fn layers() -> Vec<Vec<u8>> {
    let lower = [
        directory("etc/"),
        file("etc/gone", "x"),
        file("etc/stays", "x"),
        directory("dir/"),
        file("dir/old", "x"),
        directory("dir/sub/"),
        file("dir/sub/old", "x"),
        member(EntryType::Symlink, "bin", "usr/bin", ""),
    ];
    let upper = [
        file("etc/.wh.gone", ""),
        file("etc/.wh.never-was", ""),
        file("dir/new", "new"),
        directory("dir/sub/"),
        file("dir/sub/new", "new"),
        // A whiteout is about the layers below, wherever it stands.
        file("dir/.wh..wh..opq", ""),
        file("etc/own", "own"),
        file("etc/.wh.own", ""),
    ];
    vec![gzip(&archive(&lower)), zstd(&archive(&upper))]
}

#[test]
fn an_image_layout_is_laid_layer_by_layer() {
    let scratch = Scratch::new();
    let image = Image::new(scratch.path("image"));
    let one = image.manifest(&layers());
    image.index(&[one]);
    image.archive(&scratch.path("image.tar"));
    for from in ["image", "image.tar"] {
        scratch.good(&["up", "--from", from, "box"]);
        let mut found: Vec<String> = Vec::new();
        for directory in ["etc", "dir", "dir/sub"] {
            let names = fs::read_dir(scratch.path("box").join(directory)).unwrap();
            found.extend(
                names.map(|name| format!("{directory}/{}", name.unwrap().file_name().display())),
            );
        }
        found.sort();
        assert_eq!(
            found,
            ["dir/new", "dir/sub", "dir/sub/new", "etc/own", "etc/stays"],
            "{from}"
        );
        scratch.good(&["verify", "box"]);
        scratch.good(&["down", "box"]);
        scratch.is_clean();
    }
}

#[test]
fn an_image_is_chosen_by_name_and_every_digest_is_checked() {
    let scratch = Scratch::new();
    let image = Image::new(scratch.path("image"));
    let named = |name: &str| {
        let mut descriptor = image.manifest(&[archive(&[file("name", name)])]);
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        descriptor
    };
    let (old, new) = (named("old"), named("new"));
    image.index(&[old, new.clone()]);
    let both = scratch.refused(&["up", "--from", "image", "box"]);
    assert!(both.contains("has 2 images (--ref old, new)"), "{both}");
    scratch.good(&["up", "--from", "image", "--ref", "new", "box"]);
    assert_eq!(scratch.read("name"), "new");
    scratch.good(&["down", "box"]);
    let blobs = || {
        fs::read_dir(scratch.path("image/blobs/sha256"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    // Whichever blob is not what its digest says, it is found out.
    let up = ["up", "--from", "image", "--ref", "new", "box"];
    let mut refused = 0;
    for blob in blobs().collect::<Vec<_>>() {
        let whole = fs::read(&blob).unwrap();
        let mut other = whole.clone();
        *other.last_mut().unwrap() ^= 1;
        for bytes in [
            &other[..],
            &[&whole[..], b"more"].concat(),
            &whole[..whole.len() - 1],
        ] {
            fs::write(&blob, bytes).unwrap();
            let (status, _, stderr) = scratch.run(&up);
            if status == 0 {
                // One of the other image.
                scratch.good(&["down", "box"]);
            } else {
                assert!(stderr.contains("is not what its digest says"), "{stderr}");
                refused += 1;
            }
            scratch.is_clean();
        }
        fs::write(&blob, whole).unwrap();
    }
    assert_eq!(refused, 6, "manifest and layer, three ways each");
    // A blob that leads elsewhere, by a link or by its digest.
    let digest = new["digest"]
        .as_str()
        .unwrap()
        .replace("sha256:", "image/blobs/sha256/");
    fs::remove_file(scratch.path(&digest)).unwrap();
    symlink(scratch.path("victim/precious"), scratch.path(&digest)).unwrap();
    scratch.refused(&up);
    image.index(&[json!({"digest": "sha256:../../../victim/precious", "size": 8})]);
    let line = scratch.refused(&["up", "--from", "image", "box"]);
    assert!(line.contains("is none"), "{line}");
    let usage = scratch.refused(&["up", "--from", "victim", "--ref", "x", "box"]);
    assert!(usage.contains("--ref names an image"), "{usage}");
}
