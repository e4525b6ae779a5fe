//! What the user reads when cgset fails.

use std::fmt;

use record::Failure;
use sys::SysError;

/// Why cgset cannot do what it was asked; `Display` is the line without `cgset: `.
#[derive(Debug)]
pub(crate) enum Error {
    /// What was typed or what the record says makes no sense: exit 2.
    Usage(String),
    /// It makes sense and does not go here: exit 1.
    Failed(String),
    /// A system call failed: exit 1.
    Sys(SysError),
    /// What the crate `record` has to say.
    Record(record::Error),
    /// The `cgset up` that was called for this failed and said why.
    Said,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            Self::Sys(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::Said => f.write_str("cgset up failed"),
        }
    }
}

impl Failure for Error {
    fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) => true,
            Self::Failed(_) | Self::Sys(_) | Self::Said => false,
            Self::Record(error) => error.is_usage(),
        }
    }
}

impl From<SysError> for Error {
    fn from(error: SysError) -> Self {
        Self::Sys(error)
    }
}

impl From<record::Error> for Error {
    fn from(error: record::Error) -> Self {
        Self::Record(error)
    }
}
