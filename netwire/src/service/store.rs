//! What services there are, as they were wanted: what the table is made of again when somebody flushed it.
//!
//! `.services/log` beside the indexes has a line of JSON for each; of two with the same name the later counts, and one with
//! `gone` says that there is none any more. A call adds lines and reads only what it has to: a service among 10 000 is added as
//! fast as the first. The file `at-work` is there while the table is changed: who finds it makes the table anew.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memchr::memmem;
use nix::errno::Errno;
use record::names;
use serde::Deserialize;
use sys::{Call, SysError, ToErrno};

use super::definition::Service;
use super::name::Name;
use crate::error::Error;

/// Beside the indexes; no id begins with a dot.
const DIR: &str = ".services";
const LOG: &str = "log";
const AT_WORK: &str = "at-work";
/// How each line begins.
const BEGIN: &[u8] = b"{\"name\":\"";
/// Lines that count for nothing are cleared away when they are more than the others and this.
const SLACK: usize = 64 << 10;

/// A service that is no more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gone {
    #[serde(rename = "name")]
    _name: Name,
    #[serde(rename = "gone")]
    _gone: bool,
}

/// The directory, locked until this value goes.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    /// The directory itself, flock(2)ed.
    _lock: File,
    log: Vec<u8>,
}

impl Store {
    /// Made if it is not there.
    pub(crate) fn make() -> Result<Self, Error> {
        let dir = names::run_dir().join(DIR);
        loop {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            made.call(|| format!("mkdir({})", dir.display()))?;
            if let Some(store) = Self::open()? {
                return Ok(store);
            }
        }
    }

    /// None: there are no services.
    pub(crate) fn open() -> Result<Option<Self>, Error> {
        let dir = names::run_dir().join(DIR);
        loop {
            let open = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
                .open(&dir);
            let lock = match open {
                Ok(lock) => lock,
                Err(error) if error.to_errno() == Errno::ENOENT => return Ok(None),
                Err(error) => {
                    return Err(SysError::new(format!("open({})", dir.display()), error).into());
                }
            };
            lock.lock().call(|| format!("flock({})", dir.display()))?;
            // Who had it before us may have removed it, and another made it anew.
            if is_still(&lock, &dir) {
                let log = read(&dir.join(LOG))?;
                return Ok(Some(Self {
                    dir,
                    _lock: lock,
                    log,
                }));
            }
        }
    }

    /// The same for who only looks and does not wait for who is at work.
    pub(crate) fn look() -> Result<Vec<Service>, Error> {
        let dir = names::run_dir().join(DIR);
        services(&read(&dir.join(LOG))?)
    }

