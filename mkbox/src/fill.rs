//! Makes what a plan says in an empty box.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use foldhash::HashMap;
use nix::errno::Errno;
use rustix::fs::{AtFlags, Mode, XattrFlags, fchmod, fchown, fgetxattr, fsetxattr, linkat};
use sys::{Call, SysError};

use crate::TOOL;
use crate::boxfile::{BoxFile, Why};
use crate::copy::Copier;
use crate::manifest::{Entry, Kind};
use crate::origin::Origin;
use crate::plan::{Arrow, Plan, Step};
use crate::progress::Progress;
use crate::root::{PointKind, Root};
use crate::tree;

/// Threads that copy: more of them wait for each other.
const THREADS: usize = 4;
/// Below that one thread is done before another has begun.
const WORTH_A_THREAD: u64 = 4 << 20;
/// File capabilities are some 24 bytes.
const CAPABILITY_BYTES: usize = 256;
const CAPABILITY: &std::ffi::CStr = c"security.capability";

/// What was made.
pub(crate) struct Filled {
    pub(crate) entries: Vec<Entry>,
    /// What is to be said of it, a line each.
    pub(crate) notices: Vec<String>,
}

/// Those that are open, by path.
type Directories = HashMap<OsString, OwnedFd>;

/// One copy, and what is to be said of it.
type Copied = (Entry, Option<String>);

/// How a box is filled.
pub(crate) struct Filler<'a> {
    pub(crate) root: &'a Root,
    pub(crate) origin: &'a Origin,
    /// The name of the box as the user wrote it: each copy is told on stderr.
    pub(crate) arrows: Option<&'a str>,
    /// Nothing is told, not even which rights were dropped.
    pub(crate) is_quiet: bool,
    pub(crate) keep_privileges: bool,
    /// The box is not empty: what is there of the names that are made is replaced.
    pub(crate) has_base: bool,
}

