//! The machine's own files, as far as a closure asks for them: each is opened and read once.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use sys::{SysError, ToErrno};

use crate::elf::{self, Corrupt, Elf};
use crate::ldcache::{self, Cache, Entry};

/// A regular file that exists.
#[derive(Debug)]
pub(crate) struct Known {
    /// Device and inode: one file under two names is one file.
    pub(crate) identity: (u64, u64),
    /// `st_mode`
    pub(crate) mode: u32,
    pub(crate) bytes: u64,
    /// None: no ELF file.
    pub(crate) elf: Result<Option<Elf>, Corrupt>,
}

/// What was looked up so far.
#[derive(Debug, Default)]
pub(crate) struct Host {
    files: HashMap<PathBuf, Option<Rc<Known>>>,
    directories: HashMap<PathBuf, Option<PathBuf>>,
    libraries: OnceCell<Libraries>,
    /// What [`Host::cached`] answered: programs ask for the same libraries.
    asked: HashMap<OsString, Rc<[Entry]>>,
}

impl Host {
    /// The file at `path`; None when there is none that could be a program or library.
    pub(crate) fn file(&mut self, path: &Path) -> Option<Rc<Known>> {
        if let Some(known) = self.files.get(path) {
            return known.clone();
        }
        let known = open_regular(path)
            .ok()
            .and_then(|file| know(&file))
            .map(Rc::new);
        self.files.insert(path.to_owned(), known.clone());
        known
    }

    /// `path` without its symbolic links; None when there is no such directory.
    pub(crate) fn real_directory(&mut self, path: &Path) -> Option<PathBuf> {
        if let Some(real) = self.directories.get(path) {
            return real.clone();
        }
        let real = fs::canonicalize(path).ok();
        self.directories.insert(path.to_owned(), real.clone());
        real
    }

    /// What ldconfig(8) knows under `name`, in the order in which the loader would take it.
    ///
    /// Without a cache it is what ldconfig would put into one: /etc/ld.so.conf's directories.
    pub(crate) fn cached(&mut self, name: &OsStr) -> Rc<[Entry]> {
        if let Some(entries) = self.asked.get(name) {
            return entries.clone();
        }
        let libraries =
            self.libraries
                .get_or_init(|| match Cache::read(Path::new("/etc/ld.so.cache")) {
                    Some(cache) => Libraries::Cache(cache),
                    None => {
                        Libraries::Directories(ldcache::read_conf(Path::new("/etc/ld.so.conf")))
                    }
                });
        let entries: Rc<[Entry]> = match libraries {
            Libraries::Cache(cache) => cache.find(name).into(),
            Libraries::Directories(directories) => directories
                .iter()
                .map(|directory| Entry {
                    path: directory.join(name),
                    hwcaps: None,
                })
                .collect(),
        };
        self.asked.insert(name.to_owned(), entries.clone());
        entries
    }
}

/// Where this machine's libraries are listed.
#[derive(Debug)]
enum Libraries {
    Cache(Cache),
    Directories(Vec<PathBuf>),
}

/// Opens a regular file for reading: never waits at a FIFO, never takes a terminal.
///
/// # Errors
/// What open(2) answers; `EINVAL` when it is no regular file.
pub(crate) fn open_regular(path: &Path) -> Result<File, SysError> {
    let call = || format!("open({})", path.display());
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| SysError::new(call(), error.to_errno()))?;
    let kind = file
        .metadata()
        .map_err(|error| SysError::new(call(), error.to_errno()))?
        .file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let hint = match () {
        () if kind.is_dir() => return Err(SysError::new(call(), Errno::EISDIR)),
        () if kind.is_fifo() => "it is a FIFO, not a regular file",
        () => "it is a device, not a regular file",
    };
    Err(SysError::new(call(), Errno::EINVAL).hint(hint))
}

fn know(file: &File) -> Option<Known> {
    let metadata = file.metadata().ok()?;
    Some(Known {
        identity: (metadata.dev(), metadata.ino()),
        mode: metadata.mode(),
        bytes: metadata.len(),
        elf: elf::read(file),
    })
}
