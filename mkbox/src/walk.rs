//! Everything below a directory, in one order on every machine: parents first, names sorted; on one mount, through no link.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat2, readlinkat, statat};
use sys::{Call, SysError};

use crate::root::BENEATH;
use crate::tree::{Entry, names};

/// Directories held open at once.
const DEPTH: usize = 256;

/// One thing that was met.
pub(crate) struct Item<'a> {
    /// From the top, absolute there.
    pub(crate) path: &'a Path,
    /// The directory it lies in, and its name there.
    pub(crate) directory: BorrowedFd<'a>,
    pub(crate) name: &'a OsStr,
    pub(crate) stat: Stat,
    /// Something is mounted on it: what lies below is not part of the tree.
    pub(crate) is_mount: bool,
    /// For messages.
    top: &'a Path,
}

impl Item<'_> {
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// As a message shows it.
    pub(crate) fn shown(&self) -> String {
        let inside = self.path.strip_prefix("/").unwrap_or(self.path);
        crate::text::short(&self.top.join(inside))
    }

    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    /// Opens it for reading: a regular file, and the one that was met.
    ///
    /// # Errors
    /// What openat2(2) answers; `ESTALE`: another one took its place.
    pub(crate) fn open(&self) -> Result<OwnedFd, SysError> {
        let call = || format!("open({})", self.shown());
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = openat2(self.directory, self.name, flags, Mode::empty(), BENEATH).call(call)?;
        let stat = rustix::fs::fstat(&fd).call(call)?;
        if (stat.st_dev, stat.st_ino) != (self.stat.st_dev, self.stat.st_ino) {
            return Err(SysError::new(call(), Errno::ESTALE));
        }
        Ok(fd)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// What readlink(2) answers.
    pub(crate) fn target(&self) -> Result<PathBuf, SysError> {
        let target = readlinkat(self.directory, self.name, Vec::new());
        let target = target.call(|| format!("readlink({})", self.shown()))?;
        Ok(std::ffi::OsString::from_vec(target.into_bytes()).into())
    }
}

/// One directory on the way down.
struct Level {
    directory: OwnedFd,
    path: PathBuf,
    /// The last one is next.
    entries: Vec<Entry>,
}

/// Calls `each` for everything below `top`, which messages call `shown`.
///
/// # Errors
/// What `each` answers; what getdents64(2) and openat2(2) answer; `ELOOP` below 256 directories.
pub(crate) fn walk<E: From<SysError>>(
    top: OwnedFd,
    shown: &Path,
    mut each: impl FnMut(&Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut levels = vec![level(top, "/".into(), shown)?];
    while let Some(level_now) = levels.last_mut() {
        let Some(entry) = level_now.entries.pop() else {
            levels.pop();
            continue;
        };
        let name = OsStr::from_bytes(entry.name.as_bytes());
        let path = level_now.path.join(name);
        let directory = level_now.directory.as_fd();
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            // It went away meanwhile.
            Err(rustix::io::Errno::NOENT) => continue,
            answer => answer.call(|| format!("stat({})", shown.join(name).display()))?,
        };
        let mut item = Item {
            path: &path,
            directory,
            name,
            stat,
            is_mount: false,
            top: shown,
        };
        if item.kind() != FileType::Directory {
            each(&item)?;
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below = match openat2(directory, name, flags, Mode::empty(), BENEATH) {
            Err(rustix::io::Errno::XDEV) => {
                item.is_mount = true;
                each(&item)?;
                continue;
            }
            Err(rustix::io::Errno::NOENT) => continue,
            answer => answer.call(|| format!("open({})", item.shown()))?,
        };
        each(&item)?;
        if levels.len() == DEPTH {
            let error = SysError::new(format!("open({})", shown.display()), Errno::ELOOP);
            return Err(error.hint("deeper than 256 directories").into());
        }
        levels.push(level(below, path, shown)?);
    }
    Ok(())
}

fn level(directory: OwnedFd, path: PathBuf, shown: &Path) -> Result<Level, SysError> {
    let mut entries = names(&directory, shown)?;
    entries.sort_by(|a, b| b.name.cmp(&a.name));
    Ok(Level {
        directory,
        path,
        entries,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_order_is_that_of_names_and_links_are_not_followed() {
        let top = std::env::temp_dir().join(format!("mkbox-walk-{}", std::process::id()));
        for path in ["b/z", "b/a", "a", "c"] {
            fs::create_dir_all(top.join(path)).unwrap();
        }
        symlink("..", top.join("a/up")).unwrap();
        fs::write(top.join("b/m"), "x").unwrap();
        let mut met = Vec::new();
        let fd = fs::File::open(&top).unwrap().into();
        walk(fd, &top, |item| {
            met.push(item.path.display().to_string());
            if item.name == "up" {
                assert_eq!(item.target()?, Path::new(".."));
            }
            Ok::<_, SysError>(())
        })
        .unwrap();
        assert_eq!(met, ["/a", "/a/up", "/b", "/b/a", "/b/m", "/b/z", "/c"]);
        fs::remove_dir_all(top).unwrap();
    }
}
