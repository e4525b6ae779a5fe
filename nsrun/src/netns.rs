//! `/run/netns` as ip-netns(8) makes it: a shared mount of the directory on itself.
//!
//! `ip netns` never takes it away again. What we made goes with the last pin in it, unless somebody else has names there by
//! then. That it was ours is noted beside the indexes, ahead of making it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ::sys::{Call, SysError, ToErrno, mountinfo};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use record::{Id, names};
use serde_json::{Value, json};

use crate::step;

/// What is known of a `/run/netns` that we made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Made {
    /// The directory too.
    dir: bool,
    /// Number of the mount; None: we were killed before it was known.
    mount: Option<u64>,
}

impl Made {
    fn read(path: &Path) -> Option<Self> {
        let value: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        Some(Self {
            dir: value["dir"] == true,
            mount: value["mount"].as_u64(),
        })
    }

    fn write(self, path: &Path) -> Result<(), SysError> {
        let text = json!({"dir": self.dir, "mount": self.mount}).to_string();
        let new = path.with_extension("new");
        fs::write(&new, text).call(|| format!("write({})", new.display()))?;
        fs::rename(&new, path).call(|| format!("rename({}, {})", new.display(), path.display()))
    }
}

/// One of us at a time makes it, makes a name in it, or takes it away.
pub(crate) struct Lock {
    note: PathBuf,
    _dir: File,
}

impl Lock {
    /// None: there is no directory of indexes, so nothing is noted in it.
    fn take() -> Result<Option<Self>, SysError> {
        let path = names::run_dir();
        let dir = match File::open(&path) {
            Err(error) if error.to_errno() == Errno::ENOENT => return Ok(None),
            dir => dir.call(|| format!("open({})", path.display()))?,
        };
        dir.lock().call(|| format!("flock({})", path.display()))?;
        Ok(Some(Self {
            note: path.join(".netns.json"),
            _dir: dir,
        }))
    }
}

/// Makes it if it is not there; one that is there is taken as it is. It stays until the answer is dropped.
///
/// # Errors
/// The call that failed.
pub(crate) fn prepare(verbose: bool) -> Result<Option<Lock>, SysError> {
    let dir = Path::new(names::NETNS);
    let lock = Lock::take()?;
    if mounted()?.is_some() {
        return Ok(lock);
    }
    let missing = !dir.exists();
    let mut made = Made {
        dir: missing,
        mount: None,
    };
    if let Some(lock) = &lock {
        made.write(&lock.note)?;
    }
    if missing {
        // Others look for names in here: as ip-netns(8) has it, whatever our umask.
        fs::create_dir_all(dir).call(|| format!("mkdir({})", dir.display()))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir, mode).call(|| format!("chmod({})", dir.display()))?;
    }
    bind(dir, dir, MsFlags::MS_REC, verbose)?;
    let flags = MsFlags::MS_SHARED | MsFlags::MS_REC;
    mount(None::<&str>, dir, None::<&str>, flags, None::<&str>)
        .call(|| format!("mount({}, MS_SHARED|MS_REC)", dir.display()))?;
    made.mount = mounted()?;
    if let Some(lock) = &lock {
        made.write(&lock.note)?;
    }
    Ok(lock)
}

/// Takes away what [`prepare`] made, when nobody has a name in it any more.
///
/// # Errors
/// The call that failed.
pub(crate) fn tidy(verbose: bool) -> Result<(), SysError> {
    let dir = Path::new(names::NETNS);
    let Some(lock) = Lock::take()? else {
        return Ok(());
    };
    // Of one that was killed while it wrote; nothing was made by then.
    let _ = fs::remove_file(lock.note.with_extension("new"));
    let Some(made) = Made::read(&lock.note) else {
        return Ok(());
    };
    let names: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    if names.is_empty() {
        remove(dir, made, verbose)?;
    } else if names
        .iter()
        .filter_map(|name| name.to_str()?.parse::<Id>().ok())
        .any(|id| names::run_dir().join(id.as_ref()).exists())
    {
        // Another pod's: the last one takes it away.
        return Ok(());
    }
    fs::remove_file(&lock.note).call(|| format!("unlink({})", lock.note.display()))?;
    Ok(())
}

/// Nothing is in it, so nobody misses it: `ip netns add` makes it anew.
fn remove(dir: &Path, made: Made, verbose: bool) -> Result<(), SysError> {
    let is_ours = |found: u64| made.mount.is_none_or(|mount| mount == found);
    if mounted()?.is_some_and(is_ours) {
        // Not lazily: a name that was made in this moment keeps it, and it is its maker's from now on.
        match umount2(dir, MntFlags::UMOUNT_NOFOLLOW) {
            Err(Errno::EBUSY) => return Ok(()),
            answer => answer.call(|| format!("umount({})", dir.display()))?,
        }
        if verbose {
            step::say(&format_args!("umount({})", dir.display()));
        }
    }
    if made.dir && mounted()?.is_none() {
        match fs::remove_dir(dir).map_err(|error| error.to_errno()) {
            // Not empty any more, in use, or gone: each is right.
            Ok(()) | Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::EBUSY | Errno::ENOENT) => {}
            Err(errno) => {
                return Err(SysError::new(format!("rmdir({})", dir.display()), errno));
            }
        }
    }
    Ok(())
}

/// The number of the mount that is seen at /run/netns.
fn mounted() -> Result<Option<u64>, SysError> {
    let mounts = mountinfo("self")?;
    let last = mounts
        .iter()
        .rfind(|mount| mount.point == Path::new(names::NETNS));
    Ok(last.map(|mount| mount.id))
}

/// A bind mount.
///
/// # Errors
/// As mount(2).
pub(crate) fn bind(
    source: &Path,
    target: &Path,
    more: MsFlags,
    verbose: bool,
) -> Result<(), SysError> {
    let call = format!("mount({}, {}, MS_BIND)", source.display(), target.display());
    let flags = MsFlags::MS_BIND | more;
    mount(Some(source), target, None::<&str>, flags, None::<&str>).map_err(|errno| {
        let error = SysError::new(call.clone(), errno);
        match errno {
            Errno::EINVAL if source.ends_with("ns/mnt") => {
                error.hint("a mount namespace can be pinned only from one that is older")
            }
            Errno::EPERM => error
                .hint("needs CAP_SYS_ADMIN in the user namespace that owns the mount namespace"),
            _ => error,
        }
    })?;
    if verbose {
        step::say(&call);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let path = std::env::temp_dir().join(format!("chroot0-netns-{}.json", std::process::id()));
        assert_eq!(Made::read(&path), None);
        for made in [
            Made {
                dir: true,
                mount: None,
            },
            Made {
                dir: false,
                mount: Some(77),
            },
        ] {
            made.write(&path).unwrap();
            assert_eq!(Made::read(&path), Some(made));
        }
        fs::remove_file(&path).unwrap();
    }
}
