//! One group in one hierarchy: a directory of the kernel's, always held by a descriptor.
//!
//! Names are single components below a descriptor, so a record can name no path outside its own group.

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use sys::{Call, SysError};

use crate::error::Error;
use crate::hierarchy::{Hierarchy, Version};
use crate::hints;
use crate::version::File;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// Whether an error says that the group itself is no more.
pub(crate) trait IsGone {
    /// `ENOENT` and `ENODEV`
    fn is_gone(&self) -> bool;
}

impl IsGone for SysError {
    fn is_gone(&self) -> bool {
        matches!(self.errno, Errno::ENOENT | Errno::ENODEV)
    }
}

/// A group that is there.
#[derive(Debug)]
pub(crate) struct Group {
    dir: OwnedFd,
    path: PathBuf,
    version: Version,
    /// Where it is known by now.
    inode: Option<u64>,
}

impl Group {
    fn new(dir: OwnedFd, path: PathBuf, version: Version) -> Self {
        Self {
            dir,
            path,
            version,
            inode: None,
        }
    }

    /// The group at which `hierarchy` is mounted.
    pub(crate) fn mounted(hierarchy: &Hierarchy) -> Result<Self, Error> {
        Self::below(hierarchy, "")?.ok_or_else(|| {
            let call = format!("open({})", hierarchy.mount.display());
            SysError::new(call, Errno::ENOENT).into()
        })
    }

