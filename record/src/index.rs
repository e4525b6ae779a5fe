//! What is known of a pod beside its record: `/run/chroot0/ID/`.
//!
//! A tool writes here what it is about to make before it makes it, so that nothing made is ever nameless. The
//! directory is locked while one `up` or `down` of that id is at work. Everything named in it is gone when the
//! machine goes down, the directory of most systems included; so writes are atomic, and not flushed to a disk.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use serde_json::Value;
use sys::{Call, SysError, ToErrno, gone, is_still};

use crate::{Error, Id, Record, TOOLS, names};

/// How long an `up` or `down` waits for another of the same id; a `nsrun down` with its grace fits in.
const PATIENCE: Duration = Duration::from_secs(60);

/// Key of the index (never of a record): the tools that were at work when it was last written.
pub(crate) const PENDING: &str = "chroot0.pending";

/// The directory of one id, locked until this value goes.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    /// The directory itself, flock(2)ed; close-on-exec, so no child holds the lock.
    _lock: File,
}

impl Index {
    /// Of `id`, made if it is not there; and what it holds.
    pub(crate) fn create(id: &Id) -> Result<(Self, Option<Record>), Error> {
        let answer = Self::make(id);
        if answer.is_err() {
            remove_run_dir();
        }
        answer
    }

    fn make(id: &Id) -> Result<(Self, Option<Record>), Error> {
        let run_dir = names::run_dir();
        let path = run_dir.join(id.as_ref());
        loop {
            make_run_dir(&run_dir)?;
            let made = match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => true,
                Err(error) if error.to_errno() == Errno::EEXIST => false,
                // The last `down` took the directory above away.
                Err(error) if error.to_errno() == Errno::ENOENT => continue,
                Err(error) => {
                    return Err(SysError::new(format!("mkdir({})", path.display()), error).into());
                }
            };
            let opened = Self::open(id).and_then(|index| match index {
                Some(index) => index.read().map(|before| Some((index, before))),
                None => Ok(None),
            });
            match opened {
                Ok(Some(opened)) => return Ok(opened),
                Ok(None) => {}
                Err(error) => {
                    if made {
                        let _ = fs::remove_dir(&path);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Of `id`, if there is one.
    pub(crate) fn open(id: &Id) -> Result<Option<Self>, Error> {
        let path = names::run_dir().join(id.as_ref());
        let until = Instant::now() + PATIENCE;
        loop {
            let open = fs::OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
                .open(&path);
            let dir = match open {
                Ok(dir) => dir,
                Err(error) if error.to_errno() == Errno::ENOENT => return Ok(None),
                Err(error) => {
                    return Err(SysError::new(format!("open({})", path.display()), error).into());
                }
            };
            match dir.try_lock() {
                // Who had the lock before us may have removed the directory and another made it anew.
                Ok(()) if is_still(&dir, &path) => return Ok(Some(Self { path, _lock: dir })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(TryLockError::WouldBlock) => {
                    let call = format!("flock({})", path.display());
                    let error = SysError::new(call, Errno::EWOULDBLOCK);
                    return Err(error
                        .hint("another up or down of this id is at work")
                        .into());
                }
                Err(TryLockError::Error(error)) => {
                    return Err(SysError::new(format!("flock({})", path.display()), error).into());
                }
            }
        }
    }

    /// The record as last written; None when a tool was killed before it wrote the first.
    pub(crate) fn read(&self) -> Result<Option<Record>, Error> {
        read(&self.path.join("record.json"))
    }

    /// Replaces the record.
    pub(crate) fn write(&self, record: &Record) -> Result<(), Error> {
        let (new, path) = (
            self.path.join("record.json.new"),
            self.path.join("record.json"),
        );
        let written = File::create(&new)
            .call(|| format!("open({})", new.display()))
            .and_then(|mut file| {
                let line = record.to_line();
                file.write_all(line.as_bytes())
                    .call(|| format!("write({})", new.display()))
            })
            .and_then(|()| {
                let call = || format!("rename({}, {})", new.display(), path.display());
                fs::rename(&new, &path).call(call)
            });
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        Ok(written?)
    }

    /// Writes `record` while any tool has something in it, else removes the directory.
    pub(crate) fn write_or_remove(self, record: &Record) -> Result<(), Error> {
        if TOOLS.iter().any(|tool| record.get(tool).is_some()) {
            return self.write(record);
        }
        for name in ["record.json.new", "record.json"] {
            let path = self.path.join(name);
            gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?;
        }
        // What else is in it is of whoever put it there, as the script pod(1) does, and goes with him.
        match gone(fs::remove_dir(&self.path)) {
            Err(error) if error.to_errno() == Errno::ENOTEMPTY => return Ok(()),
            answer => answer.call(|| format!("rmdir({})", self.path.display()))?,
        }
        remove_run_dir();
        Ok(())
    }
}

/// The last pod takes the directory of all indexes along; while there are others it stays, and a chosen one is not ours.
pub(crate) fn remove_run_dir() {
    if std::env::var_os("CHROOT0_RUN").is_none() {
        let _ = fs::remove_dir(names::run_dir());
    }
}

/// What the index has of `id`, without waiting for who is at work. None: nothing.
///
/// # Errors
/// It cannot be read.
pub fn indexed(id: &Id) -> Result<Option<Record>, Error> {
    let found = peek(id)?;
    Ok(found.map(|mut record| {
        record.remove(PENDING);
        record
    }))
}

/// Every id that the index has a record of, in order, without waiting for who is at work.
///
/// # Errors
/// The directory is there and cannot be read.
pub fn ids() -> Result<Vec<Id>, Error> {
    let dir = names::run_dir();
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.to_errno() == Errno::ENOENT => return Ok(Vec::new()),
        entries => entries.call(|| format!("opendir({})", dir.display()))?,
    };
    let mut ids: Vec<Id> = Vec::new();
    for entry in entries {
        let entry = entry.call(|| format!("getdents({})", dir.display()))?;
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let path = entry.path().join("record.json");
        match fs::symlink_metadata(&path) {
            Ok(_) => ids.push(id),
            // Killed before its first write: nothing was made yet.
            Err(error) if [Errno::ENOENT, Errno::ENOTDIR].contains(&error.to_errno()) => {}
            Err(error) => {
                return Err(SysError::new(format!("stat({})", path.display()), error).into());
            }
        }
    }
    ids.sort();
    Ok(ids)
}

/// The record of `id` without taking the lock.
fn peek(id: &Id) -> Result<Option<Record>, Error> {
    read(&names::run_dir().join(id.as_ref()).join("record.json"))
}

fn read(path: &Path) -> Result<Option<Record>, Error> {
    match fs::read(path) {
        // A machine that went down can leave the name without the content; what it named is gone with it.
        Ok(bytes) if bytes.is_empty() => Ok(None),
        Ok(bytes) => match Record::parse(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(problem) => Err(Error::Failed(format!(
                "{}: {problem} (damaged: remove it, and down takes the pod's record instead)",
                path.display()
            ))),
        },
        Err(error) if error.to_errno() == Errno::ENOENT => Ok(None),
        Err(error) => Err(SysError::new(format!("open({})", path.display()), error).into()),
    }
}

/// Makes the directory of all indexes, for its owner alone.
fn make_run_dir(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.call(|| format!("mkdir({})", path.display()))
        .map_err(|error| match error.errno {
            Errno::EACCES | Errno::EROFS => error.hint(crate::check::RUN_DIR_HINT),
            _ => error,
        })?;
    let call = || format!("stat({})", path.display());
    let found = fs::symlink_metadata(path).call(call)?;
    if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(Error::Failed(format!(
            "{} is not a directory of ours (CHROOT0_RUN names another)",
            path.display()
        )));
    }
    if found.mode() & 0o022 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .call(|| format!("chmod({})", path.display()))?;
    }
    Ok(())
}

/// `record` with what every tool has in the index `before`, and nothing else of theirs: their keys come only from their
/// own hand, because who finds no record of an `up` has nothing to take down.
pub(crate) fn with_their_keys(mut record: Record, before: Option<&Record>) -> Record {
    record.remove("failed");
    record.remove(PENDING);
    for tool in TOOLS {
        match before.and_then(|before| before.get(tool)) {
            Some(theirs) => record.set(tool, theirs.clone()),
            None => drop(record.remove(tool)),
        }
    }
    record
}

/// A record of the index, when `tool` has nothing in it any more.
pub(crate) fn without(tool: &str, mut indexed: Record) -> Record {
    indexed.remove(tool);
    at_rest(tool, indexed)
}

/// A record of the index, when `tool` is not at work any more.
pub(crate) fn at_rest(tool: &str, mut indexed: Record) -> Record {
    let pending = indexed.remove(PENDING);
    let others = pending
        .iter()
        .filter_map(Value::as_array)
        .flatten()
        .filter(|name| **name != tool);
    let others: Vec<Value> = others.cloned().collect();
    if !others.is_empty() {
        indexed.set(PENDING, others.into());
    }
    indexed
}

pub(crate) fn is_pending(index: Option<&Record>, tool: &str) -> bool {
    let pending = index
        .and_then(|index| index.get(PENDING))
        .and_then(Value::as_array);
    pending.is_some_and(|tools| tools.iter().any(|name| name == tool))
}

/// What the index says of one tool and one id, to somebody who does not wait for its lock.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// This tool has nothing there.
    Nothing,
    /// An `up` is at work, was killed, or the index cannot be read: there may be something.
    Unfinished,
    /// What a finished `up` made.
    Up(Value),
}

/// What the index says of `tool` and `id`.
#[must_use]
pub fn known(tool: &str, id: &Id) -> Known {
    try_known(tool, id).unwrap_or(Known::Unfinished)
}

/// The same to somebody who must not pass over what cannot be read.
///
/// # Errors
/// A system call failed; a damaged record is [`Known::Unfinished`].
pub fn try_known(tool: &str, id: &Id) -> Result<Known, Error> {
    match peek(id) {
        Ok(Some(indexed)) if is_pending(Some(&indexed), tool) => Ok(Known::Unfinished),
        Ok(Some(indexed)) => Ok(indexed
            .get(tool)
            .map_or(Known::Nothing, |state| Known::Up(state.clone()))),
        Ok(None) => {
            let dir = names::run_dir().join(id.as_ref());
            match fs::symlink_metadata(&dir) {
                Ok(_) => Ok(Known::Unfinished),
                Err(error) if error.to_errno() == Errno::ENOENT => Ok(Known::Nothing),
                Err(error) => Err(SysError::new(format!("stat({})", dir.display()), error).into()),
            }
        }
        Err(error @ Error::Sys(_)) => Err(error),
        Err(_) => Ok(Known::Unfinished),
    }
}
