//! What is below a directory: read and removed by descriptor, on one mount, through no link.

use std::ffi::{CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags, openat2, unlinkat};
use sys::{Call, SysError};

use crate::root::BENEATH;

/// Directories held open at once. What lies deeper is first moved up: a tree may be deeper than descriptors go.
pub(crate) const DEPTH: usize = 128;
/// How often a directory that was emptied may turn out to be filled again.
const PASSES: usize = 16;

/// One entry of a directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: CString,
    pub(crate) is_directory: bool,
}

impl Entry {
    pub(crate) fn path(&self) -> &OsStr {
        OsStr::from_bytes(self.name.as_bytes())
    }
}

/// The entries of `directory`; "." and ".." are none.
///
/// # Errors
/// What getdents64(2) and fstatat(2) answer.
pub(crate) fn names(directory: &OwnedFd, shown: &Path) -> Result<Vec<Entry>, SysError> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 32 << 10];
    let mut list = RawDir::new(directory, &mut buffer);
    let mut entries = Vec::new();
    while let Some(entry) = list.next() {
        let entry = entry.call(|| format!("getdents({})", shown.display()))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            // A file system that does not tell, as getdents(2) allows.
            FileType::Unknown => {
                match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(rustix::io::Errno::NOENT) => continue,
                    Err(errno) => {
                        return Err(SysError::new(format!("stat({})", shown.display()), errno));
                    }
                }
            }
            kind => kind,
        };
        entries.push(Entry {
            name: name.to_owned(),
            is_directory: kind == FileType::Directory,
        });
    }
    Ok(entries)
}

/// Opens the subdirectory `entry` of `directory`: through no link, across no mount.
pub(crate) fn open(directory: &OwnedFd, entry: &Entry, shown: &Path) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let answer = openat2(directory, &entry.name, flags, Mode::empty(), BENEATH);
    answer
        .call(|| format!("open({})", shown.join(entry.path()).display()))
        .map_err(|error| {
            if error.errno == Errno::EXDEV {
                error.hint("something is mounted there")
            } else {
                error
            }
        })
}

/// Removes `name` of `directory`, with everything below it when it is a directory.
///
/// # Errors
/// As [`remove_contents`].
pub(crate) fn remove_entry(
    directory: &OwnedFd,
    name: &OsStr,
    shown: &Path,
) -> Result<(), SysError> {
    let call = || format!("unlink({})", shown.display());
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
        Err(errno) => return Err(SysError::new(call(), errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let below = openat2(directory, name, flags, Mode::empty(), BENEATH).call(call)?;
    remove_contents(&below, shown)?;
    unlinkat(directory, name, AtFlags::REMOVEDIR).call(call)
}

/// Removes everything below `top`; how many entries that were.
///
/// # Errors
/// What stands in the way, by its path: `EXDEV` for a mount, `EPERM` for an immutable file. What was removed stays
/// removed, the rest is left: the next call goes on.
pub(crate) fn remove_contents(top: &OwnedFd, shown: &Path) -> Result<usize, SysError> {
    remove_contents_but(top, shown, &[]).map(|(removed, _)| removed)
}

/// The same, but for what lies at the paths `keep`, relative to `top`; how many entries were removed, and how many of
/// those paths are there.
///
/// # Errors
/// As [`remove_contents`].
pub(crate) fn remove_contents_but(
    top: &OwnedFd,
    shown: &Path,
    keep: &[PathBuf],
) -> Result<(usize, usize), SysError> {
    let mut removal = Removal {
        top,
        shown,
        keep,
        removed: 0,
        kept: 0,
        moved: 0,
    };
    for _ in 0..PASSES {
        removal.kept = 0;
        let left = removal.pass()?;
        if !left {
            return Ok((removal.removed, removal.kept));
        }
    }
    let error = SysError::new(format!("rmdir({})", shown.display()), Errno::ENOTEMPTY);
    Err(error.hint("something keeps on writing there"))
}

struct Removal<'a> {
    top: &'a OwnedFd,
    shown: &'a Path,
    keep: &'a [PathBuf],
    removed: usize,
    /// In this pass.
    kept: usize,
    /// Deep directories that were moved up to `top`.
    moved: usize,
}

impl Removal<'_> {
    /// Goes through the whole tree once; true when something may be left.
    fn pass(&mut self) -> Result<bool, SysError> {
        // Opened anew: a duplicate would go on where the pass before stopped reading.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = openat2(self.top, ".", flags, Mode::empty(), BENEATH);
        let top = top.call(|| format!("open({})", self.shown.display()))?;
        // Each level: its directory, its path for messages, its name above, and what is still to be done in it.
        let mut levels = vec![Level {
            entries: names(&top, self.shown)?,
            directory: top,
            shown: self.shown.into(),
            name: None,
        }];
        let mut left = false;
        loop {
            let depth = levels.len();
            let Some(level) = levels.last_mut() else {
                break;
            };
            let Some(entry) = level.entries.pop() else {
                let done = levels.pop().and_then(|level| level.name);
                if let (Some(name), Some(above)) = (done, levels.last()) {
                    let gone = self.unlink(&above.directory, &above.shown, &name, true)?;
                    left |= !gone && !self.is_above_kept(&above.shown.join(name.path()));
                }
                continue;
            };
            if self.is_kept(level, &entry) {
                self.kept += 1;
            } else if !entry.is_directory {
                left |= !self.unlink(&level.directory, &level.shown, &entry, false)?;
            } else if depth == DEPTH {
                self.move_up(level, &entry)?;
                left = true;
            } else {
                let directory = open(&level.directory, &entry, &level.shown)?;
                let shown = level.shown.join(entry.path());
                levels.push(Level {
                    entries: names(&directory, &shown)?,
                    directory,
                    shown,
                    name: Some(entry),
                });
            }
        }
        Ok(left)
    }

    /// Whether `entry` is to stay.
    fn is_kept(&self, level: &Level, entry: &Entry) -> bool {
        let is_it = |path: &PathBuf| self.shown.join(path) == level.shown.join(entry.path());
        !self.keep.is_empty() && self.keep.iter().any(is_it)
    }

    /// Whether something that stays may lie in the directory `shown`.
    fn is_above_kept(&self, shown: &Path) -> bool {
        self.keep
            .iter()
            .any(|path| self.shown.join(path).starts_with(shown))
    }

    /// Removes one name; false when a directory was filled meanwhile, or turned out to be one.
    fn unlink(
        &mut self,
        directory: &OwnedFd,
        shown: &Path,
        entry: &Entry,
        is_directory: bool,
    ) -> Result<bool, SysError> {
        let flags = if is_directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        match unlinkat(directory, &entry.name, flags) {
            Ok(()) => self.removed += 1,
            Err(rustix::io::Errno::NOENT) => {}
            Err(
                rustix::io::Errno::NOTEMPTY
                | rustix::io::Errno::EXIST
                | rustix::io::Errno::ISDIR
                | rustix::io::Errno::NOTDIR,
            ) => {
                return Ok(false);
            }
            Err(errno) => {
                let call = if is_directory { "rmdir" } else { "unlink" };
                let error = SysError::new(
                    format!("{call}({})", shown.join(entry.path()).display()),
                    errno,
                );
                return Err(match error.errno {
                    Errno::EBUSY => error.hint("something is mounted there"),
                    Errno::EPERM => error.hint("is it immutable? lsattr(1)"),
                    _ => error,
                });
            }
        }
        Ok(true)
    }

    /// Moves a directory that lies too deep to the top, where the next pass finds it.
    fn move_up(&mut self, level: &Level, entry: &Entry) -> Result<(), SysError> {
        loop {
            let name = format!(".mkbox-{}", self.moved);
            self.moved += 1;
            match rustix::fs::renameat_with(
                &level.directory,
                &entry.name,
                self.top,
                &name,
                RenameFlags::NOREPLACE,
            ) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => {
                    return Err(SysError::new(
                        format!("rename({})", level.shown.display()),
                        errno,
                    ));
                }
            }
        }
    }
}