    /// The group at `path` below the mount of `hierarchy`, if there is one: [`Group::descendant`] in two calls less.
    pub(crate) fn below(hierarchy: &Hierarchy, path: &str) -> Result<Option<Self>, Error> {
        let path = match path {
            "" => hierarchy.mount.clone(),
            path => hierarchy.mount.join(path),
        };
        let dir = match rustix::fs::open(&path, DIRECTORY, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            answer => answer.call(|| format!("open({})", path.display()))?,
        };
        let found = rustix::fs::fstat(&dir).call(|| format!("stat({})", path.display()))?;
        if !hierarchy.is_of_device(found.st_dev) {
            return Err(Error::Failed(format!(
                "{}: another filesystem is there by now",
                path.display()
            )));
        }
        Ok(Some(Self {
            inode: Some(found.st_ino),
            ..Self::new(dir, path, hierarchy.version)
        }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The child `name`, if there is one.
    pub(crate) fn child(&self, name: &str) -> Result<Option<Self>, Error> {
        let path = self.path.join(name);
        match rustix::fs::openat(&self.dir, name, DIRECTORY, Mode::empty()) {
            Ok(dir) => Ok(Some(Self::new(dir, path, self.version))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(SysError::new(format!("open({})", path.display()), errno).into()),
        }
    }

    /// The same group, by a descriptor of its own.
    pub(crate) fn itself(&self) -> Result<Self, Error> {
        let dir = self.dir.try_clone();
        let dir = dir.call(|| format!("dup({})", self.path.display()))?;
        Ok(Self::new(dir, self.path.clone(), self.version))
    }

    /// The group at `path` below this one: `a/b`, or `` for this one.
    pub(crate) fn descendant(&self, path: &str) -> Result<Option<Self>, Error> {
        match path {
            "" => self.itself().map(Some),
            // nothing there is a link: the kernel has none in these file systems
            path => self.child(path),
        }
    }

    /// Makes the child `name`, which must not be there.
    pub(crate) fn make_child(&self, name: &str) -> Result<Self, SysError> {
        let path = self.path.join(name);
        rustix::fs::mkdirat(&self.dir, name, Mode::from_raw_mode(0o755))
            .call(|| format!("mkdir({})", path.display()))
            .map_err(|error| match hints::make(error.errno) {
                Some(hint) => error.hint(hint),
                None => error,
            })?;
        let dir = rustix::fs::openat(&self.dir, name, DIRECTORY, Mode::empty());
        let dir = dir.call(|| format!("open({})", path.display()))?;
        Ok(Self::new(dir, path, self.version))
    }

    /// The child `name`, made where it is missing.
    pub(crate) fn child_or_new(&self, name: &str) -> Result<Self, Error> {
        self.child_and_whether_new(name).map(|(child, _)| child)
    }

    /// [`Group::child_or_new`], and whether it was missing.
    pub(crate) fn child_and_whether_new(&self, name: &str) -> Result<(Self, bool), Error> {
        if let Some(child) = self.child(name)? {
            return Ok((child, false));
        }
        match self.make_child(name) {
            Ok(child) => Ok((child, true)),
            // Another was quicker.
            Err(error) => match self.child(name)? {
                Some(child) => Ok((child, false)),
                None => Err(error.into()),
            },
        }
    }

    /// [`Group::child_or_new`] for processes without limits of their own.
    ///
    /// A v1 group whose memory is too little even for another group (10 bytes) is used itself.
    pub(crate) fn leaf(&self, name: &str) -> Result<(Self, bool), Error> {
        match self.child_and_whether_new(name) {
            Err(Error::Sys(error))
                if error.errno == Errno::ENOMEM && self.has("memory.limit_in_bytes") =>
            {
                Ok((self.itself()?, false))
            }
            answer => answer,
        }
    }

    /// What tells this group from a later one of the same name; the kernel gives no inode twice.
    pub(crate) fn inode(&self) -> Result<u64, Error> {
        if let Some(inode) = self.inode {
            return Ok(inode);
        }
        let stat =
            rustix::fs::fstat(&self.dir).call(|| format!("stat({})", self.path.display()))?;
        Ok(stat.st_ino)
    }

    /// Writes `text` into the file `name` in one write(2), as these files want it.
    pub(crate) fn write(&self, file: &File) -> Result<(), SysError> {
        self.write_into(&self.open_to_write(&file.name)?, file)
    }

    /// The file `name`, to be written.
    pub(crate) fn open_to_write(&self, name: &str) -> Result<fs::File, SysError> {
        let mode = OFlags::WRONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.dir, name, mode, Mode::empty())
            .call(|| format!("open({})", self.path.join(name).display()))
            .map_err(|error| hints::missing(error, self.version, name))?;
        Ok(fd.into())
    }

    /// [`Group::write`] where the file is open.
    pub(crate) fn write_into(&self, mut opened: &fs::File, file: &File) -> Result<(), SysError> {
        let path = || self.path.join(&file.name);
        opened
            .write_all(file.text.as_bytes())
            .call(|| format!("write({}, {})", path().display(), file.text))
            .map_err(|error| hints::refused(error, &file.name))
    }

    /// The file `name`, to be read, and with `write` to be written as well.
    pub(crate) fn open(&self, name: &str, write: bool) -> Result<fs::File, SysError> {
        let mode = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let fd = rustix::fs::openat(&self.dir, name, mode | OFlags::CLOEXEC, Mode::empty())
            .call(|| format!("open({})", self.path.join(name).display()))
            .map_err(|error| hints::missing(error, self.version, name))?;
        Ok(fd.into())
    }

    /// The whole of the file `name`.
    pub(crate) fn read(&self, name: &str) -> Result<String, SysError> {
        let file = self.open(name, false)?;
        let call = || format!("read({})", self.path.join(name).display());
        let bytes = sys::read_open_kernel(&file).map_err(|errno| SysError::new(call(), errno))?;
        String::from_utf8(bytes).map_err(|_| SysError::new(call(), Errno::EILSEQ))
    }

    /// The extended attribute `name` of the group, if it can be read and is short.
    pub(crate) fn attribute(&self, name: &str) -> Option<Vec<u8>> {
        let mut value = [0; 16];
        let length = rustix::fs::fgetxattr(&self.dir, name, &mut value).ok()?;
        value.get(..length).map(<[u8]>::to_vec)
    }

    /// Whether the file `name` is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// chown(2) of the group, or of the file `name` in it.
    pub(crate) fn chown(&self, name: Option<&str>, uid: u32, gid: u32) -> Result<(), SysError> {
        let name = name.unwrap_or(".");
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(
            &self.dir,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .call(|| format!("chown({})", self.path.join(name).display()))
    }

    /// Whether the file `name` can only be written (`memory.force_empty`).
    pub(crate) fn is_write_only(&self, name: &str) -> bool {
        let stat = rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| stat.st_mode & 0o444 == 0)
    }

    /// Names of the groups directly below, in alphabetical order.
    pub(crate) fn children(&self) -> Result<Vec<String>, Error> {
        let call = || format!("readdir({})", self.path.display());
        // kernfs counts: two, and one for each directory in it
        if rustix::fs::fstat(&self.dir).is_ok_and(|stat| stat.st_nlink == 2) {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir).call(call)? {
            let entry = match entry {
                Ok(entry) => entry,
                // a group that goes while it is read
                Err(rustix::io::Errno::NOENT) => break,
                Err(errno) => return Err(SysError::new(call(), errno).into()),
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type() == FileType::Directory && name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Names of the files that can be both read and written, by their mode.
    pub(crate) fn settable_files(&self) -> Result<Vec<String>, Error> {
        let call = || format!("readdir({})", self.path.display());
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir).call(call)? {
            let entry = entry.call(call)?;
            let stat = rustix::fs::statat(&self.dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            let is_both = |mode: u32| mode & 0o400 != 0 && mode & 0o200 != 0;
            if entry.file_type() == FileType::RegularFile
                && stat.is_ok_and(|stat| is_both(stat.st_mode))
            {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    /// This group and all below it, parents first.
    pub(crate) fn tree(self) -> Result<Vec<Self>, Error> {
        /// Descriptors that everybody has, 1024, and some for other things.
        const USUAL: usize = 900;
        let mut found = vec![self];
        let mut at = 0;
        while at < found.len() {
            if at == USUAL {
                sys::allow_descriptors();
            }
            for name in found[at].children()? {
                if let Some(child) = found[at].child(&name)? {
                    found.push(child);
                }
            }
            at += 1;
        }
        Ok(found)
    }

    /// This group and all below it by their paths from it on, parents first: ``, `a/`, `a/b/`. A thousand of them need no
    /// descriptor each.
    pub(crate) fn paths(&self) -> Result<Vec<String>, Error> {
        let mut found = vec![String::new()];
        let mut at = 0;
        while at < found.len() {
            let path = found[at].clone();
            at += 1;
            // As in `children`; most have none.
            let place = if path.is_empty() { "." } else { &path };
            let stat = rustix::fs::statat(&self.dir, place, AtFlags::SYMLINK_NOFOLLOW);
            if stat.is_ok_and(|stat| stat.st_nlink == 2) {
                continue;
            }
            if let Some(group) = self.child(place)? {
                let names = group.children()?.into_iter();
                found.extend(names.map(|name| format!("{path}{name}/")));
            }
        }
        Ok(found)
    }

    /// Processes of this group, without those below; 0 is one of another pid namespace.
    pub(crate) fn processes(&self) -> Result<Vec<i32>, Error> {
        self.processes_at("")
    }

    /// Those of the group at `path` from this one on, as [`Group::paths`] has it.
    pub(crate) fn processes_at(&self, path: &str) -> Result<Vec<i32>, Error> {
        let text = match self.read(&[path, "cgroup.procs"].concat()) {
            Ok(text) => text,
            // it was removed meanwhile
            Err(error) if matches!(error.errno, Errno::ENODEV | Errno::ENOENT) => {
                return Ok(Vec::new());
            }
            // a threaded v2 group lists no processes; its threads are listed by its domain
            Err(error) if error.errno == Errno::EOPNOTSUPP => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Moves process `pid`, all its threads, into this group. The kernel makes it wait for RCU: 5 to 18 ms.
    pub(crate) fn take(&self, pid: i32) -> Result<(), SysError> {
        let file = File::new("cgroup.procs", pid.to_string());
        self.write(&file).map_err(hints::attach)
    }

    /// Moves this process, which has one thread, into this group.
    ///
    /// On v1 `0` into `tasks`: the kernel takes no lock for a thread that moves itself, so it is 100 times faster than
    /// `cgroup.procs`, which is what v2 has.
    pub(crate) fn enter(&self) -> Result<(), SysError> {
        self.write(&File::new(self.door(), "0".to_owned()))
            .map_err(hints::attach)
    }

    /// The file by which [`Group::enter`] enters.
    pub(crate) fn door(&self) -> &'static str {
        match self.version {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.procs",
        }
    }

    /// Removes the child `name`. `ENOENT`: it is gone. `EBUSY`: something is in it.
    pub(crate) fn remove_child(&self, name: &str) -> Result<(), SysError> {
        rustix::fs::unlinkat(&self.dir, name, AtFlags::REMOVEDIR)
            .call(|| format!("rmdir({})", self.path.join(name).display()))
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.dir.as_fd()
    }
}
