//! What the user reads when it fails.

use std::ffi::OsString;
use std::fmt;

use nix::errno::Errno;
use record::Failure;
use sys::{ExecError, SysError};

/// Why nsrun fails.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line contradicts itself, the record or the machine.
    Usage(String),
    /// What was asked for does not go.
    Failed(String),
    /// The record, or reading and writing it.
    Record(record::Error),
    /// A system call.
    Sys(SysError),
    /// CMD does not run.
    Exec(ExecError, Option<&'static str>),
}

impl Error {
    /// CMD does not run; a program that is there and "not found" lacks what should run it.
    pub(crate) fn exec(name: OsString, errno: Errno, is_there: bool) -> Self {
        let hint = (errno == Errno::ENOENT && is_there)
            .then_some("its interpreter or loader is not there");
        Self::Exec(ExecError::new(name, errno), hint)
    }

    /// Exit status of `nsrun exec`: 127 and 126 are CMD's, everything else is ours.
    pub(crate) fn exec_status(&self) -> u8 {
        match self {
            Self::Exec(error, _) => error.status(),
            _ => 125,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            Self::Record(error) => error.fmt(f),
            Self::Sys(error) => error.fmt(f),
            Self::Exec(error, None) => error.fmt(f),
            Self::Exec(error, Some(hint)) => write!(f, "{error} ({hint})"),
        }
    }
}

impl Failure for Error {
    fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) => true,
            Self::Record(error) => error.is_usage(),
            Self::Failed(_) | Self::Sys(_) | Self::Exec(..) => false,
        }
    }
}

impl From<record::Error> for Error {
    fn from(error: record::Error) -> Self {
        Self::Record(error)
    }
}

impl From<SysError> for Error {
    fn from(error: SysError) -> Self {
        Self::Sys(error)
    }
}
