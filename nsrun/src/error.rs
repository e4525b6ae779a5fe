//! What the user reads when it fails.

use std::fmt;

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
    Exec(ExecError),
}

impl Error {
    /// Exit status of `nsrun exec`: 127 and 126 are CMD's, everything else is ours.
    pub(crate) fn exec_status(&self) -> u8 {
        match self {
            Self::Exec(error) => error.status(),
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
            Self::Exec(error) => error.fmt(f),
        }
    }
}

impl Failure for Error {
    fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) => true,
            Self::Record(error) => error.is_usage(),
            Self::Failed(_) | Self::Sys(_) | Self::Exec(_) => false,
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

impl From<ExecError> for Error {
    fn from(error: ExecError) -> Self {
        Self::Exec(error)
    }
}
