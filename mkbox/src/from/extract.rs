//! Puts files of any origin into a box. Names may be hostile: every one is resolved in the box by the kernel, and what is on
//! the way to it, were it a link out, ends inside.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{CString, OsStr};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Uid, fchmod, fchown, fstatvfs, futimens, linkat, mkdirat,
    mknodat, statat, symlinkat,
};
use sys::{Call, SysError};

use super::attributes::{Attributes, owner_error, times};
use super::{Laid, Manner, reason};
use crate::boxfile::Why;
use crate::copy::Copier;
use crate::error::Error;
use crate::manifest::{Entry, Kind};
use crate::progress::Progress;
use crate::root::Root;
use crate::text::short;
use crate::tree;

/// Read and written at once.
const BUFFER: usize = 256 << 10;
/// Files that are named in one notice.
const NAMES: usize = 3;

/// One thing to make.
pub(super) struct Node<'a> {
    /// In the box: absolute there, without `.` and `..`; see [`clean`].
    pub(super) path: PathBuf,
    pub(super) what: What<'a>,
    /// Permissions, set-id bits and the sticky bit.
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) mtime: (i64, u64),
    pub(super) xattrs: Vec<(CString, Vec<u8>)>,
}

pub(super) enum What<'a> {
    Directory,
    /// Contents of a known length.
    File(&'a mut dyn Read, u64),
    /// A file of this machine, that may share its blocks.
    Copy(&'a File, &'a Metadata),
    /// Another name of what is at that path in the box.
    Hard(PathBuf),
    Link(PathBuf),
    Fifo,
    /// A device, a socket: what only means something on the machine it comes from.
    LeftOut(&'static str),
}

/// What is found out or made once for all files.
pub(super) struct Extractor<'a> {
    pub(super) root: &'a Root,
    source: &'a Path,
    pub(super) manner: Manner,
    progress: &'a Progress,
    copier: Copier,
    buffer: Vec<u8>,
    pub(super) is_root: bool,
    entries: BTreeMap<PathBuf, Entry>,
    /// Of directories: set at the end, because making a file in one changes its time, and may need the right to.
    directories: BTreeMap<PathBuf, Attributes>,
    /// The directory of the last file, open: archives are in order.
    last: Option<(PathBuf, OwnedFd)>,
    /// Paths that the layer at hand has made: its whiteouts are about those before.
    pub(super) layer: HashSet<PathBuf>,
    notices: BTreeMap<&'static str, Vec<PathBuf>>,
}

impl<'a> Extractor<'a> {
    pub(super) fn new(
        root: &'a Root,
        source: &'a Path,
        manner: Manner,
        progress: &'a Progress,
    ) -> Self {
        Self {
            root,
            source,
            manner,
            progress,
            copier: Copier::default(),
            buffer: vec![0; BUFFER],
            is_root: rustix::process::geteuid().is_root(),
            entries: BTreeMap::new(),
            directories: BTreeMap::new(),
            last: None,
            layer: HashSet::new(),
            notices: BTreeMap::new(),
        }
    }

    /// An error about what is at `name` in the base.
    pub(super) fn fail(&self, name: &Path, reason: &str) -> Error {
        let shown = self.source.display();
        Error::Failed(format!("--from {shown}: {}: {reason}", short(name)))
    }