    /// Whether somebody was killed while he changed the table.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.dir.join(AT_WORK).exists()
    }

    /// No services, as far as this tells.
    pub(crate) fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// All services.
    pub(crate) fn all(&self) -> Result<Vec<Service>, Error> {
        services(&self.log)
    }

    /// Those of these names.
    pub(crate) fn find<'a>(
        &self,
        names: impl ExactSizeIterator<Item = &'a Name>,
    ) -> Result<HashMap<Name, Service>, Error> {
        let mut found = HashMap::new();
        if names.len() < 8 {
            for name in names {
                if let Some(service) = self.last(name)? {
                    found.insert(name.clone(), service);
                }
            }
            return Ok(found);
        }
        let lines = by_name(&self.log);
        for name in names {
            if let Some(service) = lines
                .get(name.as_ref().as_bytes())
                .and_then(|line| parse(line).transpose())
            {
                found.insert(name.clone(), service?);
            }
        }
        Ok(found)
    }

    fn last(&self, name: &Name) -> Result<Option<Service>, Error> {
        let begin = [BEGIN, name.as_ref().as_bytes(), b"\""].concat();
        let last = memmem::find_iter(&self.log, &begin)
            .filter(|&at| at == 0 || self.log[at - 1] == b'\n')
            .last();
        let line = last.map(|at| line_at(&self.log, at));
        line.map_or(Ok(None), parse)
    }

    /// Services whose line has one of these texts in it.
    pub(crate) fn that_mention(&self, texts: &[String]) -> Result<Vec<Service>, Error> {
        let finders: Vec<_> = texts.iter().map(memmem::Finder::new).collect();
        let lines = by_name(&self.log).into_values();
        let mention = |line: &&[u8]| finders.iter().any(|finder| finder.find(line).is_some());
        let found = lines.filter(mention).map(parse);
        found.filter_map(Result::transpose).collect()
    }

    /// Says that the table is about to be changed.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        let path = self.dir.join(AT_WORK);
        File::create(&path).call(|| format!("open({})", path.display()))?;
        Ok(())
    }

    /// The table is as the log says.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        let path = self.dir.join(AT_WORK);
        Ok(gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?)
    }

    /// Writes what is about to be, and says how long the log was before.
    pub(crate) fn append(&mut self, services: &[Service]) -> Result<usize, Error> {
        let before = self.log.len();
        let mut lines = Vec::with_capacity(services.len() * 192);
        for service in services {
            // A map whose keys are text, written to memory: there is nothing to fail.
            let _ = serde_json::to_writer(&mut lines, service);
            lines.push(b'\n');
        }
        self.write(&lines)?;
        Ok(before)
    }

    /// Writes that these are no more, and clears the log of what counts for nothing; the last takes all along.
    pub(crate) fn forget<'a>(mut self, names: impl Iterator<Item = &'a Name>) -> Result<(), Error> {
        let mut lines = Vec::new();
        for name in names {
            lines.extend([BEGIN, name.as_ref().as_bytes(), b"\",\"gone\":true}\n"].concat());
        }
        self.write(&lines)?;
        self.tidy()
    }

    /// Back to what it was before [`Store::append`].
    pub(crate) fn take_back(&mut self, length: usize) -> Result<(), Error> {
        self.log.truncate(length);
        let path = self.dir.join(LOG);
        let file = OpenOptions::new().write(true).open(&path);
        let cut = file.and_then(|file| file.set_len(length as u64));
        cut.call(|| format!("truncate({})", path.display()))?;
        self.finish()
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Error> {
        let path = self.dir.join(LOG);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path);
        let written = file.and_then(|mut file| {
            let written = file.write_all(lines);
            if written.is_err() {
                // half a line would be read as none
                let _ = file.set_len(self.log.len() as u64);
            }
            written
        });
        written.call(|| format!("write({})", path.display()))?;
        self.log.extend(lines);
        Ok(())
    }

    /// Removes what counts for nothing.
    pub(crate) fn tidy(self) -> Result<(), Error> {
        let lines = by_name(&self.log);
        let live = |line: &&&[u8]| !matches!(parse(line), Ok(None));
        let bytes: usize = lines.values().map(|line| line.len() + 1).sum();
        let path = self.dir.join(LOG);
        if lines.values().find(live).is_none() {
            for name in [LOG, AT_WORK] {
                let path = self.dir.join(name);
                gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?;
            }
            gone(fs::remove_dir(&self.dir)).call(|| format!("rmdir({})", self.dir.display()))?;
            if std::env::var_os("CHROOT0_RUN").is_none() {
                let _ = fs::remove_dir(names::run_dir());
            }
        } else if self.log.len() > 2 * bytes + SLACK {
            let mut kept: Vec<&[u8]> = lines.into_values().collect();
            kept.retain(|line| !matches!(parse(line), Ok(None)));
            // in the order in which they are there
            kept.sort_unstable_by_key(|line| line.as_ptr());
            let new = self.dir.join("log.new");
            let text = [kept.join(&b'\n').as_slice(), b"\n"].concat();
            fs::write(&new, text).call(|| format!("write({})", new.display()))?;
            fs::rename(&new, &path)
                .call(|| format!("rename({}, {})", new.display(), path.display()))?;
        }
        Ok(())
    }
}

/// The content; empty: there is no such file.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    match fs::read(path) {
        Err(error) if error.to_errno() == Errno::ENOENT => Ok(Vec::new()),
        answer => Ok(answer.call(|| format!("open({})", path.display()))?),
    }
}

fn line_at(log: &[u8], at: usize) -> &[u8] {
    let rest = &log[at..];
    &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())]
}

/// The last line of each name.
fn by_name(log: &[u8]) -> HashMap<&[u8], &[u8]> {
    let mut lines = HashMap::with_capacity(log.len() / 150);
    let mut at = 0;
    while at < log.len() {
        let line = line_at(log, at);
        let name = line.strip_prefix(BEGIN).unwrap_or_default();
        let name = &name[..memchr::memchr(b'"', name).unwrap_or(0)];
        lines.insert(name, line);
        at += line.len() + 1;
    }
    lines
}

/// What a line says; None: that there is no such service.
fn parse(line: &[u8]) -> Result<Option<Service>, Error> {
    match serde_json::from_slice(line) {
        Ok(service) => Ok(Some(service)),
        Err(_) if serde_json::from_slice::<Gone>(line).is_ok() => Ok(None),
        Err(why) => {
            let path = names::run_dir().join(DIR).join(LOG);
            Err(Error::failed(format!("{}: {why}", path.display())))
        }
    }
}

fn services(log: &[u8]) -> Result<Vec<Service>, Error> {
    let mut lines: Vec<&[u8]> = by_name(log).into_values().collect();
    lines.sort_unstable_by_key(|line| line.as_ptr());
    lines
        .into_iter()
        .filter_map(|line| parse(line).transpose())
        .collect()
}

fn is_still(held: &File, path: &Path) -> bool {
    match (held.metadata(), fs::symlink_metadata(path)) {
        (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// "Already gone" is as good as done.
fn gone(answer: std::io::Result<()>) -> std::io::Result<()> {
    match answer {
        Err(error) if error.to_errno() == Errno::ENOENT => Ok(()),
        answer => answer,
    }
}
