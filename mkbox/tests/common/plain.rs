//! A directory, and mkbox run in it as whoever runs the test.
#![allow(dead_code, reason = "each file of tests uses some of it")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// A directory of a test's own, where it runs mkbox; gone with the value.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "mkbox-cli-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mkbox"));
        // What a box may lack is told on stderr, and is the subject of one test only.
        let first = arguments.first().copied();
        let is_quiet =
            first == Some("up") && !arguments.iter().any(|word| ["-v", "--help"].contains(word));
        command
            .args(first)
            .args(is_quiet.then_some("--quiet"))
            .args(arguments.iter().skip(1))
            .current_dir(&self.0)
            .env("CHROOT0_RUN", self.path("run"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments).output().unwrap())
    }

    /// With a file as stdin.
    pub(crate) fn pipe(&self, record: &str, arguments: &[&str]) -> Answer {
        let stdin = fs::File::open(self.path(record)).unwrap();
        Answer::of(self.command(arguments).stdin(stdin).output().unwrap())
    }

    /// Everything that is there, the index included.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut names = Vec::new();
        for directory in [self.0.clone(), self.path("run")] {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                names.extend((name != "run").then_some(name));
            }
        }
        names.sort();
        names
    }

    pub(crate) fn program(&self, name: &str, text: &[u8]) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{self:?}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
