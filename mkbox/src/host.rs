//! The files of the machine that a box is made from, as far as a closure asks for them: each is opened and read once.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use foldhash::HashMap;

use crate::elf::{self, Corrupt, Elf};
use crate::ldcache::{Cache, Entry};
use crate::ldconf;
use crate::origin::Origin;

/// A regular file that exists.
#[derive(Debug)]
pub(crate) struct Known {
    /// Device and inode: one file under two names is one file.
    pub(crate) identity: (u64, u64),
    /// `st_mode`
    pub(crate) mode: u32,
    pub(crate) bytes: u64,
    /// None: no ELF file.
    pub(crate) elf: Result<Option<Rc<Elf>>, Corrupt>,
}

/// What was looked up so far.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) origin: Rc<Origin>,
    /// By path. A string is sooner found than a path, which is compared name by name.
    files: HashMap<OsString, Option<Rc<Known>>>,
    directories: HashMap<OsString, Option<PathBuf>>,
    libraries: OnceCell<Libraries>,
    /// What [`Host::cached`] answered: programs ask for the same libraries.
    asked: HashMap<OsString, Rc<[Entry]>>,
}

impl Host {
    /// Nothing is looked up yet.
    pub(crate) fn new(origin: &Rc<Origin>) -> Self {
        Self {
            origin: origin.clone(),
            ..Self::default()
        }
    }

    /// The file at `path`; None when there is none that could be a program or library.
    pub(crate) fn file(&mut self, path: &Path) -> Option<Rc<Known>> {
        if let Some(known) = self.files.get(path.as_os_str()) {
            return known.clone();
        }
        let found = self.origin.look_at(path);
        let known = found.map(|(file, metadata)| Rc::new(know(&file, &metadata)));
        self.files.insert(path.into(), known.clone());
        known
    }

    /// `path` without its symbolic links; None when there is no such directory.
    pub(crate) fn real_directory(&mut self, path: &Path) -> Option<PathBuf> {
        if let Some(real) = self.directories.get(path.as_os_str()) {
            return real.clone();
        }
        let real = self.origin.canonicalize(path);
        self.directories.insert(path.into(), real.clone());
        real
    }

    /// What ldconfig(8) knows under `name`, in the order in which the loader would take it.
    ///
    /// Without a cache it is what ldconfig would put into one: /etc/ld.so.conf's directories.
    pub(crate) fn cached(&mut self, name: &OsStr) -> Rc<[Entry]> {
        if let Some(entries) = self.asked.get(name) {
            return entries.clone();
        }
        let origin = &self.origin;
        let libraries = self.libraries.get_or_init(|| {
            let file = origin.open_regular(Path::new("/etc/ld.so.cache"));
            match file.ok().and_then(Cache::read) {
                Some(cache) => Libraries::Cache(cache),
                None => {
                    let conf = Path::new("/etc/ld.so.conf");
                    Libraries::Directories(ldconf::read(origin, conf))
                }
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

fn know(file: &File, metadata: &Metadata) -> Known {
    Known {
        identity: (metadata.dev(), metadata.ino()),
        mode: metadata.mode(),
        bytes: metadata.len(),
        elf: elf::read(file, metadata.len()).map(|elf| elf.map(Rc::new)),
    }
}
