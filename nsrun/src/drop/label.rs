//! What a security module is told about CMD: its AppArmor profile, its SELinux label.
//!
//! lsm_set_self_attr(2), Linux 6.8, which no file of a box stands behind; before that, /proc, which may be a box's, and is
//! believed when it is one (CVE-2019-19921).

use std::io::Write;
use std::path::Path;

use ::sys::{Call, SysError, ToErrno};
use nix::errno::Errno;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::sys;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Module {
    AppArmor,
    SeLinux,
}

/// For the exec that is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) module: Module,
    pub(crate) text: String,
}

impl Module {
    /// In `process` of an OCI configuration.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::AppArmor => "apparmorProfile",
            Self::SeLinux => "selinuxLabel",
        }
    }

    /// As setpriv(1) has it.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::AppArmor => "--apparmor-profile",
            Self::SeLinux => "--selinux-label",
        }
    }

    /// LSM_ID_… of linux/lsm.h.
    fn id(self) -> u64 {
        match self {
            Self::AppArmor => 104,
            Self::SeLinux => 101,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::AppArmor => "AppArmor",
            Self::SeLinux => "SELinux",
        }
    }

    /// Where each is told by name since Linux 5.8, and both before.
    fn files(self) -> [&'static str; 2] {
        match self {
            Self::AppArmor => ["/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"],
            Self::SeLinux => ["/proc/self/attr/selinux/exec", "/proc/self/attr/exec"],
        }
    }
}

impl Label {
    /// None: it cannot be one.
    pub(crate) fn new(module: Module, text: &str) -> Option<Self> {
        let is_one = !text.is_empty() && !text.contains(|c: char| c.is_control());
        is_one.then(|| Self {
            module,
            text: text.into(),
        })
    }

    /// Of CMD, once it is exec'd.
    ///
    /// # Errors
    /// The module is not there, or knows no such label: CMD must not run without.
    pub(crate) fn set(&self) -> Result<(), SysError> {
        let value = match self.module {
            Module::AppArmor => format!("exec {}", self.text),
            Module::SeLinux => self.text.clone(),
        };
        let answer = match sys::lsm_set_exec(self.module.id(), value.as_bytes()) {
            Err(Errno::ENOSYS) => self.write(&value),
            answer => answer,
        };
        match answer {
            // Nothing confines it here, which is what was asked for.
            Err(Errno::EOPNOTSUPP) if self.is_unconfined() => Ok(()),
            answer => answer.call(|| self.to_string()).map_err(|error| {
                let is_missing = error.errno == Errno::EOPNOTSUPP;
                match (is_missing, self.module) {
                    (true, Module::AppArmor) => error.hint("no AppArmor on this machine"),
                    (true, Module::SeLinux) => error.hint("no SELinux on this machine"),
                    (false, _) if error.errno == Errno::ENOENT => error.hint("it is not loaded"),
                    (false, _) => error,
                }
            }),
        }
    }

    fn is_unconfined(&self) -> bool {
        self.module == Module::AppArmor && self.text == "unconfined"
    }

    fn write(&self, value: &str) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        let [own, both] = self.module.files();
        if own_is_missing(self.module) {
            return Err(Errno::EOPNOTSUPP);
        }
        let open = |path| openat(CWD, path, flags, Mode::empty());
        let file = open(own)
            .or_else(|_| open(both))
            .map_err(|_| Errno::EOPNOTSUPP)?;
        if fstatfs(&file)?.filesystem_type() != PROC_SUPER_MAGIC {
            return Err(Errno::EXDEV);
        }
        let written = std::fs::File::from(file).write_all(value.as_bytes());
        written.map_err(|error| match error.to_errno() {
            // What the file says when its module sleeps.
            Errno::EINVAL => Errno::EOPNOTSUPP,
            errno => errno,
        })
    }
}

/// Whether the module says of itself, where /sys shows it, that it sleeps: another would answer in its place.
fn own_is_missing(module: Module) -> bool {
    match module {
        Module::AppArmor => std::fs::read("/sys/module/apparmor/parameters/enabled")
            .map_or(true, |text| text.first() != Some(&b'Y')),
        Module::SeLinux => !Path::new("/sys/fs/selinux/enforce").exists(),
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { module, text } = self;
        write!(
            f,
            "lsm_set_self_attr(LSM_ATTR_EXEC, {}, {text})",
            module.name()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_line() {
        for good in [
            "docker-default",
            "system_u:system_r:container_t:s0:c1,c2",
            "a b",
        ] {
            assert!(Label::new(Module::SeLinux, good).is_some(), "{good}");
        }
        for bad in ["", "a\nb", "a\0b"] {
            assert!(Label::new(Module::AppArmor, bad).is_none(), "{bad:?}");
        }
    }
}
