//! The image of `pause-hold` that scripts/pause-image.sh makes: its layout, and that it runs.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by #[test], not what they share"
)]

mod common;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, geteuid, sysconf};
use serde_json::{Value, json};

use common::{
    Running, as_pid_1, children, output, pause, pause_hold, proc_line, scratch,
    wait_for_pause_below, wait_until, wait_until_it_holds,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/pause-image.sh");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(scratch(name))
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn script(out: &str, files: &[String]) -> Command {
    let mut command = Command::new(SCRIPT);
    command
        .arg(out)
        .args(files)
        .env_remove("IMAGE")
        .env("SOURCE_DATE_EPOCH", "1700000000");
    command
}

/// An image of two processors: no matter here that one has the other's program.
fn files() -> [String; 2] {
    [
        format!("amd64={}", pause_hold()),
        format!("arm64={}", pause()),
    ]
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let (status, stdout, stderr) = output(command);
    assert_eq!(status, 0, "{command:?}: {stderr}");
    stdout
}

/// The image, unpacked.
#[track_caller]
fn image(dir: &Scratch) -> PathBuf {
    let archive = dir.path("pause.tar");
    run(&mut script(&archive, &files()));
    let unpacked = dir.0.join("image");
    fs::create_dir(&unpacked).unwrap();
    run(Command::new("tar")
        .arg("-xf")
        .arg(archive)
        .arg("-C")
        .arg(&unpacked));
    unpacked
}

fn json_of(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// The file that a descriptor is of, which has the size and the digest it says.
#[track_caller]
fn blob(image: &Path, descriptor: &Value, seen: &mut BTreeSet<String>) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap();
    let name = digest.strip_prefix("sha256:").unwrap();
    let file = image.join("blobs/sha256").join(name);
    let size = fs::metadata(&file).unwrap().len();
    assert_eq!(descriptor["size"], size, "{descriptor}");
    let sum = run(Command::new("sha256sum").arg(&file));
    assert_eq!(sum.split(' ').next(), Some(name));
    seen.insert(name.to_owned());
    file
}

#[test]
fn it_is_an_oci_layout_in_which_every_digest_and_every_size_is_right() {
    let dir = Scratch::new("layout");
    let image = image(&dir);
    let mut seen = BTreeSet::new();
    assert_eq!(
        json_of(&image.join("oci-layout")),
        json!({"imageLayoutVersion": "1.0.0"})
    );
    let top = json_of(&image.join("index.json"));
    assert_eq!(top["schemaVersion"], 2);
    let [one] = &top["manifests"].as_array().unwrap()[..] else {
        panic!("podman takes one image: {top}");
    };
    let name = format!("localhost/chroot0/pause:{VERSION}");
    assert_eq!(
        one["annotations"],
        json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name})
    );
    assert_eq!(one["mediaType"], "application/vnd.oci.image.index.v1+json");
    let index = json_of(&blob(&image, one, &mut seen));
    let platforms: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|manifest| manifest["platform"].clone())
        .collect();
    assert_eq!(
        platforms,
        [
            json!({"architecture": "amd64", "os": "linux"}),
            json!({"architecture": "arm64", "os": "linux", "variant": "v8"})
        ]
    );
    for (descriptor, program) in index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .zip([pause_hold(), pause()])
    {
        assert_eq!(
            descriptor["mediaType"],
            "application/vnd.oci.image.manifest.v1+json"
        );
        let manifest = json_of(&blob(&image, descriptor, &mut seen));
        assert_eq!(manifest["mediaType"], descriptor["mediaType"]);
        let config = json_of(&blob(&image, &manifest["config"], &mut seen));
        let [layer] = &manifest["layers"].as_array().unwrap()[..] else {
            panic!("one file is one layer: {manifest}");
        };
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar");
        let layer_file = blob(&image, layer, &mut seen);
        assert_eq!(
            config["architecture"],
            descriptor["platform"]["architecture"]
        );
        assert_eq!(config["os"], "linux");
        // Not compressed: what is unpacked has the digest of what is packed.
        assert_eq!(config["rootfs"]["diff_ids"], json!([layer["digest"]]));
        assert_eq!(config["created"], "2023-11-14T22:13:20Z");
        let wanted = json!({
            "User": "65535:65535",
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Entrypoint": ["/pause"],
            "WorkingDir": "/",
            "Labels": manifest["annotations"],
        });
        assert_eq!(config["config"], wanted);
        assert_eq!(
            manifest["annotations"]["org.opencontainers.image.version"],
            VERSION
        );
        let listed = run(Command::new("tar")
            .arg("-tvf")
            .arg(&layer_file)
            .env("TZ", "UTC"));
        assert!(
            listed.starts_with("-rwxr-xr-x 0/0 ") && listed.ends_with(" 2023-11-14 22:13 pause\n"),
            "{listed}"
        );
        let unpacked = Command::new("tar")
            .arg("-xOf")
            .arg(&layer_file)
            .output()
            .unwrap();
        assert_eq!(unpacked.stdout, fs::read(program).unwrap());
    }
    let there: BTreeSet<_> = fs::read_dir(image.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, seen, "what nobody names");
}

