//! What the user reads when a manifest cannot be used.

use std::fmt;

use record::Failure;
use sys::SysError;

/// Why there are no records.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line, or a manifest or record that says something that cannot be.
    Input(String),
    /// A system call failed.
    Sys(SysError),
}

impl Error {
    /// Kubernetes' own words for a field: `spec.hostname: Invalid value: "A": …`.
    pub(crate) fn invalid(path: &str, value: &str, problem: &str) -> Self {
        Self::Input(format!("{path}: Invalid value: {value:?}: {problem}"))
    }

    /// `spec.containers[0].name: Duplicate value: "app"`
    pub(crate) fn duplicate(path: &str, value: &str) -> Self {
        Self::Input(format!("{path}: Duplicate value: {value:?}"))
    }

    /// `spec.restartPolicy: Unsupported value: "x": supported values: "Always", "Never"`
    pub(crate) fn unsupported(path: &str, value: &str, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|word| format!("{word:?}")).collect();
        Self::Input(format!(
            "{path}: Unsupported value: {value:?}: supported values: {}",
            list.join(", ")
        ))
    }

    /// `spec.containers: Required value`
    pub(crate) fn required(path: &str) -> Self {
        Self::Input(format!("{path}: Required value"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(text) => f.write_str(text),
            Self::Sys(error) => error.fmt(f),
        }
    }
}

impl Failure for Error {
    fn is_usage(&self) -> bool {
        matches!(self, Self::Input(_))
    }
}

impl From<SysError> for Error {
    fn from(error: SysError) -> Self {
        Self::Sys(error)
    }
}
