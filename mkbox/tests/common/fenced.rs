//! mkbox where it can write to the test's own directory and nowhere else: for what hostile files make it try.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::Scratch;

/// Runs a command that can write to the directory `$1` and nowhere else on its disk.
const FENCE: &str =
    r#"mount --bind "$1" "$1"; mount -o remount,bind,ro /; cd "$1"; shift; exec "$@""#;

/// A directory with a fence around it, and something beside the boxes that nobody may touch.
pub(crate) struct Fenced(Scratch);

impl Fenced {
    pub(crate) fn new() -> Self {
        Self(Scratch::with_victim())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// Status, stdout, stderr.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
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
            command.args([self.0.0.as_os_str(), mkbox.as_ref()]);
        }
        let output = command
            .args(arguments)
            .current_dir(&self.0.0)
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
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let (status, stdout, stderr) = self.run(arguments);
        assert_eq!((status, stderr.as_str()), (0, ""), "{arguments:?}");
        stdout
    }

    /// A failed `up`: one line, no box, no marker, and the victim as it was.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
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
    pub(crate) fn is_clean(&self) {
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
            "x"
        );
        assert_eq!(self.path("victim/precious").metadata().unwrap().nlink(), 1);
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path("box").join(name)).unwrap()
    }
}
