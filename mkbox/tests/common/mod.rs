//! Namespaces of a test's own, and a directory.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of a test's own, gone with the value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Has `victim/precious`, and mkbox.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "mkbox-enter-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir_all(path.join("victim")).unwrap();
        fs::write(path.join("victim/precious"), "x").unwrap();
        fs::copy(env!("CARGO_BIN_EXE_mkbox"), path.join("mkbox")).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs a script as root of namespaces of its own, with mkbox in PATH; its status, stdout and stderr.
    pub(crate) fn sh(&self, script: &str) -> (i32, String, String) {
        // A script that waits for what never comes is a failure, not a hang.
        let mut command = Command::new("timeout");
        command.args(["--kill-after=1", "60", "unshare"]);
        if !nix::unistd::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args([
            "--mount",
            "--propagation",
            "private",
            // What a test writes when the code is wrong must not reach the machine.
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        // What a box may lack is another test's subject.
        let script = &script.replace("mkbox up ", "mkbox up -q ");
        let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.0.display());
        let output = command
            .args(["sh", "-c", script])
            .current_dir(&self.0)
            .env("PATH", path)
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

    /// A script that has to succeed and to say nothing on stderr; its stdout.
    #[track_caller]
    pub(crate) fn good(&self, script: &str) -> String {
        let (status, stdout, stderr) = self.sh(&format!("set -e\n{script}"));
        assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
        stdout
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
