//! What a user reads when a record cannot be used.

use std::fmt;

use sys::SysError;

/// An error of a tool, as far as the verbs need to know it. `Display` is the line without the tool's name.
pub trait Failure: fmt::Display {
    /// Bad usage or a bad record (exit 2) rather than something that failed (exit 1).
    fn is_usage(&self) -> bool;
}

/// Why a record cannot be read, used or written.
#[derive(Debug)]
pub enum Error {
    /// The command line contradicts itself or the record.
    Usage(String),
    /// The record is missing, no record, or says something that cannot be.
    Record(String),
    /// The record is good and what it asks for does not go.
    Failed(String),
    /// A system call failed.
    Sys(SysError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Record(text) | Self::Failed(text) => f.write_str(text),
            Self::Sys(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<SysError> for Error {
    fn from(error: SysError) -> Self {
        Self::Sys(error)
    }
}

impl Failure for Error {
    fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_) | Self::Record(_))
    }
}

impl Failure for SysError {
    fn is_usage(&self) -> bool {
        false
    }
}