impl Filler<'_> {
    /// Fills the box.
    ///
    /// # Errors
    /// The first call that fails, a full file system among them. What is made stays: the caller undoes it.
    pub(crate) fn fill(&self, plan: &Plan) -> Result<Filled, SysError> {
        let is_talking = self.is_quiet || self.arrows.is_some();
        let bytes = plan.files().map(|file| file.bytes).sum();
        let progress = Progress::new(Some(bytes), !is_talking);
        let mut directories = Directories::default();
        let mut files = Vec::new();
        let (mut later, mut programs) = (Vec::new(), Vec::new());
        let mut entries = Vec::with_capacity(plan.steps.len());
        // Directories and links first: they are quick, and the threads have nothing to make but files.
        for step in &plan.steps {
            match step {
                Step::File(file) => {
                    self.directory(&mut directories, &file.destination)?;
                    files.push(file);
                }
                Step::Link(path, target, why) => {
                    self.clear(path, &mut directories)?;
                    let directory = self.directory(&mut directories, path)?;
                    let name = path.file_name().unwrap_or_default();
                    rustix::fs::symlinkat(target, directory, name)
                        .call(|| format!("symlink({})", self.root.show(path)))?;
                    entries.push(Entry::link(path, target, why.clone()));
                }
                Step::Point(path, kind @ PointKind::Directory) => {
                    entries.extend(self.point(path, *kind)?);
                }
                // On a copy that is there by then, or else on an empty file.
                Step::Point(path, PointKind::File) => later.push(path),
                Step::Program(path) => programs.push(path),
            }
        }
        let copies = Copies {
            filler: self,
            directories: &directories,
            files: files
                .iter()
                .copied()
                .filter(|file| file.same_as.is_none())
                .collect(),
            next: AtomicUsize::new(0),
            copier: Copier::default(),
            progress,
            answers: Mutex::default(),
        };
        let mut notices = Vec::new();
        for (entry, notice) in copies.run(bytes)? {
            entries.push(entry);
            notices.extend(notice);
        }
        for path in later {
            entries.extend(self.point(path, PointKind::File)?);
        }
        for file in files {
            entries.extend(self.second_name(file, &mut directories)?);
        }
        let mut placeholder = None;
        for path in programs {
            // As a copy would: a link of the base is not followed, and what it leads to not covered.
            if self.has_base && !plan.files().any(|file| file.destination == *path) {
                self.clear(path, &mut directories)?;
            }
            entries.extend(self.program(path, &mut directories, &mut placeholder)?);
        }
        Ok(Filled { entries, notices })
    }

    /// Makes room for what comes to `path`: what a base has there goes.
    fn clear(&self, path: &Path, directories: &mut Directories) -> Result<(), SysError> {
        if !self.has_base {
            return Ok(());
        }
        let directory = self.directory(directories, path)?;
        tree::remove_entry(directory, path.file_name().unwrap_or_default(), path)
    }

    /// Another name of a copy that is there.
    fn second_name(
        &self,
        file: &BoxFile,
        directories: &mut Directories,
    ) -> Result<Option<Entry>, SysError> {
        let Some(first) = &file.same_as else {
            return Ok(None);
        };
        self.clear(&file.destination, directories)?;
        link(directories, first, &file.destination)
            .call(|| format!("link({})", self.root.show(&file.destination)))?;
        let mut entry = Entry::file(file, self.origin);
        entry.kind = Kind::Hard(first.clone());
        self.tell(file);
        Ok(Some(entry))
    }

    /// What something will be mounted on; its entry, unless something is there: that has an entry or is on the way to one.
    fn point(&self, path: &Path, kind: PointKind) -> Result<Option<Entry>, SysError> {
        // Without a base all directories are of one kind.
        let may_be_there = self.has_base || kind == PointKind::File;
        let is_there = may_be_there && self.root.stat(path)?.is_some();
        self.root.mount_point(path, kind)?;
        Ok((!is_there).then(|| Entry::point(path, kind, Why::Mount)))
    }

    /// What a program will be mounted on. A name costs a file system less than a file, and there are some sixty of them;
    /// `placeholder` is the first.
    fn program(
        &self,
        path: &Path,
        directories: &mut Directories,
        placeholder: &mut Option<PathBuf>,
    ) -> Result<Option<Entry>, SysError> {
        let directory = self.directory(directories, path)?;
        let made = match &*placeholder {
            Some(first) => link(directories, first, path),
            None => {
                let name = path.file_name().unwrap_or_default();
                Root::create(directory, name, 0o644).map(drop)
            }
        };
        if made.is_err() {
            // It is there, a copy or of the base; or the file system has no such names.
            return self.point(path, PointKind::File);
        }
        let mut entry = Entry::point(path, PointKind::File, Why::Mount);
        match placeholder {
            Some(first) => entry.kind = Kind::Hard(first.clone()),
            None => *placeholder = Some(path.to_owned()),
        }
        Ok(Some(entry))
    }

    /// The directory in which `path` lies, made when it is not there.
    fn directory<'d>(
        &self,
        directories: &'d mut Directories,
        path: &Path,
    ) -> Result<&'d OwnedFd, SysError> {
        let above = path.parent().unwrap_or(Path::new("/"));
        if !directories.contains_key(above.as_os_str()) {
            let directory = self.root.make_directory(above)?;
            directories.insert(above.into(), directory);
        }
        Ok(&directories[above.as_os_str()])
    }

    fn tell(&self, file: &BoxFile) {
        if let Some(root) = self.arrows {
            let origin = self.origin;
            record::trace(TOOL, Arrow { file, root, origin });
        }
    }
}

/// The files that are copied, by several threads at once: each takes the next one that nobody has taken.
struct Copies<'a> {
    filler: &'a Filler<'a>,
    directories: &'a Directories,
    files: Vec<&'a BoxFile>,
    next: AtomicUsize,
    copier: Copier,
    progress: Progress,
    answers: Mutex<Vec<(usize, Result<Copied, SysError>)>>,
}

