//! Which directory a box is.

use std::os::fd::AsFd;

use serde_json::{Value, json};
use sys::{Call, SysError};

/// Which directory it is, whatever its path says by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

impl Identity {
    /// Of an open file.
    ///
    /// # Errors
    /// What fstat(2) answers.
    pub(crate) fn of(fd: impl AsFd) -> Result<Self, SysError> {
        let stat = rustix::fs::fstat(fd).call(|| "fstat(box)".into())?;
        Ok(Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
        })
    }

    /// As it stands in a record.
    pub(crate) fn to_json(self) -> Value {
        json!({"dev": self.dev, "ino": self.ino})
    }

    /// From a record; None when it is no identity.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let number = |key| value.get(key)?.as_u64();
        Some(Self {
            dev: number("dev")?,
            ino: number("ino")?,
        })
    }
}
