//! mkbox as whoever runs the test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::{Answer, Scratch};

impl Scratch {
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