/// What docker before 25 reads instead of the index.
#[test]
fn an_older_docker_finds_the_first_processors_image() {
    let dir = Scratch::new("docker");
    let image = image(&dir);
    let mut seen = BTreeSet::new();
    let top = json_of(&image.join("index.json"));
    let index = json_of(&blob(&image, &top["manifests"][0], &mut seen));
    let manifest = json_of(&blob(&image, &index["manifests"][0], &mut seen));
    let path = |descriptor: &Value| {
        descriptor["digest"]
            .as_str()
            .unwrap()
            .replace("sha256:", "blobs/sha256/")
    };
    assert_eq!(
        json_of(&image.join("manifest.json")),
        json!([{
            "Config": path(&manifest["config"]),
            "RepoTags": [format!("localhost/chroot0/pause:{VERSION}")],
            "Layers": [path(&manifest["layers"][0])],
        }])
    );
}

#[test]
fn the_same_files_make_the_same_bytes_and_another_time_makes_others() {
    let dir = Scratch::new("same");
    // The script is given copies of other names and times, and by a user with another mask and another place.
    let copies = files().map(|file| {
        let (arch, file) = file.split_once('=').unwrap();
        let copy = dir.path(&format!("copy-{arch}"));
        fs::copy(file, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        format!("{arch}={copy}")
    });
    let [first, second, later] = ["first", "second", "later"].map(|name| dir.path(name));
    run(&mut script(&first, &files()));
    run(Command::new("sh")
        .args(["-c", "umask 077; cd /; exec \"$@\"", "sh", SCRIPT, &second])
        .args(&copies)
        .env_remove("IMAGE")
        .envs([
            ("SOURCE_DATE_EPOCH", "1700000000"),
            ("TZ", "Asia/Tokyo"),
            ("LC_ALL", "C.UTF-8"),
        ]));
    run(script(&later, &files()).env("SOURCE_DATE_EPOCH", "1700000001"));
    let read = |file: &str| fs::read(file).unwrap();
    assert!(read(&first) == read(&second), "not reproducible");
    let times = run(Command::new("tar").args(["-tvf", &first]).env("TZ", "UTC"));
    assert!(
        times
            .lines()
            .all(|line| line.contains(" 0/0 ") && line.contains(" 2023-11-14 22:13 ")),
        "{times}"
    );
    assert!(read(&first) != read(&later), "the time is not in it");
    assert!(
        read(&first).len() < 32 << 10,
        "{} bytes",
        read(&first).len()
    );
}

#[test]
fn it_has_the_name_it_is_given_and_no_name_that_is_none() {
    let dir = Scratch::new("name");
    let out = dir.path("pause.tar");
    run(script(&out, &files()).env("IMAGE", "registry.example:5000/pause:1"));
    let index = run(Command::new("tar").args(["-xOf", &out, "index.json"]));
    let index: Value = serde_json::from_str(&index).unwrap();
    assert_eq!(
        index["manifests"][0]["annotations"]["io.containerd.image.name"],
        "registry.example:5000/pause:1"
    );
    fs::remove_file(&out).unwrap();
    for bad in [
        "pause",
        "pause:",
        ":1",
        "a\"b:1",
        "registry.example:5000/pause",
        "a b:1",
    ] {
        let (status, _, stderr) = output(script(&out, &files()).env("IMAGE", bad));
        assert_eq!((status, stderr.lines().count()), (2, 1), "{bad}: {stderr}");
    }
    let (status, _, stderr) = output(&mut script(&out, &["mips=/bin/true".to_owned()]));
    assert_eq!((status, stderr.lines().count()), (2, 1), "{stderr}");
    assert!(!Path::new(&out).exists(), "nothing is written on an error");
}

/// The root file system of the image for amd64, as a container runtime unpacks it.
#[track_caller]
fn root(dir: &Scratch) -> PathBuf {
    let image = image(dir);
    let mut seen = BTreeSet::new();
    let top = json_of(&image.join("index.json"));
    let index = json_of(&blob(&image, &top["manifests"][0], &mut seen));
    let manifest = json_of(&blob(&image, &index["manifests"][0], &mut seen));
    let root = dir.0.join("rootfs");
    fs::create_dir(&root).unwrap();
    let layer = blob(&image, &manifest["layers"][0], &mut seen);
    run(Command::new("tar")
        .arg("-xf")
        .arg(layer)
        .arg("-C")
        .arg(&root));
    root
}

#[test]
fn what_is_in_it_holds_and_ends() {
    let dir = Scratch::new("holds");
    let file = root(&dir).join("pause");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o755);
    let mut pause = Running::start(&mut Command::new(&file));
    wait_until_it_holds(pause.pid());
    pause.signal(Signal::SIGTERM);
    assert_eq!(pause.status(), 0);
}

