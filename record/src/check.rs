//! Whether the index can be kept: the one thing that `check` of every tool looks at in the same way.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use sys::{Check, SysError, ToErrno};

use crate::names;

/// What helps who may not make the directory of all indexes.
pub(crate) const RUN_DIR_HINT: &str =
    "root writes there; others need XDG_RUNTIME_DIR or CHROOT0_RUN";

/// Whether `up` can write its index. Makes nothing.
#[must_use]
pub fn check_run_dir() -> Check {
    of(&names::run_dir())
}

fn of(dir: &Path) -> Check {
    let check = match usable(dir) {
        Ok(found) => Check::new("run-dir", true, found),
        Err(error) => Check {
            errno: Some(error.errno),
            ..Check::new("run-dir", false, error.to_string())
        },
    };
    check
        .needed(true)
        .hint(Some(RUN_DIR_HINT))
        .with("path", dir.to_string_lossy())
}

/// How `dir` can be used, or why not.
fn usable(dir: &Path) -> Result<String, SysError> {
    let shown = dir.display();
    match fs::symlink_metadata(dir) {
        Ok(found) => {
            let refused = |call: &str, errno| Err(SysError::new(format!("{call}({shown})"), errno));
            if !found.is_dir() {
                return refused("opendir", Errno::ENOTDIR);
            }
            if found.uid() != nix::unistd::geteuid().as_raw() || found.mode() & 0o022 != 0 {
                // Who else may write there could have us remove what is not ours: up refuses it.
                return refused("stat", Errno::EPERM);
            }
            writable(dir).map(|()| shown.to_string())
        }
        Err(error) if error.to_errno() == Errno::ENOENT => {
            let is_there = |dir: &&Path| fs::metadata(dir).is_ok();
            let above = dir.ancestors().skip(1).find(is_there);
            writable(above.unwrap_or(Path::new("/")))
                .map(|()| format!("{shown}, which up will make"))
        }
        Err(error) => Err(SysError::new(format!("stat({shown})"), error)),
    }
}

fn writable(dir: &Path) -> Result<(), SysError> {
    let call = || format!("access({}, W_OK)", dir.display());
    accessat(
        CWD,
        dir,
        Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    )
    .map_err(|errno| SysError::new(call(), errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_of_ours_or_a_place_for_one_will_do() {
        let dir = std::env::temp_dir().join(format!("chroot0-run-dir-{}", std::process::id()));
        let check = of(&dir.join("a/b"));
        assert!(
            check.ok && check.found.ends_with("which up will make"),
            "{check:?}"
        );
        assert!(!dir.exists(), "check makes nothing");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(of(&dir).found, dir.display().to_string());
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        let check = of(&dir);
        assert_eq!(
            (check.ok, check.needed, check.errno),
            (false, true, Some(Errno::EPERM))
        );
        assert_eq!(check.hint.as_deref(), Some(RUN_DIR_HINT));
        fs::remove_dir(&dir).unwrap();
        assert_eq!(
            of(Path::new("/proc/self/status")).errno,
            Some(Errno::ENOTDIR)
        );
    }
}
