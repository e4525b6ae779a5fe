//! Makes what a plan says in an empty box.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{AtFlags, SeekFrom, fgetxattr_query, ftruncate, linkat, seek};
use sys::{Call, SysError};

use crate::closure::BoxFile;
use crate::host::open_regular;
use crate::plan::{Arrow, Plan, Step};
use crate::root::{PointKind, Root};

/// Fills the box behind `root`; how many files and bytes that were. With `arrows`, the name of the box as the user
/// wrote it, each copy is told on stderr.
///
/// # Errors
/// The first call that fails, a full file system among them. What is made stays: the caller undoes it.
pub(crate) fn fill(root: &Root, plan: &Plan, arrows: Option<&str>) -> Result<(u64, u64), SysError> {
    let mut filler = Filler {
        root,
        directories: HashMap::new(),
        placeholder: None,
    };
    let (mut files, mut bytes) = (0, 0);
    for step in &plan.steps {
        match step {
            Step::File(file) => {
                bytes += filler.file(file, arrows.is_some())?;
                files += 1;
                if let Some(shown) = arrows {
                    say(&Arrow { file, root: shown }.to_string());
                }
            }
            Step::Point(path, kind) => filler.point(path, *kind)?,
            Step::Program(path) => filler.program(path)?,
        }
    }
    Ok((files, bytes))
}

/// One line of talk. A stderr that takes none is the user's wish.
fn say(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

struct Filler<'a> {
    root: &'a Root,
    /// The few directories of a box, open.
    directories: HashMap<PathBuf, OwnedFd>,
    /// An empty file for programs to be mounted on.
    placeholder: Option<PathBuf>,
}

impl Filler<'_> {
    fn file(&mut self, file: &BoxFile, tell: bool) -> Result<u64, SysError> {
        let call = |name: &str| format!("{name}({})", self.root.show(&file.destination));
        let name = file
            .destination
            .file_name()
            .ok_or(Errno::EINVAL)
            .call(|| call("open"))?;
        if let Some(first) = &file.same_as {
            self.directory(file)?;
            return self
                .link(first, &file.destination)
                .call(|| call("link"))
                .map(|()| 0);
        }
        let source = open_regular(&file.source)?;
        let directory = self.directory(file)?;
        let target = Root::create(directory, name, file.mode).call(|| call("open"))?;
        if tell {
            tell_dropped(file, &source);
        }
        copy(&source, &target).map_err(|errno| SysError::new(call("copy_file_range"), errno))
    }

    /// The directory in which `file` lies, made when it is not there.
    fn directory(&mut self, file: &BoxFile) -> Result<&OwnedFd, SysError> {
        self.open_directory(file.destination.parent().unwrap_or(Path::new("/")))
    }

    fn open_directory(&mut self, path: &Path) -> Result<&OwnedFd, SysError> {
        if !self.directories.contains_key(path) {
            let directory = self.root.make_directory(path)?;
            self.directories.insert(path.to_owned(), directory);
        }
        Ok(&self.directories[path])
    }

    /// What something will be mounted on, unless it is there.
    fn point(&mut self, path: &Path, kind: PointKind) -> Result<(), SysError> {
        self.root.mount_point(path, kind).map(drop)
    }

    /// What a program will be mounted on. A name costs a file system less than a file, and there are some sixty of them.
    fn program(&mut self, path: &Path) -> Result<(), SysError> {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        if self.open_directory(above).is_err() {
            // A link of the box is on the way.
            return self.point(path, PointKind::File);
        }
        let made = match &self.placeholder {
            Some(first) => self.link(first, path),
            None => Root::create(&self.directories[above], name, 0o644).map(drop),
        };
        match made {
            Ok(()) if self.placeholder.is_none() => {
                self.placeholder = Some(path.to_owned());
                Ok(())
            }
            Ok(()) => Ok(()),
            // It is there, or the file system has no such names.
            Err(_) => self.point(path, PointKind::File),
        }
    }

    /// Gives the copy at `first` a second name. The directories of both are open by now.
    fn link(&self, first: &Path, second: &Path) -> rustix::io::Result<()> {
        let split = |path: &'_ Path| {
            Some((
                self.directories.get(path.parent()?)?,
                path.file_name()?.to_owned(),
            ))
        };
        let (first, second) = split(first)
            .zip(split(second))
            .ok_or(rustix::io::Errno::NOENT)?;
        linkat(first.0, &first.1, second.0, &second.1, AtFlags::empty())
    }
}

/// Rights that a program has here and its copy has not.
fn tell_dropped(file: &BoxFile, source: &File) {
    let bits = [(0o4000, "set-user-ID bit"), (0o2000, "set-group-ID bit")];
    let mut dropped: Vec<&str> = bits
        .iter()
        .filter(|(bit, _)| file.mode & bit != 0)
        .map(|&(_, name)| name)
        .collect();
    if fgetxattr_query(source, c"security.capability").is_ok() {
        dropped.push("file capabilities");
    }
    if !dropped.is_empty() {
        say(&format!(
            "mkbox: {}: {} dropped",
            file.source.display(),
            dropped.join(", ")
        ));
    }
}

/// Copies the contents, in the kernel where it can: copy_file_range(2) shares the blocks where the file system does,
/// sendfile(2) and read(2) stand in where it does not. Holes stay holes.
fn copy(source: &File, target: &File) -> io::Result<u64> {
    let metadata = source.metadata()?;
    if metadata.blocks() * 512 >= metadata.size() {
        return io::copy(&mut &*source, &mut &*target);
    }
    let bytes = metadata.size();
    let mut at = 0;
    while at < bytes {
        let begin = match seek(source, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // No data up to the end.
            Err(rustix::io::Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = seek(source, SeekFrom::Hole(begin))?;
        seek(source, SeekFrom::Start(begin))?;
        seek(target, SeekFrom::Start(begin))?;
        let copied = io::copy(&mut source.take(end - begin), &mut &*target)?;
        if copied < end - begin {
            // The file has become shorter.
            break;
        }
        at = end;
    }
    ftruncate(target, bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn memory(name: &str) -> File {
        rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)
            .unwrap()
            .into()
    }

    #[test]
    fn holes_stay_holes_and_data_stays_where_it_was() {
        let (source, target) = (memory("source"), memory("target"));
        source.set_len(8 << 20).unwrap();
        source.write_all_at(b"head", 0).unwrap();
        source.write_all_at(b"middle", (4 << 20) + 17).unwrap();
        assert_eq!(copy(&source, &target).unwrap(), 8 << 20);
        let (from, to) = (source.metadata().unwrap(), target.metadata().unwrap());
        assert_eq!((from.size(), from.blocks()), (to.size(), to.blocks()));
        let mut bytes = [0; 6];
        target.read_exact_at(&mut bytes, (4 << 20) + 17).unwrap();
        assert_eq!(&bytes, b"middle");
    }

    #[test]
    fn a_dense_file_is_copied_whole() {
        let (source, target) = (memory("source"), memory("target"));
        let text: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        source.write_all_at(&text, 0).unwrap();
        assert_eq!(copy(&source, &target).unwrap(), text.len() as u64);
        let mut copied = vec![0; text.len()];
        target.read_exact_at(&mut copied, 0).unwrap();
        assert_eq!(copied, text);
    }
}