#[test]
fn crun_runs_it_as_a_sandbox() {
    if !geteuid().is_root() || !has("crun") {
        return skip("crun needs root, and to be installed");
    }
    let dir = Scratch::new("crun");
    root(&dir);
    fs::write(dir.path("config.json"), BUNDLE).unwrap();
    let id = format!("pause-image-{}", std::process::id());
    // In a mount namespace of its own, and without groups, of which crun leaves some behind: it takes what it finds for version 1.
    let run = "mount -t tmpfs none /sys/fs/cgroup && exec crun --cgroup-manager=disabled --root \"$1\" run --bundle \"$2\" \"$3\"";
    let mut crun = Running::start(as_pid_1(&["sh", "-c", run, "sh"]).args([
        &dir.path("state"),
        dir.0.to_str().unwrap(),
        &id,
    ]));
    let mut below = 0;
    wait_until("crun", || {
        below = children(crun.pid()).first().copied().unwrap_or(0);
        below != 0
    });
    let pause = wait_for_pause_below(below);
    assert_eq!(
        proc_line(pause, "status", "Uid"),
        "65535\t65535\t65535\t65535"
    );
    assert!(
        proc_line(pause, "status", "NSpid").ends_with("\t1"),
        "not PID 1"
    );
    let page = sysconf(SysconfVar::PAGE_SIZE).unwrap().unwrap() / 1024;
    assert_eq!(
        proc_line(pause, "smaps_rollup", "Rss"),
        format!("{page} kB")
    );
    kill(Pid::from_raw(pause), Signal::SIGTERM).unwrap();
    assert_eq!(crun.status(), 0);
}

/// What a runtime makes of the image's configuration, in short.
const BUNDLE: &str = r#"{
    "ociVersion": "1.0.2",
    "process": {"args": ["/pause"], "cwd": "/", "env": [], "user": {"uid": 65535, "gid": 65535}, "noNewPrivileges": true},
    "root": {"path": "rootfs"},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}],
    "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}]}
}"#;

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    !matches!(found, Err(error) if error.kind() == ErrorKind::NotFound)
}

/// Says that a test is skipped; in CI that is a failure.
#[track_caller]
fn skip(why: &str) {
    assert!(
        env::var_os("CI").is_none_or(|ci| ci.is_empty()),
        "in CI nothing is skipped: {why}"
    );
    // Not by a print macro: libtest would hide it.
    let _ = writeln!(io::stderr(), "SKIPPED crun_runs_it_as_a_sandbox: {why}");
}
