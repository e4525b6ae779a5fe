//! Chain loading: the rest of the command line replaces this process, as in env(1).

use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;

use crate::ToErrno;

/// Why CMD does not run.
#[derive(Debug)]
pub struct ExecError {
    name: OsString,
    errno: Errno,
}

impl ExecError {
    /// Of the attempt to run `name`.
    #[must_use]
    pub fn new(name: OsString, errno: impl ToErrno) -> Self {
        Self {
            name,
            errno: errno.to_errno(),
        }
    }

    /// As env(1) and the shells have it: 127 not found, 126 found and not runnable.
    #[must_use]
    pub fn status(&self) -> u8 {
        if self.errno == Errno::ENOENT {
            127
        } else {
            126
        }
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exec({}): {}",
            self.name.to_string_lossy(),
            self.errno.desc()
        )
    }
}

/// Replaces this process by `command`, looked up in PATH; returns only when that failed.
///
/// SIGPIPE gets its default back (Rust programs ignore it); everything else of the process stays
/// as it is: environment, descriptors that are not close-on-exec, masks, directories.
///
/// `command` must not be empty: an empty one is "not found".
#[must_use]
pub fn exec(command: &[OsString]) -> ExecError {
    let Some((name, arguments)) = command.split_first() else {
        return ExecError::new(OsString::new(), Errno::ENOENT);
    };
    ExecError::new(name.clone(), Command::new(name).args(arguments).exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_found_is_127_and_not_runnable_126() {
        let missing = exec(&["/no/such/program".into()]);
        assert_eq!(missing.status(), 127);
        assert_eq!(
            missing.to_string(),
            "exec(/no/such/program): No such file or directory"
        );
        assert_eq!(exec(&["/".into()]).status(), 126);
        assert_eq!(exec(&[]).status(), 127);
    }
}
