//! Which system calls are left; seccomp(2).

mod filter;
mod json;
mod names;
mod program;
mod standard;

use serde_json::Value;
use syscalls::Sysno;

use super::capabilities::Set;

pub(crate) use json::version;
pub(crate) use program::Instruction;

/// The name of the profile without an option.
const STANDARD: &str = "default";

/// A program that is ready to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seccomp {
    /// What it was made from: `default`, or a file.
    pub(crate) name: String,
    pub(crate) program: Vec<Instruction>,
    /// SECCOMP_FILTER_FLAG_…
    pub(crate) flags: u32,
}

impl Seccomp {
    /// The profile without an option.
    ///
    /// # Errors
    /// None that a test would not have seen.
    pub(crate) fn standard(capabilities: Set) -> Result<Self, String> {
        Ok(Self {
            name: STANDARD.into(),
            program: standard::standard(capabilities).program()?,
            flags: 0,
        })
    }

    /// Refuses to type into a terminal, and nothing else.
    ///
    /// # Errors
    /// None that a test would not have seen.
    pub(crate) fn no_typing() -> Result<Self, String> {
        Ok(Self {
            name: "no typing".into(),
            program: standard::no_typing().program()?,
            flags: 0,
        })
    }

    /// [`Self::no_typing`] is part of it.
    pub(crate) fn refuses_typing(&self) -> bool {
        self.name == STANDARD
    }

    /// A profile as docker or an OCI configuration has it.
    ///
    /// # Errors
    /// What is wrong with it, as the user reads it.
    pub(crate) fn of_json(name: &str, value: &Value, capabilities: Set) -> Result<Self, String> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let machine = json::Machine {
            capabilities,
            // Without a /proc: what all tools need.
            kernel: version(&release).unwrap_or((5, 10)),
        };
        let profile = json::profile(value, &machine).map_err(|why| format!("{name}: {why}"))?;
        // Behind such a filter we could not even say that CMD did not run.
        if profile.filter.refuses(Sysno::execve) {
            return Err(format!("{name}: it refuses execve, and with it CMD"));
        }
        Ok(Self {
            program: profile
                .filter
                .program()
                .map_err(|why| format!("{name}: {why}"))?,
            flags: profile.flags,
            name: name.into(),
        })
    }
}
