//! An archive that is there whole or not at all, also where another one has its name.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fstat, linkat, lstat};
use rustix::io::Errno;
use sys::{Call, SysError};

use crate::error::Error;

/// How often others may be there first, and how long each may take to rename what is whole.
const ATTEMPTS: usize = 500;
const MOMENT: Duration = Duration::from_millis(2);

/// What is done with what `path` names, so that a file which is written has this name when it is whole.
pub(super) struct Output<'a> {
    path: &'a Path,
    /// The name that it has for as long as it takes to replace another.
    hidden: PathBuf,
}

impl<'a> Output<'a> {
    /// # Errors
    /// It cannot be the name of a file.
    pub(super) fn new(path: &'a Path) -> Result<Self, Error> {
        let usage = |problem: &str| Error::Usage(format!("--output {}: {problem}", path.display()));
        let name = path
            .file_name()
            .ok_or_else(|| usage("does not end in a name"))?;
        if path.is_dir() {
            return Err(usage("is a directory"));
        }
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".pack");
        let hidden = path.with_file_name(hidden);
        Ok(Self { path, hidden })
    }

    /// Lets `fill` write a file without a name, and gives it one.
    ///
    /// # Errors
    /// What `fill` answers; then there is nothing. Or the name cannot be had.
    pub(super) fn write(&self, fill: impl FnOnce(&File) -> Result<(), Error>) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        match rustix::fs::open(above(self.path), flags, Mode::from(0o666)) {
            Ok(fd) => {
                let file = File::from(fd);
                fill(&file)?;
                self.name(&file)
            }
            // A file system without them (NFS, overlay before 6.1): the name tells that it is none yet.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => self.write_named(fill),
            Err(errno) => {
                Err(SysError::new(format!("open({})", self.path.display()), errno).into())
            }
        }
    }

    /// The same, as it would be done.
    pub(super) fn steps(&self) -> (String, String) {
        let (path, hidden) = (self.path.display(), self.hidden.display());
        let named = match lstat(self.path) {
            Ok(_) => format!("link({hidden})\nrename({hidden}, {path})\n"),
            Err(_) => format!("link({path})\n"),
        };
        (
            format!("open({}, O_TMPFILE)\n", above(self.path).display()),
            named,
        )
    }

    /// linkat(2) replaces nothing, so what is there is replaced by a second name. Who is killed between the two calls leaves
    /// that, of a whole file. It is locked meanwhile, so who was killed is told from who is at work.
    fn name(&self, file: &File) -> Result<(), Error> {
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        let link = |to: &Path| linkat(CWD, &open, CWD, to, AtFlags::SYMLINK_FOLLOW);
        flock(file, FlockOperation::NonBlockingLockExclusive).call(|| self.call("flock"))?;
        // Also where there is nothing to replace any more. What hinders is told where it matters.
        let _ = self.clear();
        match link(self.path) {
            Err(Errno::EXIST) => {}
            answer => return Ok(answer.call(|| format!("link({})", self.path.display()))?),
        }
        for _ in 0..ATTEMPTS {
            match link(&self.hidden) {
                Ok(()) => return self.rename(),
                Err(Errno::EXIST) if self.clear()? => {}
                Err(Errno::EXIST) => thread::sleep(MOMENT),
                Err(errno) => return Err(SysError::new(self.call("link"), errno).into()),
            }
        }
        Err(self.busy())
    }

    fn rename(&self) -> Result<(), Error> {
        let renamed = rustix::fs::rename(&self.hidden, self.path);
        if renamed.is_err() {
            // Its failure would say nothing that the first one does not.
            let _ = rustix::fs::unlink(&self.hidden);
        }
        Ok(renamed.call(|| self.call("rename"))?)
    }

    /// Where every file has a name from the start, it is locked for as long as it is written.
    fn write_named(&self, fill: impl FnOnce(&File) -> Result<(), Error>) -> Result<(), Error> {
        let file = self.begin()?;
        let filled = fill(&file);
        if filled.is_err() {
            let _ = rustix::fs::unlink(&self.hidden);
        }
        filled.and_then(|()| self.rename())
    }

    fn begin(&self) -> Result<File, Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        for _ in 0..ATTEMPTS {
            match rustix::fs::open(&self.hidden, flags, Mode::from(0o666)) {
                Ok(fd) => {
                    let file = File::from(fd);
                    let lock = flock(&file, FlockOperation::NonBlockingLockExclusive);
                    // Before it was locked, somebody may have taken it for one that was left.
                    if lock.is_ok() && is(&file, &self.hidden) {
                        return Ok(file);
                    }
                }
                Err(Errno::EXIST) if self.clear()? => {}
                Err(Errno::EXIST) => break,
                Err(errno) => return Err(SysError::new(self.call("open"), errno).into()),
            }
        }
        Err(self.busy())
    }

    /// Takes away what a kill has left. False: somebody is at work on it.
    fn clear(&self) -> Result<bool, SysError> {
        let look = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let left = match rustix::fs::open(&self.hidden, look, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(true),
            Err(errno) => return Err(SysError::new(self.call("open"), errno)),
        };
        if flock(&left, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(false);
        }
        // Who has the lock is the only one to take away what has this name.
        if is(&left, &self.hidden) {
            rustix::fs::unlink(&self.hidden).call(|| self.call("unlink"))?;
        }
        Ok(true)
    }

    fn call(&self, name: &str) -> String {
        format!("{name}({})", self.hidden.display())
    }

    fn busy(&self) -> Error {
        Error::Failed(format!(
            "--output {}: somebody else is writing it, as {}",
            self.path.display(),
            self.hidden.display()
        ))
    }
}

