//! Scripts with mkbox in namespaces of a test's own.

use std::fs;
use std::process::{Command, Stdio};

use super::Scratch;

impl Scratch {
    /// For scripts: with `victim/precious`, and mkbox.
    pub(crate) fn for_scripts() -> Self {
        let scratch = Self::with_victim();
        fs::copy(env!("CARGO_BIN_EXE_mkbox"), scratch.path("mkbox")).unwrap();
        scratch
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
