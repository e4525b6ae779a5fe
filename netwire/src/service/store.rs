//! What services there are, as they were wanted: what the table is made of again when somebody flushed it.
//!
//! In `.services` beside the indexes are sixteen logs, a service's by a hash of its name, with a line of JSON for each; of two
//! with the same name the later counts, and one with `gone` says that there is none any more. A call adds lines and reads only
//! what it has to: a service among 10 000 is added as fast as the first. The file `at-work` is there while the table is
//! changed: who finds it makes the table anew.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memchr::memmem;
use nix::errno::Errno;
use record::names;
use serde::Deserialize;
use sys::{Call, SysError, ToErrno, gone, is_still};

use super::definition::Service;
use super::name::Name;
use crate::error::Error;

/// Beside the indexes; no id begins with a dot.
const DIR: &str = ".services";
const LOGS: usize = 16;
const AT_WORK: &str = "at-work";
/// How each line begins.
const BEGIN: &[u8] = b"{\"name\":\"";
/// Lines that count for nothing are cleared away when they are more than the others and this.
const SLACK: usize = 4 << 10;

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
}

/// How long the logs were before something was added.
#[derive(Debug)]
pub(crate) struct Before(Vec<(usize, u64)>);

impl Store {
    /// Made if it is not there.
    pub(crate) fn make() -> Result<Self, Error> {
        let dir = names::run_dir().join(DIR);
        loop {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            let made = made.call(|| format!("mkdir({})", dir.display()));
            match made.map_err(Error::from).and_then(|()| Self::open()) {
                Ok(Some(store)) => return Ok(store),
                Ok(None) => {}
                Err(error) => {
                    // Made for nothing; it stays where others have something in it.
                    let _ = fs::remove_dir(&dir);
                    Self::tidy_above();
                    return Err(error);
                }
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
                return Ok(Some(Self { dir, _lock: lock }));
            }
        }
    }

    /// All services, for who only looks and does not wait for who is at work.
    pub(crate) fn look() -> Result<Vec<Service>, Error> {
        let dir = names::run_dir().join(DIR);
        let mut all = Vec::new();
        for number in 0..LOGS {
            all.extend(services(&read(&log(&dir, number))?)?);
        }
        Ok(all)
    }