struct Level {
    directory: OwnedFd,
    shown: PathBuf,
    entries: Vec<Entry>,
    /// In the level above.
    name: Option<Entry>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("mkbox-tree-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn directory(path: &Path) -> OwnedFd {
        fs::File::open(path).unwrap().into()
    }

    #[test]
    fn everything_below_goes_and_nothing_that_links_lead_to() {
        let path = scratch("links");
        let (top, victim) = (path.join("box"), path.join("victim"));
        for sub in ["a/b/c", "a/d", "e"] {
            fs::create_dir_all(top.join(sub)).unwrap();
            fs::write(top.join(sub).join("file"), "x").unwrap();
        }
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("precious"), "x").unwrap();
        symlink(&victim, top.join("a/link")).unwrap();
        symlink(victim.join("precious"), top.join("file")).unwrap();
        fs::hard_link(victim.join("precious"), top.join("e/hard")).unwrap();
        assert_eq!(
            crate::measure::measure(directory(&top), &top)
                .unwrap()
                .files,
            6
        );
        assert_eq!(remove_contents(&directory(&top), &top).unwrap(), 11);
        assert_eq!(fs::read_dir(&top).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(victim.join("precious")).unwrap(), "x");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn what_is_to_be_kept_stays_with_the_directories_above_it() {
        let path = scratch("keep");
        for sub in ["a/b/c", "a/d", "e", "abc"] {
            fs::create_dir_all(path.join(sub)).unwrap();
            fs::write(path.join(sub).join("file"), "x").unwrap();
        }
        let keep = ["a/b", "e/file", "none/such"].map(PathBuf::from);
        let (_, kept) = remove_contents_but(&directory(&path), &path, &keep).unwrap();
        assert_eq!(kept, 2);
        for there in ["a/b/c/file", "e/file"] {
            assert!(path.join(there).exists(), "{there}");
        }
        for gone in ["a/d", "abc"] {
            assert!(!path.join(gone).exists(), "{gone}");
        }
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_tree_deeper_than_descriptors_goes_too() {
        let path = scratch("deep");
        let mut fd = directory(&path);
        for _ in 0..3 * DEPTH {
            rustix::fs::mkdirat(&fd, "d", Mode::from(0o755)).unwrap();
            fd = rustix::fs::openat(&fd, "d", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .unwrap();
        }
        assert_eq!(
            remove_contents(&directory(&path), &path).unwrap(),
            3 * DEPTH
        );
        fs::remove_dir(path).unwrap();
    }
}