/// The directory that a name is in.
pub(super) fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if above != Path::new("") => above,
        _ => Path::new("."),
    }
}

/// Whether `path` names this file.
fn is(file: &File, path: &Path) -> bool {
    let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    match (fstat(file), lstat(path)) {
        (Ok(open), Ok(named)) => identity(open) == identity(named),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    /// A directory of a test's own, which goes with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pack-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn text(text: &str) -> impl FnOnce(&File) -> Result<(), Error> {
        move |mut file| {
            file.write_all(text.as_bytes()).unwrap();
            Ok(())
        }
    }

    #[test]
    fn what_a_kill_left_is_taken_away_with_and_without_a_name_from_the_start() {
        let scratch = Scratch::new("left");
        let path = scratch.0.join("out.tar");
        let output = Output::new(&path).unwrap();
        for named in [false, true] {
            fs::write(&path, "old").unwrap();
            fs::write(&output.hidden, "half").unwrap();
            match named {
                true => output.write_named(text("new")).unwrap(),
                false => output.write(text("new")).unwrap(),
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), "new");
            assert_eq!(scratch.names(), ["out.tar"]);
        }
    }

    #[test]
    fn who_fails_leaves_what_was_there() {
        let scratch = Scratch::new("fails");
        let path = scratch.0.join("out.tar");
        fs::write(&path, "old").unwrap();
        let output = Output::new(&path).unwrap();
        let fail = |_: &File| Err(Error::Failed("no".into()));
        assert!(output.write(fail).is_err() && output.write_named(fail).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(scratch.names(), ["out.tar"]);
    }

    #[test]
    fn who_is_at_work_is_left_alone() {
        let scratch = Scratch::new("busy");
        let path = scratch.0.join("out.tar");
        let output = Output::new(&path).unwrap();
        let inner = Output::new(&path).unwrap();
        let within = |mut file: &File| {
            let other = inner.write_named(text("other")).unwrap_err().to_string();
            assert!(other.contains("somebody else is writing it"), "{other}");
            file.write_all(b"first").unwrap();
            Ok(())
        };
        output.write_named(within).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(scratch.names(), ["out.tar"]);
    }

    #[test]
    fn many_at_once_leave_one_whole_file() {
        let scratch = Scratch::new("many");
        let path = scratch.0.join("out.tar");
        for _ in 0..20 {
            thread::scope(|scope| {
                for number in 0..8 {
                    let path = &path;
                    scope.spawn(move || {
                        let bytes = number.to_string().repeat(10_000);
                        Output::new(path).unwrap().write(text(&bytes)).unwrap();
                    });
                }
            });
            let whole = fs::read_to_string(&path).unwrap();
            assert_eq!(whole, whole[..1].repeat(10_000));
            assert_eq!(scratch.names(), ["out.tar"]);
        }
    }
}