    /// Whether somebody was killed while he changed the table.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.dir.join(AT_WORK).exists()
    }

    /// Whether no log has anything in it.
    pub(crate) fn is_empty(&self) -> bool {
        let length = |number| fs::metadata(log(&self.dir, number)).map_or(0, |log| log.len());
        (0..LOGS).all(|number| length(number) == 0)
    }

    /// All services.
    pub(crate) fn all(&self) -> Result<Vec<Service>, Error> {
        Self::look()
    }

    /// Those of these names.
    pub(crate) fn find<'a>(
        &self,
        names: impl Iterator<Item = &'a Name>,
    ) -> Result<HashMap<Name, Service>, Error> {
        let mut found = HashMap::new();
        for (number, names) in (0..).zip(by_log(names, |name| name)) {
            if names.is_empty() {
                continue;
            }
            let text = read(&log(&self.dir, number))?;
            if text.is_empty() {
                continue;
            }
            let lines = by_name(&text);
            for name in names {
                if let Some(line) = lines.get(name.as_ref().as_bytes())
                    && let Some(service) = parse(line)?
                {
                    found.insert(name.clone(), service);
                }
            }
        }
        Ok(found)
    }

    /// Services whose line has one of these texts in it.
    pub(crate) fn that_mention(&self, texts: &[String]) -> Result<Vec<Service>, Error> {
        let finders: Vec<_> = texts.iter().map(memmem::Finder::new).collect();
        let mention = |line: &&[u8]| finders.iter().any(|finder| finder.find(line).is_some());
        let mut found = Vec::new();
        for number in 0..LOGS {
            let text = read(&log(&self.dir, number))?;
            for line in by_name(&text).into_values().filter(mention) {
                found.extend(parse(line)?);
            }
        }
        Ok(found)
    }

    /// Says that the table is about to be changed.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        let path = self.dir.join(AT_WORK);
        File::create(&path).call(|| format!("open({})", path.display()))?;
        Ok(())
    }

    /// The table is as the logs say.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        let path = self.dir.join(AT_WORK);
        Ok(gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?)
    }

    /// Writes what is about to be.
    pub(crate) fn append(&self, services: &[Service]) -> Result<Before, Error> {
        let mut before = Vec::new();
        for (number, services) in (0..).zip(by_log(services.iter(), |service| &service.name)) {
            if services.is_empty() {
                continue;
            }
            let mut lines = Vec::with_capacity(services.len() * 192);
            for service in services {
                // Written to memory, and its keys are text: there is nothing to fail.
                let _ = serde_json::to_writer(&mut lines, service);
                lines.push(b'\n');
            }
            match self.write(number, &lines) {
                Ok(length) => before.push((number, length)),
                Err(error) => {
                    self.take_back(&Before(before))?;
                    self.finish()?;
                    return Err(error);
                }
            }
        }
        Ok(Before(before))
    }

    /// Writes that these are no more, and clears away what counts for nothing; the last takes all along.
    pub(crate) fn forget<'a>(self, names: impl Iterator<Item = &'a Name>) -> Result<(), Error> {
        for (number, names) in (0..).zip(by_log(names, |name| name)) {
            let line =
                |name: &&Name| [BEGIN, name.as_ref().as_bytes(), b"\",\"gone\":true}\n"].concat();
            let lines: Vec<u8> = names.iter().flat_map(line).collect();
            if !lines.is_empty() {
                self.write(number, &lines)?;
                self.tidy_log(number)?;
            }
        }
        self.tidy()
    }

    /// Back to what it was before [`Store::append`].
    pub(crate) fn take_back(&self, before: &Before) -> Result<(), Error> {
        for &(number, length) in &before.0 {
            let path = log(&self.dir, number);
            if length == 0 {
                gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?;
                continue;
            }
            let file = OpenOptions::new().write(true).open(&path);
            let cut = file.and_then(|file| file.set_len(length));
            cut.call(|| format!("truncate({})", path.display()))?;
        }
        Ok(())
    }

    /// At the end of a log, and how long that was before.
    fn write(&self, number: usize, lines: &[u8]) -> Result<u64, Error> {
        let path = log(&self.dir, number);
        let call = |call: &str| format!("{call}({})", path.display());
        let open = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path);
        let mut file = open.call(|| call("open"))?;
        let before = file.metadata().call(|| call("fstat"))?.len();
        let written = file.write_all(lines);
        if written.is_err() {
            // half a line would be read as none
            let _ = match before {
                0 => fs::remove_file(&path),
                _ => file.set_len(before),
            };
        }
        written.call(|| call("write"))?;
        Ok(before)
    }

    /// Writes a log anew that has more of what counts for nothing than of what counts, and removes one that has nothing else.
    fn tidy_log(&self, number: usize) -> Result<(), Error> {
        let path = log(&self.dir, number);
        let text = read(&path)?;
        let lines = by_name(&text);
        let mut kept: Vec<&[u8]> = Vec::new();
        for line in lines.into_values() {
            if parse(line)?.is_some() {
                kept.push(line);
            }
        }
        if kept.is_empty() {
            return Ok(gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?);
        }
        let bytes: usize = kept.iter().map(|line| line.len() + 1).sum();
        if text.len() > 2 * bytes + SLACK {
            // in the order in which they are there
            kept.sort_unstable_by_key(|line| line.as_ptr());
            let new = self.dir.join("new");
            let text = [kept.join(&b'\n').as_slice(), b"\n"].concat();
            fs::write(&new, text).call(|| format!("write({})", new.display()))?;
            let call = || format!("rename({}, {})", new.display(), path.display());
            fs::rename(&new, &path).call(call)?;
        }
        Ok(())
    }

    /// Removes the directory when nothing is in it any more.
    pub(crate) fn tidy(&self) -> Result<(), Error> {
        match self.is_empty() {
            true => self.clear(),
            false => Ok(()),
        }
    }

    /// Removes it whatever is in it: there are no services.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        let logs = (0..LOGS).map(|number| log(&self.dir, number));
        let others = ["new", AT_WORK].map(|name| self.dir.join(name));
        for path in logs.chain(others) {
            gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?;
        }
        gone(fs::remove_dir(&self.dir)).call(|| format!("rmdir({})", self.dir.display()))?;
        Self::tidy_above();
        Ok(())
    }

    /// The directory above goes with the last that is in it; one that was chosen is not ours.
    pub(crate) fn tidy_above() {
        if std::env::var_os("CHROOT0_RUN").is_none() {
            let _ = fs::remove_dir(names::run_dir());
        }
    }
}

fn log(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("log.{number:x}"))
}

/// What belongs into each log.
fn by_log<T>(things: impl Iterator<Item = T>, name: impl Fn(&T) -> &Name) -> [Vec<T>; LOGS] {
    let mut logs = [const { Vec::new() }; LOGS];
    for thing in things {
        let name = name(&thing).as_ref().bytes();
        // FNV-1a: the same for ever
        let hash = name.fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        logs[(hash >> 16) as usize % LOGS].push(thing);
    }
    logs
}

/// The content; empty: there is no such file.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    match fs::read(path) {
        Err(error) if error.to_errno() == Errno::ENOENT => Ok(Vec::new()),
        answer => Ok(answer.call(|| format!("open({})", path.display()))?),
    }
}

/// The last line of each name.
fn by_name(log: &[u8]) -> HashMap<&[u8], &[u8]> {
    let mut lines = HashMap::with_capacity(log.len() / 150);
    for line in log.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let name = line.strip_prefix(BEGIN).unwrap_or_default();
        let end = name.iter().position(|&byte| byte == b'"').unwrap_or(0);
        lines.insert(&name[..end], line);
    }
    lines
}

/// What a line says; None: that there is no such service.
fn parse(line: &[u8]) -> Result<Option<Service>, Error> {
    match serde_json::from_slice(line) {
        Ok(service) => Ok(Some(service)),
        Err(_) if serde_json::from_slice::<Gone>(line).is_ok() => Ok(None),
        Err(why) => {
            let dir = names::run_dir().join(DIR);
            Err(Error::failed(format!("{}: {why}", dir.display())))
        }
    }
}

pub(crate) fn services(log: &[u8]) -> Result<Vec<Service>, Error> {
    let mut lines: Vec<&[u8]> = by_name(log).into_values().collect();
    lines.sort_unstable_by_key(|line| line.as_ptr());
    let lines = lines.into_iter();
    lines.filter_map(|line| parse(line).transpose()).collect()
}
