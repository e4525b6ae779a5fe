//! What the user reads when it fails.

use std::fmt;

use nix::errno::Errno;
use record::Failure;
use sys::SysError;

/// Calls without which there is no box, by how they are named in messages, and what has them.
const NEEDED: [(&[&str], &str); 2] = [
    (
        &["open(", "openat2("],
        "needs openat2(2), Linux 5.6, and no seccomp filter that hides it",
    ),
    (
        &[
            "open_tree(",
            "move_mount(",
            "fsopen(",
            "fsconfig(",
            "fsmount(",
        ],
        "needs Linux 5.2, and no seccomp filter that hides the call",
    ),
];

/// Why a verb failed. `Display` is the line without `mkbox: `.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line asks for something that cannot be.
    Usage(String),
    /// The request is good and does not go: the reason is not one system call's.
    Failed(String),
    /// A system call failed.
    Sys(SysError),
    /// The record or its index.
    Record(record::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            Self::Sys(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
        }
    }
}

impl Failure for Error {
    fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) => true,
            Self::Failed(_) | Self::Sys(_) => false,
            Self::Record(error) => error.is_usage(),
        }
    }
}

impl From<SysError> for Error {
    fn from(error: SysError) -> Self {
        let is_it = |names: &&[&str]| names.iter().any(|name| error.call.starts_with(name));
        let needed = NEEDED.iter().find(|(names, _)| is_it(names));
        Self::Sys(match needed {
            Some((_, hint)) if error.errno == Errno::ENOSYS => error.hint(hint),
            _ => error,
        })
    }
}

impl From<record::Error> for Error {
    fn from(error: record::Error) -> Self {
        Self::Record(error)
    }
}
