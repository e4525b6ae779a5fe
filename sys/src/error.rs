//! A failed system call, as the user reads it.

use std::fmt;

use nix::errno::Errno;

/// One failed system call, as the user reads it: `call: reason (hint)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SysError {
    /// As in the man page, arguments in order: `setns(net, /proc/42/ns/net)`.
    pub call: String,
    /// What the kernel answered.
    pub errno: Errno,
    /// What to do about it; only where this errno has one likely cause.
    pub hint: Option<&'static str>,
}

/// Why a call that this version of the tools knows is none.
pub const NO_CALL: &str = "not in this kernel, or hidden by a seccomp filter";

impl SysError {
    /// A failed `call`, spelt as its man page does, and what the kernel answered.
    pub fn new(call: impl Into<String>, errno: impl ToErrno) -> Self {
        Self {
            call: call.into(),
            errno: errno.to_errno(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // desc() and not Display: that one puts the symbol in front ("EPERM: …").
        write!(f, "{}: {}", self.call, self.errno.desc())?;
        match self
            .hint
            .or((self.errno == Errno::ENOSYS).then_some(NO_CALL))
        {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SysError {}

/// The errors of nix, rustix and std that carry an errno.
pub trait ToErrno {
    /// The errno; `EIO` for an error of std that did not come from a system call (a short read, say).
    fn to_errno(&self) -> Errno;
}

impl ToErrno for Errno {
    fn to_errno(&self) -> Errno {
        *self
    }
}

impl ToErrno for rustix::io::Errno {
    fn to_errno(&self) -> Errno {
        Errno::from_raw(self.raw_os_error())
    }
}

impl ToErrno for std::io::Error {
    fn to_errno(&self) -> Errno {
        self.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
    }
}

/// Names the call that failed: an errno without its call is no message.
pub trait Call<T> {
    /// `call` is built only when it is needed.
    ///
    /// # Errors
    /// The same failure, with its call.
    fn call(self, call: impl FnOnce() -> String) -> Result<T, SysError>;
}

impl<T, E: ToErrno> Call<T> for Result<T, E> {
    fn call(self, call: impl FnOnce() -> String) -> Result<T, SysError> {
        self.map_err(|errno| SysError::new(call(), errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_call_reason_and_hint() {
        let error = SysError::new("setns(net, /run/netns/a)", Errno::EPERM);
        assert_eq!(
            error.to_string(),
            "setns(net, /run/netns/a): Operation not permitted"
        );
        let error = error.hint("needs CAP_SYS_ADMIN");
        assert_eq!(
            error.to_string(),
            "setns(net, /run/netns/a): Operation not permitted (needs CAP_SYS_ADMIN)"
        );
    }

    #[test]
    fn a_call_that_is_none_says_so_by_itself() {
        let error = SysError::new("pidfd_open(7)", Errno::ENOSYS);
        assert_eq!(
            error.to_string(),
            "pidfd_open(7): Function not implemented (not in this kernel, or hidden by a seccomp filter)"
        );
        assert!(
            error
                .hint("needs 5.3")
                .to_string()
                .ends_with(" (needs 5.3)")
        );
    }

    #[test]
    fn errnos_of_all_three_crates_are_the_same() {
        assert_eq!(Errno::ENOENT.to_errno(), Errno::ENOENT);
        assert_eq!(rustix::io::Errno::NOENT.to_errno(), Errno::ENOENT);
        assert_eq!(
            std::io::Error::from_raw_os_error(2).to_errno(),
            Errno::ENOENT
        );
    }
}