    /// Makes one thing, in place of what is there.
    ///
    /// # Errors
    /// The call that failed, with the path in the box.
    pub(super) fn put(&mut self, node: Node<'_>) -> Result<(), Error> {
        let attributes = Attributes {
            mode: node.mode & 0o7777,
            owner: node.owner,
            mtime: self.clamped(node.mtime),
        };
        let Some(name) = node.path.file_name().map(OsStr::to_owned) else {
            // The box itself.
            self.directories.insert(node.path, attributes);
            return Ok(());
        };
        if let What::LeftOut(why) = node.what {
            self.notice(why, &node.path);
            return Ok(());
        }
        self.layer.insert(node.path.clone());
        let parent = self.parent(&node.path)?;
        let is_directory = matches!(node.what, What::Directory);
        let is_kept = self.clear(&parent, &name, &node.path, is_directory)?;
        let call = |call: &'static str| {
            let path = node.path.clone();
            move || format!("{call}({})", short(&path))
        };
        let mut entry = Entry::link(&node.path, Path::new(""), Why::From);
        entry.mode = attributes.mode;
        match node.what {
            What::LeftOut(_) => {}
            What::Directory => {
                if !is_kept {
                    mkdirat(&parent, &name, Mode::from(0o700)).call(call("mkdir"))?;
                }
                self.directories.insert(node.path.clone(), attributes);
                entry.kind = Kind::Directory;
            }
            What::File(reader, bytes) => {
                let file = create(&parent, &name).call(call("open"))?;
                self.write(reader, &file, bytes, &node.path)?;
                self.finish_file(&file, &node.path, &node.xattrs, attributes, &mut entry)?;
            }
            What::Copy(source, metadata) => {
                let file = create(&parent, &name).call(call("open"))?;
                let copied = self.copier.copy(source, metadata, &file, self.progress);
                copied.call(call("copy_file_range"))?;
                self.finish_file(&file, &node.path, &node.xattrs, attributes, &mut entry)?;
            }
            What::Hard(first) => {
                let its_name = first.file_name().unwrap_or_default().to_owned();
                let its_parent = self.existing_parent(&first)?;
                linkat(&its_parent, &its_name, &parent, &name, AtFlags::empty())
                    .call(call("link"))?;
                // A name of a link is a link.
                let known = self.entries.get(&first).cloned();
                entry = known.unwrap_or(entry);
                if matches!(entry.kind, Kind::File) {
                    entry.kind = Kind::Hard(first);
                }
                entry.path.clone_from(&node.path);
            }
            What::Link(target) => {
                symlinkat(&target, &parent, &name).call(call("symlink"))?;
                self.own(&parent, &name, attributes)?;
                entry.kind = Kind::Link(target);
                entry.mode = 0o777;
            }
            What::Fifo => {
                let mode = Mode::from(attributes.mode & 0o777);
                mknodat(&parent, &name, FileType::Fifo, mode, 0).call(call("mknod"))?;
                self.own(&parent, &name, attributes)?;
                entry.kind = Kind::Other("fifo".into());
                entry.mode = attributes.mode & 0o777;
            }
        }
        entry.source = Some(self.source.to_owned());
        self.entries.insert(node.path, entry);
        Ok(())
    }

    fn clamped(&self, mtime: (i64, u64)) -> (i64, u64) {
        match self.manner.newest {
            Some(newest) if mtime.0 >= newest => (newest, 0),
            _ => mtime,
        }
    }

    /// Opens the directory above `path`, made with those above it where it is missing.
    fn parent(&mut self, path: &Path) -> Result<OwnedFd, SysError> {
        let above = path.parent().unwrap_or(Path::new("/"));
        if let Some((last, fd)) = &self.last
            && last == above
        {
            return fd.try_clone().call(|| "fcntl(F_DUPFD)".into());
        }
        let fd = self.root.make_directory(above)?;
        let copy = fd.try_clone().call(|| "fcntl(F_DUPFD)".into())?;
        self.last = Some((above.to_owned(), copy));
        Ok(fd)
    }

    pub(super) fn existing_parent(&self, path: &Path) -> Result<OwnedFd, SysError> {
        self.root.directory(path.parent().unwrap_or(Path::new("/")))
    }

    /// Makes room for a new `name`. True: a directory is there, and one is wanted.
    fn clear(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
        for_directory: bool,
    ) -> Result<bool, Error> {
        let call = || format!("unlink({})", short(path));
        let there = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(false),
            answer => FileType::from_raw_mode(answer.call(call)?.st_mode),
        };
        if there == FileType::Directory && for_directory {
            return Ok(true);
        }
        self.remove(parent, name, path)?;
        Ok(false)
    }

    /// Removes `name` and what is below it.
    pub(super) fn remove(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
    ) -> Result<(), Error> {
        self.last = None;
        tree::remove_entry(parent, name, Path::new(&short(path)))?;
        self.forget(path);
        Ok(())
    }

    /// What is no longer there is in no manifest.
    fn forget(&mut self, path: &Path) {
        let below: Vec<PathBuf> = self
            .entries
            .range(path.to_owned()..)
            .map(|(below, _)| below.clone())
            .take_while(|below| below.starts_with(path))
            .collect();
        for path in below {
            self.entries.remove(&path);
            self.directories.remove(&path);
        }
    }

    /// A large file that cannot fit is refused before it fills the disk.
    fn has_room(&self, file: &File, bytes: u64, path: &Path) -> Result<(), Error> {
        if bytes <= BUFFER as u64 {
            return Ok(());
        }
        let disk = fstatvfs(file).call(|| "fstatvfs".into())?;
        if disk.f_blocks > 0 && bytes > disk.f_bavail.saturating_mul(disk.f_frsize) {
            let error = SysError::new(format!("write({})", short(path)), Errno::ENOSPC);
            return Err(error.hint("it is larger than what is free").into());
        }
        Ok(())
    }

    fn write(
        &mut self,
        reader: &mut dyn Read,
        file: &File,
        bytes: u64,
        path: &Path,
    ) -> Result<(), Error> {
        use std::io::Write;
        self.has_room(file, bytes, path)?;
        let mut left = bytes;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let read = match reader.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(self.fail(path, "is cut short")),
                Ok(read) => read,
                Err(error) => return Err(self.fail(path, &reason(&error))),
            };
            (&*file)
                .write_all(&self.buffer[..read])
                .call(|| format!("write({})", short(path)))?;
            self.progress.add(read as u64);
            left -= read as u64;
        }
        Ok(())
    }

    pub(super) fn notice(&mut self, what: &'static str, path: &Path) {
        self.notices.entry(what).or_default().push(path.to_owned());
    }

    /// Sets what waits for the end; what was made.
    pub(super) fn finish(self) -> Result<Laid, Error> {
        // The deepest first: a directory without rights for us has what it should have below it by then.
        for (path, attributes) in self.directories.iter().rev() {
            let directory = self.root.directory(path)?;
            if self.is_root {
                let (user, group) = attributes.owner;
                fchown(
                    directory.as_fd(),
                    Some(Uid::from_raw(user)),
                    Some(Gid::from_raw(group)),
                )
                .map_err(|errno| owner_error(path, errno))?;
            }
            fchmod(&directory, Mode::from(attributes.mode))
                .call(|| format!("chmod({})", short(path)))?;
            futimens(&directory, &times(attributes.mtime))
                .call(|| format!("utimensat({})", short(path)))?;
        }
        let source = self.source.display();
        let line = |(what, paths): (&&str, &Vec<PathBuf>)| {
            let names: Vec<String> = paths.iter().take(NAMES).map(|path| short(path)).collect();
            let more = match paths.len().saturating_sub(NAMES) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("mkbox: {source}: {what}: {}{more}", names.join(", "))
        };
        let notices = match self.manner.is_quiet {
            true => Vec::new(),
            false => self.notices.iter().map(line).collect(),
        };
        Ok(Laid {
            entries: self.entries.into_values().collect(),
            notices,
        })
    }
}

fn create(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<File> {
    Root::create(parent, name, 0o600)
}

/// The path in the box that the name of an archive's member means: as if the box were `/`.
///
/// # Errors
/// It goes up, or no file can be called so.
pub(super) fn clean(name: &[u8]) -> Result<PathBuf, &'static str> {
    if name.contains(&0) {
        return Err("has a NUL in its name");
    }
    let mut path = PathBuf::from("/");
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("has .. in its name"),
            part => path.push(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(part)),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_box_or_none() {
        let clean = |name: &str| clean(name.as_bytes()).map(|path| path.display().to_string());
        assert_eq!(clean("./a//b/.").as_deref(), Ok("/a/b"));
        assert_eq!(clean("/etc/passwd").as_deref(), Ok("/etc/passwd"));
        assert_eq!(clean("./").as_deref(), Ok("/"));
        assert_eq!(clean("a/../../b"), Err("has .. in its name"));
        assert_eq!(clean("a\0b"), Err("has a NUL in its name"));
    }
}
