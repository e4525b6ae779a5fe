//! What the user reads when it fails.

use std::fmt;

use nix::errno::Errno;
use record::Failure;
use sys::SysError;

/// The hint of both ways in which a kernel says so.
pub(crate) const NEEDS_NF_TABLES: &str = "needs nf_tables in the kernel";

/// Why netwire stopped.
#[derive(Debug)]
pub(crate) enum Error {
    /// Bad usage, a bad record, or a call that is not netlink's.
    Record(record::Error),
    /// The kernel refused a netlink request.
    Refused(Refused),
}

/// A netlink request, and what the kernel answered.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The message and what it asks for, in ip(8)'s words: `RTM_NEWROUTE(10.244.0.2 dev veth1 scope host)`.
    pub(crate) call: String,
    /// The answer.
    pub(crate) errno: Errno,
    /// The kernel's own words, where it has some (`NLMSGERR_ATTR_MSG`).
    pub(crate) text: Option<String>,
    /// What to do about it; only where this errno has one likely cause.
    pub(crate) hint: Option<&'static str>,
}

impl Error {
    /// Bad usage: exit 2.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Record(record::Error::Usage(text.into()))
    }

    /// A record that cannot be used: exit 2.
    pub(crate) fn record(text: impl Into<String>) -> Self {
        Self::Record(record::Error::Record(text.into()))
    }

    /// What is asked for does not go: exit 1.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Record(record::Error::Failed(text.into()))
    }

    /// What the kernel answered, to whatever it was; `EIO` where it was not the kernel.
    pub(crate) fn errno(&self) -> Errno {
        match self {
            Self::Refused(refused) => refused.errno,
            Self::Record(record::Error::Sys(error)) => error.errno,
            Self::Record(_) => Errno::EIO,
        }
    }

    /// Whether it is that the kernel has no nf_tables.
    pub(crate) fn lacks_nf_tables(&self) -> bool {
        let hint = match self {
            Self::Refused(refused) => refused.hint,
            Self::Record(record::Error::Sys(error)) => error.hint,
            Self::Record(_) => None,
        };
        hint == Some(NEEDS_NF_TABLES)
    }

    /// The errno of a refused netlink request.
    pub(crate) fn refused(&self) -> Option<Errno> {
        match self {
            Self::Refused(refused) => Some(refused.errno),
            Self::Record(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(error) => error.fmt(f),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.errno.desc())?;
        if let Some(text) = &self.text {
            write!(f, ": {text}")?;
        }
        match self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
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
        Self::Record(error.into())
    }
}

impl Failure for Error {
    fn is_usage(&self) -> bool {
        match self {
            Self::Record(error) => error.is_usage(),
            Self::Refused(_) => false,
        }
    }
}