impl Copies<'_> {
    fn run(self, bytes: u64) -> Result<Vec<Copied>, SysError> {
        // What is told line by line is told in order. How many processors there are takes a dozen calls to find out.
        let threads = match self.filler.arrows {
            None if bytes > WORTH_A_THREAD => {
                let processors = std::thread::available_parallelism();
                processors.map_or(1, usize::from).min(THREADS)
            }
            _ => 1,
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                // Without another thread this one does it all.
                let _ = std::thread::Builder::new().spawn_scoped(scope, || self.work());
            }
            self.work();
        });
        let mut answers = self
            .answers
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        answers.sort_by_key(|&(at, _)| at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    fn work(&self) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = self.files.get(at) else {
                return;
            };
            let answer = self.one(file);
            if answer.is_err() {
                // The others stop at their next file.
                self.next.store(self.files.len(), Ordering::Relaxed);
            }
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.push((at, answer));
        }
    }

    fn one(&self, file: &BoxFile) -> Result<Copied, SysError> {
        let filler = self.filler;
        let call = |name: &str| format!("{name}({})", filler.root.show(&file.destination));
        let above = file.destination.parent().unwrap_or(Path::new("/"));
        let directory = self.directories.get(above.as_os_str()).ok_or(Errno::ENOENT);
        let directory = directory.call(|| call("open"))?;
        let name = file.destination.file_name().ok_or(Errno::EINVAL);
        let name = name.call(|| call("open"))?;
        if filler.has_base {
            tree::remove_entry(directory, name, &file.destination)?;
        }
        let (source, metadata) = filler.origin.open_known(&file.source)?;
        let target = Root::create(directory, name, file.mode).call(|| call("open"))?;
        let copied = self
            .copier
            .copy(&source, &metadata, &target, &self.progress);
        let bytes = copied.map_err(|errno| SysError::new(call("copy_file_range"), errno))?;
        let mut notice = None;
        let mut entry = Entry::file(file, filler.origin);
        entry.bytes = bytes;
        if filler.keep_privileges {
            entry.mode = keep_privileges(&source, &metadata, &target)
                .map_err(|errno| SysError::new(call("fchown"), errno))?;
        } else if !filler.is_quiet {
            notice = dropped(file, &source);
        }
        let stat = rustix::fs::fstat(&target).call(|| call("fstat"))?;
        entry.set_times(&stat);
        if filler.arrows.is_some()
            && let Some(line) = notice.take()
        {
            say(&line);
        }
        filler.tell(file);
        Ok((entry, notice))
    }
}

/// Gives the copy at `first` a second name. The directories of both are open by now.
fn link(directories: &Directories, first: &Path, second: &Path) -> rustix::io::Result<()> {
    let split = |path: &'_ Path| {
        let directory = directories.get(path.parent()?.as_os_str())?;
        Some((directory, path.file_name()?.to_owned()))
    };
    let both = split(first).zip(split(second));
    let (first, second) = both.ok_or(rustix::io::Errno::NOENT)?;
    linkat(first.0, &first.1, second.0, &second.1, AtFlags::empty())
}

/// One line of talk. A stderr that takes none is the user's wish.
pub(crate) fn say(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn capability(file: &File) -> Option<Vec<u8>> {
    let mut value = vec![0; CAPABILITY_BYTES];
    let bytes = fgetxattr(file, CAPABILITY, &mut value[..]).ok()?;
    value.truncate(bytes);
    Some(value)
}

/// Gives `target` the owner, all bits of the mode and the capabilities of `source`, in the order in which the kernel does
/// not take them back: a change of owner drops the others.
fn keep_privileges(source: &File, metadata: &Metadata, target: &File) -> io::Result<u32> {
    let (user, group) = (metadata.uid(), metadata.gid());
    fchown(
        target,
        Some(rustix::fs::Uid::from_raw(user)),
        Some(rustix::fs::Gid::from_raw(group)),
    )?;
    let mode = metadata.mode() & 0o7777;
    fchmod(target, Mode::from(mode))?;
    if let Some(value) = capability(source) {
        fsetxattr(target, CAPABILITY, &value, XattrFlags::empty())?;
    }
    Ok(mode)
}

/// Rights that a program has here and its copy has not.
fn dropped(file: &BoxFile, source: &File) -> Option<String> {
    let bits = [(0o4000, "set-user-ID bit"), (0o2000, "set-group-ID bit")];
    let dropped = bits.iter().filter(|(bit, _)| file.mode & bit != 0);
    let mut dropped: Vec<&str> = dropped.map(|&(_, name)| name).collect();
    if capability(source).is_some() {
        dropped.push("file capabilities");
    }
    let shown = file.source.display();
    let dropped = dropped.join(", ");
    (!dropped.is_empty()).then(|| format!("mkbox: {shown}: {dropped} dropped"))
}
